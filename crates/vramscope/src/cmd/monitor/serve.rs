//! Answers Prometheus: one request a connection, each bounded in size and time, and so many beside each other. Who
//! connects and says nothing makes way for who comes next.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::metrics;
use super::watch::Watch;

/// A longer head of a request is refused; Prometheus' own is some 300 bytes.
const MOST_HEAD: usize = 8 << 10;
/// More lines of it are refused.
const MOST_HEADERS: usize = 64;
/// A client has this long to ask, and as long to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many are heard at once. A scraper needs milliseconds; of more, the one that has waited longest is sent away.
const MOST_CLIENTS: usize = 64;

/// Where to listen: on this machine alone, unless another address is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address(SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected an address and a port, as 127.0.0.1:9400, or a port alone".to_owned();
        let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
        if let Ok(port) = port.parse() {
            return Ok(Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        text.parse().map(Self).map_err(|_| expected())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Address {
    /// Whether only this machine can reach it.
    pub(super) fn is_local(self) -> bool {
        self.0.ip().is_loopback()
    }
}

/// A listener that answers nobody yet.
pub(super) struct Server {
    listener: TcpListener,
}

impl Server {
    /// Takes the address.
    pub(super) fn bind(address: Address) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address.0)? })
    }

    /// Where it listens: the system chooses a port for port 0.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers from now on, until the program ends.
    pub(super) fn start(self, watch: Arc<Mutex<Watch>>) -> io::Result<()> {
        let clients = Arc::new(Mutex::new(VecDeque::new()));
        let serve = move || {
            for (number, stream) in self.listener.incoming().enumerate() {
                match stream {
                    // A client that breaks off is no concern of the recording.
                    Ok(stream) => drop(hear(stream, number, &watch, &clients)),
                    // Too many open files, for example: it passes.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        };
        std::thread::Builder::new().name("vs-metrics".into()).spawn(serve)?;
        Ok(())
    }
}

/// The clients that are heard, the first to come first.
type Clients = Mutex<VecDeque<(usize, TcpStream)>>;

/// Hears a client on a thread of its own.
fn hear(stream: TcpStream, number: usize, watch: &Arc<Mutex<Watch>>, clients: &Arc<Clients>) -> io::Result<()> {
    let entry = (number, stream.try_clone()?);
    let oldest = {
        let mut heard = clients.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push_back(entry);
        if heard.len() > MOST_CLIENTS { heard.pop_front() } else { None }
    };
    if let Some((_, oldest)) = oldest {
        // Its thread waits for it and ends by this.
        let _ = oldest.shutdown(Shutdown::Both);
    }
    let (watch, heard) = (Arc::clone(watch), Arc::clone(clients));
    let work = move || {
        let _ = answer(stream, &watch);
        heard.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != number);
    };
    let started = std::thread::Builder::new().name("vs-scrape".into()).stack_size(256 << 10).spawn(work);
    if started.is_err() {
        clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != number);
    }
    started.map(drop)
}

fn answer(mut stream: TcpStream, watch: &Mutex<Watch>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let asked = asked(&mut stream, deadline)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (status, kind, body) = match asked {
        Asked::Metrics { .. } => {
            let moment = watch.lock().unwrap_or_else(PoisonError::into_inner).look();
            ("200 OK", metrics::CONTENT_TYPE, metrics::text(&moment))
        }
        Asked::Refused(status) => (status, "text/plain; charset=utf-8", format!("{status}: see /metrics\n")),
    };
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if !matches!(asked, Asked::Metrics { head: true }) {
        stream.write_all(body.as_bytes())?;
    }
    stream.flush()?;
    match asked {
        Asked::Metrics { .. } => Ok(()),
        Asked::Refused(_) => hear_out(&mut stream),
    }
}

/// Lets a client that was refused say what it still has to say, for a moment: closing at once would take back the
/// answer.
fn hear_out(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut rest = [0; MOST_HEAD];
    for _ in 0..8 {
        if stream.read(&mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The metrics, or their head alone.
    Metrics { head: bool },
    /// Something that is not there, or not a request.
    Refused(&'static str),
}

/// Reads a request's head.
fn asked(stream: &mut TcpStream, deadline: Instant) -> io::Result<Asked> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&piece[..read]);
        if let Some(asked) = understand(&head) {
            return Ok(asked);
        }
        if head.len() >= MOST_HEAD {
            return Ok(Asked::Refused("431 Request Header Fields Too Large"));
        }
    }
}

/// What the head says, or `None` while it is not complete.
fn understand(head: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(Asked::Refused("431 Request Header Fields Too Large")),
        Err(_) => return Some(Asked::Refused("400 Bad Request")),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some(match (request.method, path) {
        (Some("GET"), "/metrics") => Asked::Metrics { head: false },
        (Some("HEAD"), "/metrics") => Asked::Metrics { head: true },
        (_, "/metrics") => Asked::Refused("405 Method Not Allowed"),
        _ => Asked::Refused("404 Not Found"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_this_machines() {
        for text in ["9400", ":9400", "localhost:9400", "127.0.0.1:9400"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), "127.0.0.1:9400", "{text}");
        }
        assert!("[::1]:80".parse::<Address>().unwrap().is_local());
        assert!(!"0.0.0.0:80".parse::<Address>().unwrap().is_local());
        for wrong in ["", "example.org:80", "127.0.0.1", "70000"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn requests_are_told_apart() {
        let said = |text: &str| understand(text.as_bytes());
        assert_eq!(said("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), Some(Asked::Metrics { head: false }));
        assert_eq!(said("HEAD /metrics?a=b HTTP/1.0\r\n\r\n"), Some(Asked::Metrics { head: true }));
        assert_eq!(said("GET /metrics HTTP/1.1\r\nHost: x\r\n"), None);
        assert_eq!(said("GET / HTTP/1.1\r\n\r\n"), Some(Asked::Refused("404 Not Found")));
        assert_eq!(said("POST /metrics HTTP/1.1\r\n\r\n"), Some(Asked::Refused("405 Method Not Allowed")));
        assert_eq!(said("\u{1}\u{2}\r\n\r\n"), Some(Asked::Refused("400 Bad Request")));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(said(&many), Some(Asked::Refused("431 Request Header Fields Too Large")));
    }
}
