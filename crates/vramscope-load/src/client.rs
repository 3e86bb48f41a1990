//! The client of one server.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use vramscope_core::without_controls;

use crate::address::Address;
use crate::completion;
use crate::error::LoadError;

/// An answer to a question about the server (not a completion) comes within this time or not at all.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection stands within this time or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The list of models of a server with very many adapters is about this large.
const MAX_JSON: usize = 4 << 20;
/// A completion that is not streamed has all its tokens and what was asked of each.
const MAX_REPLY: usize = 16 << 20;
/// As much as a person wants to read of a server's complaint.
const MAX_MESSAGE: usize = 400;

/// A client of one OpenAI-compatible engine. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    timeout: Duration,
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    authorization: Option<HeaderValue>,
    api_key: Option<String>,
}

impl fmt::Debug for Client {
    /// Without the API key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.shared.address.authority).finish_non_exhaustive()
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

/// Why a request got no response head.
pub(crate) enum Unsent {
    Refused(Box<dyn Error + Send + Sync>),
    Cut(Box<dyn Error + Send + Sync>),
}

struct Answer {
    status: u16,
    html: bool,
    body: Vec<u8>,
}

impl Client {
    /// A client of the server at `base_url` (`http://HOST:PORT`, with or without `/v1`). Nothing is sent yet.
    ///
    /// # Errors
    /// [`LoadError::Address`] and [`LoadError::ApiKey`]; neither repeats its input.
    pub fn new(base_url: &str, api_key: Option<String>) -> Result<Self, LoadError> {
        let address = Address::parse(base_url)?;
        let api_key = api_key.filter(|key| !key.is_empty());
        let authorization = api_key.as_ref().map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| LoadError::ApiKey)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let http = HttpClient::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let shared = Arc::new(Shared { address, authorization: authorization.transpose()?, api_key });
        Ok(Self { http, timeout: CONTROL_TIMEOUT, shared })
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
        let answer = self.ask(Method::POST, path, body.into(), MAX_REPLY).await?;
        Ok(Reply { status: answer.status, body: answer.body })
    }

    async fn get(&self, path: &'static str, limit: usize) -> Result<Answer, LoadError> {
        self.ask(Method::GET, path, Bytes::new(), limit).await
    }

    async fn ask(&self, method: Method, path: &'static str, body: Bytes, limit: usize) -> Result<Answer, LoadError> {
        let asked = async {
            let response = self.send(method, path, body).await.map_err(|unsent| match unsent {
                Unsent::Refused(source) => {
                    LoadError::Refused { address: self.shared.address.authority.clone(), source }
                }
                Unsent::Cut(source) => LoadError::Cut { path, source },
            })?;
            let status = response.status().as_u16();
            let html = content_type(&response).is_some_and(|kind| kind.starts_with("text/html"));
            let body = collect(response.into_body(), limit).await;
            let body = body.map_err(|source| LoadError::Cut { path, source: source.into() })?;
            let body = body.ok_or(LoadError::TooLarge { path, limit_bytes: limit })?;
            Ok(Answer { status, html, body })
        };
        let late = |_| LoadError::TimedOut { path, after: self.timeout };
        tokio::time::timeout(self.timeout, asked).await.map_err(late)?
    }

    /// Sends one request; gives the response when its head is there.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, Unsent> {
        let mut request = Request::builder().method(method).uri(self.shared.address.of(path));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(value) = &self.shared.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::new(body)).map_err(|source| Unsent::Cut(source.into()))?;
        self.http.request(request).await.map_err(|source| {
            if source.is_connect() { Unsent::Refused(source.into()) } else { Unsent::Cut(source.into()) }
        })
    }

    /// What a server said, fit for a message: the API key masked, on one line, cut short.
    pub(crate) fn quote(&self, text: &str) -> String {
        let masked = match &self.shared.api_key {
            Some(key) => text.replace(key.as_str(), "***"),
            None => text.to_owned(),
        };
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
    fn expect_engine(self, client: &Client, path: &'static str) -> Result<Vec<u8>, LoadError> {
        match self.status {
            200..=299 if self.html => {
                Err(LoadError::OtherServer { path, problem: "a server that shows web pages answers there".into() })
            }
            200..=299 => Ok(self.body),
            404 | 405 => Err(LoadError::OtherServer { path, problem: format!("the server answers {}", self.status) }),
            500..=599 => Err(LoadError::NotReady { path, status: self.status }),
            status => {
                let message = client.quote(&completion::error_message(&self.body));
                Err(LoadError::Status { path, status, message })
            }
        }
    }
}

/// The content type of a response, if it names one.
pub(crate) fn content_type<B>(response: &Response<B>) -> Option<&str> {
    response.headers().get(CONTENT_TYPE)?.to_str().ok()
}

/// A whole body, or `None` if it is larger than `limit`.
pub(crate) async fn collect(mut body: Incoming, limit: usize) -> Result<Option<Vec<u8>>, hyper::Error> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_api_key_is_in_no_text() {
        let client = Client::new("http://h:1", Some("sk-hunter2".into())).unwrap();
        assert!(!format!("{client:?} {:?}", client.shared.authorization).contains("hunter2"));
        assert_eq!(client.quote("bad key\n sk-hunter2\u{1b}[1m!"), "bad key ***[1m!");
        let error = Client::new("http://h:1", Some("hunter2\n".into())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_long_complaint_is_cut() {
        let client = Client::new("http://h:1", None).unwrap();
        assert_eq!(client.quote(&"é".repeat(5000)).chars().count(), MAX_MESSAGE + 1);
    }
}
