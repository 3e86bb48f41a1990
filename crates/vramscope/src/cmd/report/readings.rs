//! Readings of devices as a page takes them, with what the engine's log and metrics say beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use vramscope_analysis::{Evidence, events_since_anchor};
use vramscope_core::{DeviceIndex, Event, Gap, PhaseMark, Sample, Timeline};
use vramscope_log::document::milestone_name;
use vramscope_report::{EngineState, Reading, Recording};
use vramscope_runs::EvidenceFiles;
use vramscope_schema::v3::{MemoryTimeline, Profile};
use vramscope_timeline::document::{Header, Note, ReadError};
use vramscope_timeline::{Item, Passes};

use crate::cmd::timeline;
use crate::log_lines;

/// A recording that is analysed, and whose readings a page is to show: it sees each once, in the first pass.
pub(super) struct Watched {
    recording: timeline::Recording,
    shown: Recording,
    marks: Vec<PhaseMark>,
    last: Duration,
    seen: bool,
}

impl Watched {
    pub(super) fn new(recording: timeline::Recording) -> Self {
        let devices: Vec<u32> = recording.header().devices.iter().map(|device| device.gpu_index).collect();
        let shown = Recording::new(&devices);
        Self { recording, shown, marks: Vec::new(), last: Duration::ZERO, seen: false }
    }

    pub(super) fn finish(mut self) -> Recording {
        for (phase, window) in PhaseMark::windows(&self.marks, self.last) {
            self.shown.phase(phase.name(), nanoseconds(window.start), nanoseconds(window.end));
        }
        self.shown
    }
}

impl timeline::Read for Watched {
    fn recording(&mut self) -> &mut timeline::Recording {
        &mut self.recording
    }
}

impl Passes for Watched {
    fn header(&self) -> Header {
        self.recording.header()
    }

    fn notes(&self) -> Vec<Note> {
        self.recording.notes()
    }

    fn pass(&mut self, visit: &mut dyn FnMut(Item)) -> Result<(), ReadError> {
        if std::mem::replace(&mut self.seen, true) {
            return self.recording.pass(visit);
        }
        let (shown, marks, last) = (&mut self.shown, &mut self.marks, &mut self.last);
        self.recording.pass(&mut |item| {
            match &item {
                Item::Sample(sample) => {
                    *last = (*last).max(sample.at);
                    take(shown, sample);
                }
                Item::Gap(gap) => mark_gap(shown, gap),
                Item::Mark(mark) => marks.push(*mark),
                _ => {}
            }
            visit(item);
        })
    }
}

/// The readings of a run's devices, with its phases, the milestones of its log and the engine's metrics; `None` where
/// nothing was read.
pub(super) fn of_run(evidence: &Evidence, profile: &Profile, files: &EvidenceFiles) -> Option<Recording> {
    let gpu = evidence.gpu.as_ref()?;
    let timeline = &gpu.timeline;
    let devices = of_the_run(timeline, profile.memory_timeline.as_ref());
    let is_of_run = |device: DeviceIndex| devices.contains(&device.0);
    let mut shown = Recording::new(&devices);
    timeline.gaps().iter().filter(|gap| gap.device.is_none_or(is_of_run)).for_each(|gap| mark_gap(&mut shown, gap));
    for sample in timeline.samples().iter().filter(|sample| is_of_run(sample.device)) {
        take(&mut shown, sample);
    }
    for phase in profile.phases.iter().flatten() {
        // A phase is one word of the document.
        let name = serde_json::to_value(phase.phase).ok();
        let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        shown.phase(name, phase.start_ns, phase.end_ns);
    }
    let mut events = evidence.facts().map_or_else(Vec::new, |facts| events_since_anchor(facts, gpu));
    // A line without a clock has that of a line before it, which may be minutes old.
    events.retain(|(_, event)| event.at_is_own);
    let lines = log_lines::lines(&files.engine_logs, &events.iter().map(|(_, event)| event.origin.line).collect());
    events.iter().for_each(|(at, event)| mark_event(&mut shown, *at, event, &lines));
    for reading in evidence.metrics.iter().flatten() {
        if let Some(at) = evidence.since_anchor(reading.timestamp_ns) {
            let state = EngineState {
                running: reading.running,
                waiting: reading.waiting,
                kv_usage_pct: reading.kv_cache_usage_ratio.map(|share| share * 100.0),
            };
            shown.request_state(nanoseconds(at), &state);
        }
    }
    Some(shown)
}

/// The devices of which the profile speaks: what others did on the rest is no part of the run. All where it names none.
fn of_the_run(timeline: &Timeline, memory: Option<&MemoryTimeline>) -> Vec<u32> {
    let named = memory.iter().flat_map(|memory| &memory.per_gpu).map(|gpu| gpu.gpu);
    let mut named: Vec<u32> = named.collect();
    named.dedup();
    if named.is_empty() { timeline.devices().iter().map(|device| device.index.0).collect() } else { named }
}

/// Marks what the log says, unless it was before the first reading.
fn mark_event(shown: &mut Recording, at: i64, event: &Event, lines: &BTreeMap<u64, String>) {
    let Ok(at) = u64::try_from(at) else { return };
    let line = event.origin.line;
    let label = format!("{} (line {line})", milestone_name(event.milestone).replace('_', " "));
    shown.event(at, &label, lines.get(&line).map(String::as_str));
}

fn mark_gap(shown: &mut Recording, gap: &Gap) {
    let device = gap.device.map(|device| device.0);
    shown.gap(nanoseconds(gap.window.start), nanoseconds(gap.window.end), device, gap.cause.name());
}

fn take(shown: &mut Recording, sample: &Sample) {
    let from = &sample.reading;
    let watts = |milliwatts: u32| f64::from(milliwatts) / 1e3;
    let reading = Reading {
        used_bytes: Some(from.used.get()),
        total_bytes: from.total.map(vramscope_core::Bytes::get),
        power_w: from.power_mw.or(from.power_average_mw).map(watts),
        temperature_c: from.temperature_c.map(f64::from),
        utilization_pct: from.utilization_pct.map(f64::from),
        memory_utilization_pct: from.memory_utilization_pct.map(f64::from),
        sm_clock_mhz: from.sm_clock_mhz.map(f64::from),
        memory_clock_mhz: from.memory_clock_mhz.map(f64::from),
    };
    shown.reading(sample.device.0, sample.tick.into(), nanoseconds(sample.at), &reading);
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_core::Device;

    #[test]
    fn a_page_is_of_the_devices_of_its_profile() {
        let mut timeline = Timeline::new(None);
        (0..2).for_each(|index| timeline.describe(Device::unnamed(DeviceIndex(index))));
        let memory = |text: &str| serde_json::from_str::<MemoryTimeline>(text).unwrap();
        assert_eq!(of_the_run(&timeline, Some(&memory(r#"{"per_gpu": [{"gpu": 1}]}"#))), [1]);
        assert_eq!(of_the_run(&timeline, Some(&memory("{}"))), [0, 1]);
        assert_eq!(of_the_run(&timeline, None), [0, 1]);
    }
}
