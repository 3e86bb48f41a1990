//! The command as a person runs it: output, exit codes, files.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, and says so when it skips"
)]

mod accuracy;
mod analyze;
#[cfg(unix)]
mod campaign;
mod command_line;
mod compare;
mod doctor;
mod estimate;
mod estimate_time;
mod explain;
mod export;
mod fit;
mod fit_llama_cpp;
mod fit_sglang;
mod gguf;
mod gpus;
mod guides;
mod load;
mod load_data;
#[cfg(feature = "tls")]
mod load_tls;
mod log;
mod migrate;
#[cfg(unix)]
mod monitor;
mod ollama;
#[cfg(unix)]
mod profile;
mod report;
mod runs;
mod schema;
mod snapshot;
mod timeline;
mod trace;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the command in the workspace's root, without a terminal.
fn vramscope(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    command.args(args).current_dir(root()).env_remove("COLUMNS");
    command.output().expect("the command starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("output is text")
}

/// The same with something on its stdin.
fn vramscope_with_stdin(args: &[&str], text: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    command.args(args).current_dir(root()).env_remove("COLUMNS");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    child.stdin.take().expect("a pipe").write_all(text).expect("it reads");
    child.wait_with_output().expect("the command ends")
}
