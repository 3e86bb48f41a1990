//! What other engines say of a cache, of trials, of failures and of their end.

use vramscope_core::{BufferKind, EngineFacts, Milestone};
use vramscope_log::{Key, advice};

use crate::engine_labels::{mib, values};
use crate::engines::read;

fn facts(log: &str) -> EngineFacts {
    read(log.as_bytes()).engines.remove(0).facts
}

fn advised(log: &str) -> String {
    let facts = facts(log);
    assert_eq!(facts.failures.len(), 1, "{log}");
    advice(&facts.failures[0], &facts)
}

#[test]
fn a_cache_of_several_pools_holds_the_tokens_of_all_of_them() {
    let line = |cells: &str, seqs: &str| {
        format!(
            "llama_kv_cache: size =   12.00 MiB ({cells} cells,   6 layers,  {seqs} seqs), K (f16):    6.00 MiB, V (f16):    6.00 MiB\n"
        )
    };
    for (cells, seqs, tokens) in
        [("  1024", "4/4", 4096), ("  4096", "4/1", 4096), ("1792", "3/3", 5376), ("4096", "1", 4096)]
    {
        let facts = facts(&line(cells, seqs));
        assert_eq!(facts.kv_cache_tokens(), Some(tokens), "{cells} {seqs}");
    }
    let cut = line("  1024", "4/4");
    let cut = &cut[..cut.find(" seqs").unwrap()];
    assert_eq!(facts(cut).kv_cache_tokens(), None, "how many pools there are is not seen");
}

const HEAD: &str = "common_memory_breakdown_print: | memory breakdown [MiB] | total   free    self   model   context   compute    unaccounted |\n";

fn trial(model: u32, context: u32, compute: u32) -> String {
    let all = model + context + compute;
    format!(
        "{HEAD}common_memory_breakdown_print: |   - CUDA0 (Some Card) | 2048 = 2048 + ({all} = {model} + {context} + {compute}) + -{all} |\ncommon_memory_breakdown_print: |   - Host | 38 = 4 + 0 + 34 |\n"
    )
}

const FITTING: &str = "0.00.132.384 I cmn  common_init_: fitting params to device memory ...\n";
const FITTED: &str = "0.00.352.103 I common_fit_params: successfully fit params to free device memory\n";

fn planned(log: &str, of_draft: bool) -> Vec<(BufferKind, f64)> {
    let facts = facts(log);
    let on_card =
        |b: &&vramscope_core::Buffer| b.planned && b.of_draft == of_draft && b.place.as_deref() == Some("CUDA0");
    facts.buffers.iter().filter(on_card).map(|b| (b.kind, mib(b.amount.value))).collect()
}

#[test]
fn of_several_trials_one_plan_stands() {
    let plan = |model, context, compute| {
        vec![(BufferKind::Weights, model), (BufferKind::Context, context), (BufferKind::Compute, compute)]
    };
    let log = [FITTING, &trial(65, 96, 43), &trial(65, 12, 15), FITTED].concat();
    assert_eq!(planned(&log, false), plan(65.0, 12.0, 15.0), "the last one, where nothing says which");
    // The last trial took too much, and the one before it was kept.
    let chosen =
        "common_params_fit_impl:   - CUDA0 (Some Card):  7 layers ( 6 overflowing),     44 MiB used,   2003 MiB free\n";
    let log = [FITTING, &trial(65, 96, 43), &trial(17, 12, 15), &trial(20, 12, 16), chosen, FITTED].concat();
    assert_eq!(planned(&log, false), plan(17.0, 12.0, 15.0));
    // A model that drafts has a table of its own beside it.
    let extra = "common_params_fit_impl: getting device memory data for the extra model at a context size of 4096:\n";
    let log = [FITTING, &trial(65, 96, 43), extra, &trial(3, 2, 1), &trial(65, 12, 15), FITTED].concat();
    assert_eq!(planned(&log, false), plan(65.0, 12.0, 15.0));
    assert_eq!(planned(&log, true), plan(3.0, 2.0, 1.0));
}

const MODEL: &str = "llama_model_loader: loaded meta data with 23 key-value pairs and 57 tensors from a.gguf (version GGUF V3 (latest))\n";
const LOADED: &str = "load_tensors:        CUDA0 model buffer size =  4000.00 MiB\n";
const CACHED: &str = "llama_kv_cache:      CUDA0 KV buffer size =   600.00 MiB\n";
const REFUSED: &str = "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 590.07 MiB on device 0: cudaMalloc failed: out of memory\nalloc_tensor_range: failed to allocate CUDA0 buffer of size 618733568\n";
const VULKAN: &str = "ggml_vulkan: Device memory allocation of size 618733568 failed.\nggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory\nalloc_tensor_range: failed to allocate Vulkan0 buffer of size 618733568\n";

#[test]
fn what_had_no_room_is_what_the_lines_behind_the_failure_say() {
    let cases = [
        (
            "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache\n",
            "KV cache:",
        ),
        (
            "llama_init_from_model: failed to initialize the context: failed to allocate buffer for rs cache\n",
            "recurrent",
        ),
        ("graph_reserve: failed to allocate compute buffers\n", "compute buffer:"),
        ("llama_model_load: error loading model: unable to allocate CUDA0 buffer\n", "for the weights"),
    ];
    for (behind, expected) in cases {
        for (failed, before) in [(REFUSED, LOADED), (REFUSED, ""), (VULKAN, LOADED)] {
            let said = advised(&[MODEL, before, failed, behind].concat());
            assert!(said.contains(expected), "{behind}: {said}");
        }
    }
    for before in ["", LOADED, CACHED] {
        let any = "0.01.617.656 E srv    load_model: failed to load model, 'a.gguf'\n";
        let said = advised(&[MODEL, before, REFUSED, any].concat());
        assert!(said.contains("no line says for what"), "{before}: {said}");
    }
}

#[test]
fn a_server_that_cannot_listen_has_failed() {
    let bind = "0.02.123.456 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080\n0.02.123.460 I srv  operator(): operator(): cleaning up before exit...\n0.02.123.470 E srv  llama_server: exiting due to HTTP server error\n";
    let said = advised(bind);
    assert!(said.contains("--port"), "{said}");
    let facts = facts(bind);
    assert_eq!(facts.failures[0].consequences.len(), 1);
    assert!(advised("0.02.123.470 E srv  llama_server: exiting due to HTTP server error\n").contains("--port"));
}

#[test]
fn an_amount_below_zero_that_lost_its_sign_is_kept_as_printed_and_told() {
    let report = read(
        b"llama_memory_breakdown_print: |   - CUDA0 (Some Card)   | 24079 = 11000 + (20618 = 15000 +    5000 +     618) + 17592186036877 |\n",
    );
    let engine = &report.engines[0];
    let figure = engine.figures.iter().find(|f| f.key == Key::Unaccounted).unwrap();
    assert_eq!(figure.memory().unwrap().text(), "17592186036877 MiB");
    assert_eq!(values(engine, Key::Unaccounted), [-7539.0]);
    assert!(engine.notes.iter().any(|note| note.text.contains("2^44")), "{:?}", engine.notes);
}

#[test]
fn a_plan_of_ollamas_that_is_made_anew_replaces_the_one_before() {
    let offload = |layers: u32, takes: &str| {
        format!(
            "time=2025-01-16T04:29:50.909Z level=INFO source=memory.go:356 msg=\"offload to cuda\" layers.requested=-1 layers.model=33 layers.offload={layers} layers.split=\"\" memory.available=\"[23.3 GiB]\" memory.required.full=\"20.0 GiB\" memory.required.partial=\"{takes}\" memory.required.allocations=\"[{takes}]\" memory.weights.total=\"15.0 GiB\"\n"
        )
    };
    let layout = |size: &str| {
        let record = |msg: &str, field: &str| {
            format!(
                "time=2026-01-16T04:29:50.909Z level=INFO source=device.go:240 msg=\"{msg}\" {field} size=\"{size}\"\n"
            )
        };
        [record("model weights", "device=CUDA0"), record("kv cache", "device=CUDA0"), record("total memory", "")]
            .concat()
    };
    let totals = |facts: &EngineFacts, kind| -> Vec<f64> {
        facts.buffers.iter().filter(|b| b.kind == kind).map(|b| mib(b.amount.value) / 1024.0).collect()
    };
    let twice = facts(&[offload(20, "10.0 GiB"), offload(5, "4.0 GiB")].concat());
    assert_eq!(totals(&twice, BufferKind::Total), [4.0]);
    assert_eq!(twice.layers_on_device.map(|layers| layers.value), Some(5));
    let twice = facts(&[layout("3.0 GiB"), layout("2.0 GiB")].concat());
    assert_eq!((totals(&twice, BufferKind::Weights), totals(&twice, BufferKind::KvCache)), (vec![2.0], vec![2.0]));
}

#[test]
fn a_crash_that_ends_sglang_is_a_failure_with_its_cause() {
    let crash = |error: &str| {
        format!(
            "[2026-04-27 02:36:04 TP0] Load weight begin. avail mem=77.57 GB\n[2026-04-27 02:36:05 TP0] Scheduler hit an exception: Traceback (most recent call last):\n  File \"/x/scheduler.py\", line 2346, in run_scheduler_process\n    scheduler = Scheduler(server_args)\n{error}\n[2026-04-27 02:36:06] Received sigquit from a child process. It usually means the child failed.\n"
        )
    };
    let kinds = |log: &str| facts(log).failures.iter().map(|f| f.kind.name()).collect::<Vec<_>>();
    let key = facts(&crash("KeyError: 'layers.0.weight'"));
    assert_eq!((key.failures.len(), key.failures[0].message.as_str()), (1, "KeyError: 'layers.0.weight'"));
    assert_eq!(key.failures[0].consequences.len(), 1, "the process that ended");
    let memory = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 970.00 MiB. GPU 0 has a total capacity of 94.50 GiB of which 676.81 MiB is free.";
    assert_eq!(kinds(&crash(memory)), ["out_of_memory"]);
    let unknown =
        "ValueError: Model architectures ['Foo'] are not supported for now. Supported architectures: dict_keys([])";
    assert_eq!(kinds(&crash(unknown)), ["unsupported_architecture"]);
    let said = advised(
        "[2026-04-27 02:36:04 TP0] Load weight begin. avail mem=77.57 GB\n[2026-04-27 02:36:06] Received sigquit from a child process. It usually means the child failed.\n",
    );
    assert!(said.contains("read the traceback"), "{said}");
}

#[test]
fn a_second_start_of_sglang_is_one_also_behind_a_log_that_begins_late() {
    let start = "[2026-04-27 02:36:06 TP0] Load weight end. elapsed=1.97 s, type=Qwen3ForCausalLM, avail mem=62.30 GB, mem usage=15.28 GB.\n[2026-04-27 02:36:06 TP0] KV Cache is allocated. #tokens: 292896, K size: 20.18 GB, V size: 20.17 GB\n[2026-04-27 02:36:06 TP0] Memory pool end. avail mem=15.26 GB\n";
    for args in ["server_args=ServerArgs(model_path='m', tp_size=1)", "server_args={'model_path': 'm', 'tp_size': 1}"] {
        let log = [start, &format!("[2026-04-27 03:36:00] {args}\n"), start].concat();
        let engines = read(log.as_bytes()).engines;
        assert_eq!(engines.len(), 2, "{args}");
        assert!(engines.iter().all(|engine| engine.facts.buffers.iter().all(|b| !b.of_draft)), "{args}");
    }
}

#[test]
fn tgi_warms_up_after_it_has_loaded_and_a_limit_sizes_no_pool() {
    let log = "2024-03-04T16:38:00.496633Z INFO shard-manager: text_generation_launcher: Starting shard rank=0\n2024-03-04T16:38:09.496633Z INFO shard-manager: text_generation_launcher: Shard ready in 22.918174777s rank=0\n2024-03-04T16:38:09.663104Z INFO text_generation_router: router/src/main.rs:213: Warming up model\n";
    let measured = "2024-03-04T16:38:11.273926Z INFO text_generation_router: router/src/main.rs:246: Setting max batch total tokens to 16000\n";
    let limit = "2024-03-04T16:38:11.273900Z WARN text_generation_router: router/src/main.rs:224: Model does not support automatic max batch total tokens\n";
    let order = |log: &str| -> Vec<Milestone> {
        let clocks = [Milestone::FirstLine, Milestone::LastLine];
        facts(log).events.iter().map(|event| event.milestone).filter(|m| !clocks.contains(m)).collect()
    };
    let loaded = [Milestone::LoadBegan, Milestone::WeightsLoaded, Milestone::WarmupBegan];
    assert_eq!(order(&[log, limit, measured].concat()), loaded);
    assert_eq!(order(&[log, measured].concat()), [&loaded[..], &[Milestone::KvPoolSized]].concat());
}
