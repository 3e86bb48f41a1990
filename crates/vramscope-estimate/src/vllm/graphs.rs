//! Memory of captured graphs: what the engine sets aside for them, and what they take.
//!
//! Their tensors follow from shapes ([`shapes`]); what the driver keeps of a graph is measured, and goes by the number of
//! graphs and of the layers in one. Follows `v1/worker/gpu/cudagraph_utils.py` of 0.33 and the recordings' captures.

mod shapes;
mod warm_up;

use vramscope_core::{Architecture, Confidence, Mixer, Vendor, WeightFormat};

use crate::calibration::{Calibration, Constant};
use crate::device::GpuModel;
use crate::figure::Figure;
use crate::vllm::activations::Runner;
use crate::vllm::drafts::DraftMethod;
use crate::vllm::graphs::shapes::Tensors;
use crate::vllm::input::EngineArgs;
use crate::vllm::resolve::{Resolved, estimates_graphs};

const MIB: u64 = 1 << 20;

/// What is captured.
pub(crate) struct Capture<'a> {
    engine: &'a Resolved,
    device: &'a GpuModel,
    tensors: Tensors,
    /// Graphs of one size where a step is captured in pieces: between mixers, before the first and after the last.
    pieces: u64,
    /// Layers of a stage.
    layers: u64,
    /// Sizes captured in pieces, with adapters and without.
    in_pieces: u64,
    /// Sizes captured whole.
    whole: u64,
    nodes: Nodes,
    told: bool,
    /// A head drafts from the model's states, and has graphs of its own.
    drafts: bool,
}

/// What a layer's kernels cost the driver beside a dense one's, in per mille, and how far that was measured.
#[derive(Debug, Clone, Copy)]
struct Nodes {
    piece: u64,
    whole: u64,
    recorded: bool,
}

impl Nodes {
    /// Dense layers are the measure (seven models). Experts: Qwen3-30B-A3B; 4 bits: an AWQ checkpoint of Llama-3.1-8B;
    /// adapters: the same model with LoRA; latent attention with experts: DeepSeek-V2-Lite; recurrences: a Nemotron 3 of
    /// 13 layers. One recording each, vLLM 0.33.0 on an H200.
    fn of(model: &Architecture, engine: &Resolved, adapters: bool) -> Self {
        let convolves = |mixer: &Mixer| matches!(mixer, Mixer::Attention(_) | Mixer::None) || is_convolution(mixer);
        let (piece, whole) = if model.has_latent_attention() || model.has_compressed_attention() {
            (1680, 3300)
        } else if !model.layers.iter().all(|layer| convolves(&layer.mixer)) {
            (1370, 1470)
        } else if matches!(engine.format, WeightFormat::Packed { .. }) {
            (1130, 1600)
        } else if adapters {
            (1090, 1340)
        } else if model.has_experts() {
            (1060, 1200)
        } else {
            return Self { piece: 1000, whole: 1000, recorded: engine.format == WeightFormat::Plain };
        };
        Self { piece, whole, recorded: false }
    }
}

fn is_convolution(mixer: &Mixer) -> bool {
    matches!(mixer, Mixer::Recurrent(vramscope_core::Recurrent::ShortConv { .. }))
}

impl<'a> Capture<'a> {
    pub(crate) fn new(
        model: &Architecture,
        args: &EngineArgs,
        engine: &'a Resolved,
        device: &'a GpuModel,
        runs: &[std::ops::Range<usize>],
    ) -> Self {
        const TOLD: [&str; 2] = ["--compilation-config", "--optimization-level"];
        let told = args.unmodelled.iter().any(|option| TOLD.iter().any(|name| option.starts_with(name)));
        let stages = engine.pipeline_parallel_size.max(1);
        let mixers = model.layers.iter().filter(|layer| layer.mixer != Mixer::None).count() as u64;
        // Adapters are captured with and without.
        let doubled = if args.lora.is_some() { 2 } else { 1 };
        let third = args.drafter.as_ref().is_some_and(|drafter| drafter.method == DraftMethod::Eagle3);
        Self {
            engine,
            device,
            tensors: Tensors::of(model, engine, device, runs, third),
            pieces: mixers.div_ceil(stages) + 1,
            layers: (model.layers.len() as u64).div_ceil(stages),
            in_pieces: engine.sizes_in_pieces.saturating_mul(doubled),
            whole: engine.whole_sizes.saturating_mul(doubled),
            nodes: Nodes::of(model, engine, args.lora.is_some()),
            told,
            drafts: engine.drafts_from_states,
        }
    }

    /// What the driver keeps of the graphs of all pieces.
    fn of_pieces(&self, each: u64) -> u64 {
        each.saturating_mul(self.pieces).saturating_mul(self.in_pieces) / 1000 * self.nodes.piece
    }

    /// What it keeps of so many whole graphs.
    fn of_whole(&self, each: u64, graphs: u64) -> u64 {
        each.saturating_mul(self.layers).saturating_mul(graphs) / 1000 * self.nodes.whole
    }

    /// How far below and above the truth may lie, in per cent, and how sure that is.
    fn margins(&self) -> (u64, u64, Confidence) {
        let engine = self.engine;
        if self.told {
            return (100, 150, Confidence::Assumed);
        }
        let lone = engine.tensor_parallel_size == 1 && engine.pipeline_parallel_size == 1;
        let recorded = self.device.is_hopper() && engine.version.is_recorded() && lone && !self.drafts;
        match (recorded, self.nodes.recorded && engine.runner == Runner::V2 && engine.version.from_minor(30)) {
            (true, true) => (10, 15, Confidence::Estimated),
            (true, false) => (30, 35, Confidence::Estimated),
            // A drafter's own graphs were recorded twice.
            (false, _) if self.drafts => (40, 80, Confidence::Assumed),
            (false, _) => (50, 100, Confidence::Assumed),
        }
    }

    fn widened(&self, figure: Figure, more: u64) -> Figure {
        let (below, above, confidence) = self.margins();
        let low = figure.value.saturating_sub(figure.value / 100 * below);
        let high = figure.value.saturating_add(figure.value / 100 * above).saturating_add(more);
        figure.within(low, high, confidence)
    }
}

/// Graphs as they end up on the device.
pub(crate) fn captured(capture: &Capture<'_>, calibration: &Calibration) -> Figure {
    let engine = capture.engine;
    if engine.capture_sizes == 0 {
        return Figure::exact(0, "eager", "no graphs are captured");
    }
    let tensors = &capture.tensors;
    let (piece, layer) = (calibration.graph_piece.value, calibration.graph_layer.value);
    // The trial capture's pieces are not given back, and the real one finds them there.
    let pieces = if by_trial(engine) { 0 } else { capture.of_pieces(piece) };
    let whole = capture.of_whole(layer, capture.whole.saturating_sub(1));
    let fixed = tensors.captured(engine);
    let value = fixed.saturating_add(pieces).saturating_add(whole);
    let figure = Figure::exact(
        value,
        "tensors_and_nodes",
        "tensors of the pieces + attention's accumulators + workspaces + graphs in pieces x measured bytes + layers x \
         whole graphs x measured bytes",
    )
    .with(&[
        ("graphs_in_pieces", capture.pieces.saturating_mul(capture.in_pieces)),
        ("layers", capture.layers),
        ("whole_graphs", capture.whole),
        ("accumulators", tensors.accumulators),
        ("tensors", fixed),
    ]);
    // Who accumulates was seen on Hopper alone, and how often differed in 0.25.
    let more = match (tensors.accumulators, engine.version.from_minor(28)) {
        (0, _) => tensors.split_once,
        (_, true) => 0,
        (accumulators, false) => accumulators,
    };
    capture.widened(figure, more)
}

/// What the engine takes off its budget for graphs: an estimate by a trial capture, or nothing.
pub(crate) fn budgeted(capture: &Capture<'_>, calibration: &Calibration) -> Figure {
    let (engine, device) = (capture.engine, capture.device);
    if by_trial(engine) && device.vendor == Vendor::Nvidia {
        return on_trial(capture, calibration);
    }
    if !estimates_graphs(engine, device) {
        return Figure::exact(0, "not_budgeted", "this engine sets nothing aside for graphs");
    }
    by_first_runner(capture, &calibration.graphs_v1_estimate)
}

/// The second runner's estimate: the trial capture, 1 MiB for each whole graph but the first, and what the second whole
/// size's warm-up gave back inside the measured window, which a negative sample makes count.
fn on_trial(capture: &Capture<'_>, calibration: &Calibration) -> Figure {
    let engine = capture.engine;
    if engine.capture_sizes == 0 {
        return Figure::exact(0, "eager", "no graphs are captured");
    }
    let tensors = &capture.tensors;
    let pieces = capture.of_pieces(calibration.graph_piece.value);
    let whole = capture.of_whole(calibration.graph_layer.value, 1);
    let trial = tensors.captured(engine).saturating_add(pieces).saturating_add(whole);
    let least = capture.whole.saturating_sub(1).saturating_mul(MIB);
    // The sample has the second graph's own memory in it.
    let given_back = if tensors.followed { tensors.given_back.saturating_sub(whole) } else { tensors.given_back };
    let figure = Figure::exact(
        trial.saturating_add(least).saturating_add(given_back),
        "engine_trial_capture",
        "trial capture + 1 MiB x whole graphs + what the second whole size's warm-up gives back",
    )
    .with(&[
        ("trial_capture", trial),
        ("whole_graphs", capture.whole),
        ("given_back", given_back),
        ("graphs_in_pieces", capture.pieces.saturating_mul(capture.in_pieces)),
    ]);
    // A tensor that lies elsewhere than was followed lets the warm-up have its accumulators once more, or once less.
    let (less, more) = match tensors.second {
        0 => (0, 2 * tensors.split_once),
        second if tensors.followed && tensors.given_back >= 2 * second => (second, 0),
        second => (0, second),
    };
    let figure = capture.widened(figure, more);
    let (low, high, confidence) = (figure.low.saturating_sub(less), figure.high, figure.confidence);
    let figure = figure.within(low, high, confidence);
    // Read in 0.30, 0.32 and 0.33; 0.28 sets nothing aside.
    if engine.version.from_minor(30) {
        figure
    } else {
        let (value, high) = (figure.value / 2, figure.high);
        Figure { value, ..figure }.within(0, high, Confidence::Assumed)
    }
}

/// The first runner's: what the second of two graphs took, times the sizes. Segments of the allocator decide it, not layers.
fn by_first_runner(capture: &Capture<'_>, each: &Constant) -> Figure {
    let engine = capture.engine;
    let sizes = engine.capture_sizes;
    let of = |bytes: u64| bytes.saturating_mul(sizes);
    let ranks = if engine.tensor_parallel_size > 1 { 2 } else { 1 };
    let formula = "captured sizes x measured bytes of each in the engine's estimate";
    let (low, told) = if capture.told { (0, 2) } else { (of(each.low), 1) };
    let mut figure = Figure::exact(of(each.value), "engine_estimate", formula)
        .with(&[("captured_sizes", sizes), ("bytes_each", each.value)])
        .within(low, of(each.high).saturating_mul(ranks * told), Confidence::Assumed);
    // The engine counts at least 1 MiB for every graph but the first, once in pieces and once whole
    // (`v1/worker/gpu_model_runner.py`, `profile_cudagraph_memory`).
    let floor = engine.capture_sizes.saturating_sub(1) << 21;
    let low = if capture.told { 0 } else { figure.low.max(floor) };
    (figure.value, figure.low, figure.high) = (figure.value.max(floor), low, figure.high.max(floor));
    figure
}

/// Whether the second runner's graphs are captured once by trial and then for good, as since 0.30. Up to 0.28 that runner
/// estimates none (`v1/worker/gpu/model_runner.py`, `profile_cudagraph_memory`).
fn by_trial(engine: &Resolved) -> bool {
    engine.runner == Runner::V2 && engine.version.from_minor(29)
}
