//! Snapshots of PyTorch's allocator beside the readings of the device: what the process held inside, and what the card
//! showed at that moment.

use std::time::Duration;

use vramscope_core::{Basis, Bytes, ComponentKind, Confidence, DeviceIndex, Timeline};
use vramscope_snapshot::Ledger;

use crate::attribution::Evidenced;
use crate::derive::{Placement, Point};
use crate::evidence::allocator::AllocatorSnapshot;

/// A device that held as much as at the peak but for so much held the same: less than any buffer of a model takes, and
/// more than a driver's own pages.
const SAME_LEVEL: u64 = 16 << 20;
/// The most of what is reserved that no rule may know, in percent: an engine whose functions are not known is not taken for one
/// that only works.
const MOST_UNKNOWN_PERCENT: u64 = 10;
/// The most that may have no stack, in percent. Without a history, or with one that began late, all is so.
const MOST_WITHOUT_STACK_PERCENT: u64 = 1;
/// A reading that comes later than this behind a snapshot is of another moment.
const MOST_BEHIND: Duration = Duration::from_secs(1);

/// The ledger of one device in one snapshot, laid on the recording.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) file: String,
    pub(crate) ledger: Ledger,
    /// Which recorded device it is, where one alone can be.
    pub(crate) device: Option<DeviceIndex>,
    /// When the allocator did last what it recorded, on the timeline: the snapshot is of then or later, and torch's memory
    /// was the same in between.
    pub(crate) at: Option<Duration>,
    /// What the device held then, and by how much it differs from the reading before.
    pub(crate) used: Option<(Bytes, Option<Bytes>)>,
    /// How far from the peak it was taken, if the device held at that moment what it held at the peak.
    pub(crate) from_peak: Option<Duration>,
}

/// Lays snapshots on a recording. `anchor` is the wall clock at its begin, in nanoseconds since 1970 UTC, where its clock
/// is that; snapshots have no other.
pub(crate) fn join(
    snapshots: &[AllocatorSnapshot],
    timeline: &Timeline,
    anchor: Option<i64>,
    placement: &Placement,
    peak: Option<&Point>,
) -> Vec<Joined> {
    let each = |snapshot: &AllocatorSnapshot| {
        // A process counts its devices as it sees them, so only where there is one on both sides nothing can be mixed up.
        let only = match (&placement.active[..], &snapshot.ledgers[..]) {
            (&[device], [_]) if placement.ranks_on(device).len() == 1 => Some(device),
            _ => None,
        };
        let at = anchor.and_then(|anchor| {
            let since = snapshot.last_event_us?.checked_mul(1000)?.checked_sub(anchor)?;
            u64::try_from(since).ok().map(Duration::from_nanos)
        });
        let used = only.zip(at).and_then(|(device, at)| used_at(timeline, device, at));
        let from_peak = peak.zip(at).and_then(|(peak, at)| {
            let (used, _) = used?;
            (used.get().abs_diff(peak.of(only?)?.get()) <= SAME_LEVEL).then(|| peak.at.abs_diff(at))
        });
        let joined = |ledger: &Ledger| {
            // Less than what is inside was read before the process did what no event tells: it woke, or went to sleep.
            let is_there = used.is_some_and(|(used, _)| used.get() >= ledger.reserved);
            Joined {
                file: snapshot.file.clone(),
                ledger: ledger.clone(),
                device: only,
                at,
                used: used.filter(|_| is_there),
                from_peak: from_peak.filter(|_| is_there),
            }
        };
        snapshot.ledgers.iter().map(joined).collect::<Vec<Joined>>()
    };
    snapshots.iter().flat_map(each).collect()
}

/// What a device held at its first reading from an instant on, and the difference to the one before. The reading before
/// it may be older than what the process did last.
fn used_at(timeline: &Timeline, device: DeviceIndex, at: Duration) -> Option<(Bytes, Option<Bytes>)> {
    let samples = || timeline.samples().iter().filter(|sample| sample.device == device);
    let next = samples().find(|sample| sample.at >= at).filter(|sample| sample.at - at <= MOST_BEHIND)?;
    let before = samples().take_while(|sample| sample.at < at).last();
    let moved = before.map(|before| Bytes::new(next.reading.used.get().abs_diff(before.reading.used.get())));
    Some((next.reading.used, moved))
}

/// The parts of a device's memory by the snapshot that was taken nearest to the peak, while the device held as much as
/// then; none where there is no such snapshot.
pub(crate) fn at_the_peak(joined: &[Joined], device: DeviceIndex) -> Vec<(ComponentKind, Evidenced)> {
    let of_device = joined.iter().filter(|one| one.device == Some(device));
    let near = of_device.filter_map(|one| Some((one.from_peak?, one))).min_by_key(|(from_peak, _)| *from_peak);
    let Some((from_peak, one)) = near else { return Vec::new() };
    let ledger = &one.ledger;
    if !tells_parts(ledger) {
        return Vec::new();
    }
    let free = ledger.releasable.saturating_add(ledger.split);
    let kinds = [ComponentKind::Weights, ComponentKind::KvCache, ComponentKind::Held, ComponentKind::CudaGraphs];
    let part = |kind: ComponentKind| {
        let rows = ledger.parts.iter().filter(|row| row.name.is_some_and(|name| kind_of(name) == kind));
        let free = (kind == ComponentKind::Activations && free > 0).then_some(("free in the default pool", free));
        // Of a private pool in which nothing is used, only captured graphs keep the memory.
        let kept = ledger.parts.iter().find(|row| row.name.is_none()).map_or(0, |row| row.kept);
        let kept = (kind == ComponentKind::CudaGraphs && kept > 0).then_some(("kept in private pools", kept));
        let named = rows.map(|row| (row.name.unwrap_or_default(), row.bytes())).chain(free).chain(kept);
        let amounts: Vec<(&str, Bytes)> = named.map(|(name, bytes)| (name, Bytes::new(bytes))).collect();
        let size = Bytes::checked_sum(amounts.iter().map(|(_, bytes)| *bytes))?;
        let words: Vec<String> = amounts.iter().map(|(name, bytes)| format!("{name} {bytes}")).collect();
        let seconds = from_peak.as_secs_f64();
        let evidenced = Evidenced {
            size,
            resolution: None,
            // That what no rule names, and free blocks, belong to the work is a rule's word.
            confidence: match kind {
                ComponentKind::Activations => Confidence::Estimated,
                _ if kept.is_some() => Confidence::Estimated,
                _ => Confidence::Measured,
            },
            basis: Basis {
                method: Basis::ALLOCATOR_SNAPSHOT,
                detail: format!(
                    "inside the allocator by {}, {seconds:.2} s from the peak and on its level: {}",
                    one.file,
                    words.join(", ")
                ),
                log_lines: Vec::new(),
            },
        };
        (!amounts.is_empty()).then_some((kind, evidenced))
    };
    kinds.into_iter().chain([ComponentKind::Activations]).filter_map(part).collect()
}

/// Whether a ledger knows what its memory is for, but for little.
fn tells_parts(ledger: &Ledger) -> bool {
    let of = |name: Option<&str>| ledger.parts.iter().find(|row| row.name == name);
    let is_within = |name, percent: u64| {
        let active = of(name).map_or(0, |row| row.active);
        u128::from(active) * 100 <= u128::from(ledger.reserved) * u128::from(percent)
    };
    of(Some("weights")).is_some()
        && is_within(Some("other"), MOST_UNKNOWN_PERCENT)
        && is_within(None, MOST_WITHOUT_STACK_PERCENT)
}

/// What a part of the allocator's memory is in a breakdown. What stays from the trial run on is kept beside the weights;
/// what no rule knows is the program's working memory. What has no stack is older than the record of them, as a library's
/// workspace that is counted with the context, and is in no part.
fn kind_of(part: &str) -> ComponentKind {
    match part {
        "weights" | "rotary tables" => ComponentKind::Weights,
        "KV cache" => ComponentKind::KvCache,
        "graphs" => ComponentKind::CudaGraphs,
        "sampler" | "runner's buffers" | "trial run" | "workspaces" => ComponentKind::Held,
        _ => ComponentKind::Activations,
    }
}
