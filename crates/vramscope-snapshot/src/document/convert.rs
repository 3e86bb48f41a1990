//! From a snapshot to its document.

use std::collections::BTreeMap;

use super::{
    ActionRow, AmountsDocument, CurveDocument, EventRow, File, FlameDocument, HistoryDocument, HolderRow,
    HoldersDocument, HostDocument, MomentDocument, NoteRow, OutOfMemoryDocument, PartRow, PinRow, PinnedDocument,
    PoolRow, SettingsDocument, SnapshotDocument, VERSION,
};
use crate::holders::{Sum, frames, label};
use crate::model::PoolId;
use crate::{
    Amounts, By, Event, Format, History, Moment, Names, OutOfMemory, Pin, Pins, PoolTotals, Snapshot, SnapshotError,
    Sums, Totals, active_by_stack, histories, holders,
};

/// What a document holds of its lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extract {
    /// What holders are summed by.
    pub by: By,
    /// Rows of each list.
    pub top: usize,
}

impl Default for Extract {
    /// 200 rows by stack.
    fn default() -> Self {
        Self { by: By::Stack, top: 200 }
    }
}

impl SnapshotDocument {
    /// The document of a snapshot, with lists cut to `extract`.
    ///
    /// # Errors
    /// When sizes add up to more than 64 bits hold.
    pub fn of(snapshot: &Snapshot, extract: Extract) -> Result<Self, SnapshotError> {
        let totals = Totals::of(snapshot)?;
        let histories = histories(snapshot);
        let active = active_by_stack(snapshot, None, None);
        let list = |sums: &Sums| listed(&snapshot.names, sums, extract);
        Ok(Self {
            vramscope_snapshot: VERSION,
            file: File {
                name: snapshot.name.clone(),
                format: if snapshot.format == Format::Json { "json" } else { "pickle" }.to_owned(),
                protocol: match snapshot.format {
                    Format::Pickle(protocol) => Some(protocol),
                    Format::Json => None,
                },
                compression: snapshot.compression.name().to_owned(),
                file_bytes: snapshot.file_bytes,
                plain_bytes: snapshot.plain_bytes,
                stacks: snapshot.names.stacks() as u64,
            },
            settings: snapshot.settings.as_ref().map(|settings| SettingsDocument {
                text: settings.text.clone(),
                max_split_size_bytes: settings.max_split_size,
                garbage_collection_threshold: settings.garbage_collection_threshold,
                expandable_segments: settings.expandable_segments,
            }),
            totals: amounts(&totals.all),
            pools: pools(snapshot, &totals.pools),
            holders: list(&active),
            pinned: pinned(snapshot, extract),
            parts: PartRow::all(snapshot),
            flame: (totals.all.active > 0).then(|| FlameDocument::of(&snapshot.names, &active, totals.all.active)),
            histories: histories.iter().map(|history| history_document(snapshot, history, extract)).collect(),
            host: snapshot.host.map(|host| HostDocument {
                segments: host.segments,
                bytes: host.bytes,
                active_bytes: host.active_bytes,
            }),
            annotations: snapshot.annotations.len() as u64,
            notes: notes(snapshot, &totals, &active, &histories),
        })
    }
}

fn amounts(amounts: &Amounts) -> AmountsDocument {
    AmountsDocument {
        segments: amounts.segments,
        active_blocks: amounts.blocks,
        free_blocks: amounts.free_blocks,
        reserved_bytes: amounts.reserved,
        allocated_bytes: amounts.allocated,
        active_bytes: amounts.active,
        requested_bytes: amounts.requested,
        rounding_bytes: amounts.rounding(),
        waiting_bytes: amounts.waiting,
        inactive_bytes: amounts.inactive,
        releasable_bytes: amounts.releasable,
        split_bytes: amounts.split,
        largest_free_bytes: amounts.largest_free,
        expandable_bytes: amounts.expandable,
    }
}

/// Rows of pools and streams. Of private ones the function that has more than half, if one does.
fn pools(snapshot: &Snapshot, rows: &[PoolTotals]) -> Vec<PoolRow> {
    let mut held: BTreeMap<(u32, PoolId, u64), Sums> = BTreeMap::new();
    for segment in &snapshot.segments {
        let Some(pool) = segment.pool.filter(|pool| pool.is_private()) else { continue };
        let sums = held.entry((segment.device, pool, segment.stream)).or_default();
        for block in snapshot.blocks(segment).iter().filter(|block| block.state.is_active()) {
            sums.entry(block.stack).or_default().add(block.size);
        }
    }
    let mostly = |row: &PoolTotals| {
        let sums = held.get(&(row.device, row.pool?, row.stream))?;
        let first = holders(&snapshot.names, sums, By::Function).into_iter().next()?;
        first.label.filter(|_| first.sum.bytes > row.amounts.active / 2)
    };
    rows.iter().map(|row| pool_row(row, mostly(row))).collect()
}

fn pool_row(row: &PoolTotals, mostly: Option<String>) -> PoolRow {
    PoolRow {
        device: row.device,
        pool: row.pool.map(|pool| [pool.0, pool.1]),
        kind: row.pool.map(|pool| kind(pool).to_owned()),
        stream: row.stream,
        amounts: amounts(&row.amounts),
        mostly,
    }
}

/// Who made a pool. A capture without a pool of its own counts the first number, a pool that is asked for the second
/// (`MemPool`, c10/cuda/CUDACachingAllocator.cpp, torch 2.1 to 2.14).
fn kind(pool: PoolId) -> &'static str {
    match pool {
        PoolId::DEFAULT => "default",
        PoolId(_, 0) => "capture",
        PoolId(..) => "program",
    }
}

fn listed(names: &Names, sums: &Sums, extract: Extract) -> HoldersDocument {
    let rows = holders(names, sums, extract.by);
    let (listed, rest) = rows.split_at(extract.top.min(rows.len()));
    let whole = rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.sum.bytes));
    HoldersDocument {
        by: extract.by.name().to_owned(),
        rows: listed
            .iter()
            .map(|row| HolderRow {
                name: row.label.clone(),
                bytes: row.sum.bytes,
                share: share(row.sum.bytes, whole),
                count: row.sum.count,
                frames: row.frames.clone(),
            })
            .collect(),
        rest_rows: rest.len() as u64,
        rest_bytes: rest.iter().fold(0, |sum, row| sum.saturating_add(row.sum.bytes)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for a share; exact below 2^53 bytes")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Rows of what keeps free memory; none where nothing is kept.
fn pinned(snapshot: &Snapshot, extract: Extract) -> Option<PinnedDocument> {
    let pins = Pins::of(snapshot, extract.by);
    let (listed, rest) = pins.rows.split_at(extract.top.min(pins.rows.len()));
    let row = |pin: &Pin| PinRow {
        name: pin.label.clone(),
        alone_bytes: pin.alone,
        with_others_bytes: pin.with_others,
        segments: pin.segments,
        held_bytes: pin.held,
        frames: pin.frames.clone(),
    };
    (pins.bytes > 0).then(|| PinnedDocument {
        by: extract.by.name().to_owned(),
        bytes: pins.bytes,
        segments: pins.segments,
        rows: listed.iter().map(row).collect(),
        rest_rows: rest.len() as u64,
    })
}

fn history_document(snapshot: &Snapshot, history: &History, extract: Extract) -> HistoryDocument {
    let seconds =
        history.time_us.map(|(first, last)| micros(last.wrapping_sub(first))).filter(|seconds| *seconds > 0.0);
    let allocations = history.actions.iter().find(|(action, _)| *action == crate::Action::Alloc);
    let rate =
        |figure: fn(&Sum) -> u64| allocations.zip(seconds).map(|((_, sum), seconds)| share(figure(sum), 1) / seconds);
    let names = &snapshot.names;
    HistoryDocument {
        device: history.device,
        events: u64::from(history.events),
        first_us: history.time_us.map(|(first, _)| first),
        last_us: history.time_us.map(|(_, last)| last),
        actions: history
            .actions
            .iter()
            .map(|(action, sum)| ActionRow { action: action.name().to_owned(), count: sum.count, bytes: sum.bytes })
            .collect(),
        allocations_per_second: rate(|sum| sum.count),
        allocated_bytes_per_second: rate(|sum| sum.bytes),
        peak: history.peak.as_ref().map(|peak| moment(names, peak, extract)),
        most_reserved_bytes: history.most_reserved,
        curve: history.curve.as_ref().map(CurveDocument::of),
        kept: listed(names, &history.kept, extract),
        allocated: listed(names, &history.allocated, extract),
        out_of_memories: history.out_of_memories,
        out_of_memory: history.out_of_memory.iter().map(|oom| out_of_memory(names, oom, extract)).collect(),
        older: history.older,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few years in microseconds are below 2^53")]
fn micros(us: i64) -> f64 {
    us as f64 / 1e6
}

fn moment(names: &Names, moment: &Moment, extract: Extract) -> MomentDocument {
    MomentDocument {
        event: moment.event,
        time_us: moment.time_us,
        requested_bytes: moment.requested,
        reserved_bytes: moment.reserved,
        alive: listed(names, &moment.alive, extract),
    }
}

fn out_of_memory(names: &Names, oom: &OutOfMemory, extract: Extract) -> OutOfMemoryDocument {
    let asked_by = oom.stack.map(|stack| HolderRow {
        name: label(names, stack, By::Stack),
        bytes: oom.asked,
        share: 1.0,
        count: 1,
        frames: frames(names, stack),
    });
    OutOfMemoryDocument {
        event: Some(oom.event),
        time_us: oom.time_us,
        asked_bytes: oom.asked,
        device_free_bytes: oom.device_free,
        asked_by,
        largest_free_bytes: oom.largest_free,
        moment: oom.moment.as_ref().map(|then| moment(names, then, extract)),
        before: oom.before.iter().map(|event| event_row(names, event)).collect(),
    }
}

fn event_row(names: &Names, event: &Event) -> EventRow {
    EventRow {
        action: event.action.name().to_owned(),
        bytes: event.size,
        time_us: event.time_us,
        place: event.stack.and_then(|stack| label(names, stack, By::Stack)),
    }
}

/// What is odd about a snapshot.
fn notes(snapshot: &Snapshot, totals: &Totals, active: &Sums, histories: &[History]) -> Vec<NoteRow> {
    let mut notes = Vec::new();
    let mut note = |kind: &str, count: u64, text: String| {
        if count > 0 {
            notes.push(NoteRow { kind: kind.to_owned(), count, text });
        }
    };
    note(
        "differing_segments",
        totals.differing,
        "segments whose blocks do not add up to what torch wrote of them; the sums here are those of the blocks".into(),
    );
    let nameless = active.get(&None).map_or(0, |sum| sum.count);
    note(
        "no_stacks",
        nameless,
        "active blocks were allocated before torch.cuda.memory._record_memory_history was called, or without stacks; \
         call it before the model is loaded"
            .into(),
    );
    let sum = |of: fn(&History) -> u64| histories.iter().map(of).sum::<u64>();
    note(
        "unmatched_history",
        sum(|history| history.unmatched),
        "allocations of the history do not fit the blocks: events were left out (skip_actions), or recording stopped \
         before the snapshot; no moment of highest use is told"
            .into(),
    );
    note(
        "older_allocations",
        sum(|history| history.older),
        "allocations that ended in the recorded time began before it: raise max_entries to see who made them".into(),
    );
    if !snapshot.unknown.is_empty() {
        let names: Vec<&str> = snapshot.unknown.keys().map(String::as_str).take(12).collect();
        let text = format!("fields and words that are not known here, and are not read: {}", names.join(", "));
        note("unknown_fields", snapshot.unknown.values().sum(), text);
    }
    note(
        "bytes_after_end",
        u64::from(snapshot.followed),
        "bytes follow the end of the snapshot; they are not read".into(),
    );
    notes
}
