//! Many profiles: a table, and what each axis of a sweep does.

use std::collections::BTreeMap;

use vramscope_schema::RunState;
use vramscope_schema::v3::{Profile, RunStatus};

use crate::figure::{Quantity, figures};
use crate::setting::settings;

/// The settings along which a sweep is looked at.
pub const AXES: [&str; 4] = ["batch_size", "input_len", "output_len", "tensor_parallel_size"];
/// Scaling is said to slow down where less than this share of the added load became throughput.
const HALF: f64 = 0.5;

/// Many profiles beside each other.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sweep {
    /// One row for each run, in the order in which they were given.
    pub rows: Vec<Row>,
    /// What each axis does while everything else stays as it is.
    pub series: Vec<Series>,
}

/// One run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// Where it came from.
    pub name: String,
    /// How it ended.
    pub status: Option<RunStatus>,
    /// What it was set up with, by the name of the setting.
    pub settings: BTreeMap<&'static str, String>,
    /// Its figures, by name.
    pub figures: BTreeMap<&'static str, Quantity>,
    /// What makes its figures doubtful.
    pub cautions: Vec<String>,
    /// Its place in a campaign, where it has one.
    pub campaign: Option<CampaignRun>,
}

/// What a campaign knows of one of its runs, also of one that has left no profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignRun {
    /// What its attempts and its profile are called in the campaign's folder.
    pub key: String,
    /// How far it is.
    pub state: RunState,
    /// The attempt of which the figures are, or the last one.
    pub attempt: Option<String>,
    /// How often it was tried.
    pub attempts: u64,
    /// Why the last attempt did not go well, in one line.
    pub failure: Option<String>,
    /// The log of the engine that did not do its work in that attempt.
    pub log: Option<String>,
    /// The profile, or the recording of an attempt that has left none.
    pub path: Option<String>,
}

/// Runs that differ in one setting alone.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// The setting.
    pub axis: &'static str,
    /// What the runs have in common, as far as other runs of the sweep do not have it.
    pub fixed: BTreeMap<&'static str, String>,
    /// Its values in ascending order, two at least.
    pub points: Vec<Point>,
    /// The first value at which less than half of the added load became tokens each second; `None` where that did not
    /// happen, or throughput is not known throughout.
    pub slows_at: Option<u64>,
}

/// The runs of a series at one value, with the mean of their figures.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// The value of the axis.
    pub value: u64,
    /// How many runs.
    pub runs: usize,
    /// Tokens each second.
    pub tokens_per_second: Option<f64>,
    /// The same as a multiple of the first point's.
    pub speedup: Option<f64>,
    /// Mean latency.
    pub mean_latency_ms: Option<f64>,
    /// The same as a multiple of the first point's.
    pub slowdown: Option<f64>,
    /// Memory at the peak, in bytes, all GPUs together.
    pub peak_bytes: Option<f64>,
}

impl Sweep {
    /// Sets rows beside each other.
    pub fn of(rows: Vec<Row>) -> Self {
        let series = AXES.iter().flat_map(|axis| along(axis, &rows)).collect();
        Self { rows, series }
    }

    /// The settings in which the runs differ, in reading order.
    pub fn varying(&self) -> Vec<&'static str> {
        let differs = |name: &&str| {
            let mut values = self.rows.iter().map(|row| row.settings.get(name));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        settings().iter().map(|setting| setting.name).filter(differs).collect()
    }

    /// The settings that all runs have in common, in reading order.
    pub fn common(&self) -> Vec<(&'static str, &str)> {
        let varying = self.varying();
        let Some(first) = self.rows.first() else { return Vec::new() };
        let shared = settings().iter().filter(|setting| !varying.contains(&setting.name));
        shared.filter_map(|setting| Some((setting.name, first.settings.get(setting.name)?.as_str()))).collect()
    }
}

impl Row {
    /// The row of a profile. The profile itself is not needed any more, so that any number of them can be read.
    pub fn of(name: String, profile: &Profile) -> Self {
        let settings = settings().iter().filter_map(|setting| Some((setting.name, setting.of(profile)?)));
        let figures = figures().iter().filter_map(|figure| Some((figure.name, figure.of(profile)?)));
        Self {
            name,
            status: profile.metadata.status,
            settings: settings.collect(),
            figures: figures.collect(),
            cautions: crate::diff::cautions(profile, None),
            campaign: None,
        }
    }

    /// The row of a run that has left no profile. `settings` are by the names of [`settings`]; others are left out.
    pub fn without_profile(name: String, asked: &[(&str, String)]) -> Self {
        let of = |setting: &crate::setting::Setting| {
            let (_, value) = asked.iter().find(|(name, _)| *name == setting.name)?;
            Some((setting.name, value.clone()))
        };
        Self {
            name,
            status: None,
            settings: settings().iter().filter_map(of).collect(),
            figures: BTreeMap::new(),
            cautions: Vec::new(),
            campaign: None,
        }
    }

    /// Whether it has figures to be set beside those of others.
    fn is_measured(&self) -> bool {
        let unfinished = self.campaign.as_ref().is_some_and(|run| run.state != RunState::Complete);
        self.status != Some(RunStatus::Failed) && !unfinished
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.figures.get(name).map(|quantity| quantity.as_f64())
    }
}

/// The settings that follow from the one of an axis, and so do not tell two runs of its series apart.
fn follows(axis: &str) -> &'static [&'static str] {
    match axis {
        "tensor_parallel_size" => &["gpus"],
        "batch_size" => &["num_prompts"],
        _ => &[],
    }
}

/// The series along one axis. Runs that failed are left out: they have no speed.
fn along(axis: &'static str, rows: &[Row]) -> Vec<Series> {
    type Points<'r> = BTreeMap<u64, Vec<&'r Row>>;
    let mut groups: BTreeMap<Vec<(&'static str, &str)>, Points<'_>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.is_measured()) {
        let Some(value) = row.settings.get(axis).and_then(|value| value.parse::<u64>().ok()).filter(|n| *n > 0) else {
            continue;
        };
        let others = row.settings.iter().filter(|(name, _)| **name != axis && !follows(axis).contains(name));
        let key: Vec<(&'static str, &str)> = others.map(|(name, value)| (*name, value.as_str())).collect();
        groups.entry(key).or_default().entry(value).or_default().push(row);
    }
    let mut having: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    groups.keys().flatten().for_each(|setting| *having.entry(*setting).or_default() += 1);
    let told_apart = |name: &str, value: &str| having.get(&(name, value)) != Some(&groups.len());
    let several = groups.iter().filter(|(_, points)| points.len() > 1);
    several
        .map(|(key, points)| {
            let fixed = key.iter().filter(|(name, value)| told_apart(name, value));
            series(axis, fixed.map(|(name, value)| (*name, (*value).to_owned())).collect(), points)
        })
        .collect()
}

fn series(axis: &'static str, fixed: BTreeMap<&'static str, String>, points: &BTreeMap<u64, Vec<&Row>>) -> Series {
    let mut points: Vec<Point> = points
        .iter()
        .map(|(value, rows)| Point {
            value: *value,
            runs: rows.len(),
            tokens_per_second: mean(rows, "tokens_per_second"),
            speedup: None,
            mean_latency_ms: mean(rows, "mean_latency_ms"),
            slowdown: None,
            peak_bytes: mean(rows, "peak_bytes"),
        })
        .collect();
    let first = points[0].clone();
    let times = |now: Option<f64>, base: Option<f64>| Some(now? / base.filter(|base| *base > 0.0)?);
    for point in &mut points {
        point.speedup = times(point.tokens_per_second, first.tokens_per_second);
        point.slowdown = times(point.mean_latency_ms, first.mean_latency_ms);
    }
    // Longer sequences are no load that should become throughput.
    let scales = axis == "batch_size" || axis == "tensor_parallel_size";
    let slows_at = if scales { slows_at(&points) } else { None };
    Series { axis, fixed, points, slows_at }
}

/// The mean over those runs that have the figure, if all have it.
fn mean(rows: &[&Row], figure: &str) -> Option<f64> {
    let values: Option<Vec<f64>> = rows.iter().map(|row| row.figure(figure)).collect();
    let values = values.filter(|values| !values.is_empty())?;
    let n = u32::try_from(values.len()).ok()?;
    Some(values.iter().sum::<f64>() / f64::from(n))
}

fn slows_at(points: &[Point]) -> Option<u64> {
    let load = |point: &Point| vramscope_core::Bytes::new(point.value).as_f64();
    points.windows(2).find_map(|pair| {
        let gained = pair[1].tokens_per_second? / pair[0].tokens_per_second.filter(|rate| *rate > 0.0)? - 1.0;
        let added = load(&pair[1]) / load(&pair[0]) - 1.0;
        (gained < HALF * added).then_some(pair[1].value)
    })
}
