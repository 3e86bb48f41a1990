//! What can go wrong between this client and a server. No message ever holds the API key.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A call that failed, or a plan that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The server's address is not one.
    #[error("use the server's address: {problem}; expected http://HOST:PORT, https://HOST:PORT or unix:/path/to.sock")]
    Address {
        /// What is wrong with it. The address itself is not repeated: it may hold a password.
        problem: &'static str,
    },
    /// The API key cannot be sent.
    #[error("use the API key: it holds characters that an HTTP header cannot carry; check for line breaks")]
    ApiKey,
    /// A header cannot be sent.
    #[error("use the header {name:?}: {problem}")]
    Header {
        /// Its name. The value is not repeated: it may be a key.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// This side has no room for another connection.
    #[error(
        "open a connection: this machine or process has no room for more; raise the limit of open files (ulimit -n) or \
         ask for fewer requests at once"
    )]
    OwnLimit {
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The load needs more connections than this process may open.
    #[error(
        "open the connections of the load: it needs {needed} open files, and the hard limit is {allowed}; raise it \
         (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of Docker) or ask for fewer requests at once"
    )]
    OpenFiles {
        /// Open files that are needed, those of the process itself with them.
        needed: u64,
        /// Open files that are allowed.
        allowed: u64,
    },
    /// The load was stopped before its measurement began.
    #[error("measure: the load was stopped before its measurement began")]
    Stopped,
    /// The system gives no thread or event queue to send from.
    #[error("begin the load: the system gives no thread for it")]
    Thread {
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Nothing listens there.
    #[error("connect to {address}: nothing answers there; check that the engine runs and its port")]
    Refused {
        /// Host and port.
        address: String,
        /// The operating system's answer.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something listens there, but TLS with it fails.
    #[error("connect to {address} by TLS: {problem}")]
    Tls {
        /// Host and port.
        address: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// It cannot be known whom to trust.
    #[error("use the certificates of authorities: {problem}")]
    Trust {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The server is there, but does not serve yet or any more.
    #[error("use {path}: the server answers {status}, so its engine is not ready or has died")]
    NotReady {
        /// The path asked for.
        path: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// Something else than an engine answers.
    #[error("use {path}: {problem}; expected an engine with the API of OpenAI")]
    OtherServer {
        /// The path asked for.
        path: &'static str,
        /// What speaks against it.
        problem: String,
    },
    /// The server refuses.
    #[error("use {path}: the server answers {status}: {message}{}", about_key(*.status))]
    Status {
        /// The path asked for.
        path: &'static str,
        /// The HTTP status.
        status: u16,
        /// The beginning of what the server says.
        message: String,
    },
    /// The answer is larger than it can reasonably be.
    #[error("read {path}: the answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The path asked for.
        path: &'static str,
        /// The limit.
        limit_bytes: usize,
    },
    /// No answer in time.
    #[error("use {path}: no answer within {} s", after.as_secs_f64())]
    TimedOut {
        /// The path asked for.
        path: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// The connection broke.
    #[error("use {path}: the connection broke")]
    Cut {
        /// The path asked for.
        path: &'static str,
        /// What was seen of it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer is not the JSON that it should be.
    #[error("read {path}: the answer is not the JSON that an OpenAI-compatible engine gives")]
    Json {
        /// The path asked for.
        path: &'static str,
        /// Where it fails.
        #[source]
        source: serde_json::Error,
    },
    /// A plan that cannot be run.
    #[error("use {field} of the load plan: {problem}")]
    Plan {
        /// The field.
        field: &'static str,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The first request, which tries the server out, failed.
    #[error("get one token from the server before the load: {failure}")]
    Probe {
        /// Why.
        failure: Failure,
    },
    /// No warmup request succeeded.
    #[error("warm up: all {requests} requests failed, the first with: {failure}")]
    Warmup {
        /// How many were sent.
        requests: u64,
        /// Why the first failed.
        failure: Failure,
    },
}

impl LoadError {
    /// Whether something answers that is no engine, or none that lets this client in: waiting changes nothing about it.
    /// An engine that still loads does not answer, or answers with 5xx, as does a proxy before it.
    pub fn is_of_another(&self) -> bool {
        matches!(self, Self::OtherServer { .. } | Self::Status { .. } | Self::Json { .. } | Self::TooLarge { .. })
    }

    /// Whether the server wants another API key.
    pub fn is_about_access(&self) -> bool {
        matches!(self, Self::Status { status: 401 | 403, .. })
    }
}

fn about_key(status: u16) -> &'static str {
    if matches!(status, 401 | 403) { "; give the API key that the server asks for" } else { "" }
}

/// Why one request has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// By what it is counted.
    pub kind: FailureKind,
    /// What was seen, for people. The server's words are cut short, and the API key is masked in them.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The kinds of failures of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// No connection: the server is not there, or no more.
    Refused,
    /// No connection within the time allowed: the server does not accept as fast as it is asked.
    ConnectTimedOut,
    /// A connection, but no TLS over it.
    Tls,
    /// No connection for want of file descriptors, ports or memory on this side: it says nothing about the server.
    OwnLimit,
    /// The server refused with this HTTP status.
    Status(u16),
    /// The server reported an error in mid-stream.
    InStream,
    /// The connection ended before the answer did.
    Cut,
    /// The server sent nothing for too long.
    Stalled,
    /// What came is not a stream of completions.
    Malformed,
    /// More came than was asked for.
    TooLarge,
    /// The stream ended without a token.
    NoToken,
    /// It was under way when the load was stopped.
    Stopped,
}

impl fmt::Display for FailureKind {
    /// The name as the report spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Refused => "refused",
            Self::ConnectTimedOut => "connect_timed_out",
            Self::Tls => "tls",
            Self::OwnLimit => "own_limit",
            Self::Status(code) => return write!(f, "status_{code}"),
            Self::InStream => "in_stream_error",
            Self::Cut => "cut",
            Self::Stalled => "stalled",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::NoToken => "no_token",
            Self::Stopped => "stopped",
        };
        f.write_str(name)
    }
}
