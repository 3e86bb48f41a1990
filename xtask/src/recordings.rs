//! Analyzes every H200 recording and holds the result against figures that were read inside the worker.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Where the table stands.
const DOCUMENT: &str = "docs/h200-recordings.md";

/// What the issue of truth demands of a finished run.
const MOST_ERROR_PCT: f64 = 0.5;
const MOST_RESIDUAL_PCT: f64 = 3.0;

/// One run: what we say, and what the worker said.
struct Row {
    name: String,
    finished: bool,
    peak: f64,
    weights_error: Option<f64>,
    kv_error: Option<f64>,
    activation_error: Option<f64>,
    graphs: Option<f64>,
    residual_pct: f64,
    findings: String,
    wrong: Vec<String>,
}

/// Writes the table, or with `--check` fails if it is not the one in `docs/`.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let root = crate::root()?;
    let Some(corpus) = crate::shared(&root, "corpus/h200")? else { return Ok(()) };
    let program = crate::built::command(&root)?;
    let mut rows = Vec::new();
    for folder in folders(&corpus)? {
        rows.push(row(&program, &folder)?);
    }
    let text = document(&rows);
    let wrong: Vec<String> = rows.iter().flat_map(|r| r.wrong.iter().map(|w| format!("{}: {w}", r.name))).collect();
    if !wrong.is_empty() {
        bail!("recordings:\n  {}", wrong.join("\n  "));
    }
    crate::write_or_check(&root.join(DOCUMENT), &text, args)?;
    println!("recordings: {} runs agree with the figures of their workers", rows.len());
    Ok(())
}

fn folders(corpus: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(corpus).with_context(|| format!("list {}", corpus.display()))? {
        let path = entry.context("list recordings")?.path();
        if path.join("vllm.log").exists() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn row(program: &Path, folder: &Path) -> anyhow::Result<Row> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = Command::new(program).arg("analyze").arg(folder).args(["--format", "json"]).output()?;
    let profile: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("read the profile of {name}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let truth = match fs::read(folder.join("truth.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("read the truth of {name}"))?,
        Err(_) => Value::Null,
    };
    let breakdown = &profile["memory_breakdown"];
    let number = |value: &Value| value.as_f64();
    let error = |ours: &Value, theirs: &str| {
        let (ours, theirs) = (ours.as_f64()?, truth[theirs].as_f64()?);
        Some((ours - theirs) / theirs * 100.0)
    };
    let codes: Vec<String> = profile["diagnostics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|d| Some(format!("`{}`", d["code"].as_str()?)))
        .collect();
    let mut row = Row {
        finished: profile["metadata"]["status"] == "complete",
        peak: number(&breakdown["total_measured_bytes"]).unwrap_or(f64::NAN),
        weights_error: error(&breakdown["model_weights_bytes"], "model_memory_usage"),
        kv_error: error(&breakdown["kv_cache_bytes"], "kv_tensor_bytes"),
        activation_error: error(&profile["vllm_internal_metrics"]["activations_bytes"], "peak_activation_memory"),
        graphs: number(&breakdown["cuda_graphs_bytes"]).filter(|g| *g > 0.0),
        residual_pct: number(&breakdown["residual_percentage"]).unwrap_or(f64::NAN),
        findings: codes.join(", "),
        wrong: Vec::new(),
        name,
    };
    row.wrong = faults(&row, breakdown);
    Ok(row)
}

/// What a run must show, and does not.
fn faults(row: &Row, breakdown: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    if !identity_holds(breakdown) {
        wrong.push("peak is not baseline + components + residual".to_owned());
    }
    let explained = row.findings.contains("large_residual");
    if row.residual_pct.abs() > MOST_RESIDUAL_PCT && !explained {
        wrong.push(format!("a residual of {:.2} % without a diagnostic", row.residual_pct));
    }
    for (what, error) in [("weights", row.weights_error), ("KV pool", row.kv_error)] {
        if row.finished && error.is_some_and(|e| e.abs() > MOST_ERROR_PCT) {
            wrong.push(format!("{what} {:+.3} % off", error.unwrap_or_default()));
        }
    }
    wrong
}

/// Whole numbers in, so the sum is exact.
fn identity_holds(breakdown: &Value) -> bool {
    let parts = breakdown["components"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sum: i128 = parts.iter().filter_map(|p| p["size_bytes"].as_i64()).map(i128::from).sum();
    let of = |key: &str| breakdown[key].as_i64().map(i128::from);
    let whole = || Some(of("baseline_bytes")? + sum + of("residual_bytes")? == of("total_measured_bytes")?);
    whole() == Some(true)
}

fn document(rows: &[Row]) -> String {
    let mut text = String::from(
        "# The H200 recordings\n\n\
         Every recording of a real vLLM 0.25.1 engine on an NVIDIA H200, analyzed from its logs alone and held against \
         figures\nthat were read inside the worker: `model_memory_usage`, the bytes of the KV tensors, and the peak of \
         the profile run.\nA dash means that the worker's figures were not recorded, or that the part does not exist. \
         Runs named `fail-` are meant\nto fail.\n\n\
         Printed by `cargo xtask recordings`; `--check` fails when a figure has moved. Errors are ours less the \
         worker's.\n\n\
         | run | peak GiB | weights error % | KV pool error % | profile-run peak error % | graphs GiB | residual % of \
         peak | diagnostics |\n|---|---|---|---|---|---|---|---|\n",
    );
    let signed = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{:+.3}", v + 0.0));
    for row in rows {
        let graphs = row.graphs.map_or("–".to_owned(), |g| format!("{:.2}", g / GIBIBYTE));
        let _ = writeln!(
            text,
            "| {} | {:.2} | {} | {} | {} | {graphs} | {:+.2} | {} |",
            row.name,
            row.peak / GIBIBYTE,
            signed(row.weights_error),
            signed(row.kv_error),
            signed(row.activation_error),
            row.residual_pct,
            row.findings
        );
    }
    let worst = |of: fn(&Row) -> Option<f64>| rows.iter().filter_map(of).map(f64::abs).fold(0.0, f64::max);
    let residual = |r: &Row| Some(r.residual_pct).filter(|_| r.finished);
    let _ = writeln!(
        text,
        "\nLargest errors: weights {:.3} %, KV pool {:.3} %, profile-run peak {:.3} %. Largest residual of a finished \
         run:\n{:.2} % of its peak; above {MOST_RESIDUAL_PCT} % a diagnostic explains it.",
        worst(|r| r.weights_error),
        worst(|r| r.kv_error),
        worst(|r| r.activation_error),
        worst(residual),
    );
    text
}

const GIBIBYTE: f64 = 1_073_741_824.0;
