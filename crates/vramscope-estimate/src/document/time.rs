//! Predicted times as a document.

use serde::{Deserialize, Serialize};

use crate::vllm::time::{BatchTime, Seconds, StepModel, StepTime, TimePrediction};

/// How long a workload takes. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TimeDocument {
    /// Why nothing is predicted; absent where it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_predicted: Option<String>,
    /// What the device can do; absent where nothing is predicted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<LimitsDocument>,
    /// Batches of requests that start together: of one, and of as many as were asked for, else of as many as run together.
    #[serde(default)]
    pub batches: Vec<BatchTimeDocument>,
    /// What the intervals allow for, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

/// What a device can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LimitsDocument {
    /// Bytes a second of a large copy; a share of the data sheet's where `measured` is false.
    pub bandwidth_bytes_per_second: f64,
    /// Dense 16-bit operations a second; likewise.
    pub matmul_operations_per_second: f64,
    /// The two were measured on such a device.
    pub measured: bool,
    /// Bytes a second as the data sheet has it.
    pub sheet_bandwidth_bytes_per_second: f64,
    /// Dense 16-bit operations a second as the data sheet has it.
    pub sheet_matmul_operations_per_second: f64,
    /// Where they come from.
    pub source: String,
}

/// Requests that start together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BatchTimeDocument {
    /// How many.
    pub requests: u64,
    /// Prompt tokens of each.
    pub input_len: u64,
    /// Generated tokens of each.
    pub output_len: u64,
    /// Until all prompts are read: the last request's first token.
    pub time_to_first_token: SecondsDocument,
    /// Between a request's tokens.
    pub time_per_output_token: SecondsDocument,
    /// From the start to the last token.
    pub latency: SecondsDocument,
    /// Generated tokens of all requests in a second, by the most likely latency.
    pub output_tokens_per_second: f64,
    /// Where the time of reading the prompts goes.
    pub prefill: PhaseTimeDocument,
    /// Where the time of drawing one token of each goes.
    pub decode: PhaseTimeDocument,
}

/// A time with its interval, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SecondsDocument {
    /// The most likely value.
    pub value: f64,
    /// The least that is still likely.
    pub low: f64,
    /// The most that is still likely; absent where the host decides, which nobody measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub high: Option<f64>,
}

/// Where time goes, and what bounds it. The parts add up to `seconds`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PhaseTimeDocument {
    /// All of it.
    pub seconds: f64,
    /// `weight_bandwidth`, `kv_bandwidth`, `compute`, `launch`, `host` or `communication`.
    pub bound: String,
    /// Of what the device was measured to do in what bounds it (or of the share of its data sheet that stands for that), how
    /// much is reached; absent for bounds that are no rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub share_of_limit: Option<f64>,
    /// The same of the data sheet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub share_of_data_sheet: Option<f64>,
    /// Reading weights.
    pub weights_seconds: f64,
    /// Reading the KV cache and recurrent states.
    pub kv_seconds: f64,
    /// Products of matrices, as far as they take longer than reading them, and attention's.
    pub compute_seconds: f64,
    /// Starting kernels.
    pub launch_seconds: f64,
    /// Sums over ranks, and what stages hand on.
    pub communication_seconds: f64,
    /// What the host takes longer than the device.
    pub host_seconds: f64,
}

impl TimeDocument {
    /// The document of a prediction and of the batches that were made with it: requests, prompt tokens, generated tokens
    /// and their time.
    pub fn new(prediction: &TimePrediction, batches: &[(u64, u64, u64, BatchTime)]) -> Self {
        match prediction {
            TimePrediction::NotPredicted(why) => {
                Self { not_predicted: Some((*why).to_owned()), limits: None, batches: Vec::new(), notes: Vec::new() }
            }
            TimePrediction::Predicted(model) => {
                let limits = model.limits;
                Self {
                    not_predicted: None,
                    limits: Some(LimitsDocument {
                        bandwidth_bytes_per_second: limits.bandwidth,
                        matmul_operations_per_second: limits.matmul,
                        measured: limits.measured,
                        sheet_bandwidth_bytes_per_second: limits.sheet_bandwidth,
                        sheet_matmul_operations_per_second: limits.sheet_matmul,
                        source: limits.source.to_owned(),
                    }),
                    batches: batches.iter().map(|own| batch(model, own)).collect(),
                    notes: model.doubts().reasons.iter().map(|reason| (*reason).to_owned()).collect(),
                }
            }
        }
    }
}

fn batch(model: &StepModel, (requests, input_len, output_len, time): &(u64, u64, u64, BatchTime)) -> BatchTimeDocument {
    BatchTimeDocument {
        requests: *requests,
        input_len: *input_len,
        output_len: *output_len,
        time_to_first_token: time.prefill.into(),
        time_per_output_token: time.decode_step.into(),
        latency: time.seconds.into(),
        output_tokens_per_second: time.tokens_per_second,
        prefill: phase(model, &time.prompts),
        decode: phase(model, &time.decode),
    }
}

fn phase(model: &StepModel, step: &StepTime) -> PhaseTimeDocument {
    let (share, parts) = (step.share(model), step.parts);
    PhaseTimeDocument {
        seconds: step.seconds,
        bound: step.bound.name().to_owned(),
        share_of_limit: share.map(|share| share.0),
        share_of_data_sheet: share.map(|share| share.1),
        weights_seconds: parts.weights,
        kv_seconds: parts.kv,
        compute_seconds: parts.compute,
        launch_seconds: parts.launch,
        communication_seconds: parts.communication,
        host_seconds: parts.host,
    }
}

impl From<Seconds> for SecondsDocument {
    fn from(seconds: Seconds) -> Self {
        Self { value: seconds.value, low: seconds.low, high: seconds.high }
    }
}
