//! The server of a load: one that runs, or an engine that is started for it and stopped behind it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use vramscope_live::{Served, ServedError, ServerLine};
use vramscope_load::Client;
use vramscope_load::document::EngineDocument;
use vramscope_schema::ExitCode;

use super::args::Args;
use super::energy::Whose;
use super::plan;
use crate::exit::{OrExit as _, OrServed as _};
use crate::output;
use crate::progress::Progress;
use crate::signals::Signals;

/// Requests that fail are often the first sign of an engine that dies: it is given so long to do so.
const DYING: Duration = Duration::from_secs(2);

/// A server that answers.
pub(super) struct Server {
    pub(super) client: Client,
    /// The host that it is at.
    host: String,
    engine: Option<Started>,
}

/// An engine that was started.
struct Started {
    served: Served,
    line: ServerLine,
    log: Log,
}

/// Where an engine's log goes.
enum Log {
    /// To a file beside the results.
    Beside(PathBuf),
    /// To a temporary file, which is kept where it is needed.
    Temporary(tempfile::NamedTempFile),
}

impl Log {
    fn path(&self) -> &Path {
        match self {
            Self::Beside(path) => path,
            Self::Temporary(file) => file.path(),
        }
    }

    /// Leaves it where it is.
    fn keep(self) {
        if let Self::Temporary(file) = self {
            // It is there until then in any case, and what it says last has been told.
            let _ = file.keep();
        }
    }
}

/// The server that the arguments name. An engine is started, and waited for; `None` where somebody stopped that. Its log
/// goes to `log`, or where nothing is named to a temporary file.
pub(super) async fn open(args: &Args, signals: &Signals, log: Option<PathBuf>) -> anyhow::Result<Option<Server>> {
    if let Some(url) = &args.url {
        let client = plan::client(url, args.api_key.clone(), args)?;
        let server = client.server().to_owned();
        return Ok(Some(Server { client, host: host_of(&server).to_owned(), engine: None }));
    }
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let inherited: Vec<(String, String)> = std::env::vars_os().filter_map(text).collect();
    let words = &args.experiments.command;
    let Some(line) = signals.until_stopped(ServerLine::read(words, &inherited)).await else { return Ok(None) };
    let line = line.or_served()?;
    let key = line.api_key().map(str::to_owned).or_else(|| args.api_key.clone());
    let client = plan::client(&line.url(), key, args)?;
    let command = line.command().or_served()?;
    let log = match log {
        Some(path) => Log::Beside(path),
        None => {
            let file = tempfile::Builder::new().prefix("vramscope-engine-").suffix(".log").tempfile();
            Log::Temporary(file.context("could not make a file for the engine's log").or_exit(ExitCode::CannotWrite)?)
        }
    };
    signals.in_order(start(args, signals, client, line, &command, log)).await
}

/// The host of an address, which may have a port behind it.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // Within its brackets an address has colons too.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

async fn start(
    args: &Args,
    signals: &Signals,
    client: Client,
    line: ServerLine,
    command: &vramscope_host::Command,
    log: Log,
) -> anyhow::Result<Option<Server>> {
    if !args.quiet {
        output::say(&format!("starting the engine; its log is {}", log.path().display()));
    }
    let mut served = Served::start(command, log.path(), line.secrets().clone()).await.or_served()?;
    let mut progress = (!args.quiet).then(Progress::new);
    let mut token = signals.token();
    let mut observe = |since| {
        if let Some(progress) = &mut progress {
            progress.waiting("waiting for the engine", since);
        }
    };
    let ready = tokio::select! {
        biased;
        () = token.cancelled() => None,
        ready = served.until_ready(&client, args.experiments.timeout_start, &mut observe) => Some(ready),
    };
    if let Some(progress) = &mut progress {
        progress.end();
    }
    let host = String::new();
    let mut server = Server { client, host, engine: Some(Started { served, line, log }) };
    match ready {
        Some(Ok(())) => Ok(Some(server)),
        Some(Err(error)) => {
            server.end(Some(error)).await?;
            Ok(None)
        }
        None => {
            server.end(None).await?;
            Ok(None)
        }
    }
}

impl Server {
    /// The engine that was started, for a document.
    pub(super) fn engine(&self) -> Option<EngineDocument> {
        self.engine.as_ref().map(|engine| EngineDocument::new(engine.line.shown()))
    }

    /// Whose devices may be read.
    pub(super) async fn whose(&self) -> Whose {
        match &self.engine {
            Some(engine) => Whose::Started(engine.served.pids().await),
            None => Whose::At(self.host.clone()),
        }
    }

    /// Stops an engine that was started. `went_well` says that nothing speaks for its having died; else it is given a moment
    /// to do so.
    ///
    /// # Errors
    /// Why it ended by itself, or does not stop.
    pub(super) async fn close(mut self, went_well: bool) -> anyhow::Result<()> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let ended = engine.served.has_ended(if went_well { Duration::ZERO } else { DYING }).await;
        self.end(ended.map(|exit| ServedError::Ended { exit })).await
    }

    /// Stops the engine; an error of it is told with its last words, and its log is kept.
    async fn end(&mut self, error: Option<ServedError>) -> anyhow::Result<()> {
        let Some(Started { mut served, log, .. }) = self.engine.take() else { return Ok(()) };
        let stopped = served.stop().await;
        let failed = match error {
            Some(error) => Err(error),
            None => stopped,
        };
        failed.map_err(|error| served.explain(error)).inspect_err(|_| log.keep()).or_served()
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn a_host_is_told_from_its_port() {
        for (authority, host) in [("h:80", "h"), ("h", "h"), ("[::1]:8000", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(host_of(authority), host);
        }
    }
}
