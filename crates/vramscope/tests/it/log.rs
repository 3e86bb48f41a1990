//! `vramscope log`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{root, stderr, stdout, vramscope};

const START: &str = "\
(Worker_TP0 pid=57) INFO 01-02 03:04:05 [gpu_model_runner.py:4130] Model loading took 41.37 GiB memory and 88.104523 seconds
(Worker_TP0 pid=57) INFO 01-02 03:04:47 [gpu_worker.py:356] Available KV cache memory: 58.21 GiB
(EngineCore_DP0 pid=44) INFO 01-02 03:04:47 [kv_cache_utils.py:1307] GPU KV cache size: 1,731,072 tokens
";

const FAILURE: &str = "\
ValueError: Free memory on device cuda:0 (48.77/139.8 GiB) on startup is less than desired GPU memory utilization (0.92, 128.62 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.
";

/// Runs the command with a text on stdin.
fn piped(args: &[&str], text: &[u8]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    command.args(args).current_dir(root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin.write_all(text).expect("the command reads");
    drop(stdin);
    child.wait_with_output().expect("the command ends")
}

#[test]
fn a_log_on_stdin_is_one_document() {
    let output = piped(&["log", "-", "--format", "json"], START.as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["schema_version"], "1.0");
    assert_eq!(document["summary"]["weights_gib"], serde_json::json!([41.37]));
    assert_eq!(document["summary"]["weights_workers"], serde_json::json!(["Worker_TP0"]));
    assert_eq!(document["summary"]["kv_cache_tokens"], 1_731_072);
    let figure = &document["engines"][0]["figures"][0];
    assert_eq!(
        (&figure["key"], &figure["memory"]["printed"], &figure["line"], &figure["scope"], &figure["rank"]),
        (&"weights".into(), &"41.37 GiB".into(), &1.into(), &"this_rank".into(), &0.into())
    );
}

#[test]
fn the_table_names_part_line_and_worker() {
    let text = stdout(&piped(&["log", "-"], START.as_bytes()));
    assert!(text.contains("weights        41.37  0.005  rank 0         1  Worker_TP0 pid=57"), "{text}");
    assert!(text.contains("1,731,072"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn an_engine_that_failed_has_its_own_exit_code_and_an_advice() {
    let output = piped(&["log", "-"], FAILURE.as_bytes());
    assert_eq!(output.status.code(), Some(6));
    let text = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("lower --gpu-memory-utilization to 0.34 or less"), "{text}");
}

#[test]
fn ranks_that_found_no_memory_are_one_failure_with_their_figures() {
    let line = |rank: u32| {
        format!(
            "(Worker_TP{rank} pid={rank}) ERROR 01-02 03:04:4{rank} [x.py:1] torch.OutOfMemoryError: CUDA out of memory. \
             Tried to allocate 1.50 GiB. GPU {rank} has a total capacity of 79.25 GiB of which 81{rank}.00 KiB is free.\n"
        )
    };
    let text = stdout(&piped(&["log", "-"], (line(0) + &line(1)).as_bytes()));
    assert!(text.contains("  out of memory on ranks 0, 1, line 1 (Worker_TP0 pid=0)\n"), "{text}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("rank 1: asked 1.50 GiB, free 830464 bytes of 79.25 GiB (line 2)"), "{text}");
}

#[test]
fn compressed_files_are_read_and_several_are_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = START.split_at(START.find("(EngineCore").unwrap());
    let gz = folder.path().join("vllm.log.1.gz");
    let mut gzip = Command::new("gzip")
        .args(["-c"])
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&gz).unwrap())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(first.as_bytes()).unwrap();
    assert!(gzip.wait().unwrap().success());
    let plain = folder.path().join("vllm.log");
    std::fs::write(&plain, second).unwrap();
    let output = vramscope(&["log", gz.to_str().unwrap(), plain.to_str().unwrap(), "--format", "json"]);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["summary"]["weights_gib"], serde_json::json!([41.37]));
    assert_eq!(document["engines"][0]["figures"][3]["line"], 3, "lines count on through the files");
}

#[test]
fn facts_come_as_the_log_grows() {
    let output = piped(&["log", "--follow", "-", "--format", "json"], START.as_bytes());
    let facts: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys: Vec<&Value> = facts.iter().map(|fact| &fact["figure"]["key"]).filter(|key| !key.is_null()).collect();
    assert_eq!(keys, ["weights", "load_secs", "kv_pool", "kv_tokens"]);
    let table = stdout(&piped(&["log", "--follow", "-"], START.as_bytes()));
    assert!(table.contains("kv tokens  1,731,072"), "{table}");
}

#[test]
fn a_line_of_a_new_release_is_listed() {
    let new = format!("{START}INFO 01-02 03:05:00 [gpu_worker.py:1] Scratch arena holds 3.25 GiB per stream\n");
    let text = stdout(&piped(&["log", "--unknown", "-"], new.as_bytes()));
    assert!(text.contains("Scratch arena holds 3.25 GiB per stream"), "{text}");
    let text = stdout(&piped(&["log", "--unknown", "-"], START.as_bytes()));
    assert!(text.starts_with("Every line"), "{text}");
}

#[test]
fn no_secret_leaves() {
    let log = "(APIServer pid=1) INFO 03-08 08:22:22 [utils.py:238] non-default args: {'model': 'm', 'api_key': ['sk-abcdefghijklmnopqrst'], \
               'hf_token': 'hf_abcdefghijklmnopqrst'}\nERROR 03-08 08:22:23 [core.py:1] ValueError: bad token hf_abcdefghijklmnopqrst 1 GiB\n\
               INFO 03-08 08:22:24 [x.py:1] arena of 2.5 GiB with api_key=sk-abcdefghijklmnopqrst\n";
    for args in [&["log", "-"][..], &["log", "-", "--format", "json"], &["log", "-", "--unknown"], &["log", "-f", "-"]]
    {
        let text = stdout(&piped(args, log.as_bytes()));
        assert!(!text.contains("abcdefghijklmnopqrst"), "{args:?}: {text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_so() {
    let output = vramscope(&["log", "no-such.log"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no-such.log"), "{}", stderr(&output));
    assert_eq!(vramscope(&["log"]).status.code(), Some(2));
    assert_eq!(vramscope(&["log", "-f", "a", "b"]).status.code(), Some(2));
}

#[test]
fn formats_are_listed_with_their_releases() {
    let text = stdout(&vramscope(&["log", "--formats"]));
    assert!(text.contains("Available KV cache memory: {kv_pool~2}") && text.contains("0.9.1-"), "{text}");
}

#[cfg(unix)]
#[test]
fn what_has_no_end_and_what_nobody_writes_to_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (file, says) in [("/dev/zero", "device"), (pipe.to_str().unwrap(), "nobody writes")] {
        let output = vramscope(&["log", "--follow", file]);
        assert_eq!(output.status.code(), Some(3), "{file}");
        let said = stderr(&output);
        assert!(said.contains(file) && said.contains(says), "{said}");
    }
}

/// Two engines that serve together, each of which states itself alone, as vLLM 0.25 prints them.
const TOGETHER: &str = "\
(EngineCore_DP0 pid=11) INFO 08-07 21:32:23 [core.py:114] Initializing a V1 LLM engine (v0.25.1) with config: model='org/name', dtype=torch.bfloat16, max_seq_len=8192, tensor_parallel_size=1, pipeline_parallel_size=1, data_parallel_size=1, quantization=None
(EngineCore_DP0 pid=11) INFO 08-07 21:33:00 [gpu_model_runner.py:5335] Model loading took 60.12 GiB memory and 50.000000 seconds
(EngineCore_DP1 pid=12) INFO 08-07 21:33:01 [gpu_model_runner.py:5335] Model loading took 60.12 GiB memory and 51.000000 seconds
(EngineCore_DP0 pid=11) INFO 08-07 21:34:00 [gpu_worker.py:560] Available KV cache memory: 100.00 GiB
(EngineCore_DP1 pid=12) INFO 08-07 21:34:00 [gpu_worker.py:560] Available KV cache memory: 99.50 GiB
(EngineCore_DP0 pid=11) INFO 08-07 21:34:01 [kv_cache_utils.py:2216] GPU KV cache size: 2,000,000 tokens
(EngineCore_DP1 pid=12) INFO 08-07 21:34:01 [kv_cache_utils.py:2216] GPU KV cache size: 1,990,000 tokens
";

#[test]
fn engines_that_serve_together_have_each_its_memory_and_together_their_tokens() {
    let text = stdout(&piped(&["log", "-"], TOGETHER.as_bytes()));
    let rows: Vec<String> = text.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let row = |beginning: &str| rows.iter().find(|row| row.starts_with(beginning)).unwrap_or_else(|| panic!("{text}"));
    assert!(row("weights 60.12").ends_with("EngineCore_DP0 pid=11 and 1"), "{text}");
    assert!(
        row("KV-cache pool 100.00").contains("EngineCore_DP0") && row("99.50").contains("EngineCore_DP1"),
        "{text}"
    );
    assert_eq!(
        row("Each of the 2 engines"),
        "Each of the 2 engines holds this on devices of its own: nothing is added up"
    );
    assert_eq!(row("tokens, each engine"), "tokens, each engine 1,990,000 to 2,000,000 6");
    assert_eq!(row("tokens, 2 engines"), "tokens, 2 engines 3,990,000 6");
    assert!(text.contains("data parallel 2"), "each engine states itself alone: {text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn an_empty_log_is_called_empty() {
    let text = stdout(&piped(&["log", "-"], b""));
    assert_eq!(text, "The log is empty.\n");
    assert!(stdout(&piped(&["log", "-"], b"\n")).contains("Nothing in these 1 lines"), "a line is no nothing");
}

#[test]
fn a_plan_that_was_only_tried_is_not_shown() {
    let row = |model: u32, free: &str| {
        format!(
            "common_memory_breakdown_print: |   - CUDA0 (Some Card) | 24564 = 24100 + ({} = {model} + 1024 + 1024) + {free} |\n",
            model + 2048
        )
    };
    let fit = "common_init_: fitting params to device memory ...\n";
    let done = "common_fit_params: successfully fit params to free device memory\n";
    let log = [fit, &row(20480, "17592186021888"), &row(10240, "-12288"), done].concat();
    let text = stdout(&piped(&["log", "-"], log.as_bytes()));
    assert!(text.contains("weights  CUDA0  10.00     3  planned"), "{text}");
    assert!(text.contains("context  CUDA0   1.00     3  planned"), "{text}");
    assert!(!text.contains("22.00") && !text.contains("20.00") && !text.contains("each rank"), "{text}");
}

#[test]
fn computing_by_a_plan_is_that_of_as_many_layers_as_are_offloaded() {
    let offload = |layers: u32| {
        format!(
            "time=2025-01-16T04:29:50.909Z level=INFO source=memory.go:356 msg=\"offload to cuda\" layers.requested=-1 layers.model=33 layers.offload={layers} layers.split=\"\" memory.available=\"[23.3 GiB]\" memory.required.full=\"20.0 GiB\" memory.required.allocations=\"[10.0 GiB]\" memory.graph.full=\"2.0 GiB\" memory.graph.partial=\"3.0 GiB\"\n"
        )
    };
    for (layers, expected) in [(33, "computing, by the plan   2.00"), (5, "computing, by the plan   3.00")] {
        let text = stdout(&piped(&["log", "-"], offload(layers).as_bytes()));
        assert!(text.contains(expected), "{layers}: {text}");
        assert_eq!(text.matches("by the plan").count(), 2, "{text}");
    }
}
