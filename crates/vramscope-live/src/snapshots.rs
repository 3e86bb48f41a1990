//! Has the engine's own processes record PyTorch's allocator: the hook that they load, and what became of it.
//!
//! Python imports a module named `sitecustomize` as it starts, from the first folder of `PYTHONPATH` that has one. That gets a
//! hook into every process of an engine, whichever it is and however it starts its workers. What is asked of it lies beside it,
//! and so does what each process says of itself.

mod notes;
mod state;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use vramscope_core::EngineKind;
use vramscope_runs::{FolderError, layout};

use crate::plan::PlanError;
use crate::{Place, Request};
use state::State;

/// Brings the other one into a process.
const BEGIN: &str = include_str!("snapshots/sitecustomize.py");
/// Records.
const HOOK: &str = include_str!("snapshots/vramscope_snapshot.py");
/// What is asked, beside the hook.
const SETTINGS: &str = "settings.json";
/// A file of this name asks for the snapshots of the end.
const END: &str = "end";
/// How names end of what was not written to its end.
const DRAFT: &str = ".unfinished";
/// What Python makes of modules for the next time, which there is none of.
const COMPILED: &str = "__pycache__";
/// A process whose snapshot takes longer than this is not waited for: one of a million events takes some ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether the snapshots of the end are there.
const STEP: Duration = Duration::from_millis(50);

/// When a snapshot is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SnapshotMoment {
    /// When torch has reserved most.
    Peak,
    /// When the work is done, before the engine is stopped.
    End,
    /// When an allocation fails.
    Oom,
}

impl SnapshotMoment {
    /// The word for it, in names of files too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peak => "peak",
            Self::End => END,
            Self::Oom => "oom",
        }
    }
}

/// Snapshots of PyTorch's allocator that the processes of the engine are to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedSnapshots {
    /// When.
    pub moments: Vec<SnapshotMoment>,
    /// The last events of the allocator that each process keeps; older ones are lost. Unit: count.
    pub entries: u32,
}

impl AskedSnapshots {
    /// By which the hook comes into processes: Python's list of folders in which it looks for modules first.
    pub const VARIABLE: &str = "PYTHONPATH";
    /// So many events are kept unless somebody says otherwise.
    pub const USUAL_ENTRIES: u32 = 100_000;

    pub(crate) fn asks(&self, moment: SnapshotMoment) -> bool {
        self.moments.contains(&moment)
    }

    /// `PYTHONPATH` for an engine that is recorded into this folder and has this one otherwise.
    pub(crate) fn variable(recording: &Path, before: Option<&str>) -> (String, String) {
        let own = recording.join(layout::SNAPSHOT_HOOK).to_string_lossy().into_owned();
        // An empty part would be the folder in which the engine starts.
        let value = before.filter(|before| !before.is_empty()).map_or(own.clone(), |before| format!("{own}:{before}"));
        (Self::VARIABLE.to_owned(), value)
    }

    /// What a reader must know before the run.
    pub(crate) fn note() -> String {
        format!(
            "the engine's Python processes load {}/sitecustomize.py of the recording ({}), which records PyTorch's \
             allocator",
            layout::SNAPSHOT_HOOK,
            Self::VARIABLE
        )
    }
}

/// What `PYTHONPATH` is for an engine without a hook: as it is given, else as it is inherited.
pub(crate) fn searched<'v>(given: &'v [(String, String)], inherited: &'v [(String, String)]) -> Option<&'v str> {
    let of =
        |variables: &'v [(String, String)]| variables.iter().rev().find(|(name, _)| name == AskedSnapshots::VARIABLE);
    of(given).or_else(|| of(inherited)).map(|(_, value)| value.as_str())
}

/// Refuses a folder of which Python cannot be told.
pub(crate) fn check_folder(recording: &Path) -> io::Result<()> {
    if recording.to_str().is_some_and(|path| !path.contains(':')) {
        return Ok(());
    }
    let what = "Python is told the recording's folder in PYTHONPATH, which parts folders by colons and is text: choose a path \
                without a colon, of UTF-8 (profile --output, trace capture --dir)";
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Refuses snapshots of an engine into whose processes no hook gets.
pub(crate) fn check(request: &Request) -> Result<(), PlanError> {
    if request.snapshots.is_none() {
        return Ok(());
    }
    match (&request.place, request.started()) {
        (Place::Process, Some(EngineKind::Vllm | EngineKind::Transformers | EngineKind::SgLang)) => Ok(()),
        (Place::Process, Some(engine)) => Err(PlanError::NoAllocator { engine }),
        (Place::Server { .. }, _) | (_, None) => Err(PlanError::NoHookInServer),
        _ => Err(PlanError::NoHookInContainer),
    }
}

/// The hook in a folder, which processes of an engine load.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    /// Where snapshots come to lie.
    recording: PathBuf,
    /// Where the hook lies.
    folder: PathBuf,
    asked: AskedSnapshots,
}

impl Hook {
    /// Writes it for an engine that is recorded into this folder, given by its whole path.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub(crate) fn write(recording: &Path, asked: &AskedSnapshots) -> Result<Self, FolderError> {
        let folder = recording.join(layout::SNAPSHOT_HOOK);
        let moments: Vec<&str> = asked.moments.iter().map(|moment| moment.name()).collect();
        let settings = serde_json::json!({
            "moments": moments,
            "entries": asked.entries,
            "folder": recording,
            "name": [layout::OWN_SNAPSHOT, layout::ALLOCATOR_SNAPSHOT_ENDS[0]],
        });
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| FolderError::Write { path, source }
        };
        check_folder(recording).map_err(failed(&folder))?;
        // What an earlier engine was asked and said must not be taken for this one's.
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed(&folder))?;
        }
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let settings = settings.to_string();
        for (name, text) in [("sitecustomize.py", BEGIN), ("vramscope_snapshot.py", HOOK), (SETTINGS, &*settings)] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(failed(&path))?;
        }
        Ok(Self { recording: recording.to_owned(), folder, asked: asked.clone() })
    }

    pub(crate) fn asks(&self, moment: SnapshotMoment) -> bool {
        self.asked.asks(moment)
    }

    /// Asks every process for its snapshot of the end, where those are wanted.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub(crate) fn ask_for_end(&self) -> Result<(), FolderError> {
        if !self.asks(SnapshotMoment::End) {
            return Ok(());
        }
        let path = self.folder.join(END);
        fs::write(&path, "").map_err(|source| FolderError::Write { path, source })
    }

    /// Waits until every process that lives has answered that, a minute at most. What did not come is told with the rest.
    pub(crate) async fn answered(&self) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && state::all(&self.folder).iter().any(State::is_at_it) {
            tokio::time::sleep(STEP).await;
        }
    }

    /// The snapshots that these processes made, in the order of their names.
    pub(crate) fn made(&self) -> Vec<PathBuf> {
        let states = state::all(&self.folder);
        let names = states.iter().flat_map(|state| state.made.values().map(|made| &made.file));
        // A name of a state is a text from outside: it must be one of the hook's.
        let own = names.filter(|name| name.starts_with(layout::OWN_SNAPSHOT) && !name.contains('/'));
        let mut paths: Vec<PathBuf> = own.map(|name| self.recording.join(name)).filter(|path| path.is_file()).collect();
        paths.sort_unstable();
        paths
    }

    /// The engine is gone: removes what it left unfinished, and tells what became of the snapshots, in sentences.
    pub(crate) fn close(&self) -> Vec<String> {
        // What cannot be removed does no harm: neither name is looked for.
        for folder in [&self.recording, &self.folder] {
            let drafts = fs::read_dir(folder).into_iter().flatten().flatten();
            for draft in drafts.filter(|entry| is_draft(&entry.file_name().to_string_lossy())) {
                let _ = fs::remove_file(draft.path());
            }
        }
        let _ = fs::remove_dir_all(self.folder.join(COMPILED));
        notes::of(&state::all(&self.folder), &self.asked)
    }
}

/// Whether the hook alone gives such names.
fn is_draft(name: &str) -> bool {
    let own = name.starts_with(&format!(".{}", layout::OWN_SNAPSHOT)) || name.starts_with(state::BEGINS);
    own && name.ends_with(DRAFT)
}
