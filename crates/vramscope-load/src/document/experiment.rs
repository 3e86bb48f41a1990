//! The document of the experiments: a server's baseline.

use serde::{Deserialize, Serialize};

use super::{FindingDocument, LevelDocument, MeteredDocument, PriceDocument};

/// The baseline of a server: how fast one request is, what batches bring, what lengths cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExperimentDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_experiment: u32,
    /// The program that wrote it, with its version.
    pub generator: String,
    /// The server, as host and port.
    pub server: String,
    /// The server's version, if it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// The engine that was started for it; absent for a server that ran already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineDocument>,
    /// The model asked for.
    pub model: String,
    /// The longest prompt and answer together, as the server says. Unit: tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<u64>,
    /// The question asked: `completions` or `chat`.
    pub endpoint: String,
    /// The form of prompts: `token_ids`, or `text` (words made from the seed; lengths of prompts count words then).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<String>,
    /// Names all prompts, together with each measurement's stream. Unit: none, a number.
    pub seed: u64,
    /// One request at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyExperiment>,
    /// More and more requests in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<ThroughputExperiment>,
    /// Prompts and answers of several lengths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lengths: Option<LengthsExperiment>,
    /// Whose energy was read; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metered: Option<MeteredDocument>,
    /// What the server costs; absent where nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceDocument>,
    /// Whether it was stopped before its end; what was measured until then is here.
    pub stopped: bool,
    /// What is to be known beside the verdicts.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<FindingDocument>,
}

/// An engine that was started for a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EngineDocument {
    /// Its command line, without secrets.
    pub command: Vec<String>,
}

/// One request at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LatencyExperiment {
    /// Prompts. Unit: tokens, or words where prompts are text.
    pub input_len: u64,
    /// Answers. Unit: tokens.
    pub output_len: u64,
    /// From sending to the last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e: Option<MeanTime>,
    /// From sending to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft: Option<MeanTime>,
    /// Mean time per output token after the first, one figure a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot: Option<MeanTime>,
    /// Generated tokens over the time of their request, one figure a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_rate: Option<MeanRate>,
    /// All that was measured.
    pub measurement: LevelDocument,
    /// What follows from it.
    pub verdicts: Vec<VerdictDocument>,
}

/// More and more requests in flight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ThroughputExperiment {
    /// Prompts. Unit: tokens, or words where prompts are text.
    pub input_len: u64,
    /// Answers. Unit: tokens.
    pub output_len: u64,
    /// The levels in the order of measuring.
    pub levels: Vec<ThroughputLevel>,
    /// The level with the most throughput for its latency; absent where that is the highest level. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knee: Option<f64>,
    /// The lowest level that has the highest throughput, to 5 %; absent where no higher level shows that it is the
    /// highest. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
    /// What follows from it.
    pub verdicts: Vec<VerdictDocument>,
}

/// A number of requests in flight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ThroughputLevel {
    /// Requests in flight always. Unit: count.
    pub concurrency: u64,
    /// Generated tokens each second. Unit: tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_s: Option<f64>,
    /// That over the first level's. Unit: none, a factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The factor over that of the requests in flight: 1 is twice the tokens for twice the requests. Unit: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efficiency: Option<f64>,
    /// All that was measured.
    pub measurement: LevelDocument,
}

/// Prompts and answers of several lengths, one request at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LengthsExperiment {
    /// Each pair of lengths in the order of measuring.
    pub cells: Vec<LengthsCell>,
    /// The time to the first token by the length of the prompt; absent where too little was measured for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill: Option<FitDocument>,
    /// The time of a further token by what stands before it; absent where too little was measured for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode: Option<FitDocument>,
    /// What follows from it.
    pub verdicts: Vec<VerdictDocument>,
}

/// A pair of lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LengthsCell {
    /// Prompts. Unit: tokens, or words where prompts are text.
    pub input_len: u64,
    /// Answers. Unit: tokens.
    pub output_len: u64,
    /// From sending to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft: Option<MeanTime>,
    /// Mean time per output token after the first, one figure a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot: Option<MeanTime>,
    /// From sending to the last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e: Option<MeanTime>,
    /// Generated tokens over the time of their request, one figure a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_rate: Option<MeanRate>,
    /// All that was measured.
    pub measurement: LevelDocument,
}

/// A fit by least squares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FitDocument {
    /// What was fitted, with the names of the coefficients.
    pub formula: String,
    /// Requests. Unit: count.
    pub n: u64,
    /// The coefficients.
    pub coefficients: Vec<CoefficientDocument>,
    /// The part of the variance that the fit explains; absent where nothing varies. Unit: none, up to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// The standard deviation of what the fit leaves. Unit: milliseconds.
    pub residual_std_ms: f64,
    /// The smallest of what was varied. Unit: tokens.
    pub from_tokens: f64,
    /// The largest of it: beyond, the fit was not tried. Unit: tokens.
    pub to_tokens: f64,
}

/// A coefficient of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CoefficientDocument {
    /// Its name in the formula.
    pub name: String,
    /// What it is.
    pub meaning: String,
    /// Its value. Unit: as `unit` says.
    pub value: f64,
    /// Its standard error. Unit: as `unit` says.
    pub std_error: f64,
    /// Its unit: `ms`, `ms/token`, `ms/token²`.
    pub unit: String,
    /// Whether it is told from 0 with 1 % of false alarms, by a two-sided t-test.
    pub differs_from_zero: bool,
}

/// The mean of some times, with its interval of 95 % by Student's t.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MeanTime {
    /// How many. Unit: count.
    pub n: u64,
    /// Arithmetic mean. Unit: milliseconds.
    pub mean_ms: f64,
    /// Standard deviation of the sample; absent of one. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std_ms: Option<f64>,
    /// The smallest. Unit: milliseconds.
    pub min_ms: f64,
    /// The largest. Unit: milliseconds.
    pub max_ms: f64,
    /// The lower end of the mean's interval of 95 %; absent of one. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95_low_ms: Option<f64>,
    /// Its upper end. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95_high_ms: Option<f64>,
}

/// The mean of some rates, with its interval of 95 % by Student's t.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MeanRate {
    /// How many. Unit: count.
    pub n: u64,
    /// Arithmetic mean. Unit: tokens per second.
    pub mean_per_s: f64,
    /// Standard deviation of the sample; absent of one. Unit: tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std_per_s: Option<f64>,
    /// The smallest. Unit: tokens per second.
    pub min_per_s: f64,
    /// The largest. Unit: tokens per second.
    pub max_per_s: f64,
    /// The lower end of the mean's interval of 95 %; absent of one. Unit: tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95_low_per_s: Option<f64>,
    /// Its upper end. Unit: tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95_high_per_s: Option<f64>,
}

/// What bounds a server, as far as the figures tell, and what to try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct VerdictDocument {
    /// What it is, for programs; a code is never renamed.
    pub code: String,
    /// What is the case.
    pub message: String,
    /// What to try; absent where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The figures on which it rests.
    pub evidence: Vec<EvidenceDocument>,
}

/// A figure on which a verdict rests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EvidenceDocument {
    /// What it is.
    pub name: String,
    /// How much. Unit: as `unit` says.
    pub value: f64,
    /// Its unit; empty for a ratio.
    pub unit: String,
}

impl ExperimentDocument {
    /// The version that is written.
    pub const VERSION: u32 = 1;

    /// A document without experiments.
    pub fn new(generator: String, server: String, plan: &crate::LoadPlan) -> Self {
        Self {
            vramscope_experiment: Self::VERSION,
            generator,
            server,
            server_version: None,
            engine: None,
            model: plan.model.clone(),
            max_model_len: None,
            endpoint: plan.endpoint.name().to_owned(),
            prompts: None,
            seed: plan.seed,
            latency: None,
            throughput: None,
            lengths: None,
            metered: None,
            price: None,
            stopped: false,
            findings: Vec::new(),
        }
    }

    /// All measurements in the order in which they were made.
    pub fn measurements(&self) -> impl Iterator<Item = &LevelDocument> {
        let latency = self.latency.iter().map(|one| &one.measurement);
        let throughput = self.throughput.iter().flat_map(|one| one.levels.iter().map(|level| &level.measurement));
        let lengths = self.lengths.iter().flat_map(|one| one.cells.iter().map(|cell| &cell.measurement));
        latency.chain(throughput).chain(lengths)
    }

    /// All verdicts.
    pub fn verdicts(&self) -> impl Iterator<Item = &VerdictDocument> {
        let latency = self.latency.iter().flat_map(|one| &one.verdicts);
        let throughput = self.throughput.iter().flat_map(|one| &one.verdicts);
        latency.chain(throughput).chain(self.lengths.iter().flat_map(|one| &one.verdicts))
    }

    /// Requests that failed, or were not sent though nobody stopped the experiment.
    pub fn failed(&self) -> u64 {
        self.measurements().map(LevelDocument::failed).sum()
    }
}

impl EngineDocument {
    /// An engine with this command line, whose secrets are hidden already.
    pub fn new(command: Vec<String>) -> Self {
        Self { command }
    }
}
