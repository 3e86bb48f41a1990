//! Evidence made here, for what no recording has: several GPUs, missing parts, damage.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use vramscope_analysis::{Evidence, EvidenceError, assemble};
use vramscope_runs::EvidenceFiles;
use vramscope_schema::v3::{Confidence, Generator, PartKind, Profile, RunStatus};

use crate::analyze;

pub(super) const GIB: u64 = 1 << 30;
/// 2026-11-22 05:00:00 UTC.
const START: u64 = 1_795_323_600;

/// A recording of `gpus` devices each 100 ms, of which the first `ranks` do as `level_gib(seconds)` says.
pub(super) fn gpu_csv(gpus: u32, ranks: u32, seconds: u64, level: impl Fn(u64) -> u64) -> String {
    let mut text = String::from("timestamp_ns,gpu_index,used_bytes,total_bytes,reserved_bytes,power_mw\n");
    for tick in 0..seconds * 10 {
        for gpu in 0..gpus {
            let used = if gpu < ranks { level(tick / 10) } else { 5 << 20 };
            let at = START * 1_000_000_000 + tick * 100_000_000 + u64::from(gpu) * 1_000_000;
            let _ = writeln!(text, "{at},{gpu},{used},{},{},100000", 80 * GIB, GIB / 2);
        }
    }
    text
}

/// Two ranks of 10 GiB of weights and a pool of 40 GiB each.
pub(super) const ENGINE_LOG: &str = "\
INFO 11-22 05:00:05 [api_server.py:1] vLLM API server version 0.11.0
INFO 11-22 05:00:05 [core.py:77] Initializing a V1 LLM engine (v0.11.0) with config: model='m', dtype=torch.bfloat16, \
max_seq_len=4096, tensor_parallel_size=2, pipeline_parallel_size=1, quantization=None, enforce_eager=True, \
kv_cache_dtype=auto, device_config=cuda
(Worker_TP0 pid=41) INFO 11-22 05:00:10 [gpu_model_runner.py:2602] Starting to load model m...
(Worker_TP0 pid=41) INFO 11-22 05:00:15 [gpu_model_runner.py:2653] Model loading took 10.0000 GiB and 4.100000 seconds
(Worker_TP1 pid=42) INFO 11-22 05:00:15 [gpu_model_runner.py:2653] Model loading took 10.0000 GiB and 4.200000 seconds
(Worker_TP0 pid=41) INFO 11-22 05:00:20 [gpu_worker.py:298] Available KV cache memory: 40.00 GiB
(Worker_TP1 pid=42) INFO 11-22 05:00:20 [gpu_worker.py:298] Available KV cache memory: 40.50 GiB
(EngineCore_DP0 pid=40) INFO 11-22 05:00:20 [kv_cache_utils.py:1087] GPU KV cache size: 655,360 tokens
(EngineCore_DP0 pid=40) INFO 11-22 05:00:30 [core.py:210] init engine (profile, create kv cache, warmup model) took 15.00 seconds
";

pub(super) fn level(second: u64) -> u64 {
    match second {
        0..=6 => 5 << 20,
        7..=10 => GIB,
        11..=20 => 11 * GIB,
        21..=25 => 51 * GIB,
        26..=49 => 53 * GIB,
        _ => 5 << 20,
    }
}

pub(super) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn part(profile: &Profile, kind: PartKind) -> (u64, Confidence) {
    let breakdown = profile.memory_breakdown.as_ref().unwrap();
    let part = breakdown.components.iter().find(|c| c.kind == kind).unwrap_or_else(|| panic!("{kind:?}"));
    (part.size_bytes, part.confidence)
}

/// The cache of plain transformers has the type that the model was loaded in, not that of its config.
#[test]
fn a_framework_tells_its_own_figures_and_needs_no_log() {
    let probe = include_str!("../../src/evidence/data/probe-cpu.json");
    let config = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 1024}"#;
    let csv = gpu_csv(1, 1, 60, level);
    for (dtype, bytes_of_token) in [("bfloat16", 768), ("float32", 1536)] {
        let probe = probe.replace(r#""dtype": "bfloat16""#, &format!(r#""dtype": "{dtype}""#));
        let folder = folder(&[("gpu.csv", &csv), ("probe.json", &probe), ("config.json", config)]);
        let profile = analyze(folder.path()).unwrap();
        let cache = part(&profile, PartKind::KvCache);
        assert_eq!(cache, ((64 + 16 - 1) * 2 * bytes_of_token, Confidence::Computed), "{dtype}");
        let found: Vec<&str> = profile.diagnostics.iter().flatten().map(|found| found.code.as_str()).collect();
        assert!(!found.contains(&"no_engine_log"), "{found:?}");
        assert!(profile.metadata.notes.iter().all(|note| !note.contains("engine log")), "{:?}", profile.metadata.notes);
    }
}

#[test]
fn figures_of_each_rank_meet_the_total_of_their_devices() {
    let folder = folder(&[("vllm.log", ENGINE_LOG), ("gpu.csv", &gpu_csv(4, 2, 60, level))]);
    let profile = analyze(folder.path()).unwrap();
    assert_eq!(part(&profile, PartKind::ModelWeights), (20 * GIB, Confidence::Reported));
    assert_eq!(part(&profile, PartKind::KvCache), (80 * GIB + GIB / 2, Confidence::Reported), "each rank's own figure");
    assert_eq!(part(&profile, PartKind::RuntimeContext), (2 * (GIB - (5 << 20)), Confidence::Measured));
    assert_eq!(part(&profile, PartKind::Activations), (4 * GIB, Confidence::Measured));
    let breakdown = profile.memory_breakdown.as_ref().unwrap();
    assert_eq!(breakdown.total_measured_bytes, Some(2 * 53 * GIB + 2 * (5 << 20)), "idle devices count in the total");
    assert_eq!(breakdown.per_device.len(), 4);
    assert!(breakdown.per_device[3].components.is_empty(), "an idle device has no parts");
    assert_eq!(profile.gpu_info.as_ref().unwrap().num_gpus, Some(2));
    let peak = profile.memory_measurements.as_ref().unwrap().peak.as_ref().unwrap();
    assert_eq!(peak.per_gpu_details.len(), 4);
}

#[test]
fn a_gpu_log_alone_measures_and_says_that_nothing_is_explained() {
    let folder = folder(&[("gpu.csv", &gpu_csv(1, 1, 60, level))]);
    let profile = analyze(folder.path()).unwrap();
    assert_eq!(profile.metadata.status, Some(RunStatus::Partial));
    let breakdown = profile.memory_breakdown.as_ref().unwrap();
    assert_eq!(breakdown.total_measured_bytes, Some(53 * GIB));
    assert!(breakdown.components.is_empty());
    assert_eq!(breakdown.residual_bytes, Some(i64::try_from(53 * GIB - (5 << 20)).unwrap()));
    assert!(profile.diagnostics.iter().flatten().any(|d| d.code == "no_engine_log"));
}

#[test]
fn an_engine_log_alone_reports_and_measures_nothing() {
    let folder = folder(&[("engine.log", ENGINE_LOG)]);
    let profile = analyze(folder.path()).unwrap();
    let breakdown = profile.memory_breakdown.as_ref().unwrap();
    assert_eq!(breakdown.model_weights_bytes, Some(20 * GIB));
    assert_eq!((breakdown.total_measured_bytes, breakdown.residual_bytes), (None, None));
    assert!(profile.memory_measurements.is_none() && profile.memory_timeline.is_none());
}

#[test]
fn a_log_without_times_says_so_and_the_samples_tell_the_phases() {
    let bare: String = ENGINE_LOG.lines().map(|l| format!("{}\n", l.rsplit_once("] ").map_or(l, |p| p.1))).collect();
    let folder = folder(&[("vllm.log", &bare), ("gpu.csv", &gpu_csv(2, 2, 60, level))]);
    let profile = analyze(folder.path()).unwrap();
    assert!(profile.diagnostics.iter().flatten().any(|d| d.code == "no_common_clock"));
    let phases: Vec<_> = profile.phases.iter().flatten().map(|p| p.phase.to_owned()).collect();
    assert!(phases.len() >= 3, "baseline, launch and settle show in the samples: {phases:?}");
    assert_eq!(profile.memory_breakdown.unwrap().baseline_bytes, Some(2 * (5 << 20)));
}

#[test]
fn a_neighbour_that_comes_between_two_ticks_is_in_the_baseline() {
    // The engine's first line is of second 5; the tick before it does not see the neighbour yet.
    let with_neighbour = |second| if second < 5 { 5 << 20 } else { 20 * GIB + level(second) };
    let folder = folder(&[("vllm.log", ENGINE_LOG), ("gpu.csv", &gpu_csv(2, 2, 60, with_neighbour))]);
    let profile = analyze(folder.path()).unwrap();
    assert_eq!(profile.memory_breakdown.as_ref().unwrap().baseline_bytes, Some(2 * (20 * GIB + (5 << 20))));
    assert_eq!(part(&profile, PartKind::RuntimeContext).0, 2 * (GIB - (5 << 20)));
    assert!(!profile.diagnostics.iter().flatten().any(|d| d.code == "memory_not_returned"));
}

#[test]
fn memory_that_stays_is_noticed() {
    let stays = |second| if second >= 50 { 3 * GIB } else { level(second) };
    let folder = folder(&[("vllm.log", ENGINE_LOG), ("gpu.csv", &gpu_csv(2, 2, 60, stays))]);
    let profile = analyze(folder.path()).unwrap();
    let found = profile.diagnostics.iter().flatten().find(|d| d.code == "memory_not_returned").expect("a diagnostic");
    assert_eq!(found.evidence.get("left_bytes"), Some((2 * (3 * GIB - (5 << 20))) as f64));
}

#[test]
fn a_recording_of_our_own_sampler_is_a_gpu_log_too() {
    let csv = gpu_csv(2, 2, 60, level);
    let log = vramscope_analysis::read_gpu_log(csv.as_bytes()).unwrap();
    let devices = log.timeline.devices().iter().map(Into::into).collect();
    let header = vramscope_timeline::document::Header {
        anchor_unix_ns: log.timeline.anchor_unix_ns(),
        devices,
        ..vramscope_timeline::document::Header::default()
    };
    let mut writer = vramscope_timeline::document::Writer::new(Vec::new(), &header).unwrap();
    writer.timeline(&log.timeline).unwrap();
    let recorded = String::from_utf8(std::mem::take(writer.get_mut())).unwrap();
    let from_csv = analyze(folder(&[("vllm.log", ENGINE_LOG), ("gpu.csv", &csv)]).path()).unwrap();
    let from_jsonl = analyze(folder(&[("vllm.log", ENGINE_LOG), ("timeline.jsonl", &recorded)]).path()).unwrap();
    assert_eq!(from_csv.memory_breakdown, from_jsonl.memory_breakdown);
    assert_eq!(from_csv.phases, from_jsonl.phases);
}

fn fails(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let error = analyze(folder.path()).expect_err("this is no evidence");
    let mut text = error.to_string();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn damage_names_its_file_and_what_was_expected() {
    let csv = gpu_csv(1, 1, 2, |_| 0);
    for (files, words) in [
        (&[("gpu.csv", "")][..], &["gpu.csv", "empty"][..]),
        (&[("gpu.csv", "\u{0}\u{1}\u{2}junk")], &["gpu.csv", "column"]),
        (&[("gpu.csv", "timestamp_ns,used_bytes\nx,y\n1,")], &["gpu.csv", "no line is a row"]),
        (&[("vllm.log", "")], &["vllm.log", "empty"]),
        (&[("vllm.log", "hello\nworld\n")], &["vllm.log", "vLLM", "engine"]),
        (&[("gpu.csv", csv.as_str()), ("config.json", "{\"hidden_size\": ")], &["config.json"]),
        (
            &[("gpu.csv", csv.as_str()), ("config.json", "{\"model_type\": \"llama\", \"hidden_size\": -5}")],
            &["config.json", "hidden_size"],
        ),
        (&[("gpu.csv", csv.as_str()), ("bench.json", "{\"avg_latency\": -1}")], &["bench.json", "avg_latency"]),
        (&[("gpu.csv", csv.as_str()), ("args.json", "[]")], &["args.json", "argv"]),
        (&[("notes.txt", "x")], &["engine.log", "gpu.csv"]),
    ] {
        let said = fails(files);
        assert!(words.iter().all(|w| said.contains(w)), "{said:?} should name {words:?}");
    }
}

#[test]
fn a_model_folder_without_its_config_is_an_error() {
    let empty = TempDir::new().unwrap();
    let files = EvidenceFiles { model: Some(empty.path().to_owned()), ..EvidenceFiles::default() };
    let error = Evidence::load(&files, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, EvidenceError::NoConfig { .. }), "{error}");
    let none = EvidenceFiles { engine_logs: vec![Path::new("nowhere.log").to_owned()], ..EvidenceFiles::default() };
    assert!(Evidence::load(&none, &mut |_, _| {}).unwrap_err().to_string().contains("nowhere.log"));
}

#[test]
fn no_damage_makes_it_panic() {
    let csv = gpu_csv(2, 2, 60, level);
    let generator = || Generator { name: "test".into(), version: "0".into() };
    let mut state = 7_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    for _ in 0..60 {
        let mut log = ENGINE_LOG.as_bytes().to_vec();
        let mut rows = csv.as_bytes()[..csv.len() / 8].to_vec();
        for bytes in [&mut log, &mut rows] {
            for _ in 0..1 + next() % 8 {
                let at = next() % bytes.len();
                match next() % 3 {
                    0 => bytes[at] = u8::try_from(next() % 256).unwrap(),
                    1 => bytes.truncate(at.max(1)),
                    _ => drop(bytes.splice(at..at, *b"-9\n,")),
                }
            }
        }
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("vllm.log"), &log).unwrap();
        fs::write(folder.path().join("gpu.csv"), &rows).unwrap();
        let files = EvidenceFiles::find(folder.path()).unwrap();
        if let Ok(evidence) = Evidence::load(&files, &mut |_, _| {}) {
            let profile = assemble(&evidence, generator()).unwrap();
            vramscope_schema::write(&profile, std::io::sink()).unwrap();
        }
    }
}

/// The devices of a run whose driver lists processes, recorded as vramscope records: device 1 does as `level` says for
/// process 41, and on device 0 another program fills up meanwhile.
fn timeline_with_a_neighbour() -> String {
    let device =
        |gpu: u32| format!("{{\"gpu_index\":{gpu},\"total_bytes\":{},\"reserved_bytes\":{}}}", 80 * GIB, GIB / 2);
    let mut text = format!(
        "{{\"vramscope_timeline\":1,\"generator\":\"test 0\",\"anchor_unix_ns\":{},\"period_ms\":100.0,\"backends\":[],\
         \"devices\":[{},{}]}}\n",
        START * 1_000_000_000,
        device(0),
        device(1)
    );
    for tick in 0..600_u64 {
        let at = START * 1_000_000_000 + tick * 100_000_000;
        let used = [tick.min(500) * GIB / 10, level(tick / 10)];
        for (gpu, used) in used.iter().enumerate() {
            let _ = writeln!(
                text,
                "{{\"t\":\"sample\",\"timestamp_ns\":{at},\"tick\":{tick},\"gpu_index\":{gpu},\"used_bytes\":{used}}}"
            );
            if tick % 10 == 0 && (gpu == 0 || (70..500).contains(&tick)) {
                let pid = if gpu == 0 { 99 } else { 41 };
                let _ = writeln!(
                    text,
                    "{{\"t\":\"slow\",\"timestamp_ns\":{at},\"gpu_index\":{gpu},\"processes\":[{{\"pid\":{pid},\
                     \"used_bytes\":{used}}}]}}"
                );
            }
        }
    }
    text
}

/// A line of that recording, had device 0 held 7 GiB all the time.
fn still(line: &str) -> String {
    let of_first = line.contains("\"gpu_index\":0,\"used_bytes\"");
    match line.rsplit_once(':').filter(|_| of_first && line.contains("\"t\":\"sample\"")) {
        Some((before, _)) => format!("{before}:{}}}", 7 * GIB),
        None => line.to_owned(),
    }
}

#[test]
fn what_others_do_on_other_devices_is_no_part_of_a_run_whose_processes_are_known() {
    let log = ENGINE_LOG.replace("tensor_parallel_size=2", "tensor_parallel_size=1");
    let log: String = log.lines().filter(|line| !line.contains("TP1")).map(|line| format!("{line}\n")).collect();
    let record = |pids: &str| {
        format!(
            "{{\"vramscope_run\":1,\"generator\":\"test 0\",\"status\":\"complete\",\"host\":{{\"kind\":\"process\"}},\
             \"engine_type\":\"vllm\",\"engine_pids\":{pids}}}"
        )
    };
    let timeline = timeline_with_a_neighbour();
    let of = |pids: &str| {
        let folder = folder(&[("engine.log", &log), ("timeline.jsonl", &timeline), ("run.json", &record(pids))]);
        analyze(folder.path()).unwrap()
    };
    let profile = of("[40, 41]");
    let breakdown = profile.memory_breakdown.as_ref().unwrap();
    assert_eq!(breakdown.total_measured_bytes, Some(53 * GIB));
    assert_eq!(part(&profile, PartKind::ModelWeights), (10 * GIB, Confidence::Reported));
    assert_eq!(profile.gpu_info.as_ref().unwrap().num_gpus, Some(1));
    let notes = format!("{:?}", profile.metadata);
    assert!(notes.contains("the engine had no process there: GPU 0"), "{notes}");
    // A number that is by chance that of a process which was there before, where memory does not rise, tells nothing.
    let idle: String = timeline.lines().map(|line| format!("{}\n", still(line))).collect();
    let folder = folder(&[("engine.log", &log), ("timeline.jsonl", &idle), ("run.json", &record("[99]"))]);
    let by_chance = analyze(folder.path()).unwrap();
    assert_eq!(part(&by_chance, PartKind::ModelWeights), (10 * GIB, Confidence::Reported));
    // Without the engine's processes nothing tells the two apart, and that is said.
    let unknown = of("[]");
    assert!(unknown.memory_breakdown.as_ref().unwrap().components.is_empty());
    assert!(unknown.diagnostics.iter().flatten().any(|d| d.code == "ranks_contradict_devices"));
}

/// A server that was there before it was recorded, of process 41: it holds 30 GiB on device 1 and does not rise, while a
/// stranger's 20 GiB are on device 0. The driver may not say how much a process holds.
fn beside_a_server(says_sizes: bool) -> String {
    let mut text: String = timeline_with_a_neighbour().lines().take(1).map(|line| format!("{line}\n")).collect();
    for tick in 0..100_u64 {
        let at = START * 1_000_000_000 + tick * 100_000_000;
        for (gpu, pid, used) in [(0, 99, 20 * GIB), (1, 41, 30 * GIB)] {
            let size = if says_sizes { format!(",\"used_bytes\":{used}") } else { String::new() };
            let _ = writeln!(
                text,
                "{{\"t\":\"sample\",\"timestamp_ns\":{at},\"tick\":{tick},\"gpu_index\":{gpu},\"used_bytes\":{used}}}"
            );
            if tick % 10 == 0 {
                let _ = writeln!(
                    text,
                    "{{\"t\":\"slow\",\"timestamp_ns\":{at},\"gpu_index\":{gpu},\"processes\":[{{\"pid\":{pid}{size}}}]}}"
                );
            }
        }
    }
    text
}

#[test]
fn the_devices_of_a_server_that_runs_are_those_on_which_it_holds_memory_though_nothing_rises() {
    for says_sizes in [true, false] {
        let timeline = beside_a_server(says_sizes);
        let of = |kind: &str, pids: &str| {
            let record = format!(
                "{{\"vramscope_run\":1,\"generator\":\"test 0\",\"status\":\"complete\",\"host\":{{\"kind\":\"{kind}\"}},\
                 \"engine_type\":\"vllm\",\"engine_pids\":{pids}}}"
            );
            let folder = folder(&[("timeline.jsonl", &timeline), ("run.json", &record)]);
            analyze(folder.path()).unwrap().memory_breakdown.unwrap().total_measured_bytes
        };
        assert_eq!(of("attach", "[40, 41]"), Some(30 * GIB), "{says_sizes}");
        assert_eq!(of("attach", "[40]"), Some(50 * GIB), "nothing tells the two apart");
        // An engine that was started would have risen: the number is another's by chance.
        assert_eq!(of("docker", "[41]"), Some(50 * GIB), "{says_sizes}");
    }
}
