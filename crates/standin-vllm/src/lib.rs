//! What tests need of the stand-in for `vllm`: the [`Script`] that tells it what to do, and [`executable`].
//!
//! ```
//! use standin_vllm::{Fail, How, Phase, Script};
//! let script = Script { speed: 50.0, fail: vec![Fail { at: Phase::Load, how: How::OutOfMemory }], ..Script::default() };
//! let json = serde_json::to_string(&script).unwrap();
//! assert_eq!(serde_json::from_str::<Script>(&json).unwrap(), script);
//! ```

mod script;

use std::path::PathBuf;
use std::process::Command;

pub use script::{Device, Fail, How, Phase, SCRIPT_VARIABLE, Script};

/// Set by who has built all that tests need: no test then asks Cargo, whose lock other builds may hold for minutes.
pub const BUILT_VARIABLE: &str = "VRAMSCOPE_TESTS_ARE_BUILT";

/// The stand-in's executable, built if it is not yet. For tests only: it runs Cargo, with the profile of the test that
/// asks, unless [`BUILT_VARIABLE`] says that this is done.
///
/// # Panics
/// If the test does not run from Cargo's target folder, or Cargo cannot build it.
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test without its stand-in must not pass")]
pub fn executable() -> PathBuf {
    // target/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let built = profile.join("standin-vllm");
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
        panic!("cargo build -p standin-vllm: {status}, and {} must exist", built.display());
    }
    built
}
