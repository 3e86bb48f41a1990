//! The engine and its log.

use vramscope_core::Vendor;
use vramscope_schema::v3::{Diagnostic, Figures, Severity};

use super::{advise, advise_on, diagnostic};
use crate::advice::Topic;
use crate::attribution::placed;
use crate::derive::Placed;
use crate::known::{Known, failure_numbers};

/// The signals that ask an engine to stop, and may well be what ends it.
const ASKED: [i32; 2] = [2, 15];

/// The engine failed: why, in which phase, with the figures of its message.
pub(super) fn failed(known: &Known<'_>) -> Option<Diagnostic> {
    let phase = known.failing_phase()?;
    let Some(failure) = known.logged_failure() else {
        let seen = known.evidence.record.as_ref()?.failure.as_ref()?;
        let found = diagnostic(&seen.kind, Severity::Error, seen.message.clone());
        return advise(found, advice_of(&seen.kind));
    };
    let rank = failure.rank.map_or(String::new(), |rank| format!(" on rank {rank}"));
    let message = format!("the engine failed in the phase {phase}{rank}: {}", failure.message);
    let follows = failure.consequences.iter().map(|follows| follows.origin.line);
    let found = Diagnostic {
        evidence: failure_numbers(&failure.kind),
        log_lines: std::iter::once(failure.origin.line).chain(follows).collect(),
        ..diagnostic("engine_failed", Severity::Error, message)
    };
    advise(found, &vramscope_log::advice(failure, known.facts))
}

/// The log is read, and holds no figure of memory: nothing tells what the memory is for.
pub(super) fn prints_no_memory(known: &Known<'_>) -> Option<Diagnostic> {
    let facts = known.facts;
    let silent = facts.buffers.iter().all(|buffer| buffer.planned) && facts.weights.is_empty();
    if !placed::is_placed(facts.engine) || !silent || known.logged_failure().is_some() {
        return None;
    }
    let message =
        "the engine's log holds no figure of what it allocated: nothing says what the memory is for".to_owned();
    advise_on(diagnostic("engine_prints_no_memory", Severity::Warning, message), known, Topic::PrintsNoMemory)
}

/// The work was done, and the engine had to be killed.
pub(super) fn killed(known: &Known<'_>) -> Option<Diagnostic> {
    let given = known.evidence.record.as_ref()?.host.killed_after_s?.get();
    let message = format!("the engine did not stop within {given} s after it was asked to, and was killed");
    let evidence = Figures::new().number("given_s", given);
    let found = Diagnostic { evidence, ..diagnostic("engine_killed", Severity::Warning, message) };
    advise(found, "read the end of engine.log for what it waited for; --grace gives it more time")
}

/// The work was done, and the engine crashed when it was asked to stop.
pub(super) fn ended_badly(known: &Known<'_>) -> Option<Diagnostic> {
    let record = known.evidence.record.as_ref().filter(|record| record.failure.is_none())?;
    let host = &record.host;
    let how = match (host.exit_code, host.exit_signal) {
        _ if host.killed_after_s.is_some() => return None,
        (_, Some(signal)) if !ASKED.contains(&signal) => format!("signal {signal}"),
        (Some(code), None) if code != 0 && !stands_for_asked(code) => {
            format!("exit code {code}")
        }
        _ => return None,
    };
    let message = format!("the work was done, and then the engine ended with {how}");
    let found = diagnostic("engine_ended_badly", Severity::Warning, message);
    advise(found, "the figures stand; read the end of engine.log for what went wrong when it stopped")
}

/// Whether a program's exit code says that such a signal ended it: shells and containers add 128.
fn stands_for_asked(code: i32) -> bool {
    ASKED.iter().any(|signal| code == 128 + signal)
}

/// The run has no end that anybody wrote down.
pub(super) fn cut_off(known: &Known<'_>) -> Option<Diagnostic> {
    if !known.evidence.unfinished {
        return None;
    }
    let said = if known.evidence.log_tail.is_some() { "" } else { ", and the engine had said nothing" };
    let message = format!("nobody wrote down how the run ended: vramscope was killed, or is still at it{said}");
    let found = diagnostic("cut_off", Severity::Warning, message);
    advise(found, "what was recorded until then is in the profile; run again for the rest")
}

/// What to do about a failure that its conductor saw from outside.
fn advice_of(kind: &str) -> &'static str {
    match kind {
        "interrupted" => "what was recorded until then is in the profile; run again for the rest",
        "timed_out" => "read the end of engine.log; --timeout-start and --timeout give more time",
        "device_lost" => "look at the kernel's log (dmesg) for the device's errors, and restart what holds it",
        "recording_not_written" => "free room on the disk, or record elsewhere with --output",
        "engine_not_found" => "activate the engine's environment, or name its program with --engine",
        "host_out_of_memory" => "the machine's own memory ran out: close other programs, or load a smaller model",
        "container_gone" | "docker_unavailable" => "look at the daemon (docker info) and at the container's own log",
        "engine_does_not_end" => {
            "its processes hang in the driver: look at the kernel's log (dmesg), and restart the machine"
        }
        "not_an_engine" => "look at the address and the port: an engine with the API of OpenAI is to answer there",
        "access_refused" => "give the server's key in VRAMSCOPE_API_KEY, or with --api-key",
        "requests_failed" => "look at the end of engine.log for what the server said",
        _ => "read the end of engine.log: what the engine printed last usually says why",
    }
}

/// Memory of the host's processes is not GPU memory.
pub(super) fn process_memory(known: &Known<'_>) -> Option<Diagnostic> {
    let devices = known.derived?.timeline.devices();
    if !devices.iter().all(|device| device.vendor == Some(Vendor::Cpu)) {
        return None;
    }
    let message =
        "there is no GPU: the figures are the proportional set size of the engine's processes, which holds its \
                   libraries too, and of its KV cache only what was touched"
            .to_owned();
    advise(
        diagnostic("process_memory", Severity::Info, message),
        "compare them with other runs of this kind, not with GPU memory",
    )
}

/// Without the engine's log nothing tells what the memory is for.
pub(super) fn no_engine_log(known: &Known<'_>) -> Option<Diagnostic> {
    // Plain transformers has none; its probe says what memory is for.
    if known.evidence.has_engine_log() || known.evidence.is_transformers() || known.evidence.unfinished {
        return None;
    }
    let message = match &known.evidence.engine {
        Some(_) => "no engine log: what memory was used for is what the server answered when it was ready",
        None => "no engine log: memory is measured, and nothing says what it was used for",
    }
    .to_owned();
    let advice = "give the engine's output: --engine-log of analyze, --log-file of profile --url";
    advise(diagnostic("no_engine_log", Severity::Warning, message), advice)
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

#[cfg(test)]
mod tests {
    use super::stands_for_asked;

    #[test]
    fn codes_of_the_signals_that_ask_are_told_from_any_other_that_a_record_may_hold() {
        assert!(stands_for_asked(130) && stands_for_asked(143));
        for other in [i32::MIN, -1, 0, 1, 2, 15, 134, 137, 139, i32::MAX] {
            assert!(!stands_for_asked(other), "{other}");
        }
    }
}
