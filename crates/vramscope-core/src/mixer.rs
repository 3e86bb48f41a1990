//! How tokens of a layer see each other.

/// Which tokens a layer attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// All before.
    Full,
    /// The last so many.
    Sliding(u64),
    /// Those in the same chunk of so many.
    Chunked(u64),
}

/// Normalization of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QkNorm {
    /// None, or one without parameters.
    None,
    /// One vector of the head's size each.
    PerHead,
    /// One vector of the full width each.
    FullWidth,
}

/// A gate over what attention puts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutputGate {
    /// None.
    None,
    /// One number per element, made beside the queries (Qwen3-Next).
    PerElement,
    /// One number per head, by a projection of its own (Laguna, Step).
    PerHead,
}

/// Attention with keys and values per head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub kv_heads: u64,
    /// Width of a key.
    pub head_dim: u64,
    /// Width of a value.
    pub value_dim: u64,
    /// What is attended to.
    pub span: Span,
    /// Queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// The output has a bias.
    pub output_bias: bool,
    /// Normalization of queries and keys.
    pub qk_norm: QkNorm,
    /// One sink logit a head.
    pub sinks: bool,
    /// The gate over the output.
    pub gate: OutputGate,
    /// Values are the keys: there is no projection of their own (Gemma 4's global layers).
    pub value_is_key: bool,
    /// The layer reads another layer's cache and has none of its own.
    pub shares_cache: bool,
}

/// Multi-head latent attention: one compressed vector a token for all heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LatentAttention {
    /// Heads.
    pub heads: u64,
    /// Rank of the query's compression; `None` has a plain projection.
    pub query_rank: Option<u64>,
    /// Rank of the keys' and values' compression.
    pub kv_rank: u64,
    /// Width of a key's rotary part.
    pub rope_dim: u64,
    /// Width of a key's other part.
    pub nope_dim: u64,
    /// Width of a value.
    pub value_dim: u64,
    /// Sparse attention's index: its heads and width. It has a cache of its own.
    pub indexer: Option<Indexer>,
    /// Keys carry positions in their rotary part; else that part is as plain as the other.
    pub rotates: bool,
    /// The layer selects tokens, by its own index or by another layer's.
    pub sparse: bool,
    /// The engine keeps the keys and values of all heads, as in other attention, and not the compressed vector
    /// (MiniCPM 3).
    pub expanded: bool,
}

/// The index by which sparse latent attention selects tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Indexer {
    /// Heads.
    pub heads: u64,
    /// Width of a head.
    pub head_dim: u64,
}

/// Attention over a window of tokens and, before it, over what runs of tokens were compressed to (DeepSeek-V4). One vector
/// is key and value of all heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompressedAttention {
    /// Query heads.
    pub heads: u64,
    /// Width of a head, and of the one vector.
    pub head_dim: u64,
    /// Width of a key's rotary part, which is within the head's.
    pub rope_dim: u64,
    /// Rank of the query's compression.
    pub query_rank: u64,
    /// Groups of heads whose outputs are projected apart.
    pub output_groups: u64,
    /// Rank of the output's compression in each group.
    pub output_rank: u64,
    /// Tokens that are seen as they are.
    pub window: u64,
    /// What earlier ones are compressed by; `None` where they are not seen.
    pub compressor: Option<Compressor>,
}

/// What makes one vector of a run of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Compressor {
    /// Tokens of a run.
    pub tokens: u64,
    /// The index by which compressed vectors are selected; without one all are seen. It has a cache and a compressor of
    /// its own.
    pub indexer: Option<Indexer>,
}

impl Compressor {
    /// Runs that a vector is made of: where it is one of those selected, the run before its own too.
    pub const fn runs(&self) -> u64 {
        if self.indexer.is_some() { 2 } else { 1 }
    }
}

/// A layer with a state of fixed size per sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recurrent {
    /// Mamba, first kind.
    Mamba1 {
        /// Inner width.
        inner: u64,
        /// State per channel.
        state: u64,
        /// Width of the convolution.
        conv: u64,
        /// Rank of the time step.
        time_step_rank: u64,
        /// The convolution has a bias.
        conv_bias: bool,
        /// The projections have a bias.
        projection_bias: bool,
        /// Norms over time step, input and output (Jamba).
        norms: bool,
    },
    /// Mamba, second kind.
    Mamba2 {
        /// Heads.
        heads: u64,
        /// Width of a head.
        head_dim: u64,
        /// Groups of input and output projections.
        groups: u64,
        /// State per channel.
        state: u64,
        /// Width of the convolution.
        conv: u64,
        /// The convolution has a bias.
        conv_bias: bool,
        /// The projections have a bias.
        projection_bias: bool,
        /// The gated norm before the output has a weight.
        gated_norm: bool,
    },
    /// Gated delta net (Qwen3-Next).
    GatedDelta {
        /// Key heads.
        key_heads: u64,
        /// Value heads.
        value_heads: u64,
        /// Width of a key.
        key_dim: u64,
        /// Width of a value.
        value_dim: u64,
        /// Width of the convolution.
        conv: u64,
    },
    /// Kimi's delta attention.
    KimiDelta {
        /// Heads.
        heads: u64,
        /// Width of a head.
        head_dim: u64,
        /// Width of the convolution.
        conv: u64,
    },
    /// Linear (lightning) attention.
    Linear {
        /// Heads.
        heads: u64,
        /// Width of a head.
        head_dim: u64,
    },
    /// A short gated convolution (LFM2).
    ShortConv {
        /// Width in channels.
        channels: u64,
        /// Width of the convolution.
        conv: u64,
        /// It has a bias.
        bias: bool,
    },
}

/// How tokens of a layer see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mixer {
    /// Not at all: the layer has only a feed-forward part.
    None,
    /// By attention.
    Attention(Attention),
    /// By latent attention.
    Latent(LatentAttention),
    /// By attention over compressed tokens.
    Compressed(CompressedAttention),
    /// By a recurrence.
    Recurrent(Recurrent),
    /// By both, side by side (Falcon-H1).
    Parallel(Attention, Recurrent),
}
