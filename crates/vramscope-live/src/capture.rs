//! Lets vLLM record a trace of a few requests.

mod api;
mod error;
mod files;
mod functions;
mod release;

use std::path::{Path, PathBuf};
use std::time::Duration;

use vramscope_runs::layout;

use crate::served::{Served, ServerLine};
use crate::snapshots::Hook;
use crate::vllm::profiler::{Profiled, Version};
use crate::{AskedSnapshots, SnapshotMoment};
use api::Api;
use functions::FunctionTrace;

pub use error::CaptureError;

/// A trace as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Which engine.
    pub engine: Captured,
    /// Where it writes its traces; the folder is made.
    pub dir: PathBuf,
    /// Requests to record. Unit: count.
    pub requests: u32,
    /// What each of them generates. Unit: tokens.
    pub max_tokens: u32,
    /// To wait for the engine to be ready, and for the profiler to write.
    pub timeout: Duration,
}

/// The engine that is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Captured {
    /// One that runs on this machine with its profiler set up.
    Running {
        /// Its address.
        url: String,
    },
    /// One that is started here.
    Started {
        /// Its command line.
        command: Vec<String>,
        /// Its release, where it cannot be asked.
        version: Option<String>,
        /// How much is recorded.
        mode: CaptureMode,
        /// Whether it marks its own parts.
        scopes: bool,
        /// A snapshot of its allocator is to lie beside the traces.
        memory: Option<CapturedMemory>,
    },
}

/// A snapshot of PyTorch's allocator beside traces, taken when the requests are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedMemory {
    /// The last events of the allocator that each process keeps. Unit: count.
    pub entries: u32,
    /// The value of [`AskedSnapshots::VARIABLE`] that the engine would inherit.
    pub searched: Option<String>,
}

/// How much is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureMode {
    /// Operators, calls and kernels.
    Light,
    /// And shapes, memory and python stacks; torch counts FLOPs too, and writes no count into a trace.
    Detailed,
    /// And every python function, in a trace of its own beside the others.
    Deep {
        /// How much of that trace is kept: its beginning. Unit: bytes.
        keep: u64,
    },
}

/// What a capture tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaptureEvent {
    /// An engine that runs is used as it was started.
    Found,
    /// An engine is about to be started.
    Starting {
        /// Its release.
        version: String,
        /// How its profiler is set up.
        setup: String,
    },
    /// The engine is not ready yet.
    Waiting {
        /// Since when it was started.
        since: Duration,
    },
    /// The requests are recorded.
    Recorded {
        /// How many.
        requests: u32,
        /// Of which model.
        model: String,
    },
    /// The snapshots of the engine's allocator lie beside the traces.
    Memory {
        /// Each file.
        files: Vec<PathBuf>,
        /// What they cost, and what was not made and why, in sentences.
        notes: Vec<String>,
    },
    /// The trace of python functions lies beside the others.
    Functions {
        /// Each file, with its size in bytes.
        files: Vec<(PathBuf, u64)>,
        /// There was more than was to be kept: these are the beginnings.
        cut: bool,
    },
}

impl Capture {
    /// Records, and gives the traces. An engine that was started here is stopped on every way out.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub async fn execute(&self, observe: &mut (dyn FnMut(CaptureEvent) + Send)) -> Result<Vec<PathBuf>, CaptureError> {
        let asked = &self.dir;
        std::fs::create_dir_all(asked).map_err(|source| CaptureError::MakeDir { path: asked.clone(), source })?;
        let dir = asked.canonicalize().map_err(|source| CaptureError::FindDir { path: asked.clone(), source })?;
        let before = files::found(&dir)?;
        match &self.engine {
            Captured::Running { url } => {
                observe(CaptureEvent::Found);
                let api = Api::new(url, None, self.timeout)?;
                self.record(&api, observe).await?;
            }
            started @ Captured::Started { .. } => {
                let mut functions = match started {
                    Captured::Started { mode: CaptureMode::Deep { keep }, .. } => Some(FunctionTrace::new(*keep)?),
                    _ => None,
                };
                let hook = match started {
                    Captured::Started { memory: Some(memory), .. } => {
                        let asked = AskedSnapshots { moments: vec![SnapshotMoment::End], entries: memory.entries };
                        Some(Hook::write(&dir, &asked).map_err(CaptureError::Memory)?)
                    }
                    _ => None,
                };
                let (line, mut engine) = self.start(started, &dir, functions.as_ref(), observe).await?;
                let work = async {
                    let recorded = self.with(&line, &mut engine, observe).await;
                    let asked = hook.as_ref().filter(|_| recorded.is_ok()).map_or(Ok(()), Hook::ask_for_end);
                    if let (Some(hook), Ok(()), Ok(())) = (&hook, &recorded, &asked) {
                        hook.answered().await;
                    }
                    (recorded.and(asked.map_err(CaptureError::Memory)), engine.stop().await)
                };
                let (recorded, stopped) = match &mut functions {
                    Some(functions) => functions.bounding(work).await,
                    None => work.await,
                };
                let kept = functions.map(|functions| functions.keep_in(&dir)).transpose();
                if let Ok(Some(kept)) = &kept {
                    observe(CaptureEvent::Functions { files: kept.files.clone(), cut: kept.cut });
                }
                if let Some(hook) = hook {
                    let notes = hook.close().iter().map(|note| line.secrets().hide(note)).collect();
                    observe(CaptureEvent::Memory { files: hook.made(), notes });
                }
                // Why nothing was recorded matters more than what became of the rest.
                recorded?;
                stopped.map_err(CaptureError::Engine)?;
                kept?;
            }
        }
        files::wait_for_new(&dir, &before, self.timeout).await
    }

    /// Starts the engine with its profiler set up.
    async fn start(
        &self,
        engine: &Captured,
        dir: &Path,
        functions: Option<&FunctionTrace>,
        observe: &mut (dyn FnMut(CaptureEvent) + Send),
    ) -> Result<(ServerLine, Served), CaptureError> {
        let Captured::Started { command, version, mode, scopes, memory } = engine else {
            return Err(CaptureError::NoCommand);
        };
        let version = match version {
            Some(text) => Version::parse(text).ok_or_else(|| CaptureError::NoVersion { text: text.clone() })?,
            None => release::ask(command).await?,
        };
        let mut profiled = Profiled::new(version, *mode, *scopes, dir, command)?;
        profiled.environment.extend(functions.map(FunctionTrace::environment));
        observe(CaptureEvent::Starting { version: version.to_string(), setup: profiled.describe() });
        let line = ServerLine::read(&profiled.command, &[]).await.map_err(CaptureError::Engine)?;
        let mut command = line.command().map_err(CaptureError::Engine)?;
        command.env.extend(profiled.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        command.env.extend(memory.as_ref().map(|memory| AskedSnapshots::variable(dir, memory.searched.as_deref())));
        let started = Served::start(&command, &dir.join(layout::ENGINE_LOG), line.secrets().clone()).await;
        Ok((line, started.map_err(CaptureError::Engine)?))
    }

    /// Records with an engine that was started here.
    async fn with(
        &self,
        line: &ServerLine,
        engine: &mut Served,
        observe: &mut (dyn FnMut(CaptureEvent) + Send),
    ) -> Result<(), CaptureError> {
        let api = Api::new(&line.url(), line.api_key().map(str::to_owned), self.timeout)?;
        let mut waiting = |since| observe(CaptureEvent::Waiting { since });
        let recorded = match engine.until_ready(api.client(), self.timeout, &mut waiting).await {
            Ok(()) => self.record(&api, observe).await,
            Err(error) => Err(CaptureError::Engine(error)),
        };
        recorded.map_err(|error| {
            let (log, last) = (engine.log().to_owned(), engine.last_words());
            CaptureError::Recording { log, last, source: Box::new(error) }
        })
    }

    /// Warms up, and records the requests.
    async fn record(&self, api: &Api, observe: &mut (dyn FnMut(CaptureEvent) + Send)) -> Result<(), CaptureError> {
        let model = api.model().await?;
        // The first request compiles and allocates; it would be most of the trace.
        let first = api.complete(&model, 0, self.max_tokens).await;
        first.map_err(|error| CaptureError::Warmup(Box::new(error)))?;
        api.start_profile().await?;
        let sent = api.complete_all(&model, self.requests, self.max_tokens).await;
        let stopped = api.stop_profile().await;
        sent.map_err(|error| CaptureError::Request(Box::new(error)))?;
        stopped?;
        observe(CaptureEvent::Recorded { requests: self.requests, model });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers one connection as an engine whose profiler writes into this folder.
    fn answer(mut stream: TcpStream, dir: &Path) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let (mut head, mut length) = (String::new(), 0);
            reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().ok()?;
                }
                if line == "\r\n" {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).ok()?;
            let (status, body) = match head.split_whitespace().nth(1)? {
                "/v1/models" => (200, r#"{"data": [{"id": "m"}]}"#),
                "/start_profile" if !dir.is_dir() => (404, "{}"),
                "/start_profile" | "/v1/completions" | "/health" => (200, "{}"),
                "/stop_profile" => {
                    std::fs::write(dir.join("rank0.pt.trace.json"), "{}").ok()?;
                    (200, "{}")
                }
                _ => (404, "{}"),
            };
            write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok()?;
        }
    }

    fn serve(dir: PathBuf) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let dir = dir.clone();
                std::thread::spawn(move || answer(stream, &dir));
            }
        });
        url
    }

    fn capture(url: String, dir: &Path) -> Capture {
        let timeout = Duration::from_secs(60);
        Capture { engine: Captured::Running { url }, dir: dir.to_owned(), requests: 20, max_tokens: 1, timeout }
    }

    #[tokio::test]
    async fn a_server_that_runs_is_recorded_and_its_trace_found() {
        let folder = tempfile::tempdir().unwrap();
        let url = serve(folder.path().to_owned());
        let mut told = Vec::new();
        let traces = capture(url, folder.path()).execute(&mut |event| told.push(event)).await.unwrap();
        assert!(traces.len() == 1 && traces[0].ends_with("rank0.pt.trace.json"), "{traces:?}");
        assert_eq!(told, [CaptureEvent::Found, CaptureEvent::Recorded { requests: 20, model: "m".to_owned() }]);
    }

    #[tokio::test]
    async fn a_server_without_a_profiler_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let url = serve("/no/such/folder".into());
        let error = capture(url, folder.path()).execute(&mut |_| {}).await.unwrap_err();
        assert!(matches!(error, CaptureError::NoProfiler { what: "start_profile" }), "{error:?}");
    }
}
