//! What a record of a known format does to its engine.

use std::sync::LazyLock;

use vramscope_core::{Failure, FailureKind, Milestone};

use super::join::Owner;
use super::{MAX_RESULT_LINES, MAX_TRACEBACK_LINES, Reader, route};
use crate::engine::{Engine, Place, Statement};
use crate::figure::Value;
use crate::key::{Key, Kind};
use crate::pattern::{Captured, Matched};
use crate::record::{Record, Stream};
use crate::report::Report;
use crate::vllm::failure;
use crate::vllm::generation::generation;
use crate::vllm::rows::{self, BenchPart, Effect, Format};
use crate::vllm::settings::{self, SettingSource};
use crate::vllm::worker::{Placement, Worker};

impl Reader {
    pub(super) fn apply(
        &mut self,
        engine: usize,
        format: &'static Format,
        matched: Matched,
        text: &str,
        record: &Record<'_>,
        place: &Place<'_>,
    ) {
        let Matched { mut captured, end, .. } = matched;
        let rest = text.get(end..).unwrap_or("");
        let engine = self.begin(engine, format.row.effect, record, place);
        if let Some(generation) = generation(format, &captured, record.tag) {
            self.router.engine(engine).says(generation, place);
        }
        let line = place.line;
        let state = self.router.engine(engine);
        // An allocator's words are those of every engine that uses it, and so is the line that names the platform.
        let shared = matches!(format.row.effect, Effect::Fails(fails) if fails.is_exhausted())
            || !captured.is_empty() && captured.iter().all(|c| c.key == Key::Platform);
        state.is_told |= !shared;
        match format.row.effect {
            Effect::None | Effect::Known => {}
            Effect::Backend if !captured.iter().any(names_attention) => return,
            Effect::Backend => {}
            Effect::Begin => {
                state.marks.begin = true;
                state.announced_by.extend(route::pid(record.tag));
            }
            Effect::Event(Milestone::GraphsCaptured) if state.captures_for_trial(place.tag) => {
                state.event(Milestone::GraphsTried, took(&captured), place);
                Engine::name_trial(&mut captured);
            }
            Effect::Event(milestone) => state.event(milestone, took(&captured), place),
            Effect::Config | Effect::ConfigAgain => {
                let again = format.row.effect == Effect::ConfigAgain;
                if again && state.has_config() {
                    return;
                }
                state.marks.config |= !again;
                state.config_tags.push(place.tag.unwrap_or_default().to_owned());
                state.configure(settings::assignments(rest, SettingSource::Config, &place.origin()));
            }
            Effect::Args => {
                state.marks.args = true;
                state.configure(settings::non_default(rest, &place.origin()));
            }
            Effect::Namespace => {
                state.marks.args = true;
                state.configure(settings::assignments(rest, SettingSource::Namespace, &place.origin()));
            }
            Effect::Rank => {
                if let Some(placement) = placement(&captured, record.tag, line) {
                    state.place(placement);
                }
                return;
            }
            Effect::Report => {
                let report = Report::of(&captured, line, place.at);
                if report.running.is_some_and(|n| n > 0) {
                    state.traffic(place);
                }
                state.reports.push(report);
                return;
            }
            Effect::Fails(fails) => {
                let heart = failure::heart(record.message);
                let (kind, message) = (failure::kind(fails, &captured), failure::message(record.message));
                let mut failure = Failure::new(state.is_told.then_some(rows::ENGINE), kind, message, place.origin());
                failure.rank = place.rank.or_else(|| count(&captured, Key::FailRank));
                if let Some(killed) = failure::killed(&captured) {
                    let tag = state.tag_of(killed.pid).map(str::to_owned);
                    if tag.is_none() && !killed.may_be_of_engine {
                        return;
                    }
                    failure.origin.worker = tag.or(failure.origin.worker);
                }
                if fails.is_exhausted() {
                    let requests = count(&captured, Key::FailRequests).map(u64::from);
                    failure.activity = state.activity(&failure, requests, self.frame);
                }
                let raised = heart.exception.is_some() || matches!(record.level, None | Some("ERROR" | "CRITICAL"));
                let may_pass = fails.is_exhausted() && !raised;
                state.fail(Statement { failure, retold: heart.retold, may_pass, at: place.at });
                self.traceback = None;
            }
            Effect::Bench(part) => {
                state.bench.take(part, &captured, &place.origin());
                if part == BenchPart::Serve {
                    self.result = Some((engine, MAX_RESULT_LINES));
                }
                return;
            }
        }
        self.router.engine(engine).take(captured, place);
    }

    /// The engine of a record that may announce one.
    fn begin(&mut self, engine: usize, effect: Effect, record: &Record<'_>, place: &Place<'_>) -> usize {
        let pid = route::pid(record.tag);
        match effect {
            Effect::Begin => self.router.begin(engine, record, place, |e| {
                let other_process = pid.is_some_and(|pid| !e.announced_by.is_empty() && !e.announced_by.contains(&pid));
                e.marks.begin && (e.marks.args || e.marks.config || other_process)
            }),
            Effect::Args | Effect::Namespace => {
                self.router.begin(engine, record, place, |e| e.marks.args || e.marks.config)
            }
            Effect::Config => {
                // Replicas of one engine print the configuration once each.
                let tag = place.tag.unwrap_or_default();
                let replica = tag.contains("_DP");
                self.router.begin(engine, record, place, |e| {
                    e.marks.config && (!replica || e.config_tags.iter().any(|known| known == tag))
                })
            }
            _ => engine,
        }
    }

    /// Reads a record that was cut together with what followed it, for the values that were missing.
    pub(super) fn again(&mut self, joined: &str, owner: Owner) {
        let candidates = self.needles.candidates(joined);
        let stripped = failure::heart(joined).text;
        let found = rows::find(candidates, joined).or_else(|| rows::find(candidates, stripped));
        let Some((format, matched)) = found else { return };
        if matched.captured.len() <= owner.known {
            self.joiner.known(owner.known, !matched.cut);
            return;
        }
        self.joiner.known(matched.captured.len(), !matched.cut);
        let record = Record {
            tag: owner.tag.as_deref(),
            level: owner.level.as_deref(),
            clock: owner.clock,
            file: None,
            message: joined,
            repeated: 0,
            stream: Stream { name: owner.service.as_deref(), stage: owner.stage },
            rank: owner.rank,
        };
        let engine = self.router.route(&record, owner.line);
        let place = Place {
            line: owner.line,
            tag: owner.tag.as_deref(),
            at: owner.clock.or(self.clock.map(|(clock, _)| clock)),
            at_is_own: owner.clock.is_some(),
            repeated: 0,
            rank: owner.rank,
        };
        if !owner.applied {
            let text = if rows::find(candidates, joined).is_some() { joined } else { stripped };
            self.apply(engine, format, matched, text, &record, &place);
            return;
        }
        let state = self.router.engine(engine);
        if let Effect::Fails(fails) = format.row.effect {
            let kind = failure::kind(fails, &matched.captured);
            if let Some(known) = state.failures.of_line(owner.line) {
                known.kind = kind;
                known.message = failure::message(joined);
            }
        }
        let more = matched.captured.into_iter().skip(owner.known).collect();
        state.take(more, &place);
    }

    /// A progress bar of a benchmark, or another one. Gives whether it was one.
    pub(super) fn bar(&mut self, engine: usize, message: &str, place: &Place<'_>) -> bool {
        let Some(bar) = BAR.find(message.as_bytes()) else { return false };
        let Some((name, percent)) = message[..bar].split_once(": ") else { return false };
        let (percent, rest) = (percent.trim_start(), &message[bar..]);
        if percent.is_empty() || percent.bytes().any(|b| !b.is_ascii_digit()) {
            return false;
        }
        let (begins, ends) = match name {
            "Warmup iterations" => (Milestone::WarmupBegan, Milestone::WarmupEnded),
            "Bench iterations" => (Milestone::MeasureBegan, Milestone::MeasureEnded),
            _ => return true,
        };
        let engine = self.router.engine(engine);
        if !engine.events.iter().any(|e| e.milestone == begins) {
            engine.event(begins, None, place);
        }
        if percent == "100" {
            let elapsed = rest.rsplit_once('[').and_then(|(_, times)| elapsed(times));
            engine.events.retain(|e| e.milestone != ends);
            engine.event(ends, elapsed, place);
        }
        true
    }

    /// An exception of unknown kind: of the engine's own processes, or at the end of a traceback without prefixes.
    pub(super) fn exception(
        &mut self,
        engine: usize,
        record: &Record<'_>,
        exception: Option<usize>,
        place: &Place<'_>,
    ) {
        let worker = record.tag.map(Worker::of);
        // Up to 0.8.2 processes have no tags: the source file tells whose line it is.
        let of_file =
            || record.file.is_some_and(|file| ENGINE_FILES.contains(&file.rsplit('/').next().unwrap_or(file)));
        let of_engine = worker.map_or_else(of_file, |w| !w.is_front_end());
        let Some(at) = exception else {
            if record.message.ends_with("Exception in ASGI application") {
                self.request_failed = Some(place.line);
            }
            // What the server prints behind that is about one request; the engine goes on.
            let of_request = !of_engine
                && self.request_failed.is_some_and(|began| place.line.saturating_sub(began) <= MAX_REQUEST_LINES);
            if record.level.is_none() && !of_request && record.message.starts_with("Traceback (most recent call last)")
            {
                self.traceback = Some(place.line);
            }
            return;
        };
        let ends_traceback =
            self.traceback.is_some_and(|began| place.line.saturating_sub(began) <= MAX_TRACEBACK_LINES);
        let failed = match record.level {
            Some("ERROR" | "CRITICAL") => of_engine,
            None => ends_traceback && !record.message.starts_with(' '),
            Some(_) => false,
        };
        if failed {
            self.traceback = None;
            let message = failure::message(&record.message[at..]);
            if LEFTOVERS.iter().any(|of_keeper| message.starts_with(of_keeper)) {
                return;
            }
            let retold = failure::heart(record.message).retold;
            let told = self.router.engine(engine).is_told.then_some(rows::ENGINE);
            let mut failure = Failure::new(told, FailureKind::Other, message, place.origin());
            failure.rank = place.rank;
            self.router.engine(engine).fail(Statement { failure, retold, may_pass: false, at: place.at });
        }
    }
}

/// What Python's keeper of shared memory and semaphores (`multiprocessing.resource_tracker`) prints about their names when
/// processes were killed under it: that follows from what happened, and is not it.
const LEFTOVERS: [&str; 2] = ["KeyError: '/psm_", "KeyError: '/mp-"];

/// The source files whose loggers speak for the engine's own processes, of V0 and V1.
const ENGINE_FILES: [&str; 6] = [
    "core.py",
    "multiproc_executor.py",
    "multiproc_worker_utils.py",
    "ray_distributed_executor.py",
    "worker_base.py",
    "engine.py",
];

/// Farthest that a traceback may begin behind the words that a request failed: it has some hundred lines, and the
/// exceptions that led to it stand before it.
const MAX_REQUEST_LINES: u64 = 500;

static BAR: LazyLock<memchr::memmem::Finder<'static>> = LazyLock::new(|| memchr::memmem::Finder::new("%|"));

/// The time that a line gives for what happened.
fn took(captured: &[Captured]) -> Option<f64> {
    let time = captured.iter().find(|c| c.key.kind() == Kind::Seconds)?;
    match time.value {
        Value::Number(secs) => Some(secs),
        _ => None,
    }
}

/// Whether a value is the name of an attention backend.
fn names_attention(captured: &Captured) -> bool {
    matches!((captured.key, &captured.value), (Key::AttentionBackend, Value::Text(name)) if is_attention(name))
}

/// Names of attention backends hold one of these.
const ATTENTION: &[&str] =
    &["attn", "attention", "attenion", "flash", "mla", "xformers", "sdpa", "pallas", "aiter", "_fa"];
/// Names of other backends hold one of these.
const NOT_ATTENTION: &[&str] = &["prefill", "moe", "reduce", "gemm", "linear", "sampl", "[", "'"];

fn is_attention(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ATTENTION.iter().any(|word| name.contains(word)) && !NOT_ATTENTION.iter().any(|word| name.contains(word))
}

/// A whole number that a line states.
fn count(captured: &[Captured], key: Key) -> Option<u32> {
    captured.iter().find(|c| c.key == key).and_then(|c| match c.value {
        Value::Count(count) => u32::try_from(count).ok(),
        _ => None,
    })
}

fn placement(captured: &[Captured], tag: Option<&str>, line: u64) -> Option<Placement> {
    let count = |key: Key| count(captured, key);
    Some(Placement {
        pid: tag.map(|tag| Worker::of(tag).pid.to_owned()),
        rank: count(Key::Rank)?,
        world_size: count(Key::WorldSize)?,
        data: count(Key::DpRank)?,
        pipeline: count(Key::PpRank)?,
        tensor: count(Key::TpRank)?,
        line,
    })
}

/// The seconds of `[00:13<00:19,  6.59s/it]`, `1:02:03<…`.
fn elapsed(times: &str) -> Option<f64> {
    let (spent, _) = times.split_once('<')?;
    let mut secs = 0u32;
    for part in spent.split(':') {
        secs = secs.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    Some(f64::from(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attention_counts_as_attention() {
        for name in ["FLASH_ATTN", "Flash Attention", "ROCmFlashAttention", "Triton MLA", "XFormers", "FlexAttenion"] {
            assert!(is_attention(name), "{name}");
        }
        for name in
            ["'FLASHINFER_CUTLASS' NvFp4 MoE", "Marlin", "['CUSTOM', 'PYNCCL'] all-reduce", "FLASH_ATTN MLA prefill"]
        {
            assert!(!is_attention(name), "{name}");
        }
    }

    #[test]
    fn elapsed_times_are_read() {
        assert_eq!(elapsed("00:13<00:19,  6.59s/it]"), Some(13.0));
        assert_eq!(elapsed("1:02:03<00:00, 1it/s]"), Some(3723.0));
        assert_eq!(elapsed("?<?"), None);
    }
}
