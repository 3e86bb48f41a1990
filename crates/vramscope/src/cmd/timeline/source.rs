//! A recording of any form, told by its content.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use vramscope_analysis::{Clock, GpuLog, GpuLogNote, read_gpu_log};
use vramscope_timeline::document::{Header, Note, ReadError, TimelineReport};
use vramscope_timeline::{Item, Passes, RecordingFile};

use crate::progress::Progress;

/// A recording.
pub(crate) struct Recording {
    pub(crate) path: PathBuf,
    pub(crate) form: Form,
    progress: Progress,
}

/// What it is.
pub(crate) enum Form {
    /// JSON lines or Parquet: gone through anew each time.
    Ours(RecordingFile),
    /// CSV, what another tool logged, or something compressed: read into memory.
    Foreign(Box<GpuLog>),
}

impl Recording {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let form = if is_ours(path)? {
            Form::Ours(RecordingFile::open(path)?)
        } else {
            let log = read_gpu_log(vramscope_runs::open(path)?).context(
                "it is neither a recording of this program (JSON lines, Parquet, CSV) nor a log of nvidia-smi, CSV with a \
                 header line or dmon",
            )?;
            Form::Foreign(Box::new(log))
        };
        Ok(Self { path: path.to_owned(), form, progress: Progress::new() })
    }

    /// A log that is in memory.
    pub(crate) fn of_log(path: &Path, log: GpuLog) -> Self {
        Self { path: path.to_owned(), form: Form::Foreign(Box::new(log)), progress: Progress::new() }
    }

    /// States what a foreign log has of its own: its notes, and a clock of an unknown zone.
    pub(crate) fn amend(&self, report: &mut TimelineReport) {
        let Form::Foreign(log) = &self.form else { return };
        report.complete &= !log.notes.iter().any(|note| matches!(note, GpuLogNote::TornLastLine { .. }));
        report.notes.extend(log.notes.iter().map(ToString::to_string));
        if log.clock == Clock::LocalUnknown {
            report.start_unix_ns = None;
            report.notes.push("its times are of a machine's local clock, in a zone that the file does not name".into());
        }
    }

    pub(crate) fn end_progress(&mut self) {
        self.progress.end();
    }
}

/// Whether the content begins as JSON lines or Parquet do.
fn is_ours(path: &Path) -> anyhow::Result<bool> {
    let mut start = Vec::new();
    vramscope_runs::open_file(path)?.take(64).read_to_end(&mut start)?;
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).trim_ascii_start();
    Ok(text.starts_with(b"{") || start.starts_with(b"PAR1"))
}

impl Passes for Recording {
    fn header(&self) -> Header {
        match &self.form {
            Form::Ours(file) => file.header(),
            Form::Foreign(log) => log.timeline.header(),
        }
    }

    fn notes(&self) -> Vec<Note> {
        match &self.form {
            Form::Ours(file) => file.notes(),
            // Its notes name their lines themselves.
            Form::Foreign(_) => Vec::new(),
        }
    }

    fn pass(&mut self, visit: &mut dyn FnMut(Item)) -> Result<(), ReadError> {
        let (path, progress) = (&self.path, &mut self.progress);
        let mut samples = 0;
        let mut watched = |item: Item| {
            if matches!(item, Item::Sample(_)) {
                samples += 1;
                progress.samples(path, samples);
            }
            visit(item);
        };
        match &mut self.form {
            Form::Ours(file) => file.pass(&mut watched),
            Form::Foreign(log) => log.timeline.pass(&mut watched),
        }
    }
}
