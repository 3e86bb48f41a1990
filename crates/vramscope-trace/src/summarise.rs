//! From a source to a summary.

mod assemble;
mod flops;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::analyse::{join, lengths, threads, timeline};
use crate::collect::{Counts, Extent, ExtentSink, Keep, MemoryLog, Shard};
use crate::names::{NameId, Names, kept};
use crate::read::{self, Manner};
use crate::runs::{Pool, Runs};
use crate::{Category, Notes, Oddity, Rules, Source, Summary, TraceError, Window};

/// How to analyse.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only events that begin in this window.
    pub window: Option<Window>,
    /// Only GPU operations on this device, as events name it.
    pub device: Option<String>,
    /// Keep python stacks, for flame graphs.
    pub stacks: bool,
    /// How kernels are sorted into categories.
    pub rules: Rules,
    /// Threads that read events beside the one that reads the file. One reads everything in order.
    pub threads: usize,
    /// Bytes of JSON that a thread takes at a time.
    pub block_bytes: usize,
    /// Bytes of packed records that are kept in memory; the rest goes to `working_folder`.
    pub memory_bytes: usize,
    /// Where records beyond `memory_bytes` are kept, in files without names. Without a folder everything stays in
    /// memory.
    pub working_folder: Option<PathBuf>,
}

/// Threads that read at most by default. What a trace costs in processor time does not depend on them, each takes some
/// 5 MB, and the one thread that cuts and unpacks the text feeds no more than a few.
const MAX_THREADS: usize = 4;

impl Default for Options {
    /// The whole trace, the built-in rules, up to four threads, 48 MiB of records in memory and no working folder.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_THREADS);
        Self {
            window: None,
            device: None,
            stacks: false,
            rules: Rules::built_in(),
            threads,
            block_bytes: 1 << 20,
            memory_bytes: 48 << 20,
            working_folder: None,
        }
    }
}

/// What all workers kept, put together.
struct Collected {
    shards: Vec<Shard>,
    counts: std::collections::BTreeMap<String, u64>,
    extent: Option<(i64, i64)>,
    memory: MemoryLog,
    overhead: HashMap<NameId, threads::Tally>,
    flops: HashMap<NameId, join::FlopTally>,
    notes: Notes,
}

/// Analyses a trace. Memory is bounded: blocks of text, distinct names, steps, and `memory_bytes` of records.
///
/// ```
/// use vramscope_trace::{Options, Source, summarize};
/// let trace = br#"{"traceEvents": [
///   {"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 1.5, "dur": 2.25, "args": {"device": 0}}
/// ]}"#;
/// let summary = summarize(&Source::memory("example", trace.to_vec()), &Options::default()).unwrap();
/// assert_eq!(summary.kernel_totals.time_ns, 2250);
/// ```
///
/// # Errors
/// [`TraceError`]: the file cannot be read or is no trace, a time in it cannot be true, or records cannot be kept.
pub fn summarize(source: &Source, options: &Options) -> Result<Summary, TraceError> {
    let names = Names::default();
    let pool = Pool::new(options.memory_bytes, options.working_folder.clone());
    let keep = Keep { window: options.window, python: options.stacks };
    let manner = Manner { threads: options.threads.max(1), block_bytes: options.block_bytes.max(1) };
    let mut reading = read::read(source, manner, || Shard::new(&names, &pool, keep))?;
    let mut collected = collect(std::mem::take(&mut reading.sinks))?;
    no_categories(source.name(), &collected.counts)?;

    let table: Arc<[Arc<[u8]>]> = names.all().into();
    let mut notes = std::mem::take(&mut collected.notes);
    let shards = std::mem::take(&mut collected.shards);
    let (mut span_sets, mut gpu_sets, mut gpu_steps) = (Vec::new(), Vec::new(), Vec::new());
    for mut shard in shards {
        gpu_steps.append(&mut shard.gpu_steps);
        span_sets.push(shard.spans);
        gpu_sets.push(shard.gpu);
    }
    gpu_steps.sort_unstable();

    let spans = Runs::sorted(span_sets)?;
    let kinds = threads::NameKinds::new(Arc::clone(&table));
    let threads = threads::walk(&spans, kinds, options.stacks, &pool, &mut notes)?;
    drop(spans);

    let (finder, marked) = join::StepFinder::new(&threads.steps);
    let ops = Runs::sorted(gpu_sets)?;
    let wanted = options.device.as_deref().map(|device| {
        let table = Arc::clone(&table);
        move |id: NameId| text(&table, id) == device
    });
    let wanted = wanted.as_ref().map(|f| f as &dyn Fn(NameId) -> bool);
    let joined = join::join(&ops, &threads.launches, &finder, wanted, &pool, &mut notes)?;
    drop(ops);

    let categories: HashMap<NameId, (Category, Option<String>)> = joined
        .kernels
        .keys()
        .map(|&id| {
            let name = text(&table, id);
            let (category, rule) = options.rules.of(&name);
            (id, (category, rule.map(str::to_owned)))
        })
        .collect();
    let timeline = timeline::walk(&timeline::Question {
        ops: &joined.ops,
        waits: &threads.waits,
        category: &|id| categories.get(&id).map_or(Category::Other, |found| found.0),
        regions: &joined.regions,
        marked_steps: marked.len(),
        gpu_steps: &gpu_steps,
        pool: &pool,
    })?;
    notes.add_count(Oddity::TooManySteps, timeline.too_many_steps);
    let durations = lengths::quantiles(&joined.durations, |id| joined.kernels.get(&id).map_or(0, |k| k.count))?;
    let delays = lengths::quantiles(&joined.delays, |_| joined.delays.len())?;
    if reading.info.with_flops == Some(true) && joined.flops.is_empty() && collected.flops.is_empty() {
        notes.add_count(Oddity::NoFlops, 1);
    }
    let parts = assemble::Parts {
        table,
        reading,
        collected,
        threads,
        marked,
        gpu_steps,
        joined,
        categories,
        timeline,
        durations,
        delay: delays.get(&0).copied(),
        notes,
        with_stacks: options.stacks,
        all_devices: options.device.is_none(),
        spilled_bytes: pool.spilled_bytes(),
    };
    Ok(parts.summary(source.name()))
}

/// When the first and the last event that an analysis uses begin, in nanoseconds of the trace's clock; `None` if there is
/// none. This reads the file once.
///
/// # Errors
/// As [`summarize`].
pub fn extent(source: &Source, options: &Options) -> Result<Option<(i64, i64)>, TraceError> {
    let manner = Manner { threads: options.threads.max(1), block_bytes: options.block_bytes.max(1) };
    let reading = read::read(source, manner, ExtentSink::default)?;
    let mut extent = Extent::default();
    reading.sinks.iter().for_each(|sink| extent.merge(sink.extent));
    extent.checked()
}

/// What happened stands in a category in every trace of torch.profiler; traces of other programs have none.
fn no_categories(name: &str, counts: &BTreeMap<String, u64>) -> Result<(), TraceError> {
    let happened = || counts.iter().filter(|(kind, _)| kind.starts_with("X|"));
    if happened().next().is_none() || happened().any(|(kind, _)| !kind.ends_with("|None")) {
        return Ok(());
    }
    let all: u64 = happened().map(|(_, count)| count).sum();
    let problem =
        format!("none of its {all} events of some length has a category (`cat`): it is no trace of torch.profiler");
    Err(TraceError::NotATrace { name: name.to_owned(), problem })
}

fn collect(mut shards: Vec<Shard>) -> Result<Collected, TraceError> {
    let counts = Counts::table(shards.iter().map(|shard| &shard.counts));
    let mut extent = Extent::default();
    let mut memory = MemoryLog::default();
    let mut overhead: HashMap<NameId, threads::Tally> = HashMap::new();
    let mut flops: HashMap<NameId, join::FlopTally> = HashMap::new();
    let mut notes = Notes::default();
    for shard in &mut shards {
        extent.merge(shard.extent);
        memory.merge(std::mem::take(&mut shard.memory));
        for (&name, theirs) in &shard.overhead {
            let ours = overhead.entry(name).or_default();
            ours.count += theirs.count;
            ours.total = ours.total.saturating_add(theirs.total);
            ours.max = ours.max.max(theirs.max);
        }
        for (&name, theirs) in &shard.flops {
            flops.entry(name).or_default().merge(theirs);
        }
        notes.merge(&shard.notes);
    }
    Ok(Collected { shards, counts, extent: extent.checked()?, memory, overhead, flops, notes })
}

/// A name as people read it.
fn text(table: &[Arc<[u8]>], id: NameId) -> String {
    usize::try_from(id).ok().and_then(|at| table.get(at)).map(|name| kept(name).into_owned()).unwrap_or_default()
}
