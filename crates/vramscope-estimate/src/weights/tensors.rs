//! The tensors of a model as one rank holds them.
//!
//! Shapes follow vLLM 0.25, `model_executor/layers/{linear,vocab_parallel_embedding,fused_moe,mamba}`: projections that
//! share an input are one tensor.

use vramscope_core::{
    Architecture, Attention, Dense, Experts, FeedForward, LatentAttention, Layer, Matrix, Mixer, OutputGate, QkNorm,
    Recurrent, StoredAs,
};

use super::compressed;
use crate::EstimateError;

/// A part of a model by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The table of token vectors, and of positions where learned.
    Embedding,
    /// The projection onto the vocabulary.
    Head,
    /// Attention projections.
    Attention,
    /// Recurrent layers.
    Recurrence,
    /// Dense feed-forward parts.
    FeedForward,
    /// Routed experts.
    Experts,
    /// Shared experts.
    SharedExperts,
    /// Routers.
    Router,
    /// Norms.
    Norms,
    /// What mixes residual streams.
    Streams,
    /// Vision or audio parts.
    Tower,
    /// Tables that are not parameters: rotary positions, scales of the cache.
    Buffers,
    /// Adapters.
    Adapters,
    /// What guesses tokens ahead.
    Drafter,
    /// What the allocator's rounding adds.
    Rounding,
}

impl Part {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Head => "head",
            Self::Attention => "attention",
            Self::Recurrence => "recurrence",
            Self::FeedForward => "feed_forward",
            Self::Experts => "experts",
            Self::SharedExperts => "shared_experts",
            Self::Router => "router",
            Self::Norms => "norms",
            Self::Streams => "residual_streams",
            Self::Tower => "tower",
            Self::Buffers => "buffers",
            Self::Adapters => "adapters",
            Self::Drafter => "drafter",
            Self::Rounding => "allocator_rounding",
        }
    }
}

/// One tensor on one rank: `copies` matrices of `rows` outputs by `columns` inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) part: Part,
    pub(crate) copies: u64,
    pub(crate) rows: u64,
    pub(crate) columns: u64,
    /// Weight of a linear layer, which a quantized checkpoint stores in its format.
    pub(crate) linear: bool,
    /// Which of a layer's matrices it is, where a checkpoint may store it by itself.
    pub(crate) place: Option<Matrix>,
    /// The matrices that were joined into this one.
    pub(crate) joined: u64,
    /// Kept in 32 bits, whatever the model's type.
    pub(crate) wide: bool,
}

impl Tensor {
    pub(crate) fn parameters(&self) -> Option<u64> {
        self.copies.checked_mul(self.rows)?.checked_mul(self.columns)
    }
}

/// How a model is split, and whether the vocabulary is padded as on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) tensor: u64,
    /// Ranks over which whole experts are dealt; 1 splits each expert's width instead.
    pub(crate) experts: u64,
    /// Ranks over which an expert's width is split where experts are not dealt whole: those of all replicas.
    pub(crate) expert_width: u64,
    /// Shared experts stand whole on every rank.
    pub(crate) shared_whole: bool,
    pub(crate) padded: bool,
}

impl Split {
    /// The model as its checkpoint counts it.
    pub(crate) const WHOLE: Self = Self { tensor: 1, experts: 1, expert_width: 1, shared_whole: false, padded: false };

    /// What each of so many ranks holds on a device, of everything but experts.
    pub(crate) fn ranks(tensor: u64) -> Self {
        Self { tensor, experts: 1, expert_width: tensor, shared_whole: false, padded: true }
    }

    /// The same, where replicas share the experts, whole ones (`dealt`) or parts of each.
    ///
    /// Replicas split experts between them with and without expert parallelism (`fused_moe/config.py`,
    /// `FusedMoEParallelConfig.make`). Whole ones under tensor and data parallelism see sequences that are split, and
    /// then shared experts are not (`config/parallel.py`, `use_sequence_parallel_moe`).
    pub(crate) fn of_engine(tensor: u64, replicas: u64, dealt: bool) -> Self {
        let all = tensor.saturating_mul(replicas);
        Self {
            experts: if dealt { all } else { 1 },
            expert_width: all,
            shared_whole: dealt && tensor > 1 && replicas > 1,
            ..Self::ranks(tensor)
        }
    }

    /// An expert's width on one rank.
    pub(crate) fn width_of_experts(self, width: u64) -> Result<u64, EstimateError> {
        match width.is_multiple_of(self.expert_width) {
            true => Ok(width / self.expert_width),
            false => Err(EstimateError::NotDivisible {
                what: "the experts' width",
                size: width,
                name: "--tensor-parallel-size x --data-parallel-size",
                ways: self.expert_width,
            }),
        }
    }

    pub(crate) fn of(self, what: &'static str, size: u64) -> Result<u64, EstimateError> {
        if size.is_multiple_of(self.tensor) {
            return Ok(size / self.tensor);
        }
        Err(EstimateError::NotDivisible { what, size, name: "--tensor-parallel-size", ways: self.tensor })
    }

    /// Key-value heads of one rank: at least one, which is then a copy.
    pub(crate) fn kv_heads(self, heads: u64) -> Result<u64, EstimateError> {
        if heads >= self.tensor {
            return self.of("the key-value heads", heads);
        }
        if self.tensor.is_multiple_of(heads) {
            return Ok(1);
        }
        Err(EstimateError::NotDivisible {
            what: "the ranks over key-value heads",
            size: self.tensor,
            name: "num_key_value_heads",
            ways: heads,
        })
    }

    /// Rows of the vocabulary on one rank.
    pub(crate) fn vocabulary(self, size: u64) -> u64 {
        if self.padded { size.next_multiple_of(64).div_ceil(self.tensor) } else { size }
    }
}

pub(super) type Take<'a> = &'a mut dyn FnMut(Tensor);

/// The weight of a linear layer.
pub(super) fn linear(place: Matrix, rows: u64, columns: u64) -> Tensor {
    let part = match place {
        Matrix::RecurrentIn | Matrix::RecurrentGates | Matrix::RecurrentOut => Part::Recurrence,
        Matrix::GateUp | Matrix::Down => Part::FeedForward,
        Matrix::ExpertsGateUp | Matrix::ExpertsDown | Matrix::LatentExperts => Part::Experts,
        Matrix::SharedGateUp | Matrix::SharedDown => Part::SharedExperts,
        _ => Part::Attention,
    };
    Tensor { part, copies: 1, rows, columns, linear: true, place: Some(place), joined: 1, wide: false }
}

/// A matrix that no method quantizes.
pub(super) fn table(part: Part, rows: u64, columns: u64) -> Tensor {
    Tensor { part, copies: 1, rows, columns, linear: false, place: None, joined: 1, wide: false }
}

pub(super) fn vector(part: Part, length: u64) -> Tensor {
    table(part, length, 1)
}

/// The embedding, with a learned table of positions, and what makes the layers' own inputs (`models/gemma4.py`): a table
/// of them all, and a projection of the embedding onto them, which is split by its rows.
pub(crate) fn embedding(model: &Architecture, split: Split, take: Take<'_>) {
    take(table(Part::Embedding, split.vocabulary(model.vocab_size), model.hidden_size));
    let own = model.own_inputs();
    if own > 0 {
        take(table(Part::Embedding, split.vocabulary(model.own_input_vocab), own));
        take(table(Part::Embedding, own.div_ceil(split.tensor), model.hidden_size));
        take(vector(Part::Norms, model.layers.iter().map(|layer| layer.own_input).max().unwrap_or(0)));
    }
    if model.learned_positions > 0 {
        take(table(Part::Embedding, model.learned_positions, model.hidden_size));
    }
}

/// The projection onto the vocabulary and the norm before it. A tied head is the embedding.
pub(crate) fn head(model: &Architecture, split: Split, own: bool, take: Take<'_>) {
    let rows = split.vocabulary(model.vocab_size);
    if own {
        let quantized = model.quantization.as_ref().is_some_and(|q| q.head != StoredAs::Plain);
        take(Tensor { linear: quantized, ..table(Part::Head, rows, model.hidden_size) });
    }
    if model.head_bias {
        take(vector(Part::Head, rows));
    }
    norms(model.norm_parameters, model.hidden_size, take);
}

/// One layer.
pub(crate) fn layer(layer: &Layer, hidden: u64, split: Split, take: Take<'_>) -> Result<(), EstimateError> {
    match &layer.mixer {
        Mixer::None => {}
        Mixer::Attention(attention) => self::attention(attention, hidden, split, take)?,
        Mixer::Latent(latent) => self::latent(latent, hidden, split, take)?,
        Mixer::Compressed(own) => compressed::attention(own, hidden, split, take)?,
        Mixer::Recurrent(recurrent) => self::recurrent(recurrent, hidden, split, take)?,
        Mixer::Parallel(attention, recurrent) => {
            self::attention(attention, hidden, split, take)?;
            self::recurrent(recurrent, hidden, split, take)?;
        }
    }
    match &layer.feed_forward {
        FeedForward::None => {}
        FeedForward::Dense(dense) => self::dense(dense, DENSE, hidden, split, take)?,
        FeedForward::Experts(experts) => self::experts(experts, hidden, split, take)?,
    }
    if let Some(dense) = &layer.beside {
        self::dense(dense, DENSE, hidden, split, take)?;
    }
    norms(layer.norm_parameters, hidden, take);
    compressed::streams(layer.streams, hidden, take);
    if layer.own_input > 0 {
        // A gate, a way back, and the norm behind it; they stand whole on every rank.
        take(table(Part::FeedForward, layer.own_input, hidden));
        take(table(Part::FeedForward, hidden, layer.own_input));
        take(vector(Part::Norms, hidden));
    }
    Ok(())
}

/// Norms are vectors of the hidden size, each a tensor of its own.
fn norms(parameters: u64, hidden: u64, take: Take<'_>) {
    for start in (0..parameters).step_by(usize::try_from(hidden).unwrap_or(usize::MAX)) {
        take(vector(Part::Norms, hidden.min(parameters - start)));
    }
}

fn attention(a: &Attention, hidden: u64, split: Split, take: Take<'_>) -> Result<(), EstimateError> {
    let heads = split.of("the attention heads", a.heads)?;
    let kv_heads = split.kv_heads(a.kv_heads)?;
    let query = heads * a.head_dim * if a.gate == OutputGate::PerElement { 2 } else { 1 };
    // A checkpoint has no values of their own where they are the keys; the engine makes room for both.
    let values = if a.value_is_key && !split.padded { 0 } else { a.value_dim };
    let rows = query + kv_heads * (a.head_dim + values);
    take(Tensor { joined: 3, ..linear(Matrix::QueryKeyValue, rows, hidden) });
    take(linear(Matrix::Output, hidden, heads * a.value_dim));
    if a.gate == OutputGate::PerHead {
        take(table(Part::Attention, heads, hidden));
    }
    if a.qkv_bias {
        take(vector(Part::Attention, rows));
    }
    if a.output_bias {
        take(vector(Part::Attention, hidden));
    }
    match a.qk_norm {
        QkNorm::None => {}
        QkNorm::PerHead => [a.head_dim; 2].into_iter().for_each(|width| take(vector(Part::Norms, width))),
        QkNorm::FullWidth => {
            [heads, kv_heads].into_iter().for_each(|heads| take(vector(Part::Norms, heads * a.head_dim)));
        }
    }
    if a.sinks {
        take(vector(Part::Attention, heads));
    }
    Ok(())
}

/// The down projections stand whole on every rank; the up projections are split by head.
fn latent(l: &LatentAttention, hidden: u64, split: Split, take: Take<'_>) -> Result<(), EstimateError> {
    let heads = split.of("the attention heads", l.heads)?;
    let query_width = heads * (l.nope_dim + l.rope_dim);
    match l.query_rank {
        Some(rank) => {
            take(Tensor { joined: 2, ..linear(Matrix::LatentDown, rank + l.kv_rank + l.rope_dim, hidden) });
            take(vector(Part::Norms, rank));
            take(linear(Matrix::QueryUp, query_width, rank));
        }
        None => {
            take(linear(Matrix::QueryUp, query_width, hidden));
            take(linear(Matrix::LatentDown, l.kv_rank + l.rope_dim, hidden));
        }
    }
    take(vector(Part::Norms, l.kv_rank));
    take(linear(Matrix::KeyValueUp, heads * (l.nope_dim + l.value_dim), l.kv_rank));
    take(linear(Matrix::Output, hidden, heads * l.value_dim));
    if let Some(index) = l.indexer {
        take(linear(Matrix::Index, index.heads * index.head_dim, l.query_rank.unwrap_or(hidden)));
        // Keys and weights are made by one matrix that no method quantizes, and normalized in 32 bits.
        take(table(Part::Attention, index.head_dim + index.heads, hidden));
        take(Tensor { wide: true, ..vector(Part::Norms, 2 * index.head_dim) });
    }
    Ok(())
}

/// A dense part's two places: gate with first product, and the last.
const DENSE: [Matrix; 2] = [Matrix::GateUp, Matrix::Down];
/// Those of shared experts.
const SHARED: [Matrix; 2] = [Matrix::SharedGateUp, Matrix::SharedDown];

fn dense(d: &Dense, places: [Matrix; 2], hidden: u64, split: Split, take: Take<'_>) -> Result<(), EstimateError> {
    let width = split.of("the feed-forward width", d.width)?;
    let up = if d.gated { 2 } else { 1 };
    let first = linear(places[0], up * width, hidden);
    take(Tensor { joined: up, ..first });
    take(linear(places[1], hidden, width));
    if d.bias {
        take(vector(first.part, up * width));
        take(vector(first.part, hidden));
    }
    Ok(())
}

fn experts(e: &Experts, hidden: u64, split: Split, take: Take<'_>) -> Result<(), EstimateError> {
    let (copies, width) = if split.experts > 1 {
        (e.count.div_ceil(split.experts), e.width)
    } else {
        (e.count, split.width_of_experts(e.width)?)
    };
    let up = if e.gated { 2 } else { 1 };
    take(Tensor { wide: e.router_in_32_bits, ..table(Part::Router, e.count, hidden) });
    if e.table_rows > 0 && split.padded {
        take(Tensor { wide: true, ..table(Part::Buffers, e.table_rows, e.per_token) });
    }
    if e.router_bias {
        take(vector(Part::Router, e.count));
    }
    if e.shared_width > 0 {
        let shared = Dense { width: e.shared_width, gated: e.gated, bias: false };
        let own = if split.shared_whole { Split { tensor: 1, ..split } } else { split };
        dense(&shared, SHARED, hidden, own, take)?;
        if e.shared_gate {
            take(table(Part::Router, 1, hidden));
        }
    }
    let inner = e.latent.unwrap_or(hidden);
    if let Some(latent) = e.latent {
        take(linear(Matrix::LatentExperts, latent, hidden));
        take(linear(Matrix::LatentExperts, hidden, latent));
    }
    take(Tensor { copies, joined: up, ..linear(Matrix::ExpertsGateUp, up * width, inner) });
    take(Tensor { copies, ..linear(Matrix::ExpertsDown, inner, width) });
    if e.bias {
        take(Tensor { copies, ..vector(Part::Experts, up * width) });
        take(Tensor { copies, ..vector(Part::Experts, inner) });
    }
    Ok(())
}

fn recurrent(r: &Recurrent, hidden: u64, split: Split, take: Take<'_>) -> Result<(), EstimateError> {
    use Matrix::{RecurrentGates, RecurrentIn, RecurrentOut};
    let part = Part::Recurrence;
    match *r {
        Recurrent::Mamba1 { inner, state, conv, time_step_rank, conv_bias, projection_bias, norms } => {
            let inner = split.of("the recurrence's width", inner)?;
            take(Tensor { joined: 2, ..linear(RecurrentIn, 2 * inner, hidden) });
            take(table(part, inner, conv));
            take(linear(RecurrentGates, time_step_rank + 2 * state, inner));
            take(linear(RecurrentGates, inner, time_step_rank));
            take(Tensor { wide: true, ..table(part, inner, state) });
            // Time-step bias and skip connection.
            take(vector(part, 2 * inner + if conv_bias { inner } else { 0 }));
            take(linear(RecurrentOut, hidden, inner));
            if projection_bias {
                take(vector(part, 2 * inner + hidden));
            }
            if norms {
                take(vector(Part::Norms, time_step_rank + 2 * state));
            }
        }
        Recurrent::Mamba2 { heads, head_dim, groups, state, conv, conv_bias, projection_bias, gated_norm } => {
            let heads = split.of("the recurrence's heads", heads)?;
            // Groups are copied where ranks outnumber them.
            let groups = if groups.is_multiple_of(split.tensor) { groups / split.tensor } else { 1 };
            let inner = heads * head_dim;
            let channels = inner + 2 * groups * state;
            take(Tensor { joined: 5, ..linear(RecurrentIn, 2 * inner + 2 * groups * state + heads, hidden) });
            take(table(part, channels, conv));
            take(vector(part, 2 * heads + if conv_bias { channels } else { 0 }));
            take(Tensor { wide: true, ..vector(part, heads) });
            if gated_norm {
                take(vector(Part::Norms, inner));
            }
            take(linear(RecurrentOut, hidden, inner));
            if projection_bias {
                take(vector(part, 2 * inner + 2 * groups * state + heads + hidden));
            }
        }
        Recurrent::GatedDelta { key_heads, value_heads, key_dim, value_dim, conv } => {
            let keys = split.of("the recurrence's key heads", key_heads)? * key_dim;
            let heads = split.of("the recurrence's value heads", value_heads)?;
            let values = heads * value_dim;
            take(Tensor { joined: 4, ..linear(RecurrentIn, 2 * keys + 2 * values, hidden) });
            take(Tensor { joined: 2, ..linear(RecurrentGates, 2 * heads, hidden) });
            take(table(part, 2 * keys + values, conv));
            take(vector(part, 2 * heads));
            take(vector(Part::Norms, value_dim));
            take(linear(RecurrentOut, hidden, values));
        }
        Recurrent::KimiDelta { heads, head_dim, conv } => {
            let heads = split.of("the recurrence's heads", heads)?;
            let width = heads * head_dim;
            take(Tensor { joined: 3, ..linear(RecurrentIn, 3 * width, hidden) });
            take(table(part, 3 * width, conv));
            // Two low-rank gates, the rate and its bias.
            take(Tensor { joined: 2, ..linear(RecurrentGates, 2 * head_dim + heads, hidden) });
            take(Tensor { copies: 2, ..linear(RecurrentGates, width, head_dim) });
            take(vector(part, width + heads));
            take(vector(Part::Norms, head_dim));
            take(linear(RecurrentOut, hidden, width));
        }
        Recurrent::Linear { heads, head_dim } => {
            let width = split.of("the recurrence's heads", heads)? * head_dim;
            take(Tensor { joined: 3, ..linear(RecurrentIn, 3 * width, hidden) });
            take(linear(RecurrentIn, width, hidden));
            take(linear(RecurrentOut, hidden, width));
            take(vector(Part::Norms, width));
        }
        Recurrent::ShortConv { channels, conv, bias } => {
            let channels = split.of("the convolution's channels", channels)?;
            take(Tensor { joined: 3, ..linear(RecurrentIn, 3 * channels, hidden) });
            take(table(part, channels, conv));
            take(linear(RecurrentOut, hidden, channels));
            if bias {
                take(vector(part, 5 * channels));
            }
        }
    }
    Ok(())
}
