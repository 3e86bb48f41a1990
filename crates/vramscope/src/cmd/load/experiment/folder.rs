//! The folder of experiments.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use jiff::Zoned;
use serde_json::Value;
use vramscope_schema::ExitCode;

use super::{Results, files, summary};
use crate::cmd::report;
use crate::exit::OrExit as _;
use crate::output;

/// Where results go unless somebody says otherwise.
const USUAL: &str = "results/baseline";
/// The document.
const DOCUMENT: &str = "baseline_metrics.json";
const LATENCY: &str = "latency_results.csv";
const THROUGHPUT: &str = "throughput_results.csv";
const LENGTHS: &str = "sequence_length_results.csv";
const SUMMARY: &str = "summary.md";
/// The page of `--report`.
const PAGE: &str = "report.html";
/// What an engine that was started printed.
const LOG: &str = "engine.log";
/// A document is looked into up to this size: one of a suite is a hundred times smaller.
const MOST_DOCUMENT: u64 = 64 << 20;

/// Where the results of experiments go.
#[derive(Debug)]
pub(in crate::cmd::load) struct Folder {
    path: PathBuf,
    /// Whether it was there with something in it.
    begun: bool,
}

impl Folder {
    /// The folder that is asked for. One with something in it must hold the results of earlier experiments.
    pub(in crate::cmd::load) fn of(asked: Option<&Path>) -> anyhow::Result<Self> {
        let path = match asked {
            Some(path) => path.to_owned(),
            None => Path::new(USUAL).join(Zoned::now().strftime("%Y%m%d_%H%M%S").to_string()),
        };
        if path.exists() && !path.is_dir() {
            let file = anyhow!("{} is a file; experiments leave a folder: name another one with -o", path.display());
            return Err(file).or_exit(ExitCode::Usage);
        }
        let begun = is_begun(&path);
        if begun && !is_ours(&path) {
            let other = anyhow!(
                "{} is not empty, and holds no results of experiments; name another folder with -o",
                path.display()
            );
            return Err(other).or_exit(ExitCode::CannotWrite);
        }
        // A file without a name is gone as soon as it is closed; what cannot be written is told before the work.
        let absolute = std::path::absolute(&path).or_exit(ExitCode::CannotWrite)?;
        let there = absolute.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
        tempfile::tempfile_in(there)
            .with_context(|| format!("could not write into {}", path.display()))
            .or_exit(ExitCode::CannotWrite)?;
        Ok(Self { path, begun })
    }

    /// Where an engine's log goes; the folder is made for it.
    pub(in crate::cmd::load) fn log(&self) -> anyhow::Result<PathBuf> {
        let made = fs::create_dir_all(&self.path).with_context(|| format!("could not make {}", self.path.display()));
        made.or_exit(ExitCode::CannotWrite)?;
        Ok(self.path.join(LOG))
    }

    pub(in crate::cmd::load) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all files, the document last. What an earlier run left and this one does not measure goes.
    pub(in crate::cmd::load) fn write(&self, results: &Results, page: bool) -> anyhow::Result<()> {
        let document = &results.document;
        let latency = document.latency.as_ref().map(|_| files::latency(&results.requests)).transpose()?;
        let throughput = document.throughput.as_ref().map(files::throughput).transpose()?;
        let lengths = document.lengths.as_ref().map(files::lengths).transpose()?;
        for (name, text) in [(LATENCY, latency), (THROUGHPUT, throughput), (LENGTHS, lengths)] {
            let path = self.path.join(name);
            match text {
                Some(text) => output::write_file(&path, |out| Ok(out.write_all(text.as_bytes())?))?,
                None if self.begun && path.exists() => fs::remove_file(&path).or_exit(ExitCode::CannotWrite)?,
                None => {}
            }
        }
        if self.begun && document.engine.is_none() && self.path.join(LOG).exists() {
            fs::remove_file(self.path.join(LOG)).or_exit(ExitCode::CannotWrite)?;
        }
        let text = summary::markdown(document);
        output::write_file(&self.path.join(SUMMARY), |out| Ok(out.write_all(text.as_bytes())?))?;
        output::write_json(&self.path.join(DOCUMENT), document)?;
        let shown = self.path.join(PAGE);
        if page {
            report::beside(&shown, &self.path.display().to_string(), document)?;
        } else if self.begun && shown.exists() {
            fs::remove_file(shown).or_exit(ExitCode::CannotWrite)?;
        }
        Ok(())
    }
}

fn is_begun(path: &Path) -> bool {
    path.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

/// Whether a folder holds the results of experiments, or what one left that measured nothing: its log.
fn is_ours(path: &Path) -> bool {
    let document = path.join(DOCUMENT);
    if !document.exists() {
        let mut entries = path.read_dir().into_iter().flatten().flatten();
        return entries.all(|entry| entry.file_name() == LOG);
    }
    let small = fs::metadata(&document).is_ok_and(|about| about.is_file() && about.len() <= MOST_DOCUMENT);
    let read = || serde_json::from_slice::<Value>(&fs::read(&document).ok()?).ok();
    small && read().is_some_and(|document| document["vramscope_experiment"].is_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_ours_is_written_into_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("results");
        assert!(!Folder::of(Some(&path)).unwrap().begun && !path.exists());
        let log = Folder::of(Some(&path)).unwrap().log().unwrap();
        fs::write(&log, "the engine died").unwrap();
        Folder::of(Some(&path)).unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        let error = Folder::of(Some(&path)).unwrap_err();
        assert!(format!("{error:#}").contains("is not empty"), "{error:#}");
        // The guide's own script writes a file of the same name.
        fs::write(path.join(DOCUMENT), "{\"latency\": 1}").unwrap();
        assert!(Folder::of(Some(&path)).is_err());
        fs::write(path.join(DOCUMENT), "{\"vramscope_experiment\": 1}").unwrap();
        assert!(Folder::of(Some(&path)).unwrap().begun);
        let error = Folder::of(Some(&path.join(DOCUMENT))).unwrap_err();
        assert!(format!("{error:#}").contains("is a file"), "{error:#}");
    }
}
