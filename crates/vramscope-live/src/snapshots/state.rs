//! What a process that loaded the hook says of itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

/// How names of such files begin.
pub(super) const BEGINS: &str = "state-";
const ENDS: &str = ".json";
/// A process writes some hundred bytes. Unit: bytes.
const MOST: u64 = 1 << 20;
/// An engine has tens of processes.
const MOST_PROCESSES: usize = 4096;

/// The state of one process.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct State {
    pub(super) pid: u32,
    /// Its rank in the engine, where anything told it.
    pub(super) rank: Option<u64>,
    /// It used a GPU, and its allocator is recorded.
    pub(super) recording: bool,
    /// By moment.
    pub(super) made: BTreeMap<String, Made>,
    pub(super) failures: Vec<Failure>,
    /// Allocations that failed. Unit: count.
    pub(super) ooms: u64,
    /// The most that torch had reserved at any look. Unit: bytes.
    pub(super) highest_reserved_bytes: Option<u64>,
    /// Since it records. Unit: seconds.
    pub(super) recorded_s: Option<f64>,
    /// What all looks took. Unit: seconds.
    pub(super) looking_s: f64,
}

/// A snapshot that was made.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Made {
    /// Its name in the folder of the recording.
    pub(super) file: String,
    /// Reserved in it. Unit: bytes.
    pub(super) reserved_bytes: u64,
    /// How often it was taken; the last one is kept. Unit: count.
    pub(super) times: u64,
    /// What all of them took, with writing. Unit: seconds.
    pub(super) seconds: f64,
}

/// What did not come of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Failure {
    /// Which moment; `None` for all of them.
    pub(super) moment: Option<String>,
    pub(super) why: String,
}

impl State {
    /// Whether it lives and has yet to answer that the end was asked for.
    pub(super) fn is_at_it(&self) -> bool {
        let end = super::END;
        let failed = self.failures.iter().any(|failure| failure.moment.as_deref().is_none_or(|of| of == end));
        self.recording && !failed && !self.made.contains_key(end) && is_alive(self.pid)
    }
}

/// Whether there is a process of this number that has not ended.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which may hold anything in its brackets.
    let after = stat.rsplit_once(") ").map(|(_, after)| after);
    after.is_some_and(|after| !after.starts_with(['Z', 'X']))
}

/// The states of all processes, by their numbers. What cannot be read is of a process that is writing it.
pub(super) fn all(folder: &Path) -> Vec<State> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let own = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(BEGINS) && name.ends_with(ENDS)
    });
    let mut states: Vec<State> = own.take(MOST_PROCESSES).filter_map(|entry| read(&entry.path())).collect();
    states.sort_by_key(|state| (state.rank, state.pid));
    states
}

fn read(path: &Path) -> Option<State> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
