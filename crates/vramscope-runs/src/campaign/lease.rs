//! Who carries out a run of a campaign, so that nobody else begins it meanwhile.
//!
//! A lease saves the time of a second run; that only one is published does not depend on it. On one machine the
//! system's lock of the file tells whether its owner lives, also after a `kill -9`. Between machines, whose file system
//! may not pass locks on, the owner touches the file while it works.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::store::{CampaignFolder, StoreError};

/// How often an owner touches its lease.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A lease of another machine that was not touched for so long is of nobody any more.
const STALE: Duration = Duration::from_secs(120);
/// The longest text of an owner.
const MOST_BYTES: u64 = 4096;

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The machine, as it calls itself.
    pub host: String,
    /// The process on it. Unit: none, a process id.
    pub pid: u32,
    /// When it began, in words.
    pub since: String,
}

/// What is held until it is dropped.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    /// Its lock goes with it.
    _file: File,
    /// Ends the heart.
    stop: Option<mpsc::Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

/// What came of asking for a lease.
#[derive(Debug)]
#[non_exhaustive]
pub enum Leased {
    /// It is ours.
    Ours(Lease),
    /// Somebody else's, as far as it says whose.
    Held(Option<Owner>),
}

impl CampaignFolder {
    /// Asks for the lease of a name: a run's key, or `campaign@HOST` for all that one machine does in the folder.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn lease_of(&self, name: &str, owner: &Owner) -> Result<Leased, StoreError> {
        let path = self.lease(name);
        let failed = |source| StoreError { doing: "write", path: path.clone(), source };
        // Who goes removes the file, so that the one that was opened may be gone when it is locked.
        for _ in 0..100 {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Leased::Held(read(&mut file))),
                // A file system without locks: the heartbeat is what is left.
                Err(TryLockError::Error(_)) => {}
            }
            if !is_at(&file, &path) {
                continue;
            }
            let before = read(&mut file);
            let elsewhere = before.as_ref().is_some_and(|before| before.host != owner.host);
            if elsewhere && !is_stale(&file, &path).map_err(failed)? {
                return Ok(Leased::Held(before));
            }
            let text = serde_json::to_vec(owner).map_err(io::Error::from).map_err(failed)?;
            write(&mut file, &text).map_err(failed)?;
            return Ok(Leased::Ours(Lease::hold(path.clone(), file)));
        }
        Ok(Leased::Held(None))
    }

    /// Who holds the lease of a name now, if anybody does.
    pub fn holder(&self, name: &str, host: &str) -> Option<Owner> {
        let path = self.lease(name);
        let mut file = File::open(&path).ok()?;
        let locked = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let owner = read(&mut file)?;
        let elsewhere = owner.host != host && !is_stale(&file, &path).unwrap_or(true);
        (locked || elsewhere).then_some(owner)
    }
}

impl Lease {
    fn hold(path: PathBuf, file: File) -> Self {
        let (stop, stopped) = mpsc::channel();
        let touched = file.try_clone();
        let heart = touched.ok().map(|file| {
            std::thread::spawn(move || {
                while matches!(stopped.recv_timeout(HEARTBEAT), Err(RecvTimeoutError::Timeout)) {
                    // One beat that fails is made up for by the next.
                    let _ = file.set_modified(SystemTime::now());
                }
            })
        });
        Self { path, _file: file, stop: Some(stop), heart }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.heart.take().map(JoinHandle::join);
        // Before the lock goes, so that nobody else's file is removed.
        let _ = fs::remove_file(&self.path);
    }
}

fn read(file: &mut File) -> Option<Owner> {
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn write(file: &mut File, text: &[u8]) -> io::Result<()> {
    use std::io::Seek as _;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text)?;
    file.sync_all()
}

/// Whether the file that was opened is the one of that name still.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(there), Ok(here)) = (fs::metadata(path), file.metadata()) else { return false };
    (there.dev(), there.ino()) == (here.dev(), here.ino())
}

/// Whether nobody touched the file for long, by the clock of the file system: those of two machines may differ.
fn is_stale(file: &File, path: &Path) -> io::Result<bool> {
    let touched = file.metadata()?.modified()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let now = tempfile::Builder::new().prefix(".clock-").tempfile_in(folder)?.as_file().metadata()?.modified()?;
    Ok(now.duration_since(touched).is_ok_and(|since| since > STALE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(host: &str) -> Owner {
        Owner { host: host.to_owned(), pid: 7, since: "2026-01-02T03:04:05Z".to_owned() }
    }

    fn ours(folder: &CampaignFolder, host: &str) -> Option<Lease> {
        match folder.lease_of("m", &owner(host)).unwrap() {
            Leased::Ours(lease) => Some(lease),
            Leased::Held(_) => None,
        }
    }

    #[test]
    fn a_lease_is_of_one_at_a_time_and_of_nobody_once_its_owner_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let folder = CampaignFolder::new(home.path());
        folder.make().unwrap();
        assert_eq!(folder.holder("m", "a"), None);
        let lease = ours(&folder, "a").unwrap();
        let Leased::Held(by) = folder.lease_of("m", &owner("a")).unwrap() else { panic!("it is held") };
        assert_eq!((by.as_ref(), folder.holder("m", "a").as_ref()), (Some(&owner("a")), Some(&owner("a"))));
        drop(lease);
        assert!(!folder.lease("m").exists());
        // What a `kill -9` leaves: a file that nobody has locked.
        fs::write(folder.lease("m"), serde_json::to_vec(&owner("a")).unwrap()).unwrap();
        assert_eq!(folder.holder("m", "a"), None);
        assert!(ours(&folder, "a").is_some());
    }

    #[test]
    fn a_lease_of_another_machine_counts_as_long_as_it_is_touched() {
        let home = tempfile::tempdir().unwrap();
        let folder = CampaignFolder::new(home.path());
        folder.make().unwrap();
        fs::write(folder.lease("m"), serde_json::to_vec(&owner("a")).unwrap()).unwrap();
        assert!(ours(&folder, "b").is_none());
        assert_eq!(folder.holder("m", "b"), Some(owner("a")));
        let long_ago = SystemTime::now() - STALE - HEARTBEAT;
        File::options().write(true).open(folder.lease("m")).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(folder.holder("m", "b"), None);
        assert!(ours(&folder, "b").is_some());
    }

    #[test]
    fn an_empty_lease_is_of_nobody() {
        let home = tempfile::tempdir().unwrap();
        let folder = CampaignFolder::new(home.path());
        folder.make().unwrap();
        fs::write(folder.lease("m"), "").unwrap();
        assert!(ours(&folder, "a").is_some());
    }
}
