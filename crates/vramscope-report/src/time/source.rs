//! Where a chart's readings and marks are from: a recording, or what a document has of them.

use std::collections::BTreeMap;

use super::parts::{Moments, Stack};
use super::recording::{MOST_TRACKS, Metric, Reading, Recording};
use crate::document::Document;
use crate::node::Node;

/// What a chart is made of.
pub(crate) struct Source {
    pub(crate) recording: Recording,
    /// For each track with something in it: its place in the recording, its name, its parts.
    pub(crate) tracks: Vec<(usize, String, Stack)>,
    /// Whether the total is one of several GPUs, or of nobody knows how many.
    several: bool,
    /// The peak over all GPUs, as a document has it: when, and how much.
    peak: Option<(u64, u64)>,
    /// From when to when all charts of a page are that have one clock.
    pub(crate) clock: Option<(u64, u64)>,
    /// What was said of it on its own clock.
    pub(crate) words: Option<String>,
}

impl Source {
    pub(crate) fn of(document: &Document, place: usize) -> Option<Self> {
        let root = document.root(place);
        let steps = Steps::of(&root);
        let mut recording = document.recording().cloned().unwrap_or_else(|| Recording::new(&[]));
        let phases = root.at("phases").items();
        if recording.phases.is_empty() {
            phases.iter().for_each(|phase| add_phase(&mut recording, phase));
        }
        if recording.gaps.is_empty() {
            for gap in root.at("gaps").items() {
                if let (Some(start), Some(end)) = (gap.at("start_ns").count(), gap.at("end_ns").count()) {
                    let gpu = gap.at("gpu").count().and_then(|gpu| u32::try_from(gpu).ok());
                    recording.gap(start, end, gpu, gap.at("cause").text().unwrap_or_default());
                }
            }
        }
        if document.recording().is_none() {
            read_document(&mut recording, &root.at("memory_timeline"));
        }
        if recording.events.is_empty() {
            for step in &steps.0 {
                recording.event(step.at_ns, &step.name.replace('_', " "), step.line.as_deref());
            }
        }
        recording.events.sort_by_key(|event| event.at_ns);
        recording.gaps.sort_by_key(|gap| gap.start_ns);
        for device in root.path("gpu_info/devices").items().iter().chain(&root.at("devices").items()) {
            let index = device.at("index").count().or_else(|| device.at("gpu_index").count());
            if let (Some(index), Some(bytes)) =
                (index.and_then(|index| u32::try_from(index).ok()), device.at("total_bytes").count())
            {
                recording.set_capacity(index, bytes);
            }
        }
        let moments = steps.moments(&recording);
        let breakdown = root.at("memory_breakdown");
        let gpus = gpus(&recording, &root);
        let tracks = tracks(&recording, &breakdown, &moments, gpus);
        let several = gpus != Some(1);
        let peak = root.path("memory_measurements/peak");
        let peak = peak.at("at_ns").count().zip(peak.at("total_bytes").count());
        (!tracks.is_empty() && recording.grid.rows.len() > 1).then_some(Self {
            recording,
            tracks,
            several,
            peak,
            clock: None,
            words: None,
        })
    }

    /// The most memory in use on the track that is drawn first, with its first instant. Of the points of a document, some
    /// were left out: it may have seen the same before them.
    pub(crate) fn peak(&self) -> Option<(u64, u64)> {
        let (track, ..) = self.tracks.first()?;
        let (at, peak) = self.peak_of(*track)?;
        let before = self.peak.filter(|before| before.1 == peak && before.0 < at);
        Some((before.map_or(at, |before| before.0), peak))
    }

    /// The most memory in use on a track, with its first instant.
    pub(crate) fn peak_of(&self, track: usize) -> Option<(u64, u64)> {
        let (at, peak) = self.recording.grid.peak(Recording::column(track, Metric::Memory))?;
        Some((at, u64::try_from(peak).ok()?))
    }

    /// When a phase of this name begins.
    pub(crate) fn begins(&self, phase: &str) -> Option<u64> {
        self.recording.phases.iter().find(|one| one.name == phase).map(|one| one.start_ns)
    }

    /// From its first reading to its last.
    pub(crate) fn span(&self) -> Option<(u64, u64)> {
        let rows = &self.recording.grid.rows;
        Some((rows.first()?.first_ns, rows.last()?.last_ns))
    }

    /// Sets everything on a clock that began so much earlier.
    pub(crate) fn later(&mut self, by_ns: u64) {
        self.recording.later(by_ns);
        self.tracks.iter_mut().for_each(|(.., stack)| stack.later(by_ns));
        self.peak = self.peak.map(|(at, bytes)| (at.saturating_add(by_ns), bytes));
    }

    /// How a track has a figure that several GPUs have; `None` where it is of one.
    pub(crate) fn together(&self, track: usize, metric: Metric) -> Option<&'static str> {
        (track == 0 && self.several).then_some(match metric {
            Metric::Memory | Metric::Power => "sum",
            Metric::Temperature => "highest",
            Metric::Utilization | Metric::MemoryUtilization => "mean",
            Metric::SmClock | Metric::MemoryClock => "lowest to highest",
        })
    }
}

/// How many GPUs the total is of, where anything tells.
fn gpus(recording: &Recording, root: &Node<'_>) -> Option<usize> {
    let counts = [root.path("memory_timeline/per_gpu"), root.path("gpu_info/devices"), root.at("devices")];
    let counts = counts.iter().map(|list| list.items().len());
    std::iter::once(recording.devices().len()).chain(counts).find(|count| *count > 0)
}

fn tracks(
    recording: &Recording,
    breakdown: &Node<'_>,
    moments: &Moments,
    gpus: Option<usize>,
) -> Vec<(usize, String, Stack)> {
    let mut tracks = Vec::new();
    let has = |track| recording.columns_of(track).any(|column| recording.grid.range(column).is_some());
    if has(0) {
        let name = match gpus {
            Some(1) => "The GPU",
            Some(_) => "All GPUs",
            None => "Total",
        };
        tracks.push((0, name.to_owned(), Stack::of(breakdown, moments)));
    }
    let own: BTreeMap<u64, Node<'_>> =
        breakdown.at("per_device").items().into_iter().filter_map(|one| Some((one.at("gpu").count()?, one))).collect();
    let shown = recording.devices().iter().take(MOST_TRACKS).enumerate();
    for (place, device) in shown.filter(|(place, _)| has(place + 1)) {
        let alone = recording.devices().len() == 1;
        let stack = match own.get(&u64::from(*device)) {
            Some(own) => Stack::of(own, moments),
            None if alone => Stack::of(breakdown, moments),
            None => Stack::default(),
        };
        tracks.push((place + 1, format!("GPU {device}"), stack));
    }
    tracks
}

/// A phase as a profile has it, or as a recording's statistics have it.
fn add_phase(recording: &mut Recording, phase: &Node<'_>) {
    let name = phase.at("phase").text().unwrap_or_default();
    if let (Some(start), Some(end)) = (phase.at("start_ns").count(), phase.at("end_ns").count()) {
        recording.phase(name, start, end);
    } else if let (Some(start), Some(length)) = (phase.at("start_s").number(), phase.at("seconds").number()) {
        recording.phase(name, nanoseconds(start), nanoseconds(start + length));
    }
}

/// The points that a profile itself has. Those of GPUs and those of all together are not of the same instants, so that
/// the GPUs' are taken only where there are none of all together.
fn read_document(recording: &mut Recording, timeline: &Node<'_>) {
    let gpus = timeline.at("per_gpu").items();
    let points = timeline.at("timeline").items();
    if let ([gpu], false) = (&gpus[..], points.is_empty()) {
        let gpu = gpu.at("gpu").count().and_then(|gpu| u32::try_from(gpu).ok()).unwrap_or(0);
        for (tick, point) in (0..).zip(&points) {
            if let Some(at) = at(point) {
                recording.reading(gpu, tick, at, &reading(point));
            }
        }
        return recording.finish();
    }
    if points.is_empty() {
        // Each GPU has its own instants: a tick is an instant, at which others have nothing.
        let mut all: Vec<(u64, u32, Reading)> = Vec::new();
        for gpu in &gpus {
            let index = gpu.at("gpu").count().and_then(|gpu| u32::try_from(gpu).ok()).unwrap_or(0);
            let points = gpu.at("timeline").items();
            all.extend(points.iter().filter_map(|point| Some((at(point)?, index, reading(point)))));
        }
        all.sort_by_key(|(at, ..)| *at);
        all.iter().for_each(|(at, gpu, reading)| recording.reading(*gpu, *at, *at, reading));
        return recording.finish();
    }
    let points = points.iter().filter_map(|point| Some((at(point)?, reading(point))));
    points.for_each(|(at, reading)| recording.total(at, &reading));
}

/// A point without a time has no place.
fn at(point: &Node<'_>) -> Option<u64> {
    point.at("at_ns").count()
}

fn reading(point: &Node<'_>) -> Reading {
    Reading {
        used_bytes: point.at("memory_bytes").count(),
        power_w: point.at("power_w").number(),
        temperature_c: point.at("temp_c").number(),
        utilization_pct: point.at("utilization_pct").number(),
        ..Reading::default()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped; a cast of a float saturates")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e9) as u64
}

/// Steps of the engine's log on the document's clock.
struct Steps(Vec<Step>);

struct Step {
    name: String,
    at_ns: u64,
    took_ns: u64,
    line: Option<String>,
}

impl Steps {
    /// The log's clock begins with its first line, and the document's with the anchor. Both have the moment at which
    /// loading began, or at which the engine was ready; without either, nothing can be placed.
    fn of(root: &Node<'_>) -> Self {
        let steps = crate::pages::run::reported(root).at("steps").items();
        let logged = |name: &str| {
            let step = steps.iter().find(|step| step.at("name").text() == Some(name));
            step.and_then(|step| step.at("at_s").number())
        };
        let phases = root.at("phases").items();
        let begins = |name: &str| {
            let phase = phases.iter().find(|phase| phase.at("phase").text() == Some(name));
            phase.and_then(|phase| phase.at("start_ns").number()).map(|start| start / 1e9)
        };
        let pair = |phase: &str, step: &str| Some(begins(phase)? - logged(step)?);
        let Some(offset) = pair("load", "load_began").or_else(|| pair("ready", "server_ready")) else {
            return Self(Vec::new());
        };
        let step = |step: &Node<'_>| {
            let at_ns = nanoseconds(step.at("at_s").number()? + offset);
            let took_ns = nanoseconds(step.at("took_s").number().unwrap_or(0.0));
            let line = step.at("log_line").count().map(|line| format!("line {line} of the engine's log"));
            Some(Step { name: step.at("name").text()?.to_owned(), at_ns, took_ns, line })
        };
        let edges = |step: &Step| !matches!(step.name.as_str(), "first_line" | "last_line");
        Self(steps.iter().filter_map(step).filter(edges).collect())
    }

    fn moments(&self, recording: &Recording) -> Moments {
        let begins = |name: &str| recording.phases.iter().find(|phase| phase.name == name).map(|phase| phase.start_ns);
        // Of several ranks, the first.
        let first = |name: &str, at: fn(&Step) -> u64| self.0.iter().filter(|step| step.name == name).map(at).min();
        Moments {
            launch: begins("launch"),
            load: begins("load"),
            ready: begins("ready").or_else(|| begins("warmup")).or_else(|| begins("measure")),
            shutdown: begins("shutdown").or_else(|| begins("settle")),
            profiled: first("profiled", |step| step.at_ns),
            pool: first("kv_pool_sized", |step| step.at_ns),
            allocated: first("allocated", |step| step.at_ns),
            graphs: first("graphs_captured", |step| step.at_ns.saturating_sub(step.took_ns)),
        }
    }
}
