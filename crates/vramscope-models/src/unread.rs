//! Keys of a config that are not understood.
//!
//! A key is read by some rule of this crate, or known to shape neither weights nor cache, or not understood. Of the last
//! kind are named those that could shape something: a model of which not all is understood has no certain size.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::fields::Fields;

/// Keys that shape neither weights nor cache, and why not.
const WITHOUT_EFFECT: [(&str, &[&str]); 9] = [
    // Of the file, not of the model.
    (
        "what wrote the file, and for which class",
        &[
            "architectures",
            "auto_map",
            "model_type",
            "name_or_path",
            "_name_or_path",
            "transformers_version",
            "torchscript",
            "custom_pipelines",
            "task_specific_params",
            "is_decoder",
            "is_encoder_decoder",
            "is_causal",
            "use_return_dict",
            "return_dict",
            "finetuning_task",
            "id2label",
            "label2id",
            "problem_type",
            "tokenizer_class",
            "unsloth_fixed",
            "unsloth_version",
            "base_model_tp_plan",
            "base_model_pp_plan",
            "base_model_ep_plan",
            "_attn_implementation",
            "_experts_implementation",
            "attn_implementation",
            "_attn_implementation_autoset",
            "architecture",
            "output_attentions",
            "output_hidden_states",
            "tf_legacy_loss",
            "pruned_heads",
            "prefix",
            "add_cross_attention",
            "cross_attention_hidden_size",
            "tie_encoder_decoder",
            "chunk_size_feed_forward",
            "remove_invalid_values",
            "use_cache",
            "cache_implementation",
        ],
    ),
    (
        "training",
        &[
            "attention_dropout",
            "hidden_dropout",
            "attention_probs_dropout_prob",
            "hidden_dropout_prob",
            "resid_pdrop",
            "embd_pdrop",
            "attn_pdrop",
            "dropout",
            "classifier_dropout",
            "residual_dropout",
            "embedding_dropout",
            "router_aux_loss_coef",
            "aux_loss_alpha",
            "moe_aux_loss_coeff",
            "output_router_logits",
            "router_jitter_noise",
            "router_z_loss_coef",
            "initializer_range",
            "initializer_cutoff_factor",
            "seq_aux",
            "pretraining_tp",
            "gradient_checkpointing",
            "use_mem_eff_path",
            "rescale_prenorm_residual",
            "bf16",
            "fp16",
            "fp32",
            "ep_size",
            "moe_group_balanced_loss",
            "router_bias_update_speed",
            "summary_type",
            "summary_use_proj",
            "summary_proj_to_labels",
            "summary_first_dropout",
            "summary_activation",
            "mtp_loss_scaling_factor",
            "moe_router_load_balancing_type",
            "num_nextn_predict_layers",
            "mtp_num_hidden_layers",
        ],
    ),
    (
        "how text is made, and its marks",
        &[
            "temperature",
            "top_k",
            "top_p",
            "do_sample",
            "num_beams",
            "num_beam_groups",
            "diversity_penalty",
            "repetition_penalty",
            "length_penalty",
            "early_stopping",
            "typical_p",
            "no_repeat_ngram_size",
            "encoder_no_repeat_ngram_size",
            "bad_words_ids",
            "min_length",
            "max_length",
            "num_return_sequences",
            "output_scores",
            "return_dict_in_generate",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "suppress_tokens",
            "begin_suppress_tokens",
            "exponential_decay_length_penalty",
            "use_bfloat16",
            "num_logits_to_keep",
            "bos_token",
            "eos_token",
            "pad_token",
            "image_placeholder",
            "media_placeholder_token_id",
            "ignore_index",
            "chat_template",
            "generation_config",
            "image_seq_length",
            "vision_soft_tokens_per_image",
            "mm_tokens_per_image",
            "eoi_token_index",
            "boi_token_index",
            "image_token_index",
            "audio_token_index",
            "video_token_index",
            "eoa_token_index",
            "eos_token_ids",
            "default_output_length",
        ],
    ),
    (
        "numbers within a computation",
        &[
            "rms_norm_eps",
            "layer_norm_eps",
            "layer_norm_epsilon",
            "norm_eps",
            "norm_epsilon",
            "layernorm_epsilon",
            "hc_eps",
            "rope_theta",
            "compress_rope_theta",
            "rope_scaling",
            "rope_parameters",
            "rope_local_base_freq",
            "swa_rope_theta",
            "local_rope_theta",
            "rotary_emb_base",
            "rope_interleave",
            "indexer_rope_interleave",
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "query_pre_attn_scalar",
            "logit_scale",
            "logits_scaling",
            "attention_multiplier",
            "embedding_multiplier",
            "residual_multiplier",
            "lm_head_multiplier",
            "key_multiplier",
            "mlp_multipliers",
            "ssm_multipliers",
            "ssm_in_multiplier",
            "ssm_out_multiplier",
            "attention_in_multiplier",
            "attention_out_multiplier",
            "routed_scaling_factor",
            "moe_routed_scaling_factor",
            "moe_router_logit_softcapping",
            "norm_topk_prob",
            "scoring_func",
            "topk_method",
            "n_group",
            "topk_group",
            "num_expert_group",
            "use_grouped_topk",
            "moe_renormalize",
            "moe_router_activation_func",
            "attention_value_scale",
            "swiglu_limit",
            "time_step_floor",
            "time_step_limit",
            "time_step_max",
            "time_step_min",
            "time_step_rank_scale",
            "residual_in_fp32",
            "attention_softmax_in_fp32",
            "scale_attention_softmax_in_fp32",
            "scale_attn_weights",
            "scale_attn_by_inverse_layer_idx",
            "reorder_and_upcast_attn",
            "output_gate_type",
            "time_step_rank",
            "rotary_dim",
            "parallel_attn",
            "qk_norm_type",
            "hidden_act",
            "hidden_activation",
            "activation_function",
            "mlp_hidden_act",
            "mamba_hidden_act",
            "mamba_act",
            "mamba_chunk_size",
            "chunk_size",
            "mamba_use_mlp",
            "use_mamba_kernels",
            "moe_router_dtype",
            "moe_apply_router_weight_on_input",
            "alibi",
            "attn_temperature_tuning",
            "attn_scale",
            "floor_scale",
            "partial_rotary_factor",
            "rotary_pct",
            "mla_use_nope",
            "activation_situ_beta",
            "activation_situ_linear_beta",
            "block_norm_eps",
            "use_bidirectional_attention",
            "router_logits_multiplier",
            "scale_depth",
            "scale_emb",
            "dim_model_base",
            "initial_context_length",
            "swiglu_limits",
            "moe_act",
            "embedding_scale",
            "use_sinks",
            "qk_head_dim",
            "max_window_layers",
            "use_sliding_window",
            "num_experts_per_tok",
            "moe_shared_expert_overlap",
            "hc_sinkhorn_iters",
        ],
    ),
    (
        "how many tokens are selected or looked back upon, by layers whose cache holds all",
        &[
            "index_topk",
            "index_share_for_mtp_iteration",
            "attention_chunk_size",
            "sliding_window",
            "sliding_window_size",
            "sliding_window_pattern",
            "_sliding_window_pattern",
            "block_dim",
            "decoder_sparse_step",
            "first_k_dense_replace",
            "moe_layer_freq",
            "index_topk_freq",
            "index_skip_topk_offset",
            "full_attention_interval",
            "no_rope_layers",
            "no_rope_layer_interval",
        ],
    ),
    (
        "the shape of pictures and sounds, not of what reads them",
        &[
            "downsample_ratio",
            "vision_feature_layer",
            "vision_feature_select_strategy",
            "projector_hidden_act",
            "max_dynamic_patch",
            "min_dynamic_patch",
            "dynamic_image_size",
            "use_thumbnail",
            "force_image_size",
            "pad2square",
            "template",
            "ps_version",
            "use_unified_vision_chunk",
            "select_layer",
            "spatial_merge_size",
            "image_size",
            "temporal_patch_size",
            "video_pruning_rate",
        ],
    ),
    (
        "read where they matter",
        &[
            "quantization_config",
            "compression_config",
            "vision_config",
            "audio_config",
            "text_config",
            "torch_dtype",
            "dtype",
            "max_position_embeddings",
            "seq_length",
            "model_max_length",
            "original_max_position_embeddings",
            "max_seq_len",
            "tie_word_embeddings",
            "vocab_size",
            "head_dim",
            "num_key_value_heads",
            "num_attention_heads",
            "num_hidden_layers",
            "layer_types",
            "mlp_layer_types",
            "mtp_layers_block_type",
            "kda_layers",
            "intermediate_size",
            "hidden_size",
        ],
    ),
    (
        "off in every engine that serves it, or of no other class",
        &[
            "use_qk_norm",
            "qk_norm",
            "use_kernels",
            "use_fused_cross_entropy",
            "use_flash_attention",
            "use_fp32_lm_head",
            "use_cache_quantization",
            "kv_channels",
            "attn_impl",
        ],
    ),
    (
        "speculative decoding, which is told by its own options",
        &["num_mtp_layers", "mtp_num_layers", "num_mtp_modules", "mtp_transformer_layers", "use_mtp"],
    ),
];

/// Endings of keys that shape nothing: marks in the vocabulary, small numbers within a computation.
const ENDINGS: [&str; 12] = [
    "_token_id",
    "_token_ids",
    "_token_index",
    "_eps",
    "_epsilon",
    "_dropout",
    "_dropout_prob",
    "_pdrop",
    "_token",
    "_loss_coef",
    "_loss_weight",
    "_range",
];

/// Beginnings of keys of layers that only speculative decoding loads.
const BEGINNINGS: [&str; 2] = ["mtp_", "nextn_"];

/// Ends and parts of names that shape a model even where their values are words or fractions.
const SHAPING: [&str; 8] = ["dtype", "pattern", "_type", "_types", "ratio", "multiplier", "expansion", "_freq"];

/// Adds the keys of a section that could shape something and that nobody reads.
pub(crate) fn collect(fields: &Fields<'_>, section: &Map<String, Value>, prefix: &str, found: &mut Vec<String>) {
    for (key, value) in fields.unseen(section) {
        // The cheaper question first.
        if could_shape(key, value) && !without_effect(key) {
            found.push(format!("{prefix}{key}"));
        }
    }
}

fn without_effect(key: &str) -> bool {
    static KEYS: LazyLock<HashSet<&str>> =
        LazyLock::new(|| WITHOUT_EFFECT.iter().flat_map(|(_, keys)| *keys).copied().collect());
    KEYS.contains(key)
        || ENDINGS.iter().any(|ending| key.ends_with(ending))
        || BEGINNINGS.iter().any(|beginning| key.starts_with(beginning))
}

/// Whether a value can decide the size of anything. What is absent, empty, off or zero cannot.
fn could_shape(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => {
            number.as_u64().is_some_and(|n| n > 1 || key.ends_with("_end_index"))
                || (number.as_f64().is_some_and(|n| n != 0.0 && n != 1.0) && shapes_by_name(key))
        }
        Value::String(text) => !text.is_empty() && shapes_by_name(key),
        Value::Array(list) => !list.is_empty(),
        Value::Object(section) => !section.is_empty(),
    }
}

fn shapes_by_name(key: &str) -> bool {
    SHAPING.iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use crate::read_config;

    const PLAIN: &str = r#""model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "vocab_size": 64, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "bos_token_id": 7"#;

    fn unread(more: &str) -> Vec<String> {
        let (model, _) = read_config(format!("{{{PLAIN}{more}}}").as_bytes()).unwrap();
        model.unread
    }

    #[test]
    fn what_is_read_or_shapes_nothing_is_not_named() {
        assert_eq!(unread(""), [""; 0]);
        assert_eq!(
            unread(r#", "attention_dropout": 0.1, "new_scale": 0.7, "use_novelty": false, "novel_rank": null"#),
            [""; 0]
        );
    }

    #[test]
    fn what_could_shape_something_is_named() {
        for (more, name) in [
            (r#", "swa_rank": 64"#, "swa_rank"),
            (r#", "layer_widths": [1, 2]"#, "layer_widths"),
            (r#", "cache_dtype": "fp8""#, "cache_dtype"),
            (r#", "width_multiplier": 1.5"#, "width_multiplier"),
            (r#", "use_novelty": true"#, "use_novelty"),
            (r#", "memory_config": {"slots": 4}"#, "memory_config"),
        ] {
            assert_eq!(unread(more), [name], "{more}");
        }
    }
}
