//! What a run's evidence shows that nobody asked for: each finding where it is to speak, and where it is to be silent.

use std::fmt::Write as _;
use std::fs;

use vramscope_analysis::EvidenceError;
use vramscope_schema::v3::{Diagnostic, Profile, RunStatus, Severity};

use crate::made_up::{ENGINE_LOG, GIB, folder, level};
use crate::{analyze, shared};

/// 2026-11-22 05:00:00 UTC, as in the engine's log.
const START: u64 = 1_795_323_600;
/// The engine of [`ENGINE_LOG`] on one rank.
fn log() -> String {
    let of_one = ENGINE_LOG.replace("tensor_parallel_size=2", "tensor_parallel_size=1");
    of_one.lines().filter(|line| !line.contains("TP1")).map(|line| format!("{line}\n")).collect()
}

/// A sampler's recording of one device, a sample each `period_ms`, with more of a sample's fields.
fn recording(asked_ms: u64, period_ms: u64, used: impl Fn(u64) -> u64, more: &str, marks: &[(u64, &str)]) -> String {
    let mut text = format!(
        "{{\"vramscope_timeline\":1,\"generator\":\"test 0\",\"anchor_unix_ns\":{},\"period_ms\":{asked_ms}.0,\
         \"backends\":[],\"devices\":[{{\"gpu_index\":0,\"vendor\":\"nvidia\",\"total_bytes\":{},\"reserved_bytes\":{}}}]}}\n",
        START * 1_000_000_000,
        80 * GIB,
        GIB / 2,
    );
    for tick in 0..60_000 / period_ms {
        let ms = tick * period_ms;
        for (second, phase) in marks.iter().filter(|(second, _)| second * 1000 == ms) {
            let at = (START + second) * 1_000_000_000;
            let _ = writeln!(text, "{{\"t\":\"mark\",\"timestamp_ns\":{at},\"phase\":\"{phase}\"}}");
        }
        let at = START * 1_000_000_000 + ms * 1_000_000;
        let used = used(ms);
        let _ = writeln!(
            text,
            "{{\"t\":\"sample\",\"timestamp_ns\":{at},\"tick\":{tick},\"gpu_index\":0,\"used_bytes\":{used}{more}}}"
        );
        if ms.is_multiple_of(1000) && used > GIB {
            let _ = writeln!(
                text,
                "{{\"t\":\"slow\",\"timestamp_ns\":{at},\"gpu_index\":0,\"processes\":[{{\"pid\":41,\"name\":\"VLLM\",\
                 \"used_bytes\":{}}}]}}",
                used - GIB / 2
            );
        }
    }
    text
}

fn plain(used: impl Fn(u64) -> u64) -> String {
    recording(100, 100, used, "", &[])
}

fn at_level(ms: u64) -> u64 {
    level(ms / 1000)
}

fn record(kind: &str, more: &str) -> String {
    format!(
        "{{\"vramscope_run\":1,\"generator\":\"test 0\",\"status\":\"complete\",\"host\":{{\"kind\":\"{kind}\"}},\
         \"engine_type\":\"vllm\"{more}}}"
    )
}

fn find<'p>(profile: &'p Profile, code: &str) -> Option<&'p Diagnostic> {
    profile.diagnostics.iter().flatten().find(|found| found.code == code)
}

fn of(files: &[(&str, &str)]) -> Profile {
    analyze(folder(files).path()).unwrap()
}

#[test]
fn memory_that_goes_on_growing_is_told_with_its_slope_its_process_and_its_end() {
    // From the end of the start on, 100 MiB a second.
    let leak =
        |ms: u64| at_level(ms) + if (30_000..50_000).contains(&ms) { (ms - 30_000) * (100 << 20) / 1000 } else { 0 };
    let profile = of(&[("engine.log", &log()), ("timeline.jsonl", &plain(leak))]);
    let found = find(&profile, "memory_grows").unwrap_or_else(|| panic!("{:#?}", profile.diagnostics));
    assert_eq!(found.severity, Severity::Warning);
    let rate = found.evidence.get("bytes_per_second").unwrap();
    assert!((rate / f64::from(100 << 20) - 1.0).abs() < 0.1, "{rate}");
    assert!(found.message.contains("process 41 (VLLM)"), "{}", found.message);
    // 79.5 GiB less 53 GiB less what leaked, at that rate.
    let full = found.evidence.get("full_in_s").unwrap();
    assert!((200.0..290.0).contains(&full), "{full}");
    let quiet = of(&[("engine.log", &log()), ("timeline.jsonl", &plain(at_level))]);
    assert!(find(&quiet, "memory_grows").is_none());
    let headroom = find(&quiet, "headroom").unwrap();
    assert_eq!(headroom.evidence.get("free_bytes"), Some((26 * GIB + GIB / 2) as f64), "{}", headroom.message);
}

#[test]
fn no_recording_of_a_sound_engine_is_taken_for_a_leak() {
    for corpus in ["corpus/h200", "corpus/h200-033", "corpus/h200-2gpu"] {
        let Some(runs) = shared(corpus) else { return };
        for run in runs.read_dir().unwrap().map(|run| run.unwrap().path()).filter(|run| run.join("gpu.csv").exists()) {
            let Ok(profile) = analyze(&run) else { continue };
            let found = find(&profile, "memory_grows");
            assert!(found.is_none(), "{}: {}", run.display(), found.unwrap().message);
        }
    }
}

#[test]
fn a_run_that_was_killed_before_its_engine_spoke_is_a_profile_of_what_was_sampled() {
    let killed = folder(&[
        ("timeline.jsonl", &plain(|_| 5 << 20)),
        ("engine.log", "python: booting\n"),
        ("args.json", r#"{"argv": []}"#),
    ]);
    let profile = analyze(killed.path()).unwrap();
    assert_eq!(profile.metadata.status, Some(RunStatus::Interrupted));
    assert_eq!(profile.memory_timeline.as_ref().and_then(|timeline| timeline.num_samples), Some(600));
    assert!(find(&profile, "cut_off").is_some() && find(&profile, "no_engine_log").is_none());
    let last = profile.raw_logs.unwrap().excerpts.pop().unwrap();
    assert_eq!((last.first_line, last.text.as_str()), (1, "python: booting"));
    // Before the engine was started there is no log at all.
    fs::remove_file(killed.path().join("engine.log")).unwrap();
    let profile = analyze(killed.path()).unwrap();
    assert_eq!(profile.metadata.status, Some(RunStatus::Interrupted));
    assert!(find(&profile, "cut_off").unwrap().message.contains("said nothing"));
    assert!(find(&profile, "no_engine_log").is_none());
    // A log that somebody names and that is of no engine stays an error.
    let other = folder(&[("timeline.jsonl", &plain(|_| 5 << 20)), ("engine.log", "python: booting\n")]);
    assert!(matches!(analyze(other.path()), Err(EvidenceError::NoEngine { .. })));
    // One that nobody named so is somebody's own, and the readings beside it are a recording all the same.
    let own = folder(&[("timeline.jsonl", &plain(|_| 5 << 20)), ("dmesg.log", "python: booting\n")]);
    // A folder of such a name is none.
    fs::create_dir(own.path().join("old.log")).unwrap();
    let profile = analyze(own.path()).unwrap();
    assert_eq!(profile.memory_timeline.as_ref().and_then(|timeline| timeline.num_samples), Some(600));
    assert!(profile.metadata.notes.iter().any(|note| note.contains("dmesg.log")), "{:?}", profile.metadata.notes);
}

#[test]
fn the_last_lines_of_a_log_are_there_where_the_run_failed_and_only_there() {
    let failed =
        format!("{}(EngineCore_DP0 pid=40) ERROR 11-22 05:00:31 [core.py:1] ValueError: no such thing\nbye\n", log());
    let excerpts = of(&[("engine.log", &failed), ("timeline.jsonl", &plain(at_level))]).raw_logs.unwrap().excerpts;
    let last = excerpts.last().unwrap();
    assert!(last.text.ends_with("ValueError: no such thing\nbye"), "{}", last.text);
    assert_eq!(last.first_line + u64::try_from(last.text.lines().count()).unwrap(), 10);
    let well = of(&[("engine.log", &log()), ("timeline.jsonl", &plain(at_level))]);
    assert!(well.raw_logs.unwrap().excerpts.is_empty());
}

#[test]
fn far_fewer_samples_than_were_asked_for_are_told() {
    let thin = recording(20, 500, at_level, "", &[]);
    let found = of(&[("engine.log", &log()), ("timeline.jsonl", &thin)]);
    let found = find(&found, "few_samples").unwrap();
    assert_eq!(found.evidence.get("samples_count"), Some(120.0), "{}", found.message);
    let whole = of(&[("engine.log", &log()), ("timeline.jsonl", &plain(at_level))]);
    assert!(find(&whole, "few_samples").is_none());
}

#[test]
fn a_device_that_waits_or_is_held_back_while_it_is_measured_is_told() {
    let marks = [(0, "baseline"), (5, "launch"), (10, "load"), (30, "ready"), (32, "measure"), (50, "settle")];
    let with =
        |more: &str| of(&[("engine.log", &log()), ("timeline.jsonl", &recording(100, 100, at_level, more, &marks))]);
    let idle = with(",\"util_gpu_pct\":20,\"throttle\":[\"thermal\"]");
    let found = find(&idle, "gpu_underused").unwrap();
    assert_eq!(found.evidence.get("utilization_pct"), Some(20.0));
    assert!(find(&idle, "clocks_held_back").unwrap().message.contains("temperature"));
    let busy = with(",\"util_gpu_pct\":97,\"throttle\":[\"idle\"]");
    assert!(find(&busy, "gpu_underused").is_none() && find(&busy, "clocks_held_back").is_none());
    let silent = with("");
    assert!(find(&silent, "gpu_underused").is_none(), "a figure that is not there is not zero");
    let capped = with(",\"util_gpu_pct\":97,\"throttle\":[\"power\"]");
    assert_eq!(find(&capped, "clocks_held_back").unwrap().severity, Severity::Info);
}

const CONFIG: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
    "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 1024}"#;

#[test]
fn blocks_are_those_of_the_engines_metrics_and_on_a_cpu_of_nothing_else() {
    let log = "INFO 11-22 05:00:05 [core.py:77] Initializing a V1 LLM engine (v0.20.2) with config: model='m', \
               dtype=torch.bfloat16, max_seq_len=1024, tensor_parallel_size=1, kv_cache_dtype=auto, device_config=cpu, seed=0\n\
               (EngineCore pid=40) INFO 11-22 05:00:20 [kv_cache_utils.py:1087] CPU KV cache size: 524,288 tokens\n";
    let metrics = "{\"timestamp_ns\":1795323640000000000,\"kv_blocks\":4096,\"kv_block_tokens\":128}\n";
    let files = [("engine.log", log), ("config.json", CONFIG), ("metrics.jsonl", metrics)];
    let internal = |files: &[(&str, &str)]| of(files).vllm_internal_metrics.unwrap();
    let stated = internal(&files);
    assert_eq!((stated.block_size, stated.num_gpu_blocks), (Some(128), Some(4096)));
    let silent = internal(&files[..2]);
    assert_eq!((silent.block_size, silent.num_gpu_blocks), (None, None), "nobody said how large a block is");
}

#[test]
fn hits_of_the_prefix_cache_are_told() {
    let metrics = |hits: u64| {
        format!(
            "{{\"timestamp_ns\":1,\"prefix_cache_hits\":0,\"prefix_cache_queries\":0}}\n\
             {{\"timestamp_ns\":2,\"prefix_cache_hits\":{hits},\"prefix_cache_queries\":1000}}\n"
        )
    };
    let with = |hits| of(&[("engine.log", &log()), ("metrics.jsonl", &metrics(hits))]);
    assert_eq!(find(&with(800), "prefix_cache_hits").unwrap().evidence.get("prefix_cache_hit_pct"), Some(80.0));
    assert!(find(&with(3), "prefix_cache_hits").is_none());
}

#[test]
fn sizes_given_by_hand_that_contradict_the_model_are_told_with_both_figures() {
    let with = |shape: &str| {
        let run = record("process", &format!(",\"shape\":{shape}"));
        of(&[("engine.log", &log()), ("config.json", CONFIG), ("run.json", &run)])
    };
    let wrong = with("{\"layers\":32,\"parameters\":930000000}");
    let found = find(&wrong, "given_sizes_contradict_model").unwrap();
    assert_eq!(found.evidence.get("given_num_layers_count"), Some(32.0), "{}", found.message);
    assert_eq!(found.evidence.get("own_num_layers_count"), Some(3.0));
    assert!(found.message.contains("930.00 M parameters were given"), "{}", found.message);
    assert!(find(&with("{\"layers\":3,\"heads\":4}"), "given_sizes_contradict_model").is_none());
}

#[test]
fn a_log_that_is_only_older_is_said_to_be_so() {
    let old = log().replace("11-22", "11-20");
    let attached =
        of(&[("engine.log", &old), ("timeline.jsonl", &plain(at_level)), ("run.json", &record("attach", ""))]);
    let found = find(&attached, "log_is_older").unwrap();
    assert_eq!(found.severity, Severity::Info);
    assert!(found.message.contains("before the recording begins"), "{}", found.message);
    for (kind, files) in [("attach", "a server's"), ("process", "its own")] {
        let run = record(kind, "");
        let profile = of(&[("engine.log", &old), ("timeline.jsonl", &plain(at_level)), ("run.json", &run)]);
        let said = format!("{:?}", profile.diagnostics);
        assert!(!said.contains("one machine") && !said.contains("complete the evidence"), "{files}: {said}");
    }
    let newer = of(&[("engine.log", &log().replace("11-22", "11-25")), ("timeline.jsonl", &plain(at_level))]);
    assert!(find(&newer, "log_is_newer").is_some());
}

#[test]
fn iterations_that_are_far_apart_are_told() {
    let with = |latencies: &str| {
        let bench = format!("{{\"avg_latency\": 0.2, \"latencies\": {latencies}, \"percentiles\": {{}}}}");
        of(&[("engine.log", &log()), ("bench.json", &bench)])
    };
    let found = with("[0.1, 0.2, 0.3]");
    let found = find(&found, "latency_varies").unwrap();
    assert_eq!(
        (found.evidence.get("min_latency_ms"), found.evidence.get("max_latency_ms")),
        (Some(100.0), Some(300.0))
    );
    assert!(find(&with("[0.2, 0.201, 0.199]"), "latency_varies").is_none());
    assert!(find(&with("[0.1, 0.3]"), "latency_varies").is_none(), "two are no spread");
}
