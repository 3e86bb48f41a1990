//! Reads a Parquet file, some thousand rows at a time.

use std::fs::File;

use parquet::errors::ParquetError;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;

use super::columns::{Batch, Batches, Place, check_compression, guarded, places};
use super::rewritten::{self, Survey, Ticks};
use super::{AT, DEVICE, FIGURES, HEADER_KEY, LEADING, LINE, THROTTLE, TICK, WRITER, throttle};
use crate::document::lines::{Header, Line, Sample};
use crate::document::read::{MAX_LINE, Note, ReadError};
use crate::document::seen::SeenDevices;

/// Notes that are kept.
const MOST_NOTES: usize = 100;

/// The lines of a Parquet file, one by one, in bounded memory. One that another program wrote anew is read as far as its
/// columns tell; what they do not is `None`.
pub struct ParquetLines {
    file: SerializedFileReader<File>,
    header: Header,
    seen: SeenDevices,
    places: Vec<Option<Place>>,
    batches: Batches,
    batch: Batch,
    /// The next row of the batch.
    next: usize,
    row: u64,
    notes: Vec<Note>,
    /// Another program wrote it.
    rewritten: bool,
    /// Numbers ticks, in a file without them.
    ticks: Option<Ticks>,
    /// All lines with their rows, where they had to be put in order.
    ordered: Option<std::vec::IntoIter<(u64, Line)>>,
}

impl std::fmt::Debug for ParquetLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetLines").field("header", &self.header).field("row", &self.row).finish_non_exhaustive()
    }
}

impl ParquetLines {
    /// Reads the file's end, where its header is. Of a file that another program wrote, also the columns of times, and all
    /// of it where its rows are not in the order of time.
    ///
    /// # Errors
    /// [`ReadError::Parquet`] if it is no Parquet file, [`ReadError::ParquetColumns`] if it lacks what a timeline cannot
    /// do without, [`ReadError::ParquetCompression`], [`ReadError::ParquetOrder`], [`ReadError::NotATimeline`],
    /// [`ReadError::NewerVersion`].
    pub fn new(file: File) -> Result<Self, ReadError> {
        let file = guarded(|| SerializedFileReader::new(file)).map_err(|error| damaged(0, error))?;
        let metadata = file.metadata().file_metadata();
        let mut keys = metadata.key_value_metadata().into_iter().flatten();
        let text = keys.find(|pair| pair.key == HEADER_KEY).and_then(|pair| pair.value.as_deref());
        let header: Option<Header> = text.map(serde_json::from_str).transpose().map_err(ReadError::NotATimeline)?;
        let found = header.as_ref().map_or(0, |header| header.vramscope_timeline);
        if found > crate::document::VERSION {
            return Err(ReadError::NewerVersion { found });
        }
        let rewritten = header.is_none() || !metadata.created_by().is_some_and(|writer| writer.starts_with(WRITER));
        let places = places(&file);
        rewritten::check_columns(&places, header.is_some())?;
        check_compression(&file, &places)?;
        let (mut notes, mut unordered) = (Vec::new(), false);
        let header = if rewritten {
            let survey = Survey::of(&file, &places)?;
            notes = rewritten::notes(&file, &places, header.is_some());
            unordered = survey.unordered;
            if unordered {
                survey.check_size()?;
            }
            header.unwrap_or_else(|| survey.header())
        } else {
            header.unwrap_or_default()
        };
        let seen = SeenDevices::of(&header, 0)?;
        let ticks = places.get(TICK).is_none_or(Option::is_none).then(Ticks::default);
        let (batches, batch) = (Batches::default(), Batch::default());
        let mut lines = Self {
            file,
            header,
            seen,
            places,
            batches,
            batch,
            next: 0,
            row: 0,
            notes,
            rewritten,
            ticks,
            ordered: None,
        };
        if unordered {
            lines.put_in_order()?;
        }
        Ok(lines)
    }

    fn put_in_order(&mut self) -> Result<(), ReadError> {
        let mut all = Vec::new();
        while let Some(line) = self.row_line()? {
            all.push((self.row, line));
        }
        all.sort_by_key(|(_, line)| rewritten::time_of(line));
        self.notes.push(Note { line: 0, text: "its rows were put in the order of time".into() });
        self.ordered = Some(all.into_iter());
        Ok(())
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the row that was read last, from 1.
    pub fn row(&self) -> u64 {
        self.row
    }

    /// What was odd so far.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Parquet`] if the file is damaged, [`ReadError::Damaged`] or [`ReadError::Contradiction`] if a row
    /// is none of ours.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        let next = match &mut self.ordered {
            None => self.row_line()?,
            Some(ordered) => ordered.next().map(|(row, line)| {
                self.row = row;
                line
            }),
        };
        let Some(mut line) = next else { return Ok(None) };
        if let Some(ticks) = &mut self.ticks {
            ticks.number(&mut line);
        }
        self.seen.take(&line, self.row)?;
        Ok(Some(line))
    }

    /// The line of the next row that is one.
    #[inline]
    fn row_line(&mut self) -> Result<Option<Line>, ReadError> {
        loop {
            if self.next == self.batch.rows {
                let batch = self.batches.next(&self.file, &self.places);
                let Some(batch) = batch.map_err(|error| damaged(self.row + 1, error))? else { return Ok(None) };
                (self.batch, self.next) = (batch, 0);
            }
            let place = self.next;
            self.next += 1;
            self.row += 1;
            match self.line(place)? {
                Some(Line::Unknown) => self.note("its kind is not known here; it is left out"),
                Some(line) => return Ok(Some(line)),
                None if self.places.get(LINE).is_some_and(Option::is_some) => {
                    self.note("it is no sample and has no text in `line`; it is left out");
                }
                // That the column is absent was noted once.
                None => {}
            }
        }
    }

    fn note(&mut self, text: &str) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(Note { line: self.row, text: text.to_owned() });
        }
    }

    /// The line of a row of the batch; `None` for what another program left of one that is no sample.
    #[inline]
    fn line(&self, place: usize) -> Result<Option<Line>, ReadError> {
        let (batch, row) = (&self.batch, self.row);
        let wrong = |what| ReadError::Contradiction { line: row, what };
        if !rewritten::is_sample(batch, place, &self.places) {
            let Some(text) = batch.text(LINE, place) else {
                let lacks = || wrong("a row that is no sample has no text in `line`");
                return if self.rewritten { Ok(None) } else { Err(lacks()) };
            };
            if u64::try_from(text.len()).is_ok_and(|length| length > MAX_LINE) {
                return Err(ReadError::TooLong { line: row });
            }
            return serde_json::from_str(text).map_err(|source| ReadError::Damaged { line: row, source });
        }
        let index = batch.number(DEVICE, place).and_then(|index| u32::try_from(index).ok());
        let mut sample = Sample {
            timestamp_ns: batch.number(AT, place).ok_or_else(|| wrong("a sample without a time"))?.cast_signed(),
            gpu_index: index.ok_or_else(|| wrong("a sample without a device"))?,
            throttle: batch.text(THROTTLE, place).map(throttle),
            ..Sample::default()
        };
        for (n, figure) in FIGURES.iter().enumerate() {
            // Where the file has no ticks, they are numbered when the order of samples is known.
            if LEADING.len() + n == TICK && self.ticks.is_some() {
                continue;
            }
            let value = batch.number(LEADING.len() + n, place);
            (figure.put)(&mut sample, value).ok_or_else(|| wrong("a figure of a sample is absent or out of range"))?;
        }
        Ok(Some(Line::Sample(sample)))
    }
}

pub(super) fn damaged(row: u64, source: ParquetError) -> ReadError {
    ReadError::Parquet { row, source: Box::new(source) }
}
