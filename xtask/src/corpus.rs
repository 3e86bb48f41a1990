//! Holds what the command says of labelled engine logs against their labels, field by field.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Labels that the log itself refutes, each with the line.
const EXCEPTIONS: &str = "crates/vramscope-log/tests/it/data/label-exceptions.json";

/// Logs with labels of our own, in the same form; a label states what it looks at.
const OWN: &str = "crates/vramscope-log/tests/it/data/labelled";

/// Fields of a label that are no statement of the log.
const NOT_COMPARED: &[&str] = &["notes", "device_vendor"];

/// Fields that hold no number; all others do, or hold objects with numbers.
const TEXT: &[&str] = &[
    "engine_version",
    "engine_generation",
    "model",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "enforce_eager",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "speculative_method",
    "weights_workers",
    "kv_cache_workers",
    "attention_backend",
];

/// What must hold of all fields, in percent. Fields with numbers must all be right.
const LEAST_RIGHT_PCT: f64 = 99.0;

/// What was compared, and what was found wrong.
#[derive(Default)]
struct Tally {
    numeric: usize,
    numeric_right: usize,
    text: usize,
    text_right: usize,
    excepted: usize,
    wrong: Vec<String>,
}

/// Compares every label, and lists no line of the recordings as unknown.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let verbose = match args {
        [] => false,
        [flag] if flag == "--verbose" => true,
        _ => bail!("usage: cargo xtask corpus [--verbose]"),
    };
    let root = crate::root()?;
    let Some(labelled) = crate::shared(&root, "corpus/vllm-logs-public")? else { return Ok(()) };
    let program = crate::built::command(&root)?;
    let exceptions = fs::read(root.join(EXCEPTIONS)).with_context(|| format!("read {EXCEPTIONS}"))?;
    let exceptions: Vec<Value> = serde_json::from_slice(&exceptions).context("read the exceptions")?;
    let mut tally = Tally::default();
    let labels = [files(&labelled, "json")?, files(&root.join(OWN), "json")?].concat();
    for label in &labels {
        compare(&program, label, &exceptions, verbose, &mut tally)?;
    }
    verdict(labels.len(), &tally)?;
    unknown(&root, &program)
}

fn verdict(logs: usize, tally: &Tally) -> anyhow::Result<()> {
    let all = tally.numeric + tally.text;
    let right = tally.numeric_right + tally.text_right;
    println!(
        "corpus: {logs} logs; numeric fields {} of {}, all fields {right} of {all} ({:.2} %); {} by exception",
        tally.numeric_right,
        tally.numeric,
        percent(right, all),
        tally.excepted
    );
    for wrong in &tally.wrong {
        println!("  {wrong}");
    }
    if all == 0 || tally.numeric_right < tally.numeric || percent(right, all) < LEAST_RIGHT_PCT {
        bail!("corpus: every numeric field and {LEAST_RIGHT_PCT} % of all fields must be as labelled");
    }
    Ok(())
}

fn compare(program: &Path, label: &Path, exceptions: &[Value], verbose: bool, tally: &mut Tally) -> anyhow::Result<()> {
    let log = label.with_extension("log");
    let id = label.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read(label).with_context(|| format!("read {}", label.display()))?;
    let text: Value = serde_json::from_slice(&text).with_context(|| format!("read {}", label.display()))?;
    let found = document(program, &log, &[])?;
    let summary = found["summary"].as_object().context("the document has no summary")?;
    let expected = text["expect"].as_object().context("the label expects nothing")?;
    for (field, label) in expected.iter().filter(|(field, _)| !NOT_COMPARED.contains(&field.as_str())) {
        let exception = exceptions.iter().find(|e| e["id"] == id.as_str() && e["field"] == field.as_str());
        if let Some(exception) = exception {
            check_quote(&log, exception)?;
            tally.excepted += 1;
        }
        let label = exception.map_or(label, |e| &e["log_states"]);
        let value = summary.get(field).with_context(|| format!("the summary has no field {field}"))?;
        let right = same(label, value);
        let (count, rights) = if TEXT.contains(&field.as_str()) {
            (&mut tally.text, &mut tally.text_right)
        } else {
            (&mut tally.numeric, &mut tally.numeric_right)
        };
        *count += 1;
        *rights += usize::from(right);
        if !right {
            tally.wrong.push(format!("{id} {field}: the label says {label}, the command says {value}"));
        } else if verbose && !value.is_null() {
            println!("  {id} {field} = {value}");
        }
    }
    Ok(())
}

/// An exception stands only as long as the log has the line that it quotes.
fn check_quote(log: &Path, exception: &Value) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(&fs::read(log).with_context(|| format!("read {}", log.display()))?).into_owned();
    let line =
        exception["line"].as_u64().and_then(|n| usize::try_from(n).ok()).context("an exception names no line")?;
    let quote = exception["quote"].as_str().context("an exception quotes nothing")?;
    let there = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if !there.contains(quote) {
        bail!("{}: line {line} does not read {quote:?}", log.display());
    }
    Ok(())
}

/// The recordings hold no figure of memory that is not understood.
fn unknown(root: &Path, program: &Path) -> anyhow::Result<()> {
    let mut logs = Vec::new();
    for folder in ["corpus/h200", "corpus/vllm-cpu"] {
        if let Some(folder) = crate::shared(root, folder)? {
            collect(&folder, &mut logs)?;
        }
    }
    logs.sort();
    let mut lines = Vec::new();
    for log in &logs {
        let found = document(program, log, &["--unknown"])?;
        for line in found["unknown"].as_array().into_iter().flatten() {
            lines.push(format!("{}:{}: {}", log.display(), line["line"], line["text"]));
        }
    }
    if !lines.is_empty() {
        bail!("corpus: figures of memory that no format reads:\n  {}", lines.join("\n  "));
    }
    println!("corpus: {} recorded logs hold no figure of memory that is not understood", logs.len());
    Ok(())
}

/// The logs in a folder and below.
fn collect(folder: &Path, logs: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.context("list recordings")?.path();
        if path.is_dir() {
            collect(&path, logs)?;
        } else if path.extension().is_some_and(|e| e == "log") || path.file_name().is_some_and(|n| n == "log.txt") {
            logs.push(path);
        }
    }
    Ok(())
}

fn document(program: &Path, log: &Path, flags: &[&str]) -> anyhow::Result<Value> {
    let output = Command::new(program).arg("log").args(["--format", "json"]).args(flags).arg(log).output();
    let output = output.context("run vramscope log")?;
    // 6 says that the log tells of an engine that failed, which is a result.
    if !matches!(output.status.code(), Some(0 | 6)) {
        bail!("vramscope log {}: {}", log.display(), String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("read what was said of {}", log.display()))
}

fn files(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.context("list labels")?.path();
        if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Numbers by value, everything else as it is.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand fields")]
    let share = part as f64 / whole.max(1) as f64;
    share * 100.0
}
