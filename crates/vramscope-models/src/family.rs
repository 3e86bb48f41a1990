//! What a family's implementation has that its config does not state.
//!
//! The facts follow vLLM 0.25 to 0.33, `model_executor/models/*`, and the published parameter totals.

use vramscope_core::{PipelineEnds, QkNorm, Residual};

/// Whether a projection has a bias.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bias {
    Never,
    Always,
    /// As this field of the config says, or the default beside it.
    Field(&'static str, bool),
}

/// Which layers see only a window of tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Windows {
    /// All, if the config names a window.
    All,
    /// All but every n-th; n is `sliding_window_pattern`, or the number here.
    AllButEvery(u64),
    /// Those from `max_window_layers` up, if `use_sliding_window` says so.
    FromLayer,
    /// Chunks of `attention_chunk_size`, but every fourth layer sees all.
    Chunks,
    /// None, whatever the config says.
    Never,
}

/// Rules for one family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    /// Names in `model_type`.
    pub(crate) names: &'static [&'static str],
    pub(crate) qkv_bias: Bias,
    pub(crate) output_bias: Bias,
    pub(crate) qk_norm: QkNorm,
    /// Vectors of the hidden size in a layer's norms.
    pub(crate) norm_vectors: u64,
    /// Vectors of the hidden size in the last norm (and in the embedding's).
    pub(crate) outer_norm_vectors: u64,
    /// Three matrices in a feed-forward part, unless the activation says otherwise.
    pub(crate) gated: bool,
    pub(crate) mlp_bias: Bias,
    /// The head is tied where the config does not say.
    pub(crate) tied: bool,
    pub(crate) windows: Windows,
    pub(crate) sinks: bool,
    pub(crate) router_bias: bool,
    /// The router's matrix is made in 32 bits (`params_dtype=torch.float32` of its class).
    pub(crate) router_in_32_bits: bool,
    pub(crate) expert_bias: bool,
    pub(crate) residual: Residual,
    /// The first product of a feed-forward part is held while the last is computed.
    pub(crate) holds_first_product: bool,
    pub(crate) scaled_embedding: bool,
    /// A layer is a mixer or a feed-forward part, not both.
    pub(crate) lone_parts: bool,
    /// A feed-forward part whose width the config does not state has four times that of the residual stream.
    pub(crate) four_times_wide: bool,
}

/// The rules that most decoders follow, and all unknown ones.
pub(crate) const GENERAL: Family = Family {
    names: &[],
    qkv_bias: Bias::Field("attention_bias", false),
    output_bias: Bias::Field("attention_bias", false),
    qk_norm: QkNorm::None,
    norm_vectors: 2,
    outer_norm_vectors: 1,
    gated: true,
    mlp_bias: Bias::Field("mlp_bias", false),
    tied: false,
    windows: Windows::All,
    sinks: false,
    router_bias: false,
    router_in_32_bits: false,
    expert_bias: false,
    residual: Residual::InPlace,
    holds_first_product: true,
    scaled_embedding: false,
    lone_parts: false,
    four_times_wide: false,
};

const QWEN2: Family =
    Family { qkv_bias: Bias::Always, output_bias: Bias::Never, windows: Windows::FromLayer, ..GENERAL };
const QWEN3: Family = Family { qk_norm: QkNorm::PerHead, windows: Windows::FromLayer, ..GENERAL };
/// Those whose feed-forward part lets go of each product at once.
const LLAMA: Family = Family { holds_first_product: false, ..GENERAL };
const GEMMA: Family = Family { residual: Residual::Copied, scaled_embedding: true, tied: true, ..GENERAL };
const GEMMA2: Family = Family { norm_vectors: 4, windows: Windows::AllButEvery(2), ..GEMMA };
const OLMO2: Family = Family { qk_norm: QkNorm::FullWidth, residual: Residual::Separate, ..GENERAL };
/// Layers with LayerNorm (weight and bias) and two plain matrices.
const CLASSIC: Family = Family {
    qkv_bias: Bias::Field("use_bias", true),
    output_bias: Bias::Field("use_bias", true),
    norm_vectors: 4,
    outer_norm_vectors: 2,
    gated: false,
    mlp_bias: Bias::Field("use_bias", true),
    four_times_wide: true,
    ..GENERAL
};

/// All families with rules of their own, or known to follow the general ones.
const FAMILIES: &[Family] = &[
    Family { names: &["llama", "phi3", "aquila", "yi", "solar", "nemotron_nas"], ..LLAMA },
    Family { names: &["falcon_h1"], residual: Residual::Separate, ..LLAMA },
    Family {
        names: &["mistral", "ministral", "mistral3_text", "pixtral_text"],
        output_bias: Bias::Never,
        qkv_bias: Bias::Never,
        ..LLAMA
    },
    Family {
        names: &[
            "mixtral",
            "phimoe",
            "granite",
            "granitemoe",
            "granitemoeshared",
            "exaone",
            "internlm2",
            "internlm3",
            "arctic",
            "dbrx",
            "baichuan",
            "smollm3",
            "apertus",
            "bamba",
            "zamba2",
            "granitemoehybrid",
        ],
        ..GENERAL
    },
    Family { names: &["mamba", "mamba2", "falcon_mamba"], norm_vectors: 1, ..GENERAL },
    Family { names: &["jamba"], qkv_bias: Bias::Never, output_bias: Bias::Never, ..GENERAL },
    Family { names: &["qwen2", "qwen2_vl", "qwen2_5_vl", "qwen2_vl_text", "qwen2_5_vl_text"], ..QWEN2 },
    Family { names: &["qwen2_moe", "mimo"], ..QWEN2 },
    Family { names: &["qwen3", "qwen3_moe", "qwen3_vl_text", "qwen3_vl_moe_text"], ..QWEN3 },
    Family { names: &["qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"], windows: Windows::Never, ..QWEN3 },
    Family { names: &["gemma"], windows: Windows::Never, ..GEMMA },
    Family { names: &["gemma2"], ..GEMMA2 },
    Family { names: &["gemma3", "gemma3_text"], qk_norm: QkNorm::PerHead, windows: Windows::AllButEvery(6), ..GEMMA2 },
    Family { names: &["olmo"], norm_vectors: 0, outer_norm_vectors: 0, ..GENERAL },
    Family { names: &["olmo2", "olmoe"], ..OLMO2 },
    Family { names: &["olmo3"], windows: Windows::AllButEvery(4), ..OLMO2 },
    Family {
        names: &["gpt_oss"],
        qkv_bias: Bias::Field("attention_bias", true),
        output_bias: Bias::Field("attention_bias", true),
        windows: Windows::AllButEvery(2),
        sinks: true,
        router_bias: true,
        expert_bias: true,
        ..GENERAL
    },
    Family { names: &["deepseek_v2", "deepseek_v2_lite"], windows: Windows::Never, ..GENERAL },
    Family {
        names: &["deepseek_v3", "deepseek_v32", "kimi_k2", "glm4_moe_lite"],
        windows: Windows::Never,
        router_bias: true,
        ..GENERAL
    },
    // Its layers' attention is told by its own list. Heads have sinks, which belong to its kind of attention.
    Family { names: &["deepseek_v4"], windows: Windows::Never, ..GENERAL },
    // Kimi's delta attention beside latent attention.
    Family { names: &["kimi_linear"], windows: Windows::Never, router_bias: true, ..GENERAL },
    // Lightning attention beside full attention.
    Family { names: &["minimax", "minimax_text_01", "minimax_m1"], windows: Windows::Never, ..GENERAL },
    Family {
        names: &["minimax_m2"],
        qk_norm: QkNorm::FullWidth,
        windows: Windows::Never,
        router_in_32_bits: true,
        ..GENERAL
    },
    Family { names: &["glm"], output_bias: Bias::Never, ..GENERAL },
    Family { names: &["glm4"], norm_vectors: 4, output_bias: Bias::Never, ..GENERAL },
    Family { names: &["glm4_moe"], output_bias: Bias::Never, router_bias: true, router_in_32_bits: true, ..GENERAL },
    Family { names: &["llama4", "llama4_text"], windows: Windows::Chunks, ..GENERAL },
    Family { names: &["nemotron_h"], gated: false, norm_vectors: 1, router_bias: true, lone_parts: true, ..GENERAL },
    Family { names: &["nemotron"], gated: false, norm_vectors: 4, outer_norm_vectors: 2, ..GENERAL },
    Family { names: &["cohere"], norm_vectors: 1, tied: true, ..GENERAL },
    Family { names: &["cohere2"], norm_vectors: 1, tied: true, windows: Windows::AllButEvery(4), ..GENERAL },
    Family { names: &["starcoder2"], ..CLASSIC },
    Family { names: &["gpt2", "gpt_bigcode"], tied: true, ..CLASSIC },
    // Attention and feed-forward part side by side, behind one LayerNorm.
    Family {
        names: &["falcon"],
        qkv_bias: Bias::Field("bias", false),
        output_bias: Bias::Field("bias", false),
        mlp_bias: Bias::Field("bias", false),
        norm_vectors: 2,
        tied: true,
        ..CLASSIC
    },
    // The same without biases of attention, and a head with one.
    Family {
        names: &["gptj"],
        qkv_bias: Bias::Never,
        output_bias: Bias::Never,
        mlp_bias: Bias::Always,
        norm_vectors: 2,
        ..CLASSIC
    },
    Family { names: &["lfm2", "lfm2_moe"], tied: true, qk_norm: QkNorm::PerHead, ..GENERAL },
    Family { names: &["mimo_v2_flash"], router_bias: true, router_in_32_bits: true, ..GENERAL },
    Family { names: &["laguna"], qk_norm: QkNorm::PerHead, ..GENERAL },
    Family { names: &["glm_moe_dsa"], windows: Windows::Never, router_bias: true, ..GENERAL },
    Family { names: &["gemma4_text"], qk_norm: QkNorm::PerHead, windows: Windows::AllButEvery(6), ..GEMMA2 },
    Family {
        names: &["seed_oss"],
        qkv_bias: Bias::Field("attention_bias", true),
        output_bias: Bias::Field("attention_out_bias", false),
        ..GENERAL
    },
    Family {
        names: &["ernie4_5", "ernie4_5_moe"],
        qkv_bias: Bias::Field("use_bias", false),
        output_bias: Bias::Field("use_bias", false),
        router_bias: true,
        router_in_32_bits: true,
        ..GENERAL
    },
    Family { names: &["hunyuan_v1_dense", "hunyuan_v1_moe"], qk_norm: QkNorm::PerHead, ..GENERAL },
];

/// Where a family's classes make embedding and head: some do not ask which stage of a pipeline they are (vLLM 0.25 and 0.33,
/// `model_executor/models/{mixtral,qwen3_moe,qwen3_next,gemma2,gemma3,nemotron_h,gpt_oss}.py`), and some ask for the head
/// alone (`{qwen3_5,gemma4}.py`).
pub(crate) fn pipeline_ends(model_type: &str) -> PipelineEnds {
    match model_type {
        "mixtral" | "qwen3_moe" | "qwen3_next" | "gemma2" | "gemma3" | "gemma3_text" | "nemotron_h" | "gpt_oss" => {
            PipelineEnds::Everywhere
        }
        "qwen3_5_text" | "qwen3_5_moe_text" | "gemma4_text" => PipelineEnds::EmbeddingEverywhere,
        _ => PipelineEnds::Outer,
    }
}

/// The rules of a family, or `None` for one that is not known.
pub(crate) fn find(model_type: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.names.contains(&model_type))
}
