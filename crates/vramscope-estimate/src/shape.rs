//! Bounds on architectures. With them, no product of two widths leaves 64 bits; longer products are checked.

use vramscope_core::{Architecture, FeedForward, Mixer, Recurrent};

use crate::EstimateError;

/// No model is wider, by far.
const MOST_WIDTH: u64 = 1 << 24;
/// No model has more heads, groups or experts.
const MOST_PARTS: u64 = 1 << 17;
/// No model was made for longer sequences.
const MOST_POSITIONS: u64 = 1 << 40;
/// No model has more layers.
const MOST_LAYERS: usize = 1 << 13;

type Check = (&'static str, u64, u64, u64);

/// Refuses an architecture that no engine could have. Of one that passes it returns where the runs of equal layers lie: they
/// are found by comparing every layer with the next, and whoever goes on needs them too.
pub(crate) fn check(model: &Architecture) -> Result<Vec<std::ops::Range<usize>>, EstimateError> {
    // Norms are a few vectors of the hidden size.
    let most_norms = model.hidden_size.saturating_mul(16);
    let outer = [
        ("hidden_size", model.hidden_size, 1, MOST_WIDTH),
        ("vocab_size", model.vocab_size, 1, 1 << 30),
        ("norm_parameters", model.norm_parameters, 0, most_norms),
        ("learned_positions", model.learned_positions, 0, MOST_POSITIONS),
        ("max_position_embeddings", model.max_positions.unwrap_or(1), 1, MOST_POSITIONS),
        ("num_hidden_layers", model.layers.len() as u64, 1, MOST_LAYERS as u64),
    ];
    each(&outer)?;
    for table in &model.rotary {
        each(&[
            ("rotary positions", table.positions, 0, MOST_POSITIONS),
            ("rotary width", table.width, 0, MOST_PARTS),
        ])?;
    }
    let runs = model.run_ranges();
    for layer in runs.iter().map(|run| &model.layers[run.start]) {
        each(&[("norm parameters of a layer", layer.norm_parameters, 0, most_norms)])?;
        // No model has more streams; four are usual.
        each(&[("hc_mult", layer.streams, 1, 64)])?;
        mixer(&layer.mixer)?;
        match layer.feed_forward {
            FeedForward::None => {}
            FeedForward::Dense(d) => each(&[("intermediate_size", d.width, 1, MOST_WIDTH)])?,
            FeedForward::Experts(e) => each(&[
                ("num_experts", e.count, 1, MOST_PARTS),
                ("num_experts_per_tok", e.per_token, 1, e.count.max(1)),
                ("moe_intermediate_size", e.width, 1, MOST_WIDTH),
                ("shared expert width", e.shared_width, 0, MOST_WIDTH),
            ])?,
        }
    }
    Ok(runs)
}

fn mixer(mixer: &Mixer) -> Result<(), EstimateError> {
    match mixer {
        Mixer::None => Ok(()),
        Mixer::Attention(a) => attention(a),
        Mixer::Recurrent(r) => recurrent(r),
        Mixer::Parallel(a, r) => attention(a).and(recurrent(r)),
        Mixer::Compressed(c) => compressed(c),
        Mixer::Latent(l) => each(&[
            ("num_attention_heads", l.heads, 1, MOST_PARTS),
            ("q_lora_rank", l.query_rank.unwrap_or(1), 1, MOST_WIDTH),
            ("kv_lora_rank", l.kv_rank, 1, MOST_WIDTH),
            ("qk_rope_head_dim", l.rope_dim, 0, MOST_PARTS),
            ("qk_nope_head_dim", l.nope_dim, 0, MOST_PARTS),
            ("v_head_dim", l.value_dim, 1, MOST_PARTS),
            ("index_n_heads", l.indexer.map_or(1, |i| i.heads), 1, MOST_PARTS),
            ("index_head_dim", l.indexer.map_or(1, |i| i.head_dim), 1, MOST_PARTS),
        ]),
    }
}

fn attention(a: &vramscope_core::Attention) -> Result<(), EstimateError> {
    each(&[
        ("num_attention_heads", a.heads, 1, MOST_PARTS),
        ("num_key_value_heads", a.kv_heads, 1, a.heads.max(1)),
        ("head_dim", a.head_dim, 1, MOST_PARTS),
        ("v_head_dim", a.value_dim, 1, MOST_PARTS),
    ])
}

fn compressed(c: &vramscope_core::CompressedAttention) -> Result<(), EstimateError> {
    let index = c.compressor.and_then(|own| own.indexer);
    each(&[
        ("num_attention_heads", c.heads, 1, MOST_PARTS),
        ("head_dim", c.head_dim, 1, MOST_PARTS),
        ("qk_rope_head_dim", c.rope_dim, 1, c.head_dim),
        ("q_lora_rank", c.query_rank, 1, MOST_WIDTH),
        ("o_groups", c.output_groups, 1, c.heads),
        ("o_lora_rank", c.output_rank, 1, MOST_WIDTH),
        ("sliding_window", c.window, 1, MOST_POSITIONS),
        ("compress_ratios", c.compressor.map_or(1, |own| own.tokens), 1, MOST_PARTS),
        ("index_n_heads", index.map_or(1, |own| own.heads), 1, MOST_PARTS),
        ("index_head_dim", index.map_or(1, |own| own.head_dim), 1, MOST_PARTS),
    ])
}

fn recurrent(r: &Recurrent) -> Result<(), EstimateError> {
    match *r {
        Recurrent::Mamba1 { inner, state, conv, time_step_rank, .. } => each(&[
            ("mamba width", inner, 1, MOST_WIDTH),
            ("state_size", state, 1, MOST_PARTS),
            ("conv_kernel", conv, 1, MOST_PARTS),
            ("time_step_rank", time_step_rank, 1, MOST_WIDTH),
        ]),
        Recurrent::Mamba2 { heads, head_dim, groups, state, conv, .. } => each(&[
            ("mamba heads", heads, 1, MOST_PARTS),
            ("mamba head_dim", head_dim, 1, MOST_PARTS),
            ("n_groups", groups, 1, MOST_PARTS),
            ("ssm_state_size", state, 1, MOST_PARTS),
            ("conv_kernel", conv, 1, MOST_PARTS),
        ]),
        Recurrent::GatedDelta { key_heads, value_heads, key_dim, value_dim, conv } => each(&[
            ("linear_num_key_heads", key_heads, 1, MOST_PARTS),
            ("linear_num_value_heads", value_heads, 1, MOST_PARTS),
            ("linear_key_head_dim", key_dim, 1, MOST_PARTS),
            ("linear_value_head_dim", value_dim, 1, MOST_PARTS),
            ("linear_conv_kernel_dim", conv, 1, MOST_PARTS),
        ]),
        Recurrent::KimiDelta { heads, head_dim, conv } => each(&[
            ("linear_attn_config.num_heads", heads, 1, MOST_PARTS),
            ("linear_attn_config.head_dim", head_dim, 1, MOST_PARTS),
            ("linear_attn_config.short_conv_kernel_size", conv, 1, MOST_PARTS),
        ]),
        Recurrent::Linear { heads, head_dim } => {
            each(&[("num_attention_heads", heads, 1, MOST_PARTS), ("head_dim", head_dim, 1, MOST_PARTS)])
        }
        Recurrent::ShortConv { channels, conv, .. } => {
            each(&[("conv_dim", channels, 1, MOST_WIDTH), ("conv_L_cache", conv, 1, MOST_PARTS)])
        }
    }
}

fn each(checks: &[Check]) -> Result<(), EstimateError> {
    let wrong = checks.iter().find(|(_, value, least, most)| !(least..=most).contains(&value));
    wrong.map_or(Ok(()), |&(name, value, least, most)| Err(EstimateError::Implausible { name, value, least, most }))
}
