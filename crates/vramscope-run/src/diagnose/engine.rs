//! The engine and its log.

use vramscope_schema::v3::{Diagnostic, Figures, Severity};

use super::{advise, diagnostic};
use crate::derive::Placed;
use crate::known::{Known, failure_numbers};

/// The engine failed: why, in which phase, with the figures of its message.
pub(super) fn failed(known: &Known<'_>) -> Option<Diagnostic> {
    let failure = known.facts.failures.first()?;
    let phase = known.failing_phase()?;
    let message = format!("the engine failed in the phase {phase}: {}", failure.message);
    let found = Diagnostic {
        evidence: failure_numbers(&failure.kind),
        log_lines: vec![failure.origin.line],
        ..diagnostic("engine_failed", Severity::Error, message)
    };
    advise(found, &vramscope_vllm_log::advice(&failure.kind))
}

/// Without the engine's log nothing tells what the memory is for.
pub(super) fn no_engine_log(known: &Known<'_>) -> Option<Diagnostic> {
    if known.evidence.engine.is_some() {
        return None;
    }
    let message = "no engine log: memory is measured, and nothing says what it was used for".to_owned();
    advise(diagnostic("no_engine_log", Severity::Warning, message), "give the engine's output with --engine-log")
}

/// Per-rank figures cannot be laid on devices.
pub(super) fn ranks_contradict_devices(known: &Known<'_>) -> Option<Diagnostic> {
    let placement = &known.derived?.placement;
    let ranks = placement.ranks.filter(|_| placement.placed == Placed::Unclear)?;
    let devices = placement.active.len();
    let message = format!(
        "the engine has {ranks} ranks, and memory rose on {devices} devices: its figures of each rank \
         cannot be laid on devices"
    );
    let evidence =
        Figures::new().count("ranks_count", u64::from(ranks)).count("devices_count", u64::try_from(devices).ok()?);
    let found = Diagnostic { evidence, ..diagnostic("ranks_contradict_devices", Severity::Warning, message) };
    advise(
        found,
        "record all devices of the engine and no others (--gpu, or nvidia-smi -i), on every node that it uses",
    )
}
