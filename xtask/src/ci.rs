//! Everything that must hold before a change lands, in the order of what fails fastest.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

/// A step: its name, and the command with its extra environment.
struct Step {
    name: &'static str,
    command: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

const fn step(name: &'static str, command: &'static [&'static str]) -> Step {
    Step { name, command, env: &[] }
}

/// The steps. `cargo` and `xtask` stand for the running toolchain and this program.
const STEPS: &[Step] = &[
    step("fmt", &["cargo", "fmt", "--all", "--check"]),
    step("layers", &["xtask", "layers"]),
    step("tidy", &["xtask", "tidy"]),
    step("licences", &["xtask", "licences"]),
    step("clippy", &["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    step(
        "clippy-lean",
        &["cargo", "clippy", "-p", "vramscope", "--no-default-features", "--locked", "--", "-D", "warnings"],
    ),
    step("test", &["cargo", "test", "--workspace", "--locked"]),
    step("kit", &["python3", "-B", "-m", "unittest", "discover", "-s", "benches/gpu"]),
    step("schema", &["xtask", "schema", "--check"]),
    step("validate", &["xtask", "validate"]),
    step("corpus", &["xtask", "corpus"]),
    step("recordings", &["xtask", "recordings", "--check"]),
    step("rocm-smi-lib", &["xtask", "rocm-smi-lib"]),
    step("e2e", &["xtask", "e2e"]),
    Step {
        name: "doc",
        command: &["cargo", "doc", "--workspace", "--no-deps", "--locked"],
        env: &[("RUSTDOCFLAGS", "-D warnings")],
    },
];

/// Runs all steps, or those named. The first failure ends it.
pub(crate) fn run(only: &[String]) -> anyhow::Result<()> {
    let root = crate::root()?;
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|s| s.name != name.as_str())) {
        let names: Vec<&str> = STEPS.iter().map(|s| s.name).collect();
        bail!("no step is called {unknown}; there are {}", names.join(", "));
    }
    let begun = Instant::now();
    let mut times = Vec::new();
    for step in STEPS.iter().filter(|s| only.is_empty() || only.iter().any(|name| name == s.name)) {
        println!("\n=== {} ===", step.name);
        let started = Instant::now();
        run_step(step, &root).with_context(|| format!("step {} failed; again: cargo xtask ci {0}", step.name))?;
        times.push(format!("{} {:.0} s", step.name, started.elapsed().as_secs_f64()));
    }
    println!("\nci: all {} steps passed in {:.0} s ({})", times.len(), begun.elapsed().as_secs_f64(), times.join(", "));
    Ok(())
}

fn run_step(step: &Step, root: &Path) -> anyhow::Result<()> {
    let (first, rest) = step.command.split_first().context("a step without a command")?;
    let program = match *first {
        "cargo" => env!("CARGO").into(),
        "xtask" => std::env::current_exe().context("find this program")?,
        other => other.into(),
    };
    let status = Command::new(program)
        .args(rest)
        .envs(step.env.iter().copied())
        .current_dir(root)
        .status()
        .with_context(|| format!("start {}", step.command.join(" ")))?;
    if !status.success() {
        bail!("{} ended with {status}", step.command.join(" "));
    }
    Ok(())
}
