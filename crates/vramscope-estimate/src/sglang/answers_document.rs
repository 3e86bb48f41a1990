//! The document of a fit for SGLang.
//!
//! Sizes are bytes on one rank. What is not known is absent.

use serde::{Deserialize, Serialize};

use super::answers::{SgLangAnswer, SgLangAnswers, SgLangQuestion, SgLangWay};
use super::args::SgLangArgs;
use super::command::sglang_command;
use super::document::SgLangSettings;
use crate::GpuModel;
use crate::document::{FigureDocument, GpuDocument, ModelDocument};

/// The version of this document. A reader accepts the same number only.
const VERSION: u32 = 1;

/// Which settings of SGLang's server serve requests on a device. Memory alone is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(title = "vramscope fit for SGLang"))]
#[non_exhaustive]
pub struct SgLangFitDocument {
    /// The document's version.
    pub vramscope_fit_sglang: u32,
    /// The engine: `sglang`.
    pub engine_type: String,
    /// The release.
    pub engine_version: String,
    /// How well the rules of this release are known: `logged` (the pool of a public log was computed), `read`, `between`,
    /// `newer` or `before`.
    pub checked: String,
    /// The model.
    pub model: ModelDocument,
    /// What was asked for.
    pub asked: SgLangAsked,
    /// The device, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu: Option<GpuDocument>,
    /// The answers for that device, by type of the pool's elements.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub answers: Vec<SgLangAnswerRow>,
    /// Every device of the table, where all were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub devices: Vec<SgLangDeviceRow>,
    /// What was taken for granted, one sentence each.
    pub notes: Vec<String>,
    /// Arguments that were given and not heeded, with or without an effect on memory.
    pub ignored: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SgLangAsked {
    /// Longest request that the server takes, in tokens.
    pub context_length: u64,
    /// Tokens of one request, prompt and answer.
    pub request_tokens: u64,
    /// Requests of that length at the same time.
    pub requests: u64,
    /// The length that the model's config states; absent where it states none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model_context_length: Option<u64>,
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SgLangAnswerRow {
    /// `as_asked`, `fewest_devices`, `longest_context` or `most_requests`.
    pub question: String,
    /// The type of the pool's elements as the server spells it: `auto`, `fp8_e4m3`, ….
    pub kv_cache_dtype: String,
    /// Some setting serves what was asked for.
    pub fits: bool,
    /// It does over the whole interval of the prediction.
    pub certain: bool,
    /// The number that was asked for with which it does over the whole interval: devices, tokens of a request, requests.
    /// Absent where there is none, and as asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub for_certain: Option<u64>,
    /// What keeps the most willing setting from it: `weights`, `pool` (weights and requests take more than the share has),
    /// `windows` (the pool of layers with a window is too small, by the share of it), `slack` (tables and graphs take more than
    /// is beside it), `requests` (more at once than the release takes) or `limit` (`--max-total-tokens` or
    /// `--max-running-requests` is the bound); absent where one fits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lacking: Option<String>,
    /// How much more memory a rank needs for that; absent where one fits, and where a number of tokens or requests is the
    /// bound.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missing_bytes: Option<u64>,
    /// Requests for which it is lacking, over all replicas; absent where one fits. The most requests are sought from one on
    /// each replica.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lacking_requests: Option<u64>,
    /// Tokens of each; absent where one fits. The longest context is sought from a short one on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lacking_request_tokens: Option<u64>,
    /// The settings, where some fit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub placed: Option<SgLangPlaced>,
}

/// Settings that serve what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SgLangPlaced {
    /// Devices in all.
    pub devices: u64,
    /// Tokens of one request.
    pub request_tokens: u64,
    /// Requests of that length at the same time, over all replicas.
    pub requests: u64,
    /// The server's settings with every default filled in.
    pub settings: SgLangSettings,
    /// What loading the weights takes.
    pub weights_bytes: FigureDocument,
    /// The pool in whole pages.
    pub kv_pool_bytes: FigureDocument,
    /// Tokens of the pool of one replica.
    pub kv_pool_tokens: FigureDocument,
    /// What is left free, for activations.
    pub left_bytes: FigureDocument,
    /// The command line.
    pub command: String,
}

/// A device of the table, with a pool as asked, else of the type `auto`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SgLangDeviceRow {
    /// Its short name.
    pub key: String,
    /// Its name.
    pub name: String,
    /// All memory that a program sees.
    pub total_bytes: u64,
    /// The fewest of them that serve what was asked for; at most 64 are tried.
    pub fewest_devices: SgLangAnswerRow,
}

/// What a document is about.
#[derive(Debug, Clone, Copy)]
pub struct SgLangFitSubject<'s> {
    /// The model.
    pub model: &'s ModelDocument,
    /// The model as the server is to load it.
    pub path: &'s str,
    /// The words of the command line that was given.
    pub words: &'s [String],
    /// What was read of them.
    pub given: &'s SgLangArgs,
}

impl SgLangFitDocument {
    /// All answers for one kind of device.
    pub fn new(subject: SgLangFitSubject<'_>, gpu: GpuDocument, answers: &SgLangAnswers) -> Self {
        let rows = answers.answers.iter().map(|answer| SgLangAnswerRow::new(subject, answer)).collect();
        Self { gpu: Some(gpu), answers: rows, ..Self::about(subject, answers) }
    }

    /// The fewest of every device of a table, each with its own answers; `None` for a table without devices.
    pub fn of_all(subject: SgLangFitSubject<'_>, all: &[(&GpuModel, SgLangAnswers)]) -> Option<Self> {
        let row = |(device, answers): &(&GpuModel, SgLangAnswers)| {
            let fewest = answers.answers.iter().find(|answer| answer.question == SgLangQuestion::FewestDevices)?;
            Some(SgLangDeviceRow {
                key: device.key.to_owned(),
                name: device.name.to_owned(),
                total_bytes: device.total.get(),
                fewest_devices: SgLangAnswerRow::new(subject, fewest),
            })
        };
        let (_, first) = all.first()?;
        let notes = notes_of_all(all.iter().map(|(_, answers)| answers.notes.as_slice()));
        Some(Self { devices: all.iter().filter_map(row).collect(), notes, ..Self::about(subject, first) })
    }

    fn about(subject: SgLangFitSubject<'_>, answers: &SgLangAnswers) -> Self {
        Self {
            vramscope_fit_sglang: VERSION,
            engine_type: vramscope_core::EngineKind::SgLang.name().to_owned(),
            engine_version: answers.asked.version.to_string(),
            checked: answers.checked.name().to_owned(),
            model: subject.model.clone(),
            asked: SgLangAsked {
                context_length: answers.context_length,
                request_tokens: answers.request_tokens,
                requests: answers.requests,
                model_context_length: answers.model_length,
            },
            gpu: None,
            answers: Vec::new(),
            devices: Vec::new(),
            notes: answers.notes.clone(),
            ignored: answers.asked.ignored.clone(),
        }
    }
}

/// Each note once, in the order in which they stand: which hold depends on the device.
fn notes_of_all<'n>(all: impl Iterator<Item = &'n [String]>) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for own in all {
        let mut next = 0;
        for note in own {
            let found = notes.iter().position(|known| known == note);
            let at = found.unwrap_or(next);
            if found.is_none() {
                notes.insert(at, note.clone());
            }
            next = at + 1;
        }
    }
    notes
}

impl SgLangAnswerRow {
    fn new(subject: SgLangFitSubject<'_>, answer: &SgLangAnswer) -> Self {
        Self {
            question: answer.question.name().to_owned(),
            kv_cache_dtype: answer.kv_cache_dtype.clone(),
            fits: answer.way.is_some(),
            certain: answer.certain,
            for_certain: answer.for_certain,
            lacking: answer.lack.map(|lack| lack.what.to_owned()),
            missing_bytes: answer.lack.and_then(|lack| lack.bytes),
            lacking_requests: answer.lack.map(|lack| lack.requests),
            lacking_request_tokens: answer.lack.map(|lack| lack.tokens),
            placed: answer.way.as_ref().map(|way| SgLangPlaced::new(subject, way)),
        }
    }
}

impl SgLangPlaced {
    fn new(subject: SgLangFitSubject<'_>, way: &SgLangWay) -> Self {
        let budget = &way.budget;
        Self {
            devices: way.devices,
            request_tokens: way.tokens,
            requests: way.requests,
            settings: SgLangSettings::of(budget),
            weights_bytes: (&budget.weights).into(),
            kv_pool_bytes: (&budget.pool.bytes).into(),
            kv_pool_tokens: (&budget.pool.tokens).into(),
            left_bytes: (&budget.left).into(),
            command: sglang_command(subject.words, subject.path, subject.given, &budget.args).join(" "),
        }
    }
}

/// The JSON Schema of [`SgLangFitDocument`].
#[cfg(feature = "json-schema")]
pub fn sglang_fit_json_schema() -> schemars::Schema {
    schemars::schema_for!(SgLangFitDocument)
}
