//! What somebody recorded of a run.

pub(crate) mod allocator;
pub(crate) mod args;
pub(crate) mod bench;
pub(crate) mod civil;
pub(crate) mod gpu_csv;
mod gpu_dmon;
pub(crate) mod gpu_log;
pub(crate) mod marks;
pub(crate) mod metrics;
mod other_model;
pub(crate) mod probe;
mod tail;

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use vramscope_core::{Architecture, BufferKind, Bytes, EngineFacts, EngineKind, Fact, PackedModel, redact};
use vramscope_log::{LogParser, LogReport, ParseNote};
use vramscope_models::{
    MOST_PACKED_JSON_BYTES, Overrides, QUANTIZATION_FILE, read_gguf, read_packed_json, with_quantization,
};
use vramscope_schema::v3::{Source, SourceKind};

use gpu_log::{GpuLog, GpuLogError};
pub use tail::LogTail;
use tail::Tail;
use vramscope_runs::{self as files, EvidenceFiles, FileError, RunRecord};

use crate::{ollama, sglang};

/// No benchmark result, command line or list of marks is larger.
const MOST_SMALL_FILE: u64 = 64 << 20;

/// Evidence of one run, read and understood. Parts that nobody recorded are absent.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Evidence {
    /// The engine's log.
    pub engine: Option<EngineLog>,
    /// Readings of the devices.
    pub gpu: Option<GpuLog>,
    /// The model.
    pub architecture: Option<Architecture>,
    /// What the benchmark wrote.
    pub bench: Option<bench::Bench>,
    /// The model as one file holds it, by its header.
    pub packed: Option<PackedModel>,
    /// The engine's command line.
    pub args: Option<args::Args>,
    /// Instants that the host wrote down.
    pub marks: Option<marks::Marks>,
    /// How the run ended, as its conductor wrote it down.
    pub record: Option<RunRecord>,
    /// Readings of the engine's metrics.
    pub metrics: Option<Vec<metrics::MetricsReading>>,
    /// What the transformers probe read inside the framework.
    pub probe: Option<probe::Probe>,
    /// What PyTorch's allocator said that it held, in the order in which it did.
    pub snapshots: Vec<allocator::AllocatorSnapshot>,
    /// The files.
    pub sources: Vec<Source>,
    /// What was odd, each with the name of its file.
    pub notes: Vec<String>,
    /// The last lines of the engine's log, whatever is understood of it.
    pub log_tail: Option<LogTail>,
    /// The folder is of a run that nobody ended: who conducted it was killed, or is still at it.
    pub unfinished: bool,
    /// What the model's config says where sizes were given by hand, without them.
    pub own_architecture: Option<Architecture>,
    /// The engine of a log from which nothing is taken but how it ended.
    unread_engine: Option<EngineKind>,
    /// How that engine ended, where it failed.
    ended: Option<EngineFacts>,
    /// Nobody named the log: one without an engine is somebody's own.
    log_is_guessed: bool,
}

/// Engines whose memory is taken apart here. Logs of others are named and kept: what their lines state is the business of
/// the log's own report.
const TAKEN_APART: &[EngineKind] = &[EngineKind::Vllm, EngineKind::LlamaCpp, EngineKind::SgLang, EngineKind::Ollama];

fn is_taken_apart(kind: EngineKind) -> bool {
    TAKEN_APART.contains(&kind)
}

/// An engine's log.
#[derive(Debug)]
#[non_exhaustive]
pub struct EngineLog {
    /// The file's name.
    pub file: String,
    /// Its size on disk in bytes, where it is a file.
    pub bytes: Option<u64>,
    /// Its lines.
    pub lines: u64,
    /// What the engine reported: of the last engine that loaded weights, where the log holds several.
    pub facts: EngineFacts,
    /// The size of all tensors of the model's file, as the engine read it.
    pub(crate) tensors: Option<Fact<Bytes>>,
}

/// Evidence that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// A file cannot be found or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A GPU log that is none.
    #[error("use {file}")]
    GpuLog {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: GpuLogError,
    },
    /// Another file with content that is not what its kind has.
    #[error("use {}: restore it, or move it away to go on without it", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An engine log without any line of an engine.
    #[error("use {file}: {}", of_no_engine(*.lines))]
    NoEngine {
        /// The file.
        file: String,
        /// Lines read.
        lines: u64,
    },
    /// A model folder without its description.
    #[error("use the model folder {}: it has no config.json", .folder.display())]
    NoConfig {
        /// The folder.
        folder: PathBuf,
    },
}

fn not_taken_apart(file: &str, taken: &str, engine: EngineKind) -> String {
    let title = engine.title();
    format!(
        "{file}: {taken} is taken from it: the memory of {title} is not taken apart here; `vramscope log` says what it states"
    )
}

/// What is said of a log in which nothing is known.
fn of_no_engine(lines: u64) -> String {
    if lines == 0 {
        return "the log is empty".to_owned();
    }
    let known: Vec<&str> = vramscope_log::ENGINES.iter().map(|engine| engine.title()).collect();
    format!("none of its {lines} lines is from a {} engine", known.join(" or "))
}

impl Evidence {
    /// Which engine ran, by its conductor, its log, its probe or its command line, in this order. `None` where nothing
    /// says it, and for one that is not known here.
    pub fn engine_kind(&self) -> Option<EngineKind> {
        if let Some(engine) = self.recorded_engine() {
            return EngineKind::from_name(engine);
        }
        let of_log = self.facts().and_then(|facts| facts.engine).or(self.unread_engine);
        let of_probe = self.probe.is_some().then_some(EngineKind::Transformers);
        // A conductor that did not know the engine wrote the release beside the command line all the same.
        let args = self.args.as_ref().filter(|_| self.record.is_none());
        of_log.or(of_probe).or_else(|| args.and_then(|args| args.engine))
    }

    /// The engine's name, also of one that is not known here.
    pub(crate) fn engine_name(&self) -> Option<String> {
        let known = || self.engine_kind().map(|kind| kind.name().to_owned());
        let recorded = self.recorded_engine().map(str::to_owned).or_else(known);
        recorded.or_else(|| self.record.as_ref().map(|record| record.engine_type.clone()))
    }

    /// The engine that the conductor of the run wrote down, if it knew it.
    fn recorded_engine(&self) -> Option<&str> {
        let engine = self.record.as_ref()?.engine_type.as_str();
        (engine != EngineKind::UNKNOWN).then_some(engine)
    }

    /// Whether an engine ran of which it is said that it is another one than this.
    pub(crate) fn is_other_than(&self, engine: EngineKind) -> bool {
        self.engine_name().is_some_and(|name| name != engine.name())
    }

    /// Whether a log of the engine is there, also one that nothing is read from.
    pub(crate) fn has_engine_log(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| !engine.facts.answered)
            || self.sources.iter().any(|source| source.kind == SourceKind::EngineLog)
    }

    /// Whether plain transformers ran, which has no log that could tell figures, and a probe that does.
    pub(crate) fn is_transformers(&self) -> bool {
        self.engine_kind() == Some(EngineKind::Transformers)
    }

    /// Reads every file that is named. `observe` is told now and then what is being read and how many bytes are behind,
    /// so that a person can be shown that a large log makes progress.
    ///
    /// # Errors
    /// [`EvidenceError`] for the first file that cannot be used.
    pub fn load(files: &EvidenceFiles, observe: &mut dyn FnMut(&Path, u64)) -> Result<Self, EvidenceError> {
        let mut evidence =
            Self { unfinished: files.unfinished, log_is_guessed: files.log_is_guessed, ..Self::default() };
        if let Some(path) = &files.record {
            evidence.record = Some(evidence.small(path, SourceKind::HostRecord, files::read_record)?);
        }
        evidence.add_engine_logs(&files.engine_logs, observe)?;
        let gpu = evidence.add_gpu_logs(&files.gpu_logs, observe);
        evidence.unless_cut_short(gpu)?;
        if let Some(path) = &files.model {
            evidence.add_model(path)?;
        }
        if let Some(path) = &files.packed {
            evidence.packed = Some(read_packed(path)?);
            evidence.sources.push(source_of(path, SourceKind::ModelConfig));
        }
        if let Some(path) = &files.probe {
            let probe = evidence.small(path, SourceKind::Probe, probe::read);
            evidence.probe = evidence.unless_cut_short(probe)?;
        }
        if let Some(path) = &files.metrics {
            let read = |text: &[u8]| metrics::read(text).map(|readings| (readings, metrics::ends_within_a_line(text)));
            let metrics = evidence.small(path, SourceKind::EngineMetrics, read);
            if let Some((readings, is_torn)) = evidence.unless_cut_short(metrics)? {
                evidence.metrics = Some(readings);
                let torn = format!("{}: its last line is cut short, and is left out", name(path));
                evidence.notes.extend(is_torn.then_some(torn));
            }
        }
        if let Some(path) = &files.bench {
            let bench = evidence.small(path, SourceKind::Benchmark, bench::read);
            evidence.bench = evidence.unless_cut_short(bench)?;
        }
        if let Some(path) = &files.args {
            let recorded = evidence.recorded_engine().and_then(EngineKind::from_name);
            let read = |json: &[u8]| args::read(json, recorded);
            evidence.args = Some(evidence.small(path, SourceKind::EngineArgs, read)?);
        }
        if let Some(path) = &files.answered {
            evidence.add_answer(path);
        }
        if let Some(path) = &files.marks {
            let bytes = files::read_whole(path, MOST_SMALL_FILE)?;
            let content = |source| EvidenceError::Content { path: path.to_owned(), source: Box::new(source) };
            evidence.marks = Some(marks::read(&bytes).map_err(content)?);
        }
        evidence.add_snapshots(&files.snapshots, observe);
        evidence.leave_out_other_models(files);
        Ok(evidence)
    }

    /// How an engine ended from whose log nothing else is taken.
    pub(crate) fn ended(&self) -> Option<&EngineFacts> {
        self.ended.as_ref()
    }

    /// What the engine reported.
    pub fn facts(&self) -> Option<&EngineFacts> {
        self.engine.as_ref().map(|engine| &engine.facts)
    }

    /// A run that failed may have left a file that nobody could finish: it is noted, and the others tell their part.
    fn unless_cut_short<T>(&mut self, read: Result<T, EvidenceError>) -> Result<Option<T>, EvidenceError> {
        let failed = self.unfinished || self.record.as_ref().is_some_and(|record| record.failure.is_some());
        let file = match &read {
            Err(EvidenceError::GpuLog { file, .. }) => file.clone(),
            Err(EvidenceError::Content { path, .. }) => name(path),
            _ => return read.map(Some),
        };
        match read {
            Err(error) if failed => {
                let mut because = String::new();
                let mut cause = error.source();
                while let Some(because_of) = cause {
                    let _ = write!(because, ": {because_of}");
                    cause = because_of.source();
                }
                self.notes.push(format!("failed to use {file}{because}; the run did not end well, and it is left out"));
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    fn add_engine_logs(&mut self, paths: &[PathBuf], observe: &mut dyn FnMut(&Path, u64)) -> Result<(), EvidenceError> {
        if paths.is_empty() {
            return Ok(());
        }
        // Of an engine whose words are not known nothing is read, whatever else is in its log.
        if let Some(engine) = self.recorded_engine()
            && !EngineKind::from_name(engine).is_some_and(is_taken_apart)
        {
            let engine = redact(engine);
            return self.keep_unread(&engine, paths);
        }
        let mut parser = LogParser::new();
        let mut tail = Tail::default();
        for path in paths {
            let mut source = files::open(path)?;
            let mut behind = 0;
            let mut buffer = vec![0; 1 << 18];
            loop {
                match source.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        parser.push_bytes(&buffer[..n]);
                        tail.push(&buffer[..n]);
                        behind += u64::try_from(n).unwrap_or(0);
                        observe(path, behind);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(source) => return Err(FileError::Read { path: path.clone(), source }.into()),
                }
            }
            self.sources.push(source_of(path, SourceKind::EngineLog));
        }
        let report = parser.finish();
        self.log_tail = tail.finish(names(paths), report.lines);
        self.engine = self.choose(report, paths)?;
        Ok(())
    }

    /// What the server answered. A log says more, and is taken instead where there is one; an answer that is none is left
    /// out, for nobody asked for it.
    fn add_answer(&mut self, path: &Path) {
        let kind = self.engine_kind();
        let read = files::read_whole(path, MOST_SMALL_FILE).map_err(|error| error.to_string());
        let said = read.and_then(|json| match kind {
            Some(EngineKind::Ollama) => ollama::answered(&json).map(|said| (said, None)).map_err(|e| e.to_string()),
            Some(EngineKind::SgLang) if self.engine.is_none() => {
                sglang::answered::answered(&json).map(|facts| (Vec::new(), Some(facts))).map_err(|e| e.to_string())
            }
            _ => Ok((Vec::new(), None)),
        });
        match said {
            Ok((sentences, facts)) => {
                if facts.is_some() || !sentences.is_empty() {
                    self.sources.push(source_of(path, SourceKind::EngineAnswer));
                }
                self.notes.extend(sentences.into_iter().map(|sentence| format!("{}: {sentence}", name(path))));
                if let Some(facts) = facts {
                    self.engine =
                        Some(EngineLog { file: name(path), bytes: size(path), lines: 1, facts, tensors: None });
                }
            }
            Err(because) => self.notes.push(format!("failed to use {}: {because}; it is left out", name(path))),
        }
    }

    /// Names a log that nothing is read from, and says why.
    fn keep_unread(&mut self, engine: &str, paths: &[PathBuf]) -> Result<(), EvidenceError> {
        let kind = EngineKind::from_name(engine);
        let known = kind.is_some();
        let (mut tail, mut lines) = (Tail::default(), 0);
        let mut buffer = vec![0; 1 << 16];
        for path in paths {
            let mut source = files::open(path)?;
            loop {
                match source.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        tail.push(&buffer[..n]);
                        lines += buffer[..n].iter().filter(|byte| **byte == b'\n').fold(0, |n, _| n + 1);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(source) => return Err(FileError::Read { path: path.clone(), source }.into()),
                }
            }
            self.sources.push(source_of(path, SourceKind::EngineLog));
        }
        self.log_tail = tail.finish(names(paths), lines);
        if let Some(kind) = kind.filter(|kind| vramscope_log::ENGINES.contains(kind)) {
            self.notes.push(not_taken_apart(&names(paths), "nothing", kind));
        }
        if !known {
            let known: Vec<&str> = EngineKind::ALL.iter().map(|kind| kind.name()).collect();
            self.notes.push(format!(
                "{}: nothing is read from it: the engine is {engine:?}, which is none that is known here ({})",
                names(paths),
                known.join(", ")
            ));
        }
        Ok(())
    }

    /// Takes the last engine that loaded weights: earlier ones are mostly failed starts. A run that was conducted may have
    /// ended before its engine said anything.
    fn choose(&mut self, mut report: LogReport, paths: &[PathBuf]) -> Result<Option<EngineLog>, EvidenceError> {
        let file = names(paths);
        let lines = report.lines;
        let count = report.engines.len();
        self.notes.extend(report.notes.iter().map(|note| parse_note(&file, note)));
        for engine in &mut report.engines {
            self.notes.extend(plan_unconfirmed(&mut engine.facts).map(|note| format!("{file}, {note}")));
        }
        let has_weights = |facts: &EngineFacts| {
            let buffers = facts.buffers.iter().filter(|buffer| !buffer.planned);
            !facts.weights.is_empty() || buffers.map(|buffer| buffer.kind).any(|kind| kind == BufferKind::Weights)
        };
        let loaded = report.engines.iter().rposition(|engine| has_weights(&engine.facts));
        let chosen = loaded.or(count.checked_sub(1));
        // What another start failed of is not what this profile is of, and is told all the same.
        let others = report.engines.iter().enumerate().filter(|(place, _)| Some(*place) != chosen);
        let failed = others.filter_map(|(place, engine)| Some((place + 1, engine.facts.failures.first()?)));
        let failed = failed.map(|(number, failure)| {
            let kind = failure.kind.name().replace('_', " ");
            format!("{file}: engine start number {number} failed: {kind} (line {})", failure.origin.line)
        });
        self.notes.extend(failed.collect::<Vec<String>>());
        let engine = chosen.and_then(|place| report.engines.into_iter().nth(place));
        let Some(engine) = engine else {
            if self.log_is_guessed {
                self.log_tail = None;
                self.sources.retain(|source| source.kind != SourceKind::EngineLog);
            } else if self.record.is_none() && !self.unfinished {
                return Err(EvidenceError::NoEngine { file, lines });
            }
            self.notes.push(format!("{file}: {}", of_no_engine(lines)));
            return Ok(None);
        };
        if let Some(other) = engine.facts.engine.filter(|kind| !is_taken_apart(*kind)) {
            self.unread_engine = Some(other);
            if !engine.facts.failures.is_empty() {
                let mut ended = EngineFacts::default();
                ended.events = engine.facts.events;
                ended.failures = engine.facts.failures;
                self.ended = Some(ended);
            }
            self.notes.push(not_taken_apart(&file, "nothing but how it failed", other));
            return Ok(None);
        }
        if let (Some(place), true) = (chosen, count > 1) {
            self.notes.push(format!("{file}: it holds {count} engine starts; this profile is of number {}", place + 1));
        }
        if paths.len() > 1 {
            self.notes.push(format!("{file}: lines are counted through all files in this order"));
        }
        self.notes.extend(engine.notes.iter().map(|note| parse_note(&file, note)));
        let bytes = paths.iter().map(|path| size(path)).sum();
        let tensors = other_model::tensors(&engine);
        Ok(Some(EngineLog { file, bytes, lines, facts: engine.facts, tensors }))
    }

    fn add_gpu_logs(&mut self, paths: &[PathBuf], observe: &mut dyn FnMut(&Path, u64)) -> Result<(), EvidenceError> {
        let Some((first, rest)) = paths.split_first() else { return Ok(()) };
        let file = names(paths);
        let mut whole = files::open(first)?;
        for path in rest {
            whole = Box::new(whole.chain(&b"\n"[..]).chain(files::open(path)?));
        }
        let mut behind = 0;
        let observed = files::Observed::new(whole, |n| {
            behind += n;
            observe(first, behind);
        });
        let log = gpu_log::read(observed).map_err(|source| EvidenceError::GpuLog { file: file.clone(), source })?;
        self.notes.extend(log.notes.iter().map(|note| format!("{file}: {note}")));
        self.sources.extend(paths.iter().map(|path| source_of(path, SourceKind::GpuLog)));
        self.gpu = Some(log);
        Ok(())
    }

    fn add_model(&mut self, path: &Path) -> Result<(), EvidenceError> {
        let config = if path.is_dir() { path.join("config.json") } else { path.to_owned() };
        if path.is_dir() && !config.exists() {
            return Err(EvidenceError::NoConfig { folder: path.to_owned() });
        }
        let file = name(&config);
        let limit = u64::try_from(vramscope_models::MOST_CONFIG_BYTES).unwrap_or(u64::MAX);
        let mut bytes = files::read_whole(&config, limit)?;
        let content = |source| EvidenceError::Content { path: config.clone(), source: Box::new(source) };
        let beside = config.with_file_name(QUANTIZATION_FILE);
        if beside.is_file() {
            bytes = with_quantization(&bytes, &files::read_whole(&beside, limit)?).map_err(content)?;
            self.sources.push(source_of(&beside, SourceKind::ModelConfig));
        }
        let shape = self.record.as_ref().and_then(|record| record.shape).unwrap_or_default();
        let (architecture, notes) = shape.overrides().on_config(&bytes).map_err(content)?;
        self.notes.extend(notes.iter().map(|note| format!("{file}: {}: {}", note.field, note.text)));
        if shape != files::Shape::default() {
            self.own_architecture = Overrides::default().on_config(&bytes).ok().map(|(own, _)| own);
        }
        self.sources.push(source_of(&config, SourceKind::ModelConfig));
        self.architecture = Some(architecture);
        Ok(())
    }

    fn small<T, E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        path: &Path,
        kind: SourceKind,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, EvidenceError> {
        let bytes = files::read_whole(path, MOST_SMALL_FILE)?;
        let content = |source| EvidenceError::Content { path: path.to_owned(), source: Box::new(source) };
        let value = read(&bytes).map_err(content)?;
        self.sources.push(source_of(path, kind));
        Ok(value)
    }
}

/// Takes for a plan what may be one: a layout of which the log does not say that it is kept.
fn plan_unconfirmed(facts: &mut EngineFacts) -> Option<String> {
    let mut first = None;
    for buffer in facts.buffers.iter_mut().filter(|buffer| buffer.unconfirmed && !buffer.planned) {
        buffer.planned = true;
        first.get_or_insert(buffer.amount.origin.line);
    }
    Some(format!(
        "line {}: a layout of the model is printed, and no line before it says that it is kept: it is taken for a plan, \
         and nothing of it for allocated; give the log from the start of the model's runner on",
        first?
    ))
}

/// The header of a model's file, or what a recording kept of one.
fn read_packed(path: &Path) -> Result<PackedModel, EvidenceError> {
    let content =
        |source: Box<dyn std::error::Error + Send + Sync>| EvidenceError::Content { path: path.to_owned(), source };
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json")) {
        let json = files::read_whole(path, MOST_PACKED_JSON_BYTES)?;
        return read_packed_json(&json).map_err(|error| content(Box::new(error)));
    }
    let gguf = read_gguf(BufReader::new(files::open(path)?)).map_err(|error| content(Box::new(error)))?;
    Ok(gguf.packed())
}

fn parse_note(file: &str, note: &ParseNote) -> String {
    if note.line == 0 { format!("{file}: {}", note.text) } else { format!("{file}, line {}: {}", note.line, note.text) }
}

/// A file's name without its folder: a profile says nothing of the machine that it was made on.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| name(path)).collect::<Vec<String>>().join(" + ")
}

fn size(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|m| m.len())
}

fn source_of(path: &Path, kind: SourceKind) -> Source {
    Source { kind, file: name(path), bytes: size(path), sha256: None }
}
