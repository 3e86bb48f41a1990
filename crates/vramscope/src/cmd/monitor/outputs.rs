//! Where a recording goes: a file by its extension, and a stream, each on its own when the other fails.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use vramscope_timeline::document::{Header, ParquetFile};
use vramscope_timeline::{CsvFile, Event, JsonlFile, Sink};

/// A file to record into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) kind: Kind,
}

/// A form of recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Jsonl,
    Parquet,
    Csv,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let kind = match extension.as_deref() {
            Some("jsonl") => Kind::Jsonl,
            Some("parquet") => Kind::Parquet,
            Some("csv") => Kind::Csv,
            _ => return Err("its name must end in .jsonl or .parquet (everything) or .csv (the samples alone)".into()),
        };
        Ok(Self { path, kind })
    }
}

impl Destination {
    /// Creates the file, or empties it.
    pub(super) fn create(&self) -> io::Result<Box<dyn Sink>> {
        Ok(match self.kind {
            Kind::Jsonl => Box::new(JsonlFile::create(&self.path)?),
            Kind::Parquet => Box::new(ParquetFile::create(&self.path)?),
            Kind::Csv => Box::new(CsvFile::create(&self.path)?),
        })
    }

    /// Where what was recorded is kept if writing fails.
    pub(super) fn kept(&self) -> String {
        match self.kind {
            Kind::Jsonl | Kind::Csv => self.path.display().to_string(),
            Kind::Parquet => format!("{}.part.jsonl", self.path.display()),
        }
    }
}

/// What could not be written, by destination.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) file: Option<io::Error>,
    pub(super) stream: Option<io::Error>,
}

/// The destinations together. One that fails is left out from then on and the other goes on, so that a full disk does
/// not end the stream, nor a reader that has seen enough the file.
#[derive(Default)]
pub(super) struct Outputs {
    file: Option<Box<dyn Sink>>,
    stream: Option<Box<dyn Sink>>,
    failures: Arc<Mutex<Failures>>,
}

impl Outputs {
    pub(super) fn new(file: Option<Box<dyn Sink>>, stream: Option<Box<dyn Sink>>) -> Self {
        Self { file, stream, failures: Arc::default() }
    }

    /// A handle that tells what failed.
    pub(super) fn failures(&self) -> Arc<Mutex<Failures>> {
        Arc::clone(&self.failures)
    }

    fn each(&mut self, mut work: impl FnMut(&mut dyn Sink) -> io::Result<()>) {
        let mut attempt = |sink: &mut Option<Box<dyn Sink>>| {
            let error = work(sink.as_mut()?.as_mut()).err()?;
            *sink = None;
            Some(error)
        };
        let (file, stream) = (attempt(&mut self.file), attempt(&mut self.stream));
        if file.is_some() || stream.is_some() {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.file = file.or(failures.file.take());
            failures.stream = stream.or(failures.stream.take());
        }
    }
}

impl Sink for Outputs {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.each(|sink| sink.begin(header));
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        self.each(|sink| sink.event(event));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.each(|sink| sink.flush());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.each(|sink| sink.sync());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use vramscope_timeline::JsonLines;

    use super::*;

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_destination_that_fails_does_not_end_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let destination: Destination = path.to_str().unwrap().parse().unwrap();
        let mut outputs = Outputs::new(Some(destination.create().unwrap()), Some(Box::new(JsonLines::new(Full))));
        let failures = outputs.failures();
        outputs.begin(&Header::default()).unwrap();
        outputs.flush().unwrap();
        outputs.sync().unwrap();
        let failures = failures.lock().unwrap();
        assert_eq!(failures.stream.as_ref().unwrap().kind(), io::ErrorKind::StorageFull);
        assert!(failures.file.is_none());
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_form_is_known_by_its_extension_alone() {
        let kind = |text: &str| text.parse::<Destination>().map(|destination| destination.kind);
        let known = ["a.jsonl", "b.CSV", "c.parquet"].map(|text| kind(text).unwrap());
        assert_eq!(known, [Kind::Jsonl, Kind::Csv, Kind::Parquet]);
        for unknown in ["-", "a", "a.json", "a.jsonl.gz"] {
            assert!(kind(unknown).unwrap_err().contains(".jsonl"), "{unknown}");
        }
    }
}
