//! Captures of graphs that stay, and those that are a trial.
//!
//! To see what graphs take, engines since 0.29 capture them before the KV cache is sized, give them up, and capture them
//! again at the end of the start. Both print the same line. What tells them apart is the size of the KV cache, which no
//! capture that stays comes before.

use vramscope_core::Milestone;

use super::Engine;
use crate::key::Key;
use crate::pattern::Captured;
use crate::vllm::worker::{Replica, replica};

/// What is printed once the size of the KV cache is settled for all ranks of an engine.
const SIZED: &[Key] = &[Key::KvTokens, Key::GpuBlocks];

/// Whether two processes may belong to one data-parallel engine: one that names none may belong to any.
fn together(a: Option<Replica<'_>>, b: Option<Replica<'_>>) -> bool {
    a.zip(b).is_none_or(|(a, b)| a == b)
}

/// The same value under its name in a trial.
fn tried(key: Key) -> Option<Key> {
    match key {
        Key::Graphs => Some(Key::GraphsTried),
        Key::CaptureSecs => Some(Key::TrialSecs),
        _ => None,
    }
}

impl Engine {
    /// Whether a capture that a process tells of now is a trial: weights are loaded, and the KV cache has no size yet.
    pub(crate) fn captures_for_trial(&self, tag: Option<&str>) -> bool {
        let own = |by: Option<&str>| together(replica(by), replica(tag));
        let sized = self.figures.iter().any(|f| SIZED.contains(&f.key) && own(f.origin.worker.as_deref()));
        !sized && self.of(Key::Weights).next().is_some()
    }

    /// Names the values of a trial capture as what they are.
    pub(crate) fn name_trial(captured: &mut [Captured]) {
        for value in captured {
            value.key = tried(value.key).unwrap_or(value.key);
        }
    }

    /// A log may begin behind the weights. A capture before the size of the KV cache is a trial there too.
    pub(super) fn settle_captures(&mut self) {
        // A log of many sizes has few replicas: each counts once, by its first size.
        let mut sized: Vec<(Option<String>, u64)> = Vec::new();
        for figure in self.figures.iter().filter(|f| SIZED.contains(&f.key)) {
            let (worker, line) = (figure.origin.worker.as_deref(), figure.origin.line);
            match sized.iter_mut().find(|(by, _)| replica(by.as_deref()) == replica(worker)) {
                Some((_, first)) => *first = line.min(*first),
                None => sized.push((worker.map(str::to_owned), line)),
            }
        }
        let is_trial = |tag: Option<&str>, line: u64| {
            let own = sized.iter().filter(|(by, _)| together(replica(by.as_deref()), replica(tag)));
            own.map(|(_, sized)| *sized).min().is_some_and(|first| line < first)
        };
        for figure in self.figures.iter_mut().filter(|figure| tried(figure.key).is_some()) {
            if is_trial(figure.origin.worker.as_deref(), figure.origin.line) {
                figure.key = tried(figure.key).unwrap_or(figure.key);
            }
        }
        for event in self.events.iter_mut().filter(|e| e.milestone == Milestone::GraphsCaptured) {
            if is_trial(event.origin.worker.as_deref(), event.origin.line) {
                event.milestone = Milestone::GraphsTried;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vramscope_core::Milestone;

    use crate::{EngineReport, LogParser};

    fn engine(lines: &[&str]) -> EngineReport {
        let mut parser = LogParser::new();
        for line in lines {
            parser.push_line(line);
        }
        parser.finish().engines.remove(0)
    }

    const WEIGHTS: &str = "(EngineCore pid=7) INFO 11-28 19:51:36 [model_runner.py:428] Model loading took 3.5 GiB memory and 6.29 seconds";
    const TRIAL: &str = "(EngineCore pid=7) INFO 11-28 19:52:17 [model_runner.py:1163] Graph capturing finished in 8 secs, took 0.31 GiB";
    const SIZED: &str = "(EngineCore pid=7) INFO 11-28 19:52:18 [kv_cache_utils.py:1147] GPU KV cache size: 4,320 tokens, Maximum concurrency for 1,000 tokens per request: 4.32x";
    const KEPT: &str = "(EngineCore pid=7) INFO 11-28 19:52:40 [model_runner.py:1163] Graph capturing finished in 10 secs, took 0.25 GiB";

    #[test]
    fn a_trial_is_no_capture_and_no_contradiction() {
        for lines in [&[WEIGHTS, TRIAL, SIZED, KEPT][..], &[TRIAL, SIZED, KEPT]] {
            let engine = engine(lines);
            assert!(engine.notes.is_empty(), "{:?}", engine.notes);
            let gib = |facts: &[vramscope_core::Fact<vramscope_core::Bytes>]| {
                facts.iter().map(|f| f.value.to_string()).collect::<Vec<_>>()
            };
            assert_eq!(gib(&engine.facts.graphs_tried), ["0.31 GiB"]);
            assert_eq!(gib(&engine.facts.graphs), ["0.25 GiB"]);
            let captured = engine.facts.event(Milestone::GraphsCaptured).unwrap();
            assert_eq!(captured.origin.line, u64::try_from(lines.len()).unwrap());
        }
    }

    #[test]
    fn a_log_that_ends_behind_the_trial_has_no_capture() {
        let engine = engine(&[WEIGHTS, TRIAL]);
        assert!(engine.facts.graphs.is_empty() && engine.facts.event(Milestone::GraphsCaptured).is_none());
        assert_eq!(engine.facts.graphs_tried.len(), 1);
    }

    #[test]
    fn a_capture_alone_or_behind_the_size_stays() {
        for lines in [&[KEPT][..], &[SIZED, KEPT], &[WEIGHTS, SIZED, KEPT]] {
            assert_eq!(engine(lines).facts.graphs.len(), 1, "{lines:?}");
        }
    }

    #[test]
    fn a_worker_that_names_no_replica_is_of_the_one_engine_that_does() {
        let of = |line: &str, tag: &str| line.replace("EngineCore", tag);
        let log = [of(WEIGHTS, "Worker_TP0"), of(SIZED, "EngineCore_DP0"), of(KEPT, "Worker_TP0")];
        assert_eq!(engine(&log.iter().map(String::as_str).collect::<Vec<_>>()).facts.graphs.len(), 1);
    }

    #[test]
    fn the_size_of_another_replica_ends_no_trial() {
        let of = |line: &str, tag: &str| line.replace("EngineCore", tag);
        let (dp0, dp1) = ("EngineCore_DP0", "EngineCore_DP1");
        let log = [
            of(WEIGHTS, dp0),
            of(WEIGHTS, dp1),
            of(TRIAL, dp0),
            of(SIZED, dp0),
            of(TRIAL, dp1),
            of(SIZED, dp1),
            of(KEPT, dp0),
            of(KEPT, dp1),
        ];
        let engine = engine(&log.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((engine.facts.graphs_tried.len(), engine.facts.graphs.len()), (2, 2));
    }
}
