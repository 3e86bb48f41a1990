//! A server that was started by somebody else: it is watched, and never stopped.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::Held;
use super::process::tree::{Stat, Tree};
use crate::engine::{Engine, EngineEvent, Exit, LogStream};
use crate::error::EngineError;
use crate::feed::{Source, feed};
use crate::lines::{LineCutter, now_unix_ns};

/// How often the file and the process are looked at.
const STEP: Duration = Duration::from_millis(200);

/// An engine that runs already. With neither a process nor a log it says nothing and does not end: what is known of it
/// then comes from its address alone.
#[derive(Debug, Clone, Default)]
pub struct AttachHost {
    /// Its first process. Its end is the engine's end.
    pub pid: Option<u32>,
    /// The file that it writes its log to.
    pub log: Option<LogFile>,
}

/// A log file that is followed as it grows, is truncated, or is replaced.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// Where to begin.
    pub from: LogStart,
}

/// Where to begin to read a log that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStart {
    /// With its first line, to learn how the engine was started.
    Beginning,
    /// Behind its last byte.
    End,
}

/// What is held of a watched engine.
#[derive(Debug)]
pub(crate) struct Running {
    tree: Option<Mutex<Tree>>,
    exit: watch::Sender<Option<Exit>>,
    watching: Vec<Sender<()>>,
}

impl AttachHost {
    pub(super) fn start(&self) -> Result<Engine, EngineError> {
        let (source, feed) = feed();
        let mut running = Running { tree: None, exit: source.exit.clone(), watching: Vec::new() };
        if let Some(pid) = self.pid {
            let stat = Stat::of(pid).filter(|stat| !stat.dead).ok_or(EngineError::NoProcess { pid })?;
            running.tree = Some(Mutex::new(Tree::of(stat, None)));
            let exit = source.exit.clone();
            running.watching.push(in_thread(move |stop| wait_for(stat, &exit, stop)).map_err(EngineError::Watch)?);
        }
        if let Some(log) = &self.log {
            let failed = |source| EngineError::Read { path: log.path.clone(), source };
            let follower = Follower::open(log).map_err(failed)?;
            running.watching.push(in_thread(move |stop| follower.run(&source, stop)).map_err(EngineError::Watch)?);
        }
        Ok(Engine { feed, held: Held::Attach(running) })
    }
}

impl Running {
    pub(crate) fn pids(&self) -> Vec<u32> {
        let Some(tree) = &self.tree else { return Vec::new() };
        let living = tree.lock().unwrap_or_else(PoisonError::into_inner).living();
        living.into_iter().map(|(pid, _)| pid).collect()
    }

    /// Ends the watching. The engine runs on.
    pub(crate) fn stop(&mut self) {
        self.watching.clear();
        self.exit.send_if_modified(|exit| {
            let open = exit.is_none();
            exit.get_or_insert_default();
            open
        });
    }
}

/// Runs `work` until the returned sender is dropped.
fn in_thread(work: impl FnOnce(&Receiver<()>) + Send + 'static) -> io::Result<Sender<()>> {
    let (going, stop) = channel();
    thread::Builder::new().name("engine-watch".to_owned()).spawn(move || work(&stop))?;
    Ok(going)
}

/// Waits one step; whether to go on.
fn pause(stop: &Receiver<()>) -> bool {
    stop.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout)
}

fn wait_for(stat: Stat, exit: &watch::Sender<Option<Exit>>, stop: &Receiver<()>) {
    while pause(stop) {
        if Stat::of(stat.pid).is_none_or(|now| now.dead || now.started != stat.started) {
            // Only its parent learns how it ended.
            exit.send_replace(Some(Exit::default()));
            return;
        }
    }
}

/// Reads a file as it grows.
struct Follower {
    path: PathBuf,
    file: File,
    read: u64,
    cutter: LineCutter,
}

impl Follower {
    fn open(log: &LogFile) -> io::Result<Self> {
        // Before it is opened: to open a pipe waits for a writer.
        if !log.path.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let mut file = File::open(&log.path)?;
        let read = match log.from {
            LogStart::Beginning => 0,
            LogStart::End => file.seek(SeekFrom::End(0))?,
        };
        Ok(Self { path: log.path.clone(), file, read, cutter: LineCutter::new(LogStream::File) })
    }

    fn run(mut self, source: &Source, stop: &Receiver<()>) {
        loop {
            let go_on = pause(stop);
            if !self.drain(source) || !self.notice(source) {
                return;
            }
            if !go_on {
                break;
            }
        }
        if let Some(line) = self.cutter.finish(now_unix_ns()) {
            // The last piece; nobody may listen any more.
            let _ = source.events.blocking_send(EngineEvent::Line(line));
        }
    }

    /// Gives what was written since; whether anybody listens.
    fn drain(&mut self, source: &Source) -> bool {
        let mut buffer = vec![0; 64 << 10];
        let mut give = |line| source.events.blocking_send(EngineEvent::Line(line)).is_ok();
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return !source.events.is_closed(),
                Ok(n) => {
                    self.read += u64::try_from(n).unwrap_or(0);
                    if !self.cutter.push(&buffer[..n], now_unix_ns(), &mut give) {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return lost(source, format!("{} cannot be read: {error}", self.path.display())),
            }
        }
    }

    /// Goes on at the start of a file that was emptied, or with the one that took its place.
    fn notice(&mut self, source: &Source) -> bool {
        if self.file.metadata().is_ok_and(|about| about.len() < self.read) {
            self.read = 0;
            if let Err(error) = self.file.seek(SeekFrom::Start(0)) {
                return lost(source, format!("{} cannot be read: {error}", self.path.display()));
            }
            return lost(source, format!("{} was emptied; what was not read before is lost", self.path.display()));
        }
        let Some(file) = replaced(&self.path, &self.file) else { return true };
        // What was written to the old one between the last reading and now.
        let listening = self.drain(source);
        (self.file, self.read) = (file, 0);
        listening
    }
}

/// The file that has taken the place of this one.
fn replaced(path: &Path, file: &File) -> Option<File> {
    let new = File::open(path).ok()?;
    let (old, now) = (file.metadata().ok()?, new.metadata().ok()?);
    ((old.dev(), old.ino()) != (now.dev(), now.ino()) && now.is_file()).then_some(new)
}

fn lost(source: &Source, reason: String) -> bool {
    source.events.blocking_send(EngineEvent::LogLost { reason }).is_ok()
}
