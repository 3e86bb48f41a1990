//! The document of many runs beside each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_with::skip_serializing_none;
use vramscope_schema::RunState;
use vramscope_schema::v3::RunStatus;

use super::{VERSION, number};
use crate::sweep::Sweep;

/// Many runs beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunsDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_runs: u32,
    /// One for each run, in the order in which they were given.
    pub runs: Vec<RunDocument>,
    /// What each axis of a sweep does while everything else stays as it is.
    pub series: Vec<SeriesDocument>,
}

/// One run.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunDocument {
    /// The profile or recording, as it was named.
    pub name: String,
    /// How the run ended.
    pub status: Option<RunStatus>,
    /// What it was set up with, by the name that the profile has for it.
    pub settings: BTreeMap<String, String>,
    /// Its figures by name. Memory is that of all GPUs together. Unit: as the name ends.
    pub figures: BTreeMap<String, Number>,
    /// What makes its figures doubtful.
    pub cautions: Vec<String>,
    /// Its place in a campaign, where it has one.
    pub campaign: Option<CampaignRunDocument>,
}

/// What a campaign knows of one of its runs, also of one that has left no profile.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CampaignRunDocument {
    /// What its attempts and its profile are called in the campaign's folder.
    pub key: String,
    /// How far it is.
    pub state: RunState,
    /// The attempt of which the figures are, or the last one.
    pub attempt: Option<String>,
    /// How often it was tried. Unit: count.
    pub attempts: u64,
    /// Why the last attempt did not go well, in one line.
    pub failure: Option<String>,
    /// The log of the engine that did not do its work in that attempt.
    pub log: Option<String>,
    /// The profile, or the recording of an attempt that has left none.
    pub path: Option<String>,
}

/// Runs that differ in one setting alone.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SeriesDocument {
    /// `batch_size`, `input_len`, `output_len` or `tensor_parallel_size`.
    pub axis: String,
    /// What these runs have in common and not all runs have.
    pub fixed: BTreeMap<String, String>,
    /// Its values in ascending order.
    pub points: Vec<PointDocument>,
    /// The first value at which less than half of the added load became tokens each second. Unit: as the axis.
    pub slows_at: Option<u64>,
}

/// The runs of a series at one value; figures are the mean over these runs.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PointDocument {
    /// The value of the axis. Unit: as the axis: requests, tokens or ranks.
    pub value: u64,
    /// How many runs. Unit: count.
    pub runs: usize,
    /// Tokens each second.
    pub tokens_per_second: Option<f64>,
    /// The same as a multiple of the first point's. Unit: none, a factor.
    pub speedup: Option<f64>,
    /// Mean latency. Unit: milliseconds.
    pub mean_latency_ms: Option<f64>,
    /// The same as a multiple of the first point's. Unit: none, a factor.
    pub slowdown: Option<f64>,
    /// Memory at the peak, all GPUs together. Unit: bytes.
    pub peak_bytes: Option<f64>,
}

impl RunsDocument {
    /// The document of a sweep.
    pub fn of(sweep: &Sweep) -> Self {
        let owned = |map: &BTreeMap<&'static str, String>| {
            map.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<BTreeMap<_, _>>()
        };
        let runs = sweep.rows.iter().map(|row| {
            let figures = row.figures.iter().filter_map(|(name, value)| Some(((*name).to_owned(), number(*value)?)));
            RunDocument {
                name: row.name.clone(),
                status: row.status,
                settings: owned(&row.settings),
                figures: figures.collect(),
                cautions: row.cautions.clone(),
                campaign: row.campaign.as_ref().map(|run| CampaignRunDocument {
                    key: run.key.clone(),
                    state: run.state,
                    attempt: run.attempt.clone(),
                    attempts: run.attempts,
                    failure: run.failure.clone(),
                    log: run.log.clone(),
                    path: run.path.clone(),
                }),
            }
        });
        let series = sweep.series.iter().map(|series| SeriesDocument {
            axis: series.axis.to_owned(),
            fixed: owned(&series.fixed),
            points: series
                .points
                .iter()
                .map(|point| PointDocument {
                    value: point.value,
                    runs: point.runs,
                    tokens_per_second: point.tokens_per_second,
                    speedup: point.speedup,
                    mean_latency_ms: point.mean_latency_ms,
                    slowdown: point.slowdown,
                    peak_bytes: point.peak_bytes,
                })
                .collect(),
            slows_at: series.slows_at,
        });
        Self { vramscope_runs: VERSION, runs: runs.collect(), series: series.collect() }
    }
}
