//! Recorded engines: what they were told, and what they did.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;
use vramscope_analysis::read_config_text;
use vramscope_core::{Architecture, Bytes, EngineFacts};
use vramscope_estimate::{CommandLine, EngineArgs};
use vramscope_log::LogParser;
use vramscope_runs::{FileError, layout, read_whole};

/// What was told and what was read inside is some kilobytes; a larger file is no recording's.
const MOST_TOLD_BYTES: u64 = 64 << 20;
/// What is read of a log at a time.
const PIECE: usize = 256 << 10;

/// One engine.
pub(super) struct Recording {
    pub(super) run: String,
    /// The model's name, by which runs are left out together.
    pub(super) model: String,
    pub(super) architecture: Architecture,
    pub(super) args: EngineArgs,
    /// What other processes held on the device.
    pub(super) others: Bytes,
    pub(super) truth: Truth,
}

/// What the engine did. Figures read inside it are exact; what only its log has is rounded.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) weights: Option<Known>,
    pub(super) activation_peak: Option<Known>,
    pub(super) non_torch: Option<u64>,
    pub(super) graphs_budgeted: Option<u64>,
    /// As the log says, to a hundredth of a GiB.
    pub(super) graphs: Option<u64>,
    pub(super) kv_cache: Option<Known>,
    pub(super) blocks: Option<u64>,
    /// What the process held before its first snapshot, where nobody else held anything.
    pub(super) context: Option<u64>,
    /// The name of the failure, for an engine that did not start.
    pub(super) failure: Option<String>,
}

/// A size with half the step to which it was rounded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) bytes: u64,
    pub(super) within: u64,
}

impl Known {
    fn exact(bytes: u64) -> Self {
        Self { bytes, within: 0 }
    }
}

/// All recordings of a folder, by name.
pub(super) fn load(folder: &Path) -> anyhow::Result<Vec<Recording>> {
    let mut runs = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.join(layout::ARGS).is_file() && path.join(layout::MODEL_CONFIG).is_file() {
            runs.push(recording(&path).with_context(|| format!("could not use {}", path.display()))?);
        }
    }
    runs.sort_by(|a, b| a.run.cmp(&b.run));
    Ok(runs)
}

fn recording(folder: &Path) -> anyhow::Result<Recording> {
    let told: Value = serde_json::from_slice(&read_whole(&folder.join(layout::ARGS), MOST_TOLD_BYTES)?)?;
    let words: Vec<&str> = told["argv"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let version = told["vllm"].as_str().context("args.json does not say the engine's version")?.parse()?;
    let mut args = CommandLine::read(&words, EngineArgs { version, ..EngineArgs::default() })?.args;
    args.take_environment(|name| told["env"][name].as_str().map(str::to_owned));
    if let Some(drafter) = args.drafter.as_mut().filter(|drafter| drafter.wants_model()) {
        // The recorder leaves the drafter's config beside the model's.
        let json = read_config_text(&folder.join("draft_config.json"))?;
        drafter.draft = Some(Box::new(vramscope_models::read_draft_config(&json)?.0));
    }
    let (architecture, _) = vramscope_models::read_config(&read_config_text(&folder.join(layout::MODEL_CONFIG))?)
        .context("config.json cannot be used")?;
    let facts = facts(&folder.join("vllm.log"))?;
    let read = match read_whole(&folder.join("truth.json"), MOST_TOLD_BYTES) {
        Err(error) if is_absent(&error) => None,
        read => Some(serde_json::from_slice::<Value>(&read?).context("truth.json is no JSON")?),
    };
    let hog = told["hog_gib"].as_u64().map(|gib| Bytes::new(gib << 30));
    let mut truth = from_log(&facts);
    if let Some(read) = &read {
        from_inside(&mut truth, read, hog.is_some());
    }
    Ok(Recording {
        run: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        model: told["model"].as_str().unwrap_or("unnamed").to_owned(),
        architecture,
        args,
        others: hog.unwrap_or(Bytes::ZERO),
        truth,
    })
}

/// What the log states, read a piece at a time; an engine may have left none.
fn facts(log: &Path) -> anyhow::Result<EngineFacts> {
    let mut source = match vramscope_runs::open(log) {
        Err(error) if is_absent(&error) => return Ok(EngineFacts::default()),
        source => source?,
    };
    let mut parser = LogParser::new();
    let mut piece = vec![0; PIECE];
    loop {
        match source.read(&mut piece) {
            Ok(0) => break,
            Ok(got) => parser.push_bytes(&piece[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("vllm.log cannot be read to its end"),
        }
    }
    Ok(parser.finish().engines.into_iter().next().map(|engine| engine.facts).unwrap_or_default())
}

fn is_absent(error: &FileError) -> bool {
    matches!(error, FileError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

fn from_log(facts: &EngineFacts) -> Truth {
    let known = |list: &[vramscope_core::Fact<Bytes>]| {
        let fact = list.first()?;
        Some(Known { bytes: fact.value.get(), within: fact.resolution.map_or(0, Bytes::get) })
    };
    Truth {
        weights: known(&facts.weights),
        kv_cache: known(&facts.kv_pool),
        graphs: facts.graphs.first().map(|fact| fact.value.get()),
        blocks: facts.gpu_blocks.first().map(|fact| fact.value),
        failure: facts.failures.first().map(|failure| failure.kind.name().to_owned()),
        ..Truth::default()
    }
}

fn from_inside(truth: &mut Truth, read: &Value, shared: bool) {
    let figure = |name: &str| read[name].as_u64();
    truth.weights = figure("model_memory_usage").map(Known::exact).or(truth.weights);
    // Since 0.28 the engine's own figure of the peak holds its estimate of the graphs too; the trial run's does not.
    let run = &read["profile"];
    let transient = run["transient_peak_headroom"].as_u64().or(figure("peak_activation_memory"));
    truth.activation_peak = transient.map(Known::exact);
    truth.non_torch = run["non_torch_increase"].as_u64().or(figure("non_torch_memory"));
    // The log tells of a trial capture first, which is given back.
    truth.graphs = read["graphs"]["capture_model"]["returned"].as_u64().or(truth.graphs);
    truth.graphs_budgeted = figure("cudagraph_memory_estimate");
    truth.kv_cache = figure("kv_tensor_bytes").filter(|bytes| *bytes > 0).map(Known::exact).or(truth.kv_cache);
    truth.blocks = figure("num_gpu_blocks").or(truth.blocks);
    truth.context = figure("init_non_torch").filter(|_| !shared);
}
