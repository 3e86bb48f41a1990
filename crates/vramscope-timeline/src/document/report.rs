//! The document of `vramscope timeline --format json`: statistics of one recording.

use serde::{Deserialize, Serialize};

/// The version of this document.
pub const REPORT_VERSION: u32 = 1;

/// Statistics of one recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TimelineReport {
    /// The document's version.
    pub vramscope_timeline_report: u32,
    /// When the recording began, in nanoseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_unix_ns: Option<i64>,
    /// From the first sample to the last, in seconds.
    pub seconds: f64,
    /// The time between two ticks, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<f64>,
    /// Ticks in the recording.
    pub ticks: u64,
    /// Samples that are missing, by the recording's own account.
    pub missing: u64,
    /// Whether the recording came to its end.
    pub complete: bool,
    /// The devices.
    pub devices: Vec<DeviceReport>,
    /// The phases that were marked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseReport>,
    /// Spans without samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapReport>,
    /// What sampling cost, as far as the recording states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<super::Cost>,
    /// What a reader must know to trust the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DeviceReport {
    /// What it is.
    #[serde(flatten)]
    pub device: super::Device,
    /// Its samples.
    pub samples: u64,
    /// Statistics of each figure that it has.
    pub metrics: Vec<MetricReport>,
    /// Energy over the recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<EnergyReport>,
    /// Times in which it had nothing to do. Absent where utilisation is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdleReport>,
    /// How its figures go together, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub correlations: Vec<CorrelationReport>,
}

/// Statistics of one figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MetricReport {
    /// The figure, by its column's name, which ends in its unit.
    pub metric: String,
    /// How many samples have it.
    pub n: u64,
    /// The smallest.
    pub min: f64,
    /// The mean over samples.
    pub mean: f64,
    /// The median: linear between order statistics (type 7).
    pub median: f64,
    /// The 0.95 quantile (type 7).
    pub p95: f64,
    /// The largest.
    pub max: f64,
    /// Whether the quantiles are exact. Otherwise they are within 0.1 %.
    pub exact: bool,
}

/// Energy over a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EnergyReport {
    /// The difference of the device's own counter, in joules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter_j: Option<f64>,
    /// Between these two readings of the counter, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter_seconds: Option<f64>,
    /// Power integrated over the samples, in joules; gaps are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrated_j: Option<f64>,
    /// Over this much time, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrated_seconds: Option<f64>,
}

/// Times in which a device had nothing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct IdleReport {
    /// Utilisation up to this counts as idle, in percent.
    pub threshold_pct: u8,
    /// Share of the observed time under the threshold, 0 to 1. Gaps are not observed.
    pub share: f64,
    /// The observed time, in seconds.
    pub observed_seconds: f64,
    /// How many periods there were of the least length.
    pub periods: u64,
    /// The longest of them, longest first.
    pub longest: Vec<IdlePeriod>,
    /// The least length of a period, in seconds.
    pub least_seconds: f64,
}

/// One idle period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct IdlePeriod {
    /// When it began, in seconds since the recording's anchor.
    pub start_s: f64,
    /// How long it lasted, in seconds.
    pub seconds: f64,
}

/// How two figures go together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CorrelationReport {
    /// One figure, by its column's name.
    pub x: String,
    /// The other.
    pub y: String,
    /// Points that have both. Of a long recording each is the mean of several samples.
    pub n: usize,
    /// As many independent points as these are worth: samples close in time are alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_n: Option<f64>,
    /// Why there is no coefficient: there is not enough variation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_enough: Option<String>,
    /// Why the coefficients are to be read with care: few independent points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
    /// The linear coefficient (Pearson).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pearson: Option<Coefficient>,
    /// The rank coefficient (Spearman).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spearman: Option<Coefficient>,
}

/// A coefficient with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Coefficient {
    /// From -1 to 1.
    pub value: f64,
    /// The lower end of the 95 % interval from resampling blocks of time.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PhaseReport {
    /// Its name.
    pub phase: String,
    /// When it began, in seconds since the recording's anchor.
    pub start_s: f64,
    /// How long it lasted, in seconds.
    pub seconds: f64,
    /// The largest memory in use on all devices together, in bytes, over its complete ticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_used_bytes: Option<u64>,
}

/// Spans without samples of one cause on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GapReport {
    /// The device; absent when it is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_index: Option<u32>,
    /// `failed_read`, `missed_ticks`, `device_lost` or `dropped`.
    pub cause: String,
    /// How many spans.
    pub spans: u64,
    /// How many samples are missing.
    pub missed: u64,
    /// The longest span, in seconds.
    pub longest_s: f64,
}

/// The JSON Schema of this document.
#[cfg(feature = "json-schema")]
pub fn report_json_schema() -> schemars::Schema {
    schemars::schema_for!(TimelineReport)
}
