//! From figures and settings to the facts that the rest of vramscope works with.

use std::time::Duration;

use vramscope_core::{
    Bytes, EngineFacts, Event, Fact, LatencyResult, LogTime, MaxConcurrency, Milestone, Origin, Parallel, Replica,
    Scope,
};

use crate::engine::Engine;
use crate::figure::{Figure, Value};
use crate::key::Key;
use crate::vllm::settings::SettingValue;
use crate::vllm::worker::{self, Worker};
use crate::vllm::{meaning, rows};

/// All facts of an engine but its failures, which are settled at its end.
pub(crate) fn facts(engine: &Engine) -> EngineFacts {
    let mut facts = EngineFacts::default();
    facts.engine = engine.is_told.then_some(rows::ENGINE);
    identity(engine, &mut facts);
    arguments(engine, &mut facts);
    memory(engine, &mut facts);
    running(engine, &mut facts);
    facts.events = events(engine);
    facts.latency = latency(engine);
    facts
}

fn identity(engine: &Engine, facts: &mut EngineFacts) {
    facts.version = text(engine, Key::Version);
    facts.generation = engine.generation.as_ref().map(|(generation, origin)| stated(*generation, origin));
    facts.model_runner = engine.of(Key::ModelRunner).find_map(|f| Some(fact(f, u32::try_from(f.count()?).ok()?)));
    facts.platform = text(engine, Key::Platform).or_else(|| setting_text(engine, "device_config"));
    facts.architecture = text(engine, Key::Architecture);
    facts.attention_backend = text(engine, Key::AttentionBackend);
    facts.model = setting_text(engine, "model").or_else(|| text(engine, Key::Model));
}

fn arguments(engine: &Engine, facts: &mut EngineFacts) {
    facts.dtype = setting_text(engine, "dtype").map(|f| {
        let value = f.value.strip_prefix("torch.").unwrap_or(&f.value).to_owned();
        Fact { value, ..f }
    });
    facts.quantization = setting_text(engine, "quantization").or_else(|| {
        let setting = engine.setting("quantization").filter(|s| s.value == SettingValue::None)?;
        Some(stated("none".to_owned(), &setting.origin))
    });
    // `auto` follows the checkpoint, which a line of its own names then.
    let told = setting_text(engine, "kv_cache_dtype");
    let named = text(engine, Key::KvCacheDtype);
    facts.kv_cache_dtype = told.clone().filter(|dtype| dtype.value != "auto").or(named).or(told);
    facts.load_format = setting_text(engine, "load_format");
    let size = |name: &str| setting_count(engine, name).and_then(narrow);
    facts.parallel = Parallel {
        tensor: size("tensor_parallel_size"),
        pipeline: size("pipeline_parallel_size"),
        data: size("data_parallel_size").or_else(|| first_count(engine, Key::DataParallel).and_then(narrow)),
    };
    facts.max_model_len = last_count(engine, Key::FittedMaxModelLen)
        .or_else(|| setting_count(engine, "max_model_len"))
        .or_else(|| first_count(engine, Key::MaxModelLen))
        .or_else(|| first_count(engine, Key::ConcurrencyTokens))
        .or_else(|| first_count(engine, Key::FailLength));
    facts.max_num_batched_tokens =
        last_count(engine, Key::MaxBatchedTokens).or_else(|| setting_count(engine, "max_num_batched_tokens"));
    facts.max_num_seqs = setting_count(engine, "max_num_seqs").or_else(|| last_count(engine, Key::MaxSeqs));
    facts.gpu_memory_utilization = setting_number(engine, "gpu_memory_utilization")
        .or_else(|| number(engine, Key::Utilization))
        .or_else(|| number(engine, Key::FailUtilization));
    facts.kv_cache_memory =
        setting_count(engine, "kv_cache_memory_bytes").map(|given| stated(Bytes::new(given.value), &given.origin));
    // Its `GB` is GiB, as all of the engine's.
    facts.cpu_offload = setting_number(engine, "cpu_offload_gb").filter(|given| given.value > 0.0).and_then(|given| {
        let amount = Bytes::from_unit(given.value, vramscope_core::ByteUnit::GiB)?;
        Some(stated(amount, &given.origin))
    });
    facts.block_size = last_count(engine, Key::BlockSize).or_else(|| setting_count(engine, "block_size"));
    facts.enforce_eager = setting_flag(engine, "enforce_eager");
    facts.enable_prefix_caching = setting_flag(engine, "enable_prefix_caching");
    facts.enable_chunked_prefill = setting_flag(engine, "enable_chunked_prefill");
    facts.speculative_method = setting_text(engine, "speculative_method");
    facts.cudagraph_mode = text(engine, Key::CudagraphMode).or_else(|| setting_text(engine, "cudagraph_mode"));
}

fn memory(engine: &Engine, facts: &mut EngineFacts) {
    facts.weights = amounts(engine, &[Key::Weights]);
    if facts.weights.is_empty() {
        facts.weights = per_worker(engine, &[Key::WeightsProfiled, Key::WeightsSummary]);
    }
    facts.kv_pool = amounts(engine, &[Key::KvPool]);
    facts.consumed = per_worker(engine, &[Key::Consumed]);
    facts.activation_peak = meaning::activation_peak(engine);
    facts.non_torch = per_worker(engine, &[Key::NonTorch, Key::NonTorchSummary]);
    facts.initial_non_torch = per_worker(engine, &[Key::InitialNonTorch]);
    facts.initial_free = per_worker(engine, &[Key::InitialFree, Key::FailFree]);
    facts.device_total = per_worker(engine, &[Key::DeviceTotal, Key::FailTotal]);
    facts.requested = per_worker(engine, &[Key::Requested, Key::FailRequested]);
    let graphs = if engine.of(Key::Graphs).next().is_some() { Key::Graphs } else { Key::GraphPool };
    facts.graphs = amounts(engine, &[graphs]);
    facts.graphs_negative = negative(engine, graphs);
    facts.graphs_tried = amounts(engine, &[Key::GraphsTried]);
    if meaning::graphs_counted(engine) {
        facts.graphs_estimated = per_worker(engine, &[Key::GraphsEstimated, Key::GraphPoolEstimated]);
    }

    facts.gpu_blocks = counts(engine, Key::GpuBlocks);
    facts.kv_tokens = counts(engine, Key::KvTokens);
    facts.max_concurrency = engine
        .figures
        .windows(2)
        .filter(|pair| pair[0].key == Key::ConcurrencyTokens && pair[1].key == Key::ConcurrencyFactor)
        .filter_map(|pair| {
            let value = MaxConcurrency { tokens: pair[0].count()?, factor: pair[1].number()? };
            let resolution = pair[1].resolution.map(|factor| MaxConcurrency { tokens: 0, factor });
            Some(Fact { value, scope: pair[1].scope, resolution, origin: pair[1].origin.clone() })
        })
        .collect();
    facts.replicas = replicas(&facts.kv_tokens, &facts.max_concurrency);
}

/// What each of several data-parallel engines said of its own cache. Of one that says a thing twice the smaller counts.
fn replicas(tokens: &[Fact<u64>], requests: &[Fact<MaxConcurrency>]) -> Vec<Replica> {
    fn of<T>(fact: &Fact<T>) -> Option<worker::Replica<'_>> {
        Worker::of(fact.origin.worker.as_deref()?).replica()
    }
    let mut each: Vec<(worker::Replica<'_>, u64)> = Vec::new();
    for fact in tokens {
        let Some(replica) = of(fact) else { continue };
        match each.iter_mut().find(|(known, _)| *known == replica) {
            Some((_, least)) => *least = fact.value.min(*least),
            None => each.push((replica, fact.value)),
        }
    }
    if each.len() < 2 {
        return Vec::new();
    }
    let stated = |replica: worker::Replica<'_>| {
        let own = requests.iter().filter(|fact| of(fact) == Some(replica)).map(|fact| fact.value);
        own.min_by(|a, b| a.factor.total_cmp(&b.factor))
    };
    // A replica with as many tokens holds as many requests; one with other tokens, in proportion.
    let by_another = |tokens: u64| {
        let others = each.iter().filter_map(|(replica, held)| Some((stated(*replica)?, *held)));
        let (nearest, held) = others.min_by_key(|(_, held)| held.abs_diff(tokens))?;
        let share = Bytes::new(tokens).as_f64() / Bytes::new(held).as_f64();
        (held > 0).then_some(MaxConcurrency { factor: nearest.factor * share, ..nearest })
    };
    let replica = |(replica, tokens): &(worker::Replica<'_>, u64)| {
        Replica::new(*tokens, stated(*replica).or_else(|| by_another(*tokens)))
    };
    each.iter().map(replica).collect()
}

fn running(engine: &Engine, facts: &mut EngineFacts) {
    let at = |line: u64| Origin { line, worker: None };
    facts.peak_kv_usage_pct = engine.reports.fullest.and_then(|r| {
        let origin = at(r.line);
        Some(Fact { value: r.kv_usage_pct?, scope: Scope::AllRanks, resolution: Some(0.05), origin })
    });
    facts.peak_running = engine.reports.busiest.and_then(|r| {
        let origin = at(r.line);
        Some(Fact { value: r.running?, scope: Scope::AllRanks, resolution: None, origin })
    });
}

/// The events in order of their lines, with the first and the last line that have a clock.
fn events(engine: &Engine) -> Vec<Event> {
    let clock = |milestone, clock: Option<(LogTime, u64)>| {
        let (at, line) = clock?;
        let origin = Origin { line, worker: None };
        Some(Event { milestone, at: Some(at), at_is_own: true, took: None, origin })
    };
    let mut events: Vec<Event> = clock(Milestone::FirstLine, engine.first_clock).into_iter().collect();
    let mut seen = engine.events.clone();
    seen.sort_by_key(|event| event.origin.line);
    events.extend(seen);
    events.extend(clock(Milestone::LastLine, engine.last_clock));
    events
}

fn latency(engine: &Engine) -> Option<LatencyResult> {
    let seconds = |secs: f64| Duration::try_from_secs_f64(secs).ok();
    let mean = engine.bench.avg_latency.and_then(seconds);
    let percentiles: Vec<(f64, Duration)> =
        engine.bench.percentiles.iter().filter_map(|&(percent, secs)| Some((percent, seconds(secs)?))).collect();
    (mean.is_some() || !percentiles.is_empty()).then(|| LatencyResult { iterations: Vec::new(), percentiles, mean })
}

/// A fact whose value the line states without digits.
fn stated<T>(value: T, origin: &Origin) -> Fact<T> {
    Fact { value, scope: Scope::AllRanks, resolution: None, origin: origin.clone() }
}

fn fact<T>(figure: &Figure, value: T) -> Fact<T> {
    Fact { value, scope: figure.scope, resolution: None, origin: figure.origin.clone() }
}

fn text(engine: &Engine, key: Key) -> Option<Fact<String>> {
    engine.of(key).find_map(|f| Some(stated(f.text()?.to_owned(), &f.origin)))
}

fn number(engine: &Engine, key: Key) -> Option<Fact<f64>> {
    engine.of(key).find_map(|f| {
        let value = f.number()?;
        Some(Fact { value, scope: Scope::AllRanks, resolution: f.resolution, origin: f.origin.clone() })
    })
}

fn first_count(engine: &Engine, key: Key) -> Option<Fact<u64>> {
    engine.of(key).find_map(|f| Some(stated(f.count()?, &f.origin)))
}

fn last_count(engine: &Engine, key: Key) -> Option<Fact<u64>> {
    engine.of(key).filter_map(|f| Some(stated(f.count()?, &f.origin))).last()
}

fn setting_text(engine: &Engine, name: &str) -> Option<Fact<String>> {
    match engine.setting(name) {
        Some(setting) => match &setting.value {
            SettingValue::Text(value) => Some(stated(value.clone(), &setting.origin)),
            _ => None,
        },
        None => None,
    }
}

fn setting_count(engine: &Engine, name: &str) -> Option<Fact<u64>> {
    let setting =
        engine.settings.iter().filter(|s| s.name == name && s.value != SettingValue::None).min_by_key(|s| s.source)?;
    match setting.value {
        SettingValue::Count(value) => Some(stated(value, &setting.origin)),
        _ => None,
    }
}

fn setting_number(engine: &Engine, name: &str) -> Option<Fact<f64>> {
    let setting = engine.setting(name)?;
    match setting.value {
        SettingValue::Number(value) => Some(stated(value, &setting.origin)),
        _ => None,
    }
}

fn setting_flag(engine: &Engine, name: &str) -> Option<Fact<bool>> {
    let setting = engine.setting(name)?;
    match setting.value {
        SettingValue::Flag(value) => Some(stated(value, &setting.origin)),
        _ => None,
    }
}

fn narrow(fact: Fact<u64>) -> Option<Fact<u32>> {
    let value = u32::try_from(fact.value).ok()?;
    Some(Fact { value, scope: fact.scope, resolution: None, origin: fact.origin })
}

/// The memory of a figure that is not negative.
pub(super) fn amount(figure: &Figure) -> Option<Fact<Bytes>> {
    let value = figure.memory()?.bytes.as_bytes()?;
    Some(Fact { value, scope: figure.scope, resolution: resolution(figure), origin: figure.origin.clone() })
}

fn resolution(figure: &Figure) -> Option<Bytes> {
    figure.resolution.and_then(|bytes| Bytes::from_unit(bytes, vramscope_core::ByteUnit::B))
}

/// All figures of these keys in order of appearance.
fn amounts(engine: &Engine, keys: &[Key]) -> Vec<Fact<Bytes>> {
    engine.figures.iter().filter(|f| keys.contains(&f.key)).filter_map(amount).collect()
}

/// One fact per worker, from the first of these keys that it printed, unless it contradicts itself.
pub(super) fn per_worker(engine: &Engine, keys: &[Key]) -> Vec<Fact<Bytes>> {
    let mut facts: Vec<(usize, Fact<Bytes>)> = Vec::new();
    for (preference, key) in keys.iter().enumerate() {
        for fact in engine.of(*key).filter_map(amount) {
            let same_worker = |(_, known): &&(usize, Fact<Bytes>)| known.origin.worker == fact.origin.worker;
            let known_better = facts.iter().filter(same_worker).any(|(p, _)| *p < preference);
            let known_equal = facts.iter().filter(same_worker).any(|(_, known)| known.value == fact.value);
            if !known_better && !known_equal {
                facts.push((preference, fact));
            }
        }
    }
    facts.sort_by_key(|(_, fact)| fact.origin.line);
    facts.into_iter().map(|(_, fact)| fact).collect()
}

fn negative(engine: &Engine, key: Key) -> Vec<Fact<Bytes>> {
    engine
        .of(key)
        .filter_map(|f| {
            let bytes = f.memory()?.bytes;
            let value = bytes.as_bytes().is_none().then(|| bytes.magnitude())?;
            Some(Fact { value, scope: f.scope, resolution: resolution(f), origin: f.origin.clone() })
        })
        .collect()
}

fn counts(engine: &Engine, key: Key) -> Vec<Fact<u64>> {
    let value = |f: &Figure| match f.value {
        Value::Count(count) => Some(fact(f, count)),
        _ => None,
    };
    engine.of(key).filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use crate::LogParser;

    #[test]
    fn data_parallel_engines_hold_together_what_each_of_them_holds() {
        let line = |tag: &str, text: &str| format!("({tag}) INFO 08-07 21:34:01 [a.py:1] {text}\n");
        let log = [
            "INFO 08-07 21:32:22 [serve.py:119] Defaulting api_server_count to data_parallel_size (3).\n".to_owned(),
            line("EngineCore_DP0 pid=1", "GPU KV cache size: 2,000 tokens"),
            line("EngineCore_DP0 pid=1", "Maximum concurrency for 1,000 tokens per request: 2.00x"),
            line("EngineCore_DP1 pid=2", "GPU KV cache size: 1,000 tokens"),
            line(
                "EngineCore_DP2 pid=3",
                "GPU KV cache size: 3,000 tokens, Maximum concurrency for 1,000 tokens per request: 3.00x",
            ),
        ]
        .concat();
        let mut parser = LogParser::new();
        parser.push_bytes(log.as_bytes());
        let engine = parser.finish().engines.remove(0);
        let facts = engine.facts;
        assert_eq!((facts.kv_cache_tokens(), facts.replicas.len()), (Some(6_000), 3));
        let requests = facts.full_length_requests().unwrap();
        assert_eq!((requests.tokens, requests.factor), (1_000, 6.0));
        assert_eq!(facts.parallel.data.unwrap().value, 3);
        assert!(engine.notes.is_empty(), "{:?}", engine.notes);
    }

    #[test]
    fn the_dtype_that_an_automatic_cache_takes_is_the_one_that_is_named() {
        let config = "INFO 06-03 07:40:30 [core.py:93] Initializing a V1 LLM engine (v0.25.0) with config: model='/m', kv_cache_dtype=auto, device_config=cuda\n";
        let named = "INFO 06-03 07:40:31 [cache.py:1] Using fp8 data type to store kv cache. It reduces the GPU memory footprint\n";
        let dtype = |log: &str| {
            let mut parser = LogParser::new();
            parser.push_bytes(log.as_bytes());
            parser.finish().engines.remove(0).facts.kv_cache_dtype.map(|dtype| dtype.value)
        };
        assert_eq!(dtype(&format!("{config}{named}")).as_deref(), Some("fp8"));
        assert_eq!(dtype(config).as_deref(), Some("auto"));
    }

    #[test]
    fn what_a_failed_allocation_found_free_is_not_what_the_worker_started_with() {
        let mut parser = LogParser::new();
        parser.push_line("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.19 GiB of which 1.31 GiB is free.");
        let facts = &parser.finish().engines[0].facts;
        assert!(facts.initial_free.is_empty(), "{:?}", facts.initial_free);
        assert_eq!(facts.device_total.len(), 1);

        let mut parser = LogParser::new();
        parser.push_line("ValueError: Free memory on device cuda:0 (11.2/79.19 GiB) on startup is less than desired GPU memory utilization (0.9, 71.27 GiB).");
        assert_eq!(parser.finish().engines[0].facts.initial_free.len(), 1);
    }
}
