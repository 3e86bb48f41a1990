//! A running engine: what it says, which processes it is, and its end.

use std::fmt;
use std::time::Duration;

use crate::error::EngineError;
use crate::feed::Feed;
use crate::host::Held;

/// One line of an engine's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When its end was read, in nanoseconds since 1970.
    pub at_unix_ns: i64,
    /// Where it was written.
    pub stream: LogStream,
    /// Its bytes without the newline. Carriage returns of progress bars stay in it.
    pub bytes: Vec<u8>,
    /// Whether a newline stood behind it. A line over 64 KiB and a progress bar that grows come in pieces, and all but
    /// the last are not ended; so is a last line that the engine never finished.
    pub ended: bool,
}

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A log file, which does not tell.
    File,
}

/// How an engine ended. All `None` when nobody can know, as for a server that was not started here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed it for want of memory (host memory, not the GPU's).
    pub oom_killed: bool,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}")?,
            (None, Some(signal)) => write!(f, "signal {signal}")?,
            (None, None) => write!(f, "ended, how is not known")?,
        }
        if self.oom_killed { write!(f, ", killed because host memory ran out") } else { Ok(()) }
    }
}

/// Something that happens to an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEvent {
    /// A line of its log.
    Line(LogLine),
    /// A part of its log was lost, or will not come.
    LogLost {
        /// What, and why.
        reason: String,
    },
    /// It has ended. For a process this is the one that was started; others of its tree may live on until
    /// [`Engine::stop`].
    Exited(Exit),
}

/// A running engine. It must be read with [`Engine::next`]: when 1024 lines wait, its writes wait too.
///
/// Dropping it kills what was started, at once and without grace.
#[derive(Debug)]
pub struct Engine {
    pub(crate) feed: Feed,
    pub(crate) held: Held,
}

impl Engine {
    /// The next thing that happens. Nothing is lost if the future is dropped before it is done. After
    /// [`EngineEvent::Exited`], with all lines before it, it gives the same again.
    pub async fn next(&mut self) -> EngineEvent {
        self.feed.next().await
    }

    /// The ids of all its processes that are alive now, as this machine numbers them.
    pub fn pids(&self) -> Vec<u32> {
        self.held.pids()
    }

    /// The container that it runs in, as it was when the engine was started or found.
    #[cfg(feature = "docker")]
    pub fn container(&self) -> Option<&crate::host::ContainerInfo> {
        self.held.container()
    }

    /// Asks it to stop, gives it `grace` for that, and then kills what is left. When this returns, no process of it is
    /// alive, and what it said until then waits in [`Engine::next`]. To stop again gives the same exit.
    ///
    /// What was not started here is not stopped: it is only no longer watched.
    ///
    /// # Errors
    /// [`EngineError::StillAlive`] if killed processes do not end.
    pub async fn stop(&mut self, grace: Duration) -> Result<Exit, EngineError> {
        self.feed.keep_during(self.held.stop(grace)).await?;
        Ok(self.feed.finish().await)
    }

    /// As [`Engine::stop`], but a new container stays until then, so that what the engine wrote when it was asked to stop
    /// can still be read. Dropping the engine removes it too.
    ///
    /// # Errors
    /// [`EngineError::StillAlive`] if killed processes do not end.
    pub async fn end(&mut self, grace: Duration) -> Result<Exit, EngineError> {
        self.feed.keep_during(self.held.end(grace)).await?;
        Ok(self.feed.finish().await)
    }
}
