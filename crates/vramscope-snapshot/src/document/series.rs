//! The document of several snapshots.

use serde::{Deserialize, Serialize};

use super::{NoteRow, VERSION};
use crate::{By, Grown, Per, Series, Trend};

/// What changed from the first snapshot to the last, and what keeps growing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SeriesDocument {
    /// The document's version.
    pub vramscope_snapshot_series: u32,
    /// What rows are by: `stack`, `function`, `file`, `module` or `part`.
    pub by: String,
    /// The snapshots, in the order in which they are compared.
    pub snapshots: Vec<PointRow>,
    /// Whether that is another order than the one given: the files' own times say so.
    pub reordered: bool,
    /// Snapshots that were given more than once, by time and content; each counts once.
    pub repeated: u64,
    /// The fewest snapshots of which any row could be said to keep growing.
    pub needed_snapshots: u64,
    /// Active bytes of the last snapshot less those of the first.
    pub change_bytes: i64,
    /// How all active bytes go on; absent where there are too few snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend: Option<TrendDocument>,
    /// Rows that keep growing, by the rule of `trend.grows`.
    pub growing: u64,
    /// What differs, growing rows first, then the largest change.
    pub rows: Vec<GrowthRow>,
    /// Rows that are not listed.
    pub rest_rows: u64,
    /// The change of those together, in bytes.
    pub rest_change_bytes: i64,
    /// What makes a comparison doubtful: `no_common_blocks` (less than a sixteenth) or `other_devices`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteRow>,
}

/// One snapshot of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PointRow {
    /// The file's path as given.
    pub name: String,
    /// The time of its last event, in microseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_us: Option<i64>,
    /// Blocks in use or waiting to be free, in bytes.
    pub active_bytes: u64,
    /// How many.
    pub active_blocks: u64,
    /// What the allocator has of the driver, in bytes.
    pub reserved_bytes: u64,
}

/// What one holder has in each snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GrowthRow {
    /// Its name; absent where no stack was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes of the last snapshot less those of the first.
    pub change_bytes: i64,
    /// Allocations of the last snapshot less those of the first.
    pub change_count: i64,
    /// Bytes in each snapshot.
    pub bytes: Vec<u64>,
    /// Allocations in each snapshot.
    pub counts: Vec<u64>,
    /// How it goes on; absent where there are too few snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend: Option<TrendDocument>,
    /// Its stack, the innermost frame first; absent unless rows are by stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<String>,
}

/// How sizes go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TrendDocument {
    /// What the slope is by: `second` of the files' own times, or `snapshot` where they have none.
    pub per: String,
    /// Bytes by which it rises, by least squares.
    pub slope_bytes: f64,
    /// The lower end of the slope's interval of 95 %.
    pub low_bytes: f64,
    /// Its upper end.
    pub high_bytes: f64,
    /// How likely sizes without any trend rise as steadily (Kendall's test, one-sided).
    pub chance: f64,
    /// Whether it grows: that chance times the number of rows and one for their sum is below 1 %, the interval is above zero, and the last
    /// third of the snapshots rises by a quarter of the slope or more.
    pub grows: bool,
}

impl SeriesDocument {
    /// The document of a series, cut to `top` rows; rows that grow are never cut.
    pub fn of(series: &Series, by: By, top: usize) -> Self {
        let growing = series.rows.iter().filter(|row| row.grows()).count();
        let (listed, rest) = series.rows.split_at(top.max(growing).min(series.rows.len()));
        let active = |at: Option<&crate::Point>| at.map_or(0, |point| signed(point.active.bytes));
        Self {
            vramscope_snapshot_series: VERSION,
            by: by.name().to_owned(),
            snapshots: series
                .points
                .iter()
                .map(|point| PointRow {
                    name: point.name.clone(),
                    time_us: point.time_us,
                    active_bytes: point.active.bytes,
                    active_blocks: point.active.count,
                    reserved_bytes: point.reserved,
                })
                .collect(),
            reordered: series.reordered,
            repeated: series.repeated as u64,
            needed_snapshots: series.needed as u64,
            change_bytes: active(series.points.last()) - active(series.points.first()),
            trend: series.total.map(trend),
            growing: growing as u64,
            rows: listed.iter().map(row).collect(),
            rest_rows: rest.len() as u64,
            rest_change_bytes: rest.iter().map(Grown::change).fold(0, i64::saturating_add),
            notes: notes(series),
        }
    }
}

/// What makes the comparison doubtful.
fn notes(series: &Series) -> Vec<NoteRow> {
    let mut notes = Vec::new();
    let mut note = |kind: &str, count: usize, text: &str| {
        if count > 0 {
            notes.push(NoteRow { kind: kind.to_owned(), count: count as u64, text: text.to_owned() });
        }
    };
    note(
        "no_common_blocks",
        series.apart,
        "snapshots have hardly any of the large blocks of the one before: if they are of different processes or ranks, \
         what differs here is no growth",
    );
    note("other_devices", usize::from(series.other_devices), "the snapshots are of different devices");
    notes
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn row(row: &Grown) -> GrowthRow {
    GrowthRow {
        name: row.label.clone(),
        change_bytes: row.change(),
        change_count: row.count_change(),
        bytes: row.sums.iter().map(|sum| sum.bytes).collect(),
        counts: row.sums.iter().map(|sum| sum.count).collect(),
        trend: row.trend.map(trend),
        frames: row.frames.clone(),
    }
}

fn trend(trend: Trend) -> TrendDocument {
    TrendDocument {
        per: match trend.per {
            Per::Second => "second",
            Per::Snapshot => "snapshot",
        }
        .to_owned(),
        slope_bytes: trend.slope,
        low_bytes: trend.low,
        high_bytes: trend.high,
        chance: trend.chance,
        grows: trend.grows,
    }
}
