//! The same recording in another form.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use vramscope_schema::ExitCode;
use vramscope_timeline::Passes as _;
use vramscope_timeline::document::{FileLines, Header, Line, ParquetWriter, Writer, csv, timeline_lines};

use super::source::{Form, Recording};
use crate::exit::OrExit as _;
use crate::output;

/// A file to write, and in which form.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) path: PathBuf,
    form: OutputForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputForm {
    Jsonl,
    Parquet,
    Csv,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let form = match extension.as_deref() {
            Some("jsonl") => OutputForm::Jsonl,
            Some("parquet") => OutputForm::Parquet,
            Some("csv") => OutputForm::Csv,
            _ => {
                return Err(
                    "its name must end in .jsonl, .parquet (both hold everything) or .csv (samples alone)".into()
                );
            }
        };
        Ok(Self { path, form })
    }
}

/// Writes the recording; answers what the form had no place for.
pub(super) fn write(recording: &Recording, to: &Output) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    output::write_file(&to.path, |out| {
        notes = match to.form {
            OutputForm::Jsonl => {
                let mut writer = Writer::new(out, &recording.header())?;
                each_line(recording, |line| Ok(writer.line(line)?))?;
                Vec::new()
            }
            OutputForm::Parquet => {
                let mut writer = ParquetWriter::new(out, &recording.header())?;
                each_line(recording, |line| Ok(writer.line(line)?))?;
                writer.finish()?;
                Vec::new()
            }
            OutputForm::Csv => as_csv(recording, out)?,
        };
        notes.extend(lost_before(recording));
        Ok(())
    })?;
    Ok(notes)
}

/// Goes through a recording line by line.
fn each_line(recording: &Recording, mut take: impl FnMut(&Line) -> io::Result<()>) -> anyhow::Result<()> {
    match &recording.form {
        Form::Ours(_) => file_lines(&recording.path, &mut take),
        Form::Foreign(log) => Ok(timeline_lines(&log.timeline).try_for_each(|line| take(&line))?),
    }
}

fn file_lines(path: &Path, take: &mut impl FnMut(&Line) -> io::Result<()>) -> anyhow::Result<()> {
    let mut lines = FileLines::open(path).or_exit(ExitCode::BadInput)?;
    while let Some(line) = lines.next_line().or_exit(ExitCode::BadInput)? {
        take(&line)?;
    }
    Ok(())
}

/// Lines of the kinds that CSV has no place for.
#[derive(Default)]
struct LeftOut {
    slow: u64,
    marks: u64,
    gaps: u64,
    failures: u64,
}

fn as_csv(recording: &Recording, mut out: &mut dyn Write) -> anyhow::Result<Vec<String>> {
    csv::write_head(&mut out)?;
    let mut left = LeftOut::default();
    each_line(recording, |line| {
        match line {
            Line::Sample(sample) => csv::write_line(&mut out, sample)?,
            Line::Slow(_) => left.slow += 1,
            Line::Mark(_) => left.marks += 1,
            Line::Gap(_) => left.gaps += 1,
            Line::Failure(_) => left.failures += 1,
            Line::Clock(_) | Line::Cost(_) | Line::End(_) | Line::Summary(_) | Line::Unknown => {}
        }
        Ok(())
    })?;
    let counted = [
        (left.slow, "slow readings"),
        (left.marks, "phase marks"),
        (left.gaps, "gaps"),
        (left.failures, "failures of slow readings"),
    ];
    let counted: Vec<String> = counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let mut notes = Vec::new();
    if !counted.is_empty() {
        notes.push(format!("CSV holds samples alone; {} are left out", counted.join(", ")));
    }
    let header: Header = recording.header();
    if !matches!(recording.form, Form::Foreign(_)) && header.devices.iter().any(|device| device.uuid.is_some()) {
        notes.push("CSV has no place for the devices' identities, the backends and the cost of sampling".into());
    }
    Ok(notes)
}

/// What a CSV log has that no other form takes over.
fn lost_before(recording: &Recording) -> Option<String> {
    match &recording.form {
        Form::Foreign(log) if log.has_processes => Some("the column of processes is not taken over".into()),
        _ => None,
    }
}
