//! What one build of the whole workspace makes: the command, the tests and the examples. Everything that runs one of them
//! runs these, so that nothing is compiled a second time with other features.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Names a list that a build has written; who finds it does not build again.
pub(crate) const LIST: &str = "XTASK_BUILT";
/// The feature behind which a crate has tests that need a container daemon, and the module that holds them. They are
/// built with all others and run by `cargo xtask e2e docker`.
pub(crate) const DOCKER_TESTS: (&str, &str) = ("docker-tests", "containers::");

/// A program that the build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) package: String,
    /// The folder of its package.
    pub(crate) folder: PathBuf,
    pub(crate) target: String,
    /// `lib`, `bin`, `test`, `example`: what of the package it was made of.
    pub(crate) kind: String,
    /// Whether it is a test of that.
    pub(crate) test: bool,
    pub(crate) path: PathBuf,
    /// Whether its package has tests for a container daemon.
    pub(crate) docker_tests: bool,
}

impl Program {
    /// Its command, in the surroundings that cargo would give it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO", env!("CARGO")).env("CARGO_MANIFEST_DIR", &self.folder);
        command.env("CARGO_PKG_NAME", &self.package).env("CARGO_PKG_VERSION", env!("CARGO_PKG_VERSION"));
        command.stdin(Stdio::null());
        command
    }

    /// How it is called where its results are told.
    pub(crate) fn title(&self) -> String {
        let what = if self.kind == "lib" { "unit tests" } else { &self.target };
        format!("{} {what}", self.package)
    }
}

/// Builds the workspace's tests, and with them all that they start. The list is written for other steps.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask build");
    }
    let root = crate::root()?;
    let list = list_of(&root);
    let programs = build(&root)?;
    fs::create_dir_all(list.parent().context("the list has a folder")?).context("make target/ci")?;
    fs::write(&list, serde_json::Value::Array(programs.clone()).to_string()).context("write the list of programs")?;
    println!("build: {} programs, listed in {}", programs.len(), list.display());
    Ok(())
}

/// Where the list stands.
pub(crate) fn list_of(root: &Path) -> PathBuf {
    root.join("target/ci/built.json")
}

/// All programs: those of the list that `LIST` names, or of a build.
pub(crate) fn programs(root: &Path) -> anyhow::Result<Vec<Program>> {
    let artifacts = match std::env::var_os(LIST) {
        Some(list) => read(&list)?,
        None => build(root)?,
    };
    let docker = packages_with(DOCKER_TESTS.0)?;
    artifacts.iter().map(|artifact| program(artifact, &docker)).collect()
}

/// The command under test.
pub(crate) fn command(root: &Path) -> anyhow::Result<PathBuf> {
    let found = programs(root)?.into_iter().find(|p| p.package == "vramscope" && p.kind == "bin" && !p.test);
    Ok(found.context("the build made no command")?.path)
}

fn read(list: &OsString) -> anyhow::Result<Vec<Value>> {
    let list = Path::new(list);
    let text = fs::read(list).with_context(|| format!("read {}", list.display()))?;
    let value: Value = serde_json::from_slice(&text).with_context(|| format!("read {}", list.display()))?;
    Ok(value.as_array().context("the list of programs is no list")?.clone())
}

/// What cargo says of each program.
fn build(root: &Path) -> anyhow::Result<Vec<Value>> {
    let mut cargo = cargo_test(root)?;
    cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let output = cargo.stderr(Stdio::inherit()).output().context("build the workspace")?;
    if !output.status.success() {
        bail!("the workspace's tests do not build");
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    Ok(messages.filter(|message| message["executable"].is_string()).collect())
}

/// `cargo test` of everything, with the features that all of it is built with.
fn cargo_test(root: &Path) -> anyhow::Result<Command> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--workspace", "--locked"]).current_dir(root);
    for package in packages_with(DOCKER_TESTS.0)? {
        cargo.args(["--features", &format!("{package}/{}", DOCKER_TESTS.0)]);
    }
    Ok(cargo)
}

/// Runs the tests that stand in documents, which are no programs until rustdoc makes them.
pub(crate) fn test_documents(root: &Path) -> anyhow::Result<()> {
    let status = cargo_test(root)?.arg("--doc").status().context("run cargo test --doc")?;
    if !status.success() {
        bail!("cargo test --doc ended with {status}");
    }
    Ok(())
}

fn program(artifact: &Value, docker: &[String]) -> anyhow::Result<Program> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("cargo's message lacks a name");
    let manifest = PathBuf::from(text(&artifact["manifest_path"])?);
    // Packages are named as their folders, which `tidy` checks.
    let folder = manifest.parent().context("a manifest has a folder")?.to_owned();
    let package = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Program {
        docker_tests: docker.contains(&package),
        package,
        folder,
        target: text(&artifact["target"]["name"])?,
        kind: text(&artifact["target"]["kind"][0])?,
        test: artifact["profile"]["test"] == true,
        path: PathBuf::from(text(&artifact["executable"])?),
    })
}

/// The packages of the workspace that have this feature.
fn packages_with(feature: &str) -> anyhow::Result<Vec<String>> {
    let metadata = crate::cargo_metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let having = packages.iter().filter(|package| package["features"].get(feature).is_some());
    Ok(having.filter_map(|package| package["name"].as_str()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_cargo_is_a_program() {
        let message = serde_json::json!({
            "manifest_path": "/w/crates/one/Cargo.toml", "executable": "/w/target/debug/deps/it-1",
            "target": {"name": "it", "kind": ["test"]}, "profile": {"test": true},
        });
        let program = program(&message, &["one".to_owned()]).unwrap();
        assert_eq!((&*program.title(), &*program.kind, program.test), ("one it", "test", true));
        assert_eq!(program.folder, Path::new("/w/crates/one"));
        assert!(program.docker_tests);
    }
}
