//! The element type that is asked for, against the model and the device.

use vramscope_core::{ElementType, Vendor};

use super::model::same_kind;
use super::{Finding, Preflight};

/// Models that vLLM does not compute in float16, by `model_type` and the beginning of their class: the `model_type` of the
/// whole config counts, and a model with a tower may have such a language model within. `_FLOAT16_NOT_SUPPORTED_MODELS` of
/// `config/model.py`, the same in 0.25 and 0.33 but for `plamo2`, which 0.33 has no more.
const NOT_IN_F16: [(&str, &str); 4] =
    [("gemma2", "Gemma2"), ("gemma3", "Gemma3"), ("gemma3_text", "Gemma3"), ("glm4", "Glm4")];

/// What methods of quantized checkpoints compute in, where not in all three: `get_supported_act_dtypes` of each class in
/// `model_executor/layers/quantization` (0.25 and 0.33 agree), held against `--dtype` in `config/vllm.py`.
const COMPUTED_IN: [(&[&str], &[ElementType]); 2] = [
    (
        &["awq", "gptq", "fp8", "fbgemm_fp8", "experts_int8", "quark", "modelopt", "modelopt_fp4", "modelopt_mixed"],
        &[ElementType::Bf16, ElementType::F16],
    ),
    (&["mxfp4", "gpt_oss_mxfp4", "fp_quant", "modelopt_mxfp8", "mxfp8"], &[ElementType::Bf16]),
];

/// The compute capability from which on NVIDIA's devices compute in bfloat16: `check_if_supports_dtype` of vLLM's
/// `platforms/cuda.py`.
const BF16_SINCE: (u8, u8) = (8, 0);

/// The word for it on the engine's command line.
fn word(dtype: ElementType) -> Option<&'static str> {
    match dtype {
        ElementType::Bf16 => Some("bfloat16"),
        ElementType::F16 => Some("float16"),
        ElementType::F32 => Some("float32"),
        _ => None,
    }
}

impl Preflight<'_> {
    /// The engine refuses some element types, and casts to others with a warning. Without the flag it chooses one that
    /// works, so nothing is found then.
    pub(super) fn dtype(&self) -> Option<Finding> {
        let asked = self.args.dtype?;
        let shown = word(asked)?;
        let refused = |reason: String| Finding {
            code: "dtype_not_supported",
            refuses: true,
            message: format!("--dtype is {shown}, and the engine refuses that: {reason}"),
            advice: "leave the flag out: the engine chooses one that works",
        };
        let reason = self.model_without(asked).or_else(|| self.method_without(asked));
        if let Some(reason) = reason.or_else(|| self.device_without(asked)) {
            return Some(refused(reason));
        }
        let stored = self.architecture?.dtype.filter(|stored| *stored != asked)?;
        let narrow = [asked, stored].iter().all(|dtype| matches!(dtype, ElementType::Bf16 | ElementType::F16));
        Some(Finding {
            code: "dtype_is_cast",
            refuses: false,
            message: format!(
                "--dtype is {shown}, and the model's config.json says {}: the engine casts",
                word(stored)?
            ),
            advice: "leave the flag out to measure the model as it was made",
        })
        .filter(|_| narrow)
    }

    fn model_without(&self, asked: ElementType) -> Option<String> {
        let model = self.architecture.filter(|_| asked == ElementType::F16)?;
        let (family, class) = (model.family.as_deref()?, model.class.as_deref()?);
        let listed = NOT_IN_F16.iter().any(|(name, begins)| *name == family && class.starts_with(begins));
        listed.then(|| format!("{family} models are numerically unstable in it"))
    }

    fn method_without(&self, asked: ElementType) -> Option<String> {
        let method = self.architecture?.quantization.as_ref()?.method.as_str();
        // Another method that takes the checkpoint has types of its own.
        self.args.quantization.as_deref().is_none_or(|told| same_kind(told, method)).then_some(())?;
        let (_, computed) = COMPUTED_IN.iter().find(|(names, _)| names.iter().any(|name| same_kind(name, method)))?;
        let words: Vec<&str> = computed.iter().filter_map(|dtype| word(*dtype)).collect();
        (!computed.contains(&asked)).then(|| format!("{method} checkpoints are computed in {}", words.join(" or ")))
    }

    fn device_without(&self, asked: ElementType) -> Option<String> {
        let device = &self.devices.first().filter(|_| asked == ElementType::Bf16)?.device;
        let known = vramscope_estimate::find_device(device.name.as_deref()?)?;
        let (major, minor) = known.capability;
        let old = known.vendor == Vendor::Nvidia && known.capability < BF16_SINCE;
        old.then(|| format!("{} has compute capability {major}.{minor}, and bfloat16 needs 8.0", known.name))
    }
}

#[cfg(test)]
mod tests {
    use vramscope_core::ElementType;
    use vramscope_estimate::{CommandLine, EngineArgs};

    use super::super::tests::{gpu, preflight};

    /// Model type, class, element type and quantization method, `--dtype` and `--quantization`, the device, what is found.
    type Case = (
        (&'static str, &'static str, &'static str, Option<&'static str>),
        (&'static str, Option<&'static str>),
        &'static str,
        Option<(&'static str, bool)>,
    );

    #[test]
    fn an_element_type_that_the_engine_refuses_is_refused_and_one_that_it_casts_to_is_told() {
        let refused = Some(("dtype_not_supported", true));
        let cast = Some(("dtype_is_cast", false));
        let llama = |method| ("llama", "LlamaForCausalLM", "bfloat16", method);
        let h200 = "NVIDIA H200";
        let cases: [Case; 22] = [
            (("gemma2", "Gemma2ForCausalLM", "bfloat16", None), ("float16", None), h200, refused),
            (("gemma3", "Gemma3ForConditionalGeneration", "bfloat16", None), ("half", None), h200, refused),
            (("gemma3_text", "Gemma3ForCausalLM", "bfloat16", None), ("float16", None), h200, refused),
            (("glm4", "Glm4ForCausalLM", "bfloat16", None), ("float16", None), h200, refused),
            (("gemma3_text", "Gemma3ForCausalLM", "bfloat16", None), ("float32", None), h200, None),
            (("gemma3_text", "Gemma3ForCausalLM", "bfloat16", None), ("auto", None), h200, None),
            // A tower around it: the whole config's model_type is another.
            (("gemma2", "PaliGemmaForConditionalGeneration", "bfloat16", None), ("float16", None), h200, cast),
            (("glm4_moe", "Glm4MoeForCausalLM", "bfloat16", None), ("float16", None), h200, cast),
            (llama(None), ("float16", None), h200, cast),
            (llama(None), ("float32", None), h200, None),
            (llama(None), ("bfloat16", None), h200, None),
            (llama(Some("awq")), ("float32", None), h200, refused),
            (llama(Some("gptq")), ("float", Some("gptq_marlin")), h200, refused),
            (llama(Some("fp8")), ("float32", None), h200, refused),
            (llama(Some("fp8")), ("float16", None), h200, cast),
            (llama(Some("compressed-tensors")), ("float32", None), h200, None),
            (llama(Some("something_new")), ("float32", None), h200, None),
            (llama(Some("awq")), ("float32", Some("moe_wna16")), h200, None),
            (llama(None), ("bfloat16", None), "Tesla T4", refused),
            (llama(None), ("auto", None), "Tesla T4", None),
            (llama(None), ("bfloat16", None), "NVIDIA A100-SXM4-80GB", None),
            (llama(None), ("bfloat16", None), "a device that nobody knows", None),
        ];
        for ((family, class, dtype, method), (asked, told), device, found) in cases {
            let section = method.map_or(String::new(), |method| {
                format!(r#", "quantization_config": {{"quant_method": "{method}", "bits": 4, "group_size": 128}}"#)
            });
            let json = format!(
                r#"{{"architectures": ["{class}"], "model_type": "{family}", "hidden_size": 4096, "head_dim": 128,
                "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192, "num_experts_per_tok": 2,
                "n_routed_experts": 8, "moe_intermediate_size": 512, "torch_dtype": "{dtype}"{section}}}"#
            );
            let mut model = vramscope_models::read_config(json.as_bytes()).unwrap().0;
            if let (Some(method), Some(read)) = (method, &mut model.quantization) {
                method.clone_into(&mut read.method);
            }
            let mut devices = [gpu(80, vec![])];
            devices[0].device.name = Some(device.to_owned());
            let mut preflight = preflight(&devices, Some(&model));
            let words = [&["--dtype", asked][..], &told.map_or(vec![], |told| vec!["--quantization", told])].concat();
            preflight.args = CommandLine::read(&words, EngineArgs::default()).unwrap().args;
            let finding = preflight.dtype();
            let told = finding.as_ref().map(|finding| (finding.code, finding.refuses));
            assert_eq!(told, found, "{family} {class} {method:?} --dtype {asked} on {device}: {finding:?}");
        }
    }

    #[test]
    fn mxfp4_is_computed_in_bfloat16_alone() {
        let json = br#"{"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_size": 2880,
            "head_dim": 64, "intermediate_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64,
            "num_key_value_heads": 8, "vocab_size": 201088, "num_local_experts": 32, "num_experts_per_tok": 4,
            "max_position_embeddings": 131072, "sliding_window": 128,
            "quantization_config": {"quant_method": "mxfp4"}}"#;
        let model = vramscope_models::read_config(json).unwrap().0;
        for (asked, refused) in [(ElementType::F16, true), (ElementType::F32, true), (ElementType::Bf16, false)] {
            let mut preflight = preflight(&[], Some(&model));
            preflight.args.dtype = Some(asked);
            assert_eq!(preflight.dtype().is_some(), refused, "{asked:?}");
        }
    }
}
