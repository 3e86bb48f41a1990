//! `vramscope export`: what is written is held against the format's specification and against what was recorded. The
//! checker knows nothing of the writer: it reads the file as a viewer does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use serde_json::value::RawValue;
use vramscope_core::on_one_line;

use crate::{root, stderr, vramscope};

/// An event as a viewer takes it, and its text.
struct Event {
    text: String,
    value: Value,
}

impl Event {
    fn phase(&self) -> &str {
        self.value["ph"].as_str().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or_default()
    }

    /// A time in nanoseconds, from its decimals: a float has not enough of them.
    fn ns(&self, key: &str) -> i128 {
        nanoseconds(&self.raw(key))
    }

    /// A number as it is spelled.
    fn raw(&self, key: &str) -> String {
        let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&self.text).unwrap();
        members[key].get().to_owned()
    }

    fn is_ours(&self) -> bool {
        self.value["cat"] == "vramscope" || self.value["ts"].is_null()
    }
}

fn nanoseconds(micros: &str) -> i128 {
    let (whole, decimals) = micros.split_once('.').unwrap_or((micros, "0"));
    assert!(decimals.len() <= 3, "{micros} is finer than a nanosecond");
    let part: i128 = format!("{decimals:0<3}").parse().unwrap();
    let size = whole.trim_start_matches('-').parse::<i128>().unwrap() * 1000 + part;
    if micros.starts_with('-') { -size } else { size }
}

/// The events of a file, each with its text.
fn events(path: &Path) -> (Value, Vec<Event>) {
    let text = String::from_utf8(read(path)).unwrap();
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(rename = "traceEvents")]
        events: Vec<Box<RawValue>>,
        #[serde(flatten)]
        about: BTreeMap<String, Value>,
    }
    let file: File = serde_json::from_str(&text).unwrap();
    let event =
        |raw: Box<RawValue>| Event { value: serde_json::from_str(raw.get()).unwrap(), text: raw.get().to_owned() };
    (serde_json::to_value(file.about).unwrap(), file.events.into_iter().map(event).collect())
}

/// A file's bytes, unpacked.
fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut vramscope_runs::open(path).unwrap(), &mut bytes).unwrap();
    bytes
}

/// What the specification asks of an event of each phase, of a thread's slices, and of names.
fn check(events: &[Event]) {
    let mut named = BTreeSet::new();
    let mut threads = BTreeSet::new();
    let mut slices: BTreeMap<String, Vec<(i128, i128)>> = BTreeMap::new();
    let mut series: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let value = &event.value;
        let (pid, tid) = (value["pid"].as_u64().unwrap(), value["tid"].as_u64().unwrap());
        assert!(pid < 1 << 31 && tid < 1 << 31, "{}", event.text);
        assert!(value["name"].is_string(), "{}", event.text);
        let args = value["args"].as_object().unwrap();
        match event.phase() {
            "M" => {
                match event.name() {
                    "process_name" => assert!(args["name"].is_string() && named.insert(pid), "{}", event.text),
                    "thread_name" => assert!(args["name"].is_string() && threads.insert(tid), "{}", event.text),
                    "process_sort_index" | "thread_sort_index" => assert!(args["sort_index"].is_i64()),
                    name => panic!("{name} names nothing"),
                }
                continue;
            }
            "C" => {
                assert!(!args.is_empty() && args.values().all(Value::is_number), "{}", event.text);
                let keys: BTreeSet<String> = args.keys().cloned().collect();
                let known = series.entry((pid.to_string(), event.name().to_owned())).or_insert_with(|| keys.clone());
                assert_eq!(*known, keys, "a counter keeps its series");
            }
            "X" => {
                assert!(event.ns("dur") >= 0 && threads.contains(&tid), "{}", event.text);
                slices.entry(tid.to_string()).or_default().push((event.ns("ts"), event.ns("ts") + event.ns("dur")));
            }
            "i" => assert!(value["s"] == "t" && threads.contains(&tid), "{}", event.text),
            phase => panic!("{phase} is none of our phases"),
        }
        assert!(named.contains(&pid), "{}", event.text);
        event.ns("ts");
        let shown = |text: &str| on_one_line(text) == text;
        assert!(args.values().filter_map(Value::as_str).all(shown), "{}", event.text);
    }
    assert!(threads.iter().all(|tid| !named.contains(tid)), "Perfetto knows a thread by its id alone");
    for slices in slices.values_mut() {
        slices.sort_by_key(|(start, end)| (*start, -*end));
        let mut open: Vec<i128> = Vec::new();
        for (start, end) in slices {
            open.retain(|last| last > start);
            assert!(open.iter().all(|last| last >= end), "slices nest");
            open.push(*end);
        }
    }
}

fn export(input: &Path, output: &Path, more: &[&str]) -> Output {
    let words = ["export", input.to_str().unwrap(), "--perfetto", "-o", output.to_str().unwrap()];
    vramscope(&[&words[..], more].concat())
}

fn exported(input: &Path, output: &Path, more: &[&str]) -> (Value, Vec<Event>, String) {
    let answer = export(input, output, more);
    assert_eq!(answer.status.code(), Some(0), "{}", stderr(&answer));
    let (about, events) = events(output);
    (about, events, stderr(&answer))
}

/// The samples of a recording's CSV: when, which device, how many bytes.
fn samples(csv: &Path) -> Vec<(i128, u64, u64)> {
    let text = String::from_utf8(read(csv)).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| head.iter().position(|column| *column == name).unwrap();
    let columns = ["timestamp_ns", "gpu_index", "used_bytes"].map(column);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [at, gpu, used] = columns.map(|column| cells[column]);
        (at.parse().unwrap(), gpu.parse().unwrap(), used.parse().unwrap())
    };
    lines.map(row).collect()
}

/// The memory of each device as the file's counters have it, in the order of time.
fn memory(events: &[Event], zero_unix_ns: i128) -> Vec<(i128, u64, u64)> {
    let mut devices = BTreeMap::new();
    for event in events.iter().filter(|event| event.name() == "process_name") {
        let name = event.value["args"]["name"].as_str().unwrap();
        if let Some(index) = name.strip_prefix("vramscope: GPU ") {
            let digits: String = index.chars().take_while(char::is_ascii_digit).collect();
            devices.insert(event.value["pid"].as_u64().unwrap(), digits.parse::<u64>().unwrap());
        }
    }
    let counter = |event: &Event| {
        let device = *devices.get(&event.value["pid"].as_u64()?)?;
        let bytes = event.value["args"]["GiB"].as_f64()? * 1_073_741_824.0;
        assert_eq!(bytes.fract(), 0.0, "no digit is lost");
        Some((zero_unix_ns + event.ns("ts"), device, format!("{bytes:.0}").parse().unwrap()))
    };
    events.iter().filter(|event| event.phase() == "C" && event.name() == "memory used").filter_map(counter).collect()
}

fn by_time(mut samples: Vec<(i128, u64, u64)>) -> Vec<(i128, u64, u64)> {
    samples.sort_unstable();
    samples
}

fn base(about: &Value) -> i128 {
    about["baseTimeNanoseconds"].as_i64().unwrap().into()
}

/// The shared recordings; they are there in CI.
fn shared(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared/corpus").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent", path.display());
    println!("skipped: {} is absent", path.display());
    None
}

#[test]
fn the_examples_hold_every_sample_at_its_nanosecond() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["kv-cache-too-small", "llama-3.1-8b", "noisy-neighbour"] {
        let input = root().join("examples").join(name);
        let (about, events, said) = exported(&input, &folder.path().join(format!("{name}.json.gz")), &[]);
        check(&events);
        let recorded = samples(&input.join("gpu.csv"));
        assert_eq!(by_time(memory(&events, base(&about))), by_time(recorded.clone()), "{name}");
        assert!(said.contains(&format!("{} samples", recorded.len())), "{said}");
        let named = |phase: &str, name: &str| events.iter().any(|e| e.phase() == phase && e.name() == name);
        assert!(named("X", "load") && named("i", "peak") && named("C", "power"), "{name}");
        // Each instant of the log is a line of it.
        let log = fs::read_to_string(input.join("vllm.log")).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        let instants = events.iter().filter(|event| event.phase() == "i" && event.name() != "peak");
        let mut seen = 0;
        for event in instants {
            let line = usize::try_from(event.value["args"]["line"].as_u64().unwrap()).unwrap();
            let text = event.value["args"]["text"].as_str().unwrap();
            let begin: String = text.chars().take(60).collect();
            let wanted = on_one_line(lines[line - 1]);
            assert!(text.contains("[redacted]") || wanted.starts_with(&begin), "{name}, line {line}: {text}");
            seen += 1;
        }
        assert!(seen > 3, "{name}: {seen}");
    }
}

/// The first example with the engine's metrics.
fn with_metrics(folder: &Path) -> PathBuf {
    let (from, to) = (root().join("examples/llama-3.1-8b"), folder.join("run"));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        fs::copy(&entry, to.join(entry.file_name().unwrap())).unwrap();
    }
    let first = samples(&to.join("gpu.csv"))[0].0;
    let reading = |seconds: i64, running: u32| {
        let at = first + i128::from(seconds) * 1_000_000_000;
        format!("{{\"timestamp_ns\": {at}, \"running\": {running}, \"waiting\": 0, \"kv_cache_usage_ratio\": 0.25}}\n")
    };
    fs::write(to.join("metrics.jsonl"), [reading(40, 3), reading(50, 8)].concat()).unwrap();
    to
}

#[test]
fn the_engines_metrics_stand_at_their_instants() {
    let folder = tempfile::tempdir().unwrap();
    let run = with_metrics(folder.path());
    let (about, events, _) = exported(&run, &folder.path().join("t.json"), &[]);
    check(&events);
    let own = samples(&run.join("gpu.csv"));
    let requests: Vec<&Event> = events.iter().filter(|event| event.name() == "requests").collect();
    let at = |event: &Event| base(&about) + event.ns("ts") - own[0].0;
    let seen: Vec<(i128, Option<f64>)> =
        requests.iter().map(|event| (at(event), event.value["args"]["running"].as_f64())).collect();
    assert_eq!(seen, [(40_000_000_000, Some(3.0)), (50_000_000_000, Some(8.0))]);
    let cache: Vec<&Event> = events.iter().filter(|event| event.name() == "KV cache in use").collect();
    assert_eq!((cache.len(), cache[0].value["args"]["%"].as_f64()), (2, Some(25.0)));
}

#[test]
fn the_parts_of_the_peak_sum_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_, events, _) = exported(&root().join("examples/llama-3.1-8b"), &folder.path().join("t.json"), &[]);
    let peak = events.iter().find(|event| event.name() == "peak").unwrap();
    let args = peak.value["args"].as_object().unwrap();
    let sum: i64 = args.iter().filter(|(key, _)| *key != "used_bytes").map(|(_, value)| value.as_i64().unwrap()).sum();
    assert_eq!(Some(sum), args["used_bytes"].as_i64());
    let stacked: Vec<&Event> = events.iter().filter(|event| event.name().starts_with("parts as at the peak")).collect();
    assert_eq!(stacked.len(), 2, "a beginning and an end");
    let (start, end) = (stacked[0].ns("ts"), stacked[1].ns("ts"));
    assert!((start..end).contains(&peak.ns("ts")));
}

#[test]
fn a_trace_of_the_same_run_stands_on_the_same_clock() {
    let Some(input) = shared("h200/trace-l1b-eager") else { return };
    let folder = tempfile::tempdir().unwrap();
    let trace = input.join("trace.json.gz");
    let output = folder.path().join("both.json.gz");
    let (about, merged, said) = exported(&input, &output, &["--trace", trace.to_str().unwrap()]);
    let (before, original) = events(&trace);
    assert_eq!(about, before, "what the trace says of itself stays");
    let (theirs, ours): (Vec<&Event>, Vec<&Event>) = {
        let (theirs, ours) = merged.split_at(original.len());
        (theirs.iter().collect(), ours.iter().collect())
    };
    assert!(theirs.iter().zip(&original).all(|(copy, event)| copy.text == event.text), "byte for byte");
    assert!(ours.iter().all(|event| event.is_ours()));
    let ours: Vec<Event> = merged.into_iter().skip(original.len()).collect();
    check(&ours);
    let ids = |event: &Event| [event.value["pid"].as_u64(), event.value["tid"].as_u64()];
    let used: BTreeSet<u64> = original.iter().flat_map(ids).flatten().collect();
    assert!(ours.iter().flat_map(ids).flatten().all(|id| !used.contains(&id)), "{said}");
    let recorded = samples(&input.join("gpu.csv"));
    assert_eq!(by_time(memory(&ours, base(&about))), by_time(recorded));
    // The profiler ran between the marks that the host set: the clocks are one.
    let marks: Vec<(String, i128)> = serde_json::from_slice(&read(&input.join("marks.json"))).unwrap();
    let mark = |name: &str| marks.iter().find(|mark| mark.0 == name).unwrap().1 - base(&about);
    let ready = ours.iter().find(|event| event.phase() == "X" && event.name() == "ready").unwrap();
    let ready = ready.ns("ts")..ready.ns("ts") + ready.ns("dur");
    let kernels: Vec<&Event> = original.iter().filter(|event| event.value["cat"] == "kernel").collect();
    assert!(!kernels.is_empty());
    for at in kernels.iter().map(|event| event.ns("ts")) {
        assert!((mark("engine_ready")..mark("bench_end")).contains(&at) && ready.contains(&at));
    }
}

#[test]
fn every_trace_keeps_its_events_when_the_clocks_are_set_by_hand() {
    let Some(traces) = shared("kineto") else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = root().join("examples/kv-cache-too-small");
    for name in ["a100-alexnet-cudasync", "cpu-only", "hta-sampled-rank0", "sglang-mi300-qwen3-8b-decode"] {
        let trace = traces.join(format!("{name}.json.gz"));
        let output = folder.path().join(format!("{name}.json"));
        let refused = export(&input, &output, &["--trace", trace.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(3), "{name}");
        let said = stderr(&refused);
        assert!(said.contains("not of one moment") && said.contains("--align start") && !output.exists(), "{said}");
        let (_, merged, said) = exported(&input, &output, &["--trace", trace.to_str().unwrap(), "--align", "start"]);
        let (_, original) = events(&trace);
        assert!(original.iter().zip(&merged).all(|(event, copy)| copy.text == event.text), "{name}");
        let first = original.iter().filter(|event| event.phase() != "M" && event.value.get("ts").is_some());
        let first = first.map(|event| event.ns("ts")).min().unwrap();
        let ours: Vec<Event> = merged.into_iter().skip(original.len()).collect();
        check(&ours);
        let memory = ours.iter().filter(|event| event.name() == "memory used").map(|event| event.ns("ts"));
        assert_eq!(memory.min(), Some(first), "{name}: both begin together");
        assert!(said.contains("placed by hand"), "{said}");
        let marked = |event: &&Event| event.name() == "process_name";
        assert!(ours.iter().filter(marked).all(|event| event.text.contains("placed by hand")), "tracks say it too");
    }
}

#[test]
fn a_local_clock_finds_its_zone_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("smi.csv");
    let rows: String = (0..20).map(|s| format!("2026/11/22 07:00:{s:02}.000, 0, {} MiB\n", 100 + s)).collect();
    fs::write(&csv, format!("timestamp, index, memory.used [MiB]\n{rows}")).unwrap();
    let trace = folder.path().join("trace.json");
    let event = |unix_s: i64| {
        format!(
            "{{\"baseTimeNanoseconds\": 0, \"traceEvents\": [{{\"ph\": \"X\", \"name\": \"k\", \"pid\": 1, \"tid\": 1, \
             \"ts\": {unix_s}000000.5, \"dur\": 10.0}}]}}"
        )
    };
    // 05:00:10 UTC on that day: the recorder stood in UTC+2.
    fs::write(&trace, event(1_795_323_610)).unwrap();
    let output = folder.path().join("both.json");
    let (_, merged, said) = exported(&csv, &output, &["--trace", trace.to_str().unwrap()]);
    assert!(said.contains("UTC+02:00"), "{said}");
    let memory: Vec<i128> = merged.iter().filter(|e| e.name() == "memory used").map(|e| e.ns("ts")).collect();
    assert_eq!((memory.len(), memory[0]), (20, 1_795_323_600_000_000_000));
    fs::write(&trace, event(1_795_323_610 + 400)).unwrap();
    let refused = export(&csv, &folder.path().join("none.json"), &["--trace", trace.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("unknown zone"), "{}", stderr(&refused));
    // Alone it needs no zone, and says that it has none.
    let (about, events, said) = exported(&csv, &folder.path().join("alone.json"), &[]);
    check(&events);
    assert!(about.get("baseTimeNanoseconds").is_none() && said.contains("local clock"), "{said}");
}

#[test]
fn a_timeline_in_any_form_gives_the_same_tracks() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = root().join("examples/llama-3.1-8b/gpu.csv");
    let (about, from_csv, _) = exported(&gpu, &folder.path().join("csv.json"), &[]);
    check(&from_csv);
    for form in ["jsonl", "parquet"] {
        let recording = folder.path().join(format!("run.{form}"));
        let made = vramscope(&["timeline", gpu.to_str().unwrap(), "-o", recording.to_str().unwrap()]);
        assert!(made.status.success(), "{}", stderr(&made));
        let (same, events, _) = exported(&recording, &folder.path().join(format!("{form}.trace.json")), &[]);
        assert_eq!(same, about, "{form}");
        let texts = |events: &[Event]| events.iter().map(|event| event.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&events), texts(&from_csv), "{form}");
    }
}

#[test]
fn a_profile_gives_the_ticks_that_it_keeps_and_says_what_it_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile.json");
    let made = vramscope(&["analyze", "examples/llama-3.1-8b", "-o", profile.to_str().unwrap()]);
    assert!(made.status.success(), "{}", stderr(&made));
    let (_, events, said) = exported(&profile, &folder.path().join("t.json"), &[]);
    check(&events);
    let document: Value = serde_json::from_slice(&fs::read(&profile).unwrap()).unwrap();
    let ticks = document["memory_timeline"]["timeline"].as_array().unwrap();
    let memory: Vec<&Event> = events.iter().filter(|event| event.name() == "memory used").collect();
    assert_eq!(memory.len(), ticks.len());
    for (tick, event) in ticks.iter().zip(memory) {
        assert_eq!(i128::from(tick["at_ns"].as_i64().unwrap()), event.ns("ts"));
        let bytes = event.value["args"]["GiB"].as_f64().unwrap() * 1_073_741_824.0;
        assert_eq!(tick["memory_bytes"].as_f64(), Some(bytes));
    }
    assert!(said.contains("994 ticks of 3479"), "{said}");
}

#[test]
fn requests_stand_in_lanes_on_the_recordings_clock() {
    let folder = tempfile::tempdir().unwrap();
    let input = root().join("examples/llama-3.1-8b");
    let first = samples(&input.join("gpu.csv"))[0].0;
    let rows = folder.path().join("requests.jsonl");
    let row = |n: i128| {
        let sent = first + 50_000_000_000 + n * 10_000_000;
        format!(
            "{{\"number\": {n}, \"sent_unix_ns\": {sent}, \"ttft_ms\": 5.5, \"e2e_ms\": 95.25, \"output_tokens\": 4}}\n"
        )
    };
    let unplaced = "{\"number\": 50, \"sent_ms\": 3.5}\n";
    fs::write(&rows, (0..50).map(row).collect::<String>() + unplaced).unwrap();
    let output = folder.path().join("t.json");
    let (_, events, said) = exported(&input, &output, &["--requests", rows.to_str().unwrap()]);
    check(&events);
    let requests: Vec<&Event> = events.iter().filter(|event| event.name().starts_with("request ")).collect();
    assert_eq!(requests.len(), 50);
    assert_eq!((requests[0].ns("ts"), requests[0].ns("dur")), (50_000_000_000, 95_250_000));
    let lanes: BTreeSet<u64> = requests.iter().map(|event| event.value["tid"].as_u64().unwrap()).collect();
    assert_eq!(lanes.len(), 10, "as many as run together");
    assert!(said.contains("1 requests are left out"), "{said}");
    let over = export(&input, &rows, &["--requests", rows.to_str().unwrap()]);
    assert_eq!(over.status.code(), Some(2), "nothing is written over what is read");
}

#[test]
fn secrets_and_controls_of_a_log_stay_out() {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(root().join("examples/llama-3.1-8b")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let log = folder.path().join("vllm.log");
    let text = fs::read_to_string(&log).unwrap();
    let secret = "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH";
    let hostile = format!(" </script>\u{1b}[2J\u{202e} {secret} {}\n", "long ".repeat(10_000));
    fs::write(&log, text.replace('\n', &hostile)).unwrap();
    let output = folder.path().join("t.json");
    let (_, events, _) = exported(folder.path(), &output, &[]);
    check(&events);
    let text = fs::read_to_string(&output).unwrap();
    assert!(!text.contains(secret) && !text.contains('\u{202e}'));
    let longest = events.iter().filter_map(|event| event.value["args"]["text"].as_str()).map(str::len).max();
    assert!(longest.is_some_and(|longest| longest < 1000), "{longest:?}");
}

#[test]
fn what_cannot_be_used_is_refused_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("t.json");
    let word = |words: &[&str]| vramscope(words).status.code();
    assert_eq!(word(&["export", "examples/llama-3.1-8b", "-o", "x.json"]), Some(2), "in which form?");
    assert_eq!(word(&["export", "examples/llama-3.1-8b", "--perfetto"]), Some(2), "where to?");
    let text = folder.path().join("text");
    fs::write(&text, "no recording\n").unwrap();
    assert_eq!(export(&text, &output, &[]).status.code(), Some(3));
    let input = root().join("examples/kv-cache-too-small");
    let no_trace = export(&input, &output, &["--trace", text.to_str().unwrap()]);
    assert_eq!(no_trace.status.code(), Some(3), "{}", stderr(&no_trace));
    assert!(!output.exists(), "nothing is left of it");
    let nowhere = export(&input, Path::new("/proc/none/t.json"), &[]);
    assert_eq!(nowhere.status.code(), Some(4), "{}", stderr(&nowhere));
}
