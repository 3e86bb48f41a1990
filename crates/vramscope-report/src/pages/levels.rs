//! The measured levels of a load or of an experiment: what was asked of the server, and what came of it.

mod pictures;
mod spread;
mod tables;

pub(super) use pictures::{front, front_of, latencies, one_level, rates, served, throughput};
pub(super) use spread::distributions;
pub(super) use tables::{client, energy, failures, findings, models, percentiles, requests, server};

use super::figure;
use crate::cell::Cell;
use crate::node::Node;
use crate::unit::Unit;

/// A level with a larger part of failed requests is not one to run.
pub(super) const MOST_FAILED: f64 = 0.03;

/// What of the levels was varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Concurrency,
    Rate,
    TraceSpeed,
    /// The document does not say; levels are numbered.
    Number,
}

/// The measurements of one level, its repeats.
#[derive(Debug, Clone)]
pub(super) struct Group<'d> {
    pub(super) at: f64,
    pub(super) levels: Vec<Node<'d>>,
}

/// All measurements, and the same by level, lowest first.
#[derive(Debug, Clone)]
pub(super) struct Levels<'d> {
    pub(super) all: Vec<Node<'d>>,
    pub(super) by: By,
    pub(super) groups: Vec<Group<'d>>,
    /// The level that the page says to run.
    pub(super) to_run: Option<f64>,
}

/// Over the repeats of a level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl By {
    fn key(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Rate => "rate_per_s",
            Self::TraceSpeed => "trace_speed",
            Self::Number => "",
        }
    }

    /// What stands beside the axis.
    pub(super) fn axis(self) -> &'static str {
        match self {
            Self::Concurrency => "requests in flight",
            Self::Rate => "requests per second asked",
            Self::TraceSpeed => "times as fast as the trace",
            Self::Number => "measurement",
        }
    }

    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Concurrency => Unit::Count,
            Self::Rate => Unit::PerSecond,
            Self::TraceSpeed | Self::Number => Unit::Plain,
        }
    }

    /// A level of this kind in words.
    pub(super) fn name(self, at: f64) -> String {
        let at = crate::unit::digits(at);
        match self {
            Self::Concurrency => format!("{at} in flight"),
            Self::Rate => format!("{at} requests/s"),
            Self::TraceSpeed => format!("{at} times the trace's speed"),
            Self::Number => format!("measurement {at}"),
        }
    }
}

impl<'d> Levels<'d> {
    pub(super) fn new(all: Vec<Node<'d>>) -> Self {
        let has = |by: &By| all.iter().any(|level| level.at("asked").at(by.key()).number().is_some());
        let by = [By::Concurrency, By::Rate, By::TraceSpeed].into_iter().find(has).unwrap_or(By::Number);
        let (mut groups, mut unnamed): (Vec<Group<'d>>, Vec<Node<'d>>) = (Vec::new(), Vec::new());
        for (place, level) in all.iter().enumerate() {
            let asked = level.at("asked").at(by.key()).number();
            let number = (by == By::Number).then(|| figure::float(place + 1));
            let Some(at) = asked.or(number) else {
                unnamed.push(level.clone());
                continue;
            };
            match groups.iter_mut().find(|group| group.at.total_cmp(&at).is_eq()) {
                Some(group) => group.levels.push(level.clone()),
                None => groups.push(Group { at, levels: vec![level.clone()] }),
            }
        }
        groups.sort_by(|a, b| a.at.total_cmp(&b.at));
        // Repeats in their order, below the levels in theirs.
        let all = groups.iter().flat_map(|group| group.levels.iter().cloned()).chain(unnamed).collect();
        Self { all, by, groups, to_run: None }
    }

    /// The level as it was asked for, as a cell.
    pub(super) fn asked(&self, level: &Node<'d>) -> Cell {
        level.at("asked").at(self.by.key()).figure(self.by.unit())
    }

    /// What a measurement is called.
    pub(super) fn name(&self, level: &Node<'d>) -> String {
        let name =
            level.at("asked").at(self.by.key()).number().map_or_else(|| "a level".to_owned(), |at| self.by.name(at));
        match level.at("repeat").count() {
            Some(repeat) if repeat > 1 => format!("{name}, repeat {repeat}"),
            _ => name,
        }
    }

    /// The level with the most of a figure, of those that did not fail their requests; the lowest one of equals.
    pub(super) fn most(&self, figure: impl Fn(&Group<'d>) -> Option<f64>) -> Option<&Group<'d>> {
        let mut best: Option<(&Group<'d>, f64)> = None;
        for group in self.groups.iter().filter(|group| !group.fails()) {
            if let Some(value) = figure(group)
                && best.is_none_or(|(_, most)| value > most)
            {
                best = Some((group, value));
            }
        }
        best.map(|(group, _)| group)
    }

    /// The level that was asked as a search names it.
    pub(super) fn at(&self, at: Option<f64>) -> Option<&Group<'d>> {
        let at = at?;
        self.groups.iter().find(|group| (group.at - at).abs() <= at.abs() * 1e-6)
    }

    pub(super) fn has_repeats(&self) -> bool {
        self.groups.iter().any(|group| group.levels.len() > 1)
    }
}

impl Group<'_> {
    /// A figure over the repeats.
    pub(super) fn spread(&self, path: &str) -> Option<Spread> {
        let values: Vec<f64> = self.levels.iter().filter_map(|level| level.path(path).number()).collect();
        let (first, n) = (*values.first()?, figure::float(values.len()));
        let start = Spread { mean: 0.0, low: first, high: first };
        let spread = values.iter().fold(start, |spread, value| Spread {
            mean: spread.mean + value / n,
            low: spread.low.min(*value),
            high: spread.high.max(*value),
        });
        spread.mean.is_finite().then_some(spread)
    }

    pub(super) fn mean(&self, path: &str) -> Option<f64> {
        self.spread(path).map(|spread| spread.mean)
    }

    /// The figure of the one measurement, or the mean of several.
    pub(super) fn cell(&self, path: &str, unit: Unit) -> Cell {
        match &self.levels[..] {
            [one] => one.path(path).figure(unit),
            several => {
                let mean = self.mean(path).map(|mean| format!("{} (mean of {})", unit.show(mean), several.len()));
                mean.map_or_else(Cell::absent, Cell::text)
            }
        }
    }

    /// The part of the requests that failed, all repeats together.
    pub(super) fn failed_share(&self) -> f64 {
        let (failed, sent) = (self.sum("requests/failed"), self.sum("requests/sent"));
        #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
        let share = failed as f64 / sent as f64;
        if sent == 0 { 0.0 } else { share }
    }

    /// Whether so many requests failed that its figures are those of a server that refuses.
    pub(super) fn fails(&self) -> bool {
        self.failed_share() > MOST_FAILED
    }

    /// The sum of a count over the repeats.
    pub(super) fn sum(&self, path: &str) -> u64 {
        self.levels.iter().filter_map(|level| level.path(path).count()).fold(0, u64::saturating_add)
    }

    /// The part of the requests that kept the bounds, all repeats together.
    pub(super) fn good_share(&self) -> Option<f64> {
        let counted: Vec<(u64, u64)> = self
            .levels
            .iter()
            .filter_map(|level| Some((level.path("goodput/good").count()?, level.path("requests/sent").count()?)))
            .collect();
        let (good, sent) = counted.iter().fold((0_u64, 0_u64), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
        let share = good as f64 / sent as f64;
        (sent > 0).then_some(share)
    }
}
