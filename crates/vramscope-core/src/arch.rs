//! The shape of a model.

use crate::mixer::Mixer;
use crate::stored::{Stored, StoredAs};

/// How one number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit float of either kind, and 8-bit exponents.
    F8,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer, signed or not, and booleans.
    I8,
    /// 4-bit float or integer, two to a byte.
    I4,
}

impl ElementType {
    /// Bits of one element.
    pub const fn bits(self) -> u64 {
        match self {
            Self::F64 | Self::I64 => 64,
            Self::F32 | Self::I32 => 32,
            Self::F16 | Self::Bf16 | Self::I16 => 16,
            Self::F8 | Self::I8 => 8,
            Self::I4 => 4,
        }
    }
}

/// How the weight matrices of linear layers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightFormat {
    /// In the model's element type.
    Plain,
    /// 8 bits a weight with one scale per tensor or per output channel (FP8, INT8).
    Byte {
        /// One 32-bit scale per output channel; else one per tensor.
        per_channel: bool,
        /// A scale of the inputs is stored too.
        static_input_scale: bool,
    },
    /// 8-bit floats with one scale per block.
    ByteBlocks {
        /// Output rows of a block.
        rows: u64,
        /// Input columns of a block.
        columns: u64,
        /// Bytes of a scale: 4, or 1 where it is an exponent (MXFP8).
        scale: u64,
    },
    /// Integers of `bits`, packed, with a 16-bit scale per group of inputs (AWQ, GPTQ, compressed-tensors).
    Packed {
        /// Bits of a weight.
        bits: u64,
        /// Inputs that share a scale; `None` is one group per column.
        group: Option<u64>,
        /// A zero point of `bits` per group is stored.
        zero_point: bool,
        /// A 32-bit group index per input is stored (GPTQ with activation order).
        group_index: bool,
    },
    /// bitsandbytes 4 bits: blocks of 64 with a 32-bit scale, or with 8-bit scales that have scales themselves.
    Nf4 {
        /// The scales are quantized too.
        double_quantized: bool,
    },
    /// 4-bit floats with an 8-bit exponent per 32.
    Mxfp4,
    /// 4-bit floats with an 8-bit scale per 16 and a 32-bit one per tensor.
    Nvfp4,
    /// A format that is not known here; its size cannot be computed.
    Unknown,
}

/// The quantization that a checkpoint declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantization {
    /// The method as the config spells it (`awq`, `fp8`, `compressed-tensors`).
    pub method: String,
    /// How linear layers are stored unless a layer says otherwise.
    pub format: WeightFormat,
    /// The further formats of a mixed checkpoint, which layers name by their place here.
    pub others: Vec<WeightFormat>,
    /// How the head is stored; most methods leave it plain.
    pub head: StoredAs,
    /// The element type that the checkpoint wants for the KV cache, where it says so (`fp8`).
    pub kv_cache: Option<String>,
    /// It is stated in a file beside the config, and not in the config itself.
    pub beside_config: bool,
}

/// The part of a layer that sees one token at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedForward {
    /// None.
    None,
    /// One for all tokens.
    Dense(Dense),
    /// Routed experts, with or without shared ones.
    Experts(Experts),
}

/// A dense feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dense {
    /// Inner width.
    pub width: u64,
    /// A gate of the same width multiplies it (three matrices, not two).
    pub gated: bool,
    /// The matrices have biases.
    pub bias: bool,
}

/// A mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Experts {
    /// Routed experts.
    pub count: u64,
    /// Experts that a token visits.
    pub per_token: u64,
    /// Inner width of a routed expert.
    pub width: u64,
    /// Three matrices, not two.
    pub gated: bool,
    /// The experts' matrices have biases.
    pub bias: bool,
    /// Inner width of all shared experts together; zero without.
    pub shared_width: u64,
    /// The shared experts have a gate of one logit.
    pub shared_gate: bool,
    /// The router has a bias or a correction per expert.
    pub router_bias: bool,
    /// The router's matrix stays in 32 bits on a device, whatever the model's type.
    pub router_in_32_bits: bool,
    /// Rows of a table by which a token's own number names its experts (DeepSeek-V4's first layers); zero without.
    pub table_rows: u64,
    /// Routed experts work on vectors of this width, into which and out of which one matrix each leads (latent experts).
    pub latent: Option<u64>,
}

/// One layer of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layer {
    /// How tokens see each other.
    pub mixer: Mixer,
    /// What happens to each token.
    pub feed_forward: FeedForward,
    /// A dense part beside routed experts, over the same tokens (Gemma 4).
    pub beside: Option<Dense>,
    /// Parameters of the layer's own norms.
    pub norm_parameters: u64,
    /// Width of what is embedded for this layer alone and added to its output; zero without (Gemma 4).
    pub own_input: u64,
    /// Residual streams that the layer mixes by matrices of its own before and behind each part (hyper-connections); one
    /// where it only adds.
    pub streams: u64,
    /// How a quantized checkpoint stores the layer's matrices.
    pub stored: Stored,
}

/// A table of rotary positions, kept on every device in the model's element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RotaryTable {
    /// Positions.
    pub positions: u64,
    /// Rotated width.
    pub width: u64,
    /// Positions have sections (time, height, width) that may run ahead of the tokens; engines make the table longer.
    pub sectioned: bool,
    /// Used only by layers with a window (`Some(true)`), only by those without (`Some(false)`), or by all.
    pub windowed: Option<bool>,
    /// Kept in 32 bits, whatever the model's type.
    pub in_32_bits: bool,
}

/// Parameters that are not in the decoder: a vision or audio tower and its projector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tower {
    /// Parameters.
    pub parameters: u64,
    /// Those of them that tensor-parallel ranks split; the others stand whole on every rank.
    pub split: u64,
    /// Attention heads that ranks split; engines refuse a number of ranks that does not divide them. `None` where none
    /// are split, or none are known; the greatest common divisor where towers differ.
    pub heads: Option<u64>,
    /// Counted from the config's own sections by rules for this kind of tower; else a figure that comes near, or none.
    pub counted: bool,
    /// Layers of the tower whose outputs the decoder's first layers add; an engine keeps room for a step of each (DeepStack).
    pub deep: u64,
}

/// On which stages of a pipeline embedding and head stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PipelineEnds {
    /// The embedding on the first, the head on the last.
    #[default]
    Outer,
    /// The embedding on every stage, the head on the last.
    EmbeddingEverywhere,
    /// Both on every stage.
    Everywhere,
}

/// How an implementation carries the residual stream through a layer; it decides what is alive together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Residual {
    /// Added in place together with the norm (Llama and most others).
    InPlace,
    /// Added together with the norm into new tensors (Gemma).
    Copied,
    /// Added by itself (OLMo 2, Falcon-H1).
    Separate,
}

/// What a config says of the longest sequence. Unit: tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// The length that its keys state.
    pub stated: u64,
    /// The same where positions are stretched by a factor, whatever the method.
    pub stretched: u64,
    /// The same where YaRN is not counted as stretching.
    pub stretched_but_for_yarn: u64,
    /// What is taken unless somebody asks for more, where that is less (LongRoPE's original length).
    pub usual: Option<u64>,
    /// Lengths up to this are accepted where somebody asks for them.
    pub accepted: Option<u64>,
}

/// A decoder by its shape, with all that its size in memory depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    /// The class that implements it (`LlamaForCausalLM`).
    pub class: Option<String>,
    /// The family (`llama`).
    pub family: Option<String>,
    /// The rules for this family are known; else the general ones were used.
    pub known_family: bool,
    /// Element type of weights and activations, where stated.
    pub dtype: Option<ElementType>,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Tokens in the vocabulary.
    pub vocab_size: u64,
    /// Tokens that the table of the layers' own inputs knows; zero without.
    pub own_input_vocab: u64,
    /// The head is the embedding.
    pub tied_head: bool,
    /// The head has a bias.
    pub head_bias: bool,
    /// Parameters of norms outside the layers (the last one, the embedding's).
    pub norm_parameters: u64,
    /// Rows of a learned table of positions; zero without.
    pub learned_positions: u64,
    /// The longest sequence that the model was made for.
    pub max_positions: Option<u64>,
    /// The longest sequence as engines derive it, where a key states one.
    pub lengths: Option<Lengths>,
    /// The layers, in order.
    pub layers: Vec<Layer>,
    /// How the implementation carries the residual stream.
    pub residual: Residual,
    /// The implementation still holds a feed-forward part's first product while it computes the last.
    pub holds_first_product: bool,
    /// Embeddings are multiplied by a stored scalar (Gemma).
    pub scaled_embedding: bool,
    /// Where embedding and head stand in a pipeline.
    pub ends: PipelineEnds,
    /// Distinct tables of rotary positions.
    pub rotary: Vec<RotaryTable>,
    /// How a checkpoint's linear layers are stored, where it says so.
    pub quantization: Option<Quantization>,
    /// Element type of the recurrent state where it is not the model's.
    pub recurrent_state: Option<ElementType>,
    /// Vision or audio parts.
    pub tower: Option<Tower>,
    /// Bytes of the checkpoint's tensors that an engine loads, where its headers were read.
    pub stored_bytes: Option<u64>,
    /// Extra layers that predict further tokens; loaded only for speculative decoding.
    pub draft_layers: u64,
    /// Keys of the config that are not understood here and by their names and values could shape weights or cache, with
    /// the sections that they stand in (`text_config.swa_rank`). Figures of such a model are estimates.
    pub unread: Vec<String>,
}

impl Architecture {
    /// The layers as runs of equal ones.
    pub fn runs(&self) -> impl Iterator<Item = (&Layer, u64)> {
        self.layers.chunk_by(|a, b| a == b).map(|run| (&run[0], run.len() as u64))
    }

    /// Where those runs lie.
    pub fn run_ranges(&self) -> Vec<std::ops::Range<usize>> {
        let mut start = 0;
        let ends = self.layers.chunk_by(|a, b| a == b).map(<[Layer]>::len);
        ends.map(|length| {
            start += length;
            start - length..start
        })
        .collect()
    }

    /// The width of all layers' own inputs together.
    pub fn own_inputs(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.own_input))
    }

    /// The residual streams that the layers carry side by side.
    pub fn streams(&self) -> u64 {
        self.layers.iter().map(|layer| layer.streams).max().unwrap_or(1)
    }

    /// Whether any layer has routed experts.
    pub fn has_experts(&self) -> bool {
        self.layers.iter().any(|l| matches!(l.feed_forward, FeedForward::Experts(_)))
    }

    /// Whether any layer uses latent attention.
    pub fn has_latent_attention(&self) -> bool {
        self.layers.iter().any(|l| matches!(l.mixer, Mixer::Latent(_)))
    }

    /// Whether any layer attends to compressed tokens.
    pub fn has_compressed_attention(&self) -> bool {
        self.layers.iter().any(|l| matches!(l.mixer, Mixer::Compressed(_)))
    }

    /// Whether any layer has a recurrent state.
    pub fn has_recurrence(&self) -> bool {
        self.layers.iter().any(|l| matches!(l.mixer, Mixer::Recurrent(_) | Mixer::Parallel(..)))
    }
}
