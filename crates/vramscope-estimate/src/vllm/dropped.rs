//! Formats of weights and models that a release no longer loads.
//!
//! Read in 0.33: `layers/quantization/__init__.py` (no `bitsandbytes`), `quantization/utils/gptq_utils.py` and
//! `quantization/compressed_tensors/compressed_tensors.py` (no activation order within groups). 0.25 takes all of them;
//! since which release between they are refused was not looked at.

use vramscope_core::{Architecture, FeedForward, Layer, Mixer, WeightFormat};

use crate::EstimateError;
use crate::vllm::input::EngineArgs;
use crate::weights::format::Kernel;

/// Refuses what the release refuses.
pub(crate) fn check(model: &Architecture, args: &EngineArgs, kernel: Kernel) -> Result<(), EstimateError> {
    // Beside Kimi's delta attention the class has latent attention without positions alone (0.28 to 0.33,
    // `models/kimi_k3`).
    let rotating = |layer: &Layer| matches!(layer.mixer, Mixer::Latent(latent) if latent.rotates);
    let kimi = model.family.as_deref() == Some("kimi_linear");
    if kimi && args.version.from_minor(28) && model.layers.iter().any(rotating) {
        return refused_model(args, "its latent attention must be without positions (`mla_use_nope`)");
    }
    if kernel == Kernel::Machete && has_sparse_cache_of_8_bits(model, args) {
        return refused_model(args, "no kernel of this device reads the cache of 8 bits that its checkpoint declares");
    }
    if has_cut_blocks(model, args) {
        return refused_model(args, "a rank's part of an expert must be a multiple of the blocks of its scales");
    }
    if !args.version.from_minor(33) {
        return Ok(());
    }
    let declared = model.quantization.as_ref();
    let method = args.quantization.as_deref().or(declared.map(|own| own.method.as_str())).unwrap_or_default();
    let refused = |what: &'static str| {
        Err(EstimateError::DroppedFormat { what, method: method.to_owned(), version: args.version.to_string() })
    };
    if method == "bitsandbytes" {
        return refused("the method");
    }
    let formats = declared.into_iter().flat_map(|own| std::iter::once(&own.format).chain(&own.others));
    for format in formats {
        if matches!(format, WeightFormat::Packed { group: Some(_), group_index: true, .. }) {
            return refused("activation order within groups (desc_act, actorder=group)");
        }
    }
    Ok(())
}

fn refused_model(args: &EngineArgs, reason: &'static str) -> Result<(), EstimateError> {
    Err(EstimateError::RefusedModel { version: args.version.to_string(), reason })
}

/// Sparse latent attention with a checkpoint's own 8-bit cache: on Hopper its kernels read 16 bits, or the layout of their
/// own that `--kv-cache-dtype fp8` asks for (0.25 to 0.33).
fn has_sparse_cache_of_8_bits(model: &Architecture, args: &EngineArgs) -> bool {
    let declared = model.quantization.as_ref().and_then(|own| own.kv_cache.as_deref());
    let asked = args.kv_cache_dtype.as_deref().is_some_and(|name| name != "auto");
    !asked
        && declared.is_some_and(|name| name.starts_with("fp8"))
        && model.layers.iter().any(|layer| matches!(layer.mixer, Mixer::Latent(latent) if latent.sparse))
}

/// Ranks cut through blocks of scales of experts: refused until 0.28, not any more in 0.30 (0.29 was not looked at).
fn has_cut_blocks(model: &Architecture, args: &EngineArgs) -> bool {
    let Some(WeightFormat::ByteBlocks { rows, .. }) = model.quantization.as_ref().map(|own| own.format) else {
        return false;
    };
    let ranks = args.tensor_parallel_size.saturating_mul(args.data_parallel_size).max(1);
    let cut = |layer: &Layer| match layer.feed_forward {
        FeedForward::Experts(experts) => !(experts.width / ranks).is_multiple_of(rows.max(1)),
        _ => false,
    };
    !args.version.from_minor(29) && !args.enable_expert_parallel && model.layers.iter().any(cut)
}

#[cfg(test)]
mod tests {
    use crate::{EngineArgs, EngineVersion, EstimateError, weights_per_rank};

    fn loads(quantization: &str, version: EngineVersion) -> Result<(), EstimateError> {
        let config = format!(
            r#"{{"model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
            "num_attention_heads": 4, "vocab_size": 256, "quantization_config": {quantization}}}"#
        );
        let (model, _) = vramscope_models::read_config(config.as_bytes()).unwrap();
        weights_per_rank(&model, &EngineArgs { version, ..EngineArgs::default() }).map(drop)
    }

    #[test]
    fn what_a_release_dropped_is_refused_by_it_alone() {
        let ordered = r#"{"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": true}"#;
        let nf4 = r#"{"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}"#;
        for dropped in [ordered, nf4] {
            assert!(loads(dropped, EngineVersion::RECORDED).is_ok(), "{dropped}");
            let refused = loads(dropped, EngineVersion::NEWEST);
            assert!(matches!(refused, Err(EstimateError::DroppedFormat { .. })), "{refused:?}");
        }
        let one_group = r#"{"quant_method": "gptq", "bits": 4, "group_size": -1, "desc_act": true}"#;
        let plain = r#"{"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false}"#;
        for kept in [one_group, plain] {
            assert!(loads(kept, EngineVersion::NEWEST).is_ok(), "{kept}");
        }
    }
}
