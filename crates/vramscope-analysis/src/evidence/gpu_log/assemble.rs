//! Rows of a log as a timeline: in order, in ticks, with its gaps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vramscope_core::{Bytes, Device, DeviceIndex, Gap, GapCause, Sample, Timeline, Window, upper_median};

use super::{Clock, Details, GpuLog, Note, ProcessUse, Row};

/// Puts rows in order, finds ticks and gaps, and states what was odd.
pub(crate) fn assemble(mut rows: Vec<Row>, details: Details, clock: Clock, mut notes: Vec<Note>) -> GpuLog {
    mend_clock(&mut rows, &mut notes);
    mend_order(&mut rows, &mut notes);
    let anchor = rows.first().map_or(0, |row| row.unix_ns);
    let since = |unix_ns: i64| Duration::from_nanos(u64::try_from(unix_ns - anchor).unwrap_or(0));
    let mut timeline = Timeline::new(Some(anchor));
    for device in details.devices.into_values() {
        timeline.describe(device);
    }
    let period = device_period(&rows);
    let mut tick = 0;
    let mut started = anchor;
    let mut in_tick: BTreeSet<DeviceIndex> = BTreeSet::new();
    for row in &rows {
        let late = period.is_some_and(|period| row.unix_ns - started > period / 2);
        if !in_tick.is_empty() && (late || in_tick.contains(&row.device)) {
            tick += 1;
            in_tick.clear();
        }
        if in_tick.is_empty() {
            started = row.unix_ns;
        }
        in_tick.insert(row.device);
        let sample = Sample { at: since(row.unix_ns), tick, device: row.device, reading: row.reading };
        timeline.push(sample).unwrap_or_else(|error| unreachable!("ticks only grow in this loop: {error}"));
    }
    describe_memory(&mut timeline);
    note_gaps(&mut timeline, period);
    let processes = details.processes.into_iter().map(|((device, pid), (max_used, first, last))| ProcessUse {
        device,
        pid,
        max_used,
        first_seen: since(first),
        last_seen: since(last),
    });
    GpuLog {
        timeline,
        clock,
        processes: processes.collect(),
        has_processes: details.has_processes,
        notes,
        asked_period: None,
    }
}

/// So many rows of a device must lie before its latest one for a clock that was set back.
const STAYS_BACK: usize = 3;

/// Recognises a clock that was set back: the times of a device go back and stay back. A single row that is late is
/// left to `mend_order`.
fn mend_clock(rows: &mut [Row], notes: &mut Vec<Note>) {
    let mut moved: i64 = 0;
    let mut latest: BTreeMap<DeviceIndex, i64> = BTreeMap::new();
    let period = device_period(rows).unwrap_or(0);
    let mut following: Option<Vec<usize>> = None;
    for i in 0..rows.len() {
        let (device, time) = (rows[i].device, rows[i].unix_ns.saturating_add(moved));
        if let Some(&last) = latest.get(&device).filter(|&&last| time < last) {
            let following = following.get_or_insert_with(|| next_of_device(rows));
            let ahead = std::iter::successors(Some(i), |&place| following.get(place).copied()).take(STAYS_BACK);
            let behind = |place: usize| rows.get(place).is_some_and(|row| row.unix_ns.saturating_add(moved) < last);
            if ahead.filter(|&place| behind(place)).count() == STAYS_BACK {
                let by = last.saturating_add(period).saturating_sub(time);
                moved = moved.saturating_add(by);
                notes.push(Note::ClockSetBack {
                    line: rows[i].line,
                    by: Duration::from_nanos(u64::try_from(by).unwrap_or(0)),
                });
            }
        }
        rows[i].unix_ns = rows[i].unix_ns.saturating_add(moved);
        let entry = latest.entry(device).or_insert(i64::MIN);
        *entry = (*entry).max(rows[i].unix_ns);
    }
}

/// For each row the place of its device's next one, or a place behind all rows. Made once, since to look for it anew
/// costs as many steps as the log has devices.
fn next_of_device(rows: &[Row]) -> Vec<usize> {
    let mut later: BTreeMap<DeviceIndex, usize> = BTreeMap::new();
    let mut next = vec![rows.len(); rows.len()];
    for (place, row) in rows.iter().enumerate().rev() {
        if let Some(found) = later.insert(row.device, place) {
            next[place] = found;
        }
    }
    next
}

/// Sorts rows by time and drops those that repeat a time of their device.
fn mend_order(rows: &mut Vec<Row>, notes: &mut Vec<Note>) {
    let mut latest = i64::MIN;
    let mut late = rows.iter().filter(|row| {
        let behind = row.unix_ns < latest;
        latest = latest.max(row.unix_ns);
        behind
    });
    if let Some(line) = late.next().map(|row| row.line) {
        let count = 1 + late.count();
        notes.push(Note::OutOfOrder { rows: u64::try_from(count).unwrap_or(u64::MAX), line });
        rows.sort_by_key(|row| row.unix_ns);
    }
    let mut last: BTreeMap<DeviceIndex, i64> = BTreeMap::new();
    let mut repeated: Option<(u64, u64)> = None;
    rows.retain(|row| {
        let repeats = last.insert(row.device, row.unix_ns) == Some(row.unix_ns);
        if repeats {
            let (count, line) = repeated.unwrap_or((0, row.line));
            repeated = Some((count + 1, line));
        }
        !repeats
    });
    if let Some((rows, line)) = repeated {
        notes.push(Note::Duplicate { rows, line });
    }
}

/// The median time between two rows of one device, in nanoseconds; `None` with fewer than two rows of any device.
fn device_period(rows: &[Row]) -> Option<i64> {
    const ENOUGH: usize = 10_000;
    let mut last: BTreeMap<DeviceIndex, i64> = BTreeMap::new();
    let mut steps: Vec<i64> = Vec::new();
    for row in rows {
        if let Some(before) = last.insert(row.device, row.unix_ns) {
            steps.push(row.unix_ns.saturating_sub(before));
        }
        if steps.len() == ENOUGH {
            break;
        }
    }
    upper_median(&mut steps)
}

/// States each device's memory as its readings do.
fn describe_memory(timeline: &mut Timeline) {
    let mut first: BTreeMap<DeviceIndex, (Bytes, Option<Bytes>)> = BTreeMap::new();
    for sample in timeline.samples() {
        if let Some(total) = sample.reading.total {
            first.entry(sample.device).or_insert((total, sample.reading.reserved));
        }
    }
    for (index, (total, reserved)) in first {
        let known = timeline.device(index).cloned().unwrap_or_else(|| Device::unnamed(index));
        timeline.describe(Device { total: Some(total), reserved, ..known });
    }
}

/// A hole of this many periods is a gap; less is the jitter of a busy machine.
const GAP_PERIODS: i64 = 4;

fn note_gaps(timeline: &mut Timeline, period: Option<i64>) {
    let Some(period) = period.and_then(|p| u64::try_from(p).ok()).filter(|p| *p > 0) else { return };
    let limit = Duration::from_nanos(period.saturating_mul(GAP_PERIODS.unsigned_abs()));
    let starts: Vec<Duration> = timeline.ticks().filter_map(|tick| tick.first().map(|s| s.at)).collect();
    for pair in starts.windows(2) {
        let hole = pair[1].saturating_sub(pair[0]);
        if hole >= limit {
            let missed = u64::try_from(hole.as_nanos() / u128::from(period)).unwrap_or(u64::MAX).saturating_sub(1);
            let window = Window { start: pair[0], end: pair[1] };
            timeline.note_gap(Gap { window, device: None, cause: GapCause::MissedTicks, missed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vramscope_core::Reading;

    fn row(line: u64, unix_ms: i64, device: u32, used: u64) -> Row {
        let reading = Reading { used: Bytes::new(used), ..Reading::default() };
        Row { line, unix_ns: unix_ms * 1_000_000, device: DeviceIndex(device), reading }
    }

    fn used(log: &GpuLog) -> Vec<u64> {
        log.timeline.samples().iter().map(|s| s.reading.used.get()).collect()
    }

    #[test]
    fn a_late_row_is_put_in_order_and_noted() {
        let rows = vec![row(2, 0, 0, 1), row(3, 200, 0, 3), row(4, 100, 0, 2), row(5, 300, 0, 4), row(6, 400, 0, 5)];
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        assert_eq!(used(&log), [1, 2, 3, 4, 5]);
        assert_eq!(log.notes, [Note::OutOfOrder { rows: 1, line: 4 }]);
    }

    #[test]
    fn the_first_of_two_rows_of_one_time_counts() {
        let rows = vec![row(2, 0, 0, 1), row(3, 0, 0, 9), row(4, 100, 0, 2)];
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        assert_eq!(used(&log), [1, 2]);
        assert_eq!(log.notes, [Note::Duplicate { rows: 1, line: 3 }]);
    }

    #[test]
    fn a_clock_set_back_does_not_mix_two_times() {
        let before = (0..5).map(|i| row(2 + i, i64::try_from(i).unwrap() * 100, 0, i));
        let after = (0..5).map(|i| row(7 + i, i64::try_from(i).unwrap() * 100 - 3_000, 0, 10 + i));
        let log = assemble(before.chain(after).collect(), Details::default(), Clock::Utc, Vec::new());
        assert_eq!(used(&log), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14], "order of the file is order of time");
        assert!(matches!(log.notes[..], [Note::ClockSetBack { line: 7, .. }]), "{:?}", log.notes);
        let times: Vec<u128> = log.timeline.samples().iter().map(|s| s.at.as_millis()).collect();
        assert_eq!(times[4..6], [400, 500]);
    }

    #[test]
    fn a_clock_set_back_is_told_for_each_of_many_devices() {
        let log = |from: i64| (0..6).flat_map(move |t| (0..300).map(move |d| (from + t * 1_000 + i64::from(d), d)));
        let times = log(0).chain(log(-50_000));
        let rows: Vec<Row> = times.zip(2..).map(|((t, d), line)| row(line, t, d, 1)).collect();
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        assert!(matches!(log.notes[..], [Note::ClockSetBack { line: 1802, .. }]), "{:?}", log.notes);
        assert_eq!((log.timeline.devices().len(), log.timeline.ticks().count()), (300, 12));
        assert_eq!(log.timeline.totals(Window::ALL).count(), 12, "each tick has all devices");
    }

    #[test]
    fn a_hole_is_a_gap_and_jitter_is_not() {
        let times = [0, 100, 210, 300, 400, 1_400, 1_500];
        let rows = times.iter().zip(2..).map(|(&t, line)| row(line, t, 0, 1)).collect();
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        let [gap] = log.timeline.gaps() else { panic!("one gap, not {:?}", log.timeline.gaps()) };
        assert_eq!((gap.window.start.as_millis(), gap.window.end.as_millis(), gap.missed), (400, 1_400, 9));
    }

    #[test]
    fn a_device_that_fails_for_a_tick_leaves_it_incomplete() {
        let rows = vec![row(2, 0, 0, 1), row(3, 1, 1, 10), row(4, 100, 1, 20), row(5, 200, 0, 3), row(6, 201, 1, 30)];
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        let totals: Vec<u64> = log.timeline.totals(Window::ALL).map(|t| t.used.get()).collect();
        assert_eq!(totals, [11, 33]);
    }

    proptest! {
        #[test]
        fn no_row_is_lost_but_repetitions(times in prop::collection::vec((0i64..1 << 40, 0u32..4), 1..60)) {
            let rows: Vec<Row> = times.iter().zip(2..).map(|(&(t, d), line)| row(line, t, d, 1)).collect();
            let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
            let dropped: u64 = log.notes.iter().map(|n| if let Note::Duplicate { rows, .. } = n { *rows } else { 0 }).sum();
            prop_assert_eq!(log.timeline.samples().len() as u64 + dropped, times.len() as u64);
            let at: Vec<Duration> = log.timeline.samples().iter().map(|s| s.at).collect();
            prop_assert!(at.is_sorted());
        }
    }
}
