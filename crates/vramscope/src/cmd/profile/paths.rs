//! Where the profile and the recording of a run go.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use vramscope_runs::FolderError;
use vramscope_schema::ExitCode;

use super::Args;
use super::plan::Plan;
use crate::exit::OrExit as _;

/// Where profiles go unless somebody says otherwise.
pub(super) const RESULTS: &str = "results/memory-profiles";
/// What is said where a recording cannot begin; why, comes behind it.
pub(super) const NO_RECORDING: &str = "could not begin the recording";

/// Where one run's profile and recording go.
pub(super) struct Paths {
    pub(super) profile: PathBuf,
    pub(super) folder: PathBuf,
}

impl Paths {
    /// Those of one of several runs, counted from 1; of their summary for 0.
    pub(super) fn new(args: &Args, plan: &Plan, run: u32) -> anyhow::Result<Self> {
        let profile = match &args.output {
            Some(path) => path.clone(),
            None => Path::new(RESULTS).join(format!("{}_{}.json", plan.short_name(), plan.stamp)),
        };
        let stem = profile.file_stem().context("--output names no file").or_exit(ExitCode::Usage)?;
        let stem = stem.to_string_lossy();
        let ending = match (run, args.repeat) {
            (0, _) => ".repeat".to_owned(),
            (_, 1) => String::new(),
            (run, _) => format!("_{run}"),
        };
        let profile = match (&args.output, ending.is_empty()) {
            // What somebody named is taken as it is, whatever it ends in.
            (Some(path), true) => path.clone(),
            _ => profile.with_file_name(format!("{stem}{ending}.json")),
        };
        // The folder needs another name than the file, also if that has no ending.
        let folder = profile.with_file_name(format!("{stem}{ending}"));
        let folder =
            if folder == profile { profile.with_file_name(format!("{stem}{ending}.recording")) } else { folder };
        Ok(Self { profile, folder })
    }

    /// What is in the way is told before the engine is asked anything. So is a place where nothing can be written, as far
    /// as that can be known without making the folders.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let folder = std::path::absolute(&self.folder).context("could not tell the recording's folder")?;
        if folder.to_str().is_none() {
            let unspeakable = anyhow!(
                "the engine is told by name where it writes, and {} is no text; record elsewhere with --output",
                folder.display()
            );
            return Err(unspeakable).or_exit(ExitCode::Usage);
        }
        check_file(&self.profile)?;
        if self.folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            let taken = FolderError::NotEmpty { path: self.folder.clone() };
            return Err(taken).context(NO_RECORDING).or_exit(ExitCode::CannotWrite);
        }
        let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let unwritable = |source| FolderError::Write { path: self.folder.clone(), source };
        // A file without a name is gone as soon as it is closed.
        let tried = tempfile::tempfile_in(there).map_err(unwritable);
        tried.map(drop).context(NO_RECORDING).or_exit(ExitCode::CannotWrite)
    }
}

/// Refuses a name for a document under which something else stands.
pub(super) fn check_file(path: &Path) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        let beside =
            anyhow!("a recording lies beside the profile: name a file with --output; --format json prints it too");
        return Err(beside).or_exit(ExitCode::Usage);
    }
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(anyhow!("--output {} names a folder; name a file in it", path.display())).or_exit(ExitCode::Usage);
    }
    if path.exists() && !path.is_file() {
        let taken = anyhow!("--output {} is there and is no regular file; name another one", path.display());
        return Err(taken).or_exit(ExitCode::CannotWrite);
    }
    Ok(())
}
