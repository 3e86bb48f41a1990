//! Why a run ends before its work is done.

use std::error::Error;

use vramscope_core::Phase;
use vramscope_host::{EngineError, Exit};

use crate::Secrets;
use vramscope_runs::layout::TIMELINE;

/// An early end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    /// A stable name.
    pub(super) kind: &'static str,
    pub(super) phase: Phase,
    /// One sentence.
    pub(super) message: String,
}

impl Stop {
    pub(super) fn new(kind: &'static str, phase: Phase, message: String) -> Self {
        Self { kind, phase, message }
    }

    /// Somebody asked for it.
    pub(super) fn interrupt(phase: Phase) -> Self {
        Self::new("interrupted", phase, format!("the run was stopped in the phase {phase}"))
    }

    pub(super) fn is_interrupt(&self) -> bool {
        self.kind == "interrupted"
    }

    /// The engine ended before its work did.
    pub(super) fn exited(exit: &Exit, phase: Phase) -> Self {
        let kind = match (exit.oom_killed, exit.signal) {
            (true, _) => "host_out_of_memory",
            (false, Some(_)) => "engine_killed",
            (false, None) => "engine_exited",
        };
        Self::new(kind, phase, format!("the engine ended in the phase {phase}: {exit}"))
    }

    /// A limit ran out.
    pub(super) fn timed_out(what: &str, after: std::time::Duration, phase: Phase) -> Self {
        Self::new("timed_out", phase, format!("{what} took longer than {} s", after.as_secs_f64()))
    }

    /// The host refuses.
    pub(super) fn host(error: &EngineError, phase: Phase, secrets: &Secrets) -> Self {
        Self::new(kind_of(error), phase, secrets.hide(&format!("failed to {}", with_causes(error))))
    }

    /// The timeline cannot be written any more.
    pub(super) fn timeline(why: &str, phase: Phase) -> Self {
        Self::new("recording_not_written", phase, format!("{TIMELINE} cannot be written any more: {why}"))
    }

    /// The recording cannot go on.
    pub(super) fn recording(error: &(dyn Error + 'static), phase: Phase) -> Self {
        Self::new("recording_not_written", phase, format!("failed to {}", with_causes(error)))
    }
}

/// The stable name of a host's refusal.
fn kind_of(error: &EngineError) -> &'static str {
    match error {
        EngineError::NotFound { .. }
        | EngineError::NotExecutable { .. }
        | EngineError::NoInterpreter { .. }
        | EngineError::NoDirectory { .. } => "engine_not_found",
        EngineError::NoDocker { .. } | EngineError::DockerDenied { .. } | EngineError::DockerDown { .. } => {
            "docker_unavailable"
        }
        EngineError::NoContainer { .. } | EngineError::ContainerStopped { .. } => "container_gone",
        EngineError::TooSlow { .. } => "timed_out",
        EngineError::StillAlive { .. } => "engine_does_not_end",
        _ => "host_failed",
    }
}

/// An error with what it rests on.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    text
}
