//! The client of one server.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use vramscope_core::without_controls;

use crate::address::{Address, Place};
use crate::chunk;
use crate::error::LoadError;
use crate::http::{Arrived, Connection, Head, NoHttp, Pool, Reader, Unsent};
use crate::trust::{Transport, Trust};

/// An answer to a question about the server (not a completion) comes within this time or not at all.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
/// The list of models of a server with very many adapters is about this large.
pub(crate) const MAX_JSON: usize = 4 << 20;
/// A completion that is not streamed has all its tokens and what was asked of each.
const MAX_REPLY: usize = 16 << 20;
/// As much as a person wants to read of a server's complaint.
const MAX_MESSAGE: usize = 400;
/// More headers than this are no header for a gateway any more.
const MAX_HEADERS: usize = 64;
/// A shorter value of a header would be masked in words that have nothing to do with it.
const LEAST_SECRET: usize = 4;
/// What this client calls itself.
const USER_AGENT: &str = concat!("vramscope/", env!("CARGO_PKG_VERSION"));

/// A client of one OpenAI-compatible engine. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    timeout: Duration,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    address: Address,
    transport: Transport,
    /// Lines of the head that each request has, one after the other.
    headers: String,
    /// What no message may repeat.
    secrets: Vec<String>,
}

impl fmt::Debug for Client {
    /// Without the API key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.shared.address.shown).finish_non_exhaustive()
    }
}

/// A model that the server serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ServedModel {
    /// The name to ask for.
    pub id: String,
    /// The longest context, in tokens, if the server tells.
    pub max_model_len: Option<u64>,
    /// The folder or Hugging Face id that was loaded, if the server tells.
    pub root: Option<String>,
}

/// Whatever a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// What happens to a request.
pub(crate) enum Part<'a> {
    /// It is about to be written, on a connection that stands. It may happen again: a connection that the server closed
    /// while it waited is told from others only by what is written to it.
    Sending(Instant),
    /// A part of the answer's body came.
    Body(&'a Head, &'a [u8], Arrived),
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    html: bool,
    /// What the server calls itself in the head.
    pub(crate) server: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// A client of the server at `base_url` (`http://HOST:PORT`, with or without `/v1`), trusting whom the system trusts.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`LoadError::Address`] and [`LoadError::ApiKey`]; neither repeats its input.
    pub fn new(base_url: &str, api_key: Option<String>) -> Result<Self, LoadError> {
        Self::trusting(base_url, api_key, &Trust::System)
    }

    /// A client of the server at `base_url`: `http://HOST:PORT`, `https://HOST:PORT` where this crate has its feature `tls`,
    /// or `unix:/path/to.sock`. Whom it trusts matters for `https` alone.
    ///
    /// # Errors
    /// As [`Self::new`], and [`LoadError::Trust`].
    pub fn trusting(base_url: &str, api_key: Option<String>, trust: &Trust) -> Result<Self, LoadError> {
        let address = Address::parse(base_url)?;
        let api_key = api_key.filter(|key| !key.is_empty());
        let headers = format!("host: {}\r\nuser-agent: {USER_AGENT}\r\naccept: */*\r\n", address.authority);
        let pool = Pool::new(address.place.clone());
        #[cfg(feature = "tls")]
        let pool = match &address.place {
            Place::Tcp { host, .. } if address.is_tls => pool.by_tls(crate::http::Settings::new(host, trust)?),
            _ => pool,
        };
        let transport = match &address.place {
            Place::Unix(_) => Transport::Unix,
            Place::Tcp { .. } if address.is_tls => Transport::Tls { verified: *trust != Trust::Anybody },
            Place::Tcp { .. } => Transport::Tcp,
        };
        let pool = Arc::new(pool);
        let shared = Arc::new(Shared { address, transport, headers, secrets: Vec::new() });
        let client = Self { pool, timeout: CONTROL_TIMEOUT, shared };
        match api_key {
            None => Ok(client),
            Some(key) => client.with_secret("authorization", &format!("Bearer {key}"), key).ok_or(LoadError::ApiKey),
        }
    }

    /// The server as host and port, or as `unix:/path/to.sock`.
    pub fn server(&self) -> &str {
        &self.shared.address.shown
    }

    /// By what it is reached.
    pub fn transport(&self) -> Transport {
        self.shared.transport
    }

    /// Sends a header with every request. Its value is repeated in no message.
    ///
    /// # Errors
    /// [`LoadError::Header`] for a name or value that HTTP cannot carry, one that this client sets itself, or too many.
    pub fn with_header(self, name: &str, value: &str) -> Result<Self, LoadError> {
        const OWN: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];
        let wrong = |problem| LoadError::Header { name: without_controls(name).into_owned(), problem };
        if OWN.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(wrong("the client sets it itself"));
        }
        if self.shared.headers.lines().count() >= MAX_HEADERS {
            return Err(wrong("there are too many headers"));
        }
        self.with_secret(name, value, value.to_owned())
            .ok_or_else(|| wrong("its name or value holds characters that HTTP cannot carry"))
    }

    fn with_secret(self, name: &str, value: &str, secret: String) -> Option<Self> {
        let (name, value) = (HeaderName::try_from(name).ok()?, HeaderValue::from_str(value).ok()?);
        let mut shared = Shared::clone(&self.shared);
        shared.headers.push_str(&format!("{name}: {}\r\n", value.to_str().ok()?));
        shared.secrets.extend((secret.len() >= LEAST_SECRET).then_some(secret));
        Some(Self { shared: Arc::new(shared), ..self })
    }

    /// The same client with connections of its own: those of one runtime do not serve in another.
    pub(crate) fn apart(&self) -> Self {
        Self { pool: Arc::new(self.pool.apart()), ..self.clone() }
    }

    /// Opens so many connections for the requests to come, all at once, as far as the server takes them.
    pub(crate) async fn open(&self, count: usize) -> Result<(), Unsent> {
        let mut opening = tokio::task::JoinSet::new();
        for _ in self.pool.idle()..count {
            let pool = self.pool.clone();
            opening.spawn(async move { pool.open().await.map(|connection| pool.keep(connection)) });
        }
        while let Some(opened) = opening.join_next().await {
            opened.map_err(|panic| Unsent::Cut(std::io::Error::other(panic)))??;
        }
        Ok(())
    }

    /// Waits no longer than this for an answer that is not a completion (10 s if never called).
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks whether the engine is ready.
    ///
    /// # Errors
    /// [`LoadError::Refused`] while nothing listens, [`LoadError::NotReady`] for 503 and other 5xx,
    /// [`LoadError::OtherServer`] if something answers that is no engine, [`LoadError::TimedOut`].
    pub async fn health(&self) -> Result<(), LoadError> {
        const PATH: &str = "/health";
        self.get(PATH, MAX_JSON).await?.expect_engine(self, PATH).map(drop)
    }

    /// Whether a server that serves requests is there: its health, or where it has no such path, its list of models,
    /// which every engine with this API has.
    ///
    /// # Errors
    /// As [`Self::health`]; [`LoadError::is_of_another`] tells whether to ask again is of use.
    pub async fn ready(&self) -> Result<(), LoadError> {
        match self.health().await {
            Err(other @ LoadError::OtherServer { .. }) => self.models().await.map(drop).map_err(|_| other),
            health => health,
        }
    }

    /// The models that the server serves.
    ///
    /// # Errors
    /// Any of [`LoadError`] but the plan's; a wrong API key is [`LoadError::Status`] with 401 or 403.
    pub async fn models(&self) -> Result<Vec<ServedModel>, LoadError> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<ServedModel>,
        }
        let list: List = self.json("/v1/models").await?;
        Ok(list.data)
    }

    /// The engine's version, or `None` if the server does not tell.
    ///
    /// # Errors
    /// As [`Self::models`].
    pub async fn version(&self) -> Result<Option<String>, LoadError> {
        #[derive(Deserialize)]
        struct Version {
            version: Option<String>,
        }
        match self.json("/version").await {
            Ok(Version { version }) => Ok(version),
            Err(LoadError::OtherServer { .. } | LoadError::Status { status: 404 | 405, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn json<T: DeserializeOwned>(&self, path: &'static str) -> Result<T, LoadError> {
        let body = self.get(path, MAX_JSON).await?.expect_engine(self, path)?;
        serde_json::from_slice(&body).map_err(|source| LoadError::Json { path, source })
    }

    /// The text that a path of the engine answers, if it is at most `limit` bytes.
    pub(crate) async fn text(&self, path: &'static str, limit: usize) -> Result<String, LoadError> {
        let body = self.get(path, limit).await?.expect_engine(self, path)?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Posts JSON, or nothing where the body is empty, and gives whatever is answered within the time that
    /// [`Self::with_timeout`] sets.
    ///
    /// # Errors
    /// [`LoadError::Refused`], [`LoadError::Cut`], [`LoadError::TimedOut`], [`LoadError::TooLarge`]; none for a status.
    pub async fn post(&self, path: &'static str, body: Vec<u8>) -> Result<Reply, LoadError> {
        let answer = self.ask("POST", path, &body, MAX_REPLY).await?;
        Ok(Reply { status: answer.status, body: answer.body })
    }

    pub(crate) async fn get(&self, path: &'static str, limit: usize) -> Result<Answer, LoadError> {
        self.ask("GET", path, &[], limit).await
    }

    async fn ask(
        &self,
        method: &'static str,
        path: &'static str,
        body: &[u8],
        limit: usize,
    ) -> Result<Answer, LoadError> {
        let request = self.request(method, path, body);
        let (mut whole, mut html, mut too_large) = (Vec::new(), false, false);
        let mut take = |part: Part<'_>| {
            if let Part::Body(head, part, _) = part {
                html = head.content_type.as_ref().is_some_and(|kind| kind.starts_with("text/html"));
                too_large = whole.len() + part.len() > limit;
                if too_large {
                    return ControlFlow::Break(());
                }
                whole.extend_from_slice(part);
            }
            ControlFlow::Continue(())
        };
        let asked = self.exchange(request, &mut take);
        let late = |_| LoadError::TimedOut { path, after: self.timeout };
        let head = tokio::time::timeout(self.timeout, asked).await.map_err(late)?.map_err(|unsent| match unsent {
            Unsent::Refused(source) => LoadError::Refused { address: self.server().to_owned(), source: source.into() },
            Unsent::Tls(problem) => LoadError::Tls { address: self.server().to_owned(), problem },
            Unsent::Slow => LoadError::TimedOut { path, after: self.timeout },
            Unsent::OwnLimit(source) => LoadError::OwnLimit { source },
            Unsent::Cut(source) => LoadError::Cut { path, source: source.into() },
        })?;
        if too_large {
            return Err(LoadError::TooLarge { path, limit_bytes: limit });
        }
        Ok(Answer { status: head.status, html, server: head.server, body: whole })
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let Shared { address, headers, .. } = &*self.shared;
        let mut request = format!("{method} {} HTTP/1.1\r\n{headers}", address.of(path)).into_bytes();
        if !body.is_empty() {
            request.extend_from_slice(b"content-type: application/json\r\n");
        }
        if method != "GET" {
            request.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        request
    }

    /// Sends a request and follows its answer to the end, or until `take` has enough.
    pub(crate) async fn exchange(
        &self,
        mut request: Vec<u8>,
        take: &mut impl FnMut(Part<'_>) -> ControlFlow<()>,
    ) -> Result<Head, Unsent> {
        let mut connection = self.pool.get().await?;
        loop {
            let mut reader = Reader::default();
            let _ = take(Part::Sending(Instant::now()));
            let followed = match connection.send(&request).await {
                Ok(()) => follow(&mut connection, &mut request, &mut reader, take).await,
                Err(error) => Err(error),
            };
            match followed {
                // The server had closed it while it waited, as it may.
                Err(_) if connection.used && reader.is_untouched() => connection = self.pool.open().await?,
                Err(error) => return Err(Unsent::Cut(error)),
                Ok(()) => {
                    let keeps = reader.keeps_connection();
                    let head =
                        reader.into_head().ok_or_else(|| Unsent::Cut(std::io::ErrorKind::UnexpectedEof.into()))?;
                    if keeps {
                        self.pool.keep(connection);
                    }
                    return Ok(head);
                }
            }
        }
    }

    /// What a server said, fit for a message: the API key masked, on one line, cut short.
    pub(crate) fn quote(&self, text: &str) -> String {
        let secrets = &self.shared.secrets;
        let masked = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"));
        let line = without_controls(&masked).split_whitespace().collect::<Vec<_>>().join(" ");
        let mut quoted: String = line.chars().take(MAX_MESSAGE).collect();
        if quoted.len() < line.len() {
            quoted.push('…');
        }
        quoted
    }
}

impl Answer {
    /// The body, if an engine gave it.
    pub(crate) fn expect_engine(self, client: &Client, path: &'static str) -> Result<Vec<u8>, LoadError> {
        match self.status {
            200..=299 if self.html => {
                Err(LoadError::OtherServer { path, problem: "a server that shows web pages answers there".into() })
            }
            200..=299 => Ok(self.body),
            404 | 405 => Err(LoadError::OtherServer { path, problem: format!("the server answers {}", self.status) }),
            500..=599 => Err(LoadError::NotReady { path, status: self.status }),
            status => {
                let message = client.quote(&chunk::error_message(&self.body));
                Err(LoadError::Status { path, status, message })
            }
        }
    }
}

/// Reads an answer to its end. What was sent is forgotten when the answer begins: it will not be sent again.
async fn follow(
    connection: &mut Connection,
    request: &mut Vec<u8>,
    reader: &mut Reader,
    take: &mut impl FnMut(Part<'_>) -> ControlFlow<()>,
) -> std::io::Result<()> {
    let early = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it ended before the answer did");
    while !reader.is_whole() {
        let mut flow = ControlFlow::Continue(());
        let mut push = |bytes: &[u8], at: Arrived| {
            reader.push(bytes, &mut |head, part| {
                if flow.is_continue() {
                    flow = take(Part::Body(head, part, at));
                }
            })
        };
        match connection.read(&mut push).await? {
            None if reader.ends_with_connection() => return Ok(()),
            None => return Err(early()),
            Some(Err(NoHttp(what))) => return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what)),
            Some(Ok(())) if flow.is_break() => return Ok(()),
            Some(Ok(())) => {
                if !request.is_empty() {
                    *request = Vec::new();
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_api_key_is_in_no_text() {
        let client = Client::new("http://h:1", Some("sk-hunter2".into())).unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
        assert_eq!(client.quote("bad key\n sk-hunter2\u{1b}[1m!"), "bad key ***[1m!");
        let client = client.with_header("X-Gateway", "hunter3-key").unwrap();
        assert_eq!(client.quote("hunter3-key or sk-hunter2"), "*** or ***");
        let bad = [("host", "h"), ("a b", "hunter2"), ("x", "hunter2\r\ny: z")];
        for (name, value) in bad {
            let error = client.clone().with_header(name, value).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let error = Client::new("http://h:1", Some("hunter2\n".into())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_long_complaint_is_cut() {
        let client = Client::new("http://h:1", None).unwrap();
        assert_eq!(client.quote(&"é".repeat(5000)).chars().count(), MAX_MESSAGE + 1);
    }
}
