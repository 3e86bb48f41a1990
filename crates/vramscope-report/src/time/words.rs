//! What is to be seen in the chart, for who does not see it.

use super::picture::{exact, seconds};
use super::recording::{MOST_TRACKS, Recording};
use super::source::Source;
use crate::unit::{Unit, digits};

pub(crate) fn of(source: &Source) -> String {
    let (recording, grid) = (&source.recording, &source.recording.grid);
    let Some((track, name, stack)) = source.tracks.first() else {
        return String::new();
    };
    let span = grid.rows.last().map_or(0.0, |row| seconds(row.last_ns))
        - grid.rows.first().map_or(0.0, |row| seconds(row.first_ns));
    let mut words = format!("{name} over {} s", digits(span));
    let peak = source.peak();
    if let Some((at, peak)) = peak {
        words += &format!(": most memory in use is {}, first reached {}", bytes(peak), when(recording, at));
        if let Some(capacity) = recording.capacity(*track) {
            words += &format!(", of {}", bytes(capacity));
        }
    }
    words += ".";
    words += &of_one(recording, peak);
    if !stack.unplaced.is_empty() {
        words += &format!(
            " Of the parts of the peak, no evidence says when these came to be, so that they are not drawn apart: {}.",
            stack.unplaced.join(", ")
        );
    }
    if !stack.parts.is_empty() {
        words += " Parts are those of the peak, each drawn from when the run's evidence has it and never above what was \
                  measured; what is measured beyond them is the residual.";
    }
    words + &open(recording, *track) + &spans(recording)
}

fn bytes(bytes: u64) -> String {
    Unit::Memory.show(exact(bytes))
}

fn count(count: u64) -> String {
    Unit::Count.show(exact(count))
}

fn when(recording: &Recording, at: u64) -> String {
    let phase = recording.phases.iter().find(|phase| (phase.start_ns..phase.end_ns).contains(&at));
    let phase = phase.map_or_else(String::new, |phase| format!(" (phase {})", phase.name));
    format!("{} s after the start{phase}", digits(seconds(at)))
}

/// The peak of one GPU, where what is drawn first has less.
fn of_one(recording: &Recording, shown: Option<(u64, u64)>) -> String {
    match recording.largest_alone() {
        Some((device, at, peak)) if recording.devices().len() > 1 && shown.is_none_or(|(_, shown)| shown < peak) => {
            format!(" GPU {device} alone has more: {} in use, first {}.", bytes(peak), when(recording, at))
        }
        _ => String::new(),
    }
}

/// Where lines are open.
fn open(recording: &Recording, track: usize) -> String {
    let mut words = String::new();
    let (all, gaps) = (recording.devices().len(), recording.gaps.len());
    if gaps > 0 {
        let spans = if gaps == 1 { "span" } else { "spans" };
        words += &format!(" Nothing was read in {gaps} {spans}: lines are open there.");
        if recording.gaps_dropped > 0 {
            words += &format!(" {} more such spans found no room and are not open.", count(recording.gaps_dropped));
        }
    }
    let partial = recording.partial_ticks();
    if track == 0 && all > 1 && partial > 0 {
        words += &format!(
            " The total is not known at {} of {} ticks, at which not all GPUs were read: it is open there.",
            count(partial),
            count(recording.ticks())
        );
    } else if track != 0 && all > 1 {
        words += " There is no total: all GPUs were read together at no tick.";
    }
    if all > MOST_TRACKS {
        words += &format!(" Of {all} GPUs, the first {MOST_TRACKS} have lines of their own; the total is of all.");
    }
    if recording.devices_dropped > 0 {
        words += &format!(" Readings of more than these {all} GPUs found no room: the total is without them.");
    }
    words
}

/// What became of the single readings.
fn spans(recording: &Recording) -> String {
    if recording.grid.is_whole() {
        return String::new();
    }
    let peaks = if recording.devices().len() > 1 && recording.partial_ticks() > 0 {
        "no peak of a GPU that has a line is lost, and none of the total where it is known"
    } else {
        "no peak is lost"
    };
    format!(
        " The {} readings are drawn as {} spans of time, each with its smallest and largest value, so that {peaks}.",
        count(recording.ticks()),
        count(u64::try_from(recording.grid.rows.len()).unwrap_or(0))
    )
}
