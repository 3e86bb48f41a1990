//! The result of reading a log.

use vramscope_core::{EngineFacts, EngineKind};

use crate::engine::Engine;
use crate::figure::Figure;
use crate::note::ParseNote;
use crate::reader::Router;
use crate::report::Report;
use crate::unknown::UnknownLine;
use crate::vllm::bench::{BenchKind, BenchValue};
use crate::vllm::contradiction;
use crate::vllm::meaning;
use crate::vllm::settings::Setting;
use crate::vllm::worker::Placement;
use crate::{llama_cpp, ollama, sglang, tgi, vllm};

/// Everything that a log says.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct LogReport {
    /// One report per engine start, in the order of the log. A log that says nothing of an engine has none.
    pub engines: Vec<EngineReport>,
    /// Remarks about the whole log.
    pub notes: Vec<ParseNote>,
    /// How many lines the log has.
    pub lines: u64,
    /// Lines that look like figures of memory and were not understood, where they were asked for.
    pub unknown: Option<Vec<UnknownLine>>,
}

/// What one engine said from its start to its end.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct EngineReport {
    /// The first line of it.
    pub first_line: u64,
    /// The last line of it.
    pub last_line: u64,
    /// Which stage of a model it serves, where several engines serve one model together (vLLM-Omni).
    pub stage: Option<u32>,
    /// The facts that the rest of vramscope works with.
    pub facts: EngineFacts,
    /// Every figure as printed, in order of appearance; the facts are made of these.
    pub figures: Vec<Figure>,
    /// Configuration and arguments, from every line that states them.
    pub settings: Vec<Setting>,
    /// Where the workers are.
    pub placements: Vec<Placement>,
    /// The periodic reports, thinned where there are many.
    pub reports: Vec<Report>,
    /// How many periodic reports were printed.
    pub reports_seen: u64,
    /// Of how many periodic reports one is kept.
    pub reports_stride: u64,
    /// Which benchmark printed a result.
    pub bench_kind: Option<BenchKind>,
    /// The values of that result, by label (throughput and serving).
    pub bench: Vec<BenchValue>,
    /// Printed figures that hold more than their name says, with what is right.
    pub corrections: Vec<ParseNote>,
    /// Remarks about this engine: contradictions, and what was left out.
    pub notes: Vec<ParseNote>,
}

impl LogReport {
    pub(crate) fn of(router: Router, mut notes: Vec<ParseNote>, lines: u64, unknown: Option<Vec<UnknownLine>>) -> Self {
        let (engines, dropped) = router.into_engines();
        notes.extend(dropped);
        let mut engines: Vec<EngineReport> =
            engines.into_iter().filter(|engine| !engine.is_empty()).map(engine_report).collect();
        // Libraries that engines share print a line of their own before the engine does.
        if engines.iter().any(|engine| engine.facts.engine.is_some()) {
            engines.retain(|engine| engine.facts.engine.is_some() || !engine.facts.failures.is_empty());
        }
        engines.sort_by_key(|engine| engine.first_line);
        Self { engines, notes, lines, unknown }
    }
}

/// The facts of an engine but its failures.
pub(crate) fn facts(engine: &Engine) -> EngineFacts {
    match engine.kind {
        Some(EngineKind::LlamaCpp) => llama_cpp::facts::facts(engine),
        Some(EngineKind::Ollama) => ollama::facts::facts(engine),
        Some(EngineKind::SgLang) => sglang::facts::facts(engine),
        Some(EngineKind::Tgi) => tgi::facts::facts(engine),
        _ => vllm::facts::facts(engine),
    }
}

/// Remarks of an engine that has a room of its own.
fn notes(engine: &Engine) -> Vec<ParseNote> {
    match engine.kind {
        Some(EngineKind::LlamaCpp) => llama_cpp::facts::notes(engine),
        Some(EngineKind::Tgi) => tgi::facts::notes(engine),
        _ => Vec::new(),
    }
}

fn engine_report(mut engine: Engine) -> EngineReport {
    let others = engine.kind.is_some();
    if !others {
        engine.settle_scopes();
    }
    let failures = engine.settled_failures();
    let contradictions = if others { Vec::new() } else { contradiction::notes(&engine) };
    engine.notes.extend(contradictions);
    // What a log lacks is said before what it holds.
    let first = notes(&engine);
    engine.notes.splice(0..0, first);
    let corrections = if others { Vec::new() } else { meaning::corrections(&engine) };
    let mut facts = facts(&engine);
    facts.failures = failures;
    for failure in &mut facts.failures {
        failure.engine = facts.engine;
    }
    EngineReport {
        first_line: engine.first_line,
        last_line: engine.last_line,
        stage: engine.stage,
        facts,
        reports: engine.reports.kept().to_vec(),
        reports_seen: engine.reports.seen(),
        reports_stride: engine.reports.stride(),
        bench_kind: engine.bench.kind,
        bench: engine.bench.values,
        figures: engine.figures,
        settings: engine.settings,
        placements: engine.placements,
        corrections,
        notes: engine.notes,
    }
}
