//! What a line of a known format does to its engine.

use vramscope_core::{BufferKind, EngineKind, Milestone};

use super::is_host;
use super::rows::Does;
use crate::figure::Value;
use crate::key::Key;
use crate::others::{Desk, Said, desk};
use crate::pattern::Captured;

pub(super) fn apply(does: Does, mut captured: Vec<Captured>, said: &Said<'_>, desk: &mut Desk<'_>) {
    let planning = desk.now.planning;
    match does {
        Does::Nothing => return,
        Does::State | Does::Verbosity => of_host(&mut captured),
        Does::Begin => build(&mut captured, desk),
        Does::Model => desk.now.has_model = true,
        Does::Planning(planning) => desk.now.planning = planning,
        Does::PlanningDraft => {
            desk.now.planning = true;
            desk.now.trial_of_draft = (true, false);
            return;
        }
        Does::TableHead => {
            desk.now.trial_of_draft = (false, desk.now.trial_of_draft.0);
            return;
        }
        Does::NoAlloc => {
            desk.now.planning = desk::count(&captured, Key::Verbosity) == Some(1);
            return;
        }
        Does::Draft => {
            desk.now.of_draft = true;
            return;
        }
        Does::WithKv => {
            desk.now.with_kv = true;
            return;
        }
        Does::Context => desk.now.context += 1,
        Does::Table => table(&mut captured, desk),
        // A trial loads nothing, whatever it says.
        Does::Event(_) if planning => return,
        Does::Event(milestone) => {
            desk.event(milestone, None);
            desk.now.ends |= milestone == Milestone::ShutdownBegan;
        }
        Does::Refused => {
            desk.now.planning = false;
            desk.note(
                "the fit to free memory was refused, which is no failure: the model is loaded as the command line says, \
                 and may find no memory",
            );
        }
        _ if planning => captured.iter_mut().for_each(plan),
        Does::Weights | Does::HostWeights | Does::DeviceWeights | Does::Projector => weights(does, &mut captured, desk),
        _ => buffers(does, &mut captured, said, desk),
    }
    // Figures of a trial that allocates nothing are of its plan.
    if desk.now.planning && planning {
        captured.retain(|c| !is_of_trial(c));
    }
    desk.take(&captured);
}

fn weights(does: Does, captured: &mut Vec<Captured>, desk: &mut Desk<'_>) {
    match does {
        Does::HostWeights => put(captured, "CPU"),
        Does::DeviceWeights => put(captured, "VRAM"),
        Does::Projector => put(captured, "projector"),
        _ => {}
    }
    let Some(place) = place(captured) else { return };
    if does == Does::Projector {
        desk.now.of_draft = false;
        desk.now.context += 1;
        desk.buffer(captured, Key::ProjectorWeights, BufferKind::ProjectorWeights, false, false);
        return;
    }
    desk.now.allocated |= desk::memory(captured, Key::Weights).is_some_and(|m| m.printed > 0.0);
    let with_kv = does == Does::DeviceWeights && desk.now.with_kv;
    let kind = if with_kv { BufferKind::Total } else { BufferKind::Weights };
    desk.buffer(captured, Key::Weights, kind, is_host(&place), false);
    for c in captured.iter_mut().filter(|c| with_kv && c.key == Key::Weights) {
        c.key = Key::WeightsWithKv;
    }
}

/// What a context allocates.
fn buffers(does: Does, captured: &mut Vec<Captured>, said: &Said<'_>, desk: &mut Desk<'_>) {
    desk.now.has_context |= matches!(does, Does::Kv | Does::Recurrent | Does::KvTotal);
    match does {
        Does::DeviceKv => put(captured, "VRAM"),
        Does::Compute if place(captured).is_none() => put(captured, "CPU"),
        _ => {}
    }
    let host = place(captured).is_some_and(|place| is_host(&place));
    match does {
        Does::Kv | Does::DeviceKv => {
            let recurrent = said.text.contains("recurrent");
            let kind = if recurrent { BufferKind::RecurrentState } else { BufferKind::KvCache };
            desk.buffer(captured, Key::KvPool, kind, host, false);
        }
        Does::Recurrent => desk.buffer(captured, Key::RecurrentState, BufferKind::RecurrentState, host, false),
        Does::Compute => desk.buffer_again(captured, Key::ComputeBuffer, BufferKind::Compute, host),
        Does::Output => desk.buffer_again(captured, Key::OutputBuffer, BufferKind::Output, host),
        Does::Scratch => scratch(captured, desk),
        Does::KvTotal => tokens(captured),
        _ => {}
    }
}

/// What a cache holds: the cells of each pool, where the line is seen up to how many pools there are.
fn tokens(captured: &mut Vec<Captured>) {
    if !captured.iter().any(|c| c.key == Key::KvCacheDtype) {
        return;
    }
    let pools = desk::count(captured, Key::KvStreams).unwrap_or(1);
    let tokens = desk::count(captured, Key::KvCells).and_then(|cells| cells.checked_mul(pools));
    captured.extend(tokens.map(|tokens| Captured {
        key: Key::KvTokens,
        value: Value::Count(tokens),
        resolution: None,
    }));
}

/// Builds are named by their number, `b5432`. That of a runner is not the launcher's.
fn build(captured: &mut Vec<Captured>, desk: &Desk<'_>) {
    captured.retain(|c| c.key != Key::Version || desk.engine.kind == Some(EngineKind::LlamaCpp));
    for c in captured {
        if let Value::Text(version) = &mut c.value
            && version.starts_with(|c: char| c.is_ascii_digit())
        {
            version.insert(0, 'b');
        }
    }
}

/// What a device has is the host's where the device is its processor.
fn of_host(captured: &mut [Captured]) {
    if place(captured).is_some_and(|place| is_host(&place)) {
        for c in captured {
            c.key = match c.key {
                Key::DeviceTotal => Key::HostMemory,
                Key::InitialFree => Key::HostFree,
                other => other,
            };
        }
    }
}

fn place(captured: &[Captured]) -> Option<String> {
    desk::text(captured, Key::Place)
}

fn put(captured: &mut Vec<Captured>, place: &str) {
    let value = Value::Text(place.to_owned());
    captured.push(Captured { key: Key::Place, value, resolution: None });
}

/// What a trial that allocates nothing prints is a plan.
fn plan(captured: &mut Captured) {
    captured.key = match captured.key {
        Key::Weights => Key::PlannedWeights,
        Key::KvPool => Key::PlannedKv,
        Key::RecurrentState => Key::PlannedContext,
        Key::ComputeBuffer | Key::OutputBuffer => Key::PlannedCompute,
        other => other,
    };
}

/// Whether a trial prints this of itself alone: lengths that it may shorten, layers that it tries, and sizes of what it
/// does not allocate.
fn is_of_trial(captured: &Captured) -> bool {
    let nothing = matches!(&captured.value, Value::Memory(memory) if memory.printed == 0.0);
    let sizes = [
        Key::LayersOnDevice,
        Key::Layers,
        Key::KvTotal,
        Key::KvKeys,
        Key::KvValues,
        Key::KvCells,
        Key::KvStreams,
        Key::KvTokens,
        Key::RecurrentTotal,
    ];
    nothing || sizes.contains(&captured.key) || matches!(captured.key, Key::ContextTokens | Key::MaxModelLen)
}

/// Up to January 2024 the compute buffer's total is printed first, and then what of it lies on the device.
fn scratch(captured: &mut Vec<Captured>, desk: &mut Desk<'_>) {
    put(captured, "VRAM");
    let of_total = desk::memory(captured, Key::ComputeScratch).and_then(|m| m.bytes.as_bytes());
    let context = desk.now.context;
    let total = desk.now.again.iter().find(|(c, k, ..)| *c == context && *k == BufferKind::Compute).map(|(.., at)| *at);
    if let (Some(of_total), Some(part)) = (of_total, total.and_then(|at| desk.engine.buffers.get_mut(at))) {
        part.amount.value = part.amount.value.checked_sub(of_total).unwrap_or(part.amount.value);
    }
    desk.buffer(captured, Key::ComputeScratch, BufferKind::Compute, false, false);
}

/// A row of the table that is printed as a forecast while fitting, and as measured at the end.
fn table(captured: &mut [Captured], desk: &mut Desk<'_>) {
    let amount = |key: Key| desk::memory(captured, key).map(|memory| memory.bytes);
    // Where the beginning of the log is missing: nothing is loaded yet where more is free than that leaves.
    let free = amount(Key::HeldFree);
    let over = match (amount(Key::DeviceTotal), free, amount(Key::HeldTotal)) {
        (Some(total), Some(free), Some(held)) => {
            free.get().checked_add(held.get()).is_some_and(|sum| sum > total.get())
        }
        _ => false,
    };
    let planned = desk.now.planning || !desk.now.ends && !desk.now.allocated || !desk.now.ends && over;
    if planned {
        for c in captured.iter_mut() {
            c.key = match c.key {
                Key::HeldTotal => Key::PlannedTotal,
                Key::HeldWeights => Key::PlannedWeights,
                Key::HeldContext => Key::PlannedContext,
                Key::HeldCompute => Key::PlannedCompute,
                other => other,
            };
        }
        let host = place(captured).is_some_and(|place| is_host(&place));
        let of_draft = desk.now.of_draft;
        desk.now.of_draft |= desk.now.trial_of_draft.1;
        for (key, kind) in [
            (Key::PlannedWeights, BufferKind::Weights),
            (Key::PlannedContext, BufferKind::Context),
            (Key::PlannedCompute, BufferKind::Compute),
        ] {
            desk.buffer(captured, key, kind, host, true);
        }
        desk.now.of_draft = of_draft;
    }
}
