//! Formats of weights and models that a release no longer loads.
//!
//! Read in 0.33: `layers/quantization/__init__.py` (no `bitsandbytes`), `quantization/utils/gptq_utils.py` and
//! `quantization/compressed_tensors/compressed_tensors.py` (no activation order within groups). 0.25 takes all of them;
//! since which release between they are refused was not looked at.

use vramscope_core::{Architecture, Layer, Mixer, WeightFormat};

use crate::EstimateError;
use crate::vllm::input::EngineArgs;

/// Refuses what the release refuses.
pub(crate) fn check(model: &Architecture, args: &EngineArgs) -> Result<(), EstimateError> {
    // Beside Kimi's delta attention the class has latent attention without positions alone (0.28 to 0.33,
    // `models/kimi_k3`).
    let rotating = |layer: &Layer| matches!(layer.mixer, Mixer::Latent(latent) if latent.rotates);
    let kimi = model.family.as_deref() == Some("kimi_linear");
    if kimi && args.version.from_minor(28) && model.layers.iter().any(rotating) {
        return Err(EstimateError::RefusedModel {
            version: args.version.to_string(),
            reason: "its latent attention must be without positions (`mla_use_nope`)",
        });
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
