//! One estimator of others: what it is asked, and what it answers.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::install::Tools;

/// Seconds for one question. The slowest class takes five minutes to build on two shared cores.
const LIMIT_S: u32 = 900;
/// Questions at once: a class of a large model takes gigabytes to build.
const AT_ONCE: usize = 2;

/// A figure in bytes, or why there is none.
pub(crate) type Said = Result<f64, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    HfMem,
    Accelerate,
    Kvfit,
    Llmfit,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::HfMem, Self::Accelerate, Self::Kvfit, Self::Llmfit];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HfMem => "hf-mem",
            Self::Accelerate => "accelerate",
            Self::Kvfit => "kvfit",
            Self::Llmfit => "llmfit",
        }
    }
}

/// Those that size a cache; the other has no such figure.
pub(crate) const WITH_REQUESTS: [Peer; 3] = [Peer::HfMem, Peer::Kvfit, Peer::Llmfit];

/// A model on one rank, and how it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// How it is called in the tables.
    pub(crate) name: String,
    /// Holds its `config.json`, and what else its repository has beside that.
    pub(crate) folder: PathBuf,
    /// The longest request, in tokens.
    pub(crate) length: u64,
    /// The cache's element type as the engine was asked for it: `auto` or `fp8`.
    pub(crate) kv_cache_dtype: String,
}

impl Question {
    /// As the script reads it.
    fn words(&self) -> Value {
        json!({
            "name": self.name,
            "folder": self.folder,
            "length": self.length,
            "kv_cache_dtype": self.kv_cache_dtype,
            "tensors": null,
            "parameters": null,
            "why": null,
        })
    }
}

/// What one of them says to a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// Bytes of the weights on one rank.
    pub(crate) weights: Said,
    /// Bytes of the cache of one request of the longest length.
    pub(crate) request: Said,
    /// Parameters of the model.
    pub(crate) parameters: Said,
}

impl Answer {
    fn none(why: &str) -> Self {
        let none = || Err(why.to_owned());
        Self { weights: none(), request: none(), parameters: none() }
    }

    fn read(said: &Value) -> Self {
        if let Some(failed) = said["failed"].as_str() {
            return Self::none(failed);
        }
        let figure = |name: &str| {
            let why = || said["why"][name].as_str().unwrap_or("it gives no such figure").to_owned();
            said[name].as_f64().ok_or_else(why)
        };
        Self { weights: figure("weights"), request: figure("request"), parameters: figure("parameters") }
    }
}

/// What those say of a request, of the answers of all.
pub(crate) fn requests_of(answers: &[Answer]) -> Vec<Said> {
    let sized = Peer::ALL.iter().zip(answers).filter(|(peer, _)| WITH_REQUESTS.contains(peer));
    sized.map(|(_, answer)| answer.request.clone()).collect()
}

/// The answers of all estimators, in the order of [`Peer::ALL`], to each of the questions.
pub(crate) fn ask_all(tools: &Tools, questions: &[Question]) -> anyhow::Result<Vec<Vec<Answer>>> {
    // Runs of one model differ in how it is served, of which the tensors know nothing.
    let mut models: BTreeMap<Vec<Vec<u8>>, Vec<(usize, &Question)>> = BTreeMap::new();
    for (at, question) in questions.iter().enumerate() {
        models.entry(held_by(&question.folder)?).or_default().push((at, question));
    }
    let models: Vec<_> = models.into_values().collect();
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(vec![Vec::new(); questions.len()]);
    let ask_of_models = || -> anyhow::Result<()> {
        while let Some(questions) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (at, answer) in ask(tools, questions)? {
                answers.lock().unwrap_or_else(PoisonError::into_inner)[at] = answer;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(ask_of_models)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(answers.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What the estimators read of a folder.
fn held_by(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let config = folder.join("config.json");
    let config = fs::read(&config).with_context(|| format!("read {}", config.display()))?;
    Ok(vec![config, fs::read(folder.join(vramscope_models::QUANTIZATION_FILE)).unwrap_or_default()])
}

/// Asks of one model. What does not depend on how the model is served is asked once.
fn ask(tools: &Tools, questions: &[(usize, &Question)]) -> anyhow::Result<Vec<(usize, Vec<Answer>)>> {
    let Some((_, first)) = questions.first() else { return Ok(Vec::new()) };
    eprintln!("asking of {}", first.name);
    let held = put(tools, "tensors", &first.words())?;
    let accelerate = put(tools, Peer::Accelerate.name(), &first.words())?;
    let file = tools.folder.join(format!("tensors-{}.json", first.name));
    if held["tensors"].is_object() {
        fs::write(&file, held["tensors"].to_string()).with_context(|| format!("write {}", file.display()))?;
    }
    let mut answers = Vec::new();
    for (at, question) in questions {
        let mut words = question.words();
        words["tensors"] = if held["tensors"].is_object() { json!(file) } else { Value::Null };
        words["parameters"] = held["parameters"].clone();
        words["why"] = json!(held["why"].as_str().or(held["failed"].as_str()).unwrap_or("no tensors at hand"));
        let answer = |peer: &Peer| match peer {
            Peer::Accelerate => Ok(Answer::read(&accelerate)),
            _ => Ok(Answer::read(&put(tools, peer.name(), &words)?)),
        };
        answers.push((*at, Peer::ALL.iter().map(answer).collect::<anyhow::Result<Vec<_>>>()?));
    }
    Ok(answers)
}

/// Runs the script, which says itself what a tool cannot do; a process that dies or takes too long is an answer too.
fn put(tools: &Tools, to: &str, words: &Value) -> anyhow::Result<Value> {
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", &LIMIT_S.to_string()])
        .arg(&tools.python)
        .args([tools.script.as_path(), Path::new(to)])
        .env("HF_HUB_OFFLINE", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("VERSUS_LLMFIT", &tools.llmfit)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("run xtask/versus/ask.py")?;
    let mut input = child.stdin.take().context("open the script's input")?;
    // One that dies before it has read is judged by how it ends.
    let _ = input.write_all(words.to_string().as_bytes());
    drop(input);
    let output = child.wait_with_output().context("wait for xtask/versus/ask.py")?;
    Ok(answer_of(&output, words))
}

fn answer_of(output: &Output, words: &Value) -> Value {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Where a folder lies is no part of what is wrong.
    if let (Some(folder), Some(name)) = (words["folder"].as_str(), words["name"].as_str()) {
        text = text.replace(folder, name);
    }
    serde_json::from_str(&text).unwrap_or_else(|_| match output.status.code() {
        Some(124 | 137) => json!({"failed": format!("no answer within {LIMIT_S} s")}),
        _ => json!({"failed": format!("its process ended with {}", output.status)}),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn ended(code: i32, stdout: &str) -> Value {
        let output =
            Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.as_bytes().to_vec(), stderr: Vec::new() };
        answer_of(&output, &json!({"folder": "/models/m", "name": "m"}))
    }

    #[test]
    fn a_figure_that_is_absent_has_its_reason() {
        let answer = Answer::read(&json!({"weights": 4.0, "request": null, "why": {"request": "it has none"}}));
        assert_eq!(answer.weights, Ok(4.0));
        assert_eq!(answer.request, Err("it has none".to_owned()));
        assert_eq!(answer.parameters, Err("it gives no such figure".to_owned()));
    }

    #[test]
    fn a_failure_names_the_model_and_not_where_it_lies() {
        let answer = Answer::read(&ended(0, r#"{"failed": "KeyError in /models/m/config.json"}"#));
        assert_eq!(answer, Answer::none("KeyError in m/config.json"));
    }

    #[test]
    fn a_process_that_dies_or_takes_too_long_is_an_answer() {
        assert_eq!(Answer::read(&ended(124, "")), Answer::none("no answer within 900 s"));
        assert_eq!(Answer::read(&ended(1, "{\"weights\"")), Answer::none("its process ended with exit status: 1"));
    }
}
