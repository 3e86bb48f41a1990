//! The configs whose truth the engine's own classes and planner gave, without a GPU.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use vramscope_core::Architecture;
use vramscope_estimate::parameter_count;

use super::install::Tools;
use super::peer::{Answer, Peer, Question, WITH_REQUESTS, ask_all, requests_of};
use super::table::{Ours, Row, Table};
use crate::oracle;
use crate::oracle::truth::{Plan, Truth};

/// The release whose answers come first.
const NEWEST: &str = "0.33.0";
const USUAL_LENGTH: u64 = 8192;
/// How the engine was asked of each case, where the case does not say otherwise.
const USUAL: [(&str, u64); 2] = [("max_model_len", USUAL_LENGTH), ("max_num_batched_tokens", 8192)];
const GIB: f64 = 1_073_741_824.0;

/// A config with all that is known of it.
struct Case {
    name: String,
    folder: PathBuf,
    model: Result<Architecture, String>,
    /// As transformers counts them.
    parameters: Option<u64>,
    /// What the engine said on one rank, the newest release first.
    truths: Vec<Truth>,
}

/// Prints a table for each figure.
pub(crate) fn run(root: &Path, tools: &Tools) -> anyhow::Result<()> {
    let cases = cases(root)?;
    let mut questions: Vec<Question> = Vec::new();
    for case in &cases {
        let unserved = case.truths.is_empty().then(|| question(case, None));
        for question in case.truths.iter().map(|truth| question(case, Some(truth))).chain(unserved) {
            if !questions.contains(&question) {
                questions.push(question);
            }
        }
    }
    let answers = ask_all(tools, &questions)?;
    let of = |question: &Question| questions.iter().position(|asked| asked == question).map(|at| &answers[at]);

    let mut weights = Vec::new();
    let (mut newest, mut others) = (Vec::new(), Vec::new());
    let mut parameters = Vec::new();
    for case in &cases {
        if let Some((truth, answers)) =
            case.truths.iter().find_map(|truth| truth.weights.map(|_| truth).zip(of(&question(case, Some(truth)))))
        {
            weights.extend(weights_row(case, truth, answers));
        }
        let planned = case.truths.iter().filter(|truth| truth.plan.is_some());
        for (at, truth) in planned.enumerate() {
            let rows = if at == 0 { &mut newest } else { &mut others };
            rows.extend(of(&question(case, Some(truth))).and_then(|answers| request_row(case, truth, answers)));
        }
        let first = question(case, case.truths.first());
        parameters.extend(of(&first).and_then(|answers| parameters_row(case, answers)));
    }
    let table = |title, label: &[&str], peers: &[&str], rows: &[Row]| {
        println!("{}", Table { title, label, peers, unit: (GIB, 3), rows }.text());
    };
    let peers = Peer::ALL.map(Peer::name);
    table("Weights on one rank, GiB, errors in percent", &["case", "release"], &peers, &weights);
    let (label, peers) = (["case", "release", "tokens", "cache"], WITH_REQUESTS.map(Peer::name));
    table("Cache of one request of the longest length, GiB, errors in percent", &label, &peers, &newest);
    table("The same of other releases, lengths and element types", &label, &peers, &others);
    let table = Table {
        title: "Parameters, billions, errors in percent",
        label: &["case"],
        peers: &[Peer::Accelerate.name()],
        unit: (1e9, 3),
        rows: &parameters,
    };
    println!("{}", table.text());
    Ok(())
}

fn question(case: &Case, truth: Option<&Truth>) -> Question {
    let asked = |flag: &str| truth.and_then(|truth| after(&truth.args, flag));
    Question {
        name: case.name.clone(),
        folder: case.folder.clone(),
        // Without a truth only the parameters are compared, and they do not depend on it.
        length: truth.and_then(|truth| truth.max_model_len).unwrap_or(USUAL_LENGTH),
        kv_cache_dtype: asked("--kv-cache-dtype").unwrap_or("auto").to_owned(),
    }
}

/// The word behind an option.
pub(super) fn after<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == flag)?;
    words.get(at + 1).map(String::as_str)
}

fn weights_row(case: &Case, truth: &Truth, answers: &[Answer]) -> Option<Row> {
    let ours = answer(case, truth).map_or_else(Ours::refused, |ours| {
        let weights = &ours.budget.weights;
        // The engine's own count knows of no allocator.
        let without = |bytes: u64| float(bytes.saturating_sub(ours.rounding));
        Ours {
            value: Ok(without(weights.value)),
            interval: Some((without(weights.low), without(weights.high))),
            confidence: weights.confidence.to_string(),
        }
    });
    let peers = answers.iter().map(|answer| answer.weights.clone()).collect();
    Some(Row { label: vec![case.name.clone(), truth.release.clone()], truth: float(truth.weights?), ours, peers })
}

fn request_row(case: &Case, truth: &Truth, answers: &[Answer]) -> Option<Row> {
    let (plan, length) = (truth.plan?, truth.max_model_len?);
    let ours = answer(case, truth).and_then(|ours| {
        let budget = ours.budget;
        let blocks = budget.plan.blocks_per_request(length).ok_or("the blocks of a request overflow")?;
        let value = float(blocks) * float(budget.plan.bytes_per_block);
        let requests = &budget.max_concurrency_milli;
        // More requests in the same room are smaller ones.
        let of = |milli: u64| value * (float(requests.value) / float(milli));
        Ok(Ours {
            value: Ok(value),
            interval: (requests.low > 0).then(|| (of(requests.high), of(requests.low))),
            confidence: requests.confidence.to_string(),
        })
    });
    let cache = after(&truth.args, "--kv-cache-dtype").unwrap_or("auto");
    Some(Row {
        label: vec![case.name.clone(), truth.release.clone(), length.to_string(), cache.to_owned()],
        // A request takes whole blocks; how many go into the pool is stored with six digits.
        truth: (float(plan.blocks) / plan.concurrency).round() * float(plan.bytes_per_block),
        ours: ours.unwrap_or_else(Ours::refused),
        peers: requests_of(answers),
    })
}

fn parameters_row(case: &Case, answers: &[Answer]) -> Option<Row> {
    let model = case.model.as_ref().map_err(Clone::clone);
    let counted = model.and_then(|model| parameter_count(model).map_err(|error| error.to_string()));
    let ours = Ours { value: counted.map(|count| float(count.total)), interval: None, confidence: String::new() };
    let accelerate = Peer::ALL.iter().zip(answers).find(|(peer, _)| **peer == Peer::Accelerate)?.1;
    let peers = vec![accelerate.parameters.clone()];
    Some(Row { label: vec![case.name.clone()], truth: float(case.parameters?), ours, peers })
}

fn answer(case: &Case, truth: &Truth) -> Result<oracle::judged::Ours, String> {
    oracle::judged::answer(truth, case.model.as_ref().map_err(Clone::clone)?)
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn float(value: u64) -> f64 {
    value as f64
}

fn cases(root: &Path) -> anyhow::Result<Vec<Case>> {
    let stored = oracle::stored(&root.join(oracle::TRUTH))?;
    let mut cases = Vec::new();
    for folder in oracle::folders(&root.join(oracle::CASES))? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = folder.join("expected.json");
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let expected: Value = serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?;
        let newest = stored.iter().filter(|truth| truth.model == name && truth.release == NEWEST);
        let mut truths: Vec<Truth> =
            newest.filter(|truth| truth.args.is_empty() && truth.fault.is_none()).cloned().collect();
        for entry in expected["vllm"].as_array().into_iter().flatten() {
            let truth = truth(&name, entry).with_context(|| format!("read {}", path.display()))?;
            // No other estimator knows of block sizes, and the question is one of one rank.
            let same = |word: &str| truth.args.iter().all(|arg| arg != word);
            if same("--block-size") && same("--tensor-parallel-size") && !truths.contains(&truth) {
                truths.push(truth);
            }
        }
        // A stable order: what is stored of a release stands before what the case says of it.
        truths.sort_by(|a, b| b.release.cmp(&a.release));
        let model = oracle::read_folder(&folder);
        cases.push(Case { name, folder, model, parameters: expected["parameters"].as_u64(), truths });
    }
    Ok(cases)
}

/// What a case says of an engine.
fn truth(name: &str, entry: &Value) -> anyhow::Result<Truth> {
    let asked = entry["args"].as_object().context("a truth has no `args`")?;
    let mut args: Vec<String> = USUAL
        .iter()
        .filter(|(key, _)| !asked.contains_key(*key))
        .flat_map(|(key, value)| [format!("--{}", key.replace('_', "-")), value.to_string()])
        .collect();
    for (key, value) in asked {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        args.extend([format!("--{}", key.replace('_', "-")), value]);
    }
    let number = |key: &str| entry[key].as_u64();
    Ok(Truth {
        model: name.to_owned(),
        release: entry["vllm"].as_str().context("a truth has no `vllm`")?.to_owned(),
        args,
        weights: number("weights_bytes_created").zip(number("buffers_bytes")).map(|(made, tables)| made + tables),
        parameters: None,
        max_model_len: number("max_model_len"),
        plan: plan(entry),
        refusal: None,
        fault: None,
    })
}

/// Bytes of a block are those of its layers' pages: the one way to add them up by which so many blocks are in the room.
fn plan(entry: &Value) -> Option<Plan> {
    let (available, blocks) = (entry["available_bytes"].as_u64()?, entry["num_blocks"].as_u64()?);
    let groups = entry["groups"].as_array()?;
    let pages = groups.iter().filter_map(|group| Some((group[1].as_u64()?, group[3].as_u64()?)));
    let bytes_per_block = pages.flat_map(|(layers, page)| [layers.saturating_mul(page), page]);
    Some(Plan {
        available,
        block_size: entry["block_size"].as_u64()?,
        bytes_per_block: bytes_per_block.filter(|bytes| *bytes > 0).find(|bytes| available / bytes == blocks)?,
        blocks,
        concurrency: entry["max_concurrency"].as_f64()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(groups: &Value, blocks: u64) -> Value {
        json!({
            "vllm": "0.32.0", "args": {"kv_cache_dtype": "fp8"}, "weights_bytes_created": 10, "buffers_bytes": 1,
            "groups": groups, "block_size": 16, "num_blocks": blocks, "available_bytes": 1000, "max_concurrency": 2.0,
            "max_model_len": 8192,
        })
    }

    #[test]
    fn a_block_is_as_large_as_the_room_says() {
        let bytes = |groups: Value, blocks| plan(&entry(&groups, blocks)).map(|plan| plan.bytes_per_block);
        assert_eq!(bytes(json!([["FullAttentionSpec", 5, 16, 20], ["SlidingWindowSpec", 4, 16, 20]]), 10), Some(100));
        assert_eq!(bytes(json!([["UniformTypeKVCacheSpecs", 99, 64, 100]]), 10), Some(100));
        assert_eq!(bytes(json!([["FullAttentionSpec", 5, 16, 20]]), 11), None);
    }

    #[test]
    fn a_truth_is_asked_again_as_it_was_asked() {
        let truth = truth("m", &entry(&json!([["FullAttentionSpec", 5, 16, 20]]), 10)).unwrap();
        assert_eq!(after(&truth.args, "--max-model-len"), Some("8192"));
        assert_eq!(after(&truth.args, "--kv-cache-dtype"), Some("fp8"));
        assert_eq!((truth.weights, truth.max_model_len), (Some(11), Some(8192)));
    }
}
