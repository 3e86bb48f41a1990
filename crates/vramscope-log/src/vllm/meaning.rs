//! Printed figures that hold more than their name says, with what remains of them.
//!
//! Read in the engine's source, release by release: `v1/worker/gpu_worker.py`, `utils/mem_utils.py`. The table is
//! `docs/printed-figures.md`.

use vramscope_core::{Bytes, Fact};

use crate::engine::Engine;
use crate::figure::Figure;
use crate::key::Key;
use crate::note::ParseNote;
use crate::vllm::facts::{amount, per_worker};

/// Most corrections that one engine gets: its ranks mostly print the same.
const MAX_CORRECTIONS: usize = 8;

/// The transient peak of the profile run, one fact a worker.
///
/// Up to 0.26 the engine prints it. Since 0.27 its summary prints it together with the estimate of the graphs, where that
/// is taken off the budget; at DEBUG level it is what all that is no KV cache has over what was consumed.
pub(crate) fn activation_peak(engine: &Engine) -> Vec<Fact<Bytes>> {
    let mut facts: Vec<Fact<Bytes>> = engine.of(Key::NonKv).filter_map(|all| transient(engine, all)).collect();
    let more = engine.of(Key::PeakWithGraphs).chain(engine.of(Key::ActivationSummary).filter(|_| opted_in(engine)));
    for figure in more {
        let known = facts.iter().any(|fact| fact.origin.worker == figure.origin.worker);
        facts.extend(less_graphs(engine, figure).filter(|_| !known));
    }
    if !facts.is_empty() {
        facts.sort_by_key(|fact| fact.origin.line);
        return facts;
    }
    per_worker(engine, &[Key::ActivationPeak, Key::ActivationSummary])
}

/// 0.18 printed the peak as 0.27 does, where it was told to look at graphs; 0.19 to 0.26 did not.
fn opted_in(engine: &Engine) -> bool {
    let version = engine.of(Key::Version).find_map(Figure::text);
    version.is_some_and(|version| version.starts_with("0.18."))
        && engine.of(Key::GraphsBudgeted).any(|f| f.text() == Some("enabled"))
}

/// Whether the estimate of the graphs is taken off the budget: unless switched off since 0.20, and if asked for before.
pub(crate) fn graphs_counted(engine: &Engine) -> bool {
    let said = |word: &str| engine.of(Key::GraphsBudgeted).any(|f| f.text() == Some(word));
    let version = engine.of(Key::Version).find_map(Figure::text).unwrap_or_default();
    let on_request = version.starts_with("0.18.") || version.starts_with("0.19.");
    !said("disabled") && (!on_request || said("enabled"))
}

/// What is no KV cache, less what was consumed, of the same line.
fn transient(engine: &Engine, all: &Figure) -> Option<Fact<Bytes>> {
    let consumed = engine.of(Key::Consumed).find(|f| f.origin == all.origin)?;
    less(&amount(all)?, &amount(consumed)?)
}

/// A peak less the estimate of the graphs of the same worker, which is nothing where it was not taken off the budget.
fn less_graphs(engine: &Engine, peak: &Figure) -> Option<Fact<Bytes>> {
    let peak = amount(peak)?;
    match estimate(engine, peak.origin.worker.as_deref()) {
        Some(graphs) => less(&peak, &graphs),
        None => Some(peak),
    }
}

/// The estimate of the graphs that a worker takes off its budget, if it does.
fn estimate(engine: &Engine, worker: Option<&str>) -> Option<Fact<Bytes>> {
    if !graphs_counted(engine) {
        return None;
    }
    let all = || [Key::GraphPoolEstimated, Key::GraphsEstimated].into_iter().flat_map(|key| engine.of(key));
    let own = all().find(|f| f.origin.worker.as_deref() == worker);
    amount(own.or_else(|| all().next())?)
}

fn less(whole: &Fact<Bytes>, part: &Fact<Bytes>) -> Option<Fact<Bytes>> {
    let width = [whole.resolution, part.resolution].into_iter().flatten();
    Some(Fact { value: whole.value.checked_sub(part.value)?, resolution: Bytes::checked_sum(width), ..whole.clone() })
}

/// What a reader must know of printed figures. The same words of several ranks are told once.
pub(crate) fn corrections(engine: &Engine) -> Vec<ParseNote> {
    let mut told: Vec<ParseNote> = Vec::new();
    let mut advice: Option<Advice> = None;
    let peaks = engine.of(Key::PeakWithGraphs).chain(engine.of(Key::ActivationSummary).filter(|_| opted_in(engine)));
    for figure in peaks {
        let worker = figure.origin.worker.as_deref();
        let Some((peak, graphs)) = amount(figure).zip(estimate(engine, worker)) else { continue };
        let Some(transient) = less(&peak, &graphs) else { continue };
        let text = format!(
            "\"peak activation\" of {} holds the {} that are estimated for graphs: the transient peak is {}",
            peak.value, graphs.value, transient.value
        );
        if told.len() < MAX_CORRECTIONS && !told.iter().any(|note| note.text == text) {
            told.push(ParseNote::new(figure.origin.line, text));
        }
        let Some(advised) = engine.of(Key::KvAdvised).find(|f| f.origin == figure.origin).and_then(Figure::count)
        else {
            continue;
        };
        // The estimate is printed to two digits; the low end of it is given back.
        let again = graphs.value.get().saturating_sub(graphs.resolution.map_or(0, Bytes::get));
        let this = Advice { right: advised.saturating_add(again), advised, line: figure.origin.line };
        advice = Some(advice.map_or(this, |known| known.min(this)));
    }
    told.extend(advice.map(|advice| advice.note()));
    told
}

/// The size of the KV cache that the engine advises, and the right one. All ranks get the same: the least counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Advice {
    right: u64,
    advised: u64,
    line: u64,
}

impl Advice {
    fn note(self) -> ParseNote {
        let Self { right, advised, line } = self;
        let text = format!(
            "the advised --kv-cache-memory={advised} ({}) takes graphs off twice, as estimated and as captured: \
             --kv-cache-memory={right} ({}) fits into what the engine may use, with the same 150 MiB to spare",
            Bytes::new(advised),
            Bytes::new(right)
        );
        ParseNote::new(line, text)
    }
}

#[cfg(test)]
mod tests {
    use crate::LogParser;

    fn engine(log: &str) -> crate::EngineReport {
        let mut parser = LogParser::new();
        parser.push_bytes(log.as_bytes());
        parser.finish().engines.remove(0)
    }

    const POOL: &str = "(EngineCore pid=1) INFO 11-28 19:52:40 [gpu_worker.py:1003] CUDA graph pool memory: 0.25 GiB (actual), 0.75 GiB (estimated), difference: 0.5 GiB (200.0%).\n";

    fn summary(head: &str) -> String {
        format!(
            "(EngineCore pid=1) INFO 11-28 19:52:40 [gpu_worker.py:1066] Free memory on device (79.0/80.0 GiB) on startup. \
             Desired GPU memory utilization is (0.9, 72.0 GiB). Actual usage is {head} 2.25 GiB for peak activation, \
             and 0.25 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with \
             `--kv-cache-memory=61203283968` (57.0 GiB) to fit into requested memory, or `--kv-cache-memory=68719476736` \
             (64.0 GiB) to fully utilize gpu memory. Current kv cache memory in use is 57.75 GiB.\n"
        )
    }

    const CONSUMED: &str = "12.0 GiB for consumed memory (weights + non-torch),";

    #[test]
    fn the_peak_of_newer_releases_is_told_without_graphs_and_the_advice_is_corrected() {
        let engine = engine(&(POOL.to_owned() + &summary(CONSUMED)));
        assert_eq!(engine.facts.activation_peak[0].value.to_string(), "1.50 GiB");
        assert_eq!(engine.facts.consumed[0].value.to_string(), "12.00 GiB");
        let texts: Vec<&str> = engine.corrections.iter().map(|n| n.text.as_str()).collect();
        assert!(texts[0].contains("transient peak is 1.50 GiB"), "{texts:?}");
        // 57 GiB and 0.75, less half a hundredth.
        assert!(texts[1].contains("--kv-cache-memory=62003221627 (57.75 GiB)"), "{texts:?}");
    }

    #[test]
    fn an_estimate_that_is_not_taken_off_is_not_in_the_peak() {
        let off = "(EngineCore pid=1) WARNING 11-28 19:52:18 [gpu_worker.py:800] CUDA graph memory profiling is disabled (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0). Without it, CUDA graph memory is not accounted for during KV cache allocation.\n";
        let engine = engine(&(off.to_owned() + POOL + &summary(CONSUMED)));
        assert_eq!(engine.facts.activation_peak[0].value.to_string(), "2.25 GiB");
        assert!(engine.corrections.is_empty(), "{:?}", engine.corrections);
    }

    #[test]
    fn the_peak_of_older_releases_is_what_it_says() {
        let head = "10.0 GiB for weight,";
        let line = summary(head).replace("peak activation, ", "peak activation, 0.1 GiB for non-torch memory, ");
        let engine = engine(&(POOL.to_owned() + &line));
        assert_eq!(engine.facts.activation_peak[0].value.to_string(), "2.25 GiB");
        assert!(engine.corrections.is_empty(), "{:?}", engine.corrections);
    }

    #[test]
    fn at_debug_level_the_peak_is_what_is_beside_what_was_consumed() {
        let line = "DEBUG 01-02 15:27:21 [mem_utils.py:157] Memory profiling takes 6.88 seconds. Total non KV cache memory: 3.75GiB; torch peak memory increase: 1.5GiB; total consumed (from mem_get_info): 3.0GiB; weights memory: 2.5GiB.\n";
        let facts = engine(line).facts;
        assert_eq!(facts.activation_peak[0].value.to_string(), "0.75 GiB");
    }
}
