//! The time of one step.

use vramscope_core::{Architecture, WeightFormat};

use super::constants::TimeConstants;
use super::doubts::TimeDoubts;
use super::figure::{Bound, StepParts};
use super::float;
use super::limits::DeviceLimits;
use super::work::{Matrices, Work};
use crate::vllm::budget::Budget;
use crate::{EngineArgs, EstimateError, GpuModel, Weights};

/// What a step does for one sequence. Unit: tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sequence {
    /// Tokens that are computed: one where a further token is drawn, more where a prompt is read.
    pub new: u64,
    /// Tokens of the sequence with these.
    pub length: u64,
    /// The step draws a token of it: all but the earlier chunks of a prompt.
    pub draws: bool,
}

impl Sequence {
    /// A sequence that grows by one token to this length.
    pub const fn drawn(length: u64) -> Self {
        Self { new: 1, length, draws: true }
    }

    /// So many tokens of a prompt, up to this length of it; `draws` for the last of its chunks.
    pub const fn prompt(new: u64, length: u64, draws: bool) -> Self {
        Self { new, length, draws }
    }
}

/// A step as its sums.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    tokens: f64,
    /// Sequences of which a token is drawn.
    drawn: f64,
    sequences: f64,
    /// Prompts, whole or in chunks.
    prompts: f64,
    /// For each span: tokens of which the cache is read, and pairs of a token and one that it sees, of prompts and of
    /// single tokens.
    seen: Vec<[f64; 3]>,
}

/// A model on a device, as its steps take time.
#[derive(Debug, Clone)]
pub struct StepModel {
    /// What a step reads and computes.
    pub work: Work,
    /// What the device can do.
    pub limits: DeviceLimits,
    constants: &'static TimeConstants,
    /// Tokens of the largest step that a graph of the whole step is there for, and of the largest in pieces.
    whole_tokens: u64,
    piece_tokens: u64,
    /// Most tokens and sequences of a step.
    pub(super) budget: (u64, u64),
    pub(super) doubts: TimeDoubts,
}

/// A model of an engine's steps, or why there is none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TimePrediction {
    /// Its steps.
    Predicted(Box<StepModel>),
    /// Nothing is predicted, for this reason.
    NotPredicted(&'static str),
}

/// A step's time. Unit: seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepTime {
    /// All of it.
    pub seconds: f64,
    /// Its parts, which add up to it.
    pub parts: StepParts,
    /// What bounds it.
    pub bound: Bound,
    /// Bytes of weights and cache that are read.
    pub bytes: f64,
    /// Operations of products and attention.
    pub operations: f64,
}

/// Kernels that a layer starts one by one where no graph holds them: in a step of few tokens what is between the mixers is
/// in graphs.
const LAUNCHES: f64 = 13.0;
const LAUNCHES_OF_PIECES: f64 = 5.0;
/// A sum over ranks after attention and one after the feed-forward part.
const SUMS_OF_LAYER: f64 = 2.0;

impl TimePrediction {
    /// A model on its device. `weights` and `budget` must be of the same model, arguments and device.
    ///
    /// # Errors
    /// As [`crate::parameter_count`].
    pub fn of(
        model: &Architecture,
        args: &EngineArgs,
        device: &GpuModel,
        weights: &Weights,
        budget: &Budget,
    ) -> Result<Self, EstimateError> {
        let engine = &budget.engine;
        let not = |why: &'static str| Ok(Self::NotPredicted(why));
        let Some(limits) = DeviceLimits::of(device) else {
            return not("nobody knows here how fast this device reads and multiplies");
        };
        if engine.drafted {
            return not("how many of a drafter's tokens are accepted is not known");
        }
        if engine.data_parallel_size > 1 {
            return not("replicas that share experts wait for each other, which is not modelled");
        }
        Ok(Self::Predicted(Box::new(StepModel {
            work: Work::of(model, engine, weights, &budget.plan)?,
            limits,
            constants: TimeConstants::embedded(),
            whole_tokens: engine.whole_tokens,
            piece_tokens: engine.capture_tokens,
            budget: (engine.max_num_batched_tokens, engine.max_num_seqs),
            doubts: TimeDoubts::of(model, args, device, budget, &limits),
        })))
    }
}

impl StepModel {
    /// How sure its times are.
    pub fn doubts(&self) -> &TimeDoubts {
        &self.doubts
    }

    /// Tokens of the largest steps that graphs are there for: whole steps of one token a sequence, and others in pieces;
    /// and most tokens of a step.
    pub fn graphs(&self) -> [u64; 3] {
        [self.whole_tokens, self.piece_tokens, self.budget.0]
    }

    /// The time of a step.
    pub fn step(&self, sequences: &[Sequence]) -> StepTime {
        let mut load = Load::default();
        sequences.iter().for_each(|sequence| self.add(&mut load, *sequence, 1.0));
        self.time(&load)
    }

    /// Adds so many equal sequences to a step.
    pub(super) fn add(&self, load: &mut Load, sequence: Sequence, times: f64) {
        load.seen.resize(self.work.spans.len(), [0.0; 3]);
        let (new, length) = (float(sequence.new), float(sequence.length));
        let is_prompt = sequence.new > 1;
        load.tokens += new * times;
        load.sequences += times;
        load.prompts += if is_prompt { times } else { 0.0 };
        load.drawn += if sequence.draws { times } else { 0.0 };
        for (span, seen) in self.work.spans.iter().zip(&mut load.seen) {
            let window = span.window.map_or(f64::INFINITY, float);
            seen[0] += length.min(window + new) * times;
            // Each token of a chunk sees those before it: in the mean half of the chunk less than its last one.
            let pairs = new * (length - new / 2.0).min(window) * times;
            seen[if is_prompt { 1 } else { 2 }] += pairs;
        }
    }

    /// What a batch takes beside its steps.
    pub(super) fn of_batch(&self) -> f64 {
        self.constants.batch
    }

    /// What a server takes to hand a request to the engine and its first token back, and what a client takes from one request
    /// to the next. Unit: seconds.
    pub(super) fn of_request(&self) -> [f64; 2] {
        [self.constants.request, self.constants.send]
    }

    /// What the device takes for a step, and what the host takes to start it. Unit: seconds.
    pub(super) fn apart(&self, load: &Load) -> (f64, f64) {
        (self.device(load).seconds, self.host(load))
    }

    pub(super) fn time(&self, load: &Load) -> StepTime {
        let mut step = self.device(load);
        step.parts.host = (self.host(load) - step.parts.sum()).max(0.0);
        StepTime { seconds: step.parts.sum(), bound: step.parts.bound(), ..step }
    }

    /// What the device takes.
    fn device(&self, load: &Load) -> StepTime {
        let (constants, limits, work) = (self.constants, &self.limits, &self.work);
        let (mut parts, mut bytes, mut operations) = (StepParts::default(), 0.0, 0.0);
        let (read, rate) = self.of_format(work.format);
        // Products read their weights while they multiply: one hides the other, but for where both are nearly as long.
        let mut product = |matrices: Matrices, share: f64, rate: f64, tokens: f64| {
            bytes += matrices.bytes;
            operations += 2.0 * tokens * matrices.elements;
            let reading = matrices.bytes / (share * limits.bandwidth);
            let multiplying = 2.0 * tokens * matrices.elements / (constants.multiply * rate * limits.matmul);
            let both = reading.hypot(multiplying);
            if both > 0.0 {
                let of_reading = both * (reading / both).powi(2);
                parts.weights += of_reading;
                parts.compute += both - of_reading;
            }
        };
        product(work.dense, read, rate, load.tokens);
        product(work.head, constants.read_plain, 1.0, load.drawn);
        if let Some(experts) = &work.experts {
            let visited = experts.visited(load.tokens);
            let all = experts.all;
            let matrices = Matrices { bytes: all.bytes * visited, elements: all.elements };
            // A token visits `per_token` of `count` experts.
            product(matrices, read * constants.read_experts, rate, load.tokens * experts.per_token / experts.count);
        }
        for (span, seen) in work.spans.iter().zip(&load.seen) {
            let [read, prompt, single] = *seen;
            let of_cache = span.bytes_per_token * read;
            let of_pairs = span.prompt_operations * prompt + span.single_operations * single;
            bytes += of_cache;
            operations += of_pairs;
            parts.kv += of_cache / (constants.read_cache * limits.bandwidth);
            parts.compute += of_pairs / (constants.attend * limits.matmul);
        }
        let of_states = work.state_bytes * load.sequences;
        bytes += of_states;
        parts.kv += of_states / (constants.read_cache * limits.bandwidth);
        parts.launch = work.kernels * constants.kernel + constants.step + load.prompts * constants.prompt;
        parts.communication = self.communication(load.tokens);
        StepTime { seconds: parts.sum(), parts, bound: parts.bound(), bytes, operations }
    }

    /// Share of the copy rate at which weights of a format are read, and the rate of their products beside that of 16 bits.
    fn of_format(&self, format: WeightFormat) -> (f64, f64) {
        let constants = self.constants;
        match format {
            WeightFormat::Plain | WeightFormat::Unknown => (constants.read_plain, 1.0),
            WeightFormat::Byte { .. } | WeightFormat::ByteBlocks { .. } => {
                (constants.read_byte, constants.multiply_byte)
            }
            WeightFormat::Packed { .. } | WeightFormat::Nf4 { .. } => (constants.read_packed, 1.0),
            WeightFormat::Mxfp4 | WeightFormat::Nvfp4 => (constants.read_float4, 1.0),
        }
    }

    fn communication(&self, tokens: f64) -> f64 {
        let (constants, work) = (self.constants, &self.work);
        let vectors = tokens * work.token_bytes;
        let rate = constants.link * self.limits.link;
        let mut seconds = 0.0;
        if work.ranks > 1.0 {
            let sent = 2.0 * (work.ranks - 1.0) / work.ranks * vectors / rate;
            let start = constants.sum_ranks + constants.sum_further * (work.ranks - 2.0);
            seconds += SUMS_OF_LAYER * work.layers * (start + sent);
        }
        seconds + (work.stages - 1.0) * (constants.sum_ranks + vectors / rate)
    }

    /// What the host takes meanwhile for the next step, or to start this one's kernels where they are in no graph.
    fn host(&self, load: &Load) -> f64 {
        let constants = self.constants;
        let prepares = constants.host + constants.host_sequence * load.sequences;
        let launches = if load.prompts == 0.0 && load.tokens <= float(self.whole_tokens) {
            return prepares;
        } else if load.tokens <= float(self.piece_tokens) {
            LAUNCHES_OF_PIECES
        } else {
            LAUNCHES
        };
        prepares.max(self.work.layers * launches * constants.host_launch)
    }
}
