//! Checks and generators of the workspace: `cargo xtask COMMAND`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task runner talks to the person who runs it")]

mod ci;
mod layers;
mod licences;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

/// A command of this program.
struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

/// All commands.
const TASKS: &[Task] = &[
    Task {
        name: "ci",
        about: "everything that must hold before a change lands, or only the steps named",
        run: ci::run,
    },
    Task { name: "layers", about: "fail on an import that the architecture does not allow", run: layers::run },
    Task { name: "licences", about: "fail on a licence that deny.toml does not allow", run: licences::run },
    Task { name: "tidy", about: "manifests, READMEs, file lengths, units in names, changelog", run: tidy::run },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(task) = args.first().and_then(|name| TASKS.iter().find(|task| task.name == name)) else {
        eprintln!("usage: cargo xtask COMMAND\n");
        for Task { name, about, .. } in TASKS {
            eprintln!("  {name:<10} {about}");
        }
        return ExitCode::from(2);
    };
    match (task.run)(&args[1..]) {
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
