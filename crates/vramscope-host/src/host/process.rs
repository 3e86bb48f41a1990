//! An engine as a process of this machine, which cannot be left behind.

mod interrupt;
pub(super) mod tree;
mod watchdog;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::process::{Child, Command as StdCommand, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};

use super::{Command, Held};
use crate::engine::{Engine, EngineEvent, Exit, LogStream};
use crate::error::EngineError;
use crate::feed::{Source, feed};
use crate::lines::{LineCutter, now_unix_ns};
pub use interrupt::is_signal_ignored;
use tree::Tree;
use watchdog::Watchdog;

/// How often new processes of the engine are looked for, so that the watchdog knows them.
const LOOK: Duration = Duration::from_secs(1);

/// How often is looked whether all have stopped.
const STEP: Duration = Duration::from_millis(20);

/// How long killed processes may take to end: a driver gives back tens of gigabytes of pinned memory first.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// The same when an engine is dropped, which blocks. The watchdog goes on after that.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// Runs an engine as a process of this machine, in a process group of its own.
///
/// Starting one makes this process the parent of orphans among its descendants (`PR_SET_CHILD_SUBREAPER`), so that a
/// process of the engine that detaches itself is still found. If SIGINT is ignored here, as in the background jobs of a
/// shell script, it is caught from then on and nothing is done, for an engine would inherit to ignore it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ProcessHost {}

impl ProcessHost {
    pub(super) fn start(&self, command: &Command) -> Result<Engine, EngineError> {
        for (path, content) in &command.files {
            std::fs::write(path, content).map_err(|source| EngineError::Write { path: path.clone(), source })?;
        }
        // Where it is refused, orphans are still found by group, session and mark.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        // Where it is refused, the engine is terminated instead after half of its grace.
        let _ = interrupt::let_children_hear();
        let mark = new_mark();
        let mut watchdog = Watchdog::start(&mark_text(&mark)).map_err(EngineError::Watchdog)?;
        let mut child = match spawn(command, &mark) {
            Ok(child) => child,
            Err(error) => {
                watchdog.dismiss();
                return Err(explain(command, error));
            }
        };
        let told = watchdog.tell_group(child.id());
        let (source, feed) = feed();
        let killing = Arc::new(AtomicBool::new(false));
        let waiting = wait_in_thread(&child, &source, &killing);
        let reading = read_in_threads(&mut child, source);
        let tree = Tree::new(child.id(), mark_text(&mark));
        let watched = Watched { tree, watchdog, told: BTreeMap::new() };
        let watched = Arc::new(Mutex::new(watched));
        let (looking, ended) = channel();
        let mut running = Running { child, watched, killing, waiting: None, looking: Some(looking), stopped: false };
        // From here on, `running` ends the engine when it is dropped.
        running.waiting = Some(waiting.map_err(EngineError::Watchdog)?);
        told.and(reading).map_err(EngineError::Watchdog)?;
        running.look_on(ended).map_err(EngineError::Watchdog)?;
        Ok(Engine { feed, held: Held::Process(running) })
    }
}

/// A value that no other engine has: this process, the time, and a count.
pub(super) fn new_mark() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{count}", std::process::id(), now_unix_ns())
}

/// The variable with its value.
pub(super) fn mark_text(mark: &str) -> String {
    format!("{}={mark}", tree::MARK)
}

fn spawn(command: &Command, mark: &str) -> io::Result<Child> {
    use std::os::unix::process::CommandExt as _;
    let mut child = StdCommand::new(&command.program);
    child.args(&command.args).envs(command.env.iter().map(|(name, value)| (name, value))).env(tree::MARK, mark);
    if let Some(directory) = &command.directory {
        child.current_dir(directory);
    }
    child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()
}

/// What a refused start means.
fn explain(command: &Command, source: io::Error) -> EngineError {
    let program = command.program.clone();
    if let Some(directory) = command.directory.as_ref().filter(|directory| !directory.is_dir()) {
        return EngineError::NoDirectory { program, directory: directory.clone() };
    }
    match source.kind() {
        io::ErrorKind::NotFound if fs::metadata(&program).is_ok_and(|about| about.is_file()) => {
            EngineError::NoInterpreter { program }
        }
        io::ErrorKind::NotFound => EngineError::NotFound { program },
        io::ErrorKind::PermissionDenied => EngineError::NotExecutable { program, source },
        _ => EngineError::Start { program, source },
    }
}

/// The thread that waits for its end.
fn wait_in_thread(child: &Child, source: &Source, killing: &Arc<AtomicBool>) -> io::Result<JoinHandle<()>> {
    let root = child.id();
    let (killing, exit) = (Arc::clone(killing), source.exit.clone());
    let kills = oom_kills();
    thread::Builder::new().name("engine-exit".to_owned()).spawn(move || {
        let mut ended = wait_for(root);
        let killed = ended.signal == Some(Signal::KILL.as_raw()) && !killing.load(Ordering::SeqCst);
        ended.oom_killed = killed && kills < oom_kills();
        exit.send_replace(Some(ended));
    })
}

/// The threads that read its two streams. They end with it.
fn read_in_threads(child: &mut Child, source: Source) -> io::Result<()> {
    if let Some(out) = child.stdout.take() {
        read_stream(out, LogStream::Stdout, source.clone())?;
    }
    if let Some(err) = child.stderr.take() {
        read_stream(err, LogStream::Stderr, source)?;
    }
    Ok(())
}

fn read_stream(mut pipe: impl Read + Send + 'static, stream: LogStream, source: Source) -> io::Result<()> {
    let run = move || {
        let mut cutter = LineCutter::new(stream);
        let mut buffer = vec![0; 64 << 10];
        let mut give = |line| source.events.blocking_send(EngineEvent::Line(line)).is_ok();
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                // When nobody listens any more, the engine is being ended, and its writes must not make it wait.
                Ok(n) => _ = cutter.push(&buffer[..n], now_unix_ns(), &mut give),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let reason = format!("{stream:?} could not be read: {error}");
                    // As above.
                    let _ = source.events.blocking_send(EngineEvent::LogLost { reason });
                    break;
                }
            }
        }
        if let Some(line) = cutter.finish(now_unix_ns()) {
            give(line);
        }
    };
    thread::Builder::new().name("engine-log".to_owned()).spawn(run).map(drop)
}

/// Waits for a child's end and leaves it to be reaped, so that its number stays its own.
fn wait_for(root: u32) -> Exit {
    let Some(pid) = tree::pid(root) else { return Exit::default() };
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) => {
                return Exit { code: status.exit_status(), signal: status.terminating_signal(), oom_killed: false };
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Exit::default(),
        }
    }
}

/// How often the kernel has killed a process of this machine for want of memory.
fn oom_kills() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    watched: Arc<Mutex<Watched>>,
    killing: Arc<AtomicBool>,
    waiting: Option<JoinHandle<()>>,
    looking: Option<Sender<()>>,
    stopped: bool,
}

/// Its processes, and the watchdog that knows them.
#[derive(Debug)]
struct Watched {
    tree: Tree,
    watchdog: Watchdog,
    told: BTreeMap<u32, u64>,
}

impl Watched {
    /// Looks for new processes, and tells the watchdog. One that was ended by somebody is replaced.
    fn look(&mut self) -> Vec<(u32, u64)> {
        let living = self.tree.living();
        let new: Vec<(u32, u64)> =
            living.iter().filter(|(pid, started)| self.told.get(pid) != Some(started)).copied().collect();
        if !new.is_empty() && self.watchdog.tell(&new).is_err() {
            self.replace_watchdog(&living);
        }
        self.told.extend(new);
        living
    }

    fn replace_watchdog(&mut self, living: &[(u32, u64)]) {
        let watchdog = self.tree.mark().map(Watchdog::start);
        if let Some(Ok(mut watchdog)) = watchdog {
            // If this one cannot be told either, the next look tries again, and the mark is known to it already.
            let _ = watchdog.tell_group(self.tree.root()).and_then(|()| watchdog.tell(living));
            self.watchdog.dismiss();
            self.watchdog = watchdog;
        }
    }
}

impl Running {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        // The list of processes is made anew at every look, so a panic elsewhere leaves nothing half done.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for new processes until `ended` says that the engine is gone.
    fn look_on(&mut self, ended: Receiver<()>) -> io::Result<()> {
        let watched = Arc::clone(&self.watched);
        let run = move || {
            loop {
                watched.lock().unwrap_or_else(PoisonError::into_inner).look();
                if ended.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        thread::Builder::new().name("engine-tree".to_owned()).spawn(run).map(drop)
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        if self.stopped {
            return Vec::new();
        }
        self.watched().look().into_iter().map(|(pid, _)| pid).collect()
    }

    /// Whether the first process has ended.
    fn root_ended(&self) -> bool {
        tree::Stat::of(self.child.id()).is_none_or(|stat| stat.dead)
    }

    /// Interrupts the group as Ctrl-C on a terminal does; terminates it after half of the grace, or what is left when
    /// the first process has ended; kills what is left after the grace.
    pub(crate) async fn stop(&mut self, grace: Duration) -> Result<(), EngineError> {
        if self.stopped {
            return Ok(());
        }
        let begun = Instant::now();
        let mut asked_twice = false;
        // One that has ended by itself was not killed by us, and says so.
        self.watched().tree.signal(Signal::INT);
        loop {
            if self.watched().look().is_empty() {
                return self.gone();
            }
            if !asked_twice && (self.root_ended() || begun.elapsed() >= grace / 2) {
                self.watched().tree.signal(Signal::TERM);
                asked_twice = true;
            }
            if begun.elapsed() >= grace {
                break;
            }
            tokio::time::sleep(STEP.min(grace)).await;
        }
        let begun = Instant::now();
        loop {
            let pids: Vec<u32> = self.kill().into_iter().map(|(pid, _)| pid).collect();
            if pids.is_empty() {
                return self.gone();
            }
            if begun.elapsed() >= KILL_PATIENCE {
                return Err(EngineError::StillAlive { pids });
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Kills all, and tells who is still alive.
    fn kill(&self) -> Vec<(u32, u64)> {
        self.killing.store(true, Ordering::SeqCst);
        let mut watched = self.watched();
        watched.tree.signal(Signal::KILL);
        watched.look()
    }

    /// Reaps the first process, and sends the watchdog home.
    fn gone(&mut self) -> Result<(), EngineError> {
        self.looking = None;
        // How it ended must be known before it is reaped. A panic over there leaves that unknown.
        let _ = self.waiting.take().map(JoinHandle::join);
        // It is dead, so this does not wait; if somebody else reaped it, there is nothing to do.
        let _ = self.child.wait();
        let mut watched = self.watched();
        watched.tree.is_gone();
        watched.watchdog.dismiss();
        drop(watched);
        self.stopped = true;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        let begun = Instant::now();
        while begun.elapsed() < DROP_PATIENCE {
            if self.kill().is_empty() {
                let _ = self.gone();
                return;
            }
            thread::sleep(STEP / 4);
        }
        // The end of `watched` closes the watchdog's pipe: it goes on where this stops.
    }
}
