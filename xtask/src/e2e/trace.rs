//! A real capture: a torch-profiler trace of the served model, taken and analysed by the command.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Bench, VLLM};

/// Requests that are recorded.
const REQUESTS: u64 = 4;
/// Tokens that each generates.
const TOKENS: u64 = 8;

/// Captures in two modes.
pub(super) fn run(bench: &Bench) -> anyhow::Result<()> {
    for mode in ["light", "detailed"] {
        let document = capture(bench, &bench.work.join("trace").join(mode), mode)?;
        check(&document, mode).with_context(|| format!("the {mode} trace"))?;
        println!(
            "e2e: {mode} trace: {} events, {} steps, {} operators, vLLM {}",
            document["exact"]["events"],
            document["steps"]["count"],
            document["operators_unique"],
            document["trace"]["vllm_version"]
        );
    }
    Ok(())
}

/// Runs the command in one mode; its document.
fn capture(bench: &Bench, dir: &Path, mode: &str) -> anyhow::Result<Value> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("empty {}", dir.display()))?;
    }
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).context("find a free port")?.port();
    let mut command = Command::new(&bench.vramscope);
    command.args(["trace", "capture"]);
    command.args(["--mode", mode, "--format", "json", "--scopes", "attention,model_forward"]);
    command.args(["--requests", &REQUESTS.to_string(), "--max-tokens", &TOKENS.to_string()]);
    command.arg("--dir").arg(dir).arg("--").arg(bench.vllm()).arg("serve").arg(&bench.model);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--max-model-len", "1024", "--enforce-eager"]);
    command.env("VLLM_CPU_KVCACHE_SPACE", "1").env("HF_HUB_OFFLINE", "1");
    let output = command.stderr(Stdio::inherit()).output().context("run vramscope")?;
    ensure!(output.status.success(), "vramscope trace capture --mode {mode}: {}", output.status);
    serde_json::from_slice(&output.stdout).context("read the document")
}

/// What a capture of these requests must show.
fn check(document: &Value, mode: &str) -> anyhow::Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    ensure!(document["trace"]["vllm_version"] == VLLM, "is of vLLM {}", document["trace"]["vllm_version"]);
    // The detailed mode asks for floating-point operations, which torch does not write into its traces.
    let expected = |note: &Value| note["kind"] == "no_flops" && mode == "detailed";
    let notes = document["notes"].as_array();
    ensure!(notes.is_some_and(|notes| notes.iter().all(expected)), "has notes: {}", document["notes"]);
    ensure!(document["steps"]["source"] == "engine_annotation", "has no steps of the engine");
    let kinds = document["steps"]["kinds"].as_array().context("has no kinds of steps")?;
    let of = |kind: &str| kinds.iter().filter(|row| row["kind"] == kind).map(|row| number(&row["count"])).sum::<u64>();
    ensure!(of("prefill") + of("mixed") >= 1, "has no prompt");
    ensure!(of("decode") + of("mixed") >= TOKENS - 1, "has {} decode steps", of("decode"));
    let operators = document["operators"].as_array().context("has no operators")?;
    let named = |part: &str| operators.iter().any(|row| row["name"].as_str().is_some_and(|name| name.contains(part)));
    ensure!(named("attention"), "has no attention operator");
    ensure!(document["verdict"]["bound"] == "undetermined", "judges a GPU that is not there");
    if mode == "detailed" {
        ensure!(document["trace"]["with_stack"] == true, "has no python stacks");
        let memory = document["memory"].as_array().context("has no memory")?;
        ensure!(memory.iter().any(|row| number(&row["events"]) > 0), "has no memory events");
        let layers = document["layers"].as_array().context("has no layers")?;
        ensure!(layers.len() == 3, "has {} layers instead of 3", layers.len());
    }
    Ok(())
}
