//! The program that a recording accompanies.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus};

use super::signals::Caught;
use crate::program::on_path;

/// A program that runs, with this program's own standard streams.
pub(super) struct Accompanied {
    child: Child,
}

/// What a shell answers for a program that is not there, and for one that cannot be run.
pub(super) const NOT_FOUND: u8 = 127;
pub(super) const NOT_RUNNABLE: u8 = 126;

impl Accompanied {
    /// Whether the program is there to be started.
    pub(super) fn is_there(command: &[OsString]) -> bool {
        command.first().is_none_or(|program| on_path(program).is_some())
    }

    /// Starts it.
    pub(super) fn start(command: &[OsString]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("there is no command"))?;
        Ok(Self { child: Command::new(program).args(arguments).spawn()? })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit code, once it has ended.
    pub(super) fn ended(&mut self) -> io::Result<Option<u8>> {
        Ok(self.child.try_wait()?.map(code))
    }

    /// Hands a signal on. One from the terminal has reached it already.
    #[cfg(unix)]
    pub(super) fn forward(&self, caught: Caught) {
        use rustix::process::{Pid, Signal, kill_process};
        if caught.from_terminal {
            return;
        }
        if let (Some(pid), Some(signal)) =
            (i32::try_from(self.child.id()).ok().and_then(Pid::from_raw), Signal::from_named_raw(caught.number))
        {
            // It has not been waited for, so the id is still its own; if it has ended, nothing is left to do.
            let _ = kill_process(pid, signal);
        }
    }

    #[cfg(not(unix))]
    pub(super) fn forward(&self, _: Caught) {}
}

/// The code as a shell states it: 128 and the signal for a program that one ended.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The code for a program that could not be started.
pub(super) fn failed_to_start(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE }
}
