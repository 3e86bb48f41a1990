//! What has been read of one engine, from its start to its end.

mod activity;
mod captures;
mod failures;

use std::time::Duration;

use vramscope_core::{Buffer, EngineKind, Event, Failure, Generation, LogTime, Milestone, Origin, Scope};

use crate::figure::{Figure, Value};
use crate::key::Key;
use crate::news::{News, Newsroom};
use crate::note::ParseNote;
use crate::pattern::Captured;
use crate::report::Reports;
use crate::vllm::bench::Bench;
use crate::vllm::settings::{Setting, SettingSource, SettingValue};
use crate::vllm::worker::{Placement, V0_WORKER, Worker};

pub(crate) use activity::Frame;
pub(crate) use failures::{Failures, Statement};

/// Most figures of one key that one engine keeps. Engines of a few hundred workers print a few hundred; a crash loop
/// within one engine prints without end, and memory must not follow it.
const MAX_FIGURES: usize = 512;
/// Most events that are kept, of which no engine that starts once has more than about ten.
const MAX_EVENTS: usize = 256;

/// A record's surroundings, as figures and events need them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The line, counted from 1.
    pub(crate) line: u64,
    /// The process tag.
    pub(crate) tag: Option<&'a str>,
    /// The clock on the line, or on the nearest line before it that has one.
    pub(crate) at: Option<LogTime>,
    pub(crate) at_is_own: bool,
    pub(crate) repeated: u32,
    /// The rank that stands before the line.
    pub(crate) rank: Option<u32>,
}

impl Place<'_> {
    pub(crate) fn origin(&self) -> Origin {
        Origin { line: self.line, worker: self.tag.map(str::to_owned) }
    }
}

/// Which announcements of a start an engine has had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) begin: bool,
    pub(crate) args: bool,
    pub(crate) config: bool,
}

/// One engine under construction.
#[derive(Debug, Default)]
pub(crate) struct Engine {
    /// Which one, where a room of its own reads it; that of all others is told from what was read.
    pub(crate) kind: Option<EngineKind>,
    /// It said something that only the first engine says.
    pub(crate) is_told: bool,
    pub(crate) first_line: u64,
    pub(crate) last_line: u64,
    pub(crate) first_clock: Option<(LogTime, u64)>,
    pub(crate) last_clock: Option<(LogTime, u64)>,
    /// Which stage of a model that several engines serve together.
    pub(crate) stage: Option<u32>,
    pub(crate) marks: Marks,
    /// The processes that announced it.
    pub(crate) announced_by: Vec<u64>,
    /// The processes that printed a configuration: replicas print it once each.
    pub(crate) config_tags: Vec<String>,
    pub(crate) figures: Vec<Figure>,
    counts: Vec<(Key, usize)>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) generation: Option<(Generation, Origin)>,
    pub(crate) events: Vec<Event>,
    pub(crate) failures: Failures,
    pub(crate) placements: Vec<Placement>,
    pub(crate) reports: Reports,
    pub(crate) bench: Bench,
    pub(crate) notes: Vec<ParseNote>,
    pub(crate) newsroom: Newsroom,
    /// Memory by what it holds and where it lies.
    pub(crate) buffers: Vec<Buffer>,
}

impl Engine {
    /// An engine whose first line is this one.
    pub(crate) fn new(first_line: u64) -> Self {
        Self { first_line, last_line: first_line, ..Self::default() }
    }

    /// Whether nothing but noise has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.kind.is_none()
            && self.figures.is_empty()
            && self.settings.is_empty()
            && self.generation.is_none()
            && self.events.is_empty()
            && self.failures.is_empty()
            && self.bench.is_empty()
            && self.reports.is_empty()
            && self.placements.is_empty()
            && self.marks == Marks::default()
    }

    /// Adds the values of a line.
    pub(crate) fn take(&mut self, captured: Vec<Captured>, place: &Place<'_>) {
        for Captured { key, value, resolution } in captured {
            if key.is_ignored() || !self.room_for(key, place) {
                continue;
            }
            let value = match value {
                Value::Text(text) => Value::Text(vramscope_core::redact(&text)),
                other => other,
            };
            let figure = Figure {
                key,
                value,
                resolution,
                scope: Scope::PerRank,
                place: None,
                origin: place.origin(),
                at: place.at,
                repeated: place.repeated,
            };
            self.newsroom.push(|| News::Figure(figure.clone()));
            self.figures.push(figure);
        }
    }

    pub(crate) fn room_for(&mut self, key: Key, place: &Place<'_>) -> bool {
        let slot = match self.counts.iter().position(|(k, _)| *k == key) {
            Some(slot) => slot,
            None => {
                self.counts.push((key, 0));
                self.counts.len() - 1
            }
        };
        let count = &mut self.counts[slot].1;
        *count += 1;
        if *count == MAX_FIGURES + 1 {
            let text = format!("more than {MAX_FIGURES} lines state `{}`; the rest is not kept", key.name());
            self.notes.push(ParseNote::new(place.line, text));
        }
        *count <= MAX_FIGURES
    }

    /// Adds settings; the first line of a kind wins, a second one that differs is noted.
    pub(crate) fn configure(&mut self, settings: Vec<Setting>) {
        for setting in settings {
            match self.settings.iter().find(|s| s.name == setting.name && s.source == setting.source) {
                None => {
                    self.newsroom.push(|| News::Setting(setting.clone()));
                    self.settings.push(setting);
                }
                Some(first) if first.value == setting.value => {}
                Some(first) => {
                    let text = format!("`{}` was given otherwise on line {}", setting.name, first.origin.line);
                    self.notes.push(ParseNote::new(setting.origin.line, text));
                }
            }
        }
    }

    /// A setting from the best source that states it.
    pub(crate) fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().filter(|s| s.name == name).min_by_key(|s| s.source)
    }

    /// A size from the best source that states it.
    fn size(&self, name: &str) -> Option<u32> {
        match self.setting(name)?.value {
            SettingValue::Count(count) => u32::try_from(count).ok(),
            _ => None,
        }
    }

    /// Whether the configuration line was read.
    pub(crate) fn has_config(&self) -> bool {
        self.settings.iter().any(|s| s.source == SettingSource::Config)
    }

    /// States the generation; the first statement wins.
    pub(crate) fn says(&mut self, generation: Generation, place: &Place<'_>) {
        match &self.generation {
            None => self.generation = Some((generation, place.origin())),
            Some((first, _)) if *first == generation => {}
            Some((_, origin)) => {
                let text = format!("line {} speaks of another engine generation", origin.line);
                self.notes.push(ParseNote::new(place.line, text));
            }
        }
    }

    /// Adds an event.
    pub(crate) fn event(&mut self, milestone: Milestone, took: Option<f64>, place: &Place<'_>) {
        if self.events.len() >= MAX_EVENTS {
            return;
        }
        let took = took.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let event = Event { milestone, at: place.at, at_is_own: place.at_is_own, took, origin: place.origin() };
        if milestone != Milestone::LastTraffic {
            self.newsroom.push(|| News::Event(event.clone()));
        }
        self.events.push(event);
    }

    /// Adds the place of a worker.
    pub(crate) fn place(&mut self, placement: Placement) {
        if self.placements.len() < MAX_FIGURES {
            self.placements.push(placement);
        }
    }

    /// Notes traffic: the first report of a request in flight, and the last one so far.
    pub(crate) fn traffic(&mut self, place: &Place<'_>) {
        if !self.events.iter().any(|e| e.milestone == Milestone::FirstTraffic) {
            self.event(Milestone::FirstTraffic, None, place);
        }
        self.events.retain(|e| e.milestone != Milestone::LastTraffic);
        self.event(Milestone::LastTraffic, None, place);
    }

    /// Adds a failure, or what another process tells of one.
    pub(crate) fn fail(&mut self, statement: Statement) {
        let open = self.newsroom.is_open();
        let advice = open.then(|| crate::advice(&statement.failure, &crate::log_report::facts(self)));
        let news = advice.map(|advice| News::Failure { failure: statement.failure.clone(), advice });
        if self.failures.add(statement)
            && let Some(news) = news
        {
            self.newsroom.push(|| news);
        }
    }

    /// The failures with what followed from each.
    pub(crate) fn settled_failures(&mut self) -> Vec<Failure> {
        let (mut failures, notes) = std::mem::take(&mut self.failures).settle(&self.events);
        self.notes.extend(notes);
        let (tensor, pipeline) = (self.size("tensor_parallel_size"), self.size("pipeline_parallel_size"));
        let in_order = self.workers_in_order(tensor, pipeline);
        let rank = |worker: Option<&str>| match worker.map(Worker::of) {
            Some(worker) => worker.rank(&self.placements, tensor).or_else(|| rank_in_order(&in_order, worker.pid)),
            // Beside V0's workers the driver has no tag.
            None => (!in_order.is_empty()).then_some(0),
        };
        for failure in &mut failures {
            failure.rank = failure.rank.or_else(|| rank(failure.origin.worker.as_deref()));
            for each in &mut failure.ranks {
                each.rank = each.rank.or_else(|| rank(each.origin.worker.as_deref()));
            }
            failure.ranks.sort_by_key(|each| (each.rank.is_none(), each.rank, each.origin.line));
        }
        failures
    }

    /// The tag of a process that has been heard of, by its number.
    pub(crate) fn tag_of(&self, pid: u64) -> Option<&str> {
        let tags = self.figures.iter().map(|f| &f.origin).chain(self.events.iter().map(|e| &e.origin));
        tags.filter_map(|origin| origin.worker.as_deref()).find(|tag| Worker::of(tag).pid.parse() == Ok(pid))
    }

    /// The clock of a line.
    pub(crate) fn clock(&mut self, time: LogTime, line: u64) {
        self.first_clock = self.first_clock.or(Some((time, line)));
        self.last_clock = Some((time, line));
    }

    /// All figures of a key, in order of appearance.
    pub(crate) fn of(&self, key: Key) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(move |f| f.key == key)
    }

    /// The process ids of V0's workers in the order of their ranks, 1 and up: it starts them one after the other. Empty
    /// unless all of them are known.
    fn workers_in_order(&self, tensor: Option<u32>, pipeline: Option<u32>) -> Vec<&str> {
        let world = tensor.unwrap_or(1).saturating_mul(pipeline.unwrap_or(1));
        let workers = self.figures.iter().filter_map(|f| f.origin.worker.as_deref()).map(Worker::of);
        let mut pids: Vec<(u64, &str)> =
            workers.filter(|w| w.name == V0_WORKER).filter_map(|w| Some((w.pid.parse().ok()?, w.pid))).collect();
        pids.sort_unstable();
        pids.dedup();
        let all = u32::try_from(pids.len()).is_ok_and(|count| Some(count) == world.checked_sub(1));
        if all { pids.into_iter().map(|(_, pid)| pid).collect() } else { Vec::new() }
    }

    /// The ranks of the workers are known only at the end: gives every figure its scope.
    pub(crate) fn settle_scopes(&mut self) {
        self.settle_captures();
        let (tensor, pipeline) = (self.size("tensor_parallel_size"), self.size("pipeline_parallel_size"));
        let in_order = self.workers_in_order(tensor, pipeline);
        let several = tensor.unwrap_or(1).max(pipeline.unwrap_or(1)) > 1;
        let scopes: Vec<Scope> = self
            .figures
            .iter()
            .map(|figure| match figure.key {
                Key::KvTokens | Key::ConcurrencyTokens | Key::ConcurrencyFactor | Key::InitSecs => Scope::AllRanks,
                // The host's memory, of which the driver sets aside what all ranks swap to.
                Key::SwapSpace | Key::HostTotal => Scope::AllRanks,
                Key::DevicesTotal | Key::DevicesRequested | Key::DevicesUsed | Key::DevicesFree => Scope::AllRanks,
                Key::GpuBlocks | Key::CpuBlocks => Scope::PerRank,
                _ => {
                    let worker = figure.origin.worker.as_deref().map(Worker::of);
                    let rank = worker
                        .and_then(|w| w.rank(&self.placements, tensor).or_else(|| rank_in_order(&in_order, w.pid)));
                    match rank {
                        Some(rank) => Scope::ThisRank(rank),
                        // Without a tag the driver speaks, which is rank 0.
                        None if several && figure.origin.worker.is_none() => Scope::ThisRank(0),
                        None => Scope::PerRank,
                    }
                }
            })
            .collect();
        for (figure, scope) in self.figures.iter_mut().zip(scopes) {
            figure.scope = scope;
        }
    }
}

/// The rank of a worker among those of V0 in their order, of which the first is 1.
fn rank_in_order(in_order: &[&str], pid: &str) -> Option<u32> {
    let place = in_order.iter().position(|known| *known == pid)?;
    u32::try_from(place + 1).ok()
}
