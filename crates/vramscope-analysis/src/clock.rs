//! Lines up the engine log's clock with the GPU log's.

use std::time::Duration;

use vramscope_core::{EngineFacts, Event, LogTime, Milestone, Timeline, Window};

use crate::evidence::civil;
use crate::evidence::gpu_log::{Clock, GpuLog};

/// A log prints whole seconds, and its writer may be a little late.
const SLACK: Duration = Duration::from_secs(3);

/// Time zones lie between 14 hours ahead of UTC and 12 behind, in steps of a quarter of an hour.
const QUARTERS: std::ops::RangeInclusive<i64> = -56..=48;
const QUARTER_S: i64 = 900;

/// How the engine log's clock was lined up with the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// Both logs use one clock.
    SameClock,
    /// The logs differ by a time zone, which follows from the times alone: seconds to add to the engine log's times.
    TimeZone(i64),
    /// Several time zones are possible; the one was taken in which memory rises as the log says that it should.
    ByShape(i64),
}

/// The engine log's clock on the timeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogClock {
    anchor_s: i64,
    anchor_ns: i64,
    year: i16,
    shift_s: i64,
    pub(crate) alignment: Alignment,
}

impl LogClock {
    /// Finds the shift between the two logs; `None` where the engine log has no clock or no shift makes them meet.
    pub(crate) fn fit(facts: &EngineFacts, log: &GpuLog) -> Option<Self> {
        let anchor = log.timeline.anchor_unix_ns()?;
        let span = log.timeline.span()?;
        let times: Vec<LogTime> = facts.events.iter().filter_map(|e| e.at).collect();
        let (first, last) = (*times.first()?, *times.last()?);
        let base = Self {
            anchor_s: anchor.div_euclid(1_000_000_000),
            anchor_ns: anchor.rem_euclid(1_000_000_000),
            year: year_of(anchor)?,
            shift_s: 0,
            alignment: Alignment::SameClock,
        };
        let inside = |clock: &Self| clock.overlap(first, last, span);
        // A printed zone settles it; a log in the machine's own time shares the clock of nvidia-smi.
        let declared = first.utc_offset_minutes.map(|m| -60 * i64::from(m)).filter(|_| log.clock == Clock::Utc);
        if let Some(shift_s) = declared {
            let clock = Self { shift_s, alignment: Alignment::TimeZone(shift_s), ..base };
            return inside(&clock).then_some(clock);
        }
        if inside(&base) {
            return Some(base);
        }
        let shifted = QUARTERS.map(|q| q * QUARTER_S).filter(|s| *s != 0);
        let candidates: Vec<Self> = shifted
            .map(|shift_s| Self { shift_s, alignment: Alignment::TimeZone(shift_s), ..base })
            .filter(inside)
            .collect();
        match candidates[..] {
            [] => None,
            [only] => Some(only),
            _ => by_shape(&candidates, facts, &log.timeline),
        }
    }

    /// Whether the log's times, so shifted, lie within the samples. An engine may run on before or after the
    /// recording, so it is enough that most of the shorter of the two lies within the longer.
    fn overlap(&self, first: LogTime, last: LogTime, span: Window) -> bool {
        let (Some(first), Some(last)) = (self.signed_at(first), self.signed_at(last)) else { return false };
        let slack = nanoseconds(SLACK);
        let (start, end) = (nanoseconds(span.start) - slack, nanoseconds(span.end) + slack);
        let common = last.min(end) - first.max(start);
        let shorter = (last - first).min(end - start);
        common >= 0 && common * 10 >= shorter * 9
    }

    /// A log time since the timeline's anchor; `None` before the anchor.
    pub(crate) fn at(&self, time: LogTime) -> Option<Duration> {
        u64::try_from(self.signed_at(time)?).ok().map(Duration::from_nanos)
    }

    /// A log time since the timeline's anchor, at the anchor if it lies before.
    pub(crate) fn at_or_start(&self, time: LogTime) -> Option<Duration> {
        let signed = self.signed_at(time)?;
        Some(Duration::from_nanos(u64::try_from(signed).unwrap_or(0)))
    }

    fn signed_at(&self, time: LogTime) -> Option<i64> {
        let small = |value: u8| i8::try_from(value).ok();
        let seconds = |year| {
            let (month, day) = (small(time.month)?, small(time.day)?);
            civil::unix_seconds(year, month, day, small(time.hour)?, small(time.minute)?, small(time.second)?)
        };
        // Without a year, the one in which the time is nearest to the samples: a run may pass midnight of New Year.
        let years = time.year.map_or(self.year - 1..=self.year + 1, |y| y..=y);
        let nearest = years.filter_map(seconds).min_by_key(|s| (s + self.shift_s - self.anchor_s).abs())?;
        let since = nearest + self.shift_s - self.anchor_s;
        since.checked_mul(1_000_000_000)?.checked_add(i64::from(time.nanosecond))?.checked_sub(self.anchor_ns)
    }
}

/// When each event of an engine's log was, in nanoseconds since the GPU log's anchor: before it they are negative. Empty
/// where the two clocks cannot be lined up.
pub fn events_since_anchor<'f>(facts: &'f EngineFacts, log: &GpuLog) -> Vec<(i64, &'f Event)> {
    let Some(clock) = LogClock::fit(facts, log) else { return Vec::new() };
    facts.events.iter().filter_map(|event| Some((clock.signed_at(event.at?)?, event))).collect()
}

/// How far an engine log lies outside the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// It ends so long before the recording begins.
    Before(Duration),
    /// It begins so long after the recording ends.
    After(Duration),
}

/// How far the log lies outside the recording, where both clocks tell that and no zone makes them meet.
pub(crate) fn age(facts: &EngineFacts, log: &GpuLog) -> Option<Age> {
    let anchor = log.timeline.anchor_unix_ns()?;
    let span = log.timeline.span()?;
    let times: Vec<LogTime> = facts.events.iter().filter_map(|e| e.at).collect();
    let (first, last) = (*times.first()?, *times.last()?);
    let shift_s = first.utc_offset_minutes.map_or(0, |minutes| -60 * i64::from(minutes));
    let clock = LogClock {
        anchor_s: anchor.div_euclid(1_000_000_000),
        anchor_ns: anchor.rem_euclid(1_000_000_000),
        year: year_of(anchor)?,
        shift_s,
        alignment: Alignment::TimeZone(shift_s),
    };
    let time = |nanos: i64| u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
    let before = nanoseconds(span.start).checked_sub(clock.signed_at(last)?).and_then(time);
    let after = clock.signed_at(first)?.checked_sub(nanoseconds(span.end)).and_then(time);
    before.map(Age::Before).or(after.map(Age::After))
}

/// Takes the shift with which memory rises most between the start of loading and the engine being ready.
fn by_shape(candidates: &[LogClock], facts: &EngineFacts, timeline: &Timeline) -> Option<LogClock> {
    let start = facts.event(Milestone::LoadBegan).or(facts.events.first())?.at?;
    let end = facts.event(Milestone::EngineReady).or(facts.events.last())?.at?;
    let rise = |clock: &LogClock| -> Option<u64> {
        let (start, end) = (clock.at_or_start(start)?, clock.at(end)?);
        let near = |at: Duration| Window { start: at.saturating_sub(SLACK), end: at + SLACK };
        let before = timeline.total_used(near(start))?.min;
        let after = timeline.total_used(near(end))?.max;
        after.checked_sub(before).map(vramscope_core::Bytes::get)
    };
    let best = candidates.iter().filter_map(|c| Some((rise(c)?, c))).max_by_key(|(rise, _)| *rise)?;
    Some(LogClock { alignment: Alignment::ByShape(best.1.shift_s), ..*best.1 })
}

fn year_of(unix_ns: i64) -> Option<i16> {
    let seconds = unix_ns.div_euclid(1_000_000_000);
    let moment = jiff::Timestamp::from_second(seconds).ok()?;
    Some(moment.to_zoned(jiff::tz::TimeZone::UTC).year())
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::gpu_csv;
    use vramscope_core::Origin;

    /// Samples each second from 2026-11-22 05:00:00 UTC; memory rises at `rise_s`.
    fn gpu_log(seconds: i64, rise_s: i64) -> GpuLog {
        let start = civil::unix_seconds(2026, 11, 22, 5, 0, 0).unwrap();
        let mut text = String::from("timestamp_ns,gpu_index,used_bytes\n");
        for s in 0..seconds {
            let used = if s < rise_s { 0 } else { 9_000_000_000_u64 };
            text.push_str(&format!("{}000000000,0,{used}\n", start + s));
        }
        gpu_csv::read(text.as_bytes()).unwrap()
    }

    fn event(milestone: Milestone, hour: u8, minute: u8, second: u8) -> Event {
        let at =
            LogTime { year: None, month: 11, day: 22, hour, minute, second, nanosecond: 0, utc_offset_minutes: None };
        Event { milestone, at: Some(at), at_is_own: true, took: None, origin: Origin::default() }
    }

    fn engine(hour: u8, minute: u8) -> EngineFacts {
        let mut facts = EngineFacts::default();
        facts.events =
            vec![event(Milestone::LoadBegan, hour, minute, 20), event(Milestone::EngineReady, hour, minute, 40)];
        facts
    }

    #[test]
    fn one_clock_needs_no_shift() {
        let (facts, log) = (engine(5, 0), gpu_log(60, 30));
        let clock = LogClock::fit(&facts, &log).unwrap();
        assert_eq!(clock.alignment, Alignment::SameClock);
        assert_eq!(clock.at(facts.events[0].at.unwrap()), Some(Duration::from_secs(20)));
        let at: Vec<i64> = events_since_anchor(&facts, &log).iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [20_000_000_000, 40_000_000_000]);
    }

    #[test]
    fn a_time_zone_follows_from_the_times() {
        let (facts, log) = (engine(10, 37), gpu_log(60, 30));
        assert!(LogClock::fit(&facts, &log).is_none(), "37 minutes are no whole quarters");
        let facts = engine(10, 30);
        let clock = LogClock::fit(&facts, &log).unwrap();
        assert_eq!(clock.alignment, Alignment::TimeZone(-5 * 3600 - 1800), "India is 5:30 ahead");
    }

    #[test]
    fn where_several_zones_fit_the_rise_decides() {
        let (facts, log) = (engine(9, 0), gpu_log(7200, 3600 + 25));
        let clock = LogClock::fit(&facts, &log).unwrap();
        assert_eq!(clock.alignment, Alignment::ByShape(-3 * 3600), "memory rises at 06:00:25 UTC");
    }

    #[test]
    fn another_day_is_another_run() {
        let mut facts = engine(5, 0);
        assert_eq!(age(&facts, &gpu_log(60, 30)), None);
        facts.events.iter_mut().for_each(|e| e.at.as_mut().unwrap().day = 20);
        assert!(LogClock::fit(&facts, &gpu_log(60, 30)).is_none());
        let two_days = Duration::from_secs(2 * 86_400 - 40);
        assert_eq!(age(&facts, &gpu_log(60, 30)), Some(Age::Before(two_days)));
        facts.events.iter_mut().for_each(|e| e.at.as_mut().unwrap().day = 23);
        assert!(matches!(age(&facts, &gpu_log(60, 30)), Some(Age::After(_))));
    }
}
