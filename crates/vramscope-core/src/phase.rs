//! Windows of time on the GPU.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What the engine was doing, seen from the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before the engine exists.
    Baseline,
    /// From the engine's first sign of life until it begins to load the model.
    Launch,
    /// Loading weights, profiling, allocating the KV-cache pool, capturing graphs.
    Load,
    /// The engine could serve, and nothing has been asked of it.
    Ready,
    /// Requests that are not measured.
    Warmup,
    /// Requests that are measured.
    Measure,
    /// The engine is stopping.
    Shutdown,
    /// The engine is gone.
    Settle,
}

impl Phase {
    /// All phases in their order.
    pub const ALL: [Self; 8] = [
        Self::Baseline,
        Self::Launch,
        Self::Load,
        Self::Ready,
        Self::Warmup,
        Self::Measure,
        Self::Shutdown,
        Self::Settle,
    ];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Launch => "launch",
            Self::Load => "load",
            Self::Ready => "ready",
            Self::Warmup => "warmup",
            Self::Measure => "measure",
            Self::Shutdown => "shutdown",
            Self::Settle => "settle",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(name: &str) -> Result<Self, UnknownPhase> {
        Self::ALL.into_iter().find(|phase| phase.name() == name).ok_or(UnknownPhase)
    }
}

/// A name that is none of the eight phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("find a phase of that name (expected baseline, launch, load, ready, warmup, measure, shutdown or settle)")]
pub struct UnknownPhase;

/// The beginning of a phase; it lasts until the next mark or the end of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseMark {
    /// Which phase begins.
    pub phase: Phase,
    /// When, since the timeline's anchor.
    pub at: Duration,
}

impl PhaseMark {
    /// The phases that marks begin, each with its window: until the next mark, and the last one until `end`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vramscope_core::{Phase, PhaseMark};
    /// let at = Duration::from_secs;
    /// let marks = [PhaseMark { phase: Phase::Load, at: at(2) }, PhaseMark { phase: Phase::Ready, at: at(5) }];
    /// let windows: Vec<_> = PhaseMark::windows(&marks, at(9)).collect();
    /// assert_eq!((windows[0].1.end, windows[1].1.start, windows[1].1.end), (at(5), at(5), at(9)));
    /// ```
    pub fn windows(marks: &[Self], end: Duration) -> impl Iterator<Item = (Phase, Window)> {
        let ends = marks.iter().skip(1).map(|mark| mark.at).chain([end]);
        marks.iter().zip(ends).map(|(mark, end)| (mark.phase, Window { start: mark.at, end }))
    }
}

/// A span of time since the timeline's anchor: `start` is inside, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first instant inside.
    pub start: Duration,
    /// The first instant after it.
    pub end: Duration,
}

impl Window {
    /// Everything.
    pub const ALL: Self = Self { start: Duration::ZERO, end: Duration::MAX };

    /// Whether an instant lies inside.
    pub fn contains(&self, at: Duration) -> bool {
        self.start <= at && at < self.end
    }

    /// How long it lasts.
    pub fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}
