//! What has a length, and what happened: phases, gaps, requests, lines of the log, the peak.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Map, Value, json};
use vramscope_core::{DeviceIndex, Gap, Phase};

use super::counters::{moment, signed};
use super::event::{Place, shown};
use super::lanes::Lanes;
use super::{ENGINE, IDS, LOG, PEAK, PHASES, PROCESSES, REQUESTS, Tracks, WHOLE};

/// Nanoseconds since the recording's anchor; before it they are negative.
pub type Moment = i64;

/// A phase from its first instant to the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanOfPhase {
    /// Which.
    pub phase: Phase,
    /// Its first instant.
    pub start: Moment,
    /// The first one after it.
    pub end: Moment,
}

/// Where the memory of the peak went.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parts {
    /// When the peak was.
    pub at: Moment,
    /// What was in use then, in bytes.
    pub used_bytes: u64,
    /// The parts by their names, in bytes; what is unexplained may be negative.
    pub parts: Vec<(String, i64)>,
}

/// A request that a load sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestSpan {
    /// When it was sent.
    pub start: Moment,
    /// When its answer ended.
    pub end: Moment,
    /// When the first token came.
    pub first_token: Option<Moment>,
    /// Its name.
    pub name: String,
    /// What else is known of it.
    pub about: Vec<(String, Value)>,
}

impl<W: io::Write> Tracks<W> {
    /// The phases of the run, each once.
    ///
    /// # Errors
    /// The writer's.
    pub fn phases(&mut self, phases: &[SpanOfPhase]) -> io::Result<()> {
        if phases.is_empty() {
            return Ok(());
        }
        let place = self.engine_thread(PHASES, "engine phases")?;
        let mut free = Moment::MIN;
        for span in phases {
            // Of two that overlap the later one begins where the earlier one ends.
            let start = span.start.max(free);
            if span.end <= start {
                continue;
            }
            free = span.end;
            self.out.slice(place, (start, span.end), span.phase.name(), Map::new())?;
        }
        Ok(())
    }

    /// Something that the engine said: what, in which line, and the line itself where it is known.
    ///
    /// # Errors
    /// The writer's.
    pub fn logged(&mut self, at: Moment, what: &str, line: u64, text: Option<&str>) -> io::Result<()> {
        let place = self.engine_thread(LOG, "engine log")?;
        let mut args = Map::new();
        args.insert("line".to_owned(), line.into());
        args.extend(text.map(|text| ("text".to_owned(), shown(text).into())));
        self.out.instant(place, at, &shown(what), args)
    }

    /// Spans without readings, on each device, or on the process of all devices where it is all of them.
    ///
    /// # Errors
    /// The writer's.
    pub fn gaps(&mut self, gaps: &[Gap]) -> io::Result<()> {
        let mut sorted: Vec<&Gap> = gaps.iter().collect();
        sorted.sort_by_key(|gap| gap.window.start);
        let mut lanes: BTreeMap<Option<DeviceIndex>, (Lanes, Vec<Place>)> = BTreeMap::new();
        for gap in sorted {
            let device = gap.device.filter(|device| self.devices.contains_key(device));
            let (start, end) = (moment(gap.window.start), moment(gap.window.end));
            let (free, places) = lanes.entry(device).or_default();
            let Some(lane) = free.take(start, end) else {
                self.counts.left_out += 1;
                continue;
            };
            let place = if let Some(place) = places.get(lane) {
                *place
            } else {
                let process = match device.and_then(|device| self.devices.get(&device)) {
                    Some((place, _)) => *place,
                    None => {
                        self.name(WHOLE)?;
                        self.place(WHOLE)
                    }
                };
                let Some(place) = self.lane(process, "no readings")? else { continue };
                places.push(place);
                place
            };
            let mut args = Map::new();
            args.insert("cause".to_owned(), gap.cause.name().into());
            args.insert("samples missed".to_owned(), gap.missed.into());
            if let Some(device) = gap.device {
                args.insert("gpu".to_owned(), device.0.into());
            }
            self.out.slice(place, (start, end), "no readings", args)?;
        }
        Ok(())
    }

    /// The peak taken apart: an instant with all parts, and a stacked counter. The parts are known of that instant alone.
    /// The counter shows them through `shown_over`, the phase of the peak, and nothing besides; its name says so.
    ///
    /// # Errors
    /// The writer's.
    pub fn parts(&mut self, parts: &Parts, shown_over: Option<SpanOfPhase>) -> io::Result<()> {
        self.name(WHOLE)?;
        let whole = self.place(WHOLE);
        let place = self.thread(whole, PEAK);
        self.out.thread(place, "peak", 0)?;
        let mut args = Map::new();
        args.insert("used_bytes".to_owned(), parts.used_bytes.into());
        args.extend(parts.parts.iter().map(|(name, bytes)| (shown(name), (*bytes).into())));
        self.out.instant(place, parts.at, "peak", args)?;
        let Some(span) = shown_over.filter(|span| !parts.parts.is_empty() && span.end > span.start) else {
            return Ok(());
        };
        let name = format!("parts as at the peak, through {}", span.phase.name());
        let series = |through: bool| -> Vec<(String, Value)> {
            let size = |bytes: i64| if through { signed(bytes) } else { json!(0) };
            parts.parts.iter().map(|(name, bytes)| (counter_key(name), size(*bytes))).collect()
        };
        for (at, values) in [(span.start, series(true)), (span.end, series(false))] {
            let values: Vec<(&str, Value)> =
                values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            self.out.counter(whole, at, &name, &values)?;
        }
        Ok(())
    }

    /// The requests of a load, in lanes in which none overlaps another.
    ///
    /// # Errors
    /// The writer's.
    pub fn requests(&mut self, requests: &mut [RequestSpan]) -> io::Result<()> {
        if requests.is_empty() {
            return Ok(());
        }
        self.name(REQUESTS)?;
        requests.sort_by_key(|request| (request.start, request.end));
        let process = self.place(REQUESTS);
        let mut lanes = Lanes::default();
        let mut places: Vec<Place> = Vec::new();
        for request in requests {
            let end = request.end.max(request.start);
            let Some(lane) = lanes.take(request.start, end) else {
                self.counts.left_out += 1;
                continue;
            };
            let place = match places.get(lane) {
                Some(place) => *place,
                None => {
                    let Some(place) = self.lane(process, &format!("requests, lane {}", lane + 1))? else { continue };
                    places.push(place);
                    place
                }
            };
            let about = |(name, value): &(String, Value)| {
                let value = value.as_str().map_or_else(|| value.clone(), |text| shown(text).into());
                (shown(name), value)
            };
            let args: Map<String, Value> = request.about.iter().map(about).collect();
            self.out.slice(place, (request.start, end), &shown(&request.name), args)?;
            if let Some(first) = request.first_token.filter(|first| (request.start..=end).contains(first)) {
                self.out.slice(place, (request.start, first), "until the first token", Map::new())?;
            }
        }
        Ok(())
    }

    /// A thread of the engine's process; it is named the first time.
    fn engine_thread(&mut self, number: u32, name: &str) -> io::Result<Place> {
        self.name(ENGINE)?;
        let place = self.thread(self.place(ENGINE), number);
        let slot = usize::try_from(number).unwrap_or(0);
        if !std::mem::replace(&mut self.engine_threads[slot], true) {
            self.out.thread(place, name, number)?;
        }
        Ok(place)
    }

    /// One more thread; `None` when there are no ids left, which is counted.
    fn lane(&mut self, process: Place, name: &str) -> io::Result<Option<Place>> {
        if self.threads >= IDS - 2 * PROCESSES {
            self.counts.left_out += 1;
            return Ok(None);
        }
        let place = self.thread(process, self.threads);
        self.out.thread(place, name, self.threads)?;
        self.threads += 1;
        Ok(Some(place))
    }
}

/// A part's name as the key of a counter, which is written as it stands.
pub(super) fn counter_key(name: &str) -> String {
    shown(name).chars().filter(|c| !matches!(c, '"' | '\\')).collect()
}
