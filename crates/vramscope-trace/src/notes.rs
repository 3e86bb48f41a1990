//! What is odd about a trace that was analysed all the same.

use std::collections::BTreeMap;
use std::fmt;

/// A kind of defect or limit. Each is told once, with how often and where it was met first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Oddity {
    /// The file ends before its last bracket: the profiler was stopped while it wrote.
    Truncated,
    /// The compressed stream ends early or is damaged; what came before it is analysed.
    DamagedCompression,
    /// An event is not valid JSON, but its fields could be read.
    Repaired,
    /// An event is not valid JSON and its fields could not be read.
    Unreadable,
    /// An event holds `NaN` or an infinity, which JSON does not have.
    NotANumber,
    /// An event's text is not valid UTF-8.
    BadUtf8,
    /// An element of the event array is not an object.
    NotAnEvent,
    /// A GPU operation or a call has no `ts` or no `dur`, so it takes part in counts only.
    NoTime,
    /// A copy or fill states no size.
    NoBytes,
    /// The profiler counted floating-point operations, and wrote none.
    NoFlops,
    /// A GPU operation began before the call that launched it: two clocks disagree.
    StartsBeforeLaunch,
    /// Begin and end events (`B`, `E`) are counted but not paired.
    BeginEnd,
    /// More distinct names than are kept; the rest are counted together.
    TooManyNames,
    /// More steps than are listed one by one; the totals hold all.
    TooManySteps,
    /// More distinct python stacks than are kept.
    TooManyStacks,
    /// An event is longer than any event should be and was passed over.
    HugeEvent,
    /// The file holds several values of one key that should be there once.
    RepeatedHeader,
}

impl Oddity {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::DamagedCompression => "damaged_compression",
            Self::Repaired => "repaired_event",
            Self::Unreadable => "unreadable_event",
            Self::NotANumber => "not_a_number",
            Self::BadUtf8 => "bad_utf8",
            Self::NotAnEvent => "not_an_event",
            Self::NoTime => "no_time",
            Self::NoBytes => "no_bytes",
            Self::NoFlops => "no_flops",
            Self::StartsBeforeLaunch => "starts_before_launch",
            Self::BeginEnd => "begin_end_events",
            Self::TooManyNames => "too_many_names",
            Self::TooManySteps => "too_many_steps",
            Self::TooManyStacks => "too_many_stacks",
            Self::HugeEvent => "huge_event",
            Self::RepeatedHeader => "repeated_header",
        }
    }

    /// Whether it is met at a place in the file. The others are found when everything has been read.
    pub(crate) const fn has_place(self) -> bool {
        !matches!(self, Self::NoFlops | Self::StartsBeforeLaunch | Self::TooManySteps | Self::TooManyStacks)
    }

    /// What it means, in one sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Truncated => {
                "the file ends before its last bracket: the profiler was stopped while it wrote, and what it had not \
                 written is missing"
            }
            Self::DamagedCompression => "the compressed data end early or are damaged; what came before is analysed",
            Self::Repaired => "events are not valid JSON; their fields were read all the same",
            Self::Unreadable => "events are not valid JSON and were left out",
            Self::NotANumber => "events hold NaN or an infinity, which JSON does not have",
            Self::BadUtf8 => "events hold text that is not UTF-8; the bytes are shown as U+FFFD",
            Self::NotAnEvent => "elements of the event array are not objects and were left out",
            Self::NoTime => "GPU operations or calls have no ts or dur; they are counted but have no time",
            Self::NoBytes => "copies or fills state no size; byte totals leave them out",
            Self::NoFlops => {
                "the profiler was told to count floating-point operations (`with_flops`) and the trace holds none: torch \
                 shows the counts in its own tables (`key_averages`) and writes them into no trace"
            }
            Self::StartsBeforeLaunch => {
                "GPU operations begin before the call that launched them: the clocks of host and GPU disagree"
            }
            Self::BeginEnd => "begin and end events are counted but not paired",
            Self::TooManyNames => "there are more distinct names than are kept; the rest are counted as one",
            Self::TooManySteps => "there are more steps than are listed; totals hold all of them",
            Self::TooManyStacks => "there are more distinct stacks than are kept; the rest end at their parent",
            Self::HugeEvent => "events longer than the limit were left out",
            Self::RepeatedHeader => "a key that should be there once is there several times; the last one counts",
        }
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How often something odd was met, and where first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Met {
    /// How often.
    pub count: u64,
    /// The first place, as an offset in the plain JSON, in bytes.
    pub first_offset: u64,
}

/// Everything odd about a trace, each kind once. The order of reading does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    met: BTreeMap<Oddity, Met>,
}

impl Notes {
    pub(crate) fn add(&mut self, oddity: Oddity, offset: u64) {
        let met = self.met.entry(oddity).or_insert(Met { count: 0, first_offset: offset });
        met.count += 1;
        met.first_offset = met.first_offset.min(offset);
    }

    /// Adds what is found when everything has been read and has no place; nothing if it was met never.
    pub(crate) fn add_count(&mut self, oddity: Oddity, count: u64) {
        if count > 0 {
            self.met.entry(oddity).or_insert(Met { count: 0, first_offset: 0 }).count += count;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (&oddity, theirs) in &other.met {
            let met = self.met.entry(oddity).or_insert(Met { count: 0, first_offset: theirs.first_offset });
            met.count += theirs.count;
            met.first_offset = met.first_offset.min(theirs.first_offset);
        }
    }

    /// The kinds met, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Oddity, Met)> + '_ {
        self.met.iter().map(|(&oddity, &met)| (oddity, met))
    }

    /// How often one kind was met.
    pub fn count(&self, oddity: Oddity) -> u64 {
        self.met.get(&oddity).map_or(0, |met| met.count)
    }

    /// Whether nothing odd was met.
    pub fn is_empty(&self) -> bool {
        self.met.is_empty()
    }
}
