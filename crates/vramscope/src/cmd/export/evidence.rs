//! What there is to export, of a folder, a recording's file, or a profile.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use vramscope_analysis::{Clock, Evidence, MetricsReading, assemble, events_since_anchor};
use vramscope_core::{Bytes, Device, DeviceIndex, Gap, GapCause, PhaseMark, Reading, Sample, Window};
use vramscope_log::document::milestone_name;
use vramscope_report::{Host, Moment, Parts, RequestSpan, SpanOfPhase, TrackCounts, Tracks};
use vramscope_runs::EvidenceFiles;
use vramscope_schema::ExitCode;
use vramscope_schema::v3::{MemoryBreakdown, Profile, TimelinePoint};
use vramscope_timeline::document::ReadError;
use vramscope_timeline::{Item, Passes as _};

use super::clock::Anchor;
use super::requests;
use crate::cmd::timeline::source::{Form, Recording};
use crate::exit::OrExit as _;
use crate::input;
use crate::log_lines;
use crate::progress::Progress;

/// Gaps that are shown; a recording with more is none to look at.
const MOST_GAPS: usize = 100_000;

/// A line of the engine's log that says something.
struct Logged {
    at: Moment,
    what: String,
    line: u64,
    text: Option<String>,
}

/// All that becomes tracks.
pub(super) struct Exported {
    readings: Readings,
    devices: Vec<Device>,
    /// What its times count from.
    pub(super) clock: Anchor,
    /// From the first reading to the last one.
    pub(super) span: (Moment, Moment),
    phases: Vec<SpanOfPhase>,
    gaps: Vec<Gap>,
    log: Vec<Logged>,
    metrics: Vec<MetricsReading>,
    parts: Option<Parts>,
    requests: Vec<RequestSpan>,
    /// Files that are read beside those on the command line.
    pub(super) files: Vec<PathBuf>,
    /// What a person should know of it.
    pub(super) notes: Vec<String>,
}

/// The readings themselves, which are gone through again when they are written.
enum Readings {
    Recorded(Box<Recording>),
    /// Ticks over all devices, as a profile keeps them.
    Ticks(Vec<Sample>),
}

impl Exported {
    /// Tells what a path is by its content.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path.is_dir() {
            return Self::of_folder(path);
        }
        let failed = || format!("failed to use {}", path.display());
        if is_profile(path).with_context(failed).or_exit(ExitCode::BadInput)? {
            return Self::of_profile(path);
        }
        let recording = Recording::open(path).with_context(failed).or_exit(ExitCode::BadInput)?;
        Self::of_recording(recording).with_context(failed).or_exit(ExitCode::BadInput)
    }

    fn of_recording(mut recording: Recording) -> anyhow::Result<Self> {
        let mut outline = Outline::default();
        recording.pass(&mut |item| outline.take(item))?;
        let header = recording.header();
        let span = outline.span.context("it holds no readings")?;
        let mut notes: Vec<String> =
            recording.notes().iter().map(|note| format!("line {}: {}", note.line, note.text)).collect();
        let clock = match &recording.form {
            Form::Foreign(log) if log.clock == Clock::LocalUnknown => {
                notes
                    .push("its times are of a machine's local clock, in a zone that the file does not name".to_owned());
                header.anchor_unix_ns.map_or(Anchor::Unknown, Anchor::Local)
            }
            _ => header.anchor_unix_ns.map_or(Anchor::Unknown, Anchor::Utc),
        };
        if let Form::Foreign(log) = &recording.form {
            notes.extend(log.notes.iter().map(ToString::to_string));
        }
        if outline.more_gaps > 0 {
            notes.push(format!("{} gaps are left out, those behind the first {MOST_GAPS}", outline.more_gaps));
        }
        Ok(Self {
            devices: header.devices.iter().map(Device::from).collect(),
            clock,
            span,
            phases: PhaseMark::windows(&outline.marks, outline.last)
                .map(|(phase, window)| SpanOfPhase { phase, start: moment(window.start), end: moment(window.end) })
                .collect(),
            gaps: outline.gaps,
            log: Vec::new(),
            metrics: Vec::new(),
            parts: None,
            requests: Vec::new(),
            files: Vec::new(),
            notes,
            readings: Readings::Recorded(Box::new(recording)),
        })
    }

    fn of_folder(path: &Path) -> anyhow::Result<Self> {
        let files = EvidenceFiles::find(path).or_exit(ExitCode::BadInput)?;
        let mut progress = Progress::new();
        let evidence = Evidence::load(&files, &mut |file: &Path, behind| progress.bytes(file, behind));
        progress.end();
        let mut evidence = evidence.or_exit(ExitCode::BadInput)?;
        let profile = assemble(&evidence, input::generator()).or_exit(ExitCode::BadInput)?;
        let none = || anyhow!("{} has no readings of a GPU (gpu.csv or a .jsonl timeline)", path.display());
        let gpu = evidence.gpu.take().ok_or_else(none).or_exit(ExitCode::BadInput)?;
        let log: Vec<(i64, u64, &'static str)> = evidence.facts().map_or_else(Vec::new, |facts| {
            let events = events_since_anchor(facts, &gpu);
            events.into_iter().map(|(at, event)| (at, event.origin.line, milestone_name(event.milestone))).collect()
        });
        let unplaced = log.is_empty() && evidence.facts().is_some_and(|facts| !facts.events.is_empty());
        let failed = || format!("failed to use {}", path.display());
        let recording = Recording::of_log(path, gpu);
        let mut exported = Self::of_recording(recording).with_context(failed).or_exit(ExitCode::BadInput)?;
        exported.log = with_lines(&files.engine_logs, &log);
        exported.metrics = evidence.metrics.take().unwrap_or_default();
        exported.files = files.paths().map(Path::to_owned).collect();
        exported.take_profile(&profile);
        if unplaced {
            let note = "the engine's log is left out: it has no times, or none that meet those of the readings";
            exported.notes.push(note.to_owned());
        }
        if !exported.metrics.is_empty() && exported.clock.utc_ns().is_none() {
            exported.metrics.clear();
            let note = "the engine's metrics are left out: the readings do not say what time it was";
            exported.notes.push(note.to_owned());
        }
        Ok(exported)
    }

    fn of_profile(path: &Path) -> anyhow::Result<Self> {
        let loaded = input::profile(path)?;
        let profile = loaded.profile;
        let timeline = profile.memory_timeline.as_ref();
        let ticks: Vec<Sample> =
            timeline.iter().flat_map(|timeline| &timeline.timeline).enumerate().filter_map(tick).collect();
        let none =
            || anyhow!("the profile {} has no readings over time; export the recording's folder", path.display());
        let span = ticks.first().zip(ticks.last()).map(|(first, last)| (moment(first.at), moment(last.at)));
        let span = span.ok_or_else(none).or_exit(ExitCode::BadInput)?;
        let mut exported = Self {
            readings: Readings::Ticks(ticks),
            devices: Vec::new(),
            clock: profile.metadata.anchor_unix_ns.map_or(Anchor::Unknown, Anchor::Utc),
            span,
            phases: Vec::new(),
            gaps: Vec::new(),
            log: Vec::new(),
            metrics: Vec::new(),
            parts: None,
            requests: Vec::new(),
            files: Vec::new(),
            notes: loaded.notes,
        };
        exported.take_profile(&profile);
        exported.gaps = profile.gaps.iter().flatten().take(MOST_GAPS).map(gap).collect();
        let thinned = timeline.and_then(|timeline| timeline.reduction.as_ref());
        let thinned = thinned.map(|r| format!(", {} ticks of {}", r.kept, r.of)).unwrap_or_default();
        exported.notes.push(format!(
            "a profile keeps the total over all GPUs{thinned}, and no times of the engine's log; the recording's folder has \
             all"
        ));
        Ok(exported)
    }

    /// Phases and parts as the profile has them.
    fn take_profile(&mut self, profile: &Profile) {
        let phases = profile.phases.iter().flatten();
        self.phases = phases
            .map(|info| SpanOfPhase { phase: info.phase.into(), start: ns(info.start_ns), end: ns(info.end_ns) })
            .collect();
        let peak = profile.memory_measurements.as_ref().and_then(|measured| measured.peak.as_ref());
        let at = peak.and_then(|peak| peak.at_ns).map(ns);
        self.parts = at.zip(profile.memory_breakdown.as_ref()).map(|(at, breakdown)| parts(at, breakdown));
    }

    /// Adds the requests of a load.
    pub(super) fn add_requests(&mut self, path: &Path) -> anyhow::Result<()> {
        let failed = || format!("failed to use {}", path.display());
        let Some(anchor) = self.clock.utc_ns() else {
            let note = "the requests are left out: the readings do not say what time it was";
            self.notes.push(note.to_owned());
            return Ok(());
        };
        let rows = vramscope_runs::open(path).or_exit(ExitCode::BadInput)?;
        let read = requests::read(rows, anchor).with_context(failed).or_exit(ExitCode::BadInput)?;
        let (first, last) = self.span;
        let outside = read.spans.iter().filter(|span| span.end < first || last < span.start).count();
        self.notes.extend(read.notes);
        if outside > 0 {
            self.notes.push(format!("{outside} of {} requests lie outside the recording", read.spans.len()));
        }
        self.requests = read.spans;
        Ok(())
    }

    pub(super) fn end_progress(&mut self) {
        if let Readings::Recorded(recording) = &mut self.readings {
            recording.end_progress();
        }
    }

    /// Writes all tracks.
    pub(super) fn write(
        &mut self,
        out: &mut dyn io::Write,
        host: Host,
        remark: Option<&str>,
    ) -> anyhow::Result<TrackCounts> {
        let mut tracks = Tracks::new(out, host, &self.devices, remark)?;
        tracks.phases(&self.phases)?;
        tracks.gaps(&self.gaps)?;
        for logged in &self.log {
            tracks.logged(logged.at, &logged.what, logged.line, logged.text.as_deref())?;
        }
        if let Some(parts) = &self.parts {
            let phase = self.phases.iter().find(|span| (span.start..span.end).contains(&parts.at));
            tracks.parts(parts, phase.copied())?;
        }
        let anchor = self.clock.utc_ns().unwrap_or(0);
        for reading in &self.metrics {
            let at = reading.timestamp_ns.saturating_sub(anchor);
            tracks.engine(at, reading.kv_cache_usage_ratio, reading.running, reading.waiting)?;
        }
        tracks.requests(&mut self.requests)?;
        match &mut self.readings {
            Readings::Ticks(ticks) => ticks.iter().try_for_each(|tick| tracks.whole(tick))?,
            Readings::Recorded(recording) => {
                let mut written = Ok(());
                let passed: Result<(), ReadError> = recording.pass(&mut |item| {
                    if let (Item::Sample(sample), Ok(())) = (item, &written) {
                        written = tracks.sample(&sample);
                    }
                });
                written?;
                passed.or_exit(ExitCode::BadInput)?;
            }
        }
        Ok(tracks.finish()?)
    }
}

/// Whether a file is JSON and no timeline.
fn is_profile(path: &Path) -> anyhow::Result<bool> {
    let mut head = Vec::new();
    vramscope_runs::open_file(path)?.take(4096).read_to_end(&mut head)?;
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(text.starts_with(b"{") && !String::from_utf8_lossy(line).contains("\"vramscope_timeline\""))
}

/// What must be known of a recording before its first sample is written.
#[derive(Default)]
struct Outline {
    marks: Vec<PhaseMark>,
    gaps: Vec<Gap>,
    more_gaps: u64,
    span: Option<(Moment, Moment)>,
    last: Duration,
}

impl Outline {
    fn take(&mut self, item: Item) {
        match item {
            Item::Sample(sample) => {
                self.last = self.last.max(sample.at);
                let at = moment(sample.at);
                self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
            Item::Mark(mark) => self.marks.push(mark),
            Item::Gap(gap) if self.gaps.len() < MOST_GAPS => self.gaps.push(gap),
            Item::Gap(_) => self.more_gaps += 1,
            Item::Slow(_) | Item::Cost(_) | Item::End => {}
        }
    }
}

/// The lines that the events stand in.
fn with_lines(logs: &[PathBuf], events: &[(i64, u64, &'static str)]) -> Vec<Logged> {
    let lines = log_lines::lines(logs, &events.iter().map(|(_, line, _)| *line).collect());
    let logged = |&(at, line, what): &(i64, u64, &str)| {
        let text = lines.get(&line).cloned();
        Logged { at, what: what.replace('_', " "), line, text }
    };
    events.iter().map(logged).collect()
}

fn tick((place, point): (usize, &TimelinePoint)) -> Option<Sample> {
    let at = Duration::from_nanos(point.at_ns?);
    let whole = |value: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and no figure of a GPU is so large"
        )]
        let value = value.round() as u32;
        value
    };
    let reading = Reading {
        used: Bytes::new(point.memory_bytes?),
        power_mw: point.power_w.map(|watts| whole(watts.get() * 1000.0)),
        temperature_c: point.temp_c.map(whole),
        utilization_pct: point.utilization_pct.and_then(|share| u8::try_from(whole(share.get())).ok()),
        ..Reading::default()
    };
    Some(Sample { at, tick: u32::try_from(place).ok()?, device: DeviceIndex(0), reading })
}

fn gap(gap: &vramscope_schema::v3::GapInfo) -> Gap {
    let at = Duration::from_nanos;
    Gap {
        window: Window { start: at(gap.start_ns), end: at(gap.end_ns) },
        device: gap.gpu.map(DeviceIndex),
        cause: cause(gap.cause),
        missed: gap.missed,
    }
}

fn cause(cause: vramscope_schema::v3::GapCause) -> GapCause {
    use vramscope_schema::v3::GapCause as Word;
    match cause {
        Word::FailedRead => GapCause::FailedRead,
        Word::MissedTicks => GapCause::MissedTicks,
        Word::DeviceLost => GapCause::DeviceLost,
        Word::Dropped => GapCause::Dropped,
    }
}

fn parts(at: Moment, breakdown: &MemoryBreakdown) -> Parts {
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let named = |part: &vramscope_schema::v3::BreakdownPart| {
        let name = serde_json::to_value(part.kind).ok()?.as_str()?.replace('_', " ");
        Some((name, size(part.size_bytes)))
    };
    let mut parts: Vec<(String, i64)> = Vec::new();
    parts.extend(breakdown.baseline_bytes.map(|bytes| ("baseline".to_owned(), size(bytes))));
    parts.extend(breakdown.components.iter().filter_map(named));
    parts.extend(breakdown.residual_bytes.map(|bytes| ("residual".to_owned(), bytes)));
    Parts { at, used_bytes: breakdown.total_measured_bytes.unwrap_or_default(), parts }
}

fn moment(at: Duration) -> Moment {
    Moment::try_from(at.as_nanos()).unwrap_or(Moment::MAX)
}

fn ns(at: u64) -> Moment {
    Moment::try_from(at).unwrap_or(Moment::MAX)
}
