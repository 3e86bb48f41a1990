//! Checks and generators of the workspace: `cargo xtask COMMAND`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task runner talks to the person who runs it")]

mod layers;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

/// The commands: name, what it does, and the function.
const COMMANDS: &[(&str, &str, fn(&[String]) -> anyhow::Result<()>)] =
    &[("layers", "fail on an import that the architecture does not allow", layers::run)];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let command = args.first().and_then(|name| COMMANDS.iter().find(|c| c.0 == name));
    let Some((_, _, run)) = command else {
        eprintln!("usage: cargo xtask COMMAND\n");
        for (name, about, _) in COMMANDS {
            eprintln!("  {name:<10} {about}");
        }
        return ExitCode::from(2);
    };
    match run(&args[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root folder.
fn root() -> anyhow::Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).context("find the folder above xtask")
}
