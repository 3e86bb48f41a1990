//! What a log states twice and differently. Nothing is overwritten: both statements stay, and a note says so.

use crate::engine::Engine;
use crate::figure::{Figure, Value};
use crate::key::Key;
use crate::note::ParseNote;
use crate::vllm::worker::replica;

/// What an engine can be only once.
const ONE_PER_ENGINE: &[Key] = &[
    Key::Version,
    Key::KvTokens,
    Key::GpuBlocks,
    Key::BlockSize,
    Key::MaxModelLen,
    Key::MaxBatchedTokens,
    Key::AttentionBackend,
    Key::ConcurrencyFactor,
];

/// What one worker can state only once.
const ONE_PER_WORKER: &[Key] = &[
    Key::Weights,
    Key::KvPool,
    Key::ActivationPeak,
    Key::NonTorch,
    Key::Graphs,
    Key::DeviceTotal,
    Key::Requested,
    Key::InitialFree,
];

/// Most notes of one engine.
const MAX_NOTES: usize = 20;

/// The notes on an engine's contradictions.
pub(crate) fn notes(engine: &Engine) -> Vec<ParseNote> {
    let once = |key: &Key, per_worker: bool| contradiction(engine, *key, per_worker);
    let per_engine = ONE_PER_ENGINE.iter().filter_map(|key| once(key, false));
    per_engine.chain(ONE_PER_WORKER.iter().filter_map(|key| once(key, true))).take(MAX_NOTES).collect()
}

/// The first two figures of a key that cannot both hold.
fn contradiction(engine: &Engine, key: Key, per_worker: bool) -> Option<ParseNote> {
    // Data-parallel engines share a log, and each has its own cache.
    let figures: Vec<_> =
        engine.of(key).map(|f| (f, f.origin.worker.as_deref(), replica(f.origin.worker.as_deref()))).collect();
    figures.iter().enumerate().find_map(|(place, (second, tag, of))| {
        let told_before =
            figures[..place].iter().filter(|first| if per_worker { first.1 == *tag } else { first.2 == *of });
        let (first, ..) = told_before.into_iter().find(|(first, ..)| !agree(first, second))?;
        let text = format!(
            "`{}` is {} here and {} on line {}; both are kept",
            key.name(),
            text(second),
            text(first),
            first.origin.line
        );
        Some(ParseNote::new(second.origin.line, text))
    })
}

/// Whether two figures can both hold: the widths of their last digits overlap.
fn agree(a: &Figure, b: &Figure) -> bool {
    match (&a.value, &b.value) {
        (Value::Memory(x), Value::Memory(y)) => {
            let width = a.resolution.unwrap_or(0.0) + b.resolution.unwrap_or(0.0);
            (x.bytes.as_f64() - y.bytes.as_f64()).abs() <= width + 1.0
        }
        (x, y) => x == y,
    }
}

fn text(figure: &Figure) -> String {
    match &figure.value {
        Value::Memory(memory) => memory.text(),
        Value::Count(count) => count.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::LogParser;

    fn notes(log: &str) -> Vec<String> {
        let mut parser = LogParser::new();
        parser.push_bytes(log.as_bytes());
        parser.finish().engines[0].notes.iter().map(|n| n.text.clone()).collect()
    }

    #[test]
    fn workers_may_differ_and_one_worker_may_not() {
        let line = |tag: &str, gib: &str| {
            format!("({tag}) INFO 01-02 03:04:05 [a.py:1] Available KV cache memory: {gib} GiB\n")
        };
        assert!(notes(&(line("Worker_TP0 pid=1", "5.10") + &line("Worker_TP1 pid=2", "5.20"))).is_empty());
        let twice = notes(&(line("Worker_TP0 pid=1", "5.10") + &line("Worker_TP0 pid=1", "5.20")));
        assert!(twice[0].contains("5.20 GiB here and 5.10 GiB on line 1"), "{twice:?}");
    }

    #[test]
    fn data_parallel_engines_may_differ_and_one_of_them_may_not() {
        let line = |tag: &str, tokens: u64| {
            format!("({tag}) INFO 01-02 03:04:05 [a.py:1] GPU KV cache size: {tokens} tokens\n")
        };
        for tags in [["EngineCore_DP0 pid=1", "EngineCore_DP1 pid=2"], ["EngineCore_0 pid=1", "EngineCore_1 pid=2"]] {
            assert!(notes(&(line(tags[0], 160) + &line(tags[1], 176))).is_empty(), "{tags:?}");
        }
        assert_eq!(notes(&(line("EngineCore_DP1 pid=1", 160) + &line("EngineCore_DP1 pid=1", 176))).len(), 1);
        assert_eq!(notes(&(line("EngineCore pid=1", 160) + &line("EngineCore pid=2", 176))).len(), 1, "no replica");
    }
}
