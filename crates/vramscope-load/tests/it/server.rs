//! A server on the loopback interface whose every answer a test scripts.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// One part of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// These bytes, as they are.
    Send(Vec<u8>),
    /// The connection closes.
    Close,
    /// Nothing more comes, and the connection stays open until the client closes it.
    Hang,
    /// The server's port closes.
    Stop,
}

/// What a client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What the server saw besides.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) asked: Vec<Asked>,
    pub(crate) now: usize,
    pub(crate) most_at_once: usize,
}

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Seen>>,
    /// A message for each connection that the client closed while an answer hung.
    pub(crate) closed: mpsc::UnboundedReceiver<()>,
    /// A message for each answer that hangs now.
    pub(crate) hanging: mpsc::UnboundedReceiver<()>,
}

type Script = dyn Fn(&Asked, usize) -> Vec<Step> + Send + Sync;

#[derive(Clone)]
struct Shared {
    script: Arc<Script>,
    seen: Arc<Mutex<Seen>>,
    closed: mpsc::UnboundedSender<()>,
    hanging: mpsc::UnboundedSender<()>,
    stop: Arc<tokio::sync::Notify>,
}

impl Server {
    /// Answers each request with what the script gives for it and its number, from 0.
    pub(crate) async fn start(script: impl Fn(&Asked, usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let ((closed_in, closed), (hanging_in, hanging)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let stop = Arc::new(tokio::sync::Notify::new());
        let shared =
            Shared { script: Arc::new(script), seen: seen.clone(), closed: closed_in, hanging: hanging_in, stop };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => { tokio::spawn(serve(accepted.unwrap().0, shared.clone())); }
                    () = shared.stop.notified() => return,
                }
            }
        });
        Self { url, seen, closed, hanging }
    }

    /// The requests for completions that asked for more than one token, which the probe does not.
    pub(crate) fn bodies(&self) -> Vec<serde_json::Value> {
        let seen = self.seen.lock().unwrap();
        let bodies = seen.asked.iter().filter(|asked| asked.path == "/v1/completions");
        bodies.map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
    }
}

async fn serve(mut stream: TcpStream, shared: Shared) {
    let mut buffer = Vec::new();
    while let Some(asked) = read(&mut stream, &mut buffer).await {
        let number = {
            let mut seen = shared.seen.lock().unwrap();
            seen.now += 1;
            seen.most_at_once = seen.most_at_once.max(seen.now);
            seen.asked.push(asked.clone());
            seen.asked.len() - 1
        };
        // So that requests that are in flight together are also seen together.
        tokio::task::yield_now().await;
        let steps = (shared.script)(&asked, number);
        let (last, first) = steps.split_last().map_or((None, &[][..]), |(last, first)| (Some(last), first));
        for step in first {
            if !act(step, &mut stream, &shared).await {
                return;
            }
        }
        // The client may send its next request as soon as the last bytes are there.
        shared.seen.lock().unwrap().now -= 1;
        if let Some(last) = last
            && !act(last, &mut stream, &shared).await
        {
            return;
        }
    }
}

async fn act(step: &Step, stream: &mut TcpStream, shared: &Shared) -> bool {
    match step {
        Step::Send(bytes) => {
            tokio::task::yield_now().await;
            stream.write_all(bytes).await.is_ok()
        }
        Step::Close => false,
        Step::Stop => {
            shared.stop.notify_one();
            true
        }
        Step::Hang => {
            let _ = shared.hanging.send(());
            if matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_)) {
                let _ = shared.closed.send(());
            }
            false
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let rest = buffer.split_off(end + 4 + length);
                let body = String::from_utf8(buffer.split_off(end + 4)).unwrap();
                *buffer = rest;
                let path = head.split(' ').nth(1).unwrap().to_owned();
                return Some(Asked { path, head, body });
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A whole answer.
pub(crate) fn answer(status: u16, kind: &str, body: &str) -> Vec<Step> {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    vec![Step::Send([head.as_bytes(), body.as_bytes()].concat())]
}

/// The head of a stream of events.
pub(crate) fn stream_head() -> Step {
    Step::Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// Bytes of a stream, as one chunk of the transfer.
pub(crate) fn piece(text: &str) -> Step {
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// The end of a stream.
pub(crate) fn stream_end() -> Step {
    Step::Send(b"0\r\n\r\n".to_vec())
}

pub(crate) const TOKEN: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":null}]}\n\n";

/// The chunk that counts.
pub(crate) fn usage(input: usize, output: u64) -> String {
    let total = input as u64 + output;
    format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{input},\"total_tokens\":{total},\"completion_tokens\":{output}}}}}\n\n"
    )
}

/// What an engine answers to a request for completions: a chunk a token, each in its own piece.
pub(crate) fn completion(asked: &Asked) -> Vec<Step> {
    let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
    let output = body["max_tokens"].as_u64().unwrap();
    let input = body["prompt"].as_array().map_or(3, Vec::len);
    let mut steps = vec![stream_head()];
    steps.extend((0..output).map(|_| piece(TOKEN)));
    steps.push(piece(&usage(input, output)));
    steps.push(piece("data: [DONE]\n\n"));
    steps.push(stream_end());
    steps
}
