//! What engines refuse of their arguments, whatever the model, and what no kernel is known to serve.
//!
//! Read in 0.25.1 and 0.33.0: `config/{cache,lora,scheduler,model}.py`, `platforms/cuda.py`,
//! `v1/attention/backends/*.py`.

use vramscope_core::{Architecture, ElementType, Mixer, Vendor};

use crate::EstimateError;
use crate::device::GpuModel;
use crate::vllm::input::EngineArgs;

/// Ranks of adapters that `--max-lora-rank` may be.
const RANKS: [u64; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];
/// Kernels of attention read blocks by so many tokens.
const KERNEL_TOKENS: u64 = 16;
/// Kernels of attention read heads by so many elements.
const KERNEL_ELEMENTS: u64 = 8;

/// Refuses what the engine's own checks refuse.
pub(crate) fn check(args: &EngineArgs) -> Result<(), EstimateError> {
    let bad = |name: &'static str, value: String, expected: &'static str| {
        Err(EstimateError::BadArgument { name, value, expected })
    };
    if !args.version.from_minor(25) {
        // What earlier releases take was not looked at.
        return Ok(());
    }
    if let Some(lora) = args.lora.filter(|lora| !RANKS.contains(&lora.max_rank)) {
        return bad("--max-lora-rank", lora.max_rank.to_string(), "one of 1, 8, 16, 32, 64, 128, 256, 320 and 512");
    }
    match (args.max_num_seqs, args.max_num_batched_tokens) {
        (Some(requests), Some(tokens)) if tokens < requests => {
            let value = format!("{tokens} with --max-num-seqs {requests}");
            bad("--max-num-batched-tokens", value, "at least as many tokens as requests; the engine refuses fewer")
        }
        _ => Ok(()),
    }
}

/// Refuses an element type that a device does not compute in.
pub(crate) fn check_on(args: &EngineArgs, device: &GpuModel) -> Result<(), EstimateError> {
    let old = device.vendor == Vendor::Nvidia && device.capability.0 < 8;
    if old && args.dtype == Some(ElementType::Bf16) {
        return Err(EstimateError::BadArgument {
            name: "--dtype",
            value: format!("bfloat16 on {}", device.name),
            expected: "float16: the engine asks for compute capability 8.0 and more for bfloat16",
        });
    }
    Ok(())
}

/// What is asked for and no kernel is known to serve, so that the engine may refuse it.
pub(crate) fn unserved(model: &Architecture, args: &EngineArgs) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(size) = args.block_size.filter(|size| !size.is_multiple_of(KERNEL_TOKENS)) {
        found.push(format!("--block-size {size} (kernels read blocks of whole {KERNEL_TOKENS}s)"));
    }
    let odd = |mixer: &Mixer| match mixer {
        Mixer::Attention(own) => Some(own.head_dim).filter(|width| !width.is_multiple_of(KERNEL_ELEMENTS)),
        _ => None,
    };
    if let Some(width) = model.layers.iter().find_map(|layer| odd(&layer.mixer)) {
        found.push(format!("heads of {width} elements (kernels read whole {KERNEL_ELEMENTS}s)"));
    }
    let sparse = |mixer: &Mixer| matches!(mixer, Mixer::Latent(latent) if latent.sparse);
    match args.kv_cache_dtype.as_deref() {
        Some("fp8_inc") => found.push("--kv-cache-dtype fp8_inc (Gaudi's)".to_owned()),
        Some("nvfp4") => found.push("--kv-cache-dtype nvfp4 (kernels of Blackwell alone read it)".to_owned()),
        Some("fp8_ds_mla") if !model.layers.iter().any(|layer| sparse(&layer.mixer)) => {
            found.push("--kv-cache-dtype fp8_ds_mla (a form for sparse latent attention)".to_owned());
        }
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vllm::input::Lora;

    fn refusal(args: &EngineArgs) -> Option<&'static str> {
        match check(args) {
            Ok(()) => None,
            Err(EstimateError::BadArgument { name, .. }) => Some(name),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn ranks_and_steps_are_checked_as_the_engine_checks_them() {
        let of_rank = |max_rank| EngineArgs { lora: Some(Lora { max_loras: 1, max_rank }), ..EngineArgs::default() };
        assert_eq!(refusal(&of_rank(16)), None);
        assert_eq!(refusal(&of_rank(7)), Some("--max-lora-rank"));
        let step = |requests, tokens| EngineArgs {
            max_num_seqs: Some(requests),
            max_num_batched_tokens: Some(tokens),
            ..EngineArgs::default()
        };
        assert_eq!(refusal(&step(256, 256)), None);
        assert_eq!(refusal(&step(256, 255)), Some("--max-num-batched-tokens"));
    }

    #[test]
    fn bfloat16_needs_ampere() {
        let asked = EngineArgs { dtype: Some(ElementType::Bf16), ..EngineArgs::default() };
        let device = |key| crate::find_device(key).unwrap();
        assert!(check_on(&asked, device("t4")).is_err());
        assert!(check_on(&asked, device("h200")).is_ok());
        assert!(check_on(&EngineArgs::default(), device("t4")).is_ok(), "the engine takes float16 by itself");
    }

    #[test]
    fn what_no_kernel_serves_is_named() {
        let model = |head: u64| {
            let config = format!(
                r#"{{"model_type": "llama", "hidden_size": 256, "intermediate_size": 64, "num_hidden_layers": 1,
                "num_attention_heads": 2, "head_dim": {head}, "vocab_size": 64, "max_position_embeddings": 64}}"#
            );
            vramscope_models::read_config(config.as_bytes()).unwrap().0
        };
        let of = |dtype: &str| EngineArgs { kv_cache_dtype: Some(dtype.to_owned()), ..EngineArgs::default() };
        assert_eq!(unserved(&model(128), &EngineArgs::default()), [""; 0]);
        assert_eq!(unserved(&model(129), &EngineArgs::default()).len(), 1);
        assert_eq!(unserved(&model(128), &EngineArgs { block_size: Some(17), ..EngineArgs::default() }).len(), 1);
        assert_eq!(unserved(&model(128), &of("nvfp4")).len(), 1);
        assert_eq!(unserved(&model(128), &of("fp8_ds_mla")).len(), 1);
        assert_eq!(unserved(&model(128), &of("fp8")), [""; 0]);
    }
}
