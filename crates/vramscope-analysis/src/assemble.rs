//! Lays what was derived into the profile document.

mod allocator;
mod config;
mod engine;
pub(crate) mod expectation;
mod framework;
mod layers;
mod live;
mod memory;
mod multi_gpu;
mod outcome;
mod served;
mod timeline;

pub use layers::{Beside, LayersError, RunLayers, run_layers};
pub(crate) use live::metrics as engine_metrics;
pub use served::profile_of_load;

use crate::attribution::{RankEvidence, placed};
use vramscope_core::{EngineFacts, Milestone, Window};
use vramscope_schema::Amount;
use vramscope_schema::v3::{Generator, Metadata, Profile, RawLogFile, RawLogs, RunStatus, Source, SourceKind};

use crate::derive::{DeriveError, Inputs, derive};
use crate::diagnose;
use crate::evidence::Evidence;
use crate::evidence::bench::Bench;
use crate::evidence::gpu_log::Clock;
use crate::known::Known;
use crate::model;

/// The device that the engine worked on, where it is one that is known.
pub(crate) fn device(run: &Known<'_>) -> Option<vramscope_estimate::GpuModel> {
    expectation::device(run).map(|(_, device)| device)
}

/// Turns evidence into a profile. The same evidence always gives the same profile: nothing of the present moment
/// enters it.
///
/// # Errors
/// [`DeriveError`] if sums do not fit 64 bits.
pub fn assemble(evidence: &Evidence, generator: Generator) -> Result<Profile, DeriveError> {
    known(evidence, |run| run.profile(generator))
}

/// Brings together what is known of a run, for one look at it.
fn known<T>(evidence: &Evidence, look: impl FnOnce(&Known<'_>) -> T) -> Result<T, DeriveError> {
    let nothing = EngineFacts::default();
    let facts = evidence.facts().unwrap_or(&nothing);
    let inside = framework::latency(evidence);
    let latency = match &evidence.bench {
        Some(Bench::Latency(latency)) => Some(latency),
        _ => inside.as_ref().or(facts.latency.as_ref()),
    };
    let stated = evidence.metrics.as_deref().unwrap_or_default();
    let block_tokens = stated.iter().find_map(|reading| reading.kv_block_tokens);
    let ranks = RankEvidence {
        facts,
        kv: model::kv_geometry(evidence.architecture.as_ref(), facts, block_tokens),
        computed_weights: model::weights(evidence.architecture.as_ref(), facts),
        inside: framework::parts(evidence),
        blocks: stated.iter().find_map(|reading| reading.kv_blocks),
    };
    let warmup_iterations = evidence.args.as_ref().and_then(|args| args.workload().warmup_iterations);
    let engine_pids = evidence.record.as_ref().map_or(&[][..], |record| &record.engine_pids);
    let marks = evidence.marks.as_ref();
    let was_there = crate::known::attached(evidence);
    let snapshots = &evidence.snapshots;
    let inputs = Inputs { ranks: ranks.clone(), marks, latency, warmup_iterations, engine_pids, was_there, snapshots };
    let derived = evidence.gpu.as_ref().map(|gpu| derive(gpu, &inputs)).transpose()?;
    let facts = evidence.ended().unwrap_or(facts);
    Ok(look(&Known { evidence, facts, ranks: &ranks, derived: derived.as_ref(), latency }))
}

impl Known<'_> {
    fn profile(&self, generator: Generator) -> Profile {
        let mut profile = Profile::new(generator, self.metadata());
        profile.run_config = config::run_config(self);
        profile.model_info = config::model_info(self);
        profile.gpu_info = memory::gpu_info(self);
        profile.memory_measurements = memory::measurements(self);
        profile.memory_breakdown = memory::breakdown(self);
        profile.vllm_internal_metrics = engine::internal_metrics(self);
        profile.engine_reported = engine::reported(self);
        profile.memory_timeline = timeline::memory_timeline(self);
        profile.detailed_gpu_metrics = memory::at_the_peak(self);
        profile.phases = timeline::phases(self);
        profile.gaps = self.derived.map(timeline::gaps);
        profile.latency_stats = outcome::latency_stats(self);
        profile.served_stats = live::served(self);
        profile.engine_metrics = live::metrics(self);
        profile.engine_metadata = engine::metadata(self);
        profile.host = live::host(self);
        profile.expectation = expectation::expectation(self);
        profile.failure = outcome::failure(self);
        profile.diagnostics = Some(diagnose::run(self));
        profile.raw_logs = self.raw_logs();
        profile
    }

    fn metadata(&self) -> Metadata {
        let timeline = self.derived.map(|d| &d.timeline);
        let utc = self.evidence.gpu.as_ref().is_some_and(|gpu| gpu.clock == Clock::Utc);
        let anchor = timeline.and_then(vramscope_core::Timeline::anchor_unix_ns);
        let moment = anchor.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).ok());
        let timestamp = moment.map(|at| {
            let civil = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
            let zone = if utc { "Z" } else { "" };
            format!("{}{zone}", civil.strftime("%Y-%m-%dT%H:%M:%S%.3f"))
        });
        Metadata {
            timestamp,
            anchor_unix_ns: anchor.filter(|_| utc),
            duration_s: timeline.and_then(vramscope_core::Timeline::span).map(|s: Window| Amount::seconds(s.length())),
            status: Some(self.status()),
            failing_phase: self.failing_phase().map(Into::into),
            sources: self.evidence.sources.clone(),
            notes: self.notes(),
        }
    }

    /// Whoever conducted the run knows how it ended. Else a run is complete when the engine was ready, nothing failed,
    /// and both logs are there.
    fn status(&self) -> RunStatus {
        if let Some(record) = &self.evidence.record {
            return record.status;
        }
        if self.evidence.unfinished && self.facts.failures.is_empty() {
            return RunStatus::Interrupted;
        }
        let ready = self.facts.event(Milestone::EngineReady).is_some() || self.facts.latency.is_some();
        if !self.facts.failures.is_empty() {
            RunStatus::Failed
        } else if self.derived.is_some() && ready {
            RunStatus::Complete
        } else {
            RunStatus::Partial
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.evidence.notes.clone();
        notes.extend(self.evidence.record.iter().flat_map(|record| record.notes.clone()));
        if let Some(derived) = self.derived {
            let by_place = placed::is_placed(self.evidence.engine_kind());
            notes.extend(derived.notes(!self.evidence.is_transformers(), by_place));
        }
        notes
    }

    fn raw_logs(&self) -> Option<RawLogs> {
        let Some(engine) = self.evidence.engine.as_ref().filter(|engine| !engine.facts.answered) else {
            let logs = self.unread_logs()?;
            return Some(RawLogs { excerpts: outcome::excerpts(self), ..logs });
        };
        let file =
            RawLogFile { file: engine.file.clone(), bytes: engine.bytes, lines: Some(engine.lines), sha256: None };
        Some(RawLogs { files: vec![file], excerpts: outcome::excerpts(self), ..RawLogs::default() })
    }

    /// Logs of an engine whose words are not known here.
    fn unread_logs(&self) -> Option<RawLogs> {
        let logs = self.evidence.sources.iter().filter(|source| source.kind == SourceKind::EngineLog);
        let file = |log: &Source| RawLogFile { file: log.file.clone(), bytes: log.bytes, lines: None, sha256: None };
        let files: Vec<RawLogFile> = logs.map(file).collect();
        (!files.is_empty()).then(|| RawLogs { files, ..RawLogs::default() })
    }
}
