//! One run from its first sample to its profile.
//!
//! Everything that happens goes to the recording folder first; the profile is derived from the folder alone, so that
//! `vramscope analyze` gives the same later. On every way out the engine is stopped and memory is given time to return.

mod container;
mod stop;
mod watch;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vramscope_core::{Bytes, DeviceIndex, EngineKind, Phase};
use vramscope_host::{Engine, EngineHost, Exit, LogStream};
use vramscope_load::Client;
use vramscope_log::LogParser;
use vramscope_models::packed_json;
use vramscope_sampler::{Recording, Sampler, SamplerError};
use vramscope_schema::Amount;
use vramscope_schema::v3::{Profile, RunStatus};
use vramscope_timeline::JsonlFile;
use vramscope_timeline::document::Ending;

use crate::snapshots::Hook;
use crate::{CancelToken, RunEvent, RunSpec, SnapshotMoment, Workload};
use crate::{ollama, sglang, vllm};
use stop::Stop;
use vramscope_analysis::{DeriveError, Evidence, EvidenceError, RETURNED_WITHIN, assemble};
use vramscope_runs::{
    ArgsFile, EvidenceFiles, FileError, FolderError, HostFailure, LineFile, RECORD_VERSION, RecordingFolder, RunRecord,
    layout,
};
use watch::LOOK;

/// The largest result of a benchmark that is taken over.
const MOST_RESULT: u64 = 64 << 20;
/// The signal that nothing survives.
const SIGKILL: i32 = 9;

/// A run that leaves no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The recording folder cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The sampler does not start.
    #[error("record the devices")]
    Sampler(#[source] SamplerError),
    /// What was recorded cannot be read back.
    #[error("derive the profile from {}; what was recorded is kept there", .folder.display())]
    Evidence {
        /// The recording folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: EvidenceError,
    },
    /// The sums do not fit.
    #[error("derive the profile from {}; what was recorded is kept there", .folder.display())]
    Derive {
        /// The recording folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: DeriveError,
    },
}

/// A run that is ready to begin.
pub struct Run<'r> {
    spec: RunSpec,
    sampler: &'r mut Sampler,
    host: EngineHost,
    folder: RecordingFolder,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("spec", &self.spec).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What is at hand while a run goes on.
struct Conductor<'r> {
    spec: &'r RunSpec,
    host: &'r EngineHost,
    folder: &'r RecordingFolder,
    recording: &'r Recording<'r>,
    observe: &'r mut (dyn FnMut(RunEvent) + Send),
    cancel: CancelToken,
    log: LineFile,
    parser: LogParser,
    /// The stream whose line is not ended, if one is.
    open_line: Option<LogStream>,
    /// The phase that goes on.
    phase: Phase,
    /// The engine's command line as it is recorded.
    shown: Vec<String>,
    /// Memory in use before the engine came, by device.
    baseline: Option<Vec<(DeviceIndex, Bytes)>>,
    /// When a benchmark that is not ready has had its time to be.
    ready_by: Option<tokio::time::Instant>,
    /// Which engine it is: as it was started, or as it answers.
    engine: Option<EngineKind>,
    /// Its release.
    version: Option<String>,
    /// How the engine ended, once it has.
    exit: Option<Exit>,
    /// It did not stop when it was asked to, and was killed.
    killed: bool,
    /// The transformers probe said that it failed.
    probe_failed: bool,
    /// The first error of the engine's log, in its own words.
    first_error: Option<String>,
    /// The container's name and image.
    container: Option<(String, String)>,
    /// The engine's processes seen so far.
    pids: BTreeSet<u32>,
    /// The devices on which the driver listed one of them.
    devices: BTreeSet<DeviceIndex>,
    /// When they were looked for last.
    looked_for_pids: Option<Duration>,
    notes: Vec<String>,
    /// Instants that no phase begins with, in nanoseconds since 1970 UTC.
    marks: Vec<(&'static str, i64)>,
    /// What takes snapshots of the engine's allocator, where they are wanted.
    hook: Option<Hook>,
}

impl<'r> Run<'r> {
    /// A run of this engine on this host, recorded into this folder.
    pub fn new(spec: RunSpec, sampler: &'r mut Sampler, host: EngineHost, folder: RecordingFolder) -> Self {
        Self { spec, sampler, host, folder }
    }

    /// Conducts it. A run that fails, or that somebody stops, leaves a profile too: its status says so.
    ///
    /// # Errors
    /// [`RunError`] if nothing can be recorded, or the profile cannot be derived from what was.
    pub async fn execute(
        self,
        observe: &mut (dyn FnMut(RunEvent) + Send),
        cancel: CancelToken,
    ) -> Result<Profile, RunError> {
        let Self { spec, sampler, host, folder } = self;
        // Of a server that runs nobody knows the command.
        let words = if spec.host.kind == "attach" { Vec::new() } else { spec.command.shown() };
        let mut shown = spec.secrets.hide_words(&words);
        shown.iter_mut().for_each(|word| *word = without_folders(word));
        match spec.engine {
            Some(EngineKind::Vllm) => vllm::command::name_program(&mut shown),
            Some(EngineKind::Transformers) => folder.write(layout::PROBE_SCRIPT, crate::PROBE.as_bytes())?,
            _ => {}
        }
        if !spec.engine_config.is_empty() {
            let config = spec.secrets.hide_words(&spec.engine_config);
            shown = vllm::command::with_config(&shown, &config);
        }
        folder.write_args(&args_file(&shown, spec.engine_version.as_ref(), spec.model.as_deref()))?;
        if let Some(config) = &spec.config {
            folder.write(layout::MODEL_CONFIG, config)?;
        }
        if let Some(model) = &spec.packed {
            // A header has numbers and texts alone.
            let json = packed_json(model).map_err(std::io::Error::other);
            let failed = |source| FolderError::Write { path: folder.path().join(layout::PACKED_MODEL), source };
            folder.write(layout::PACKED_MODEL, &json.map_err(failed)?)?;
        }
        // The engine is told the same whole path.
        let whole = std::path::absolute(folder.path());
        let whole = whole.map_err(|source| FolderError::Write { path: folder.path().to_owned(), source })?;
        let hook = spec.snapshots.as_ref().map(|asked| Hook::write(&whole, asked)).transpose()?;
        let failed = |source| FolderError::Write { path: folder.timeline(), source };
        let sink = JsonlFile::create(&folder.timeline()).map_err(failed)?;
        let recording = sampler.record_to(Box::new(sink)).map_err(RunError::Sampler)?;
        let mut conductor = Conductor {
            spec: &spec,
            host: &host,
            folder: &folder,
            recording: &recording,
            observe,
            cancel,
            log: folder.lines(layout::ENGINE_LOG)?,
            parser: LogParser::following(),
            open_line: None,
            phase: Phase::Baseline,
            shown,
            baseline: None,
            ready_by: None,
            engine: spec.engine,
            version: spec.engine_version.clone(),
            exit: None,
            killed: false,
            probe_failed: false,
            first_error: None,
            container: None,
            pids: BTreeSet::new(),
            devices: BTreeSet::new(),
            looked_for_pids: None,
            notes: spec.notes.clone(),
            marks: Vec::new(),
            hook,
        };
        let mut stopped = conductor.conduct().await.err();
        let mut record = conductor.record(stopped.as_ref());
        if !conductor.marks.is_empty() {
            let marks = serde_json::to_vec(&conductor.marks).unwrap_or_default();
            folder.write(layout::MARKS, &marks)?;
        }
        let ending =
            if stopped.as_ref().is_some_and(Stop::is_interrupt) { Ending::Interrupted } else { Ending::Finished };
        // A timeline that could not be written was noticed on the way, unless it was the last second of it.
        if let Err(error) = recording.finish_as(ending)
            && stopped.is_none()
        {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            ended_with(&mut record, stopped.insert(Stop::timeline(&why, Phase::Settle)));
        }
        folder.give_room_back();
        folder.write_record(&record)?;
        derive(&folder, &spec)
    }
}

/// What is written down of the command.
fn args_file(words: &[String], version: Option<&String>, model: Option<&str>) -> ArgsFile {
    ArgsFile { argv: words.to_vec(), model: model.map(str::to_owned), engine_version: version.cloned() }
}

/// A word of a command line; of a path only the last part, which says nothing of the machine.
pub(crate) fn without_folders(word: &str) -> String {
    let (lead, value) = match word.split_once('=') {
        Some((name, value)) if word.starts_with('-') => (format!("{name}="), value),
        _ => (String::new(), word),
    };
    let last = Path::new(value).file_name().filter(|_| value.starts_with('/'));
    last.map_or_else(|| word.to_owned(), |last| format!("{lead}{}", last.to_string_lossy()))
}

/// The profile, from what the folder holds.
fn derive(folder: &RecordingFolder, spec: &RunSpec) -> Result<Profile, RunError> {
    let at = || folder.path().to_owned();
    let evidence = EvidenceFiles::find(folder.path())
        .map_err(|error: FileError| EvidenceError::from(error))
        .and_then(|files| Evidence::load(&files, &mut |_, _| {}))
        .map_err(|source| RunError::Evidence { folder: at(), source })?;
    assemble(&evidence, spec.generator.clone()).map_err(|source| RunError::Derive { folder: at(), source })
}

impl Conductor<'_> {
    /// Every phase in turn. Whatever happens, the engine is stopped and memory is watched as it returns.
    async fn conduct(&mut self) -> Result<(), Stop> {
        // Of an engine that runs already there is neither a time before nor a start.
        if !self.attached() {
            self.enter(Phase::Baseline)?;
            self.pause(self.spec.times.baseline).await?;
            self.baseline = self.used_by_device();
            self.enter(Phase::Launch)?;
        }
        let mut engine = match self.host.start(&self.spec.command).await {
            Ok(engine) => engine,
            Err(error) => return Err(Stop::host(&error, self.phase, &self.spec.secrets)),
        };
        self.container = container::of(&engine);
        let worked = self.work(&mut engine).await;
        // Who has stopped the run already has seen to it that the engine ends, not that its end is not looked at.
        let asked = worked.as_ref().is_err_and(Stop::is_interrupt);
        let stopped = self.wind_up(&mut engine, asked).await;
        worked.and(stopped)
    }

    /// From the start of the engine to the end of its work.
    async fn work(&mut self, engine: &mut Engine) -> Result<(), Stop> {
        match &self.spec.workload {
            Workload::OwnBenchmark { result, keep_as } => {
                let ended = self.until_the_end(engine).await;
                // One that fails at its end has measured before, and its result may be there.
                if ended.is_ok() || self.phase >= Phase::Shutdown {
                    let kept = self.keep_result(result, keep_as).await;
                    return ended.and(kept);
                }
                ended
            }
            Workload::Served { client, plan, ask_model } => {
                let named = (!ask_model).then_some(plan.model.as_str());
                let loaded = self.until_ready(engine, client, named).await?;
                self.ask_who_answers(client).await?;
                self.keep_settings(client).await?;
                let mut plan = plan.clone();
                if *ask_model {
                    plan.model = match loaded {
                        Some(loaded) => loaded,
                        None => self.served_model(client).await?,
                    };
                    self.name_model(&plan.model)?;
                }
                self.load(engine, client, &plan).await
            }
        }
    }

    /// Keeps what a server says of its settings and slots, of an engine whose server says it.
    async fn keep_settings(&self, client: &Client) -> Result<(), Stop> {
        let pages: &[(&[&'static str], &str)] = match self.engine {
            Some(EngineKind::LlamaCpp) => &[(&["/props"], layout::PROPS), (&["/slots"], layout::SLOTS)],
            Some(EngineKind::SgLang) => &[(&sglang::SETTINGS, layout::SERVER_INFO)],
            Some(EngineKind::Ollama) => &[(&[ollama::LOADED], layout::LOADED_MODELS)],
            _ => &[],
        };
        for (paths, name) in pages {
            for path in *paths {
                // A server may have been told not to show it, or have another name for it.
                let Ok(Some(text)) = client.settings(path).await else { continue };
                let text = self.spec.secrets.hide(&text);
                self.folder.write(name, text.as_bytes()).map_err(|error| Stop::recording(&error, self.phase))?;
                break;
            }
        }
        Ok(())
    }

    /// Asks a server that was started by its own words which engine it is and of which release: what it answers counts.
    async fn ask_who_answers(&mut self, client: &Client) -> Result<(), Stop> {
        let is_asked = matches!(self.spec.engine, Some(EngineKind::SgLang | EngineKind::Ollama));
        let Some(started) = self.spec.engine.filter(|_| is_asked && !self.attached()) else { return Ok(()) };
        // One that does not answer will not answer requests either, and that is told then.
        let Ok(told) = client.identify().await else { return Ok(()) };
        match told.kind {
            Some(kind) if kind == started => {}
            Some(kind) => {
                let (is, was) = (kind.title(), started.title());
                self.notes.push(format!("the engine is {is}, as the server answers; the command is one of {was}"));
                self.engine = Some(kind);
            }
            None => {
                let was = started.title();
                self.notes
                    .push(format!("nothing that the server answers tells its engine: its command is one of {was}"));
            }
        }
        self.version = told.version.or(self.version.take());
        let args = args_file(&self.shown, self.version.as_ref(), self.spec.model.as_deref());
        self.folder.write_args(&args).map_err(|error| Stop::recording(&error, self.phase))
    }

    /// Writes down what a server that runs calls its model, where nobody said it or somebody said otherwise.
    fn name_model(&mut self, served: &str) -> Result<(), Stop> {
        let served = without_folders(served);
        let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
        match &self.spec.model {
            None => {
                let args = args_file(&self.shown, self.version.as_ref(), Some(&served));
                return self.folder.write_args(&args).map_err(|error| Stop::recording(&error, self.phase));
            }
            Some(named) if self.attached() && last(named) != last(&served) => {
                self.notes.push(format!("the model was said to be {named}, and the server calls it {served}"));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Takes over what the benchmark wrote.
    async fn keep_result(&mut self, result: &Path, keep_as: &str) -> Result<(), Stop> {
        if result == self.folder.path().join(keep_as) {
            if result.is_file() {
                return Ok(());
            }
            return Err(Stop::new(
                "no_result",
                Phase::Measure,
                "the benchmark ended well and wrote no result".to_owned(),
            ));
        }
        let read = self.host.read_file(result, MOST_RESULT).await;
        let bytes = read.map_err(|error| Stop::host(&error, Phase::Measure, &self.spec.secrets))?;
        // Another file left in a container does no harm; the result is here.
        let _ = self.host.remove_file(result).await;
        self.folder.write(keep_as, &bytes).map_err(|error| Stop::recording(&error, self.phase))
    }

    /// Takes back what was brought to where the engine ran, with the result of a probe that failed: of its object it
    /// writes all or nothing. What is gone with its container cannot be taken back, and the run has failed already.
    async fn take_back(&mut self) {
        let spec = self.spec;
        if spec.command.files.is_empty() {
            return;
        }
        if let Workload::OwnBenchmark { result, keep_as } = &spec.workload
            && !self.folder.path().join(keep_as).exists()
        {
            let _ = self.keep_result(result, keep_as).await;
        }
        for (path, _) in &spec.command.files {
            let _ = self.host.remove_file(path).await;
        }
    }

    /// Stops the engine and waits for its memory to return, whatever else goes wrong meanwhile; the first of that is
    /// told.
    async fn wind_up(&mut self, engine: &mut Engine, asked: bool) -> Result<(), Stop> {
        let attached = self.attached();
        let entered = if attached || self.exit.is_some() { Ok(()) } else { self.enter(Phase::Shutdown) };
        let taken = if asked { Ok(()) } else { self.until_taken(engine).await };
        let entered = entered.and(taken);
        let stopped = self.stop(engine).await;
        let drained = self.drain(engine).await;
        // Known before memory settles: who sees that phase begin may stop the run at once.
        let interrupted = self.interrupted_since(asked);
        let asked = asked || interrupted.is_err();
        let ended = entered.and(stopped).and(drained).and(interrupted);
        if attached {
            return ended;
        }
        let settled = match self.enter(Phase::Settle) {
            Ok(()) => self.settle(asked).await,
            gone => gone,
        };
        ended.and(settled)
    }

    /// Waits for the snapshots of the end, of an engine that runs on when its work is done.
    async fn until_taken(&mut self, engine: &mut Engine) -> Result<(), Stop> {
        let Some(hook) = self.hook.clone().filter(|hook| hook.asks(SnapshotMoment::End) && self.exit.is_none()) else {
            return Ok(());
        };
        self.exit = self.until(engine, hook.answered()).await?;
        Ok(())
    }

    /// Asks the engine to stop, kills what does not, and keeps how it ended.
    async fn stop(&mut self, engine: &mut Engine) -> Result<(), Stop> {
        let grace = self.spec.times.grace;
        let begun = tokio::time::Instant::now();
        let ended = engine.end(grace).await;
        let took = begun.elapsed();
        // A probe that is stopped writes its result then, and a new container goes with what is in it.
        self.take_back().await;
        let exit = match ended {
            Ok(_) => engine.stop(grace).await,
            failed => failed,
        };
        let exit = exit.map_err(|error| Stop::host(&error, Phase::Shutdown, &self.spec.secrets))?;
        if !self.attached() && self.exit.is_none() {
            // A container reports the signal that ended its processes as a code past 128.
            let killed = exit.signal == Some(SIGKILL) || exit.code == Some(128 + SIGKILL);
            self.killed = killed && !exit.oom_killed && took >= grace;
            self.exit = Some(exit);
        }
        Ok(())
    }

    /// Waits until memory is back at the baseline, has had its time to be, cannot be seen any more, or somebody does not
    /// want to wait for it.
    async fn settle(&mut self, asked: bool) -> Result<(), Stop> {
        let begun = tokio::time::Instant::now();
        let most = self.spec.times.settle;
        // A second of samples shows the level even if it is reached at once. Who asked for the end waits for one look.
        let least = if asked { LOOK } else { Duration::from_secs(1) }.min(most);
        while begun.elapsed() < most
            && (begun.elapsed() < least || self.left_over().is_some_and(|left| left > RETURNED_WITHIN))
        {
            tokio::time::sleep(LOOK.min(most)).await;
            self.look(None)?;
            self.interrupted_since(asked)?;
        }
        Ok(())
    }

    /// Whether somebody stopped the run who had not done so before.
    fn interrupted_since(&self, asked_before: bool) -> Result<(), Stop> {
        if !asked_before && self.cancel.is_cancelled() { Err(Stop::interrupt(self.phase)) } else { Ok(()) }
    }

    /// Memory in use over the baseline now; zero where it is below.
    fn left_over(&self) -> Option<Bytes> {
        let (now, before) = (self.used()?, self.used_before()?);
        Some(now.checked_sub(before).unwrap_or(Bytes::ZERO))
    }

    /// Memory in use before the engine came.
    fn used_before(&self) -> Option<Bytes> {
        self.sum(self.baseline.as_ref()?)
    }

    fn attached(&self) -> bool {
        self.spec.host.kind == "attach"
    }

    /// What is written down of the run.
    fn record(&mut self, stopped: Option<&Stop>) -> RunRecord {
        let mut host = self.spec.host.clone();
        host.command = std::mem::take(&mut self.shown);
        if self.attached() && self.spec.processes.is_some() && self.pids.is_empty() {
            self.notes.push("no process of the server was named: the memory in use is that of nothing".to_owned());
        }
        if let Some((name, image)) = self.container.take() {
            (host.container, host.image) = (Some(name), Some(image));
        }
        if let Some(exit) = &self.exit {
            host.exit_code = exit.code;
            host.exit_signal = exit.signal;
            host.oom_killed = Some(exit.oom_killed);
            host.killed_after_s = self.killed.then(|| Amount::seconds(self.spec.times.grace));
        }
        if self.exit.is_some() && !self.attached() {
            let signed = |(now, before): (Bytes, Bytes)| now.checked_delta(before);
            host.left_over_baseline_bytes = self.used().zip(self.used_before()).and_then(signed).map(|left| left.get());
            host.memory_returned = self.left_over().map(|left| left <= RETURNED_WITHIN);
        }
        if let Some(hook) = &self.hook {
            self.notes.extend(hook.close().iter().map(|note| self.spec.secrets.hide(note)));
        }
        let mut record = RunRecord {
            vramscope_run: RECORD_VERSION,
            generator: format!("{} {}", self.spec.generator.name, self.spec.generator.version),
            status: RunStatus::Complete,
            failing_phase: None,
            failure: None,
            host,
            engine_type: self.engine.map_or(EngineKind::UNKNOWN, EngineKind::name).to_owned(),
            workload: Some(self.spec.workload_info.clone()),
            shape: self.spec.shape,
            engine_pids: std::mem::take(&mut self.pids).into_iter().collect(),
            notes: std::mem::take(&mut self.notes),
        };
        if let Some(stop) = stopped {
            ended_with(&mut record, stop);
        }
        record
    }
}

/// Writes down why the run ended early.
fn ended_with(record: &mut RunRecord, stop: &Stop) {
    record.status = if stop.is_interrupt() { RunStatus::Interrupted } else { RunStatus::Failed };
    record.failing_phase = Some(stop.phase.into());
    record.failure = Some(HostFailure { kind: stop.kind.to_owned(), message: stop.message.clone() });
}
