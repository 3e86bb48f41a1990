//! Which release of the engine is captured.

use std::path::Path;
use std::time::Duration;

use vramscope_host::{Command, EngineHost, Output};

use super::CaptureError;
use crate::vllm::command::PROGRAM;
use crate::vllm::found::of_record;
use crate::vllm::profiler::Version;

/// How long `vllm --version` may take: it imports all of vLLM, from a cold disk.
const VERSION_LIMIT: Duration = Duration::from_secs(300);

/// Asks for the release.
pub(super) async fn ask(command: &[String]) -> Result<Version, CaptureError> {
    let program = command.first().ok_or(CaptureError::NoCommand)?;
    let named = || program.clone();
    if !Path::new(program).file_name().is_some_and(|name| name.to_string_lossy().starts_with(PROGRAM)) {
        return Err(CaptureError::NotTheEngine { program: named() });
    }
    let read = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().rev().find_map(|line| line.split_whitespace().last().and_then(Version::parse))
    };
    let host = EngineHost::process();
    if let Some(version) = host.output(&of_record(program), VERSION_LIMIT).await.ok().as_ref().and_then(read) {
        return Ok(version);
    }
    let ask = Command::new(program).arg("--version");
    let version = read(&host.output(&ask, VERSION_LIMIT).await.map_err(CaptureError::AskVersion)?);
    version.ok_or_else(|| CaptureError::SaysNoVersion { program: named() })
}
