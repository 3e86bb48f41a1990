//! Checks and generators of the workspace: `cargo xtask COMMAND`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task runner talks to the person who runs it")]

mod api;
mod built;
mod ci;
mod corpus;
mod debian;
mod e2e;
mod examples;
mod layers;
mod licences;
mod msrv;
mod oracle;
mod pages;
mod recordings;
mod rocm_smi_lib;
mod schema;
mod test;
mod tidy;
mod validate;
mod versus;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

/// A command of this program.
struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

/// All commands.
const TASKS: &[Task] = &[
    Task { name: "api", about: "write docs/api, what each library offers, or compare it [--check]", run: api::run },
    Task { name: "build", about: "build the command, the tests and the examples at once", run: built::run },
    Task {
        name: "ci",
        about: "everything that must hold before a change lands [--quick | full], or only the steps named",
        run: ci::run,
    },
    Task {
        name: "corpus",
        about: "hold what the command says of labelled engine logs against their labels [--verbose]",
        run: corpus::run,
    },
    Task {
        name: "e2e",
        about: "run the command against the real vLLM on CPU, all stages or those named [--venv FOLDER] [STAGE]...",
        run: e2e::run,
    },
    Task { name: "examples", about: "run the examples of the crates", run: examples::run },
    Task { name: "layers", about: "fail on an import that the architecture does not allow", run: layers::run },
    Task { name: "licences", about: "fail on a licence that deny.toml does not allow", run: licences::run },
    Task { name: "msrv", about: "hold the promised rust-version against dependencies and toolchain", run: msrv::run },
    Task {
        name: "oracle",
        about: "hold what is computed of models against what the engine plans for them [--record] [--only NAME]",
        run: oracle::run,
    },
    Task { name: "packages", about: "install what later steps need of Debian, as root", run: debian::run },
    Task {
        name: "pages",
        about: "look at pages of every kind in Chromium, all or those named [--screenshots] [NAME]...",
        run: pages::run,
    },
    Task { name: "recordings", about: "hold every H200 recording against its worker [--check]", run: recordings::run },
    Task {
        name: "rocm-smi-lib",
        about: "check the feature of that name; as root on Debian it installs what that needs",
        run: rocm_smi_lib::run,
    },
    Task {
        name: "schema",
        about: "write schemas/*.json, or with --check fail where one is out of date",
        run: schema::run,
    },
    Task { name: "test", about: "run all tests [--quick] [NAME]..., or with --doc those of documents", run: test::run },
    Task { name: "tidy", about: "manifests, READMEs, file lengths, units in names, changelog", run: tidy::run },
    Task {
        name: "validate",
        about: "hold profiles against the schema with Python's jsonschema and Node's ajv [--only NAME] [FILES]",
        run: validate::run,
    },
    Task {
        name: "versus",
        about: "put four public estimators beside ours and the truth [models | recordings [FOLDER]...]; installs 6 GiB",
        run: versus::run,
    },
];

fn main() -> ExitCode {
    if std::env::var_os(api::AS_RUSTDOC).is_some() {
        return end(api::as_rustdoc());
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(task) = args.first().and_then(|name| TASKS.iter().find(|task| task.name == name)) else {
        eprintln!("usage: cargo xtask COMMAND\n");
        for Task { name, about, .. } in TASKS {
            eprintln!("  {name:<12} {about}");
        }
        return ExitCode::from(2);
    };
    end((task.run)(&args[1..]))
}

fn end(result: anyhow::Result<()>) -> ExitCode {
    match result {
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

/// A folder of the reference material beside the checkout. `None`, said aloud, where it is absent on a developer's
/// machine; in CI its absence is a failure.
fn shared(root: &Path, folder: &str) -> anyhow::Result<Option<PathBuf>> {
    let path = root.join("../shared").join(folder);
    if path.exists() {
        return Ok(Some(path));
    }
    if std::env::var_os("CI").is_some() {
        bail!("{} is absent; CI needs it", path.display());
    }
    println!("skipped: {} is absent", path.display());
    Ok(None)
}

/// Writes a generated file, or with `--check` fails if it differs.
fn write_or_check(path: &Path, text: &str, args: &[String]) -> anyhow::Result<()> {
    if !args.iter().any(|arg| arg == "--check") {
        return std::fs::write(path, text).with_context(|| format!("write {}", path.display()));
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    if there != text {
        bail!("{} is out of date; run the same command without --check and read the difference", path.display());
    }
    Ok(())
}

/// What cargo says of the workspace, by the lock file.
fn cargo_metadata(more: &[&str]) -> anyhow::Result<serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(more)
        .current_dir(root()?)
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("read cargo metadata")
}
