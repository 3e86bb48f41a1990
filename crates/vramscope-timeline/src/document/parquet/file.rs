//! A recording that becomes a Parquet file when it is finished.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::ParquetWriter;
use crate::document::{Header, Lines};
use crate::sink::{Event, JsonlFile, Sink};

/// A recording as Parquet. While it goes on it is written as JSON lines beside the wanted name, with `.part.jsonl` at
/// its end, so that a kill loses no more than a second; at the end that file becomes the Parquet file. If that fails,
/// the JSON lines stay, and are read as any recording.
#[derive(Debug)]
pub struct ParquetFile {
    path: PathBuf,
    part: PathBuf,
    lines: JsonlFile,
}

impl ParquetFile {
    /// Begins the recording; a file of that name is replaced when it ends.
    ///
    /// # Errors
    /// What the system says: the folder is absent or read-only.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let part = with_end(path, ".part.jsonl");
        let lines = JsonlFile::create(&part)?;
        Ok(Self { path: path.to_owned(), part, lines })
    }

    /// The file that is written while the recording goes on.
    pub fn part(&self) -> &Path {
        &self.part
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

impl Sink for ParquetFile {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.lines.begin(header)
    }

    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        self.lines.event(event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.lines.sync()?;
        let unfinished = with_end(&self.path, ".part");
        let convert = || -> io::Result<()> {
            convert(&self.part, &unfinished)?;
            fs::rename(&unfinished, &self.path)
        };
        convert().map_err(|error| {
            // What is half written is of no use to anybody; the JSON lines have all of it.
            let _ = fs::remove_file(&unfinished);
            let kept = format!("{error}; the recording is kept as {}", self.part.display());
            io::Error::new(error.kind(), kept)
        })?;
        fs::remove_file(&self.part)
    }
}

/// Writes a file of JSON lines as Parquet.
fn convert(from: &Path, to: &Path) -> io::Result<()> {
    let mut lines = Lines::new(BufReader::new(File::open(from)?)).map_err(io::Error::other)?;
    let mut writer = ParquetWriter::new(BufWriter::new(File::create(to)?), lines.header())?;
    while let Some(line) = lines.next_line().map_err(io::Error::other)? {
        writer.line(&line)?;
    }
    let mut out = writer.finish()?;
    out.flush()?;
    out.get_ref().sync_data()
}
