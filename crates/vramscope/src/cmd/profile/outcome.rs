//! How a run that left a profile ends the process.

use vramscope_schema::ExitCode;
use vramscope_schema::v3::{Profile, RunStatus, ServedStats};

/// The exit code of a profile. A run in which more requests failed or were not sent than allowed is complete and has not
/// measured what was asked for.
pub(super) fn exit_code(profile: &Profile, max_failed: u64) -> ExitCode {
    match profile.metadata.status {
        Some(RunStatus::Complete | RunStatus::Partial) | None if unanswered(profile) > max_failed => ExitCode::Negative,
        Some(RunStatus::Complete | RunStatus::Partial) | None => ExitCode::Success,
        Some(RunStatus::Interrupted) => ExitCode::Interrupted,
        Some(RunStatus::Failed) => match profile.failure.as_ref().map(|failure| failure.kind.as_str()) {
            Some("recording_not_written") => ExitCode::CannotWrite,
            Some("device_lost") => ExitCode::NoDevice,
            Some(
                "engine_not_found" | "host_failed" | "container_gone" | "docker_unavailable" | "not_an_engine"
                | "access_refused",
            ) => ExitCode::HostUnavailable,
            Some("timed_out") => ExitCode::TimedOut,
            _ => ExitCode::EngineFailed,
        },
    }
}

/// Requests without an answer.
pub(super) fn unanswered(profile: &Profile) -> u64 {
    let served = profile.served_stats.as_ref();
    let of = |count: fn(&ServedStats) -> Option<u64>| served.and_then(count).unwrap_or(0);
    of(|served| served.failed_requests).saturating_add(of(|served| served.unsent_requests))
}

/// Why a run did not go well, in one sentence; `None` if it did.
pub(super) fn sentence(profile: &Profile) -> Option<String> {
    let failure = profile.failure.as_ref()?;
    let phase =
        failure.phase.map_or(String::new(), |phase| format!(" in the phase {}", vramscope_core::Phase::from(phase)));
    let how = match profile.metadata.status {
        Some(RunStatus::Interrupted) => "interrupted",
        _ => "error",
    };
    Some(format!("{how}{phase}: {} ({})", failure.message, failure.kind))
}
