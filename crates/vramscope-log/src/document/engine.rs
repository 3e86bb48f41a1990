//! The report of one engine start, as JSON.

use serde::{Deserialize, Serialize};
use vramscope_core::{Buffer, EngineKind, Event, LogTime, Milestone, Scope};

use super::NoteDocument;
use super::failure::{FailureDocument, failure};
use crate::figure::{Figure, Value};
use crate::log_report::EngineReport;
use crate::report::Report;
use crate::vllm::settings::{Setting, SettingSource, SettingValue};

/// What one engine said from its start to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EngineDocument {
    /// The first line of it, counted from 1.
    pub first_line: u64,
    /// The last line of it.
    pub last_line: u64,
    /// Which engine it is, by its name in `engine_type` of profiles, or `unknown`; absent of the one that documents knew
    /// before they named any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Which stage of a model it serves, where several engines serve one model together (vLLM-Omni).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u32>,
    /// Every figure as printed, in order of appearance.
    pub figures: Vec<FigureDocument>,
    /// Memory by what it holds and where it lies, of engines that print it so. Buffers of one kind and place add up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buffers: Vec<BufferDocument>,
    /// Configuration and arguments that bear on memory and time, from every line that states them.
    pub settings: Vec<SettingDocument>,
    /// What happened, in the order of the log.
    pub events: Vec<EventDocument>,
    /// Failures in order; the first cause is usually the one to act on.
    pub failures: Vec<FailureDocument>,
    /// Where the workers are.
    pub placements: Vec<PlacementDocument>,
    /// The periodic reports.
    pub reports: ReportsDocument,
    /// The values that a benchmark printed, by label.
    pub bench: Vec<BenchDocument>,
    /// Printed figures that hold more than their name says, with what is right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<NoteDocument>,
    /// Remarks: contradictions, and what was left out.
    pub notes: Vec<NoteDocument>,
}

/// Memory that an engine names by what it holds and where it lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BufferDocument {
    /// What it holds: `weights`, `projector_weights`, `kv_cache`, `recurrent_state`, `compute`, `output`, `graphs`,
    /// `communication`; `context`, KV cache and state together, and `total` where the engine says no more.
    pub kind: String,
    /// Where it lies, by the engine's name for it (`CUDA0`, `CPU_Mapped`); absent where the line names no place, which is
    /// the device of the rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Whether that is memory of the host.
    pub on_host: bool,
    /// It belongs to a second model that drafts tokens for the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_draft: bool,
    /// A plan that was made before anything was allocated; it is no part of what is.
    pub planned: bool,
    /// Bytes.
    pub bytes: u64,
    /// The rank, where one printed it for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// The line, counted from 1.
    pub line: u64,
}

/// For which ranks a value speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScopeName {
    /// The rank that printed it; others may differ.
    ThisRank,
    /// Each rank, printed by one for all.
    PerRank,
    /// All ranks of one engine together.
    AllRanks,
}

/// One fact as printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FigureDocument {
    /// What it is.
    pub key: String,
    /// The value.
    #[serde(flatten)]
    pub value: ValueDocument,
    /// Half a step of the last printed digit, in the unit of the value: bytes for memory, else the unit that the key
    /// names. Absent for counts and text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<f64>,
    /// For which ranks it speaks.
    pub scope: ScopeName,
    /// The rank, where the scope is one rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Where the memory lies, by the engine's name for it (`CUDA0`, `CPU`), of engines that say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The process tag on the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The line, counted from 1.
    pub line: u64,
    /// The clock on the line, or on the nearest line before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How many more processes printed the same, where Ray says so.
    #[serde(skip_serializing_if = "is_zero")]
    pub repeated: u32,
}

/// A printed value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ValueDocument {
    /// Memory in bytes, as the engine means it, with the text that it printed.
    Memory {
        /// Bytes; negative where free memory rose.
        bytes: i64,
        /// The number and unit as printed.
        printed: String,
    },
    /// A whole number.
    Count(u64),
    /// Another number; the key names its unit.
    Number(f64),
    /// Text.
    Text(String),
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SettingDocument {
    /// The name of today.
    pub name: String,
    /// The value; `null` is Python's `None`.
    pub value: serde_json::Value,
    /// `config`, `non_default_args` or `namespace`.
    pub source: String,
    /// The line, counted from 1.
    pub line: u64,
}

/// Something that the engine did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EventDocument {
    /// What.
    pub event: String,
    /// When: `[YYYY-]MM-DDTHH:MM:SS[.fraction][zone]`, with what the log prints of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Whether the clock stands on the line itself.
    pub at_is_own: bool,
    /// How long it took, in seconds, where the line says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_secs: Option<f64>,
    /// The line, counted from 1.
    pub line: u64,
    /// The process tag on the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// Where a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlacementDocument {
    /// The process id of the tag on the line, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// Its number in its world.
    pub rank: u32,
    /// How many workers there are in it.
    pub world_size: u32,
    /// Data-parallel replica.
    pub data: u32,
    /// Pipeline stage.
    pub pipeline: u32,
    /// Tensor-parallel rank.
    pub tensor: u32,
    /// The line, counted from 1.
    pub line: u64,
}

/// The periodic reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ReportsDocument {
    /// How many were printed.
    pub seen: u64,
    /// Of how many one is kept in `series`.
    pub stride: u64,
    /// Largest KV usage of all of them, percent of the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_kv_usage_pct: Option<f64>,
    /// Most running requests of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_running: Option<u64>,
    /// Those that are kept.
    pub series: Vec<ReportDocument>,
}

/// One periodic report. What a release does not print is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ReportDocument {
    /// The line, counted from 1.
    pub line: u64,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Prompt tokens a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_per_second: Option<f64>,
    /// Generated tokens a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_tokens_per_second: Option<f64>,
    /// Requests running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Requests waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Requests swapped out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped: Option<u64>,
    /// KV cache in use, percent of the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_usage_pct: Option<f64>,
    /// Prefix-cache hits, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_hit_pct: Option<f64>,
}

/// One value of a benchmark's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BenchDocument {
    /// The label as printed, which names the unit.
    pub label: String,
    /// The value.
    pub value: f64,
    /// The line, counted from 1.
    pub line: u64,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl EngineDocument {
    /// The document of one engine.
    pub fn of(engine: &EngineReport) -> Self {
        let note = |note: &crate::ParseNote| NoteDocument {
            line: (note.line > 0).then_some(note.line),
            text: note.text.clone(),
        };
        let placement = |p: &crate::Placement| PlacementDocument {
            pid: p.pid.clone(),
            rank: p.rank,
            world_size: p.world_size,
            data: p.data,
            pipeline: p.pipeline,
            tensor: p.tensor,
            line: p.line,
        };
        let bench =
            |v: &crate::BenchValue| BenchDocument { label: v.label.clone(), value: v.value, line: v.origin.line };
        let facts = &engine.facts;
        let failures = facts.failures.iter().map(|known| failure(known, crate::advice(known, facts)));
        Self {
            first_line: engine.first_line,
            last_line: engine.last_line,
            engine: named(facts.engine),
            stage: engine.stage,
            buffers: facts.buffers.iter().map(buffer).collect(),
            figures: engine.figures.iter().map(figure).collect(),
            settings: engine.settings.iter().map(setting).collect(),
            events: engine.facts.events.iter().map(event).collect(),
            failures: failures.collect(),
            placements: engine.placements.iter().map(placement).collect(),
            reports: ReportsDocument {
                seen: engine.reports_seen,
                stride: engine.reports_stride,
                peak_kv_usage_pct: engine.facts.peak_kv_usage_pct.as_ref().map(|f| f.value),
                peak_running: engine.facts.peak_running.as_ref().map(|f| f.value),
                series: engine.reports.iter().map(report).collect(),
            },
            bench: engine.bench.iter().map(bench).collect(),
            corrections: engine.corrections.iter().map(note).collect(),
            notes: engine.notes.iter().map(note).collect(),
        }
    }
}

/// The name of an engine in a document, where it has one.
fn named(engine: Option<EngineKind>) -> Option<String> {
    match engine {
        Some(EngineKind::Vllm) => None,
        Some(other) => Some(other.name().to_owned()),
        None => Some(EngineKind::UNKNOWN.to_owned()),
    }
}

fn buffer(buffer: &Buffer) -> BufferDocument {
    BufferDocument {
        kind: buffer.kind.name().to_owned(),
        place: buffer.place.clone(),
        on_host: buffer.on_host,
        of_draft: buffer.of_draft,
        planned: buffer.planned,
        bytes: buffer.amount.value.get(),
        rank: match buffer.amount.scope {
            Scope::ThisRank(rank) => Some(rank),
            Scope::PerRank | Scope::AllRanks => None,
        },
        line: buffer.amount.origin.line,
    }
}

/// One figure, as it stands in the document.
pub fn figure(figure: &Figure) -> FigureDocument {
    let (scope, rank) = match figure.scope {
        Scope::ThisRank(rank) => (ScopeName::ThisRank, Some(rank)),
        Scope::PerRank => (ScopeName::PerRank, None),
        Scope::AllRanks => (ScopeName::AllRanks, None),
    };
    FigureDocument {
        key: figure.key.name().to_owned(),
        value: match &figure.value {
            Value::Memory(memory) => ValueDocument::Memory { bytes: memory.bytes.get(), printed: memory.text() },
            Value::Count(count) => ValueDocument::Count(*count),
            Value::Number(number) => ValueDocument::Number(*number),
            Value::Text(text) => ValueDocument::Text(text.clone()),
        },
        resolution: figure.resolution,
        scope,
        rank,
        place: figure.place.clone(),
        worker: figure.origin.worker.clone(),
        line: figure.origin.line,
        at: figure.at.map(time_text),
        repeated: figure.repeated,
    }
}

/// One setting, as it stands in the document.
pub fn setting(setting: &Setting) -> SettingDocument {
    SettingDocument {
        name: setting.name.to_owned(),
        value: match &setting.value {
            SettingValue::None => serde_json::Value::Null,
            SettingValue::Flag(flag) => (*flag).into(),
            SettingValue::Count(count) => (*count).into(),
            SettingValue::Number(number) => (*number).into(),
            SettingValue::Text(text) => text.clone().into(),
        },
        source: match setting.source {
            SettingSource::Config => "config",
            SettingSource::NonDefaultArgs => "non_default_args",
            SettingSource::Namespace => "namespace",
        }
        .to_owned(),
        line: setting.origin.line,
    }
}

/// One event, as it stands in the document.
pub fn event(event: &Event) -> EventDocument {
    EventDocument {
        event: milestone_name(event.milestone).to_owned(),
        at: event.at.map(time_text),
        at_is_own: event.at_is_own,
        took_secs: event.took.map(|took| took.as_secs_f64()),
        line: event.origin.line,
        worker: event.origin.worker.clone(),
    }
}

/// The name of a milestone, as documents and tables spell it.
pub fn milestone_name(milestone: Milestone) -> &'static str {
    match milestone {
        Milestone::FirstLine => "first_line",
        Milestone::LoadBegan => "load_began",
        Milestone::WeightsLoaded => "weights_loaded",
        Milestone::Compiled => "compiled",
        Milestone::Profiled => "profiled",
        Milestone::KvPoolSized => "kv_pool_sized",
        Milestone::GraphsTried => "graphs_tried",
        Milestone::Allocated => "allocated",
        Milestone::KernelsTuned => "kernels_tuned",
        Milestone::GraphsCaptured => "graphs_captured",
        Milestone::EngineReady => "engine_ready",
        Milestone::ServerReady => "server_ready",
        Milestone::WarmupBegan => "warmup_began",
        Milestone::WarmupEnded => "warmup_ended",
        Milestone::MeasureBegan => "measure_began",
        Milestone::MeasureEnded => "measure_ended",
        Milestone::FirstTraffic => "first_traffic",
        Milestone::LastTraffic => "last_traffic",
        Milestone::ShutdownBegan => "shutdown_began",
        Milestone::LastLine => "last_line",
        _ => "other",
    }
}

fn report(report: &Report) -> ReportDocument {
    ReportDocument {
        line: report.line,
        at: report.at.map(time_text),
        prompt_tokens_per_second: report.prompt_tokens_per_second,
        generation_tokens_per_second: report.generation_tokens_per_second,
        running: report.running,
        waiting: report.waiting,
        swapped: report.swapped,
        kv_usage_pct: report.kv_usage_pct,
        prefix_hit_pct: report.prefix_hit_pct,
    }
}

/// A clock as documents spell it: `[YYYY-]MM-DDTHH:MM:SS[.fraction][zone]`.
pub fn time_text(time: LogTime) -> String {
    let year = time.year.map_or(String::new(), |year| format!("{year:04}-"));
    let fraction = match time.nanosecond {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    let zone = match time.utc_offset_minutes {
        None => String::new(),
        Some(0) => "Z".to_owned(),
        Some(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60)
        }
    };
    format!(
        "{year}{:02}-{:02}T{:02}:{:02}:{:02}{fraction}{zone}",
        time.month, time.day, time.hour, time.minute, time.second
    )
}
