//! Docker's API on its local socket: two questions, each a second at most.

use std::path::{Path, PathBuf};

use vramscope_host::EngineError;

/// What became of asking Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its JSON.
    Json(serde_json::Value),
    /// There is no socket.
    Absent,
    /// `DOCKER_HOST` names one that is not asked; why.
    Far(String),
    /// This user may not use it, or it does not answer; why.
    Refused(String),
}

/// The name of a container.
pub(crate) fn container_name(root: &Path, id: &str) -> Option<String> {
    match ask(root, &format!("/containers/{id}/json")) {
        Answer::Json(container) => container["Name"].as_str().map(|name| name.trim_start_matches('/').to_owned()),
        Answer::Absent | Answer::Far(_) | Answer::Refused(_) => None,
    }
}

/// Where the daemon listens: as `DOCKER_HOST` says.
pub(crate) fn socket() -> Result<PathBuf, EngineError> {
    vramscope_host::docker_socket(std::env::var_os("DOCKER_HOST").as_deref())
}

/// The host's file, where the host's files are under `root`.
fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Asks for a document.
#[cfg(unix)]
pub(crate) fn ask(root: &Path, path: &str) -> Answer {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// No answer to these questions is longer.
    const MAX: u64 = 4 << 20;
    let socket = match socket() {
        Ok(socket) => under(root, &socket),
        Err(error) => return Answer::Far(error.to_string()),
    };
    let patience = Some(Duration::from_secs(1));
    let talk = || -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&socket)?;
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(patience)?;
        // HTTP 1.0: the answer ends with the connection and comes in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = match talk() {
        Ok(answer) => answer,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => return Answer::Absent,
        Err(error) => return Answer::Refused(error.to_string()),
    };
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    if !head.lines().next().is_some_and(|status| status.contains(" 200")) {
        return Answer::Refused(head.lines().next().unwrap_or("no answer").to_owned());
    }
    match serde_json::from_str(body) {
        Ok(json) => Answer::Json(json),
        Err(error) => Answer::Refused(error.to_string()),
    }
}

/// Docker's socket is a Unix one; elsewhere nobody is asked.
#[cfg(not(unix))]
pub(crate) fn ask(_: &Path, _: &str) -> Answer {
    Answer::Absent
}
