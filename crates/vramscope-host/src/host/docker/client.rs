//! The connection to the Docker Engine, and what its refusals mean.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::{Stream, StreamExt as _};

use crate::engine::{EngineEvent, LogStream};
use crate::error::EngineError;
use crate::feed::Source;
use crate::lines::{LineCutter, now_unix_ns};

/// How long the daemon may take to answer. To create a container of an image of tens of gigabytes takes seconds.
const PATIENCE_S: u64 = 120;

/// What a container or a command in it prints.
pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// Connects to the daemon's socket.
pub(super) fn connect(socket: &Path) -> Result<Docker, EngineError> {
    let path = socket.to_str().ok_or_else(|| EngineError::NoDocker { socket: socket.to_owned() })?;
    Docker::connect_with_unix(path, PATIENCE_S, bollard::API_DEFAULT_VERSION)
        .map_err(|error| refused(socket, "connect", error))
}

/// How long the daemon may take to say that it is there. One that is busy with an image answers this all the same.
const HELLO: Duration = Duration::from_secs(15);

/// Connects to the daemon and waits until it says that it is there: one that hangs is not waited for with the patience
/// that its work needs.
pub(super) async fn reach(socket: &Path) -> Result<Docker, EngineError> {
    let docker = connect(socket)?;
    match tokio::time::timeout(HELLO, docker.ping()).await {
        Ok(answer) => answer.map(|_| docker).map_err(|error| refused(socket, "ask whether it is there", error)),
        Err(_) => {
            let source = format!("no answer within {} s", HELLO.as_secs()).into();
            Err(EngineError::DockerDown { what: "ask whether it is there", socket: socket.to_owned(), source })
        }
    }
}

/// What an error of the daemon means, where the thing that was asked for is none of the reasons.
pub(super) fn refused(socket: &Path, what: &'static str, error: Error) -> EngineError {
    let socket = socket.to_owned();
    match error {
        Error::SocketNotFoundError(_) => EngineError::NoDocker { socket },
        Error::DockerResponseServerError { status_code, message } => {
            EngineError::DockerRefused { what, status: status_code, message: vramscope_core::redact(&message) }
        }
        error => match io_kind(&error) {
            Some(io::ErrorKind::PermissionDenied) => EngineError::DockerDenied { socket },
            Some(io::ErrorKind::NotFound) => EngineError::NoDocker { socket },
            _ => EngineError::DockerDown { what, socket, source: Box::new(error) },
        },
    }
}

/// Whether the daemon knows no such thing.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Whether the daemon says that it is so already, or that it is under way.
pub(super) fn is_settled(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 304 | 404 | 409, .. })
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

/// Passes on what is printed, line by line.
pub(super) struct Lines {
    output: Output,
    stdout: LineCutter,
    stderr: LineCutter,
    /// Whether every piece begins with its time, as `docker logs --timestamps` gives it.
    timed: bool,
}

impl Lines {
    pub(super) fn new(output: Output, timed: bool) -> Self {
        Self { output, stdout: LineCutter::new(LogStream::Stdout), stderr: LineCutter::new(LogStream::Stderr), timed }
    }

    /// Passes on the next piece. `None` when there is no more; an error is the daemon's.
    pub(super) async fn pass_on(&mut self, source: &Source) -> Option<Result<(), Error>> {
        let piece = match self.output.next().await? {
            Ok(piece) => piece,
            Err(error) => return Some(Err(error)),
        };
        let cutter = if matches!(piece, LogOutput::StdErr { .. }) { &mut self.stderr } else { &mut self.stdout };
        let bytes = piece.into_bytes();
        let (at_unix_ns, text) = if self.timed { split_time(&bytes) } else { (now_unix_ns(), &bytes[..]) };
        let mut lines = Vec::new();
        cutter.push(text, at_unix_ns, &mut |line| {
            lines.push(line);
            true
        });
        for line in lines {
            // When nobody listens any more, the engine is being ended.
            let _ = source.events.send(EngineEvent::Line(line)).await;
        }
        Some(Ok(()))
    }

    /// Passes on the lines that were begun and will not be ended.
    pub(super) async fn finish(mut self, source: &Source) {
        for line in [self.stdout.finish(now_unix_ns()), self.stderr.finish(now_unix_ns())].into_iter().flatten() {
            // As above.
            let _ = source.events.send(EngineEvent::Line(line)).await;
        }
    }
}

/// Takes `2026-11-25T18:00:00.123456789Z ` from the front. Without it, the time is now.
fn split_time(bytes: &[u8]) -> (i64, &[u8]) {
    let parsed = || {
        let end = bytes.iter().take(40).position(|byte| *byte == b' ')?;
        let time: jiff::Timestamp = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
        Some((i64::try_from(time.as_nanosecond()).ok()?, &bytes[end + 1..]))
    };
    parsed().unwrap_or_else(|| (now_unix_ns(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_log_line_is_taken_off_and_kept() {
        let (at, text) = split_time(b"2026-11-25T18:00:00.123456789Z INFO ready\n");
        assert_eq!((at, text), (1_795_629_600_123_456_789, &b"INFO ready\n"[..]));
        assert_eq!(split_time(b"no time here").1, b"no time here");
    }
}
