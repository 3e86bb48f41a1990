//! Logs of other engines: what their labels say, whose they are, whole and cut, and what each must not be taken for.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vramscope_core::{Bytes, EngineKind, FailureKind, PartKind};
use vramscope_log::{EngineReport, Figure, Key, LogParser, LogReport, advice};

use crate::corpus;

fn read(bytes: &[u8]) -> LogReport {
    let mut parser = LogParser::new();
    parser.push_bytes(bytes);
    parser.finish()
}

fn lines(text: &str) -> LogReport {
    read(text.as_bytes())
}

fn logs(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            logs(&path, found);
        } else if path.extension().is_some_and(|e| e == "log") {
            found.push(path);
        }
    }
}

fn kinds(report: &LogReport) -> Vec<Option<EngineKind>> {
    report.engines.iter().map(|engine| engine.facts.engine).collect()
}

/// Which engine each folder of the corpora is of.
const OF: [(&str, EngineKind); 12] = [
    ("engines/llama.cpp", EngineKind::LlamaCpp),
    ("engines/llama-server-runs", EngineKind::LlamaCpp),
    ("engines/llama-cuda-runs", EngineKind::LlamaCpp),
    ("engines/ollama", EngineKind::Ollama),
    ("engines/sglang", EngineKind::SgLang),
    ("engines/tgi", EngineKind::Tgi),
    ("h200", EngineKind::Vllm),
    ("h200-033", EngineKind::Vllm),
    ("h200-2gpu", EngineKind::Vllm),
    ("vllm-logs-public", EngineKind::Vllm),
    ("vllm-cpu", EngineKind::Vllm),
    ("cases", EngineKind::Vllm),
];

#[test]
fn a_log_is_of_its_engine_and_cut_to_its_beginning_of_it_or_of_none() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (name, kind) in OF {
        let Some(folder) = corpus::folder(name) else { return };
        let mut found = Vec::new();
        logs(&folder, &mut found);
        for path in found {
            let bytes = std::fs::read(&path).unwrap();
            let whole = kinds(&read(&bytes));
            seen += 1;
            // What a program that is no engine prints (a load generator's own output) is of none.
            let of_client = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("bench"));
            if !(whole.contains(&Some(kind)) || of_client || whole.is_empty() && kind == EngineKind::Vllm) {
                wrong.push(format!("{}: whole, {whole:?}", path.display()));
            }
            for count in [usize::MAX, 1, 3, 10] {
                let cut: Vec<u8> = bytes.split_inclusive(|b| *b == b'\n').take(count).flatten().copied().collect();
                let cut = kinds(&read(&cut));
                if cut.iter().any(|of| of.is_some_and(|of| of != kind)) {
                    wrong.push(format!("{}: {count} lines, {cut:?}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "of {seen} logs:\n{}", wrong.join("\n"));
    assert!(seen > 100, "{seen} logs");
}

/// A number that a label asks for, with half a step of the digit that the engine printed.
struct Asked {
    field: String,
    expected: f64,
    found: Option<f64>,
    step: f64,
}

#[test]
#[expect(clippy::print_stderr, reason = "how many fields were compared is part of the result")]
fn every_label_is_met_and_nothing_is_invented() {
    let (mut wrong, mut fields) = (Vec::new(), 0);
    for name in ["llama.cpp", "ollama", "sglang", "tgi"] {
        let Some(folder) = corpus::folder(&format!("engines/{name}")) else { return };
        let mut found = Vec::new();
        logs(&folder, &mut found);
        let (mut of_engine, mut missed) = (0, 0);
        for path in found {
            let label: Value = serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
            let report = read(&std::fs::read(&path).unwrap());
            let engine = &report.engines[0];
            for asked in asked(&label["label"], engine) {
                of_engine += 1;
                let met = asked.found.is_some_and(|found| (found - asked.expected).abs() <= asked.step + 1e-9);
                if !met {
                    missed += 1;
                    let Asked { field, expected, found, .. } = asked;
                    wrong.push(format!("{} {field}: expected {expected}, found {found:?}", path.display()));
                }
            }
            for (field, value) in label["label"].as_object().unwrap() {
                if field == "kv_tokens" && value.is_null() && !engine.facts.kv_tokens.is_empty() {
                    wrong.push(format!("{}: {field} is invented", path.display()));
                }
            }
        }
        eprintln!("{name}: {} of {of_engine} numeric fields", of_engine - missed);
        fields += of_engine;
    }
    assert!(wrong.is_empty(), "{} of {fields} fields:\n{}", wrong.len(), wrong.join("\n"));
}

fn mib(bytes: Bytes) -> f64 {
    bytes.as_f64() / 1_048_576.0
}

/// Parts of a kind, summed, in MiB; those of a place only, where one is named.
fn part(engine: &EngineReport, kind: PartKind, place: Option<&str>, planned: bool, host: Option<bool>) -> Option<f64> {
    let is = |name: &Option<String>| {
        place.is_none_or(|place| {
            name.as_deref().is_some_and(|name| name == place || name.starts_with(&format!("{place}_Mapped")))
        })
    };
    let parts: Vec<f64> = engine
        .facts
        .parts
        .iter()
        .filter(|p| p.kind == kind && p.planned == planned && is(&p.place) && host.is_none_or(|host| p.on_host == host))
        .map(|p| mib(p.amount.value))
        .collect();
    (!parts.is_empty()).then(|| parts.iter().sum())
}

fn figures(engine: &EngineReport, key: Key) -> Vec<&Figure> {
    engine.figures.iter().filter(|f| f.key == key).collect()
}

fn values(engine: &EngineReport, key: Key) -> Vec<f64> {
    let value = |f: &&Figure| {
        let count = f.count().and_then(|n| u32::try_from(n).ok()).map(f64::from);
        count.or_else(|| f.number()).or_else(|| f.memory().map(|m| m.bytes.as_f64() / 1_048_576.0))
    };
    figures(engine, key).iter().filter_map(value).collect()
}

/// What a field of a label asks of a report, in MiB where it is memory.
fn asked(label: &Value, engine: &EngineReport) -> Vec<Asked> {
    let mut all = Vec::new();
    for (field, value) in label.as_object().unwrap() {
        // Computed by whoever labelled, from figures beside the log, or words.
        let beside = field.ends_with("_computed")
            || field.ends_with("_inferred")
            || field.starts_with("nvidia_smi")
            || matches!(
                field.as_str(),
                "trap" | "derived_not_printed" | "devices" | "ranks" | "library" | "failure" | "what"
            );
        if beside {
            continue;
        }
        let unit = if field.contains("_gib") { 1024.0 } else { 1.0 };
        let mut ask = |name: &str, expected: f64, found: Option<f64>, step: f64| {
            all.push(Asked { field: format!("{field}{name}"), expected: expected * unit, found, step });
        };
        match value {
            Value::Object(places) => {
                for (place, expected) in places {
                    let kind = kind_of(field);
                    let found = part(engine, kind, Some(place), false, None);
                    ask(&format!(".{place}"), expected.as_f64().unwrap(), found, 0.006);
                }
            }
            Value::Array(list) => {
                let mut found = listed(field, engine);
                let mut expected: Vec<f64> = list.iter().map(|v| v.as_f64().unwrap()).collect();
                if field.as_str() == "free_after_pool_gib" {
                    found.sort_by(f64::total_cmp);
                    expected.sort_by(f64::total_cmp);
                }
                for (at, expected) in expected.into_iter().enumerate() {
                    ask(&format!("[{at}]"), expected, found.get(at).copied(), if unit > 1.0 { 0.02 } else { 0.006 });
                }
            }
            Value::Number(n) => {
                let found = single(field, engine);
                ask("", n.as_f64().unwrap(), found, if unit > 1.0 { 0.02 * 1024.0 / 100.0 } else { 0.006 });
            }
            Value::String(text) if field == "layers_offloaded" => {
                let (on, of) = text.split_once('/').unwrap();
                let fact = |fact: &Option<vramscope_core::Fact<u64>>| {
                    fact.as_ref().map(|f| f64::from(u32::try_from(f.value).unwrap()))
                };
                ask(".on_device", on.parse().unwrap(), fact(&engine.facts.layers_on_device), 0.0);
                ask(".of", of.parse().unwrap(), fact(&engine.facts.layers), 0.0);
            }
            _ => {}
        }
    }
    all
}

fn kind_of(field: &str) -> PartKind {
    match field {
        _ if field.starts_with("weights") => PartKind::Weights,
        _ if field.starts_with("kv") => PartKind::KvCache,
        _ if field.starts_with("recurrent") || field.starts_with("mamba") => PartKind::RecurrentState,
        _ if field.starts_with("compute") || field.starts_with("graph_") => PartKind::Compute,
        _ => panic!("no part for {field}"),
    }
}

fn listed(field: &str, engine: &EngineReport) -> Vec<f64> {
    let of_table = |key: Key| -> Vec<f64> {
        let device = |f: &&&Figure| f.place.as_deref() != Some("Host");
        figures(engine, key)
            .iter()
            .filter(device)
            .filter_map(|f| Some(f.memory()?.bytes.as_f64() / 1_048_576.0))
            .collect()
    };
    match field {
        "device_total_mib" => {
            let all = of_table(Key::DeviceTotal);
            all[all.len().saturating_sub(4)..].to_vec()
        }
        "device_free_mib" => of_table(Key::HeldFree),
        "model_mib" => of_table(Key::PlannedWeights),
        "context_mib" => of_table(Key::PlannedContext),
        "compute_mib" => of_table(Key::PlannedCompute),
        "kv_parts" if engine.facts.engine == Some(EngineKind::SgLang) => {
            let gib: Vec<f64> = values(engine, Key::KvKeys).iter().map(|mib| mib / 1024.0).collect();
            let values: Vec<f64> = values(engine, Key::KvValues).iter().map(|mib| mib / 1024.0).collect();
            gib.iter().zip(values).map(|(k, v)| k + v).collect()
        }
        "kv_parts" => values(engine, Key::KvTotal),
        "graph_parts" => values(engine, Key::Graphs).iter().map(|mib| mib / 1024.0).collect(),
        "load_seconds" => values(engine, Key::LoadSecs).iter().map(|secs| (secs * 100.0).round() / 100.0).collect(),
        "free_after_pool_gib" => values(engine, Key::FreeAfterPools),
        _ => panic!("no list for {field}"),
    }
}

fn single(field: &str, engine: &EngineReport) -> Option<f64> {
    let first = |key: Key| values(engine, key).first().copied();
    let last = |key: Key| values(engine, key).last().copied();
    let sum = |kind: PartKind, host: Option<bool>| part(engine, kind, None, false, host);
    let failure = || {
        engine.facts.failures.iter().find_map(|f| match &f.kind {
            FailureKind::OutOfMemory { tried, capacity, free, .. } if tried.is_some() => {
                Some((*tried, *capacity, *free))
            }
            _ => None,
        })
    };
    let sglang = engine.facts.engine == Some(EngineKind::SgLang);
    let tokens = |n: u64| f64::from(u32::try_from(n).unwrap());
    match field {
        "weights_device_mib" => sum(PartKind::Weights, Some(false)),
        "host_weights_mib" => sum(PartKind::Weights, Some(true)),
        "file_mib" => sum(PartKind::Weights, None),
        "mmproj_mib" => first(Key::ProjectorWeights),
        "kv_total_mib" => first(Key::KvTotal),
        "output_host_mib" => sum(PartKind::Output, Some(true)),
        "compute_device_total_mib" => sum(PartKind::Compute, Some(false)),
        "compute_host_mib" => sum(PartKind::Compute, Some(true)),
        "graph_splits" => first(Key::GraphSplits),
        "n_ctx_fitted" => last(Key::FittedMaxModelLen),
        "n_ctx" | "ctx_tokens" | "ctx_tokens_total" => first(Key::ContextTokens),
        "n_ctx_slot" => first(Key::SlotTokens),
        "ctx_tokens_per_slot" | "context_len" => engine.facts.max_model_len.as_ref().map(|f| tokens(f.value)),
        // A slot announces itself.
        "slots" => first(Key::Slots).or_else(|| first(Key::SlotTokens).map(|_| 1.0)),
        "device_total_mib" => first(Key::DeviceTotal),
        "device_free_mib" => last(Key::InitialFree)
            .filter(|_| {
                first(Key::PlannedTotal).is_none()
                    || last(Key::HeldFree).is_none()
                    || engine.facts.parts.iter().any(|p| !p.planned)
                    || engine.facts.engine == Some(EngineKind::Ollama)
            })
            .or_else(|| first(Key::HeldFree)),
        "model_mib" => figures(engine, Key::PlannedWeights)
            .iter()
            .find(|f| f.place.as_deref() != Some("Host"))
            .and_then(|f| Some(mib(f.memory()?.bytes.as_bytes()?))),
        "context_mib" => figures(engine, Key::PlannedContext)
            .iter()
            .find(|f| f.place.as_deref() != Some("Host"))
            .and_then(|f| Some(mib(f.memory()?.bytes.as_bytes()?))),
        "compute_mib" => figures(engine, Key::PlannedCompute)
            .iter()
            .find(|f| f.place.as_deref() != Some("Host"))
            .and_then(|f| Some(mib(f.memory()?.bytes.as_bytes()?))),
        "unaccounted_mib" => first(Key::Unaccounted),
        "device_free_gib" => first(Key::InitialFree),
        "available_gib" => first(Key::FreeForEngine),
        "model_layers" => engine.facts.layers.as_ref().map(|f| tokens(f.value)),
        "required_host_gib" | "required_on_device_gib" | "required_on_device_mib" => first(Key::PlannedOnDevice),
        "weights_gib" | "weights_mib" if sglang => sum(PartKind::Weights, None),
        "weights_gib" | "weights_mib" => first(Key::PlannedWeights),
        "kv_gib" if sglang => sum(PartKind::KvCache, None),
        "kv_gib" | "kv_mib" => first(Key::PlannedKv),
        "graph_mib" => first(Key::PlannedCompute),
        "graph_mib_used" => first(Key::PlannedComputePartial),
        "total_gib" => first(Key::HeldTotal),
        "kv_tokens" => engine.facts.kv_cache_tokens().map(tokens),
        "swa_tokens" => first(Key::KvWindowTokens),
        "kv_k_gib" => first(Key::KvKeys),
        "kv_v_gib" => first(Key::KvValues),
        "mamba_gib" => sum(PartKind::RecurrentState, None),
        "graph_gib" => sum(PartKind::Graphs, None),
        "graph_seconds" => first(Key::CaptureSecs),
        "free_after_weights_gib" => first(Key::FreeAfterWeights),
        "free_after_pool_gib" => first(Key::FreeAfterPools),
        "free_at_ready_gib" => first(Key::FreeAtReady).or_else(|| last(Key::FreeAfterGraphs)),
        "max_running_requests" => first(Key::Slots),
        "load_seconds" => first(Key::LoadSecs).map(|secs| (secs * 100.0).round() / 100.0),
        "max_batch_total_tokens" => first(Key::MaxBatchTotalTokens),
        "prefill_tokens" => first(Key::FailPrefillTokens),
        "oom_tried_mib" | "oom_tried_gib" => failure()?.0.map(mib),
        "oom_total_gib" => failure()?.1.map(mib),
        "oom_free_mib" | "oom_free_gib" => failure()?.2.map(mib),
        _ => panic!("no figure for {field}"),
    }
}

#[test]
fn no_engine_is_advised_with_the_words_of_another() {
    let own: [(EngineKind, &[&str]); 4] = [
        (EngineKind::LlamaCpp, &["-ngl", "--n-gpu-layers", "-ub"]),
        (EngineKind::Ollama, &["num_ctx", "OLLAMA_"]),
        (EngineKind::SgLang, &["--mem-fraction-static"]),
        (EngineKind::Tgi, &["--max-batch-prefill-tokens"]),
    ];
    let logs = [
        "load_tensors:        CUDA0 model buffer size =  4000.00 MiB\nllama_context: n_ctx = 4096\nggml_backend_cuda_buffer_type_alloc_buffer: allocating 590.07 MiB on device 0: cudaMalloc failed: out of memory\nalloc_tensor_range: failed to allocate CUDA0 buffer of size 618733568\nllama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache\n",
        "time=2026-04-09T23:30:17.630Z level=INFO source=server.go:400 msg=\"starting runner\" cmd=\"/usr/bin/ollama runner --model /m --port 1\"\nggml_backend_cuda_buffer_type_alloc_buffer: allocating 590.07 MiB on device 0: cudaMalloc failed: out of memory\n",
        "[2026-01-02 03:04:05 TP0] Memory pool end. avail mem=1.00 GB\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB. GPU 0 has a total capacity of 21.98 GiB of which 1.17 GiB is free.\n",
        "2026-01-02T03:04:05.6Z ERROR text_generation_launcher: Method Warmup encountered an error.\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB. GPU 0 has a total capacity of 21.98 GiB of which 1.17 GiB is free.\n",
    ];
    for ((kind, words), log) in own.iter().zip(logs) {
        let report = lines(log);
        assert_eq!(kinds(&report), [Some(*kind)], "{log}");
        let facts = &report.engines[0].facts;
        let failure = facts.failures.iter().find(|f| f.kind.name() == "out_of_memory").unwrap();
        let said = advice(failure, facts);
        assert!(words.iter().any(|word| said.contains(word)), "{kind:?}: {said}");
        for (other, words) in own.iter().filter(|(other, _)| other != kind) {
            assert!(!words.iter().any(|word| said.contains(word)), "{kind:?} is advised as {other:?}: {said}");
        }
        assert!(!said.contains("--gpu-memory-utilization"), "{said}");
    }
}

#[test]
fn an_allocators_words_make_no_engine() {
    let oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB. GPU 0 has a total capacity of 21.98 GiB of which 1.17 GiB is free.";
    let report = lines(oom);
    assert_eq!(kinds(&report), [None]);
    assert!(!advice(&report.engines[0].facts.failures[0], &report.engines[0].facts).contains("--"));
    let shared = "INFO 03-07 12:29:08 __init__.py:190] Automatically detected platform cuda.\n";
    assert_eq!(kinds(&lines(shared)), [None]);
    let sglang = format!("{shared}[2026-01-02 03:04:05 TP0] Load weight begin. avail mem=21.63 GB\n{shared}{oom}\n");
    assert_eq!(kinds(&lines(&sglang)), [Some(EngineKind::SgLang)]);
    let own = "INFO 01-02 03:04:47 [gpu_worker.py:356] Available KV cache memory: 58.21 GiB\n";
    let ggml = format!("{own}ggml_cuda_init: found 1 CUDA devices:\n{oom}\n");
    assert_eq!(kinds(&lines(&ggml)), [Some(EngineKind::Vllm)]);
}

#[test]
fn a_trial_that_allocates_nothing_is_a_plan() {
    let table = |free: u32| {
        format!(
            "common_memory_breakdown_print: |   - CUDA0 (Some (Card))   | 16000 = {free} + (5000 =  4000 +     600 +     400) +       -7 |\n"
        )
    };
    let loads = "load_tensors:        CUDA0 model buffer size =  4000.25 MiB\nllama_context: n_ctx         = 4096\nllama_kv_cache:      CUDA0 KV buffer size =   600.00 MiB\nsched_reserve:      CUDA0 compute buffer size =   300.00 MiB\nsched_reserve:      CUDA0 compute buffer size =   400.00 MiB\n";
    let log = [
        "common_init_: fitting params to device memory ...\n",
        "load_tensors:        CUDA0 model buffer size =     0.00 MiB\nllama_context: n_ctx         = 4096\nsched_reserve:      CUDA0 compute buffer size =   400.00 MiB\n",
        &table(15500),
        "common_fit_params: successfully fit params to free device memory\n",
        loads,
        "srv    operator(): operator(): cleaning up before exit...\n",
        &table(10400),
    ]
    .concat();
    let report = lines(&log);
    let facts = &report.engines[0].facts;
    let allocated = |kind| facts.allocated(kind, false).map(mib);
    assert_eq!(report.engines.len(), 1);
    assert_eq!(allocated(PartKind::Weights), Some(4000.25));
    assert_eq!(allocated(PartKind::KvCache), Some(600.0));
    assert_eq!(allocated(PartKind::Compute), Some(400.0), "what is reserved again replaces what was");
    assert_eq!(values(&report.engines[0], Key::HeldWeights), [4000.0]);
    assert_eq!(values(&report.engines[0], Key::PlannedWeights), [4000.0]);
}

#[test]
fn a_quiet_server_is_told_first_how_to_print_memory() {
    let log = "0.00.292.826 I cmn  common_param: common_params_print_info: verbosity = 3 (adjust with the `-lv N` CLI arg)\n0.00.729.383 I srv    load_model: initializing, n_slots = 4, n_ctx_slot = 4096, kv_unified = 'true'\n";
    let report = lines(log);
    assert!(report.engines[0].notes[0].text.contains("-lv 4"), "{:?}", report.engines[0].notes);
}

#[test]
fn several_engines_of_one_log_are_apart() {
    let one = "INFO 01-02 03:04:05 [core.py:93] Initializing a V1 LLM engine (v0.16.0) with config: model='m'\nINFO 01-02 03:04:47 [gpu_worker.py:356] Available KV cache memory: 58.21 GiB\n";
    let sglang = "[2026-01-02 03:04:05] server_args=ServerArgs(model_path='m', tp_size=2, mem_fraction_static=0.87)\n[2026-01-02 03:04:05 TP0] KV Cache is allocated. #tokens: 1000, K size: 5.57 GB, V size: 5.57 GB\n";
    let llama =
        "build: 5432 (abcdef) with cc for x86_64\nload_tensors:   CPU_Mapped model buffer size =    38.64 MiB\n";
    let log = [one, sglang, llama, one].concat();
    let of = kinds(&lines(&log));
    let expected =
        [Some(EngineKind::Vllm), Some(EngineKind::SgLang), Some(EngineKind::LlamaCpp), Some(EngineKind::Vllm)];
    assert_eq!(of, expected);
    // Also where the other one comes long after the beginning.
    let long = [one, &"INFO 01-02 03:04:48 [a.py:1] nothing of interest\n".repeat(3000), sglang, llama].concat();
    let report = lines(&long);
    assert_eq!(kinds(&report), expected[..3]);
    assert_eq!(report.engines[0].facts.kv_pool.len(), 1);
}

#[test]
fn wrappers_change_nothing() {
    let line = "llama_kv_cache:      CUDA0 KV buffer size =  4352.00 MiB";
    let slog = "time=2026-04-09T23:30:17.630-07:00 level=INFO source=device.go:240 msg=\"model weights\" device=CUDA0 size=\"19.9 GiB\"";
    let rank = "[2026-01-02 03:04:05 DP0 TP1] Load weight end. type=A, dtype=torch.bfloat16, avail mem=13.91 GB, mem usage=1.25 GB.";
    let json = |line: &str| {
        serde_json::json!({"log": format!("{line}\n"), "stream": "stderr", "time": "2026-01-02T03:04:05.1Z"})
            .to_string()
    };
    for line in [line, slog, rank] {
        let parts = |text: &str| {
            let report = lines(text);
            assert_eq!(report.engines.len(), 1, "{text}");
            report.engines[0].facts.parts.iter().map(|p| (p.kind, p.place.clone(), p.amount.value)).collect::<Vec<_>>()
        };
        let bare = parts(line);
        assert_eq!(bare.len(), 1, "{line}");
        for wrapped in [
            format!("server-1  | {line}"),
            format!("2026-01-02T03:04:05.123456789Z stderr F {line}"),
            format!("2026-01-02T03:04:05.123456789Z {line}"),
            format!("Jan 02 03:04:05 host server[123]: {line}"),
            format!("[pod/a-0/server] {line}"),
            format!("\x1b[32m{line}\x1b[0m"),
            json(line),
        ] {
            assert_eq!(parts(&wrapped), bare, "{wrapped}");
        }
    }
}

#[test]
fn what_is_known_by_sight_alone_is_named() {
    let report = lines("[TensorRT-LLM][INFO] Loaded engine size: 6214 MiB\n");
    assert!(report.engines.is_empty());
    assert!(report.notes.iter().any(|note| note.text.contains("TensorRT-LLM")), "{:?}", report.notes);
}
