//! Which engine a record belongs to: several engines, one after the other or side by side, may share a log.

use std::collections::HashMap;

use vramscope_core::{EngineKind, LogTime};

use crate::engine::{Engine, Place};
use crate::news::{News, Newsroom};
use crate::note::ParseNote;
use crate::record::{Record, Stream};
use crate::vllm::worker::Worker;

/// Most engine starts in one input that are told apart.
const MAX_ENGINES: usize = 200;
/// Most process ids that are remembered.
const MAX_PIDS: usize = 4096;
/// Most streams (services of one compose file) that are told apart.
const MAX_STREAMS: usize = 64;

/// A program that shares the log with others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Program {
    name: String,
    stage: Option<u32>,
}

impl Program {
    fn is(&self, stream: Stream<'_>) -> bool {
        self.name == stream.name.unwrap_or("") && self.stage == stream.stage
    }
}

/// The engines, and who belongs to which.
#[derive(Debug)]
pub(crate) struct Router {
    engines: Vec<Engine>,
    /// The engine of a process. Services of one log count their processes apart: the first number is that of the service's
    /// name.
    pids: HashMap<(usize, u64), usize>,
    /// The names of services; none is the first.
    services: Vec<String>,
    /// The engine that each stream is at.
    streams: Vec<(Program, usize)>,
    /// The engine of the last record.
    current: usize,
    /// Starts that were not kept.
    dropped: u64,
}

impl Router {
    pub(crate) fn new() -> Self {
        Self {
            engines: vec![Engine::new(1)],
            pids: HashMap::new(),
            services: vec![String::new()],
            streams: Vec::new(),
            current: 0,
            dropped: 0,
        }
    }

    /// Keeps news from now on.
    pub(crate) fn follow(&mut self) {
        self.current().newsroom = Newsroom::open();
    }

    /// The news since they were taken last.
    pub(crate) fn take_news(&mut self) -> Vec<News> {
        self.engines.iter_mut().flat_map(|engine| engine.newsroom.take()).collect()
    }

    /// The engine of the last record.
    pub(crate) fn current(&mut self) -> &mut Engine {
        self.engine(self.current)
    }

    /// One engine.
    pub(crate) fn engine(&mut self, place: usize) -> &mut Engine {
        let place = place.min(self.engines.len() - 1);
        &mut self.engines[place]
    }

    /// All engines, in the order of their starts.
    pub(crate) fn into_engines(self) -> (Vec<Engine>, Option<ParseNote>) {
        let note = (self.dropped > 0).then(|| {
            ParseNote::new(
                0,
                format!(
                    "{} more engine starts than the {MAX_ENGINES} that are kept: the first ones and the last",
                    self.dropped
                ),
            )
        });
        (self.engines, note)
    }

    /// The engine of a record.
    pub(crate) fn route(&mut self, record: &Record<'_>, line: u64) -> usize {
        let process = self.process(record);
        let known = process.and_then(|process| self.pids.get(&process).copied());
        let engine = known.unwrap_or_else(|| self.at(record.stream));
        let engine = if known.is_none() { self.of_stage(engine, record, line) } else { engine };
        let new = process.filter(|_| known.is_none() && self.pids.len() < MAX_PIDS);
        self.pids.extend(new.map(|process| (process, engine)));
        self.current = engine;
        // One that had the log's beginning in its name begins where its first line stands.
        if self.engine(engine).is_empty() && self.engines.iter().any(|other| other.kind.is_some()) {
            self.engine(engine).first_line = line;
        }
        self.engine(engine).last_line = line;
        engine
    }

    /// The process of a record, if it has a number.
    fn process(&mut self, record: &Record<'_>) -> Option<(usize, u64)> {
        let pid = pid(record.tag)?;
        let name = record.stream.name.unwrap_or("");
        let service = self.services.iter().position(|known| known == name).unwrap_or_else(|| {
            // Beyond what is told apart all are one.
            if self.services.len() < MAX_STREAMS {
                self.services.push(name.to_owned());
            }
            self.services.len() - 1
        });
        Some((service, pid))
    }

    /// Where a stream is.
    fn at(&self, stream: Stream<'_>) -> usize {
        let own = self.streams.iter().find(|(program, _)| program.is(stream)).map(|(_, engine)| *engine);
        let last = || self.engines.iter().rposition(|engine| engine.kind.is_none()).unwrap_or(0);
        own.unwrap_or_else(|| if stream.name.is_none() { last() } else { 0 })
    }

    /// A new engine that has a room of its own.
    pub(crate) fn open_other(&mut self, kind: EngineKind, line: u64) -> usize {
        let new = self.open(self.current, line, None);
        self.engine(new).kind = Some(kind);
        new
    }

    /// A line of an engine that has a room of its own.
    pub(crate) fn go_to(&mut self, engine: usize, line: u64) {
        self.current = engine;
        self.engine(engine).last_line = line;
    }

    /// The engine of a record's stage. Each stage is an engine, also where the log lacks the line that announces it.
    fn of_stage(&mut self, engine: usize, record: &Record<'_>, line: u64) -> usize {
        let Some(stage) = record.stream.stage else { return engine };
        let others = self.engine(engine).stage.is_some_and(|known| known != stage);
        // What cannot be settled would be opened again with each line.
        let engine =
            if others && self.streams.len() < MAX_STREAMS { self.open(engine, line, record.clock) } else { engine };
        self.engine(engine).stage = Some(stage);
        self.settle(record.stream, engine);
        engine
    }

    /// A new engine, beside or after `engine`.
    fn open(&mut self, engine: usize, line: u64, at: Option<LogTime>) -> usize {
        if self.engines.len() == MAX_ENGINES {
            self.dropped += 1;
            self.engines.pop();
        }
        let mut begun = Engine::new(line);
        if let Some(at) = at {
            begun.clock(at, line);
        }
        if self.engine(engine).newsroom.is_open() {
            begun.newsroom = Newsroom::open();
            begun.newsroom.push(|| News::Engine { line });
        }
        self.engines.push(begun);
        self.engines.len() - 1
    }

    /// An engine announces itself in a record that belongs to `engine`. If that one has begun already, a new one begins.
    pub(crate) fn begin(
        &mut self,
        engine: usize,
        record: &Record<'_>,
        place: &Place<'_>,
        again: impl Fn(&Engine) -> bool,
    ) -> usize {
        let stream = record.stream;
        if !again(self.engine(engine)) {
            // A service of a compose file that is seen for the first time is not the engine that another one began.
            let known = stream == Stream::default() || self.streams.iter().any(|(program, _)| program.is(stream));
            let claimed = self.streams.iter().any(|(_, at)| *at == engine);
            if known || !claimed {
                self.settle(stream, engine);
                return engine;
            }
        }
        let new = self.open(engine, place.line, place.at);
        self.engine(new).stage = stream.stage;
        if self.current == engine && engine < new {
            self.engines[engine].last_line = place.line.saturating_sub(1).max(1);
        }
        // A process that begins again is another process under the same number, and so are those around it.
        if let Some(process) = self.process(record) {
            if self.pids.get(&process).is_some_and(|old| *old == engine) && self.was_announced_by(engine, process.1) {
                self.pids.retain(|_, at| *at != engine);
            }
            self.pids.insert(process, new);
        }
        self.settle(stream, new);
        self.current = new;
        new
    }

    fn settle(&mut self, stream: Stream<'_>, engine: usize) {
        match self.streams.iter().position(|(program, _)| program.is(stream)) {
            Some(place) => self.streams[place].1 = engine,
            None if self.streams.len() < MAX_STREAMS => {
                let program = Program { name: stream.name.unwrap_or("").to_owned(), stage: stream.stage };
                self.streams.push((program, engine));
            }
            None => {}
        }
    }

    fn was_announced_by(&self, engine: usize, pid: u64) -> bool {
        self.engines.get(engine).is_some_and(|e| e.announced_by.contains(&pid))
    }
}

/// The process id of a tag.
pub(crate) fn pid(tag: Option<&str>) -> Option<u64> {
    Worker::of(tag?).pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::{LogParser, LogReport};

    fn read(lines: &[&str]) -> LogReport {
        let mut parser = LogParser::new();
        for line in lines {
            parser.push_line(line);
        }
        parser.finish()
    }

    #[test]
    fn each_stage_of_a_model_is_an_engine() {
        let report = read(&[
            "[Stage-0] INFO 12-20 06:05:46 [gpu_model_runner.py:3210] Model loading took 16.7803 GiB memory and 12.113 seconds",
            "(EngineCore_DP0 pid=63) [Stage-1] INFO 12-20 06:05:50 [gpu_worker.py:348] Available KV cache memory: 11.12 GiB",
            "(EngineCore_DP0 pid=41) [Stage-0] INFO 12-20 06:05:56 [gpu_worker.py:348] Available KV cache memory: 40.12 GiB",
            "(EngineCore_DP0 pid=41) 2026-12-20 06:05:56,837 - INFO - autotuner.py:256 - Autotuning process starts",
            "[Stage-1] INFO 12-20 06:05:57 [kv_cache_utils.py:1229] GPU KV cache size: 120,000 tokens",
            "[Stage-0] INFO 12-20 06:06:57 [kv_cache_utils.py:1229] GPU KV cache size: 430,000 tokens",
        ]);
        let stages: Vec<_> = report.engines.iter().map(|engine| engine.stage).collect();
        assert_eq!(stages, [Some(0), Some(1)]);
        let tokens: Vec<_> = report.engines.iter().map(|e| e.facts.kv_cache_tokens()).collect();
        assert_eq!(tokens, [Some(430_000), Some(120_000)]);
        assert!(report.engines.iter().all(|engine| engine.notes.is_empty()), "{report:#?}");
    }

    #[test]
    fn services_count_their_processes_apart() {
        let line = |service: u32, gib: u32| {
            format!(
                "vllm-{service}  | (EngineCore_DP0 pid=20) INFO 12-20 06:05:50 [a.py:1] Model loading took {gib} GiB memory and 1 seconds"
            )
        };
        let start = |service: u32| {
            format!(
                "vllm-{service}  | (EngineCore_DP0 pid=20) INFO 12-20 06:05:46 [core.py:93] Initializing a V1 LLM engine (v0.16.0) with config: model='m'"
            )
        };
        let report = read(&[&start(1), &start(2), &line(1, 3), &line(2, 5)]);
        let weights: Vec<u64> =
            report.engines.iter().flat_map(|e| &e.facts.weights).map(|fact| fact.value.get() >> 30).collect();
        assert_eq!((report.engines.len(), weights), (2, vec![3, 5]), "{report:#?}");
    }

    #[test]
    fn a_stage_that_starts_again_is_another_engine_and_many_stages_are_bounded() {
        let start =
            "[Stage-1] INFO 12-20 06:05:46 [core.py:93] Initializing a V1 LLM engine (v0.16.0) with config: model='m'";
        let report = read(&[start, start]);
        assert_eq!(report.engines.iter().map(|engine| engine.stage).collect::<Vec<_>>(), [Some(1), Some(1)]);
        let many: Vec<String> = (0..1000)
            .map(|stage| format!("[Stage-{stage}] INFO 12-20 06:05:57 [a.py:1] GPU KV cache size: 120,000 tokens"))
            .collect();
        let report = read(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(report.engines.len() <= super::MAX_ENGINES, "{}", report.engines.len());
    }
}
