//! A connection, with what was read of its next request and what is left to be written.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};

use crate::flight::Flight;
use crate::realtime::now_ns;

/// A request's head and body may not be larger: the longest prompts of tests are far below.
const MAX_REQUEST: usize = 64 << 20;
/// So many headers a request may have.
const MAX_HEADERS: usize = 64;

/// A whole request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
    unwritten: Vec<u8>,
    /// When the last that was read had come.
    pub(crate) came_ns: u64,
    pub(crate) flight: Option<Flight>,
    /// Grows with each answer, so that what was planned for an earlier one is told from what is for this one.
    pub(crate) generation: u64,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        setsockopt(&stream, ReceiveTimestampns, &true)?;
        Ok(Self { stream, read: Vec::new(), unwritten: Vec::new(), came_ns: 0, flight: None, generation: 0 })
    }

    /// Reads what is there; `false` when the client has gone.
    pub(crate) fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
        loop {
            let mut parts = [io::IoSliceMut::new(&mut buffer)];
            let read = recvmsg::<()>(self.stream.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
            let (length, came) = match read {
                Ok(read) => (read.bytes, read.cmsgs().ok().and_then(|mut messages| messages.next())),
                Err(error) => return error == nix::errno::Errno::EAGAIN,
            };
            // When the packet came, and not when this thread came to read it.
            let age = match came {
                Some(ControlMessageOwned::ScmTimestampns(at)) => wall().saturating_sub(Duration::from(at)),
                _ => Duration::ZERO,
            };
            self.came_ns = now_ns().saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(0));
            self.read.extend_from_slice(&buffer[..length]);
            if length == 0 || self.read.len() > MAX_REQUEST {
                return false;
            }
            if length < buffer.len() {
                return true;
            }
        }
    }

    /// The next request, if all of it is there.
    ///
    /// # Errors
    /// What came is no HTTP.
    pub(crate) fn next(&mut self) -> Result<Option<Request>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(&self.read)? else { return Ok(None) };
        let header = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let body: usize = header("content-length").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let whole = length.saturating_add(body);
        if self.read.len() < whole {
            return Ok(None);
        }
        let request = Request {
            method: head.method.unwrap_or_default().to_owned(),
            path: head.path.unwrap_or_default().to_owned(),
            authorization: header("authorization").map(str::to_owned),
            body: self.read[length..whole].to_vec(),
        };
        self.read.drain(..whole);
        Ok(Some(request))
    }

    /// Writes as much as the client takes now and keeps the rest; `false` when it has gone.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.unwritten.extend_from_slice(bytes);
        self.flush()
    }

    /// Whether something is left to be written.
    pub(crate) fn is_behind(&self) -> bool {
        !self.unwritten.is_empty()
    }

    pub(crate) fn flush(&mut self) -> bool {
        let mut written = 0;
        let alive = loop {
            match self.stream.write(&self.unwritten[written..]) {
                _ if written == self.unwritten.len() => break true,
                Ok(0) => break false,
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break false,
            }
            if written == self.unwritten.len() {
                break true;
            }
        };
        self.unwritten.drain(..written);
        alive
    }
}

/// Now, by the clock that notes when packets come.
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
