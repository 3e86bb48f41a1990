//! Logs of other engines: what their labels say, whose they are, whole and cut, and what each must not be taken for.

use std::path::{Path, PathBuf};

use vramscope_core::{BufferKind, EngineKind};
use vramscope_log::{Key, LogParser, LogReport, advice};

use crate::corpus;
use crate::engine_labels::{mib, values};

pub(crate) fn read(bytes: &[u8]) -> LogReport {
    let mut parser = LogParser::new();
    parser.push_bytes(bytes);
    parser.finish()
}

fn lines(text: &str) -> LogReport {
    read(text.as_bytes())
}

pub(crate) fn logs(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("as it stands in the corpus")
        .map(|e| e.expect("as it stands in the corpus").path())
        .collect();
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
            let bytes = std::fs::read(&path).expect("as it stands in the corpus");
            let whole = kinds(&read(&bytes));
            seen += 1;
            // What a program that is no engine prints (a load generator's own output) is of none.
            let of_client = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("bench"));
            if !(whole.contains(&Some(kind)) || of_client || whole.is_empty() && kind == EngineKind::Vllm) {
                wrong.push(format!("{}: whole, {whole:?}", path.display()));
            }
            if whole.iter().any(|of| of.is_some_and(|of| of != kind)) {
                wrong.push(format!("{}: also of another, {whole:?}", path.display()));
            }
            for count in [1, 3, 10] {
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
        let failure =
            facts.failures.iter().find(|f| f.kind.name() == "out_of_memory").expect("as it stands in the corpus");
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
    assert_eq!(allocated(BufferKind::Weights), Some(4000.25));
    assert_eq!(allocated(BufferKind::KvCache), Some(600.0));
    assert_eq!(allocated(BufferKind::Compute), Some(400.0), "what is reserved again replaces what was");
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
            report.engines[0]
                .facts
                .buffers
                .iter()
                .map(|p| (p.kind, p.place.clone(), p.amount.value))
                .collect::<Vec<_>>()
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

/// The blocks of a fixture: a log, and what it states.
fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let block = |paragraph: &str| {
        let lines = paragraph.lines().filter(|line| !line.starts_with("# "));
        let (states, log): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("> "));
        (log.join("\n"), states.iter().map(|state| state[2..].to_owned()).collect())
    };
    text.split("\n\n").map(block).filter(|(log, _)| !log.trim().is_empty()).collect()
}

/// All that a log states, one thing a line.
fn stated(log: &str) -> Vec<String> {
    let mut states = Vec::new();
    for engine in lines(log).engines {
        let kind = engine.facts.engine.map_or("unknown", EngineKind::name);
        states.push(format!("engine {kind} from line {}", engine.first_line));
        for figure in &engine.figures {
            let value = match &figure.value {
                vramscope_log::Value::Memory(memory) => format!("{} ({} bytes)", memory.text(), memory.bytes.get()),
                vramscope_log::Value::Count(count) => count.to_string(),
                vramscope_log::Value::Number(number) => number.to_string(),
                vramscope_log::Value::Text(text) => text.clone(),
                _ => String::new(),
            };
            let place = figure.place.as_ref().map_or_else(String::new, |place| format!(" on {place}"));
            let worker = figure.origin.worker.as_ref().map_or_else(String::new, |worker| format!(" of {worker}"));
            states.push(format!("{} = {value}{place}{worker}", figure.key.name()));
        }
        for part in &engine.facts.buffers {
            let planned = if part.planned { "planned " } else { "" };
            let draft = if part.of_draft { "draft's " } else { "" };
            let place = part.place.as_deref().unwrap_or("its device");
            let host = if part.on_host { ", host" } else { "" };
            let kind = part.kind.name();
            states.push(format!("part: {planned}{draft}{kind} on {place}{host}: {:.2} MiB", mib(part.amount.value)));
        }
        for failure in &engine.facts.failures {
            states.push(format!("fails: {}, {} more", failure.kind.name(), failure.consequences.len()));
        }
        states.extend(engine.notes.iter().map(|note| format!("note: {}", note.text)));
    }
    states
}

/// `UPDATE_FORMATS=1` writes what the lines state below them.
#[test]
fn every_block_of_the_fixtures_states_what_stands_below_it() {
    for name in ["llama-cpp", "ollama", "sglang", "tgi"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path).expect("as it stands in the corpus");
        if std::env::var_os("UPDATE_FORMATS").is_some() {
            let head = text.lines().next().expect("as it stands in the corpus").to_owned();
            let blocks = blocks(&text).into_iter().map(|(log, _)| {
                let states: String = stated(&log).iter().map(|state| format!("\n> {state}")).collect();
                format!("{log}{states}")
            });
            let all: Vec<String> = std::iter::once(head).chain(blocks).collect();
            std::fs::write(&path, all.join("\n\n") + "\n").expect("as it stands in the corpus");
            continue;
        }
        for (log, states) in blocks(&text) {
            assert_eq!(stated(&log), states, "{name}:\n{log}");
        }
    }
}
