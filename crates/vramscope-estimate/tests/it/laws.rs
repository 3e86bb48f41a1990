//! Laws of the budget, over configs and arguments that nobody wrote by hand.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use vramscope_core::{Architecture, Bytes, Workload};
use vramscope_estimate::document::{EstimateDocument, ModelDocument};
use vramscope_estimate::{
    Budget, CommandLine, Drafter, EngineArgs, EngineVersion, EstimateError, Figure, GpuModel, Lora, Setting, Usage,
    budget, budget_of_loaded, devices, find_device, parameter_count, per_layer, weights_on_device,
};
use vramscope_models::{find_model, known_models, read_config};

/// Families whose rules differ, and one that is not known.
const FAMILIES: &[&str] = &[
    "llama",
    "qwen2",
    "qwen3_moe",
    "gemma2",
    "gemma3_text",
    "gpt_oss",
    "deepseek_v3",
    "llama4_text",
    "nemotron_h",
    "qwen3_next",
    "falcon_h1",
    "jamba",
    "mamba",
    "mamba2",
    "minimax",
    "lfm2",
    "kimi_linear",
    "olmo3",
    "opt",
    "unknown",
];

/// Fields that are numbers, of all families together.
const NUMBERS: &[&str] = &[
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "sliding_window",
    "sliding_window_pattern",
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "n_shared_experts",
    "first_k_dense_replace",
    "kv_lora_rank",
    "q_lora_rank",
    "qk_rope_head_dim",
    "qk_nope_head_dim",
    "v_head_dim",
    "index_n_heads",
    "index_head_dim",
    "attention_chunk_size",
    "linear_num_value_heads",
    "linear_num_key_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "linear_conv_kernel_dim",
    "full_attention_interval",
    "mamba_num_heads",
    "mamba_head_dim",
    "ssm_state_size",
    "conv_kernel",
    "n_groups",
    "mamba_d_state",
    "mamba_d_conv",
    "mamba_expand",
    "mamba_dt_rank",
    "attn_layer_period",
    "attn_layer_offset",
    "conv_L_cache",
    "num_kv_shared_layers",
    "num_nextn_predict_layers",
    "tower_parameters",
];

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0_u32..16).prop_map(|bits| json!(1_u64 << bits)),
        2 => (1_u64..6000).prop_map(|n| json!(n)),
        1 => (0_u32..64).prop_map(|bits| json!(1_u64 << bits)),
        1 => any::<u64>().prop_map(|n| json!(n)),
        1 => any::<i32>().prop_map(|n| json!(n)),
    ]
}

fn quantization() -> impl Strategy<Value = Option<Value>> {
    let groups = prop_oneof![Just(-1_i64), Just(1), Just(32), Just(128), 0_i64..1 << 40];
    prop_oneof![
        3 => Just(None),
        1 => groups.prop_map(|group| Some(json!({"quant_method": "awq", "bits": 4, "group_size": group}))),
        1 => Just(Some(json!({"quant_method": "gptq", "bits": 3, "group_size": 64, "desc_act": true}))),
        1 => (1_u64..300, 1_u64..300)
            .prop_map(|(a, b)| Some(json!({"quant_method": "fp8", "weight_block_size": [a, b]}))),
        1 => Just(Some(json!({"quant_method": "mxfp4"}))),
        1 => Just(Some(json!({"quant_method": "bitsandbytes", "bnb_4bit_use_double_quant": true}))),
        1 => Just(Some(json!({"quant_method": "modelopt", "quant_algo": "NVFP4", "lm_head": true}))),
    ]
}

/// A config with the fields that decoders need and any others on top.
fn config() -> impl Strategy<Value = Map<String, Value>> {
    let base = (
        prop::sample::select(FAMILIES),
        prop::collection::vec(number(), 6),
        prop::collection::btree_map(prop::sample::select(NUMBERS), number(), 0..24),
        quantization(),
        any::<bool>(),
    );
    base.prop_map(|(family, first, others, quantization, tied)| {
        let mut config = Map::new();
        config.insert("model_type".into(), family.into());
        config.insert("tie_word_embeddings".into(), tied.into());
        let needed = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"];
        for (name, value) in needed.into_iter().zip(first) {
            config.insert(name.into(), value);
        }
        // Most such models have a plain number of layers: thousands are slow and show nothing more.
        config.insert("num_hidden_layers".into(), 4.into());
        config.insert("max_position_embeddings".into(), 4096.into());
        config.extend(others.into_iter().map(|(name, value)| (name.to_owned(), value)));
        config.extend(quantization.map(|section| ("quantization_config".to_owned(), section)));
        config
    })
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => (0_u32..12).prop_map(|bits| 1 << bits), 1 => 1_u64..100_000, 1 => any::<u64>()]
}

fn some(count: impl Strategy<Value = u64>) -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.4, count)
}

prop_compose! {
    fn arguments()(
        minor in 0_u16..40,
        offline in any::<bool>(),
        ranks in (0_u32..6, 0_u32..3, 0_u32..3),
        (len, seqs, tokens, block) in (some(count()), some(count()), some(count()), some(count())),
        (share, pool, blocks) in (prop::option::of(0.01_f64..=1.0), some(count()), some(count())),
        flags in any::<[bool; 4]>(),
        prefix in any::<Option<bool>>(),
        hybrid in any::<Option<bool>>(),
        lora in prop::option::weighted(0.2, (count(), count())),
        drafted in prop_oneof![4 => 0_u64..8, 1 => any::<u64>()],
        cache in prop::option::weighted(0.3, prop::sample::select(&["fp8", "nvfp4", "fp8_ds_mla", "int4_per_token_head"][..])),
    ) -> EngineArgs {
        EngineArgs {
            version: EngineVersion::new(0, minor, 0),
            usage: if offline { Usage::Offline } else { Usage::Server },
            tensor_parallel_size: 1 << ranks.0,
            pipeline_parallel_size: 1 << ranks.1,
            data_parallel_size: 1 << ranks.2,
            enable_expert_parallel: flags[0],
            enforce_eager: flags[1],
            max_model_len: len,
            max_num_seqs: seqs,
            max_num_batched_tokens: tokens,
            block_size: block,
            gpu_memory_utilization: share,
            kv_cache_memory: pool.map(Bytes::new),
            num_gpu_blocks_override: blocks,
            enable_prefix_caching: prefix,
            disable_hybrid_kv_cache_manager: hybrid,
            lora: lora.map(|(max_loras, max_rank)| Lora { max_loras, max_rank }),
            num_speculative_tokens: drafted,
            drafter: drafter(drafted),
            kv_cache_dtype: cache.map(str::to_owned),
            language_model_only: flags[2],
            async_scheduling: Some(flags[3]),
            ..EngineArgs::default()
        }
    }
}

/// One of each kind of drafter, and none.
fn drafter(kind: u64) -> Option<Drafter> {
    let told = [
        "",
        r#"{"method": "ngram"}"#,
        r#"{"method": "mtp"}"#,
        r#"{"method": "eagle3", "model": "./draft"}"#,
        r#"{"model": "./draft"}"#,
        r#"{"method": "eagle", "model": "./draft", "quantization": "fp8"}"#,
    ];
    let told =
        usize::try_from(kind).ok().and_then(|kind| told.get(kind % told.len())).filter(|told| !told.is_empty())?;
    let mut drafter = CommandLine::read(&["--speculative-config", told], EngineArgs::default()).unwrap().args.drafter?;
    let small = vramscope_models::find_model("Qwen/Qwen3-0.6B").unwrap().config_json();
    drafter.draft = Some(Box::new(vramscope_models::read_draft_config(&small).unwrap().0));
    Some(drafter)
}

fn figures(budget: &Budget) -> [&Figure; 13] {
    [
        &budget.requested,
        &budget.weights,
        &budget.activation_peak,
        &budget.cuda_graphs,
        &budget.cuda_graphs_budgeted,
        &budget.non_torch,
        &budget.runtime_context,
        &budget.available,
        &budget.kv_cache,
        &budget.num_gpu_blocks,
        &budget.block_size,
        &budget.kv_cache_tokens,
        &budget.max_concurrency_milli,
    ]
}

/// What holds of every budget, whatever was asked.
fn check(model: &Architecture, args: &EngineArgs, setting: Setting<'_>) -> Result<(), TestCaseError> {
    let found = match budget(model, args, setting) {
        Ok(found) => found,
        // Refusing is right where sizes leave 64 bits, contradict or make no sense; the message says which.
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            return Ok(());
        }
    };
    for figure in figures(&found) {
        prop_assert!(figure.low <= figure.value && figure.value <= figure.high, "{figure:?}");
    }
    let bytes = u128::from(found.num_gpu_blocks.value) * u128::from(found.plan.bytes_per_block);
    prop_assert_eq!(u128::from(found.kv_cache.value), bytes, "the cache is whole blocks");
    if args.num_gpu_blocks_override.is_none() {
        prop_assert!(found.kv_cache.value <= found.available.value, "blocks do not exceed what is left");
    }
    if args.kv_cache_memory.is_none() && args.num_gpu_blocks_override.is_none() && found.available.value > 0 {
        let taken =
            [&found.weights, &found.held, &found.activation_peak, &found.cuda_graphs_budgeted, &found.non_torch];
        let sum: u128 = taken.iter().map(|part| u128::from(part.value)).sum::<u128>() + bytes;
        prop_assert!(sum <= u128::from(found.requested.value), "parts exceed what was requested");
    }
    let workload = Workload { input_len: Some(100), output_len: Some(100), ..Workload::default() };
    let used = found.workload(workload);
    let name = ModelDocument {
        name: "any".into(),
        class: None,
        parameters: found.parameters,
        known_family: model.known_family,
        notes: vec![],
    };
    let document = EstimateDocument::new(name, &found, args, setting, used, Vec::new());
    prop_assert!(serde_json::to_string(&document).is_ok());
    Ok(())
}

fn known() -> impl Strategy<Value = Architecture> {
    let ids: Vec<&'static str> = known_models().collect();
    prop::sample::select(ids).prop_map(|id| find_model(id).unwrap().architecture().unwrap().0)
}

fn device() -> impl Strategy<Value = GpuModel> {
    prop_oneof![
        8 => prop::sample::select(devices()),
        1 => any::<u64>().prop_map(|bytes| GpuModel::of_size(Bytes::new(bytes))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_config_is_an_error_or_a_budget(config in config(), args in arguments(), device in device()) {
        let json = Value::Object(config).to_string();
        if let Ok((model, _)) = read_config(json.as_bytes()) {
            prop_assert!(parameter_count(&model).is_ok_and(|count| count.total > 0) || budget(&model, &args, Setting::alone(&device)).is_err());
            check(&model, &args, Setting::alone(&device))?;
        }
    }

    #[test]
    fn any_arguments_for_a_known_model_are_an_error_or_a_budget(
        model in known(), args in arguments(), device in device(), others in any::<u64>(),
    ) {
        check(&model, &args, Setting { others: Bytes::new(others), ..Setting::alone(&device) })?;
    }

    #[test]
    fn layers_and_the_rest_are_whole_wherever_there_is_a_budget(
        config in config(), args in arguments(), device in device()
    ) {
        if let Ok((model, _)) = read_config(&serde_json::to_vec(&config).unwrap()) {
            let setting = Setting::alone(&device);
            let loaded = weights_on_device(&model, &args, &device);
            if let Ok(loaded) = loaded
                && let Ok(found) = budget_of_loaded(&model, &args, setting, &loaded)
            {
                let stages = per_layer(&model, &args, setting, &loaded, &found);
                prop_assert!(stages.is_ok(), "{stages:?}");
                crate::per_layer::check(&model, &stages.unwrap(), &loaded, &found.kv_cache, "any config");
            }
        }
    }

    #[test]
    fn a_larger_share_never_leaves_fewer_blocks(model in known(), low in 0.05_f64..1.0, more in 0.0_f64..0.5) {
        let device = find_device("h200").unwrap();
        let blocks = |share: f64| {
            let args = EngineArgs {
                gpu_memory_utilization: Some(share.min(1.0)), max_model_len: Some(2048), ..EngineArgs::default()
            };
            budget(&model, &args, Setting::alone(device)).map(|found| found.num_gpu_blocks.value)
        };
        prop_assert!(blocks(low)? <= blocks(low + more)?);
    }

    #[test]
    fn more_ranks_never_hold_more_weights_each(model in known()) {
        let mut before = u64::MAX;
        for tensor_parallel_size in [1, 2, 4, 8] {
            let args = EngineArgs { tensor_parallel_size, max_model_len: Some(2048), ..EngineArgs::default() };
            match budget(&model, &args, Setting::alone(find_device("h200").unwrap())) {
                Ok(found) => {
                    prop_assert!(found.weights.value <= before);
                    before = found.weights.value;
                }
                Err(EstimateError::NotDivisible { .. }) => {}
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
    }

    #[test]
    fn more_devices_memory_never_leaves_less_cache(model in known(), gib in 20_u64..200, more in 0_u64..100) {
        let cache = |gib: u64| {
            let args = EngineArgs {
                max_model_len: Some(2048),
                max_num_seqs: Some(128),
                max_num_batched_tokens: Some(4096),
                ..EngineArgs::default()
            };
            let device = GpuModel::of_size(Bytes::new(gib << 30));
            budget(&model, &args, Setting::alone(&device)).map(|found| found.kv_cache.value)
        };
        prop_assert!(cache(gib)? <= cache(gib + more)?);
    }

    #[test]
    fn a_longer_request_never_takes_fewer_blocks(model in known(), tokens in 1_u64..200_000, more in 0_u64..50_000) {
        let args = EngineArgs { max_num_batched_tokens: Some(4096), ..EngineArgs::default() };
        let plan = vramscope_estimate::kv_plan(&model, &args)?;
        prop_assert!(plan.blocks_per_request(tokens) <= plan.blocks_per_request(tokens + more));
    }
}
