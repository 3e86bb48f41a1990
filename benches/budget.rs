//! The memory budget: reading a config and predicting, one prediction of each kind of model, and a sweep on two cores.

use std::hint::black_box;
use std::thread;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vramscope_core::Architecture;
use vramscope_estimate::{
    EngineArgs, GpuModel, Setting, Weights, budget, budget_of_loaded, find_device, weights_on_device,
};

/// A config as repositories have it.
const CONFIG: &str = r#"{
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
  "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
  "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
  "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
  "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.43.0.dev0", "use_cache": true,
  "vocab_size": 128256}"#;

/// What a 4-bit checkpoint of it has on top.
const AWQ: &str = r#"{"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true,
  "version": "gemm", "modules_to_not_convert": null},"#;

/// The models of the recordings, then experts of 4 bits, recurrent layers, and the largest.
const MODELS: &[&str] = &[
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen2.5-7B",
    "Qwen/Qwen3-30B-A3B",
    "deepseek-ai/DeepSeek-V2-Lite",
    "google/gemma-2-9b",
    "google/gemma-3-4b-it",
    "openai/gpt-oss-120b",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "deepseek-ai/DeepSeek-V3",
];

/// Configurations of one sweep; a million take ten times as long.
const SWEEP: u64 = 100_000;

fn read(config: &str) -> Architecture {
    vramscope_models::read_config(config.as_bytes()).expect("the config is complete").0
}

fn known(id: &str) -> Architecture {
    let model = vramscope_models::find_model(id).expect("the model is in the database");
    model.architecture().expect("the database is valid").0
}

/// Arguments of the sweep: every one differs from the others.
fn arguments(index: u64) -> EngineArgs {
    EngineArgs {
        max_model_len: Some(1024 + 16 * (index % 4096)),
        max_num_seqs: Some(8 + index / 4096),
        tensor_parallel_size: 1 << (index % 4),
        ..EngineArgs::default()
    }
}

/// A sweep on two cores: the blocks of all its configurations together, so that nothing is left out.
fn sweep(one: &(dyn Fn(u64) -> u64 + Sync)) -> u64 {
    let half = |indices: std::ops::Range<u64>| indices.map(one).fold(0, u64::wrapping_add);
    thread::scope(|scope| {
        let first = scope.spawn(|| half(0..SWEEP / 2));
        half(SWEEP / 2..SWEEP).wrapping_add(first.join().unwrap_or(0))
    })
}

/// The weights of every model at each tensor-parallel size; `None` where the model does not divide.
fn load<'a>(models: &'a [Architecture], device: &GpuModel) -> Vec<(&'a Architecture, [Option<Weights>; 4])> {
    let each = |model: &'a Architecture| {
        (model, [0, 1, 2, 3].map(|index| weights_on_device(model, &arguments(index), device).ok()))
    };
    models.iter().map(each).collect()
}

fn bench(c: &mut Criterion) {
    let device = find_device("h200").expect("the device is in the database");
    let setting = Setting::alone(device);
    let mut group = c.benchmark_group("budget");
    group.bench_function("config and budget", |b| {
        b.iter(|| budget(&read(black_box(CONFIG)), &EngineArgs::default(), setting).expect("the model is valid"));
    });
    let mut models: Vec<(&str, Architecture)> = MODELS.iter().map(|id| (*id, known(id))).collect();
    models.push(("Llama-3.1-8B, AWQ", read(&CONFIG.replacen('{', AWQ, 1))));
    for (name, model) in &models {
        group.bench_with_input(BenchmarkId::new("one", name), model, |b, model| {
            b.iter(|| budget(black_box(model), &EngineArgs::default(), setting).expect("the model is valid"));
        });
    }
    group.throughput(Throughput::Elements(SWEEP));
    group.sample_size(10);
    let models: Vec<Architecture> = models.into_iter().map(|(_, model)| model).collect();
    group.bench_function("sweep on two cores", |b| {
        let one = |index: u64| {
            let model = &models[usize::try_from(index).unwrap_or(0) % models.len()];
            budget(model, &arguments(index), setting).map_or(0, |budget| budget.num_gpu_blocks.value)
        };
        b.iter(|| sweep(&one));
    });
    group.bench_function("sweep on two cores, weights known", |b| {
        let loaded = load(&models, device);
        let one = |index: u64| {
            let index_here = usize::try_from(index).unwrap_or(0);
            let (model, weights) = &loaded[index_here % loaded.len()];
            let Some(weights) = &weights[index_here % 4] else { return 0 };
            budget_of_loaded(model, &arguments(index), setting, weights).map_or(0, |budget| budget.num_gpu_blocks.value)
        };
        b.iter(|| sweep(&one));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    targets = bench
}
criterion_main!(benches);
