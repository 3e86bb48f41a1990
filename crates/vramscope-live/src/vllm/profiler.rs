//! How each version of vLLM wants its profiler set up, and where it is started and stopped.

use std::fmt;
use std::path::Path;

use serde_json::json;

use crate::capture::{CaptureError, CaptureMode};

/// What is said where a release is not known.
pub(crate) const UNKNOWN: &str = "say which vLLM it is with --vllm-version";
/// How the profiler is set up.
pub(crate) const HOW_TO_SET_UP: &str = "--profiler-config, or before vLLM 0.13 VLLM_TORCH_PROFILER_DIR";

/// How the files begin that a trace of every python function fills, below the folder of temporary files.
pub(crate) const FUNCTION_TRACE: &str = "VLLM_TRACE_FUNCTION";

/// Starts the profiler of a server.
pub(crate) const START: (&str, &str) = ("start_profile", "/start_profile");
/// Stops it; the engine answers when the trace is written, which can take minutes.
pub(crate) const STOP: (&str, &str) = ("stop_profile", "/stop_profile");

/// A version of vLLM, as far as the profiler's setup depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Reads `0.32.0`, `v0.12.0.post2`, `0.32.0+cpu`, `0.13.0rc1.dev5`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').splitn(4, ['.', '+', '-']);
        let major = parts.next()?.parse().ok()?;
        let minor = number(parts.next()?)?;
        let patch = parts.next().and_then(number).unwrap_or(0);
        Some(Self { major, minor, patch })
    }
}

/// The digits at the beginning.
fn number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Since this version there is `--profiler-config`. Environment variables worked up to 0.15 and did nothing from 0.16
/// on, so the option is used wherever it exists.
const WITH_OPTION: Version = Version { major: 0, minor: 13, patch: 0 };

/// A command line and environment with the profiler set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profiled {
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    with_option: bool,
}

impl Profiled {
    /// The engine's command line with what its version and the mode want.
    pub(crate) fn new(
        version: Version,
        mode: CaptureMode,
        scopes: bool,
        dir: &Path,
        command: &[String],
    ) -> Result<Self, CaptureError> {
        if command.iter().any(|word| word.starts_with("--profiler-config")) {
            return Err(CaptureError::OwnProfilerConfig);
        }
        let with_option = version >= WITH_OPTION;
        let more = mode != CaptureMode::Light;
        let mut plan = Self { command: command.to_vec(), environment: Vec::new(), with_option };
        if with_option {
            let config = json!({
                "profiler": "torch",
                "torch_profiler_dir": dir,
                "torch_profiler_with_stack": more,
                "torch_profiler_record_shapes": more,
                "torch_profiler_with_memory": more,
                "torch_profiler_with_flops": more,
            });
            plan.command.extend(["--profiler-config".to_owned(), config.to_string()]);
        } else {
            let flag = if more { "1" } else { "0" };
            plan.environment.push(("VLLM_TORCH_PROFILER_DIR", dir.display().to_string()));
            for name in [
                "VLLM_TORCH_PROFILER_WITH_STACK",
                "VLLM_TORCH_PROFILER_RECORD_SHAPES",
                "VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY",
                "VLLM_TORCH_PROFILER_WITH_FLOPS",
            ] {
                plan.environment.push((name, flag.to_owned()));
            }
        }
        if matches!(mode, CaptureMode::Deep { .. }) {
            // The engine reads a number here; the word `all` of older guides stops it when it starts.
            plan.environment.push((FUNCTION_TRACE, "1".to_owned()));
        }
        if scopes {
            plan.environment.push(("VLLM_CUSTOM_SCOPES_FOR_PROFILING", "1".to_owned()));
        }
        Ok(plan)
    }

    /// What is set, for the person who watches.
    pub(crate) fn describe(&self) -> String {
        let mut parts: Vec<String> = self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if self.with_option {
            parts.extend(self.command.last().map(|config| format!("--profiler-config {config}")));
        }
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(version: &str, mode: CaptureMode, scopes: bool) -> Profiled {
        let command = ["vllm".to_owned(), "serve".to_owned(), "m".to_owned()];
        Profiled::new(Version::parse(version).unwrap(), mode, scopes, Path::new("/traces"), &command).unwrap()
    }

    #[test]
    fn versions_are_read_as_they_are_printed() {
        for (text, shown) in
            [("0.32.0+cpu", "0.32.0"), ("v0.12.0.post2", "0.12.0"), ("0.13.0rc1.dev5", "0.13.0"), ("1.2", "1.2.0")]
        {
            assert_eq!(Version::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(Version::parse("main"), None);
    }

    #[test]
    fn old_engines_are_told_by_environment_and_newer_ones_by_option() {
        let old = plan("0.12.0", CaptureMode::Detailed, false);
        assert_eq!(old.command.len(), 3);
        assert!(old.environment.contains(&("VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY", "1".into())));
        for version in ["0.13.0", "0.15.1", "0.32.0+cpu"] {
            let new = plan(version, CaptureMode::Light, false);
            assert!(new.environment.is_empty());
            let config: serde_json::Value = serde_json::from_str(new.command.last().unwrap()).unwrap();
            assert_eq!(
                (&config["torch_profiler_dir"], &config["torch_profiler_with_stack"]),
                (&"/traces".into(), &false.into())
            );
        }
    }

    #[test]
    fn deep_and_scopes_are_numbers_to_the_engine() {
        let deep = plan("0.32.0", CaptureMode::Deep { keep: 0 }, true);
        assert!(deep.environment.contains(&("VLLM_TRACE_FUNCTION", "1".into())));
        assert!(deep.environment.contains(&("VLLM_CUSTOM_SCOPES_FOR_PROFILING", "1".into())));
    }

    #[test]
    fn an_own_setting_is_not_overwritten() {
        let command = ["vllm".to_owned(), "--profiler-config.profiler=torch".to_owned()];
        let version = Version::parse("0.32.0").unwrap();
        assert!(Profiled::new(version, CaptureMode::Light, false, Path::new("/t"), &command).is_err());
    }
}
