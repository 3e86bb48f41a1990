//! Engines on another card than that of the recordings: figures read inside the worker of vLLM 0.25.1 on an NVIDIA H100
//! 80GB HBM3 with dummy weights (docs/profile.md, `benches/gpu/profile_runs.py`). Only the run
//! with two ranks left a mark: it showed that gathered logits were counted beside their copy in 32 bits, which the source
//! denies, and it is the lower end of what ranks add outside the allocator. Nothing else was fitted to these.

use vramscope_core::{Bytes, Vendor};
use vramscope_estimate::{Budget, CommandLine, EngineArgs, Figure, GpuModel, Setting, budget};
use vramscope_models::find_model;

const CARD: GpuModel = GpuModel {
    key: "h100",
    name: "NVIDIA H100 80GB HBM3",
    vendor: Vendor::Nvidia,
    total: Bytes::new(85_017_493_504),
    total_spread: Bytes::ZERO,
    capability: (9, 0),
    multiprocessors: 132,
    l2_bytes: 50 << 20,
    source: "NVML, driver 580.159.04",
};

/// The figures of rank 0, in bytes.
struct Inside {
    model: &'static str,
    flags: &'static [&'static str],
    weights: u64,
    activation_peak: u64,
    non_torch: u64,
    graphs: Option<u64>,
    kv_tensors: u64,
    blocks: u64,
}

const RUNS: [Inside; 5] = [
    Inside {
        model: "meta-llama/Llama-3.1-8B",
        flags: &["--max-model-len=8192"],
        weights: 16_110_919_680,
        activation_peak: 1_897_939_456,
        non_torch: 241_172_480,
        graphs: Some(1_056_964_608),
        kv_tensors: 59_965_964_288,
        blocks: 28_594,
    },
    Inside {
        model: "meta-llama/Llama-3.1-8B",
        flags: &["--max-model-len=8192", "--tensor-parallel-size=2", "--disable-custom-all-reduce"],
        weights: 8_091_410_432,
        activation_peak: 1_126_187_520,
        non_torch: 578_813_952,
        graphs: None,
        kv_tensors: 68_419_584_000,
        blocks: 65_250,
    },
    Inside {
        model: "Qwen/Qwen3-30B-A3B",
        flags: &["--max-model-len=16384"],
        weights: 61_075_902_464,
        activation_peak: 3_442_794_496,
        non_torch: 257_949_696,
        graphs: Some(855_638_016),
        kv_tensors: 12_748_062_720,
        blocks: 8_105,
    },
    Inside {
        model: "deepseek-ai/DeepSeek-V2-Lite",
        flags: &["--max-model-len=16384", "--enforce-eager"],
        weights: 31_481_967_616,
        activation_peak: 1_866_482_176,
        non_torch: 241_172_480,
        graphs: None,
        kv_tensors: 44_626_028_544,
        blocks: 89_671,
    },
    Inside {
        model: "openai/gpt-oss-20b",
        flags: &["--max-model-len=8192", "--enforce-eager"],
        weights: 13_976_352_768,
        activation_peak: 3_114_590_208,
        non_torch: 241_172_480,
        graphs: None,
        kv_tensors: 60_883_599_360,
        blocks: 154_835,
    },
];

fn predicted(run: &Inside) -> Budget {
    let (model, _) = find_model(run.model).unwrap().architecture().unwrap();
    let words: Vec<&str> = ["vllm", "bench", "latency"].into_iter().chain(run.flags.iter().copied()).collect();
    let base = EngineArgs { version: "0.25.1".parse().unwrap(), ..EngineArgs::default() };
    let args = CommandLine::read(&words, base).unwrap().args;
    budget(&model, &args, Setting::alone(&CARD)).unwrap()
}

/// How far a figure is from the truth, in per cent.
fn off(figure: &Figure, truth: u64) -> f64 {
    (Bytes::new(figure.value).as_f64() / Bytes::new(truth).as_f64() - 1.0) * 100.0
}

#[test]
fn another_card_is_predicted_as_well_as_the_recorded_one() {
    for run in &RUNS {
        let found = predicted(run);
        let mut rows = vec![
            ("weights", &found.weights, run.weights, 0.2),
            ("activation peak", &found.activation_peak, run.activation_peak, 1.0),
            ("KV cache", &found.kv_cache, run.kv_tensors, 0.8),
            ("blocks", &found.num_gpu_blocks, run.blocks, 0.8),
        ];
        rows.extend(run.graphs.map(|graphs| ("graphs", &found.cuda_graphs, graphs, 2.0)));
        for (what, figure, truth, most) in rows {
            let error = off(figure, truth);
            eprintln!("{:30} {what:16} {truth:>14} {error:>+8.3} %", run.model);
            assert!(figure.contains(truth), "{} {what}: {figure:?} for {truth}", run.model);
            assert!(error.abs() <= most, "{} {what}: {error:+.3} %", run.model);
        }
        assert!(found.non_torch.contains(run.non_torch), "{}: {:?}", run.model, found.non_torch);
    }
}
