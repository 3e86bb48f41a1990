//! `vramscope profile` against the real vLLM and the real torch.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{Bench, processes_with, read_json};

/// Values that must not be found in anything that a run leaves behind, as the environment and the command line hold them.
pub(super) const SECRETS: &[(&str, &str)] = &[
    ("HF_TOKEN", "plainsecretofthehub"),
    ("OPENAI_API_KEY", "sk-0123456789abcdef0123456789abcdef"),
    ("VRAMSCOPE_API_KEY", "anotherplainsecret"),
];

/// What `tiny_model.py` makes: embedding and head of 10,240 by 128 each, three layers, norms.
const PARAMETERS: u64 = 2 * 10_240 * 128 + 3 * (128 * (128 + 64 + 64 + 128 + 3 * 352) + 2 * 128) + 128;

/// How often memory is read. To read that of processes costs the kernel a walk over their pages: at 100 ms a quarter of
/// all that a run takes.
pub(super) const INTERVAL: &str = "500ms";

/// The same prompts in each run: a model of random numbers answers some prompts with nothing that can be read.
pub(super) const SEED: [&str; 2] = ["--seed", "7"];
/// Flags that make vLLM start fast on a small machine.
pub(super) const FAST: &[&str] = &["--max-model-len", "512", "--enforce-eager"];

/// `vllm bench latency` as a process.
pub(super) fn process(bench: &Bench) -> anyhow::Result<()> {
    let file = bench.work.join("process.json");
    let mut command = profile(bench, &file);
    command.args(["--engine"]).arg(bench.vllm()).args(["--input-len", "32", "--output-len", "16", "--batch-size", "4"]);
    command.args(["--num-iters", "3", "--num-iters-warmup", "1"]).args(FAST);
    let document = succeeds(bench, command, &file)?;
    let phases = ["baseline", "launch", "load", "ready", "warmup", "measure", "shutdown", "settle"];
    check_phases(&document, &phases)?;
    check_engine(&document)?;
    ensure!(
        document["latency_stats"]["num_iterations"] == 3,
        "has {} iterations",
        document["latency_stats"]["num_iterations"]
    );
    ensure!(document["host"]["exit_code"] == 0, "the engine ended with {}", document["host"]);
    ensure!(document["host"]["memory_returned"] == true, "memory did not return: {}", document["host"]);
    derived_again(bench, &file)
}

/// `vllm serve` as a process, with requests.
pub(super) fn serve(bench: &Bench) -> anyhow::Result<()> {
    let file = bench.work.join("serve.json");
    let mut command = profile(bench, &file);
    command
        .arg("--engine")
        .arg(bench.vllm())
        .args(["--workload", "serve", "--num-prompts", "12", "--batch-size", "4"])
        .args(SEED);
    command.args(["--input-len", "32", "--output-len", "16"]).args(FAST);
    command.args(["--", "--api-key", SECRETS[2].1]);
    let document = succeeds(bench, command, &file)?;
    check_phases(&document, &["baseline", "launch", "load", "ready", "warmup", "measure", "shutdown", "settle"])?;
    check_engine(&document)?;
    check_requests(&document, 12, 12 * 16)?;
    derived_again(bench, &file)
}

/// A server that somebody else started.
pub(super) fn attach(bench: &Bench) -> anyhow::Result<()> {
    let port = free_port()?;
    let log = bench.work.join("attached.log");
    let out = fs::File::create(&log).context("make the log")?;
    let mut server = Command::new(bench.vllm());
    server.arg("serve").arg(&bench.model).args(["--host", "127.0.0.1", "--port", &port.to_string()]).args(FAST);
    server.envs(engine_environment()).stdout(out.try_clone()?).stderr(out).stdin(Stdio::null());
    let mut server = Server(server.spawn().context("start the server")?);
    wait_for(port, &mut server.0)?;
    let file = bench.work.join("attach.json");
    let mut command = profile_of(bench, &file);
    command.args(["--url", &format!("http://127.0.0.1:{port}")]).arg("--log-file").arg(&log);
    command.args(["--pid", &server.0.id().to_string(), "--num-prompts", "6", "--batch-size", "2"]).args(SEED);
    command.args(["--input-len", "32", "--output-len", "16"]);
    let document = succeeds(bench, command, &file)?;
    check_phases(&document, &["warmup", "measure"])?;
    check_requests(&document, 6, 6 * 16)?;
    ensure!(document["host"]["kind"] == "attach", "was not attached: {}", document["host"]);
    ensure!(server.0.try_wait()?.is_none(), "the server was stopped");
    derived_again(bench, &file)
}

/// A model that the engine refuses, a flag that it does not have, and an engine that is not there.
pub(super) fn failure(bench: &Bench) -> anyhow::Result<()> {
    let file = bench.work.join("failure.json");
    let mut command = profile(bench, &file);
    command.arg("--engine").arg(bench.vllm()).args(["--max-model-len", "4096", "--enforce-eager", "--force"]);
    let output = run(command)?;
    ensure!(output.status.code() == Some(6), "exit code {:?} instead of 6", output.status.code());
    let document = read_json(&file)?;
    ensure!(document["metadata"]["status"] == "failed", "status {}", document["metadata"]["status"]);
    ensure!(document["failure"]["kind"].is_string(), "has no failure");
    println!("e2e: the engine's refusal: {} ({})", document["failure"]["message"], document["failure"]["kind"]);
    no_secret_in(&bench.work.join("failure"))?;

    let mut command = profile(bench, &bench.work.join("flag.json"));
    command.arg("--engine").arg(bench.vllm()).args(["--", "--no-such-flag", "1"]);
    let output = run(command)?;
    ensure!(output.status.code() == Some(2), "an unknown flag: exit code {:?}", output.status.code());
    ensure!(!bench.work.join("flag").exists(), "something was recorded before the flag was refused");

    let mut command = profile(bench, &bench.work.join("absent.json"));
    command.args(["--engine", "no-such-engine"]);
    let output = run(command)?;
    ensure!(output.status.code() == Some(9), "an absent engine: exit code {:?}", output.status.code());
    nothing_left(bench)
}

/// The bundled probe with a real torch.
pub(super) fn transformers(bench: &Bench) -> anyhow::Result<()> {
    let file = bench.work.join("transformers.json");
    let mut command = profile(bench, &file);
    command.args(["--workload", "transformers", "--engine"]).arg(bench.python());
    command.args([
        "--input-len",
        "32",
        "--output-len",
        "16",
        "--batch-size",
        "2",
        "--num-iters",
        "2",
        "--num-iters-warmup",
        "1",
    ]);
    let document = succeeds(bench, command, &file)?;
    check_probe(&document)?;
    derived_again(bench, &file)?;

    // The model's tokenizer makes a token of each byte, and may put one before them.
    let file = bench.work.join("transformers-prompt.json");
    let mut command = profile(bench, &file);
    command.args(["--workload", "transformers", "--engine"]).arg(bench.python());
    command.args(["--prompt", "Explain it", "--output-len", "8", "--num-iters", "1", "--num-iters-warmup", "0"]);
    let document = succeeds(bench, command, &file)?;
    check_prompt(&document, "Explain it")
}

/// The prompt's length in tokens is known though nobody gave it.
fn check_prompt(document: &Value, prompt: &str) -> anyhow::Result<()> {
    let tokens = &document["model_info"]["prompt_length"];
    let bytes = prompt.len() as u64;
    ensure!(tokens.as_u64().is_some_and(|n| (bytes..=bytes + 1).contains(&n)), "{prompt:?} is {tokens} tokens");
    Ok(())
}

/// What the probe measured of the model.
pub(super) fn check_probe(document: &Value) -> anyhow::Result<()> {
    ensure!(document["engine_metadata"]["engine_type"] == "transformers", "engine {}", document["engine_metadata"]);
    ensure!(
        document["model_info"]["num_parameters"] == PARAMETERS,
        "parameters {}",
        document["model_info"]["num_parameters"]
    );
    // Beside the parameters there are the few numbers of the rotary embedding.
    let weights = document["memory_breakdown"]["model_weights_bytes"].as_u64().unwrap_or(0);
    ensure!((2 * PARAMETERS..2 * PARAMETERS + 1024).contains(&weights), "weights {weights}");
    Ok(())
}

/// The command with the model and what keeps a run short.
fn profile(bench: &Bench, file: &Path) -> Command {
    let mut command = profile_of(bench, file);
    command.arg("--model").arg(&bench.model);
    command
}

fn profile_of(bench: &Bench, file: &Path) -> Command {
    let mut command = Command::new(&bench.vramscope);
    command.arg("profile").arg("--output").arg(file).args(["--baseline", "1s", "--interval", INTERVAL]);
    command.envs(engine_environment()).envs(SECRETS.iter().copied()).stdin(Stdio::null());
    command
}

/// What makes vLLM small, and keeps it from asking anybody.
pub(super) fn engine_environment() -> [(&'static str, &'static str); 4] {
    [("VLLM_CPU_KVCACHE_SPACE", "1"), ("HF_HUB_OFFLINE", "1"), ("VLLM_NO_USAGE_STATS", "1"), ("OMP_NUM_THREADS", "2")]
}

fn run(mut command: Command) -> anyhow::Result<Output> {
    command.stderr(Stdio::inherit()).output().context("run vramscope profile")
}

/// A run that must go well; its profile.
fn succeeds(bench: &Bench, command: Command, file: &Path) -> anyhow::Result<Value> {
    let output = run(command)?;
    ensure!(output.status.success(), "vramscope profile: {}", output.status);
    let document = read_json(file)?;
    ensure!(
        document["metadata"]["status"] == "complete",
        "status {}: {}",
        document["metadata"]["status"],
        document["failure"]
    );
    ensure!(document["host"]["device_kind"] == "process_memory", "device {}", document["host"]["device_kind"]);
    ensure!(document["gpu_info"]["devices"][0]["vendor"] == "cpu", "vendor {}", document["gpu_info"]["devices"][0]);
    no_secret_in(&file.with_extension(""))?;
    no_secret_in(file)?;
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(SECRETS.iter().all(|(_, value)| !screen.contains(value)), "the screen shows a secret");
    if document["host"]["kind"] != "attach" {
        nothing_left(bench)?;
    }
    Ok(document)
}

/// The same profile, byte for byte, from the recording alone.
pub(super) fn derived_again(bench: &Bench, file: &Path) -> anyhow::Result<()> {
    let again = file.with_extension("again.json");
    let status = Command::new(&bench.vramscope)
        .arg("analyze")
        .arg(file.with_extension(""))
        .arg("--output")
        .arg(&again)
        .stdout(Stdio::null())
        .status()
        .context("run vramscope analyze")?;
    ensure!(status.success(), "vramscope analyze: {status}");
    ensure!(fs::read(file)? == fs::read(&again)?, "{} and {} differ", file.display(), again.display());
    Ok(())
}

pub(super) fn check_phases(document: &Value, wanted: &[&str]) -> anyhow::Result<()> {
    let phases = document["phases"].as_array().context("has no phases")?;
    let seen: Vec<&str> = phases.iter().filter_map(|phase| phase["phase"].as_str()).collect();
    ensure!(wanted.iter().all(|phase| seen.contains(phase)), "has the phases {seen:?}, not {wanted:?}");
    for pair in phases.windows(2) {
        ensure!(pair[0]["end_ns"] == pair[1]["start_ns"], "the phases {pair:?} do not meet");
    }
    Ok(())
}

/// What the engine's log says, and the breakdown's identity.
pub(super) fn check_engine(document: &Value) -> anyhow::Result<()> {
    let version = &document["engine_metadata"]["engine_version"];
    ensure!(version.as_str().is_some_and(|v| v.starts_with(super::VLLM)), "version {version}");
    ensure!(document["engine_metadata"]["platform"] == "cpu", "platform {}", document["engine_metadata"]["platform"]);
    let breakdown = &document["memory_breakdown"];
    let amount = |value: &Value| value.as_i64().unwrap_or(0);
    let parts = breakdown["components"].as_array().context("has no breakdown")?;
    let sum: i64 = parts.iter().map(|part| amount(&part["size_bytes"])).sum();
    let whole = amount(&breakdown["baseline_bytes"]) + sum + amount(&breakdown["residual_bytes"]);
    ensure!(whole == amount(&breakdown["total_measured_bytes"]), "the parts do not add up: {breakdown}");
    ensure!(
        amount(&breakdown["total_measured_bytes"]) > 200 << 20,
        "an engine of {} bytes",
        breakdown["total_measured_bytes"]
    );
    Ok(())
}

pub(super) fn check_requests(document: &Value, requests: u64, tokens: u64) -> anyhow::Result<()> {
    let served = &document["served_stats"];
    ensure!(served["completed_requests"] == requests, "answered {}", served["completed_requests"]);
    ensure!(served["output_tokens"] == tokens, "generated {}", served["output_tokens"]);
    ensure!(served["time_to_first_token"]["mean_ms"].as_f64().is_some_and(|ms| ms > 0.0), "has no first token");
    let metrics = &document["engine_metrics"];
    ensure!(metrics["num_samples"].as_u64().is_some_and(|n| n > 0), "has no metrics: {metrics}");
    Ok(())
}

/// No secret stands in a file, or in any file of a folder.
pub(super) fn no_secret_in(path: &Path) -> anyhow::Result<()> {
    let files: Vec<PathBuf> = if path.is_dir() {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?
    } else {
        vec![path.to_owned()]
    };
    for file in files {
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let text = String::from_utf8_lossy(&text);
        if let Some((name, _)) = SECRETS.iter().find(|(_, value)| text.contains(value)) {
            bail!("{} holds the secret of {name}", file.display());
        }
    }
    Ok(())
}

/// No process of an engine lives on.
pub(super) fn nothing_left(bench: &Bench) -> anyhow::Result<()> {
    let model = bench.model.to_string_lossy();
    let left = processes_with(&model)?;
    ensure!(left.is_empty(), "processes {left:?} of the engine live on");
    Ok(())
}

/// A server that ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; its children end with it.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(30);
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // One that never became ready may not listen.
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).context("find a free port")?.port())
}

/// Waits until this server is ready.
pub(super) fn wait_for(port: u16, server: &mut Child) -> anyhow::Result<()> {
    use std::io::{Read as _, Write as _};
    let deadline = Instant::now() + Duration::from_secs(300);
    while Instant::now() < deadline {
        if let Some(status) = server.try_wait()? {
            bail!("the server ended: {status}");
        }
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
            let mut answer = String::new();
            let asked =
                write!(stream, "GET /health HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
            if asked.is_ok() && answer.lines().next().is_some_and(|status| status.contains(" 200")) {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    bail!("the server is not ready after five minutes")
}
