//! Writes a timeline file.

use std::io::{self, Write};
use std::time::Duration;

use vramscope_core::{Device, Gap, PhaseMark, Sample, SlowSample, Timeline};

use super::convert::{self, Anchor};
use super::lines::{self, Header, Line};

/// A line that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write a line of the timeline")]
pub struct WriteError(#[from] io::Error);

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        error.0
    }
}

impl WriteError {
    /// What the system said.
    pub fn io(&self) -> &io::Error {
        &self.0
    }
}

/// Writes lines as they come. It does not buffer: wrap the destination, and flush at least once a second.
///
/// ```
/// use std::time::Duration;
/// use vramscope_core::{Bytes, DeviceIndex, Reading, Sample};
/// use vramscope_timeline::document::{Header, Writer, read};
///
/// let mut file = Vec::new();
/// let mut writer = Writer::new(&mut file, &Header::default()).unwrap();
/// let reading = Reading { used: Bytes::new(1 << 30), ..Reading::default() };
/// writer.sample(&Sample { at: Duration::from_millis(7), tick: 0, device: DeviceIndex(0), reading }).unwrap();
/// assert_eq!(read(file.as_slice()).unwrap().timeline.samples()[0].reading, reading);
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    anchor: Anchor,
}

impl<W: Write> Writer<W> {
    /// Writes the header; its version is set.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn new(mut out: W, header: &Header) -> Result<Self, WriteError> {
        let header = Header { vramscope_timeline: super::VERSION, ..header.clone() };
        put(&mut out, &header)?;
        Ok(Self { out, anchor: Anchor::new(header.anchor_unix_ns) })
    }

    /// Writes any line.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn line(&mut self, line: &Line) -> Result<(), WriteError> {
        Ok(put(&mut self.out, line)?)
    }

    /// Writes a sample.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn sample(&mut self, sample: &Sample) -> Result<(), WriteError> {
        self.line(&Line::Sample(convert::sample_line(self.anchor, sample)))
    }

    /// Writes a slow reading.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn slow(&mut self, sample: &SlowSample) -> Result<(), WriteError> {
        self.line(&Line::Slow(convert::slow_line(self.anchor, sample)))
    }

    /// Writes a phase mark.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn mark(&mut self, mark: PhaseMark) -> Result<(), WriteError> {
        self.line(&Line::Mark(convert::mark_line(self.anchor, mark)))
    }

    /// Writes a gap, with what the driver said.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn gap(&mut self, gap: &Gap, error: Option<String>) -> Result<(), WriteError> {
        self.line(&Line::Gap(convert::gap_line(self.anchor, gap, error)))
    }

    /// Writes a whole timeline: samples and slow readings in order of time, then gaps.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn timeline(&mut self, timeline: &Timeline) -> Result<(), WriteError> {
        timeline_lines(timeline).try_for_each(|line| self.line(&line))
    }

    /// Hands everything written so far to the system.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        Ok(self.out.flush()?)
    }

    /// The destination.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Gives the destination back.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl Header {
    /// A header that states these devices.
    pub fn of<'d>(anchor_unix_ns: Option<i64>, devices: impl IntoIterator<Item = &'d Device>) -> Self {
        let devices = devices.into_iter().map(lines::Device::from).collect();
        Self { vramscope_timeline: super::VERSION, anchor_unix_ns, devices, ..Self::default() }
    }
}

/// The lines of a timeline in memory: marks, samples and slow readings in order of time, then gaps.
pub fn timeline_lines(timeline: &Timeline) -> impl Iterator<Item = Line> {
    let anchor = Anchor::new(timeline.anchor_unix_ns());
    let mut samples = timeline.samples().iter().peekable();
    let mut slow = timeline.slow_samples().iter().peekable();
    let mut marks = timeline.marks().iter().peekable();
    let merged = std::iter::from_fn(move || {
        let due = samples.peek().map_or(Duration::MAX, |sample| sample.at);
        if let Some(mark) = marks.next_if(|mark| mark.at <= due) {
            return Some(Line::Mark(convert::mark_line(anchor, *mark)));
        }
        if let Some(slow) = slow.next_if(|slow| slow.at <= due) {
            return Some(Line::Slow(convert::slow_line(anchor, slow)));
        }
        Some(Line::Sample(convert::sample_line(anchor, samples.next()?)))
    });
    let gap = move |gap| Line::Gap(convert::gap_line(anchor, gap, None));
    merged.chain(timeline.gaps().iter().map(gap))
}

/// One line, in one call to the destination, so that a reader beside us sees whole lines.
fn put(out: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)
}
