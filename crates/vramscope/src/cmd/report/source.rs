//! What a path holds, as documents of a page.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde_json::Value;
use vramscope_analysis::{Evidence, assemble};
use vramscope_compare::document::RunsDocument;
use vramscope_core::shell_quoted;
use vramscope_log::document::LogDocument;
use vramscope_report::{Document, Kind};
use vramscope_runs::{EvidenceFiles, FileError, layout};
use vramscope_schema::v3::Profile;
use vramscope_schema::{ExitCode, MAX_DOCUMENT_BYTES};

use super::{OrPage as _, readings};
use crate::cmd::{gpus, log, runs, snapshot, timeline, trace};
use crate::exit::OrExit as _;
use crate::input;
use crate::progress::Progress;

/// What experiments leave in their folder.
const EXPERIMENTS: &str = "baseline_metrics.json";

/// What a path is.
enum Held {
    /// A folder with a run's evidence.
    Recording(Box<EvidenceFiles>),
    /// A folder with many runs, or a load generator's results.
    Runs,
    /// A JSON document of ours.
    Document(Box<Value>),
    /// A profile of any version.
    Profile(Box<Profile>),
    /// A recording of readings.
    Readings(Box<timeline::Recording>),
    /// A torch-profiler trace.
    Trace,
    /// An allocator's snapshot, as PyTorch wrote it.
    Snapshot,
    /// What an engine printed.
    Log(Box<LogDocument>),
}

/// The documents of a page: one of each path, but for runs, traces and snapshots, of which several make one document.
pub(super) fn documents(paths: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    let held = paths.iter().map(|path| Ok((path.as_path(), look(path)?))).collect::<anyhow::Result<Vec<_>>>()?;
    if held.iter().all(|(_, held)| matches!(held, Held::Trace)) {
        return Ok(vec![new(&name(paths), trace::document(paths)?)?]);
    }
    if held.iter().all(|(_, held)| matches!(held, Held::Snapshot)) {
        return Ok(vec![new(&name(paths), snapshot::document(paths)?)?]);
    }
    let several_runs = held.iter().any(|(_, held)| matches!(held, Held::Runs));
    let all_runs = held.iter().all(|(_, held)| matches!(held, Held::Runs | Held::Recording(_) | Held::Profile(_)));
    if several_runs && all_runs {
        let sweep = runs::sweep(paths)?;
        return Ok(vec![new(&name(paths), serde_json::to_value(RunsDocument::of(&sweep))?)?]);
    }
    held.into_iter().map(|(path, held)| document(path, held)).collect()
}

/// Every file that is read for these paths: a page must not replace any of them.
pub(super) fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = paths.to_vec();
    for folder in paths.iter().filter(|path| path.is_dir()) {
        files.extend([layout::CAMPAIGN_RUNS, EXPERIMENTS].map(|name| folder.join(name)));
        for run in runs::files(std::slice::from_ref(folder))?.into_iter().chain([folder.clone()]) {
            files.extend(EvidenceFiles::find(&run).iter().flat_map(EvidenceFiles::paths).map(Path::to_owned));
            files.push(run);
        }
    }
    Ok(files)
}

fn document(path: &Path, held: Held) -> anyhow::Result<Document> {
    let title = path.display().to_string();
    match held {
        Held::Recording(files) => recording(&title, &files),
        Held::Document(value) => new(&title, *value),
        Held::Profile(profile) => new(&title, profile_value(&profile)?),
        Held::Readings(recording) => {
            let mut watched = readings::Watched::new(*recording);
            let report = timeline::report(&mut watched, path)?;
            Ok(new(&title, serde_json::to_value(report)?)?.with_recording(watched.finish()))
        }
        Held::Log(report) => new(&title, serde_json::to_value(report)?),
        Held::Trace => new(&title, trace::document(&[path.to_owned()])?),
        Held::Snapshot => new(&title, snapshot::document(&[path.to_owned()])?),
        Held::Runs => {
            let sweep = runs::sweep(&[path.to_owned()])?;
            new(&title, serde_json::to_value(RunsDocument::of(&sweep))?)
        }
    }
}

/// A recording's profile with all its readings, the log's milestones and the engine's metrics on one clock.
fn recording(title: &str, files: &EvidenceFiles) -> anyhow::Result<Document> {
    let mut progress = Progress::new();
    let evidence = Evidence::load(files, &mut |file: &Path, behind| progress.bytes(file, behind));
    progress.end();
    let evidence = evidence.or_exit(ExitCode::BadInput)?;
    let profile = assemble(&evidence, input::generator()).or_exit(ExitCode::BadInput)?;
    let document = new(title, profile_value(&profile)?)?;
    Ok(match readings::of_run(&evidence, &profile, files) {
        Some(recording) => document.with_recording(recording),
        None => document,
    })
}

/// A profile as its text has it, with each amount of memory in both units.
fn profile_value(profile: &Profile) -> anyhow::Result<Value> {
    let mut text = Vec::new();
    vramscope_schema::write(profile, &mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn new(title: &str, value: Value) -> anyhow::Result<Document> {
    Document::new(title, value).or_page()
}

fn name(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

fn look(path: &Path) -> anyhow::Result<Held> {
    if path.is_dir() {
        return look_into(path);
    }
    // Told by its first bytes, packed or not: a snapshot may be larger than any document, and is streamed.
    if !input::is_stdin(path) && is_snapshot(&start(path)?) {
        return Ok(Held::Snapshot);
    }
    let text = if input::is_stdin(path) {
        Some(input::bounded(path, MAX_DOCUMENT_BYTES).context("could not read stdin").or_exit(ExitCode::BadInput)?)
    } else {
        json(path)?
    };
    match text {
        Some(text) => document_in(path, &text),
        None => Ok(foreign(path)?),
    }
}

/// The most telling of what a folder holds.
fn look_into(folder: &Path) -> anyhow::Result<Held> {
    for file in [layout::CAMPAIGN_RUNS, EXPERIMENTS] {
        let file = folder.join(file);
        if file.is_file() {
            return look(&file);
        }
    }
    match EvidenceFiles::find(folder) {
        Ok(files) => Ok(Held::Recording(Box::new(files))),
        Err(error @ FileError::SnapshotsAlone { .. }) if has_no_folders(folder) => {
            Err(error).or_exit(ExitCode::BadInput)
        }
        Err(_) if folder.join(layout::MODEL_CONFIG).is_file() && has_no_folders(folder) => {
            let shown = folder.display();
            let model = shell_quoted(&shown.to_string());
            let line = format!("vramscope estimate --model {model} --gpu NAME --format json | vramscope report -");
            Err(anyhow!("{shown} holds a model and no run: `{line}` makes a page of what it takes"))
                .or_exit(ExitCode::BadInput)
        }
        Err(_) => Ok(Held::Runs),
    }
}

/// Whether a folder has no folders in it that could hold runs.
fn has_no_folders(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|entries| entries.flatten().all(|entry| !entry.path().is_dir()))
}

/// The text of a file that begins as a JSON document does and is no larger than one; traces and logs are streamed.
fn json(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let read = || -> anyhow::Result<Option<Vec<u8>>> {
        let mut start = Vec::new();
        vramscope_runs::open_file(path)?.take(512).read_to_end(&mut start)?;
        let begun = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).trim_ascii_start();
        let lines = path.extension().is_some_and(|end| end == "jsonl");
        if !begun.starts_with(b"{") || lines {
            return Ok(None);
        }
        let text = input::bounded(path, MAX_DOCUMENT_BYTES)?;
        Ok((text.len() <= MAX_DOCUMENT_BYTES).then_some(text))
    };
    read().with_context(|| format!("could not read {}", path.display())).or_exit(ExitCode::BadInput)
}

/// A JSON text: a document of ours, a profile of any version, a load generator's result, a trace, or lines of JSON.
fn document_in(path: &Path, text: &[u8]) -> anyhow::Result<Held> {
    let value: Value = match serde_json::from_slice(text) {
        Ok(value) => value,
        // Lines of JSON are each a document, and all together none.
        Err(_) if !input::is_stdin(path) => return foreign(path),
        Err(_) if text.trim_ascii().is_empty() => {
            let empty = anyhow!("stdin was empty: the command before it has printed nothing");
            return Err(empty).or_exit(ExitCode::BadInput);
        }
        Err(error) => {
            return Err(error).context("stdin is no JSON document").or_exit(ExitCode::BadInput);
        }
    };
    if value.get("traceEvents").is_some() {
        return Ok(Held::Trace);
    }
    if input::is_stdin(path) && is_snapshot(&text[..text.len().min(START)]) {
        let why = anyhow!("stdin has a snapshot of PyTorch's allocator: give it as a file");
        return Err(why).or_exit(ExitCode::BadInput);
    }
    match Kind::of(&value) {
        Some(Kind::Profile) | None if !vramscope_results::is_result(text) => match input::profile_in(text, path) {
            Ok(found) => Ok(Held::Profile(Box::new(found.profile))),
            Err(error) => printed_by_a_tool(path).ok_or(error),
        },
        Some(_) => Ok(Held::Document(Box::new(value))),
        None => Ok(Held::Runs),
    }
}

/// What is no JSON document: readings, a trace, an engine's log, told by who can read it.
fn foreign(path: &Path) -> anyhow::Result<Held> {
    if is_trace(&start(path)?) {
        return Ok(Held::Trace);
    }
    if let Ok(recording) = timeline::Recording::open(path) {
        return Ok(Held::Readings(Box::new(recording)));
    }
    // Lines of JSON: a load generator that writes a run a line.
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    if vramscope_runs::read_whole(path, most).is_ok_and(|text| vramscope_results::is_result(&text)) {
        return Ok(Held::Runs);
    }
    let report = log::document(&[path.to_owned()])?;
    if !report.engines.is_empty() {
        return Ok(Held::Log(Box::new(report)));
    }
    if let Some(held) = printed_by_a_tool(path) {
        return Ok(held);
    }
    let shown = path.display();
    Err(anyhow!(
        "{shown} is nothing that a page is made of: expected a recording or its folder, a JSON document of vramscope, a \
         result of a load generator, a recording of readings, a trace, a snapshot of PyTorch's allocator, an engine's log, or \
         what nvidia-smi, amd-smi or rocm-smi printed once (`vramscope gpus --from` says what is wrong with one)"
    ))
    .or_exit(ExitCode::BadInput)
}

/// What a GPU tool printed once, as text, XML or JSON.
fn printed_by_a_tool(path: &Path) -> Option<Held> {
    if input::is_stdin(path) {
        return None;
    }
    let snapshot = gpus::from::read(&[path.to_owned()]).ok()?;
    Some(Held::Document(Box::new(serde_json::to_value(snapshot).ok()?)))
}

/// As much of a file tells what it is.
const START: usize = 64 << 10;

/// How a file begins, unpacked.
fn start(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut start = Vec::new();
    let read = vramscope_runs::open(path).or_exit(ExitCode::BadInput)?.take(START as u64).read_to_end(&mut start);
    read.with_context(|| format!("could not read {}", path.display())).or_exit(ExitCode::BadInput)?;
    Ok(start)
}

/// Whether it is a pickle, or the JSON of the lists that torch's allocator gives: an object of segments, or a list of them.
fn is_snapshot(start: &[u8]) -> bool {
    if let [0x80, 2..=5, ..] = start {
        return true;
    }
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let has = |key: &str| text.contains(key);
    // A document of ours on one has words of it too.
    let is_ours = text.chars().take(200).collect::<String>().contains("\"vramscope_");
    match text.chars().next() {
        Some('{') if is_ours => false,
        Some('{') => has("\"segments\"") && (has("\"total_size\"") || has("\"device_traces\"")),
        Some('[') => has("\"total_size\"") && has("\"blocks\""),
        _ => false,
    }
}

/// Whether it begins as torch-profiler traces do: an object with their keys, or a bare list of events.
fn is_trace(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let has = |key: &str| text.contains(key);
    match text.chars().next() {
        Some('{') => has("\"traceEvents\"") || has("\"deviceProperties\"") || has("\"record_shapes\""),
        Some('[') => has("\"ph\""),
        _ => false,
    }
}
