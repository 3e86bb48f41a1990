//! What a release refuses to load or to serve of what a model and its arguments ask for.
//!
//! Read and tried in 0.25.1, 0.28.0, 0.30.0, 0.32.0 and 0.33.0: `layers/quantization/__init__.py`,
//! `quantization/{fp8,modelopt}.py`, `quantization/utils/{gptq_utils,fp8_utils}.py`,
//! `quantization/compressed_tensors/compressed_tensors.py`, and the choice of attention in `platforms/cuda.py`.

use vramscope_core::{Architecture, LatentAttention, Matrix, Mixer, Span, StoredAs, WeightFormat};

use crate::EstimateError;
use crate::vllm::classes;
use crate::vllm::input::{EngineArgs, EngineVersion};
use crate::vllm::kv::{self, CacheElement};
use crate::vllm::trust::Checked;
use crate::weights::format::Kernel;
use crate::weights::tensors::{self, Split, Tensor};

/// Methods that every release from 0.25 to 0.33 loads; others are refused by name.
const METHODS: [&str; 27] = [
    "auto_awq",
    "auto_gptq",
    "auto-round",
    "awq",
    "awq_marlin",
    "compressed-tensors",
    "deepseek_v4_fp8",
    "experts_int8",
    "fp8",
    "fp8_per_block",
    "fp8_per_channel",
    "fp8_per_tensor",
    "gpt_oss_mxfp4",
    "gptq",
    "gptq_marlin",
    "humming",
    "inc",
    "int8_per_channel_weight_only",
    "modelopt",
    "modelopt_fp4",
    "modelopt_mixed",
    "modelopt_mxfp8",
    "moe_wna16",
    "mxfp4",
    "mxfp8",
    "quark",
    "torchao",
];
/// Spellings under which configs state such a method, which the engine maps to it.
const SPELLINGS: [&str; 6] =
    ["compressed_tensors", "intel/auto-round", "modelopt_fp8", "nvfp4", "modelopt_nvfp4", "online"];
/// Methods that are still there and refused unless `--allow-deprecated-quantization` says otherwise.
const DEPRECATED: [&str; 2] = ["fbgemm_fp8", "fp_quant"];

/// Refuses what the release refuses.
pub(crate) fn check(
    model: &Architecture,
    args: &EngineArgs,
    split: Split,
    kernel: Kernel,
) -> Result<(), EstimateError> {
    formats(model, args)?;
    adapters(model, args)?;
    blocks(model, args, split)?;
    latents(model, args, kernel)?;
    attention(model, args, kernel)
}

fn refused<T>(args: &EngineArgs, what: String, advice: &'static str) -> Result<T, EstimateError> {
    // Of a release that nobody has read the newest one that was is all that is known.
    let version = match args.version.checked() {
        Checked::Newer => format!("{}, as which {} is taken,", EngineVersion::NEWEST, args.version),
        _ => args.version.to_string(),
    };
    Err(EstimateError::Refused { version, what, advice })
}

/// Formats of weights that the release does not know, or no longer.
fn formats(model: &Architecture, args: &EngineArgs) -> Result<(), EstimateError> {
    const OTHER: &str = "take a checkpoint in another format, or an older release";
    let declared = model.quantization.as_ref();
    let Some(method) = args.quantization.as_deref().or(declared.map(|own| own.method.as_str())) else { return Ok(()) };
    // What earlier releases knew was not looked at, and a GGUF file is named as not modelled.
    if !args.version.from_minor(25) || method == "gguf" {
        return Ok(());
    }
    if DEPRECATED.contains(&method) {
        return refused(args, format!("the deprecated method `{method}`"), "give --allow-deprecated-quantization");
    }
    let known = METHODS.contains(&method) || SPELLINGS.contains(&method);
    let only_since = method == "nvfp4_per_token" && args.version.from_minor(28);
    let only_until = method == "bitsandbytes" && !args.version.from_minor(28);
    if !(known || only_since || only_until) {
        return refused(args, format!("the method `{method}`, which it does not know"), OTHER);
    }
    // The form that ModelOpt writes beside a config (`transformers_utils/model_arch_config_convertor.py`).
    if method == "modelopt_mixed" && args.quantization.is_none() && !args.version.from_minor(33) {
        return refused(args, "mixed precision in the older form of ModelOpt's checkpoints".to_owned(), OTHER);
    }
    let mixed = declared.is_some_and(|own| own.beside_config && !own.others.is_empty());
    if mixed && method == "modelopt" && !args.version.from_minor(33) {
        let what = "MIXED_PRECISION in a file beside the config".to_owned();
        return refused(args, what, "take a checkpoint whose config.json states its quantization, or a newer release");
    }
    let formats = declared.into_iter().flat_map(|own| std::iter::once(&own.format).chain(&own.others));
    for format in formats {
        let ordered = matches!(format, WeightFormat::Packed { group: Some(_), group_index: true, .. });
        if ordered && args.version.from_minor(30) {
            let what = format!("activation order within groups (desc_act, actorder=group) of `{method}`");
            return refused(args, what, OTHER);
        }
    }
    Ok(())
}

/// Adapters for a class that takes none (`LoRA is not supported for`).
fn adapters(model: &Architecture, args: &EngineArgs) -> Result<(), EstimateError> {
    if args.lora.is_none() || !classes::refuses_adapters(model, args.version) {
        return Ok(());
    }
    let class = model.class.as_deref().unwrap_or_default();
    refused(args, format!("LoRA adapters for `{class}`"), "leave out --enable-lora")
}

/// Shares of ranks that cut through a block that has one scale.
fn blocks(model: &Architecture, args: &EngineArgs, split: Split) -> Result<(), EstimateError> {
    let Some(own) = model.quantization.as_ref().filter(|_| args.version.from_minor(25)) else { return Ok(()) };
    let any = std::iter::once(&own.format).chain(&own.others).any(|format| block_of(*format).is_some());
    if !any || !matches!(own.method.as_str(), "fp8" | "compressed-tensors") {
        return Ok(());
    }
    // The method `fp8` makes the scales of routed experts finer since 0.30.
    let refined = own.method == "fp8" && args.version.from_minor(30);
    for (layer, _) in model.runs() {
        let block = |place: Matrix| match layer.stored.of(place) {
            StoredAs::Plain => None,
            StoredAs::Other(at) => own.others.get(usize::from(at)).copied().and_then(block_of),
            _ => block_of(own.format),
        };
        let mut cut = None;
        tensors::layer(layer, model.hidden_size, split, &mut |tensor| {
            let Some((place, (rows, columns))) = tensor.place.and_then(|place| Some((place, block(place)?))) else {
                return;
            };
            let routed = matches!(place, Matrix::ExpertsGateUp | Matrix::ExpertsDown);
            if cut.is_none() && !(routed && refined) {
                cut = cut_of(place, &tensor, split, rows, columns);
            }
        })?;
        if let Some((size, block)) = cut {
            let what = format!("a share of {size} in blocks of {block} that have one scale each");
            return refused(args, what, "split over fewer ranks, or deal experts out whole");
        }
    }
    Ok(())
}

/// The rows and columns that share a 32-bit scale.
fn block_of(format: WeightFormat) -> Option<(u64, u64)> {
    match format {
        WeightFormat::ByteBlocks { rows, columns, scale: 4 } => Some((rows, columns)),
        _ => None,
    }
}

/// A rank's share of a matrix, where it is no whole number of blocks, and the block. Of matrices that are joined the engine
/// lets a share cut blocks (`_maybe_allow_fp8_block_shape_mismatch`), but for experts'.
fn cut_of(place: Matrix, tensor: &Tensor, split: Split, rows: u64, columns: u64) -> Option<(u64, u64)> {
    let cut = |size: u64, block: u64| (!size.is_multiple_of(block)).then_some((size, block));
    let shared = split.tensor > 1;
    match place {
        Matrix::ExpertsGateUp => cut(tensor.rows / tensor.joined.max(1), rows),
        Matrix::Down | Matrix::SharedDown | Matrix::ExpertsDown | Matrix::Output if shared => {
            cut(tensor.columns, columns)
        }
        Matrix::QueryUp | Matrix::KeyValueUp if shared => cut(tensor.rows, rows),
        _ => None,
    }
}

/// Latent attention that a class or a kernel does not have.
fn latents(model: &Architecture, args: &EngineArgs, kernel: Kernel) -> Result<(), EstimateError> {
    let any = |wanted: &dyn Fn(&LatentAttention) -> bool| {
        model.layers.iter().any(|layer| matches!(&layer.mixer, Mixer::Latent(latent) if wanted(latent)))
    };
    // `models/kimi_k3`, which serves Kimi's delta attention from 0.28 on.
    let kimi = model.family.as_deref() == Some("kimi_linear") && args.version.from_minor(28);
    if kimi && any(&|latent| latent.rotates) {
        let what =
            "latent attention with positions beside Kimi's delta attention (`mla_use_nope` is not true)".to_owned();
        return refused(args, what, "take an older release");
    }
    // Hopper's kernels of sparse attention read 16 bits, or the layout of their own that the option asks for.
    let declared = model.quantization.as_ref().and_then(|own| own.kv_cache.as_deref());
    let declared = declared.is_some_and(|name| name.starts_with("fp8"));
    let left_to_it = args.kv_cache_dtype.as_deref().is_none_or(|name| name == "auto");
    let hopper = kernel == Kernel::Machete && args.version.from_minor(25);
    if hopper && declared && left_to_it && any(&|latent| latent.sparse) {
        let what = "sparse attention over the cache of 8 bits that the checkpoint declares".to_owned();
        return refused(args, what, "give --kv-cache-dtype fp8 or bfloat16");
    }
    Ok(())
}

/// Heads and caches that no kernel on an NVIDIA device serves together.
fn attention(model: &Architecture, args: &EngineArgs, kernel: Kernel) -> Result<(), EstimateError> {
    if !args.version.from_minor(25) {
        return Ok(());
    }
    let element = CacheElement::resolve(model, args)?;
    let eight_bits = element == CacheElement::Bits(8);
    for layer in model.layers.iter().filter(|_| eight_bits) {
        let (Mixer::Attention(a) | Mixer::Parallel(a, _)) = layer.mixer else { continue };
        // FlashAttention wants multiples of 8, Triton's kernel at least 32; FlexAttention takes the rest in 16 bits.
        if a.head_dim < 32 && !a.head_dim.is_multiple_of(8) {
            let what = format!("heads of {} with a KV cache of 8 bits: it has no kernel for them", a.head_dim);
            return refused(args, what, "leave --kv-cache-dtype at auto");
        }
    }
    // Their classes take a window for all layers or for none (`models/qwen2.py`).
    let spans = |wanted: fn(&Span) -> bool| {
        model.layers.iter().any(|layer| matches!(&layer.mixer, Mixer::Attention(a) if wanted(&a.span)))
    };
    let qwen = matches!(model.family.as_deref(), Some("qwen2" | "qwen3"));
    if qwen && spans(|span| *span == Span::Full) && spans(|span| matches!(span, Span::Sliding(_))) {
        let what = "windows in some of the layers (max_window_layers below num_hidden_layers)".to_owned();
        return refused(args, what, "set use_sliding_window to false in the config");
    }
    // Hopper's kernel of it has the one layout; until 0.28 it has to be asked for, in 0.30 it is taken by default.
    let packed = kv::compressed::is_eight_bits(element, args);
    if model.has_compressed_attention() && !packed && (kernel == Kernel::Machete || !args.version.from_minor(29)) {
        let what = "attention over compressed tokens with a KV cache of 16 bits".to_owned();
        return refused(args, what, "give --kv-cache-dtype fp8");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{EngineArgs, EngineVersion, EstimateError, weights_per_rank};

    const RELEASES: [u16; 5] = [25, 28, 30, 32, 33];

    /// Which of the checked releases serve this, with a config's further fields.
    fn served(fields: &str, args: &EngineArgs) -> [bool; 5] {
        let config = format!(
            r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 256, {fields}}}"#
        );
        let (model, _) = vramscope_models::read_config(config.as_bytes()).unwrap();
        RELEASES.map(|minor| {
            let version = EngineVersion::new(0, minor, 0);
            match weights_per_rank(&model, &EngineArgs { version, ..args.clone() }) {
                Ok(_) => true,
                Err(EstimateError::Refused { .. }) => false,
                Err(other) => panic!("{other}"),
            }
        })
    }

    fn quantized(quantization: &str) -> [bool; 5] {
        let fields = format!(r#""intermediate_size": 512, "quantization_config": {quantization}"#);
        served(&fields, &EngineArgs::default())
    }

    #[test]
    fn methods_are_served_by_the_releases_that_know_them() {
        let ordered = r#"{"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": true}"#;
        let one_group = r#"{"quant_method": "gptq", "bits": 4, "group_size": -1, "desc_act": true}"#;
        let plain = r#"{"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false}"#;
        let nf4 = r#"{"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}"#;
        let grouped = r#"{"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0":
            {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group",
            "group_size": 128, "actorder": "group"}}}, "ignore": ["lm_head"]}"#;
        let mixed = r#"{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "MIXED_PRECISION",
            "quantized_layers": {"model.layers.0.mlp.down_proj": {"quant_algo": "FP8"}}, "exclude_modules": []}}"#;
        for (quantization, expected) in [
            (ordered, [true, true, false, false, false]),
            (grouped, [true, true, false, false, false]),
            (one_group, [true; 5]),
            (plain, [true; 5]),
            (nf4, [true, false, false, false, false]),
            (mixed, [false, false, false, false, true]),
            (r#"{"quant_method": "aqlm"}"#, [false; 5]),
            (r#"{"quant_method": "hqq"}"#, [false; 5]),
            (r#"{"quant_method": "fp_quant"}"#, [false; 5]),
        ] {
            assert_eq!(quantized(quantization), expected, "{quantization}");
        }
    }

    #[test]
    fn a_share_that_cuts_a_block_is_refused_but_for_experts_since_0_30() {
        let blocks = r#""quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic",
            "weight_block_size": [128, 128]}"#;
        let two = EngineArgs { tensor_parallel_size: 2, ..EngineArgs::default() };
        let dense = format!(r#""intermediate_size": 1376, {blocks}"#);
        assert_eq!((served(&dense, &EngineArgs::default()), served(&dense, &two)), ([true; 5], [false; 5]));
        let whole = format!(r#""intermediate_size": 1280, {blocks}"#);
        assert_eq!((served(&whole, &EngineArgs::default()), served(&whole, &two)), ([true; 5], [true; 5]));
        let experts = |width: u64| {
            format!(
                r#""model_type": "qwen3_moe", "head_dim": 128, "num_key_value_heads": 2, "num_experts": 4,
                "num_experts_per_tok": 2, "moe_intermediate_size": {width}, "intermediate_size": 512, {blocks}"#
            )
        };
        assert_eq!(served(&experts(384), &two), [false, false, true, true, true]);
        let dealt = EngineArgs { enable_expert_parallel: true, ..two.clone() };
        assert_eq!((served(&experts(384), &dealt), served(&experts(512), &two)), ([true; 5], [true; 5]));
    }

    #[test]
    fn qwens_windows_are_in_all_layers_or_in_none() {
        let windows = |first: u64| {
            format!(
                r#""model_type": "qwen2", "intermediate_size": 512, "use_sliding_window": true, "sliding_window": 64,
                "max_window_layers": {first}"#
            )
        };
        assert_eq!(served(&windows(1), &EngineArgs::default()), [false; 5]);
        assert_eq!(served(&windows(2), &EngineArgs::default()), [true; 5]);
    }

    #[test]
    fn narrow_heads_have_no_kernel_over_eight_bits() {
        let eight = EngineArgs { kv_cache_dtype: Some("fp8".to_owned()), ..EngineArgs::default() };
        for (width, expected) in [(16, true), (20, false), (24, true), (36, true), (100, true)] {
            let fields = format!(r#""intermediate_size": 512, "head_dim": {width}"#);
            assert_eq!(served(&fields, &eight), [expected; 5], "{width}");
            assert_eq!(served(&fields, &EngineArgs::default()), [true; 5], "{width}");
        }
    }
}
