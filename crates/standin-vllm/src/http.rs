//! As much of HTTP/1.1 as a served engine needs here.

use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request's head and body may not be larger: the longest prompts of tests are far below.
const MAX_REQUEST: usize = 64 << 20;

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A connection, with what was read of the next request.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: Vec::new() }
    }

    /// The next request, or `None` at the end.
    pub(crate) async fn read(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                let header = |name: &str| {
                    head.lines().skip(1).find_map(|line| {
                        let (key, value) = line.split_once(':')?;
                        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
                    })
                };
                let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0usize);
                let whole = (end + 4).saturating_add(length);
                if self.buffer.len() >= whole {
                    let rest = self.buffer.split_off(whole);
                    let body = self.buffer.split_off(end + 4);
                    self.buffer = rest;
                    let mut words = head.split_whitespace().map(str::to_owned);
                    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                    return Ok(Some(Request { method, path, authorization: header("authorization"), body }));
                }
            }
            if self.buffer.len() > MAX_REQUEST || self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    pub(crate) async fn answer(&mut self, status: u16, kind: &str, body: &str) -> io::Result<()> {
        let reason = if status < 400 { "OK" } else { "Error" };
        let head =
            format!("HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        self.stream.write_all(format!("{head}{body}").as_bytes()).await
    }

    pub(crate) async fn begin_stream(&mut self) -> io::Result<()> {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
        self.stream.write_all(head.as_bytes()).await
    }

    pub(crate) async fn event(&mut self, data: &str) -> io::Result<()> {
        let event = format!("data: {data}\n\n");
        self.stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await
    }

    pub(crate) async fn end_stream(&mut self) -> io::Result<()> {
        self.stream.write_all(b"0\r\n\r\n").await
    }
}
