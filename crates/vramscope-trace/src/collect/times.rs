//! When an event began and ended.

use crate::event::{Event, Kind};
use crate::json::{NotNanos, nanos_of_micros};
use crate::read::Sink;
use crate::{Notes, TraceError};

/// The longest time that one trace can hold. A profiler fills any disk long before; a longer span means that events of
/// two clocks are mixed, or that a duration is the difference of two unsigned numbers gone negative.
pub(crate) const MAX_SPAN_NS: i64 = 31 * 24 * 3600 * 1_000_000_000;

/// The beginning and end of a span in nanoseconds of the trace's clock; `None` if it states none.
pub(super) fn of(event: &Event<'_>, offset: u64) -> Result<Option<(i64, i64)>, TraceError> {
    let Some(start) = instant(event, offset)? else { return Ok(None) };
    let Some(text) = event.dur else { return Ok(None) };
    let absurd = |problem| Err(absurd("dur", text, offset, problem));
    match nanos_of_micros(text) {
        Ok(length) if length < 0 => absurd("which is negative"),
        Ok(length) if length > MAX_SPAN_NS => absurd("which is more than 31 days"),
        Ok(length) => match start.checked_add(length) {
            Some(end) => Ok(Some((start, end))),
            None => absurd("and the event would end after 64 bits of nanoseconds"),
        },
        Err(NotNanos::NotANumber) => Ok(None),
        Err(NotNanos::TooLarge) => absurd("which is more than 64 bits of nanoseconds"),
    }
}

/// The time of an event in nanoseconds of the trace's clock; `None` if it states none.
pub(super) fn instant(event: &Event<'_>, offset: u64) -> Result<Option<i64>, TraceError> {
    let Some(text) = event.ts else { return Ok(None) };
    match nanos_of_micros(text) {
        Ok(at) => Ok(Some(at)),
        Err(NotNanos::NotANumber) => Ok(None),
        Err(NotNanos::TooLarge) => Err(absurd("ts", text, offset, "which is more than 64 bits of nanoseconds")),
    }
}

fn absurd(field: &'static str, text: &[u8], offset: u64, problem: &'static str) -> TraceError {
    let shown = &text[..text.len().min(40)];
    TraceError::Time { offset, field, text: String::from_utf8_lossy(shown).into_owned(), problem }
}

/// From the first to the last beginning of an event, with their places in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    ends: Option<[(i64, u64); 2]>,
}

impl Extent {
    #[inline]
    pub(crate) fn include(&mut self, at: i64, offset: u64) {
        match &mut self.ends {
            Some([first, last]) => {
                *first = (*first).min((at, offset));
                *last = (*last).max((at, offset));
            }
            None => self.ends = Some([(at, offset); 2]),
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (at, offset) in other.ends.into_iter().flatten() {
            self.include(at, offset);
        }
    }

    /// The first and the last time.
    ///
    /// # Errors
    /// [`TraceError::Span`] if they lie further apart than [`MAX_SPAN_NS`].
    pub(crate) fn checked(self) -> Result<Option<(i64, i64)>, TraceError> {
        let Some([(first, early_offset), (last, late_offset)]) = self.ends else { return Ok(None) };
        let apart = i128::from(last) - i128::from(first);
        if apart > i128::from(MAX_SPAN_NS) {
            let days = u64::try_from(apart / (24 * 3600 * 1_000_000_000)).unwrap_or(u64::MAX);
            return Err(TraceError::Span { days, early_offset, late_offset });
        }
        Ok(Some((first, last)))
    }
}

/// Looks at nothing but when events begin.
#[derive(Default)]
pub(crate) struct ExtentSink {
    pub extent: Extent,
    notes: Notes,
}

impl Sink for ExtentSink {
    fn event(&mut self, event: &Event<'_>, _: &[u8], offset: u64) -> Result<(), TraceError> {
        let timed = match event.kind() {
            Kind::Kernel | Kind::Copy | Kind::Fill | Kind::Call | Kind::Operator | Kind::Annotation => true,
            Kind::Python => event.name.is_some_and(is_module),
            _ => false,
        };
        if let Some((start, _)) = if timed { of(event, offset)? } else { None } {
            self.extent.include(start, offset);
        }
        Ok(())
    }

    fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }
}

/// Whether a python frame is a module of the model. Other frames are kept for stacks only.
pub(super) fn is_module(name: &[u8]) -> bool {
    name.starts_with(b"nn.Module: ")
}
