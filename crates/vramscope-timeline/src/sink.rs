//! Where a recording goes while it is made.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use vramscope_core::{Gap, PhaseMark, Sample, SlowSample};

use crate::document::{Header, Line, Writer, csv};

/// Something that was recorded, in order of arrival.
#[derive(Debug, Clone, Copy)]
pub enum Event<'e> {
    /// A sample.
    Sample(&'e Sample),
    /// A slow reading.
    Slow(&'e SlowSample),
    /// The beginning of a phase.
    Mark(PhaseMark),
    /// Missing samples, and what the driver said.
    Gap(&'e Gap, Option<&'e str>),
    /// The wall clock, the cost of sampling, or the end.
    Line(&'e Line),
}

/// A destination of recordings. It is called from one thread, never from the one that reads devices.
pub trait Sink: Send {
    /// The recording begins.
    ///
    /// # Errors
    /// What the system says. Nothing more is written after an error.
    fn begin(&mut self, header: &Header) -> io::Result<()>;

    /// Something was recorded.
    ///
    /// # Errors
    /// What the system says. Nothing more is written after an error.
    fn event(&mut self, event: Event<'_>) -> io::Result<()>;

    /// Hands everything to the system; called at least each second.
    ///
    /// # Errors
    /// What the system says.
    fn flush(&mut self) -> io::Result<()>;

    /// Has the system bring everything to the disk; called at the end.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As much is gathered before the system is called, at most.
const BUFFER: usize = 64 << 10;

/// A recording as timeline lines on anything that takes bytes, as they come.
#[derive(Debug)]
pub struct JsonLines<W: Write> {
    out: Option<BufWriter<W>>,
    writer: Option<Writer<BufWriter<W>>>,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out: Some(BufWriter::with_capacity(BUFFER, out)), writer: None }
    }

    fn writer(&mut self) -> io::Result<&mut Writer<BufWriter<W>>> {
        self.writer.as_mut().ok_or_else(|| io::Error::other("the recording has not begun"))
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        let out = self.out.take().ok_or_else(|| io::Error::other("the recording has begun already"))?;
        self.writer = Some(Writer::new(out, header)?);
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        let writer = self.writer()?;
        match event {
            Event::Sample(sample) => writer.sample(sample)?,
            Event::Slow(sample) => writer.slow(sample)?,
            Event::Mark(mark) => writer.mark(mark)?,
            Event::Gap(gap, error) => writer.gap(gap, error.map(str::to_owned))?,
            Event::Line(line) => writer.line(line)?,
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.writer()?.flush()?)
    }
}

/// A recording as a timeline file.
#[derive(Debug)]
pub struct JsonlFile(JsonLines<File>);

impl JsonlFile {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// What the system says: the folder is absent or read-only, the name is a folder.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(JsonLines::new(File::create(path)?)))
    }
}

impl Sink for JsonlFile {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.0.begin(header)
    }

    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        self.0.event(event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn sync(&mut self) -> io::Result<()> {
        let writer = self.0.writer()?;
        writer.flush()?;
        writer.get_mut().get_ref().sync_data()
    }
}

/// A recording as CSV: the samples alone. Marks, gaps and slow readings have no place in it.
#[derive(Debug)]
pub struct CsvFile {
    out: BufWriter<File>,
    anchor_unix_ns: Option<i64>,
}

impl CsvFile {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { out: BufWriter::with_capacity(BUFFER, File::create(path)?), anchor_unix_ns: None })
    }
}

impl Sink for CsvFile {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.anchor_unix_ns = header.anchor_unix_ns;
        csv::write_head(&mut self.out)
    }

    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        match event {
            Event::Sample(sample) => csv::write_row(&mut self.out, self.anchor_unix_ns, sample),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }
}
