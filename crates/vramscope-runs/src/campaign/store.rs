//! A campaign's folder: every attempt in a folder of its own, and the first complete profile of each run published.
//!
//! ```text
//! profiles/KEY.json             the profile of a run, once one is complete; never replaced
//! profiles/KEY.failed-N.json    profiles of attempts that failed
//! attempts/KEY/ATTEMPT/         one attempt: KEY.json, its profile, and KEY/, its recording
//! leases/KEY.lease              who carries the run out now
//! ```
//!
//! Nothing that is shared is written in place: a profile is published by a link to its attempt's, which exactly one
//! attempt gets, whatever else happens at the same time, on this machine or another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::key::RunKey;
use crate::layout;

/// A campaign's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignFolder {
    path: PathBuf,
}

/// One attempt at a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its name: when it began, where, and by which process. Later attempts have greater names.
    pub id: String,
    /// Its profile, once there is one.
    pub profile: PathBuf,
    /// Its recording.
    pub recording: PathBuf,
}

/// What came of publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Published {
    /// It is the run's profile, under this name.
    First(PathBuf),
    /// Another attempt was first; this one's profile stays where it is.
    Superseded,
}

/// A campaign's folder that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("use the campaign's folder: {doing} {}", .path.display())]
pub struct StoreError {
    /// What was being done.
    pub doing: &'static str,
    /// With which file or folder.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

impl CampaignFolder {
    /// The folder, which need not be there.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes what is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn make(&self) -> Result<(), StoreError> {
        for part in [layout::PROFILES, layout::ATTEMPTS, layout::LEASES] {
            let path = self.path.join(part);
            fs::create_dir_all(&path).map_err(|source| StoreError { doing: "make", path, source })?;
        }
        Ok(())
    }

    /// Where the profile of a run is published.
    pub fn profile(&self, key: &RunKey) -> PathBuf {
        self.path.join(layout::PROFILES).join(format!("{key}.json"))
    }

    /// Whether a profile of the run is published.
    pub fn is_complete(&self, key: &RunKey) -> bool {
        self.profile(key).is_file()
    }

    /// The attempts at a run, the last one last.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be listed; that there are none is no error.
    pub fn attempts(&self, key: &RunKey) -> Result<Vec<Attempt>, StoreError> {
        let path = self.attempts_of(key);
        let listed = match fs::read_dir(&path) {
            Ok(listed) => listed,
            Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError { doing: "list", path, source }),
        };
        let mut ids = Vec::new();
        for entry in listed {
            let entry = entry.map_err(|source| StoreError { doing: "list", path: path.clone(), source })?;
            ids.extend(entry.file_name().into_string().ok().filter(|_| entry.path().is_dir()));
        }
        ids.sort_unstable();
        Ok(ids.into_iter().map(|id| self.attempt(key, id)).collect())
    }

    /// Begins an attempt in a new folder. `id` tells when, where and by whom, as a part of a file's name that sorts by
    /// time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&self, key: &RunKey, id: &str) -> Result<Attempt, StoreError> {
        let parent = self.attempts_of(key);
        let made = fs::create_dir_all(&parent);
        made.map_err(|source| StoreError { doing: "make", path: parent.clone(), source })?;
        for number in 1.. {
            let id = if number == 1 { id.to_owned() } else { format!("{id}.{number}") };
            let path = parent.join(&id);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(self.attempt(key, id)),
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(StoreError { doing: "make", path, source }),
            }
        }
        unreachable!("there are fewer attempts than numbers")
    }

    /// Takes back an attempt that left nothing, as one that was refused before it began.
    pub fn abandon(&self, attempt: &Attempt) {
        // A folder with anything in it is not removed, so nothing is lost.
        if let Some(folder) = attempt.profile.parent() {
            let _ = fs::remove_dir(folder).and_then(|()| folder.parent().map_or(Ok(()), fs::remove_dir));
        }
    }

    /// Publishes the profile of an attempt: that of a complete one as the run's, unless another was first; that of one
    /// that failed under the next free number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn publish(&self, key: &RunKey, attempt: &Attempt, complete: bool) -> Result<Published, StoreError> {
        if complete {
            let path = self.profile(key);
            return match link(&attempt.profile, &path) {
                Ok(()) => Ok(Published::First(path)),
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => Ok(Published::Superseded),
                Err(source) => Err(StoreError { doing: "publish", path, source }),
            };
        }
        for number in 1_u32.. {
            let path = self.path.join(layout::PROFILES).join(format!("{key}{}{number}.json", layout::FAILED));
            match link(&attempt.profile, &path) {
                Ok(()) => return Ok(Published::First(path)),
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(StoreError { doing: "publish", path, source }),
            }
        }
        unreachable!("there are fewer attempts than numbers")
    }

    /// Where who carries out a run says so.
    pub(super) fn lease(&self, name: &str) -> PathBuf {
        self.path.join(layout::LEASES).join(format!("{name}.lease"))
    }

    fn attempts_of(&self, key: &RunKey) -> PathBuf {
        self.path.join(layout::ATTEMPTS).join(key.as_str())
    }

    fn attempt(&self, key: &RunKey, id: String) -> Attempt {
        let folder = self.attempts_of(key).join(&id);
        Attempt { profile: folder.join(format!("{key}.json")), recording: folder.join(key.as_str()), id }
    }
}

/// A second name for a file, unless that name is taken. Where the file system has no links, a copy that appears whole.
fn link(file: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(file, name) {
        Err(error) if no_links(&error) => {
            let folder = name.parent().unwrap_or(Path::new("."));
            let mut copy = tempfile::Builder::new().prefix(".publish-").tempfile_in(folder)?;
            io::copy(&mut fs::File::open(file)?, &mut copy)?;
            copy.persist_noclobber(name).map(drop).map_err(|failed| failed.error)
        }
        linked => linked,
    }
}

fn no_links(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), PermissionDenied | Unsupported | CrossesDevices | TooManyLinks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RunKey {
        RunKey::new("m", &[])
    }

    #[test]
    fn the_first_complete_attempt_is_the_run_and_no_other_replaces_it() {
        let home = tempfile::tempdir().unwrap();
        let store = CampaignFolder::new(home.path());
        store.make().unwrap();
        assert_eq!(store.attempts(&key()).unwrap(), []);
        let attempts: Vec<Attempt> = (0..3).map(|_| store.begin(&key(), "20260102_030405-h-7").unwrap()).collect();
        for (attempt, text) in attempts.iter().zip(["failed", "first", "second"]) {
            fs::write(&attempt.profile, text).unwrap();
        }
        let failed = store.publish(&key(), &attempts[0], false).unwrap();
        assert!(matches!(failed, Published::First(path) if path.ends_with(format!("{}.failed-1.json", key()))));
        assert!(!store.is_complete(&key()));
        assert_eq!(store.publish(&key(), &attempts[1], true).unwrap(), Published::First(store.profile(&key())));
        assert_eq!(store.publish(&key(), &attempts[2], true).unwrap(), Published::Superseded);
        assert_eq!(fs::read_to_string(store.profile(&key())).unwrap(), "first");
        assert_eq!(store.attempts(&key()).unwrap(), attempts, "in the order in which they began");
    }

    #[test]
    fn what_left_nothing_is_taken_back_and_what_left_anything_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let store = CampaignFolder::new(home.path());
        let empty = store.begin(&key(), "a").unwrap();
        store.abandon(&empty);
        assert_eq!(store.attempts(&key()).unwrap(), []);
        let attempt = store.begin(&key(), "a").unwrap();
        fs::create_dir(&attempt.recording).unwrap();
        store.abandon(&attempt);
        assert_eq!(store.attempts(&key()).unwrap(), [attempt]);
    }
}
