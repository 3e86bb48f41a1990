//! The file with a row for each request: lines of JSON, or Parquet where its name ends so.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use vramscope_load::document::RequestsParquet;
use vramscope_load::{Arrival, LoadReport};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::output;

/// The file, while it is written beside where it will be.
pub(super) struct RequestsFile {
    path: PathBuf,
    rows: Rows,
}

enum Rows {
    Lines(BufWriter<NamedTempFile>),
    Parquet(Box<RequestsParquet<NamedTempFile>>),
}

impl RequestsFile {
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let file = NamedTempFile::new_in(folder).or_exit(ExitCode::CannotWrite)?;
        let is_parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        let rows = if is_parquet {
            Rows::Parquet(Box::new(RequestsParquet::new(file).or_exit(ExitCode::CannotWrite)?))
        } else {
            Rows::Lines(BufWriter::new(file))
        };
        Ok(Self { path: path.to_owned(), rows })
    }

    /// Adds the requests of a measurement, which `level` names in each of them.
    pub(super) fn add(&mut self, report: &LoadReport, level: &Value) -> anyhow::Result<()> {
        match &mut self.rows {
            Rows::Lines(lines) => report.write_requests(level, output::EscapedJson::new(lines)),
            Rows::Parquet(rows) => rows.add(report, level),
        }
        .or_exit(ExitCode::CannotWrite)
    }

    /// Gives the file its name.
    pub(super) fn keep(self) -> anyhow::Result<()> {
        let file = match self.rows {
            Rows::Lines(mut lines) => {
                lines.flush().or_exit(ExitCode::CannotWrite)?;
                lines.into_inner().or_exit(ExitCode::CannotWrite)?
            }
            Rows::Parquet(rows) => rows.finish().or_exit(ExitCode::CannotWrite)?,
        };
        file.persist(&self.path).map(drop).or_exit(ExitCode::CannotWrite)
    }
}

/// What names a level.
pub(super) fn level(arrival: Arrival, repeat: u32) -> Value {
    match arrival {
        Arrival::Concurrency(n) => json!({"concurrency": n, "repeat": repeat}),
        Arrival::Rate { per_s, .. } => json!({"rate_per_s": per_s, "repeat": repeat}),
        Arrival::Trace { speed, .. } => json!({"trace_speed": speed, "repeat": repeat}),
        _ => json!({"repeat": repeat}),
    }
}
