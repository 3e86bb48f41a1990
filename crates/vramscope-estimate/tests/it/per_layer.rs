//! Memory by layer: layers and what stands outside them are a rank's weights and KV cache exactly, whatever the model.

use std::collections::BTreeMap;
use std::path::Path;

use vramscope_core::{Architecture, Confidence, FeedForward, Mixer};
use vramscope_estimate::{
    CommandLine, EngineArgs, EngineVersion, EstimateError, Figure, GpuModel, Part, Setting, StageLayers, Weights,
    budget_of_loaded, find_device, parameter_count, per_layer, weights_on_device,
};
use vramscope_models::{find_model, known_models};

/// The built-in models, and those with configs and truths of their own.
fn models() -> Vec<(String, Architecture)> {
    let known = known_models();
    let mut models: Vec<_> =
        known.map(|id| (id.to_owned(), find_model(id).unwrap().architecture().unwrap().0)).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    for entry in std::fs::read_dir(root).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let config = std::fs::read(entry.path().join("config.json")).unwrap();
        let config = match std::fs::read(entry.path().join("hf_quant_config.json")) {
            Ok(beside) => vramscope_models::with_quantization(&config, &beside).unwrap(),
            Err(_) => config,
        };
        let (model, _) = vramscope_models::read_config(&config)
            .unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
        models.push((entry.file_name().to_string_lossy().into_owned(), model));
    }
    models
}

fn taken_apart(
    model: &Architecture,
    args: &EngineArgs,
    device: &GpuModel,
) -> Result<(Vec<StageLayers>, Weights, Figure), EstimateError> {
    let setting = Setting::alone(device);
    let loaded = weights_on_device(model, args, device)?;
    let budget = budget_of_loaded(model, args, setting, &loaded)?;
    let stages = per_layer(model, args, setting, &loaded, &budget)?;
    Ok((stages, loaded, budget.kv_cache))
}

/// Layer by layer, as the pipeline has them: each stands on one stage, once.
fn check_places(model: &Architecture, stages: &[StageLayers], what: &str) {
    let mut places: Vec<usize> =
        stages.iter().flat_map(|stage| &stage.alike).flat_map(|alike| alike.layers.iter().cloned().flatten()).collect();
    places.sort_unstable();
    assert_eq!(places, (0..model.layers.len()).collect::<Vec<_>>(), "{what}");
    for stage in stages {
        for alike in &stage.alike {
            let mut layers = alike.layers.iter().cloned().flatten().map(|place| &model.layers[place]);
            let first = layers.next().unwrap();
            assert!(layers.all(|layer| layer == first), "{what}: layers that differ are called alike");
            assert_eq!(alike.parts.iter().map(|(_, bytes)| bytes).sum::<u64>(), alike.weights, "{what}");
            let has_experts = alike.parts.iter().any(|(part, _)| *part == Part::Experts);
            assert_eq!(has_experts, matches!(first.feed_forward, FeedForward::Experts(_)), "{what}");
            let recurs = matches!(first.mixer, Mixer::Recurrent(_) | Mixer::Parallel(..));
            assert_eq!(alike.state.is_some(), recurs, "{what}");
            let state = alike.state.as_ref().map_or(0, |state| state.value);
            let page = alike.caches.iter().map(|cache| cache.block_bytes).max().unwrap_or(0);
            assert!(state <= page, "{what}: a state of {state} bytes lies in a block of {page}");
        }
    }
}

/// Weights add up, and only what belongs there stands outside layers.
fn check_weights(stages: &[StageLayers], totals: &[u64], what: &str) {
    assert_eq!(stages.len(), totals.len(), "{what}");
    for (stage, total) in stages.iter().zip(totals) {
        let layers: u64 = stage.alike.iter().map(|alike| alike.weights * alike.count()).sum();
        let outside: u64 = stage.outside.iter().map(|own| own.weights).sum();
        assert_eq!(layers + outside, *total, "{what}: layers and the rest");
        assert_eq!(stage.weights.value, *total, "{what}");
        let within = ["attention", "recurrence", "feed_forward", "experts", "shared_experts", "router"];
        for own in &stage.outside {
            assert!(!within.contains(&own.name), "{what}: {} of {} bytes are in no layer", own.name, own.weights);
        }
    }
}

/// Each group's layers and padding are the rank's cache; layers' caches are those of the groups.
fn check_cache(stages: &[StageLayers], pool: &Figure, what: &str) {
    let largest = stages.iter().map(|stage| &stage.kv_cache).max_by_key(|cache| cache.value);
    let told = |figure: &Figure| (figure.value, figure.low, figure.high, figure.confidence);
    assert_eq!(largest.map(told), Some(told(pool)), "{what}");
    for stage in stages {
        let mut by_layers: u64 = stage.outside.iter().filter_map(|own| own.kv_cache).sum();
        by_layers += stage
            .alike
            .iter()
            .map(|alike| alike.caches.iter().map(|cache| cache.bytes).sum::<u64>() * alike.count())
            .sum::<u64>();
        assert_eq!(stage.sharing.iter().map(|group| group.bytes).sum::<u64>(), by_layers, "{what}");
        for group in &stage.sharing {
            assert_eq!(group.bytes + group.padding, stage.kv_cache.value, "{what}: {:?}", group.kind);
        }
        if let [alone] = stage.sharing.as_slice() {
            assert_eq!(alone.padding, 0, "{what}: nobody else draws on the pool");
        }
    }
}

/// All that holds of every model and arguments.
pub(crate) fn check(model: &Architecture, stages: &[StageLayers], loaded: &Weights, pool: &Figure, what: &str) {
    let totals: Vec<u64> = loaded.stages.iter().map(|stage| stage.bytes.value).collect();
    check_places(model, stages, what);
    check_weights(stages, &totals, what);
    check_cache(stages, pool, what);
}

/// Arguments of ranks and stages that the engine may refuse of a model: heads that do not divide, formats, pipelines.
fn refused(error: &EstimateError) -> bool {
    !matches!(error, EstimateError::Overflow { .. } | EstimateError::Implausible { .. })
}

#[test]
fn layers_and_the_rest_are_the_ranks_weights_and_cache_of_every_model() {
    let device = find_device("b200").unwrap();
    let models = models();
    assert!(models.len() > 60, "{} models", models.len());
    let mut checked: BTreeMap<String, u64> = BTreeMap::new();
    for (name, model) in &models {
        for (tensor, pipeline) in [(1, 1), (2, 1), (8, 1), (1, 2), (2, 2)] {
            for version in ["0.25.1", "0.33.0"] {
                let args = EngineArgs {
                    tensor_parallel_size: tensor,
                    pipeline_parallel_size: pipeline,
                    max_model_len: Some(1024),
                    // The older release refuses compressed tokens in 16 bits.
                    kv_cache_dtype: model.has_compressed_attention().then(|| "fp8".to_owned()),
                    // So large models on few ranks have a cache too.
                    num_gpu_blocks_override: Some(1000),
                    version: version.parse::<EngineVersion>().unwrap(),
                    ..EngineArgs::default()
                };
                let what = format!("{name}, tensor {tensor}, pipeline {pipeline}, {version}");
                match taken_apart(model, &args, device) {
                    Ok((stages, loaded, pool)) => {
                        check(model, &stages, &loaded, &pool, &what);
                        *checked.entry(name.clone()).or_default() += 1;
                    }
                    Err(error) => assert!(refused(&error), "{what}: {error}"),
                }
            }
        }
    }
    let never: Vec<_> = models.iter().filter(|(name, _)| !checked.contains_key(name)).map(|(name, _)| name).collect();
    let total: u64 = checked.values().sum();
    eprintln!("{} models, {total} of {} placements checked; never: {never:?}", models.len(), models.len() * 10);
    assert!(never.is_empty(), "no placement of these is taken apart: {never:?}");
    // The others are heads that do not divide, and what a release refuses.
    assert!(total >= 900, "{total} placements");
}

#[test]
fn a_dense_model_is_as_by_hand() {
    let (model, _) = find_model("meta-llama/Llama-3.1-8B").unwrap().architecture().unwrap();
    let device = find_device("h100").unwrap();
    let args = EngineArgs { max_model_len: Some(4096), num_gpu_blocks_override: Some(100), ..EngineArgs::default() };
    let (stages, ..) = taken_apart(&model, &args, device).unwrap();
    let [stage] = stages.as_slice() else { panic!("{stages:?}") };
    let [alike] = stage.alike.as_slice() else { panic!("{:?}", stage.alike) };
    assert_eq!((alike.layers.len(), &alike.layers[0]), (1, &(0..32)));
    assert_eq!((alike.mixer, alike.feed_forward), ("attention", "dense"));
    // 4096 x (6144 + 4096) of attention, 3 x 4096 x 14336, two norms, in 16 bits; four scales of 4 bytes.
    let parameters = 4096 * (6144 + 4096) + 3 * 4096 * 14_336 + 2 * 4096;
    assert_eq!(alike.weights, 2 * parameters + 16);
    // Keys and values of 8 heads of 128 for 16 tokens of 100 blocks.
    assert_eq!(alike.caches[0].bytes, 100 * 16 * 2 * 8 * 128 * 2);
    let of = |name: &str| stage.outside.iter().find(|own| own.name == name).map(|own| own.weights);
    assert_eq!((of("embedding"), of("head")), (Some(128_256 * 4096 * 2), Some(128_256 * 4096 * 2)));
    assert_eq!((of("norms"), of("buffers")), (Some(4096 * 2), Some(131_072 * 128 * 2)));
    // All but buffers and rounding are the model's parameters.
    let outside = stage.outside.iter().filter(|own| !["buffers", "allocator_rounding"].contains(&own.name));
    let bytes = 32 * (alike.weights - 16) + outside.map(|own| own.weights).sum::<u64>();
    assert_eq!(bytes, 2 * parameter_count(&model).unwrap().total);
}

#[test]
fn a_hybrid_shares_its_pool_and_says_what_is_padding() {
    let (model, _) = find_model("Qwen/Qwen3-Next-80B-A3B-Instruct").unwrap().architecture().unwrap();
    let args = EngineArgs { tensor_parallel_size: 4, max_model_len: Some(4096), ..EngineArgs::default() };
    let (stages, _, pool) = taken_apart(&model, &args, find_device("h100").unwrap()).unwrap();
    // Three layers of four are recurrent: 12 with attention and three groups of 12 with states, with nothing idle.
    let groups: Vec<_> = stages[0].sharing.iter().map(|group| (group.bytes, group.padding)).collect();
    assert_eq!(groups, vec![(pool.value, 0); 4]);
    let kinds: Vec<_> = stages[0].alike.iter().map(|alike| (alike.mixer, alike.count())).collect();
    assert_eq!(kinds, [("recurrence", 36), ("attention", 12)]);
    let args = EngineArgs { pipeline_parallel_size: 7, tensor_parallel_size: 1, ..args };
    let (stages, _, pool) = taken_apart(&model, &args, find_device("h100").unwrap()).unwrap();
    assert!(stages.iter().flat_map(|stage| &stage.sharing).any(|group| group.padding > 0), "stages deal unevenly");
    check_cache(&stages, &pool, "seven stages");
}

#[test]
fn adapters_and_a_drafter_stand_outside_layers() {
    let (model, _) = find_model("Qwen/Qwen3-Next-80B-A3B-Instruct").unwrap().architecture().unwrap();
    let drafter = r#"{"method": "mtp", "num_speculative_tokens": 2}"#;
    let words = ["--speculative-config", drafter, "--enable-lora", "--max-model-len", "4096", "-tp", "4"];
    let line = CommandLine::read(&words, EngineArgs::default()).unwrap();
    let (stages, loaded, pool) = taken_apart(&model, &line.args, find_device("h100").unwrap()).unwrap();
    check(&model, &stages, &loaded, &pool, "drafter and adapters");
    let of = |name: &str| stages[0].outside.iter().find(|own| own.name == name).unwrap();
    let (drafter, adapters) = (of("drafter"), of("adapters"));
    assert!(drafter.weights > 0 && drafter.kv_cache > Some(0), "{drafter:?}");
    assert!(adapters.weights > 0 && adapters.kv_cache.is_none(), "{adapters:?}");
    assert_eq!(stages[0].sharing.iter().map(|group| group.drafter_layers).sum::<u64>(), 1);
}

#[test]
fn shares_of_what_a_checkpoint_stores_add_up_to_the_byte() {
    for stored in [15_000_000_001, 16_060_556_376, 31_999_999_999] {
        let (mut model, _) = find_model("meta-llama/Llama-3.1-8B").unwrap().architecture().unwrap();
        (model.known_family, model.stored_bytes) = (false, Some(stored));
        for (tensor, pipeline) in [(1, 1), (2, 2), (8, 1)] {
            let args = EngineArgs {
                tensor_parallel_size: tensor,
                pipeline_parallel_size: pipeline,
                max_model_len: Some(4096),
                ..EngineArgs::default()
            };
            let (stages, loaded, pool) = taken_apart(&model, &args, find_device("h100").unwrap()).unwrap();
            check(&model, &stages, &loaded, &pool, "a checkpoint's share");
            let rest = stages[0].outside.iter().find(|own| own.name == "share_remainder");
            assert!(rest.is_none_or(|rest| rest.weights < 32 * 8), "less than a byte for each part: {rest:?}");
            assert!(stages[0].outside.iter().all(|own| own.name != "allocator_rounding"), "{stages:?}");
        }
    }
}

#[test]
fn a_state_is_computed_where_it_alone_is_its_block() {
    let device = find_device("h100").unwrap();
    let confidence = |model: &Architecture| {
        let args = EngineArgs { max_model_len: Some(1024), num_gpu_blocks_override: Some(10), ..EngineArgs::default() };
        let (stages, ..) = taken_apart(model, &args, device).unwrap();
        let state = stages[0].alike.iter().find_map(|alike| alike.state.clone()).unwrap();
        (state.confidence, state.low < state.high)
    };
    let (hybrid, _) = find_model("Qwen/Qwen3-Next-80B-A3B-Instruct").unwrap().architecture().unwrap();
    assert_eq!(confidence(&hybrid), (Confidence::Estimated, true));
    let config = br#"{"architectures": ["MambaForCausalLM"], "model_type": "mamba", "hidden_size": 2048,
        "intermediate_size": 4096, "num_hidden_layers": 8, "state_size": 16, "conv_kernel": 4, "time_step_rank": 128,
        "vocab_size": 50280, "torch_dtype": "bfloat16"}"#;
    let (recurrent, _) = vramscope_models::read_config(config).unwrap();
    assert_eq!(confidence(&recurrent), (Confidence::Computed, false));
}
