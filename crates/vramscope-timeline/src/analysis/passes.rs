//! A recording that can be gone through several times.

use std::path::{Path, PathBuf};

use vramscope_core::{Device, Gap, PhaseMark, Sample, SlowSample, Timeline};

use crate::document::{Cost, FileLines, Header, Line, Note, ReadError, convert_line};

/// Something of a recording.
#[derive(Debug, Clone)]
pub enum Item {
    /// A sample.
    Sample(Sample),
    /// A slow reading.
    Slow(SlowSample),
    /// The beginning of a phase.
    Mark(PhaseMark),
    /// Missing samples.
    Gap(Gap),
    /// What sampling cost so far.
    Cost(Cost),
    /// The recording's end.
    End,
}

/// A recording that can be gone through several times, so that exact statistics need no memory for all its samples.
pub trait Passes {
    /// Its devices and period.
    fn header(&self) -> Header;

    /// What is odd about it; complete after the first pass.
    fn notes(&self) -> Vec<Note>;

    /// Goes through it once.
    ///
    /// # Errors
    /// [`ReadError`] if its source fails or is damaged.
    fn pass(&mut self, visit: &mut dyn FnMut(Item)) -> Result<(), ReadError>;
}

/// A recording in memory has all that was read, and its end.
impl Passes for Timeline {
    fn header(&self) -> Header {
        let period_ms = self.period().map(|period| period.as_secs_f64() * 1e3);
        Header { period_ms, ..Header::of(self.anchor_unix_ns(), self.devices()) }
    }

    fn notes(&self) -> Vec<Note> {
        Vec::new()
    }

    fn pass(&mut self, visit: &mut dyn FnMut(Item)) -> Result<(), ReadError> {
        self.marks().iter().for_each(|mark| visit(Item::Mark(*mark)));
        self.samples().iter().for_each(|sample| visit(Item::Sample(*sample)));
        self.slow_samples().iter().for_each(|slow| visit(Item::Slow(slow.clone())));
        self.gaps().iter().for_each(|gap| visit(Item::Gap(*gap)));
        visit(Item::End);
        Ok(())
    }
}

/// A recording on disk: JSON lines or Parquet.
#[derive(Debug)]
pub struct RecordingFile {
    path: PathBuf,
    header: Header,
    notes: Vec<Note>,
}

impl RecordingFile {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot be read or is no timeline.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let lines = FileLines::open(path)?;
        Ok(Self { path: path.to_owned(), header: lines.header().clone(), notes: Vec::new() })
    }
}

impl Passes for RecordingFile {
    fn header(&self) -> Header {
        self.header.clone()
    }

    fn notes(&self) -> Vec<Note> {
        self.notes.clone()
    }

    fn pass(&mut self, visit: &mut dyn FnMut(Item)) -> Result<(), ReadError> {
        let mut lines = FileLines::open(&self.path)?;
        while let Some(line) = lines.next_line()? {
            match line {
                Line::Cost(cost) => visit(Item::Cost(cost)),
                Line::End(_) => visit(Item::End),
                other => {
                    if let Some(item) = convert_line(&self.header, lines.line(), other)? {
                        visit(item);
                    }
                }
            }
        }
        self.notes = lines.notes().to_vec();
        Ok(())
    }
}

/// The devices of a header.
pub(super) fn devices(header: &Header) -> Vec<Device> {
    header.devices.iter().map(Device::from).collect()
}
