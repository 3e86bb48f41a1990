//! Memory of a run by layer, as its own config, command line and release have it, beside what its log and its snapshots
//! state of the sums. Nothing is scaled to what they state.

use vramscope_core::{Bytes, EngineKind, Fact, Scope};
use vramscope_estimate::{
    Calibration, EstimateError, GpuModel, Setting, StageLayers, budget_of_loaded, per_layer, weights_on_device,
};
use vramscope_snapshot::Ledger;

use super::expectation::{args, device};
use super::{engine, known};
use crate::derive::DeriveError;
use crate::evidence::Evidence;
use crate::known::Known;

/// Memory of a run by layer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunLayers {
    /// The release by whose rules it is computed.
    pub engine_version: String,
    /// Whether the run states that release; else it is the newest that is known here.
    pub version_stated: bool,
    /// The device's marketing name; words for one of which only the size is known.
    pub gpu: &'static str,
    /// Blocks of the KV cache by what the run states: as printed, by its metrics, or by the tokens that it prints; absent where
    /// nothing tells, and they are predicted.
    pub stated_blocks: Option<u64>,
    /// Each pipeline stage.
    pub stages: Vec<StageLayers>,
    /// Sums that the run states of itself, beside those of the layers.
    pub beside: Vec<Beside>,
    /// What the figures do not say.
    pub notes: Vec<String>,
}

/// A sum of layers and the rest, beside what the run states of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beside {
    /// The stage, counted from 0.
    pub stage: usize,
    /// The rank that stated it, where it was one alone.
    pub rank: Option<u32>,
    /// `weights` or `kv_cache`.
    pub what: &'static str,
    /// The sum, in bytes.
    pub summed: u64,
    /// What is stated, in bytes.
    pub stated: u64,
    /// Half the width of what the stated digits leave open, in bytes.
    pub resolution: Option<u64>,
    /// The sum less what is stated, in bytes.
    pub difference: i64,
    /// `log` or `allocator_snapshot`.
    pub source: &'static str,
    /// The line of the log, or the snapshot's file.
    pub place: String,
}

/// Why a run has no layers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayersError {
    /// No config.json that says what the layers are.
    #[error(
        "the run's model is not known: expected its config.json in the folder; give the model's folder or its config.json \
         with --model"
    )]
    NoConfig,
    /// Layers are known of one engine alone.
    #[error(
        "the run is of {engine}, and layers are computed for {known} alone; `vramscope analyze` without --per-layer explains it"
    )]
    OtherEngine {
        /// The engine.
        engine: &'static str,
        /// The one that is known.
        known: &'static str,
    },
    /// Weights take other forms on other devices.
    #[error(
        "the run's GPU is not known: expected readings or a log that name it, or say how much memory it has; give a log of \
         nvidia-smi with --gpu-log, or ask `vramscope estimate --gpu NAME --per-layer`"
    )]
    NoDevice,
    /// The rules do not apply.
    #[error("failed to take the model apart")]
    Estimate(#[from] EstimateError),
    /// The evidence does not add up.
    #[error(transparent)]
    Derive(#[from] DeriveError),
}

/// Takes a run's weights, KV cache and recurrent state apart by layer.
///
/// Blocks of the KV cache are those that the run states, where it does.
///
/// # Errors
/// If the model's config, the engine or the device is not known, or the model cannot be computed.
pub fn run_layers(evidence: &Evidence) -> Result<RunLayers, LayersError> {
    known(evidence, of)?
}

fn of(run: &Known<'_>) -> Result<RunLayers, LayersError> {
    let kind = run.evidence.engine_kind();
    if let Some(other) = kind.filter(|kind| *kind != EngineKind::Vllm) {
        return Err(LayersError::OtherEngine { engine: other.title(), known: EngineKind::Vllm.title() });
    }
    let model = run.evidence.architecture.as_ref().ok_or(LayersError::NoConfig)?;
    let (index, device) = device(run).ok_or(LayersError::NoDevice)?;
    let mut args = args(run);
    let stated_blocks = engine::blocks(run);
    args.num_gpu_blocks_override = stated_blocks.or(args.num_gpu_blocks_override);
    let others = run.derived.and_then(|derived| derived.baseline.as_ref()?.of(index)).unwrap_or(Bytes::ZERO);
    let setting = Setting { device: &device, others, calibration: Calibration::embedded() };
    let loaded = weights_on_device(model, &args, &device)?;
    let budget = budget_of_loaded(model, &args, setting, &loaded)?;
    let stages = per_layer(model, &args, setting, &loaded, &budget)?;
    let mut layers = RunLayers {
        engine_version: args.version.to_string(),
        version_stated: run.facts.version.is_some()
            || run.evidence.args.as_ref().is_some_and(|args| args.engine_version.is_some()),
        gpu: device.name,
        stated_blocks,
        stages,
        beside: Vec::new(),
        notes: Vec::new(),
    };
    let tensor = usize::try_from(args.tensor_parallel_size).unwrap_or(1).max(1);
    layers.logged(run, tensor);
    layers.snapshots(run);
    layers.notes(&budget.notes);
    if kind.is_none() {
        let engine = EngineKind::Vllm.title();
        layers.notes.push(format!("the run does not say which engine it is of: it is taken for {engine}"));
    }
    if GpuModel::of_size(device.total).name == device.name {
        let note = "the run names no GPU of the table: only its memory is known, and kernels are taken to be an H100's";
        layers.notes.push(note.to_owned());
    }
    layers.notes.extend_from_slice(&run.evidence.notes);
    Ok(layers)
}

impl RunLayers {
    /// What the log states of each rank, or of all of them.
    fn logged(&mut self, run: &Known<'_>, tensor: usize) {
        for (what, facts) in [("weights", &run.facts.weights), ("kv_cache", &run.facts.kv_pool)] {
            // A rank that says it twice has loaded twice: the last one holds.
            let mut last: Vec<&Fact<Bytes>> = Vec::new();
            for fact in facts {
                last.retain(|other| other.scope != fact.scope);
                last.push(fact);
            }
            for fact in last {
                let (stage, rank) = match fact.scope {
                    Scope::ThisRank(rank) => (usize::try_from(rank).unwrap_or_default() / tensor, Some(rank)),
                    // Where stages differ, one figure for every rank is of none in particular.
                    Scope::PerRank if self.stages.len() == 1 => (0, None),
                    Scope::PerRank | Scope::AllRanks => continue,
                };
                let place = format!("line {}", fact.origin.line);
                self.beside(stage, rank, what, (fact.value.get(), fact.resolution), ("log", place));
            }
        }
    }

    /// What the allocator's snapshots have for these parts: of each the last one that has any.
    fn snapshots(&mut self, run: &Known<'_>) {
        let snapshots = &run.evidence.snapshots;
        if snapshots.is_empty() {
            return;
        }
        if self.stages.len() > 1 {
            let note = "an allocator snapshot does not say of which rank it is: with several stages it confirms none";
            self.notes.push(note.to_owned());
            return;
        }
        // Rotary tables are made where weights are, and are among the weights of a rank.
        let parts: [(&'static str, &str, &[&str]); 2] =
            [("weights", "weights", &["weights", "rotary tables"]), ("kv_cache", "KV cache", &["KV cache"])];
        for (what, part, names) in parts {
            let held = snapshots.iter().rev().find_map(|snapshot| {
                let of = |ledger: &Ledger| {
                    let own = ledger.parts.iter().filter(|own| own.name.is_some_and(|name| names.contains(&name)));
                    own.map(|own| own.active).sum::<u64>()
                };
                let has = |ledger: &&Ledger| ledger.parts.iter().any(|own| own.name == Some(part) && own.active > 0);
                Some((of(snapshot.ledgers.iter().find(has)?), snapshot.file.clone()))
            });
            match held {
                Some((bytes, file)) => self.beside(0, None, what, (bytes, None), ("allocator_snapshot", file)),
                None => self.notes.push(format!(
                    "the allocator snapshots tell no {part}: none has blocks whose stacks were recorded and are known as such"
                )),
            }
        }
        self.notes.push(
            "an allocator snapshot confirms sums alone: no function in a stack names the layer for which it asks"
                .to_owned(),
        );
    }

    fn beside(
        &mut self,
        stage: usize,
        rank: Option<u32>,
        what: &'static str,
        (stated, resolution): (u64, Option<Bytes>),
        (source, place): (&'static str, String),
    ) {
        let Some(layers) = self.stages.get(stage) else { return };
        let summed = if what == "weights" { layers.weights.value } else { layers.kv_cache.value };
        let wide = i128::from(summed) - i128::from(stated);
        let difference = i64::try_from(wide).unwrap_or(if wide > 0 { i64::MAX } else { i64::MIN });
        let resolution = resolution.map(Bytes::get);
        self.beside.push(Beside { stage, rank, what, summed, stated, resolution, difference, source, place });
    }

    fn notes(&mut self, of_budget: &[String]) {
        if !self.version_stated {
            let version = &self.engine_version;
            self.notes.push(format!("the run does not state the engine's release: the rules are those of {version}"));
        }
        if self.stated_blocks.is_none() {
            let note =
                "the run states no blocks of its KV cache: their number is predicted, and so is each layer's cache";
            self.notes.push(note.to_owned());
        } else if self.beside.iter().any(|row| row.what == "kv_cache") {
            let note = "the KV cache is the stated blocks times what the config makes of a block; what was left for it may be \
                        larger by less than one block";
            self.notes.push(note.to_owned());
        }
        for what in ["weights", "kv_cache"] {
            if self.beside.iter().all(|row| row.what != what) {
                self.notes
                    .push(format!("nothing in the recording states the {} of a rank", what.replace("kv_", "KV ")));
            }
        }
        self.notes.extend_from_slice(of_budget);
    }
}
