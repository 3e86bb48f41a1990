//! Puts the estimators into a folder that git ignores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Where they are installed.
const FOLDER: &str = ".local/versus";

/// What pip installs, with the versions that the printed tables are of.
const PACKAGES: &[&str] =
    &["accelerate==1.15.0", "hf-mem==0.5.6", "kvfit==0.3.0", "transformers==5.24.0", "torch==2.15.0"];

/// Built from its crate, since the package for Python wants a newer libc than long-term distributions have.
const LLMFIT: (&str, &str) = ("llmfit", "1.1.17");

/// What was installed.
pub(crate) struct Tools {
    /// The folder, for what is written on the way.
    pub(crate) folder: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) llmfit: PathBuf,
    /// Puts a question to one of them.
    pub(crate) script: PathBuf,
}

/// The versions, in words.
pub(crate) fn versions() -> String {
    format!("  asked: {}, {}=={}", PACKAGES.join(", "), LLMFIT.0, LLMFIT.1)
}

/// Installs them on the first call.
pub(crate) fn install(root: &Path) -> anyhow::Result<Tools> {
    let folder = root.join(FOLDER);
    let tools = Tools {
        python: folder.join("bin/python"),
        llmfit: folder.join("bin/llmfit"),
        script: root.join("xtask/versus/ask.py"),
        folder,
    };
    let done = tools.folder.join("installed");
    let wanted = versions();
    if fs::read_to_string(&done).is_ok_and(|there| there == wanted) {
        return Ok(tools);
    }
    eprintln!("installing into {FOLDER}{} (6 GiB, ten minutes)", wanted.replace("  asked", ""));
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&tools.folder))?;
    succeed(Command::new(&tools.python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    let build = tools.folder.join("llmfit");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["install", LLMFIT.0, "--version", LLMFIT.1, "--locked", "--quiet", "--root"]).arg(&tools.folder);
    succeed(cargo.arg("--target-dir").arg(&build))?;
    // Where it was there already, nothing was built.
    if build.exists() {
        fs::remove_dir_all(&build).context("remove what the build left")?;
    }
    fs::write(done, wanted).context("note what is installed")?;
    Ok(tools)
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}
