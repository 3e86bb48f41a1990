//! A recording on disk, in whichever of its forms.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _};
use std::path::Path;

use super::lines::{Header, Line};
use super::read::{Lines, Note, ReadError, Recorded};

/// The first bytes of every Parquet file.
const PARQUET_MAGIC: [u8; 4] = *b"PAR1";

/// The lines of a recording on disk, JSON lines or Parquet as its content says, one by one, in bounded memory.
#[derive(Debug)]
pub struct FileLines(Form);

#[derive(Debug)]
enum Form {
    Json(Box<Lines<BufReader<File>>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<super::ParquetLines>),
}

impl FileLines {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot be read or is no timeline; [`ReadError::NoParquet`] for a Parquet file where this
    /// crate is built without its feature `parquet`.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io { line: 0, source };
        let mut file = File::open(path).map_err(failed)?;
        if starts_as_parquet(&mut file).map_err(failed)? {
            return Self::parquet(file);
        }
        Ok(Self(Form::Json(Box::new(Lines::new(BufReader::with_capacity(1 << 20, file))?))))
    }

    #[cfg(feature = "parquet")]
    fn parquet(file: File) -> Result<Self, ReadError> {
        Ok(Self(Form::Parquet(Box::new(super::ParquetLines::new(file)?))))
    }

    #[cfg(not(feature = "parquet"))]
    fn parquet(_: File) -> Result<Self, ReadError> {
        Err(ReadError::NoParquet)
    }

    /// The header.
    pub fn header(&self) -> &Header {
        match &self.0 {
            Form::Json(lines) => lines.header(),
            #[cfg(feature = "parquet")]
            Form::Parquet(lines) => lines.header(),
        }
    }

    /// The number of the line or row that was read last.
    pub fn line(&self) -> u64 {
        match &self.0 {
            Form::Json(lines) => lines.line(),
            #[cfg(feature = "parquet")]
            Form::Parquet(lines) => lines.row(),
        }
    }

    /// What was odd so far.
    pub fn notes(&self) -> &[Note] {
        match &self.0 {
            Form::Json(lines) => lines.notes(),
            #[cfg(feature = "parquet")]
            Form::Parquet(lines) => lines.notes(),
        }
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// [`ReadError`] if the file is damaged or fails.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        match &mut self.0 {
            Form::Json(lines) => lines.next_line(),
            #[cfg(feature = "parquet")]
            Form::Parquet(lines) => lines.next_line(),
        }
    }
}

/// Whether a file is Parquet; it is left at its beginning. What cannot be gone through twice, as a pipe, is not.
fn starts_as_parquet(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    file.take(4).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start == PARQUET_MAGIC)
}

/// Reads a whole recording of any form.
///
/// # Errors
/// [`ReadError`] as for [`FileLines::open`], and if it is damaged other than by a torn last line.
pub fn read_file(path: &Path) -> Result<Recorded, ReadError> {
    let mut lines = FileLines::open(path)?;
    let mut recorded = Recorded::begin(lines.header());
    while let Some(line) = lines.next_line()? {
        recorded.take(lines.line(), line)?;
    }
    Ok(recorded.finish(lines.line(), lines.notes()))
}
