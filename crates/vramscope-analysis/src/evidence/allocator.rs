//! Snapshots of PyTorch's allocator, each brought down to what its devices' memory is for.

use std::path::{Path, PathBuf};

use vramscope_core::redact;
use vramscope_schema::v3::SourceKind;
use vramscope_snapshot::{Ledger, Snapshot, SnapshotError, Source};

use super::{Evidence, name, size, source_of};

/// Snapshots of one run that are read. A series of more is the business of the command that finds what grew; the bound
/// keeps a folder of thousands from being read whole.
const MOST: usize = 32;

/// What one snapshot says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AllocatorSnapshot {
    /// The file's name.
    pub file: String,
    /// The time of its last event, in microseconds since 1970 UTC, where it has one: it was taken then or later.
    pub last_event_us: Option<i64>,
    /// The memory of each device on which the process has any.
    pub(crate) ledgers: Vec<Ledger>,
}

/// Reads one. Nothing in it is executed.
fn read(path: &Path) -> Result<AllocatorSnapshot, SnapshotError> {
    let snapshot = Snapshot::read(&Source::file(path))?;
    Ok(AllocatorSnapshot { file: name(path), last_event_us: snapshot.last_event_us(), ledgers: Ledger::of(&snapshot)? })
}

impl Evidence {
    /// Reads the snapshots of a folder. A pickle may be of anything, so one that is no snapshot is noted and left out.
    pub(super) fn add_snapshots(&mut self, paths: &[PathBuf], observe: &mut dyn FnMut(&Path, u64)) {
        for path in paths.iter().take(MOST) {
            match read(path) {
                Ok(snapshot) if snapshot.ledgers.is_empty() => {
                    self.notes.push(format!("{} holds no memory of a device; it is left out", name(path)));
                }
                Ok(snapshot) => {
                    self.snapshots.push(snapshot);
                    self.sources.push(source_of(path, SourceKind::AllocatorSnapshot));
                }
                Err(error) => {
                    let why = redact(&error.to_string()).replace(&path.display().to_string(), &name(path));
                    self.notes.push(format!("failed to {why}; it is left out"));
                }
            }
            observe(path, size(path).unwrap_or_default());
        }
        if paths.len() > MOST {
            let note = format!("of {} allocator snapshots the first {MOST} by name are read", paths.len());
            self.notes.push(note);
        }
        self.snapshots.sort_by_key(|snapshot| snapshot.last_event_us);
    }
}
