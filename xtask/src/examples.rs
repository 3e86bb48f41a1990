//! Runs the examples of the crates: each must end by itself, well, and say something.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::built::{self, Program};

/// What an example is given where its documents ask for arguments.
const ARGUMENTS: &[(&str, &[&str])] = &[("watch", &["sh", "-c", "echo started; echo failed >&2; exit 3"])];
/// Longer than any needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// `cargo xtask examples`.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask examples");
    }
    let programs = built::programs(&crate::root()?)?;
    let examples: Vec<&Program> = programs.iter().filter(|p| p.kind == "example" && !p.test).collect();
    ensure!(!examples.is_empty(), "the build made no example");
    for example in &examples {
        let said = ends_well(example).with_context(|| format!("example {}", example.title()))?;
        println!("examples: {} ended well after {} lines", example.title(), said.lines().count());
    }
    Ok(())
}

/// Runs it; what it said.
fn ends_well(example: &Program) -> anyhow::Result<String> {
    let arguments = ARGUMENTS.iter().find(|(name, _)| *name == example.target).map_or(&[][..], |(_, words)| words);
    let mut command = example.command();
    let child = command.args(arguments).stdout(Stdio::piped()).spawn().context("start it")?;
    let said = within(child, PATIENCE)?;
    ensure!(!said.trim().is_empty(), "it said nothing");
    Ok(said)
}

/// Waits for it to end; what it wrote. An example writes less than a pipe holds.
fn within(mut child: Child, patience: Duration) -> anyhow::Result<String> {
    let deadline = Instant::now() + patience;
    while child.try_wait().context("wait for it")?.is_none() {
        if Instant::now() > deadline {
            child.kill().context("end it")?;
            bail!("it did not end within {} s", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().context("read what it said")?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    String::from_utf8(output.stdout).context("what it said is not UTF-8")
}
