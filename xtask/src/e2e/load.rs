//! `vramscope load` with a real vLLM that it starts itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::profile::{FAST, SECRETS, engine_environment, free_port, no_secret_in, nothing_left};
use super::{Bench, read_json};

/// What experiments leave.
const FILES: [&str; 6] = [
    "baseline_metrics.json",
    "latency_results.csv",
    "throughput_results.csv",
    "sequence_length_results.csv",
    "summary.md",
    "engine.log",
];
/// Requests that the engine runs at a time: the largest batch of the suite is twice that, and has to wait.
const MOST_SEQS: u64 = 4;

/// All experiments, with one start of the engine.
pub(super) fn run(bench: &Bench) -> anyhow::Result<()> {
    let results = bench.work.join("results");
    let mut command = Command::new(&bench.vramscope);
    command.args(["load", "--experiment", "suite", "--concurrency", "1,2,4,8", "-o"]).arg(&results);
    command.args(["--input-len", "16,64,128,256", "--output-len", "8,32", "--price", "2.5", "--"]);
    command.arg(bench.vllm()).arg("serve").arg(&bench.model).args(FAST);
    command.args(["--port", &free_port()?.to_string(), "--max-num-seqs", &MOST_SEQS.to_string()]);
    command.args(["--api-key", SECRETS[2].1]);
    command.envs(engine_environment()).envs(SECRETS.iter().copied()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().context("run vramscope load")?;
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{screen}");
    ensure!(output.status.success(), "vramscope load: {}", output.status);
    ensure!(SECRETS.iter().all(|(_, value)| !screen.contains(value)), "the screen shows a secret");
    nothing_left(bench)?;
    no_secret_in(&results)?;
    for name in FILES {
        ensure!(fs::metadata(results.join(name)).is_ok_and(|about| about.len() > 0), "{name} is not there");
    }
    let log = fs::read_to_string(results.join("engine.log")).context("read the engine's log")?;
    let starts = log.matches("Application startup complete").count();
    ensure!(starts == 1, "the engine was started {starts} times");
    let file = results.join("baseline_metrics.json");
    check(&read_json(&file)?)?;
    valid(bench, &file, "experiment")
}

fn check(document: &Value) -> anyhow::Result<()> {
    let levels = document["throughput"]["levels"].as_array().context("has no throughput")?;
    let cells = document["lengths"]["cells"].as_array().context("has no lengths")?;
    ensure!(levels.len() == 4 && cells.len() == 8, "has {} levels and {} cells", levels.len(), cells.len());
    let measurements = levels.iter().chain(cells).chain([&document["latency"]]).map(|one| &one["measurement"]);
    for one in measurements {
        ensure!(one["requests"]["failed"] == 0 && one["requests"]["unsent"] == 0, "requests failed: {one}");
        ensure!(one["server"]["prefix_hit_tokens"] == 0, "prompts were known to the engine: {}", one["server"]);
    }
    let last = &levels[3]["measurement"]["server"];
    ensure!(last["running_max"].as_u64().is_some_and(|most| most <= MOST_SEQS), "more ran than may: {last}");
    ensure!(last["waiting_mean"].as_f64().is_some_and(|mean| mean > 0.0), "nothing waited: {last}");
    // How much faster, and how steep, is the machine's business: it may be busy.
    let growth = levels[2]["factor"].as_f64().context("has no factor")?;
    ensure!(growth.is_finite() && growth > 0.0, "four in flight bring {growth} times the tokens");
    for (fit, name) in [("prefill", "b"), ("decode", "d")] {
        let all =
            document["lengths"][fit]["coefficients"].as_array().with_context(|| format!("has no fit of {fit}"))?;
        let one = all.iter().find(|one| one["name"] == name).with_context(|| format!("has no {name}"))?;
        ensure!(one["value"].as_f64().is_some_and(f64::is_finite), "{fit}: {one}");
    }
    // No GPU was read, so none is spoken of.
    ensure!(document.get("metered").is_none(), "energy of {}", document["metered"]);
    ensure!(document["latency"]["measurement"]["cost"]["per_million_output_tokens"].is_f64(), "has no cost");
    Ok(())
}

/// Holds a document against its schema, by Python's `jsonschema`, which vLLM brings.
fn valid(bench: &Bench, document: &Path, name: &str) -> anyhow::Result<()> {
    const SCRIPT: &str = "import json, sys, jsonschema\n\
                          jsonschema.Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))";
    let schema = bench.root.join("schemas").join(format!("{name}.json"));
    let mut command = Command::new(bench.python());
    let status = command.args(["-c", SCRIPT]).arg(schema).arg(document).status().context("run jsonschema")?;
    ensure!(status.success(), "{} is not what its schema says", document.display());
    Ok(())
}
