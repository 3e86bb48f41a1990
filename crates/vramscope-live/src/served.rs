//! A server that is started for some work: by its own command line, watched while the rest of the program waits for its
//! answers, and stopped with all that it started.

mod error;
mod line;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vramscope_host::{Command, EngineEvent, EngineHost, Exit};
use vramscope_load::{Client, LoadError};

use crate::Secrets;

pub use error::ServedError;
pub use line::ServerLine;

/// How long an engine may take to stop when it is asked to.
const GRACE: Duration = Duration::from_secs(60);
/// The time between two questions whether the server is ready.
const PROBE: Duration = Duration::from_millis(250);
/// A server that does not say within this time that it is well is not.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Lines of the log that an error repeats.
const LAST_LINES: usize = 5;
/// So much of the end of the log is looked at for them.
const LAST_BYTES: usize = 16 << 10;

/// A running server, whose log is written by a task of its own. One that is dropped leaves no process behind.
#[derive(Debug)]
pub struct Served {
    running: Option<Running>,
    ended: oneshot::Receiver<Exit>,
    exit: Option<Exit>,
    log: PathBuf,
    secrets: Secrets,
}

/// The task that watches it.
#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    questions: mpsc::Sender<oneshot::Sender<Vec<u32>>>,
    watching: JoinHandle<Result<(), ServedError>>,
}

impl Served {
    /// Starts it on this machine; what it prints goes to `log`, without these secrets.
    ///
    /// # Errors
    /// [`ServedError`] if the log cannot be begun or the program not be started.
    pub async fn start(command: &Command, log: &Path, secrets: Secrets) -> Result<Self, ServedError> {
        let out = File::create(log).map_err(|source| ServedError::BeginLog { path: log.to_owned(), source })?;
        let engine = EngineHost::process().start(command).await.map_err(|error| {
            // Nothing was said that would be worth a file.
            let _ = std::fs::remove_file(log);
            ServedError::Start(error)
        })?;
        let (stop, asked) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let (questions, asks) = mpsc::channel(1);
        let watcher = Watcher { engine, log: out, tell: Some(tell), secrets: secrets.clone() };
        let watching = tokio::spawn(watcher.watch(asked, asks));
        let running = Some(Running { stop, questions, watching });
        Ok(Self { running, ended, exit: None, log: log.to_owned(), secrets })
    }

    /// Waits until it answers, and tells meanwhile since when.
    ///
    /// # Errors
    /// [`ServedError::Ended`] where it ends before, [`ServedError::NotReady`] after `limit`.
    pub async fn until_ready(
        &mut self,
        client: &Client,
        limit: Duration,
        observe: &mut (dyn FnMut(Duration) + Send),
    ) -> Result<(), ServedError> {
        let start = Instant::now();
        let client = client.clone().with_timeout(ANSWERS_WITHIN);
        let mut ready = std::pin::pin!(until_it_serves(&client, false));
        let mut ticks = tokio::time::interval(PROBE);
        loop {
            tokio::select! {
                biased;
                exit = &mut self.ended, if self.exit.is_none() => {
                    let exit = exit.map_err(|_| ServedError::NotWatched)?;
                    self.exit = Some(exit.clone());
                    return Err(ServedError::Ended { exit });
                }
                served = &mut ready => return served.map_err(ServedError::Asked),
                _ = ticks.tick() => {
                    observe(start.elapsed());
                    if start.elapsed() > limit {
                        return Err(ServedError::NotReady { after: limit });
                    }
                }
            }
        }
    }

    /// How it ended, if it has ended by itself within this time.
    pub async fn has_ended(&mut self, within: Duration) -> Option<Exit> {
        if self.exit.is_none()
            && let Ok(Ok(exit)) = tokio::time::timeout(within, &mut self.ended).await
        {
            self.exit = Some(exit);
        }
        self.exit.clone()
    }

    /// The ids of its processes that are alive now.
    pub async fn pids(&self) -> Vec<u32> {
        let Some(running) = &self.running else { return Vec::new() };
        let (tell, pids) = oneshot::channel();
        // One that has ended has none, and nobody answers.
        if running.questions.send(tell).await.is_err() {
            return Vec::new();
        }
        pids.await.unwrap_or_default()
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log, without secrets.
    pub fn last_words(&self) -> String {
        last_words(&self.log, &self.secrets)
    }

    /// Adds where its own words are, and the last of them.
    pub fn explain(&self, error: ServedError) -> ServedError {
        ServedError::Explained { log: self.log.clone(), last: self.last_words(), source: Box::new(error) }
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// [`ServedError::Stop`] where it does not end, [`ServedError::WriteLog`].
    pub async fn stop(&mut self) -> Result<(), ServedError> {
        let Some(Running { stop, watching, .. }) = self.running.take() else { return Ok(()) };
        // One that has ended by itself does not wait to be asked.
        let _ = stop.send(());
        watching.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.watching.abort();
        }
    }
}

/// Asks a server until it serves. With `of_another` it gives up where something else answers: an engine that is started
/// here comes in time, whatever answers in its place until then.
pub(crate) async fn until_it_serves(client: &Client, of_another: bool) -> Result<(), LoadError> {
    loop {
        match client.ready().await {
            Err(error) if of_another && error.is_of_another() => return Err(error),
            Err(_) => tokio::time::sleep(PROBE).await,
            Ok(()) => return Ok(()),
        }
    }
}

fn last_words(log: &Path, secrets: &Secrets) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let end = &text[text.len().saturating_sub(LAST_BYTES)..];
    let text = String::from_utf8_lossy(end).into_owned();
    let lines: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| secrets.hide(line)).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n    ")
}

/// What watches the engine.
struct Watcher {
    engine: vramscope_host::Engine,
    log: File,
    tell: Option<oneshot::Sender<Exit>>,
    secrets: Secrets,
}

impl Watcher {
    /// Writes the log until it is asked to stop or the engine ends, and then stops it, with all that it started.
    async fn watch(
        mut self,
        mut asked: oneshot::Receiver<()>,
        mut questions: mpsc::Receiver<oneshot::Sender<Vec<u32>>>,
    ) -> Result<(), ServedError> {
        loop {
            tokio::select! {
                event = self.engine.next() => if self.note(event)? { break },
                Some(question) = questions.recv() => drop(question.send(self.engine.pids())),
                _ = &mut asked => break,
            }
        }
        self.engine.stop(GRACE).await.map_err(ServedError::Stop)?;
        loop {
            let event = self.engine.next().await;
            if self.note(event)? {
                return Ok(());
            }
        }
    }

    /// Writes what happened; whether it was the end.
    fn note(&mut self, event: EngineEvent) -> Result<bool, ServedError> {
        let written = match event {
            EngineEvent::Line(line) => {
                let end: &[u8] = if line.ended { b"\n" } else { b"" };
                self.log.write_all(&[&self.secrets.hide_bytes(&line.bytes), end].concat())
            }
            EngineEvent::LogLost { reason } => writeln!(self.log, "[vramscope: log lost: {reason}]"),
            EngineEvent::Exited(exit) => {
                // Nobody may wait for it any more.
                let _ = self.tell.take().map(|tell| tell.send(exit));
                return Ok(true);
            }
        };
        written.map(|()| false).map_err(ServedError::WriteLog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn served(script: &str, log: &Path) -> Served {
        let command = Command::new("sh").arg("-c").arg(script);
        Served::start(&command, log, Secrets::new(["plainword".to_owned()])).await.unwrap()
    }

    async fn until_said(log: &Path, word: &str) {
        while !std::fs::read_to_string(log).unwrap().contains(word) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn its_log_is_whole_when_it_was_stopped_and_its_processes_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("engine.log");
        let script = "trap 'echo bye; exit 0' INT TERM; echo up; while :; do sleep 0.05; done";
        let mut served = served(script, &log).await;
        until_said(&log, "up").await;
        assert!(!served.pids().await.is_empty());
        assert_eq!(served.has_ended(Duration::ZERO).await, None);
        served.stop().await.unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "up\nbye\n");
        assert!(served.pids().await.is_empty());
    }

    #[tokio::test]
    async fn one_that_fails_says_how_and_keeps_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = "echo token hf_abcdefghijklmnopqrstuvwx or plainword is wrong; exit 3";
        let mut served = served(script, &log).await;
        let client = Client::new("http://127.0.0.1:1", None).unwrap();
        let error = served.until_ready(&client, Duration::from_secs(60), &mut |_| {}).await.unwrap_err();
        let ServedError::Ended { exit } = &error else { panic!("{error:?}") };
        assert_eq!(exit.code, Some(3));
        served.stop().await.unwrap();
        let error = served.explain(error);
        let said = format!("{error} {error:?} {}", std::fs::read_to_string(&log).unwrap());
        assert!(said.contains("is wrong") && !said.contains("hf_abc") && !said.contains("plainword"), "{said}");
    }

    #[tokio::test]
    async fn one_that_is_never_ready_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut served = served("sleep 600", &folder.path().join("log")).await;
        let client = Client::new("http://127.0.0.1:1", None).unwrap();
        let error = served.until_ready(&client, Duration::from_millis(300), &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, ServedError::NotReady { .. }), "{error:?}");
        served.stop().await.unwrap();
    }
}
