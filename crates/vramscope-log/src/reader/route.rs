//! Which engine a record belongs to: several engines, one after the other or side by side, may share a log.

use std::collections::HashMap;

use crate::engine::{Engine, Place};
use crate::news::{News, Newsroom};
use crate::note::ParseNote;
use crate::record::Record;
use crate::vllm::worker::Worker;

/// Most engine starts in one input that are told apart.
const MAX_ENGINES: usize = 200;
/// Most process ids that are remembered.
const MAX_PIDS: usize = 4096;
/// Most streams (services of one compose file) that are told apart.
const MAX_STREAMS: usize = 64;

/// The engines, and who belongs to which.
#[derive(Debug)]
pub(crate) struct Router {
    engines: Vec<Engine>,
    /// The engine of a process.
    pids: HashMap<u64, usize>,
    /// The engine that each stream is at.
    streams: Vec<(String, usize)>,
    /// The engine of the last record.
    current: usize,
    /// Starts that were not kept.
    dropped: u64,
}

impl Router {
    pub(crate) fn new() -> Self {
        Self { engines: vec![Engine::new(1)], pids: HashMap::new(), streams: Vec::new(), current: 0, dropped: 0 }
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
        let known = pid(record.tag).and_then(|pid| self.pids.get(&pid).copied());
        let engine = known.unwrap_or_else(|| self.at(record.stream.unwrap_or("")));
        let new = pid(record.tag).filter(|_| known.is_none() && self.pids.len() < MAX_PIDS);
        self.pids.extend(new.map(|pid| (pid, engine)));
        self.current = engine;
        self.engine(engine).last_line = line;
        engine
    }

    /// Where a stream is.
    fn at(&self, stream: &str) -> usize {
        let own = self.streams.iter().find(|(name, _)| name == stream).map(|(_, engine)| *engine);
        own.unwrap_or(if stream.is_empty() { self.engines.len() - 1 } else { 0 })
    }

    /// An engine announces itself in a record that belongs to `engine`. If that one has begun already, a new one begins.
    pub(crate) fn begin(
        &mut self,
        engine: usize,
        record: &Record<'_>,
        place: &Place<'_>,
        again: impl Fn(&Engine) -> bool,
    ) -> usize {
        let stream = record.stream.unwrap_or("");
        if !again(self.engine(engine)) {
            // A service of a compose file that is seen for the first time is not the engine that another one began.
            let known = stream.is_empty() || self.streams.iter().any(|(name, _)| name == stream);
            let claimed = self.streams.iter().any(|(_, at)| *at == engine);
            if known || !claimed {
                self.settle(stream, engine);
                return engine;
            }
        }
        if self.engines.len() == MAX_ENGINES {
            self.dropped += 1;
            self.engines.pop();
        }
        let mut begun = Engine::new(place.line);
        if let Some(at) = place.at {
            begun.clock(at, place.line);
        }
        if self.engine(engine).newsroom.is_open() {
            begun.newsroom = Newsroom::open();
            begun.newsroom.push(|| News::Engine { line: place.line });
        }
        self.engines.push(begun);
        let new = self.engines.len() - 1;
        if self.current == engine && engine < new {
            self.engines[engine].last_line = place.line.saturating_sub(1).max(1);
        }
        // A process that begins again is another process under the same number, and so are those around it.
        if let Some(pid) = pid(record.tag) {
            if self.pids.get(&pid).is_some_and(|old| *old == engine) && self.was_announced_by(engine, pid) {
                self.pids.retain(|_, at| *at != engine);
            }
            self.pids.insert(pid, new);
        }
        self.settle(stream, new);
        self.current = new;
        new
    }

    fn settle(&mut self, stream: &str, engine: usize) {
        match self.streams.iter().position(|(name, _)| name == stream) {
            Some(place) => self.streams[place].1 = engine,
            None if self.streams.len() < MAX_STREAMS => self.streams.push((stream.to_owned(), engine)),
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
