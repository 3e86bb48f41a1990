//! What can run an engine: vLLM on the PATH, and Docker.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vramscope_schema::doctor::{Area, Check, Status};

use crate::docker::{self, Answer, Passes};
use crate::program::on_path;

/// Whether Docker answers, and whether it can pass GPUs into a container.
pub(super) fn docker(root: &Path) -> Vec<Check> {
    let (version, nvidia) = match docker::ask(root) {
        Answer::Daemon { version, nvidia } => (version, nvidia),
        #[cfg(not(feature = "docker"))]
        Answer::NotBuilt => {
            let check = Check::ok(Area::Engine, "Docker", "this program was built without it (feature docker)");
            return vec![check.status(Status::Absent)];
        }
        Answer::Absent => {
            return vec![Check::ok(Area::Engine, "Docker", "there is no socket").status(Status::Absent)];
        }
        Answer::Far(why) => {
            let advice = "unset DOCKER_HOST, or let it name a socket of this machine";
            return vec![Check::ok(Area::Engine, "Docker", why).status(Status::Failed).advice(advice)];
        }
        Answer::Refused(why) => {
            let check = Check::ok(Area::Engine, "Docker", format!("its socket does not answer: {why}"));
            let advice = "start it, or join its group: sudo usermod -aG docker $USER, then log in again";
            return vec![check.status(Status::Failed).advice(advice)];
        }
    };
    let mut checks = vec![Check::ok(Area::Engine, "Docker", "answers on its socket").version(version).serving()];
    checks.extend(nvidia.map(|passes| match passes {
        Passes::Runtime => Check::ok(Area::Engine, "Docker, NVIDIA GPUs", "runtime nvidia"),
        Passes::Cdi => Check::ok(Area::Engine, "Docker, NVIDIA GPUs", "devices by CDI"),
        Passes::None => {
            let check = Check::ok(Area::Engine, "Docker, NVIDIA GPUs", "no runtime passes them into containers");
            check.status(Status::Absent).advice("for NVIDIA GPUs in containers install nvidia-container-toolkit")
        }
    }));
    checks
}

/// Asks a Python for versions without importing anything, which for torch would take seconds.
const VERSIONS: &str = "\
import sys, json, importlib.metadata as m
def v(n):
    try: return m.version(n)
    except Exception: return None
print(json.dumps({'python': sys.version.split()[0], 'vllm': v('vllm'), 'torch': v('torch')}))";

/// vLLM by its command, or else as a module of the `python3` on the PATH; and torch beside it.
pub(super) fn python(patience: Duration) -> Vec<Check> {
    let command = on_path("vllm");
    let interpreter = command.as_deref().and_then(interpreter_of).or_else(|| on_path("python3"));
    let asked = interpreter.as_deref().map(|python| ask(python, &["-c", VERSIONS], patience));
    let versions: Option<Value> = match &asked {
        Some(Ok(text)) => serde_json::from_str(text.trim()).ok(),
        _ => None,
    };
    let version = |name: &str| versions.as_ref().and_then(|found| found[name].as_str()).map(str::to_owned);
    let mut checks = vec![match (&command, version("vllm")) {
        (Some(path), Some(vllm)) => {
            let for_cpu = vllm.ends_with("+cpu");
            let said = if for_cpu { ", built for CPUs alone" } else { "" };
            let check = Check::ok(Area::Engine, "vLLM", format!("{}{said}", path.display()));
            check.version(Some(vllm)).status(if for_cpu { Status::Note } else { Status::Ok }).serving()
        }
        (Some(path), None) => by_its_command(path, patience),
        (None, Some(vllm)) => {
            let check = Check::ok(Area::Engine, "vLLM", "as a module of python3; its command is not on the PATH");
            check.version(Some(vllm)).status(Status::Note).advice("put the folder of its command on the PATH")
        }
        (None, None) => {
            let check = Check::ok(Area::Engine, "vLLM", "its command is not on the PATH").status(Status::Absent);
            check.advice("activate its environment, or pip install vllm")
        }
    }];
    if let (Some(path), Some(Err(why))) = (&interpreter, &asked) {
        let check = Check::ok(Area::Engine, "Python", format!("{}: {why}", path.display()));
        checks.push(check.status(Status::Note));
    }
    if let (Some(path), Some(python)) = (&interpreter, version("python")) {
        checks.push(Check::ok(Area::Engine, "Python", path.display().to_string()).version(Some(python)));
    }
    if let Some(torch) = version("torch") {
        let for_cpu = torch.ends_with("+cpu");
        let check = Check::ok(Area::Engine, "torch", if for_cpu { "built for CPUs alone" } else { "beside it" });
        checks.push(check.version(Some(torch)).status(if for_cpu { Status::Note } else { Status::Ok }));
    }
    checks
}

/// A command of vLLM that is no Python script, or whose Python does not know vLLM: it says its version itself.
fn by_its_command(path: &Path, patience: Duration) -> Check {
    let check = |found: String| Check::ok(Area::Engine, "vLLM", format!("{}{found}", path.display()));
    match ask(path, &["--version"], patience) {
        Ok(text) => {
            let version = text.lines().rev().find_map(|line| line.split_whitespace().last()).map(str::to_owned);
            check(String::new()).version(version).serving()
        }
        Err(why) => check(format!(": {why}")).status(Status::Failed).advice("run vllm --version to see why"),
    }
}

/// The Python in a script's first line.
fn interpreter_of(script: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    std::fs::File::open(script).ok()?.take(512).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let path = PathBuf::from(std::str::from_utf8(line).ok()?.trim());
    let name = path.file_name()?.to_string_lossy().into_owned();
    (name.starts_with("python") && path.is_absolute()).then_some(path)
}

/// What a program prints, if it ends well and in time.
fn ask(program: &Path, args: &[&str], patience: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("it does not start: {error}"))?;
    let mut out = child.stdout.take().ok_or("its output cannot be read")?;
    // The pipe is read beside, so that neither a full nor a forgotten one holds us up.
    let (sender, text) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = (&mut out).take(64 << 10).read_to_end(&mut text).map(|_| text);
        // Nobody may be waiting any more.
        let _ = sender.send(read);
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                // It is ours, and nobody needs it any more.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer within {} s", patience.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    let text = text.recv_timeout(patience).map_err(|_| "its output does not end".to_owned())?;
    Ok(String::from_utf8_lossy(&text.map_err(|error| error.to_string())?).into_owned())
}
