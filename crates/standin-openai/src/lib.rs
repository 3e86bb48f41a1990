//! A server with the API of OpenAI that answers on a schedule and knows when it wrote what. See the README.
//!
//! ```
//! use standin_openai::{Script, Server};
//! let server = Server::start(Script { ttft_ms: vec![50.0], gap_ms: vec![20.0], ..Script::default() }).unwrap();
//! assert!(server.url().starts_with("http://127.0.0.1:"));
//! assert!(server.truth().requests.is_empty());
//! ```

mod answer;
mod connection;
mod engine;
mod flight;
mod page;
mod play;
mod realtime;
mod script;
mod server;
mod serving;
mod truth;

pub use engine::Engine;
pub use page::{Counts, metrics_page, models_page, version_page};
pub use play::{Line, Play};
pub use realtime::real_time;
pub use script::{Capacity, Done, Fail, How, Linear, Said, Script, Stall, UsageAt};
pub use server::{Server, serve};
pub use truth::{RequestTruth, Truth};

use std::path::PathBuf;
use std::process::Command;

/// The environment variable that names the script of a program that is started by another one's command line.
pub const SCRIPT_VARIABLE: &str = "STANDIN_OPENAI_SCRIPT";
/// Set where the stand-ins are built already.
const BUILT_VARIABLE: &str = "VRAMSCOPE_TESTS_ARE_BUILT";

/// The stand-in's executable, built if it is not yet, as that of `standin-vllm` is. For tests only: it runs Cargo.
///
/// # Panics
/// If the test does not run from Cargo's target folder, or Cargo cannot build it.
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test without its stand-in must not pass")]
pub fn executable() -> PathBuf {
    // target/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let built = profile.join("standin-openai");
    if std::env::var_os(BUILT_VARIABLE).is_some() && built.exists() {
        return built;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--manifest-path", manifest]).arg("--target-dir");
    command.arg(profile.parent().unwrap());
    if profile.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    let status = command.status().unwrap();
    if !status.success() || !built.exists() {
        panic!("cargo build -p standin-openai: {status}, and {} must exist", built.display());
    }
    built
}
