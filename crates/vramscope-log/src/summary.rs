//! One flat answer for a whole input: each field as the log prints it.
//!
//! Lists are in order of appearance, one entry a printed line; memory is in GiB with the digits of the line. A field is
//! `None` where the log does not say.

use std::collections::BTreeMap;

use vramscope_core::{ByteUnit, Failure, FailureKind, Generation};

use crate::document::{Bench, Concurrency, FailureSummary, OneOrMany, Summary};
use crate::figure::Figure;
use crate::key::Key;
use crate::log_report::{EngineReport, LogReport};
use crate::vllm::bench::BenchKind;
use crate::vllm::failure::{Rank, rank};
use crate::vllm::settings::{Setting, SettingSource, SettingValue};
use crate::vllm::worker::Worker;

/// The summary of a report.
pub(crate) fn summary(report: &LogReport) -> Summary {
    let log = Log { report, has_config: report.engines.iter().any(has_config) };
    let mut summary = Summary {
        engine_version: log.text(Key::Version),
        engine_generation: log.engines().find_map(|e| e.facts.generation.as_ref()).map(|g| match g.value {
            Generation::V0 => "V0".to_owned(),
            Generation::V1 => "V1".to_owned(),
        }),
        device_vendor: log.device_vendor(),
        model: log.setting_text("model").or_else(|| log.text(Key::Model)),
        dtype: log.setting_text("dtype"),
        quantization: log.setting_text("quantization"),
        kv_cache_dtype: log.setting_text("kv_cache_dtype").or_else(|| log.text(Key::KvCacheDtype)),
        tensor_parallel_size: log.setting_count("tensor_parallel_size"),
        pipeline_parallel_size: log.setting_count("pipeline_parallel_size"),
        data_parallel_size: log.setting_count("data_parallel_size").or_else(|| log.counts(Key::DataParallel).next()),
        max_model_len: log.max_model_len(),
        gpu_memory_utilization: log.utilization(),
        enforce_eager: log.setting_flag("enforce_eager"),
        enable_prefix_caching: log.setting_flag("enable_prefix_caching"),
        enable_chunked_prefill: log.setting_flag("enable_chunked_prefill"),
        speculative_method: log.setting_text("speculative_method"),
        block_size: log.counts(Key::BlockSize).last().or_else(|| log.argument_count("block_size")),
        ..Summary::default()
    };
    memory(&log, &mut summary);
    summary.attention_backend = log.text(Key::AttentionBackend);
    summary.init_engine_secs = log.numbers(Key::InitSecs).next();
    summary.bench = log.engines().find_map(bench);
    summary.failure = failure(&log);
    summary
}

fn memory(log: &Log<'_>, summary: &mut Summary) {
    // A release that prints MB for its weights never came; such a line states GiB for nobody.
    let loaded: Vec<&Figure> = log.of(Key::Weights).filter(|f| !is_mb(f)).collect();
    let weights = if log.of(Key::Weights).next().is_some() { loaded } else { log.of(Key::WeightsProfiled).collect() };
    summary.weights_gib = gib(&weights);
    summary.weights_workers = workers(&weights);
    let pools: Vec<&Figure> = log.of(Key::KvPool).collect();
    // Where keys and values are printed apart, the fact is their sum.
    let sums = log.engines().flat_map(|e| &e.facts.kv_pool).map(|f| hundredths(f.value.in_unit(ByteUnit::GiB)));
    summary.kv_cache_gib = gib(&pools).or_else(|| Some(sums.collect()).filter(|sums: &Vec<f64>| !sums.is_empty()));
    summary.kv_cache_workers = workers(&pools);
    summary.total_gpu_memory_gib =
        log.memories(Key::DeviceTotal).or(log.memories(Key::FailTotal)).and_then(OneOrMany::first);
    summary.num_gpu_blocks = log.counts(Key::GpuBlocks).min();
    summary.num_cpu_blocks = log.counts(Key::CpuBlocks).min();
    summary.kv_cache_tokens = log.engines().filter_map(|e| e.facts.kv_cache_tokens()).min();
    summary.max_concurrency = log
        .engines()
        .filter_map(|e| e.facts.full_length_requests())
        .min_by(|a, b| a.factor.total_cmp(&b.factor))
        .map(|most| Concurrency { tokens: most.tokens, factor: most.factor });
    // Where the engine prints the peak with graphs in it, the fact is what is left.
    let mixed = log.of(Key::PeakWithGraphs).chain(log.of(Key::TorchGrowth)).next().is_some();
    summary.activations_gib = if mixed {
        let peaks = log.engines().flat_map(|e| &e.facts.activation_peak);
        OneOrMany::of(peaks.map(|f| hundredths(f.value.in_unit(ByteUnit::GiB))).collect())
    } else {
        log.memories(Key::ActivationPeak).or(log.memories(Key::ActivationSummary))
    };
    summary.non_torch_gib = log.memories(Key::NonTorch).or(log.memories(Key::NonTorchSummary));
    summary.cuda_graph_gib = log.memories(Key::Graphs).or(log.memories(Key::GraphPool));
    summary.cuda_graph_capture_secs = OneOrMany::of(log.numbers(Key::CaptureSecs).collect());
    summary.cuda_graph_estimated_gib =
        log.memories(Key::GraphsEstimated).or(log.memories(Key::GraphPoolEstimated)).and_then(OneOrMany::first);
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// The whole input.
struct Log<'a> {
    report: &'a LogReport,
    /// A configuration line was read, which says more than arguments do.
    has_config: bool,
}

impl<'a> Log<'a> {
    fn engines(&self) -> impl Iterator<Item = &'a EngineReport> + use<'a> {
        self.report.engines.iter()
    }

    fn of(&self, key: Key) -> impl Iterator<Item = &'a Figure> + use<'a> {
        self.engines().flat_map(|e| &e.figures).filter(move |f| f.key == key)
    }

    fn text(&self, key: Key) -> Option<String> {
        self.of(key).find_map(Figure::text).map(str::to_owned)
    }

    fn counts(&self, key: Key) -> impl Iterator<Item = u64> + use<'a> {
        self.of(key).filter_map(Figure::count)
    }

    fn numbers(&self, key: Key) -> impl Iterator<Item = f64> + use<'a> {
        self.of(key).filter_map(Figure::number)
    }

    fn memories(&self, key: Key) -> Option<OneOrMany> {
        OneOrMany::of(self.of(key).filter_map(Figure::memory).map(crate::Memory::gib).collect())
    }

    /// A setting that the engine states: from its configuration, else from arguments. A list of all arguments holds
    /// defaults that the engine may replace, so it counts only where there is no configuration.
    fn setting(&self, name: &str) -> Option<&'a Setting> {
        let all = self.engines().flat_map(|e| &e.settings).filter(|s| s.name == name);
        all.filter(|s| !self.has_config || s.source != SettingSource::Namespace).min_by_key(|s| s.source)
    }

    fn setting_text(&self, name: &str) -> Option<String> {
        match &self.setting(name)?.value {
            SettingValue::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn setting_flag(&self, name: &str) -> Option<bool> {
        match self.setting(name)?.value {
            SettingValue::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    fn setting_count(&self, name: &str) -> Option<u64> {
        match self.setting(name)?.value {
            SettingValue::Count(count) => Some(count),
            _ => None,
        }
    }

    /// A count that the engine's configuration does not hold, from arguments of either form.
    fn argument_count(&self, name: &str) -> Option<u64> {
        self.engines().flat_map(|e| &e.settings).filter(|s| s.name == name).find_map(|s| match s.value {
            SettingValue::Count(count) => Some(count),
            _ => None,
        })
    }

    fn utilization(&self) -> Option<f64> {
        let argument = self.engines().flat_map(|e| &e.settings).filter(|s| s.name == "gpu_memory_utilization");
        let argument = argument.min_by_key(|s| s.source).and_then(|s| match s.value {
            SettingValue::Number(number) => Some(number),
            _ => None,
        });
        argument.or_else(|| self.numbers(Key::Utilization).next()).or_else(|| self.numbers(Key::FailUtilization).next())
    }

    fn max_model_len(&self) -> Option<u64> {
        self.setting_count("max_model_len")
            .or_else(|| self.counts(Key::MaxModelLen).next())
            .or_else(|| self.counts(Key::ConcurrencyTokens).next())
            .or_else(|| self.counts(Key::FailLength).next())
    }

    /// Who made the device, as far as words of the log tell. ROCm builds call their device `cuda` in the configuration.
    fn device_vendor(&self) -> Option<String> {
        let backend = self.text(Key::AttentionBackend).unwrap_or_default().to_ascii_lowercase();
        let amd = backend.contains("rocm") || backend.contains("aiter");
        let platform = self.text(Key::Platform);
        let vendor = match platform.as_deref() {
            Some("rocm") => "amd",
            Some("cuda") if !amd => "nvidia",
            Some("xpu") => "intel",
            Some("hpu") => "intel",
            Some("tpu") => "google",
            Some("cpu") => "cpu",
            Some("npu" | "ascend") => "ascend",
            _ if amd || self.engines().any(|e| e.facts.failures.iter().any(|f| f.message.contains("HIP "))) => "amd",
            _ => match self.setting_text("device_config").as_deref() {
                Some("cpu") => "cpu",
                Some("xpu") => "intel",
                Some("tpu") => "google",
                Some("hpu") => "intel",
                _ => return None,
            },
        };
        Some(vendor.to_owned())
    }
}

fn has_config(engine: &EngineReport) -> bool {
    engine.settings.iter().any(|s| s.source == SettingSource::Config)
}

fn is_mb(figure: &Figure) -> bool {
    figure.memory().is_some_and(|m| m.unit.as_deref() == Some("MB"))
}

fn gib(figures: &[&Figure]) -> Option<Vec<f64>> {
    let values: Vec<f64> = figures.iter().filter_map(|f| f.memory()).map(crate::Memory::gib).collect();
    (!values.is_empty()).then_some(values)
}

/// Who printed each line. A line without a tag is the driver's; an engine core that prints a worker's line is the
/// driver too, unless several of them do.
fn workers(figures: &[&Figure]) -> Option<Vec<Option<String>>> {
    let tags: Vec<Option<Worker<'_>>> = figures.iter().map(|f| f.origin.worker.as_deref().map(Worker::of)).collect();
    let engines: Vec<&str> = tags.iter().flatten().filter(|w| w.is_engine()).map(Worker::label).collect();
    let several_engines = engines.windows(2).any(|pair| pair[0] != pair[1]);
    let labels: Vec<Option<String>> = tags
        .iter()
        .map(|tag| tag.filter(|w| several_engines || !w.is_engine()).map(|w| w.label().to_owned()))
        .collect();
    labels.iter().any(Option::is_some).then_some(labels)
}

/// The failure that explains the others, if there is one: a cause before an unknown error before what follows from it.
fn failure(log: &Log<'_>) -> Option<FailureSummary> {
    let all = || log.engines().flat_map(|e| e.facts.failures.iter().map(move |f| (e, f)));
    let (engine, failure) = [Rank::Cause, Rank::Unknown, Rank::Consequence]
        .into_iter()
        .find_map(|wanted| all().find(|(_, f)| rank(&f.kind) == wanted))?;
    Some(failure_summary(engine, failure))
}

fn failure_summary(engine: &EngineReport, failure: &Failure) -> FailureSummary {
    let printed = |key: Key| {
        let on_line = |f: &&Figure| f.key == key && f.origin.line == failure.origin.line;
        engine.figures.iter().find(on_line)
    };
    let gib = |key: Key| printed(key).and_then(Figure::memory).map(crate::Memory::gib);
    let text = |key: Key| printed(key).and_then(Figure::memory).map(crate::Memory::text);
    let count = |key: Key| printed(key).and_then(Figure::count);
    let mut summary = FailureSummary::default();
    summary.kind = match failure.kind {
        FailureKind::FreeMemoryGrew { .. }
        | FailureKind::EngineCoreDied
        | FailureKind::Collective
        | FailureKind::WorkerDied
        | FailureKind::UnsupportedArchitecture
        | FailureKind::UnsupportedOnDevice
        | FailureKind::BadArguments => {
            summary.message = Some(failure.message.clone());
            FailureKind::Other.name()
        }
        FailureKind::Other | FailureKind::WaitingForGpus => {
            summary.message = Some(failure.message.clone());
            failure.kind.name()
        }
        _ => failure.kind.name(),
    }
    .to_owned();
    summary.max_seq_len = count(Key::FailLength);
    summary.kv_cache_tokens = count(Key::FailKvTokens);
    summary.needed_gib = gib(Key::FailNeeded);
    summary.available_gib = gib(Key::FailAvailable);
    summary.estimated_max_model_len = count(Key::FailEstimatedLength);
    summary.utilization = printed(Key::FailUtilization).and_then(Figure::number);
    summary.requested_gib = gib(Key::FailRequested);
    if let FailureKind::OutOfMemory { .. } = failure.kind {
        summary.tried_to_allocate = text(Key::FailTried);
        summary.total_capacity = text(Key::FailTotal);
        summary.free = text(Key::FailFreeThen);
        summary.process_in_use = text(Key::FailProcess);
        summary.allocated_by_pytorch = text(Key::FailAllocated);
        summary.reserved_unallocated = text(Key::FailReserved);
    } else {
        summary.free_gib = gib(Key::FailFree).or_else(|| gib(Key::FailFreeThen));
        summary.total_gib = gib(Key::FailTotal);
    }
    summary
}

/// The final numbers of a benchmark.
fn bench(engine: &EngineReport) -> Option<Bench> {
    let value = |label: &str| engine.bench.iter().find(|v| v.label.eq_ignore_ascii_case(label)).map(|v| v.value);
    let mut numbers: BTreeMap<String, f64> = BTreeMap::new();
    let mut put = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            numbers.insert(name.to_owned(), value);
        }
    };
    let kind = match engine.bench_kind? {
        BenchKind::Throughput => {
            put("requests_s", value("requests/s"));
            put("total_tok_s", value("total tokens/s"));
            put("output_tok_s", value("output tokens/s"));
            "throughput"
        }
        BenchKind::Serve => {
            for (name, label) in SERVE {
                put(name, value(label));
            }
            "serve"
        }
        BenchKind::Latency => {
            let latency = engine.facts.latency.as_ref()?;
            put("avg_latency_s", value("Avg latency (s)"));
            for (percent, _) in &latency.percentiles {
                put(&format!("p{percent}_latency_s"), value(&format!("{percent}% percentile latency (s)")));
            }
            "latency"
        }
    };
    Some(Bench { r#type: kind.to_owned(), numbers })
}

/// The labels of a serving result that the summary carries, with their names in it.
const SERVE: &[(&str, &str)] = &[
    ("successful_requests", "Successful requests"),
    ("duration_s", "Benchmark duration (s)"),
    ("request_throughput", "Request throughput (req/s)"),
    ("output_tok_s", "Output token throughput (tok/s)"),
    ("total_tok_s", "Total token throughput (tok/s)"),
    ("mean_ttft_ms", "Mean TTFT (ms)"),
    ("mean_tpot_ms", "Mean TPOT (ms)"),
    ("mean_itl_ms", "Mean ITL (ms)"),
];
