//! A recording on the clock of a trace.

use std::time::Duration;

use anyhow::{Context as _, bail};
use vramscope_report::Moment;
use vramscope_trace::Extended;

use super::evidence::Exported;

/// How the two clocks are brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// By the wall clock.
    Clock,
    /// Both begin together.
    Start,
    /// The trace begins so long after the first reading.
    After(Duration),
}

pub(super) fn align(text: &str) -> Result<Align, String> {
    match text {
        "clock" => Ok(Align::Clock),
        "start" => Ok(Align::Start),
        time => crate::time::length(time)
            .map(Align::After)
            .map_err(|_| "expected clock, start, or a time with its unit, as 12.5s".to_owned()),
    }
}

/// Which clock a recording's anchor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Nanoseconds since 1970 UTC.
    Utc(i64),
    /// The same in a machine's local time, whose zone nobody wrote down.
    Local(i64),
    /// Unknown.
    Unknown,
}

impl Anchor {
    pub(super) fn utc_ns(self) -> Option<i64> {
        match self {
            Self::Utc(ns) => Some(ns),
            Self::Local(_) | Self::Unknown => None,
        }
    }
}

/// Where the recording's anchor is on the trace's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) anchor_ns: i64,
    /// What a person should know of it.
    pub(super) note: Option<String>,
    /// The same, shortly, for the names of tracks.
    pub(super) remark: Option<String>,
}

/// Time zones lie between 14 hours ahead of UTC and 12 behind, in steps of a quarter of an hour.
const QUARTERS: std::ops::RangeInclusive<i128> = -56..=48;
const QUARTER_NS: i128 = 900_000_000_000;

pub(super) fn place(align: Align, exported: &Exported, trace: &Extended) -> anyhow::Result<Placed> {
    place_spans(align, exported.clock, exported.span, trace.zero_unix_ns(), trace.first_ns.zip(trace.last_ns))
}

fn place_spans(
    align: Align,
    clock: Anchor,
    recording: (Moment, Moment),
    zero_unix_ns: Option<i64>,
    trace: Option<(i64, i64)>,
) -> anyhow::Result<Placed> {
    let by_hand = "`--align start` lets both begin together, `--align 12.5s` lets the trace begin so long after the first \
                   reading";
    let Some(trace) = trace else { bail!("no event of the trace has a time") };
    let set = |after: i128, remark: &str| {
        let anchor_ns = i128::from(trace.0) - after - i128::from(recording.0);
        let note = format!("{remark}: what stands above one another in the viewer need not be of one moment");
        Ok(Placed { anchor_ns: narrow(anchor_ns)?, note: Some(note), remark: Some(remark.to_owned()) })
    };
    match align {
        Align::Start => return set(0, "placed by hand: begins with the trace"),
        Align::After(time) => {
            let after = i128::try_from(time.as_nanos()).context("no recording is so long")?;
            return set(after, &format!("placed by hand: the trace begins {} s in", time.as_secs_f64()));
        }
        Align::Clock => {}
    }
    let Some(zero) = zero_unix_ns else {
        bail!("the trace does not say what time it was (it has no baseTimeNanoseconds); {by_hand}");
    };
    // From the recording's first reading to the trace's first event, and so on, if the zone is so many quarters off.
    let fits = |anchor_ns: i128| {
        let (first, last) = (anchor_ns + i128::from(recording.0), anchor_ns + i128::from(recording.1));
        first <= i128::from(trace.1) && i128::from(trace.0) <= last
    };
    match clock {
        Anchor::Unknown => bail!("the recording does not say what time it was; {by_hand}"),
        Anchor::Utc(anchor) => {
            let anchor_ns = i128::from(anchor) - i128::from(zero);
            if !fits(anchor_ns) {
                let first = anchor_ns + i128::from(recording.0);
                let ahead = i128::from(trace.0) - first;
                let (far, way) = (seconds(ahead), if ahead < 0 { "before" } else { "after" });
                bail!(
                    "the trace begins {far} s {way} the recording, which is {} s long: they are not of one moment; {by_hand}",
                    seconds(i128::from(recording.1) - i128::from(recording.0))
                );
            }
            Ok(Placed { anchor_ns: narrow(anchor_ns)?, note: None, remark: None })
        }
        Anchor::Local(anchor) => {
            let local = i128::from(anchor) - i128::from(zero);
            let zones: Vec<i128> = QUARTERS.filter(|quarters| fits(local + quarters * QUARTER_NS)).collect();
            let [zone] = zones[..] else {
                let why = if zones.is_empty() { "no zone" } else { "more than one zone" };
                bail!(
                    "the recording's times are of a local clock of an unknown zone, and {why} lets the two meet; {by_hand}"
                );
            };
            let hours = format!("UTC{}", offset(-zone));
            Ok(Placed {
                anchor_ns: narrow(local + zone * QUARTER_NS)?,
                note: Some(format!(
                    "the recording's local times are taken as {hours}, the only zone in which it and the trace are of one \
                     moment"
                )),
                remark: Some(format!("local times as {hours}")),
            })
        }
    }
}

/// A zone's distance from UTC in quarters of an hour.
fn offset(quarters: i128) -> String {
    let sign = if quarters < 0 { '-' } else { '+' };
    let size = quarters.unsigned_abs();
    format!("{sign}{:02}:{:02}", size / 4, size % 4 * 15)
}

fn seconds(ns: i128) -> u128 {
    ns.unsigned_abs() / 1_000_000_000
}

fn narrow(ns: i128) -> anyhow::Result<i64> {
    i64::try_from(ns).context("the times are centuries apart")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: i64 = 1_790_857_026_000_000_000;
    /// From the recording trace-l1b-eager: its first reading, and the first and last events of its trace.
    const ANCHOR: i64 = 1_795_324_921_895_999_185;
    const TRACE: (i64, i64) = (4_467_932_960_135_506, 4_467_933_061_044_876);
    const SPAN: (Moment, Moment) = (0, 39_000_000_000);

    fn placed(align: Align, clock: Anchor, zero: Option<i64>) -> Result<Placed, String> {
        place_spans(align, clock, SPAN, zero, Some(TRACE)).map_err(|error| error.to_string())
    }

    #[test]
    fn one_wall_clock_needs_no_word() {
        let placed = placed(Align::Clock, Anchor::Utc(ANCHOR), Some(BASE)).unwrap();
        assert_eq!((placed.anchor_ns, placed.note, placed.remark), (ANCHOR - BASE, None, None));
    }

    #[test]
    fn a_local_clock_is_of_the_only_zone_that_fits() {
        let ahead = ANCHOR + 2 * 3_600_000_000_000;
        let local = placed(Align::Clock, Anchor::Local(ahead), Some(BASE)).unwrap();
        assert_eq!(local.anchor_ns, ANCHOR - BASE);
        assert!(local.remark.unwrap().contains("UTC+02:00"));
        let long = (0, 3_600_000_000_000);
        let error = place_spans(Align::Clock, Anchor::Local(ahead), long, Some(BASE), Some(TRACE)).unwrap_err();
        assert!(error.to_string().contains("more than one zone"), "{error}");
    }

    #[test]
    fn clocks_that_do_not_meet_are_refused_with_what_to_do() {
        for (clock, zero, why) in [
            (Anchor::Unknown, Some(BASE), "recording does not say"),
            (Anchor::Utc(ANCHOR), None, "baseTimeNanoseconds"),
            (Anchor::Utc(ANCHOR - 3_600_000_000_000), Some(BASE), "after the recording"),
            (Anchor::Utc(ANCHOR + 3_600_000_000_000), Some(BASE), "before the recording"),
            (Anchor::Local(ANCHOR + 60_000_000_000 * 5), Some(BASE), "no zone"),
        ] {
            let error = placed(Align::Clock, clock, zero).unwrap_err();
            assert!(error.contains(why) && error.contains("--align start"), "{error}");
        }
    }

    #[test]
    fn by_hand_both_begin_where_they_are_told_to() {
        let start = placed(Align::Start, Anchor::Unknown, None).unwrap();
        assert_eq!(start.anchor_ns, TRACE.0);
        let later = placed(Align::After(Duration::from_secs(2)), Anchor::Unknown, None).unwrap();
        assert_eq!(later.anchor_ns, TRACE.0 - 2_000_000_000);
        assert!(later.note.is_some() && later.remark.is_some());
        assert_eq!(
            (align("12.5s"), align("start")),
            (Ok(Align::After(Duration::from_millis(12_500))), Ok(Align::Start))
        );
        assert!(align("5").is_err());
    }
}
