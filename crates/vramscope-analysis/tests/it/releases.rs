//! One engine in the words of each release, whose figures hold other amounts under the same names: nothing is counted
//! twice, and since 0.27 nothing is left over. What is printed when is the table of `docs/printed-figures.md`.

use std::fmt::Write as _;

use vramscope_schema::v3::{PartKind, Profile};

use crate::analyze;
use crate::made_up::{GIB, folder, gpu_csv};

/// Hundredths of GiB. The engine asks for 72 GiB of 80.
const ASKED: u64 = 7200;
const CONTEXT: u64 = 50;
const WEIGHTS: u64 = 1600;
/// What stays beside the weights after the profile run.
const HELD: u64 = 75;
const TRANSIENT: u64 = 200;
const ESTIMATED: u64 = 100;
const CAPTURED: u64 = 50;

/// How a release counts and speaks.
struct Release {
    version: &'static str,
    /// What is consumed is one figure; before, growth outside the allocator has one of its own.
    consumed: bool,
    /// Graphs are captured on trial, and what that took is taken off.
    trial: bool,
    /// Tokens and requests stand on one line.
    one_line: bool,
}

const RELEASES: [Release; 9] = [
    Release { version: "0.24.0", consumed: false, trial: false, one_line: false },
    Release { version: "0.25.1", consumed: false, trial: false, one_line: false },
    Release { version: "0.27.1", consumed: true, trial: false, one_line: false },
    Release { version: "0.28.0", consumed: true, trial: false, one_line: true },
    Release { version: "0.29.0", consumed: true, trial: true, one_line: true },
    Release { version: "0.30.0", consumed: true, trial: true, one_line: true },
    Release { version: "0.31.0", consumed: true, trial: true, one_line: true },
    Release { version: "0.32.0", consumed: true, trial: true, one_line: true },
    Release { version: "0.33.0", consumed: true, trial: true, one_line: true },
];

/// Hundredths as the engine prints them.
fn gib(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

impl Release {
    fn estimated(&self) -> u64 {
        if self.trial { ESTIMATED } else { 0 }
    }

    fn pool(&self) -> u64 {
        ASKED - WEIGHTS - HELD - TRANSIENT - self.estimated()
    }

    fn log(&self) -> String {
        let mut log = String::new();
        let mut say = |second: u64, place: &str, text: String| {
            let _ = writeln!(log, "(EngineCore pid=40) INFO 11-22 05:00:{second:02} [{place}] {text}");
        };
        let version = self.version;
        say(
            5,
            "core.py:114",
            format!(
                "Initializing a V1 LLM engine (v{version}) with config: model='m', dtype=torch.bfloat16, max_seq_len=8192, tensor_parallel_size=1, pipeline_parallel_size=1, data_parallel_size=1, quantization=None, enforce_eager=False, kv_cache_dtype=auto, device_config=cuda"
            ),
        );
        say(8, "model_runner.py:428", "Using V2 Model Runner".to_owned());
        say(15, "model_runner.py:428", format!("Model loading took {} GiB memory and 6.29 seconds", gib(WEIGHTS)));
        if self.trial {
            let trial = gib(CAPTURED + 20);
            say(17, "model_runner.py:1163", format!("Graph capturing finished in 2 secs, took {trial} GiB"));
            say(18, "gpu_worker.py:790", format!("Estimated CUDA graph memory: {} GiB total", gib(ESTIMATED)));
        }
        say(20, "gpu_worker.py:687", format!("Available KV cache memory: {} GiB", gib(self.pool())));
        // 128 KiB a token.
        let tokens = self.pool() * 8192 / 100;
        let concurrency = format!(
            "Maximum concurrency for 8,192 tokens per request: {:.2}x",
            f64::from(u32::try_from(tokens).unwrap()) / 8192.0
        );
        if self.one_line {
            say(20, "kv_cache_utils.py:2473", format!("GPU KV cache size: {tokens} tokens, {concurrency}"));
        } else {
            say(20, "kv_cache_utils.py:2146", format!("GPU KV cache size: {tokens} tokens"));
            say(20, "kv_cache_utils.py:2147", concurrency);
        }
        say(28, "model_runner.py:722", format!("Graph capturing finished in 4 secs, took {} GiB", gib(CAPTURED)));
        if self.trial {
            say(
                28,
                "gpu_worker.py:1003",
                format!(
                    "CUDA graph pool memory: {} GiB (actual), {} GiB (estimated), difference: 0.5 GiB (100.0%).",
                    gib(CAPTURED),
                    gib(ESTIMATED)
                ),
            );
        }
        let usage = if self.consumed {
            let peak = TRANSIENT + self.estimated();
            format!(
                "{} GiB for consumed memory (weights + non-torch), {} GiB for peak activation,",
                gib(WEIGHTS + HELD),
                gib(peak)
            )
        } else {
            format!(
                "{} GiB for weight, {} GiB for peak activation, {} GiB for non-torch memory,",
                gib(WEIGHTS),
                gib(TRANSIENT),
                gib(HELD)
            )
        };
        say(
            29,
            "gpu_worker.py:1066",
            format!(
                "Free memory on device (79.50/80.0 GiB) on startup. Desired GPU memory utilization is (0.9, 72.0 GiB). Actual usage is {usage} and {} GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=53687091200` (50.0 GiB) to fit into requested memory, or `--kv-cache-memory=61203283968` (57.0 GiB) to fully utilize gpu memory. Current kv cache memory in use is {} GiB.",
                gib(CAPTURED),
                gib(self.pool())
            ),
        );
        say(30, "core.py:337", "init engine (profile, create kv cache, warmup model) took 15.00 s".to_owned());
        log
    }

    fn profile(&self) -> Profile {
        let [loaded, kept, sized, captured] = [
            CONTEXT + WEIGHTS,
            CONTEXT + WEIGHTS + HELD,
            CONTEXT + WEIGHTS + HELD + self.pool(),
            CONTEXT + WEIGHTS + HELD + self.pool() + CAPTURED,
        ];
        let level = |second: u64| {
            let hundredths = match second {
                0..=5 => 0,
                6..=9 => CONTEXT,
                10..=16 => loaded,
                17..=19 => kept,
                20..=26 => sized,
                27..=35 => captured,
                36..=45 => captured + TRANSIENT,
                _ => 0,
            };
            hundredths * (GIB / 100)
        };
        let (log, csv) = (self.log(), gpu_csv(1, 1, 55, level));
        let evidence = folder(&[("vllm.log", &log), ("gpu.csv", &csv)]);
        analyze(evidence.path()).unwrap()
    }
}

#[test]
fn each_release_counts_the_same_memory_once() {
    for release in &RELEASES {
        let profile = release.profile();
        let breakdown = profile.memory_breakdown.as_ref().unwrap();
        let part = |kind: PartKind| {
            let all = breakdown.components.iter().filter(|part| part.kind == kind);
            all.map(|part| part.size_bytes).sum::<u64>().div_ceil(GIB / 100)
        };
        let about = |kind: PartKind, wanted: u64| {
            let found = part(kind);
            assert!(found.abs_diff(wanted) <= 2, "{} {kind:?}: {found} for {wanted}: {breakdown:#?}", release.version);
        };
        about(PartKind::ModelWeights, WEIGHTS);
        about(PartKind::KvCache, release.pool());
        about(PartKind::CudaGraphs, CAPTURED);
        about(PartKind::Activations, TRANSIENT);
        // Up to 0.26 nothing tells growth outside the allocator from what was there before the load, and it has no part.
        let over = if release.consumed { 0.0 } else { HELD as f64 };
        let residual = breakdown.residual_bytes.unwrap() as f64 / (GIB as f64 / 100.0);
        assert!((residual - over).abs() < 5.0, "{}: {residual}: {breakdown:#?}", release.version);
    }
}
