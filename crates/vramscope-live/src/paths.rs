//! Where the profile and the recording of a run go.

use std::path::{Path, PathBuf};

use vramscope_core::Bytes;
use vramscope_runs::FolderError;

use crate::plan::{Plan, PlanError};

/// Where profiles go unless somebody says otherwise.
pub(crate) const RESULTS: &str = "results/memory-profiles";

/// Where one run's profile and recording go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunPaths {
    /// The profile document.
    pub profile: PathBuf,
    /// The recording folder beside it.
    pub folder: PathBuf,
    /// Which of the runs of one kind it is, from 1. Each sends other prompts, so that a server which outlives a run finds
    /// none of the next one's in its prefix cache.
    pub run: u32,
}

impl RunPaths {
    /// Those of one of several runs, counted from 1; of their summary for 0.
    ///
    /// # Errors
    /// [`PlanError::NoFileName`].
    pub fn new(plan: &Plan, run: u32) -> Result<Self, PlanError> {
        let request = plan.request();
        let profile = match &request.output {
            Some(path) => path.clone(),
            None => Path::new(RESULTS).join(format!("{}_{}.json", plan.short_name(), request.stamp)),
        };
        let stem = profile.file_stem().ok_or(PlanError::NoFileName)?;
        let stem = stem.to_string_lossy();
        let ending = match (run, request.repeat) {
            (0, _) => ".repeat".to_owned(),
            (_, 1) => String::new(),
            (run, _) => format!("_{run}"),
        };
        let profile = match (&request.output, ending.is_empty()) {
            // What somebody named is taken as it is, whatever it ends in.
            (Some(path), true) => path.clone(),
            _ => profile.with_file_name(format!("{stem}{ending}.json")),
        };
        // The folder needs another name than the file, also if that has no ending.
        let folder = profile.with_file_name(format!("{stem}{ending}"));
        let folder =
            if folder == profile { profile.with_file_name(format!("{stem}{ending}.recording")) } else { folder };
        Ok(Self { profile, folder, run })
    }

    /// What is in the way is told before the engine is asked anything. So is a place where nothing can be written, as far
    /// as that can be known without making the folders.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn check(&self) -> Result<(), PlanError> {
        let folder = std::path::absolute(&self.folder).map_err(PlanError::RecordingFolder)?;
        if folder.to_str().is_none() {
            return Err(PlanError::NoText { folder });
        }
        self.check_profile()?;
        if self.folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(PlanError::Recording(FolderError::NotEmpty { path: self.folder.clone() }));
        }
        let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let unwritable = |source| PlanError::Recording(FolderError::Write { path: self.folder.clone(), source });
        // A file without a name is gone as soon as it is closed.
        tempfile::tempfile_in(there).map(drop).map_err(unwritable)
    }

    /// Refuses a name for the document under which something else stands.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn check_profile(&self) -> Result<(), PlanError> {
        let path = || self.profile.clone();
        if self.profile.as_os_str() == "-" {
            return Err(PlanError::ToStdout);
        }
        if self.profile.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(PlanError::OutputIsFolder { path: path() });
        }
        if self.profile.exists() && !self.profile.is_file() {
            return Err(PlanError::OutputIsTaken { path: path() });
        }
        Ok(())
    }
}

/// Room on the disk that a file would lie on.
pub(crate) fn free_beside(path: &Path) -> Option<Bytes> {
    let existing = std::path::absolute(path).ok()?.ancestors().find(|folder| folder.is_dir())?.to_owned();
    let stat = rustix::fs::statvfs(existing.as_path()).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize).map(Bytes::new)
}
