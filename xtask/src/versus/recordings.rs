//! Engines that ran on a GPU: what their recordings say they held.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::install::Tools;
use super::models::after;
use super::peer::{Peer, Question, WITH_REQUESTS, ask_all, requests_of};
use super::table::{Ours, Row, Table};

/// Recordings beside the checkout, on one H200 and on two.
const FOLDERS: [&str; 2] = ["corpus/h200", "corpus/h200-033"];
const GIB: f64 = 1_073_741_824.0;

/// One engine: what it did, what we say of it, and what the others are asked.
struct Run {
    release: String,
    weights: f64,
    /// The cache that one request of the longest length takes.
    request: Option<f64>,
    /// The whole cache.
    pool: Option<f64>,
    ours: Estimate,
    question: Question,
}

struct Estimate {
    weights: Ours,
    request: Ours,
    pool: Ours,
}

/// Prints a table for each figure. Without folders, all recordings on one rank.
pub(crate) fn run(root: &Path, tools: &Tools, mut folders: Vec<PathBuf>) -> anyhow::Result<()> {
    if folders.is_empty() {
        for name in FOLDERS {
            folders.extend(crate::shared(root, name)?);
        }
    }
    if folders.is_empty() {
        return Ok(());
    }
    let program = crate::built::command(root)?;
    let mut runs = Vec::new();
    for folder in recordings(&folders)? {
        runs.extend(read(&program, &folder)?);
    }
    if runs.is_empty() {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        bail!(
            "no recording of one rank in {}: each wants `args.json`, `truth.json` and `config.json`",
            folders.join(", ")
        );
    }
    let questions: Vec<Question> = runs.iter().map(|run| run.question.clone()).collect();
    let answers = ask_all(tools, &questions)?;
    let (mut weights, mut requests, mut pools) = (Vec::new(), Vec::new(), Vec::new());
    for (run, answers) in runs.iter().zip(&answers) {
        let question = &run.question;
        let mut label = vec![question.name.clone(), run.release.clone()];
        weights.push(Row {
            label: label.clone(),
            truth: run.weights,
            ours: run.ours.weights.clone(),
            peers: answers.iter().map(|answer| answer.weights.clone()).collect(),
        });
        pools.extend(run.pool.map(|truth| Row {
            label: label.clone(),
            truth,
            ours: run.ours.pool.clone(),
            peers: Vec::new(),
        }));
        label.extend([question.length.to_string(), question.kv_cache_dtype.clone()]);
        requests.extend(run.request.map(|truth| Row {
            label,
            truth,
            ours: run.ours.request.clone(),
            peers: requests_of(answers),
        }));
    }
    let peers = Peer::ALL.map(Peer::name);
    let table = |title, label: &[&str], peers: &[&str], rows: &[Row]| {
        println!("{}", Table { title, label, peers, unit: (GIB, 3), rows }.text());
    };
    table("Weights of recorded engines, GiB, errors in percent", &["run", "release"], &peers, &weights);
    let (label, peers) = (["run", "release", "tokens", "cache"], WITH_REQUESTS.map(Peer::name));
    table("Cache of one request of recorded engines, GiB, errors in percent", &label, &peers, &requests);
    table("The whole cache of recorded engines, GiB, errors in percent", &["run", "release"], &[], &pools);
    Ok(())
}

fn recordings(folders: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
        let mut there: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        there.retain(|path| path.join("args.json").is_file() && path.join("truth.json").is_file());
        there.sort();
        found.extend(there);
    }
    Ok(found)
}

/// What an engine did and what we say of it. `None` where it gave no figures, or ran on several ranks.
fn read(program: &Path, folder: &Path) -> anyhow::Result<Option<Run>> {
    let read = |name: &str| -> anyhow::Result<Value> {
        let path = folder.join(name);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))
    };
    let (told, truth) = (read("args.json")?, read("truth.json")?);
    let Some(weights) = truth["model_memory_usage"].as_f64() else { return Ok(None) };
    let words: Vec<String> = told["argv"].as_array().into_iter().flatten().filter_map(word).collect();
    if words.iter().any(|word| word.starts_with("--tensor-parallel-size") || word.starts_with("--pipeline-parallel")) {
        return Ok(None);
    }
    let release = told["vllm"].as_str().unwrap_or_default().to_owned();
    let output = Command::new(program)
        .args(["estimate", "--gpu", "h200", "--format", "json", "--model"])
        .arg(folder)
        .args(["--vllm-version", &release, "--"])
        .args(&words)
        .stderr(Stdio::inherit())
        .output()
        .context("run vramscope estimate")?;
    let ours: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("estimate {}", folder.display()))?;
    let log = fs::read_to_string(folder.join("vllm.log")).unwrap_or_default();
    let pool = truth["kv_tensor_bytes"].as_f64().filter(|bytes| *bytes > 0.0);
    let asked = concurrency(&log);
    Ok(Some(Run {
        release,
        weights,
        request: pool.zip(asked).map(|(pool, (_, requests))| pool / requests),
        pool,
        ours: estimate(&ours["budget"]),
        question: Question {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            // Where the engine printed none, there is no truth of a request either.
            length: asked.map_or(1, |(length, _)| length),
            kv_cache_dtype: after(&words, "--kv-cache-dtype").unwrap_or("auto").to_owned(),
        },
    }))
}

fn word(word: &Value) -> Option<String> {
    word.as_str().map(str::to_owned)
}

fn estimate(budget: &Value) -> Estimate {
    let figure = |name: &str| {
        let said = &budget[name];
        let number = |key: &str| said[key].as_f64();
        Ours {
            value: number("value").ok_or_else(|| "it is not in the estimate".to_owned()),
            interval: number("low").zip(number("high")),
            confidence: said["confidence"].as_str().unwrap_or_default().to_owned(),
        }
    };
    let (pool, requests) = (figure("kv_cache_bytes"), figure("max_concurrency"));
    let value = pool.value.clone().and_then(|pool| requests.value.clone().map(|requests| pool / requests));
    Estimate {
        weights: figure("weights_bytes"),
        // Its blocks follow from the config; that the pool is uncertain does not make a request so.
        request: Ours { value, interval: None, confidence: String::new() },
        pool,
    }
}

/// Tokens and requests, from `Maximum concurrency for 8,192 tokens per request: 111.61x`.
fn concurrency(log: &str) -> Option<(u64, f64)> {
    let line = log.split("Maximum concurrency for ").nth(1)?.lines().next()?;
    let (tokens, requests) = line.split_once(" tokens per request: ")?;
    Some((tokens.replace(',', "").parse().ok()?, requests.trim_end().trim_end_matches('x').parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_says_how_many_requests_of_which_length() {
        let log =
            "INFO x\nINFO GPU KV cache size: 1 tokens, Maximum concurrency for 8,192 tokens per request: 41.59x\n";
        assert_eq!(concurrency(log), Some((8192, 41.59)));
        assert_eq!(concurrency("INFO nothing of it\n"), None);
    }

    #[test]
    fn a_request_is_the_cache_by_the_requests_in_it() {
        let budget = serde_json::json!({
            "weights_bytes": {"value": 5.0, "low": 4.0, "high": 6.0, "confidence": "computed"},
            "kv_cache_bytes": {"value": 100.0, "low": 90.0, "high": 110.0, "confidence": "estimated"},
            "max_concurrency": {"value": 4.0},
        });
        let said = estimate(&budget);
        assert_eq!((said.request.value, said.weights.interval), (Ok(25.0), Some((4.0, 6.0))));
        assert!(estimate(&serde_json::json!({})).request.value.is_err());
    }
}
