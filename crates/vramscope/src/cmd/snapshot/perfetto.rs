//! The recorded time of a snapshot as tracks for the viewers of traces.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::anyhow;
use serde_json::{Value, json};
use vramscope_report::{AllocationSpan, AllocatorFailure, AllocatorTrack, AllocatorUse, Moment, allocator_tracks};
use vramscope_schema::ExitCode;
use vramscope_snapshot::{
    Curve, History, Life, OutOfMemory, PoolId, Snapshot, StackId, frame_text, histories_with, lives, site,
};
use vramscope_trace::Compression;

use crate::exit::OrExit as _;
use crate::output;

/// Allocations that become slices, unless a number is asked for.
pub(super) const SLICES: usize = 200;
/// Moments of each device's counters at most: far more than a screen has columns, and a file of some megabytes.
const MOMENTS: usize = 20_000;
/// Frames of a stack that a slice tells: the innermost.
const FRAMES: usize = 12;

/// What a device's file has: its history and its heaviest allocations, by pool and stream.
struct Recorded {
    history: History,
    lives: Vec<Life>,
}

/// Writes the file, and says what is in it.
pub(super) fn write(snapshot: &Snapshot, out: &Path, slices: usize) -> anyhow::Result<()> {
    let histories = histories_with(snapshot, MOMENTS);
    let nothing =
        |what: &str, advice: &str| Err(anyhow!("{} has {what}: {advice}", snapshot.name)).or_exit(ExitCode::BadInput);
    if histories.is_empty() {
        return nothing(
            "no recorded history, of which tracks are made",
            "call torch.cuda.memory._record_memory_history before the snapshot is taken",
        );
    }
    let with_lives = |history: History| {
        let device = usize::try_from(history.device).ok()?;
        history.time_us?;
        Some(Recorded { lives: lives(snapshot, device, slices)?, history })
    };
    let recorded: Vec<Recorded> = histories.into_iter().filter_map(with_lives).collect();
    let first = recorded.iter().filter_map(|one| one.history.time_us).map(|(first, _)| first).min();
    let Some(first) = first else {
        return nothing("no times in its history", "PyTorch writes them since 2.2; record it with a later release");
    };
    let zero = Zero(first);
    let tracks: Vec<AllocatorTrack> = recorded.iter().map(|one| track(snapshot, one, zero)).collect();
    let mut counts = None;
    output::write_file(out, |file| {
        let failed = |error: io::Error| anyhow::Error::new(error);
        counts = Some(
            Compression::of_ending(out)
                .pack(file, failed, |file| Ok(allocator_tracks(file, first.checked_mul(1000), &tracks)?))?,
        );
        Ok(())
    })?;
    let Some(counts) = counts else { return Ok(()) };
    let allocations: usize = recorded.iter().map(|one| one.lives.len()).sum();
    output::say(&format!(
        "{} moments and {allocations} allocations as {} events written to {}",
        counts.samples,
        counts.events,
        out.display()
    ));
    if counts.left_out > 0 {
        output::say(&format!("note: {} allocations or pools are left out: too many are side by side", counts.left_out));
    }
    for history in recorded.iter().map(|one| &one.history) {
        let told = history.out_of_memory.len();
        if history.out_of_memories > told as u64 {
            let all = history.out_of_memories;
            output::say(&format!(
                "note: of {all} out-of-memories of device {} the last {told} are told",
                history.device
            ));
        }
    }
    for one in recorded.iter().filter(|one| one.history.curve.is_none()) {
        output::say(&format!(
            "note: of device {} there are no counters: its history and its blocks do not fit together",
            one.history.device
        ));
    }
    Ok(())
}

/// The moment from which times count, in microseconds since 1970 UTC.
#[derive(Clone, Copy)]
struct Zero(i64);

impl Zero {
    fn moment(self, time_us: i64) -> Moment {
        time_us.saturating_sub(self.0).saturating_mul(1000)
    }
}

fn track(snapshot: &Snapshot, recorded: &Recorded, zero: Zero) -> AllocatorTrack {
    let Recorded { history, lives } = recorded;
    let begin = history.time_us.map_or(zero.0, |(first, _)| first);
    let name = |part: &Option<&'static str>| part.unwrap_or("no stack recorded").to_owned();
    AllocatorTrack {
        name: format!("allocator of device {}", history.device),
        parts: history.curve.iter().flat_map(|curve| curve.parts.iter().map(name)).collect(),
        uses: history.curve.iter().flat_map(|curve| uses(curve, begin, zero)).collect(),
        failures: history.out_of_memory.iter().map(|failed| failure(snapshot, failed, begin, zero)).collect(),
        pools: pools(snapshot, history.device, lives, zero),
    }
}

/// Moments of the counters. Threads write times out of order, and a counter's value holds until the next: it goes on.
fn uses(curve: &Curve, begin: i64, zero: Zero) -> Vec<AllocatorUse> {
    let mut now = begin;
    let one = |point: &vramscope_snapshot::CurvePoint| {
        now = now.max(point.time_us.unwrap_or(now));
        AllocatorUse {
            at: zero.moment(now),
            requested: point.requested,
            parts: point.parts.clone(),
            reserved: point.reserved,
        }
    };
    curve.points.iter().map(one).collect()
}

fn failure(snapshot: &Snapshot, failed: &OutOfMemory, begin: i64, zero: Zero) -> AllocatorFailure {
    let mut about = vec![
        ("asked_bytes".to_owned(), json!(failed.asked)),
        ("device_free_bytes".to_owned(), json!(failed.device_free)),
    ];
    about.extend(failed.largest_free.map(|largest| ("largest_free_bytes".to_owned(), json!(largest))));
    about.extend(stack_words(snapshot, failed.stack));
    AllocatorFailure { at: zero.moment(failed.time_us.unwrap_or(begin)), name: "out of memory".to_owned(), about }
}

/// The allocations by pool and stream, each pool a process of the viewer.
fn pools(snapshot: &Snapshot, device: u32, lives: &[Life], zero: Zero) -> Vec<(String, Vec<AllocationSpan>)> {
    let mut pools: BTreeMap<(Option<PoolId>, Option<u64>), Vec<AllocationSpan>> = BTreeMap::new();
    // Streams are addresses to torch, which tell a person nothing: they are numbered as they come.
    let mut streams: Vec<u64> =
        snapshot.segments.iter().map(|segment| segment.stream).filter(|own| *own != 0).collect();
    streams.sort_unstable();
    streams.dedup();
    for life in lives {
        pools.entry((life.pool, life.stream)).or_default().push(span(snapshot, life, zero));
    }
    let name = |(pool, stream): (Option<PoolId>, Option<u64>)| {
        let pool = match pool {
            Some(PoolId::DEFAULT) => "default pool".to_owned(),
            Some(pool) => format!("pool {},{}", pool.0, pool.1),
            None => "a pool that is not recorded".to_owned(),
        };
        let stream = match stream {
            Some(0) => ", default stream".to_owned(),
            Some(own) => streams
                .binary_search(&own)
                .map_or_else(|_| format!(", stream {own}"), |number| format!(", stream {}", number + 1)),
            None => String::new(),
        };
        format!("device {device}, {pool}{stream}")
    };
    pools.into_iter().map(|(key, spans)| (name(key), spans)).collect()
}

fn span(snapshot: &Snapshot, life: &Life, zero: Zero) -> AllocationSpan {
    let place = life.stack.and_then(|stack| site(&snapshot.names, stack));
    let name = place.map_or_else(|| "no stack recorded".to_owned(), |frame| frame_text(&snapshot.names, frame));
    let mut about = vec![
        ("bytes".to_owned(), json!(life.bytes)),
        ("older than the history".to_owned(), json!(life.older)),
        ("still there at its end".to_owned(), json!(life.still_there)),
    ];
    about.extend(stack_words(snapshot, life.stack));
    AllocationSpan { start: zero.moment(life.from_us), end: zero.moment(life.to_us), name, about }
}

/// The innermost frames of a stack.
fn stack_words(snapshot: &Snapshot, stack: Option<StackId>) -> Vec<(String, Value)> {
    let Some(stack) = stack else { return Vec::new() };
    let frames = snapshot.names.stack(stack).iter().take(FRAMES).enumerate();
    let one = |(place, id): (usize, &vramscope_snapshot::FrameId)| {
        (format!("frame {}", place + 1), json!(frame_text(&snapshot.names, snapshot.names.frame(*id))))
    };
    frames.map(one).collect()
}
