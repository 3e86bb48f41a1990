//! Attention and recurrences, as a config describes them.

use serde_json::Value;
use vramscope_core::{Attention, Indexer, LatentAttention, Mixer, OutputGate, QkNorm, Recurrent, Span};

use crate::ConfigError;
use crate::compressed::Compressed;
use crate::defaults::Defaults;
use crate::family::{Family, Windows};
use crate::fields::Fields;
use crate::layers::{Kind, bias, span};

/// The mixers that a model's layers are made of; each is read once.
pub(crate) struct Mixers {
    attention: Option<Attention>,
    /// What layers with a window have in its place (MiMo), or those that see all (Gemma 4).
    windowed: Option<Attention>,
    /// Query heads, layer by layer, where a list states them.
    heads: Option<Vec<u64>>,
    latent: Option<LatentAttention>,
    compressed: Option<Compressed>,
    /// Which layers have an index of their own; all where it is empty.
    indexed: Vec<bool>,
    recurrent: Option<Recurrent>,
    conv: Option<Recurrent>,
    spans: Vec<(Kind, Span)>,
    shared_from: Option<u64>,
    parallel: bool,
}

impl Mixers {
    pub(crate) fn read(fields: &mut Fields<'_>, family: &Family, hidden: u64) -> Result<Self, ConfigError> {
        let mut spans = vec![(Kind::Full, Span::Full)];
        for kind in [Kind::Sliding, Kind::Chunked] {
            // A kind that no layer has needs no window.
            if let Ok(span) = span(fields, kind) {
                spans.push((kind, span));
            }
        }
        let latent = latent(fields)?;
        let compressed = Compressed::read(fields)?;
        let recurrent = recurrent(fields, hidden)?;
        let other = latent.is_some() || compressed.is_some() || only_recurrent(fields);
        let attention = if other { None } else { Some(attention(fields, family, hidden)?) };
        let (attention, windowed) = match attention {
            Some(attention) => by_span(fields, attention)?,
            None => (None, None),
        };
        Ok(Self {
            attention,
            windowed,
            heads: heads_by_layer(fields)?,
            indexed: if latent.is_some_and(|l| l.indexer.is_some()) { indexed(fields)? } else { Vec::new() },
            latent,
            compressed,
            recurrent,
            conv: short_conv(fields, hidden)?,
            spans,
            shared_from: fields.number(&["num_kv_shared_layers"])?.filter(|&n| n > 0),
            parallel: model_type(fields)? == Some("falcon_h1"),
        })
    }

    /// The mixer of a layer.
    pub(crate) fn of(&self, fields: &Fields<'_>, kind: Kind, index: u64, count: u64) -> Result<Mixer, ConfigError> {
        let no_recurrence = || fields.missing(&["mamba_n_heads", "mamba_num_heads", "linear_num_value_heads"]);
        match kind {
            Kind::DenseOnly | Kind::ExpertsOnly => return Ok(Mixer::None),
            Kind::Recurrent => return self.recurrent.map(Mixer::Recurrent).ok_or_else(no_recurrence),
            Kind::Conv => return self.conv.map(Mixer::Recurrent).ok_or_else(|| fields.missing(&["conv_L_cache"])),
            Kind::Full | Kind::Sliding | Kind::Chunked => {}
        }
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(compressed) = &self.compressed {
            return compressed.of(fields, place).map(Mixer::Compressed);
        }
        if let Some(latent) = self.latent {
            let own = self.indexed.get(place).copied().unwrap_or(true);
            return Ok(Mixer::Latent(LatentAttention { indexer: latent.indexer.filter(|_| own), ..latent }));
        }
        let span = self.spans.iter().find(|(k, _)| *k == kind).map(|(_, span)| *span);
        let span = span.ok_or_else(|| {
            fields.missing(&[if kind == Kind::Sliding { "sliding_window" } else { "attention_chunk_size" }])
        })?;
        let shares_cache = self.shared_from.is_some_and(|n| index >= count.saturating_sub(n));
        let attention = if span == Span::Full { self.attention } else { self.windowed.or(self.attention) };
        let attention = attention.ok_or_else(|| fields.missing(&["num_attention_heads"]))?;
        let heads = self.heads.as_ref().and_then(|list| list.get(place)).copied().unwrap_or(attention.heads);
        if heads % attention.kv_heads != 0 {
            let reason = format!("{heads} query heads cannot share {} key-value heads evenly", attention.kv_heads);
            return Err(fields.contradiction("num_attention_heads_per_layer", "num_key_value_heads", reason));
        }
        let attention = Attention { heads, span, shares_cache, ..attention };
        match self.recurrent {
            Some(recurrent) if self.parallel => Ok(Mixer::Parallel(attention, recurrent)),
            _ => Ok(Mixer::Attention(attention)),
        }
    }
}

fn model_type<'a>(fields: &Fields<'a>) -> Result<Option<&'a str>, ConfigError> {
    fields.text(&["model_type"])
}

/// Whether the model has no attention at all.
pub(crate) fn only_recurrent(fields: &Fields<'_>) -> bool {
    matches!(model_type(fields), Ok(Some("mamba" | "mamba2" | "falcon_mamba")))
}

/// Attention of the layers that see all, and of those with a window where that differs.
fn by_span(fields: &Fields<'_>, usual: Attention) -> Result<(Option<Attention>, Option<Attention>), ConfigError> {
    let mut full = usual;
    let mut windowed = usual;
    // MiMo states the windowed layers' shape apart.
    windowed.heads = fields.positive(&["swa_num_attention_heads"])?.unwrap_or(usual.heads);
    windowed.kv_heads = fields.positive(&["swa_num_key_value_heads"])?.unwrap_or(usual.kv_heads);
    windowed.head_dim = fields.positive(&["swa_head_dim"])?.unwrap_or(usual.head_dim);
    windowed.value_dim = fields.positive(&["swa_v_head_dim"])?.unwrap_or(if fields.has("swa_head_dim") {
        windowed.head_dim
    } else {
        usual.value_dim
    });
    windowed.sinks = fields.flag("add_swa_attention_sink_bias")?.unwrap_or(usual.sinks);
    full.sinks = fields.flag("add_full_attention_sink_bias")?.unwrap_or(usual.sinks);
    // Gemma 4 states that of the global ones, whose values may be their keys.
    if let Some(head_dim) = fields.positive(&["global_head_dim"])? {
        (full.head_dim, full.value_dim) = (head_dim, head_dim);
    }
    full.kv_heads = fields.positive(&["num_global_key_value_heads"])?.unwrap_or(full.kv_heads);
    full.value_is_key = fields.flag("attention_k_eq_v")?.unwrap_or(false);
    for (attention, name) in [(&full, "num_global_key_value_heads"), (&windowed, "swa_num_key_value_heads")] {
        if attention.kv_heads > attention.heads || attention.heads % attention.kv_heads != 0 {
            let (heads, kv_heads) = (attention.heads, attention.kv_heads);
            let whence =
                if fields.states("num_key_value_heads") { "" } else { ", which its class has where a file has none," };
            let reason = format!("{heads} query heads cannot share {kv_heads} key-value heads{whence} evenly");
            return Err(fields.contradiction(name, "num_attention_heads", reason));
        }
    }
    Ok((Some(full), Some(windowed).filter(|windowed| *windowed != full)))
}

/// Query heads of each layer, where a list states them (Laguna).
fn heads_by_layer(fields: &Fields<'_>) -> Result<Option<Vec<u64>>, ConfigError> {
    const NAME: &str = "num_attention_heads_per_layer";
    let Some(list) = fields.list(NAME)? else { return Ok(None) };
    let heads = |value: &Value| {
        let heads = value.as_u64().ok_or_else(|| fields.wrong(NAME, "a list of numbers of heads", value))?;
        fields.bounded(NAME, heads, 1, 1 << 17)
    };
    list.iter().map(heads).collect::<Result<_, _>>().map(Some)
}

/// Which layers have an index of their own: those listed as `full`, or every so manieth after the first few, which
/// all have one (GLM 5; vLLM `models/deepseek_v2.py`). The others select by the index before them.
fn indexed(fields: &Fields<'_>) -> Result<Vec<bool>, ConfigError> {
    if let Some(list) = fields.list("indexer_types")? {
        let kind = |value: &Value| match value.as_str() {
            Some("full") => Ok(true),
            Some("shared") => Ok(false),
            _ => Err(fields.wrong("indexer_types", "full or shared", value)),
        };
        return list.iter().map(kind).collect();
    }
    let Some(step) = fields.positive(&["index_topk_freq"])? else { return Ok(Vec::new()) };
    let first = fields.number(&["index_skip_topk_offset"])?.unwrap_or(1).max(1);
    let count = fields.number(&["num_hidden_layers"])?.unwrap_or(0).min(1024);
    Ok((0..count).map(|i| i < first || (i + 1 - first) % step == 0).collect())
}

/// The sliding window; zero and null mean none.
pub(crate) fn window(fields: &mut Fields<'_>) -> Result<Option<u64>, ConfigError> {
    // Where both stand, the first is transformers' own, which counts one token more for some families (MiMo).
    const NAMES: [&str; 2] = ["sliding_window_size", "sliding_window"];
    // ModernBERT's, whose layers look as far back as ahead.
    if let Some(window) = fields.number(&["local_attention"])? {
        return Ok(Some(window).filter(|&w| w > 0));
    }
    if fields.has(NAMES[0]) || fields.has(NAMES[1]) {
        // Some checkpoints write -1 for none.
        let negative = fields.value(&NAMES).and_then(Value::as_i64).is_some_and(|n| n < 0);
        let named = if fields.has(NAMES[0]) { NAMES[0] } else { NAMES[1] };
        return if negative { Ok(None) } else { Ok(fields.number(&[named])?.filter(|&w| w > 0)) };
    }
    Ok(None)
}

fn attention(fields: &mut Fields<'_>, family: &Family, hidden: u64) -> Result<Attention, ConfigError> {
    let heads = fields.required(&["num_attention_heads", "n_head", "n_heads", "num_heads"])?;
    let named = fields.positive(&["num_key_value_heads", "num_kv_heads", "n_kv_heads", "multi_query_group_num"])?;
    let kv_heads = match named {
        Some(kv_heads) => kv_heads,
        None => heads,
    };
    // Falcon states all heads beside it.
    let many = fields.flag("new_decoder_architecture")? == Some(true);
    let kv_heads = if fields.flag("multi_query")? == Some(true) && !many { 1 } else { kv_heads };
    if kv_heads > heads || heads % kv_heads != 0 {
        let whence =
            if fields.states("num_key_value_heads") { "" } else { ", which its class has where a file has none," };
        let reason = format!("{heads} query heads cannot share {kv_heads} key-value heads{whence} evenly");
        return Err(fields.contradiction("num_key_value_heads", "num_attention_heads", reason));
    }
    // Zamba 2 states another width beside that of the heads it has.
    let named = match fields.positive(&["attention_head_dim"])? {
        Some(own) if fields.has("kv_channels") => Some(own),
        _ => fields.positive(&["head_dim", "attention_head_dim", "kv_channels"])?,
    };
    let head_dim = match named {
        Some(head_dim) => head_dim,
        None if hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            let reason = format!("{hidden} is not a multiple of {heads}, and `head_dim` is absent");
            return Err(fields.contradiction("hidden_size", "num_attention_heads", reason));
        }
    };
    let qk_norm = match (family.qk_norm, fields.flag("use_qk_norm").ok().flatten()) {
        // Llama 4 normalizes without parameters.
        (norm, _) if matches!(family.windows, Windows::Chunks) => norm,
        (QkNorm::None, Some(true)) => QkNorm::PerHead,
        (norm, _) => norm,
    };
    Ok(Attention {
        heads,
        kv_heads,
        head_dim,
        value_dim: fields.positive(&["v_head_dim"])?.unwrap_or(head_dim),
        span: Span::Full,
        qkv_bias: bias(fields, family.qkv_bias)?,
        output_bias: bias(fields, family.output_bias)?,
        qk_norm,
        sinks: family.sinks,
        gate: gate(fields)?,
        value_is_key: false,
        shares_cache: false,
    })
}

fn gate(fields: &Fields<'_>) -> Result<OutputGate, ConfigError> {
    let gated = matches!(model_type(fields)?, Some("qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text"));
    if fields.flag("attn_output_gate")?.unwrap_or(gated) {
        return Ok(OutputGate::PerElement);
    }
    let per_head = fields.value(&["gating"]).and_then(Value::as_bool) == Some(true)
        || fields.flag("use_head_wise_attn_gate")? == Some(true);
    Ok(if per_head { OutputGate::PerHead } else { OutputGate::None })
}

fn latent(fields: &mut Fields<'_>) -> Result<Option<LatentAttention>, ConfigError> {
    let Some(kv_rank) = fields.positive(&["kv_lora_rank"])? else { return Ok(None) };
    let indexer = match fields.positive(&["index_n_heads"])? {
        Some(heads) => Some(Indexer { heads, head_dim: fields.required(&["index_head_dim"])? }),
        None => None,
    };
    Ok(Some(LatentAttention {
        heads: fields.required(&["num_attention_heads"])?,
        query_rank: fields.number(&["q_lora_rank"])?.filter(|&rank| rank > 0),
        kv_rank,
        rope_dim: fields.required(&["qk_rope_head_dim"])?,
        nope_dim: fields.required(&["qk_nope_head_dim"])?,
        value_dim: fields.required(&["v_head_dim"])?,
        rotates: fields.flag("mla_use_nope")? != Some(true),
        sparse: indexer.is_some(),
        expanded: model_type(fields)? == Some("minicpm3"),
        indexer,
    }))
}

fn recurrent(fields: &mut Fields<'_>, hidden: u64) -> Result<Option<Recurrent>, ConfigError> {
    if let Some(value_heads) = fields.positive(&["linear_num_value_heads"])? {
        return Ok(Some(Recurrent::GatedDelta {
            key_heads: fields.required(&["linear_num_key_heads"])?,
            value_heads,
            key_dim: fields.required(&["linear_key_head_dim"])?,
            value_dim: fields.required(&["linear_value_head_dim"])?,
            conv: fields.required(&["linear_conv_kernel_dim"])?,
        }));
    }
    if let Some(heads) = fields.positive(&["linear_num_heads"])? {
        // Kimi's, as transformers 5 writes it.
        return Ok(Some(Recurrent::KimiDelta {
            heads,
            head_dim: fields.required(&["linear_head_dim"])?,
            conv: fields.required(&["linear_conv_kernel_dim"])?,
        }));
    }
    if let Some(section) = fields.section("linear_attn_config")? {
        let inner = Fields::new(section, None, "linear_attn_config.", Defaults::NONE);
        return Ok(Some(Recurrent::KimiDelta {
            heads: inner.required(&["num_heads"])?,
            head_dim: inner.required(&["head_dim"])?,
            conv: inner.required(&["short_conv_kernel_size"])?,
        }));
    }
    match model_type(fields)? {
        Some("mamba" | "falcon_mamba" | "jamba") => mamba1(fields, hidden).map(Some),
        Some("minimax_text_01" | "minimax_m1" | "minimax") => {
            let heads = fields.required(&["num_attention_heads"])?;
            Ok(Some(Recurrent::Linear { heads, head_dim: fields.positive(&["head_dim"])?.unwrap_or(hidden / heads) }))
        }
        _ => mamba2(fields, hidden),
    }
}

fn mamba1(fields: &mut Fields<'_>, hidden: u64) -> Result<Recurrent, ConfigError> {
    let jamba = model_type(fields)? == Some("jamba");
    let expand = fields.positive(&["mamba_expand", "expand"])?.unwrap_or(2);
    let own = if jamba { None } else { fields.positive(&["intermediate_size"])? };
    let rank = match fields.value(&["mamba_dt_rank", "time_step_rank"]).and_then(Value::as_u64) {
        Some(rank) => fields.bounded("time_step_rank", rank, 1, crate::fields::MOST)?,
        None => hidden.div_ceil(16),
    };
    let flag = |a: &str, b: &str, default| Ok::<_, ConfigError>(fields.flag(a)?.or(fields.flag(b)?).unwrap_or(default));
    Ok(Recurrent::Mamba1 {
        inner: own.unwrap_or(expand * hidden),
        state: fields.positive(&["mamba_d_state", "state_size"])?.unwrap_or(16),
        conv: fields.positive(&["mamba_d_conv", "conv_kernel"])?.unwrap_or(4),
        time_step_rank: rank,
        conv_bias: flag("mamba_conv_bias", "use_conv_bias", true)?,
        projection_bias: flag("mamba_proj_bias", "use_bias", false)?,
        norms: jamba,
    })
}

fn mamba2(fields: &mut Fields<'_>, hidden: u64) -> Result<Option<Recurrent>, ConfigError> {
    let pure = model_type(fields)? == Some("mamba2");
    let mut heads = fields.positive(&["mamba_n_heads", "mamba_num_heads"])?;
    let mut head_dim = fields.positive(&["mamba_d_head", "mamba_head_dim"]).ok().flatten();
    if pure {
        heads = fields.positive(&["num_heads"])?;
        head_dim = fields.positive(&["head_dim"])?;
    }
    let Some(heads) = heads else { return Ok(None) };
    let expand = fields.positive(&["mamba_expand", "expand"])?.unwrap_or(2);
    // `mamba_d_head` may be the word "auto".
    let inner = fields.positive(&["mamba_d_ssm"])?.unwrap_or(expand * hidden);
    let head_dim = head_dim.unwrap_or(inner / heads);
    let head_dim = fields.bounded("mamba_d_head", head_dim, 1, crate::fields::MOST)?;
    let state = fields.required(&["mamba_d_state", "ssm_state_size", "state_size"])?;
    let flag = |a: &str, b: &str, default| Ok::<_, ConfigError>(fields.flag(a)?.or(fields.flag(b)?).unwrap_or(default));
    Ok(Some(Recurrent::Mamba2 {
        heads,
        head_dim,
        groups: fields.positive(&["mamba_n_groups", "mamba_ngroups", "n_groups"])?.unwrap_or(1),
        state,
        conv: fields.positive(&["mamba_d_conv", "conv_kernel"])?.unwrap_or(4),
        conv_bias: flag("mamba_conv_bias", "use_conv_bias", true)?,
        projection_bias: flag("mamba_proj_bias", "use_bias", false)?,
        gated_norm: fields.flag("mamba_rms_norm")?.unwrap_or(true),
    }))
}

fn short_conv(fields: &mut Fields<'_>, hidden: u64) -> Result<Option<Recurrent>, ConfigError> {
    let Some(conv) = fields.positive(&["conv_L_cache"])? else { return Ok(None) };
    let channels = fields.positive(&["conv_dim"])?.unwrap_or(hidden);
    Ok(Some(Recurrent::ShortConv { channels, conv, bias: fields.flag("conv_bias")?.unwrap_or(false) }))
}
