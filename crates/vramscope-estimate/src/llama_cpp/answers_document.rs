//! The document of a fit for llama.cpp.
//!
//! Sizes are bytes. What is not known is absent.

use serde::{Deserialize, Serialize};

use super::answers::{LlamaCppAnswer, LlamaCppAnswers, LlamaCppQuestion, LlamaCppWay};
use super::command::llama_cpp_command;
use super::document::{LlamaCppSettings, LlamaCppStarter};
use super::place::LlamaCppBackend;
use crate::GpuModel;
use crate::document::{FigureDocument, GpuDocument};

/// The version of this document. A reader accepts the same number only.
const VERSION: u32 = 1;

/// Which settings of llama.cpp's server fit a device. Memory alone is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(title = "vramscope fit for llama.cpp"))]
#[non_exhaustive]
pub struct LlamaCppFitDocument {
    /// The document's version.
    pub vramscope_fit_llama_cpp: u32,
    /// The engine: `llama.cpp`.
    pub engine_type: String,
    /// The file.
    pub model: String,
    /// The model's family, as the file names it.
    pub family: String,
    /// The build that is assumed; absent where none was named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build: Option<u64>,
    /// What computes: `cuda` or `vulkan`.
    pub backend: String,
    /// The engine that starts the server, as it was asked; absent where the server itself was asked about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_by: Option<LlamaCppStarter>,
    /// What was asked for.
    pub asked: LlamaCppAsked,
    /// The device, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu: Option<GpuDocument>,
    /// What a device has for the server; absent where all devices of the table were asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub available_bytes: Option<u64>,
    /// The answers for that device, by type of cache.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub answers: Vec<LlamaCppAnswerRow>,
    /// Every device of the table, where all were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub devices: Vec<LlamaCppDeviceRow>,
    /// What was taken for granted, one sentence each.
    pub notes: Vec<String>,
    /// Arguments that were given and change no memory.
    pub ignored: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LlamaCppAsked {
    /// Tokens of all slots together.
    pub ctx_size: u64,
    /// Most tokens of one request.
    pub ctx_size_of_slot: u64,
    /// Requests at once.
    pub parallel: u64,
    /// All requests share one pool.
    pub kv_unified: bool,
    /// Tokens for which the model was trained.
    pub trained_ctx_size: u64,
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LlamaCppAnswerRow {
    /// `as_asked`, `most_layers`, `fewest_expert_layers_on_host` (of models with experts), `longest_context` or
    /// `fewest_devices`.
    pub question: String,
    /// The type of cached keys.
    pub cache_type_k: String,
    /// The type of cached values.
    pub cache_type_v: String,
    /// Some setting fits.
    pub fits: bool,
    /// It fits over the whole interval of the prediction.
    pub certain: bool,
    /// The number that was asked for with which everything fits over the whole interval: layers, layers whose experts stay on
    /// the host, tokens of all slots, devices. Absent where there is none, and as asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub for_certain: Option<u64>,
    /// What a device lacks for the least that was tried; absent where something fits, and of several devices.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missing_bytes: Option<u64>,
    /// The settings, where some fit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub placed: Option<LlamaCppPlaced>,
}

/// Settings that fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LlamaCppPlaced {
    /// Devices in all.
    pub devices: u64,
    /// The server's settings.
    pub settings: LlamaCppSettings,
    /// What each device holds, in the server's order.
    pub shares: Vec<LlamaCppShareRow>,
    /// What is left of the fullest device.
    pub free_bytes: u64,
    /// Everything on the host. Whether the host has it is not judged.
    pub host_total_bytes: FigureDocument,
    /// The command line.
    pub command: String,
}

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LlamaCppShareRow {
    /// Layers on it, the output among them.
    pub layers: u64,
    /// Its weights.
    pub weights_bytes: u64,
    /// Its keys, values and states.
    pub cache_bytes: u64,
    /// Its compute buffer.
    pub compute_bytes: FigureDocument,
    /// What the driver and its libraries take of it.
    pub driver_bytes: FigureDocument,
    /// All of it.
    pub total_bytes: FigureDocument,
}

/// A device of the table, with a cache as asked, else of `f16`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LlamaCppDeviceRow {
    /// Its short name.
    pub key: String,
    /// Its name.
    pub name: String,
    /// All memory that a program sees.
    pub total_bytes: u64,
    /// The most layers on one of them.
    pub most_layers: LlamaCppAnswerRow,
    /// The fewest of them that hold all that was asked for; at most 16 are tried.
    pub fewest_devices: LlamaCppAnswerRow,
}

/// What a document is about.
#[derive(Debug, Clone, Copy)]
pub struct LlamaCppFitSubject<'s> {
    /// The file as it was named.
    pub model: &'s str,
    /// The family as the file names it.
    pub family: &'s str,
    /// What computes.
    pub backend: LlamaCppBackend,
    /// The build that was named.
    pub build: Option<u64>,
    /// The words of the command line that was given.
    pub words: &'s [String],
    /// Arguments that were given and change no memory.
    pub ignored: &'s [String],
}

impl LlamaCppFitDocument {
    /// All answers for one kind of device.
    pub fn new(subject: LlamaCppFitSubject<'_>, gpu: GpuDocument, answers: &LlamaCppAnswers) -> Self {
        let row = |answer| LlamaCppAnswerRow::new(subject, answer, answers.available);
        let rows = answers.answers.iter().map(row).collect();
        let (gpu, available_bytes) = (Some(gpu), Some(answers.available));
        Self { gpu, available_bytes, answers: rows, ..Self::about(subject, answers) }
    }

    /// Two of the answers for every device of a table, each with its own; `None` for a table without devices.
    pub fn of_all(subject: LlamaCppFitSubject<'_>, all: &[(&GpuModel, LlamaCppAnswers)]) -> Option<Self> {
        let row = |(device, answers): &(&GpuModel, LlamaCppAnswers)| {
            let to = |question: LlamaCppQuestion| {
                let answer = answers.answers.iter().find(|answer| answer.question == question)?;
                Some(LlamaCppAnswerRow::new(subject, answer, answers.available))
            };
            Some(LlamaCppDeviceRow {
                key: device.key.to_owned(),
                name: device.name.to_owned(),
                total_bytes: device.total.get(),
                most_layers: to(LlamaCppQuestion::MostLayers)?,
                fewest_devices: to(LlamaCppQuestion::FewestDevices)?,
            })
        };
        let (_, first) = all.first()?;
        Some(Self { devices: all.iter().filter_map(row).collect(), ..Self::about(subject, first) })
    }

    /// The same for an engine that starts the server: each answer in its words. `answers` are those of the document.
    pub fn started_by(
        mut self,
        starter: LlamaCppStarter,
        answers: &LlamaCppAnswers,
        command: impl Fn(&LlamaCppWay) -> String,
    ) -> Self {
        for (row, answer) in self.answers.iter_mut().zip(&answers.answers) {
            if let (Some(placed), Some(way)) = (&mut row.placed, &answer.way) {
                placed.command = command(way);
            }
        }
        self.started_by = Some(starter);
        self
    }

    fn about(subject: LlamaCppFitSubject<'_>, answers: &LlamaCppAnswers) -> Self {
        Self {
            vramscope_fit_llama_cpp: VERSION,
            engine_type: vramscope_core::EngineKind::LlamaCpp.name().to_owned(),
            model: subject.model.to_owned(),
            family: subject.family.to_owned(),
            build: subject.build,
            backend: subject.backend.name().to_owned(),
            started_by: None,
            asked: LlamaCppAsked {
                ctx_size: answers.context,
                ctx_size_of_slot: answers.context_of_slot,
                parallel: answers.slots,
                kv_unified: answers.unified,
                trained_ctx_size: answers.trained_context,
            },
            gpu: None,
            available_bytes: None,
            answers: Vec::new(),
            devices: Vec::new(),
            notes: answers.notes.clone(),
            ignored: subject.ignored.to_vec(),
        }
    }
}

impl LlamaCppAnswerRow {
    fn new(subject: LlamaCppFitSubject<'_>, answer: &LlamaCppAnswer, available: u64) -> Self {
        Self {
            question: answer.question.name().to_owned(),
            cache_type_k: answer.cache_k.clone(),
            cache_type_v: answer.cache_v.clone(),
            fits: answer.way.is_some(),
            certain: answer.certain,
            for_certain: answer.for_certain,
            missing_bytes: answer.missing,
            placed: answer.way.as_ref().map(|way| LlamaCppPlaced::new(subject, way, available)),
        }
    }
}

impl LlamaCppPlaced {
    fn new(subject: LlamaCppFitSubject<'_>, way: &LlamaCppWay, available: u64) -> Self {
        let share = |share: &super::split::LlamaCppShare| LlamaCppShareRow {
            layers: share.layers,
            weights_bytes: share.weights,
            cache_bytes: share.cache,
            compute_bytes: (&share.compute).into(),
            driver_bytes: (&share.driver).into(),
            total_bytes: (&share.total).into(),
        };
        Self {
            devices: u64::try_from(way.shares.len()).unwrap_or(0),
            settings: LlamaCppSettings::of(&way.budget),
            shares: way.shares.iter().map(share).collect(),
            free_bytes: available.saturating_sub(way.fullest().value),
            host_total_bytes: (&way.budget.host_total).into(),
            command: llama_cpp_command(subject.words, subject.model, way).join(" "),
        }
    }
}

/// The JSON Schema of [`LlamaCppFitDocument`].
#[cfg(feature = "json-schema")]
pub fn llama_cpp_fit_json_schema() -> schemars::Schema {
    schemars::schema_for!(LlamaCppFitDocument)
}
