//! `vramscope explain`.

use serde_json::Value;

use crate::{root, stderr, stdout, vramscope};

const ONE: &str = "examples/noisy-neighbour";

#[test]
fn one_run_is_explained_from_the_card_to_a_request() {
    let output = vramscope(&["explain", ONE]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = stdout(&output);
    for word in ["card", "asked for", "weights", "= left for the KV cache", "requests of", "= start"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// Recordings beside the checkout, of two releases and of two settings: every ledger adds up, and the share that it names
/// gives the second run as much as the first had.
#[test]
fn ledgers_of_recorded_pairs_add_up() {
    let corpus = root().join("../shared/corpus");
    if !corpus.exists() {
        assert!(std::env::var_os("CI").is_none(), "the recordings must be there in CI");
        eprintln!("skipped: no recordings beside the checkout");
        return;
    }
    let pairs = [
        ("h200/l8b-default", "h200-033/l8b-default"),
        ("h200/q3moe-default", "h200-033/q3moe-default"),
        ("h200/l1b-eager", "h200-033/l1b-eager"),
        ("h200/l8b-default", "h200/l8b-eager-util50"),
        ("h200/l8b-default", "h200/l8b-kvfp8"),
        ("h200/l1b-eager", "h200/noisy-neighbour"),
        ("h200-033/l8b-default", "h200-033/serve-l8b"),
    ];
    for (before, after) in pairs {
        let [before, after] = [before, after].map(|run| corpus.join(run).to_string_lossy().into_owned());
        let output = vramscope(&["explain", &before, &after, "--format", "json"]);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{before} {after}");
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let (ledger, runs) = (&document["difference"], &document["runs"]);
        let sum = |key: &str| ledger["terms"].as_array().unwrap().iter().map(|t| t[key].as_i64().unwrap()).sum::<i64>();
        assert_eq!(Some(sum("size_bytes")), ledger["difference_bytes"].as_i64(), "{before} {after}");
        assert_eq!(Some(sum("tokens")), ledger["difference_tokens"].as_i64(), "{before} {after}");
        let amount = |run: usize, name: &str| {
            let amounts = runs[run]["amounts"].as_array().unwrap();
            amounts.iter().find(|a| a["name"] == name).and_then(|a| a["size_bytes"].as_f64()).unwrap()
        };
        let Some(share) = ledger["restore"].as_str().and_then(|words| words.rsplit(' ').next()?.parse::<f64>().ok())
        else {
            continue;
        };
        // What the second run asks for then, less all that it took off before.
        let restored = amount(1, "device_total") * share - amount(1, "requested") + amount(1, "kv_cache");
        let wanted = amount(0, "kv_cache");
        assert!((restored - wanted).abs() / wanted < 0.003, "{before} {after}: {restored} for {wanted}");
    }
}

/// What `estimate` says of the second run with the share that `explain` names, beside what it says of it as it was: the
/// difference is what the first run had more.
#[test]
fn the_share_that_it_names_restores_the_pool_by_prediction_too() {
    let corpus = root().join("../shared/corpus");
    if !corpus.exists() {
        assert!(std::env::var_os("CI").is_none(), "the recordings must be there in CI");
        eprintln!("skipped: no recordings beside the checkout");
        return;
    }
    let eager: &[&str] = &["--max-model-len", "8192", "--enforce-eager"];
    let pairs = [
        ("h200/l8b-default", "h200-033/l8b-default", "0.33.0", "0.92", &["--max-model-len", "16384"][..]),
        ("h200/l1b-eager", "h200-033/l1b-eager", "0.33.0", "0.92", eager),
        ("h200/l8b-default", "h200/l8b-eager-util50", "0.25.1", "0.5", eager),
    ];
    let document = |output: &std::process::Output| serde_json::from_str::<Value>(&stdout(output)).unwrap();
    for (before, after, release, share, options) in pairs {
        let path = |run: &str| corpus.join(run).to_string_lossy().into_owned();
        let explained = document(&vramscope(&["explain", &path(before), &path(after), "--format", "json"]));
        let named = explained["difference"]["restore"].as_str().and_then(|words| words.rsplit(' ').next());
        let lost = explained["difference"]["difference_bytes"].as_f64().unwrap();
        let config = path(&format!("{after}/config.json"));
        let pool = |share: &str| {
            let mut words = vec!["estimate", "--model", &config, "--gpu", "h200", "--vllm-version", release];
            words.extend(["--gpu-memory-utilization", share, "--format", "json"]);
            words.extend(options);
            document(&vramscope(&words))["budget"]["kv_cache_bytes"]["value"].as_f64().unwrap()
        };
        let (was, restored) = (pool(share), pool(named.unwrap()));
        let off = (restored - was + lost).abs() / (was - lost);
        assert!(off < 0.003, "{before} {after}: {was} and {restored}, {lost} were lost");
    }
}

/// Runs on one H200, each started again with the setting that `explain` had named (`docs/explain-on-h200.md`).
const RESTORED: &str = "crates/vramscope-compare/tests/data/restored-0.33.0";

fn difference(before: &str, after: &str) -> Value {
    let [before, after] = [before, after].map(|run| format!("{RESTORED}/{run}"));
    let output = vramscope(&["explain", &before, &after, "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{before} {after}: {}", stderr(&output));
    serde_json::from_str::<Value>(&stdout(&output)).unwrap()["difference"].clone()
}

fn term<'a>(difference: &'a Value, name: &str) -> &'a Value {
    difference["terms"].as_array().unwrap().iter().find(|term| term["name"] == name).unwrap()
}

#[test]
fn the_setting_that_it_names_restored_the_pool_on_a_gpu() {
    let pool = |run: &str| {
        let truth = std::fs::read(root().join(RESTORED).join(run).join("truth.json")).unwrap();
        serde_json::from_slice::<Value>(&truth).unwrap()["kv_tensor_bytes"].as_f64().unwrap()
    };
    for (before, after, restored) in [
        ("default", "batch32k", "batch32k-restored"),
        ("default", "lora", "lora-restored"),
        ("eager", "default", "eager-restored"),
        ("default", "neighbour-during", "neighbour-during-restored"),
    ] {
        let args = std::fs::read_to_string(root().join(RESTORED).join(restored).join("args.json")).unwrap();
        let named = difference(before, after)["restore"].as_str().unwrap().to_owned();
        let (flag, share) = named.rsplit_once(' ').unwrap();
        let asked: f64 = args.split_once(flag).and_then(|(_, rest)| rest.split('"').nth(2)).unwrap().parse().unwrap();
        // From the log alone the last digit may be another one.
        assert!((share.parse::<f64>().unwrap() - asked).abs() < 2e-4, "{after}: {named}, {asked} was tried");
        let off = (pool(restored) - pool(before)).abs() / pool(before);
        assert!(off < 0.003, "{after}: {off}");
    }
}

#[test]
fn a_share_that_the_engine_would_refuse_is_not_named() {
    let neighbour = difference("default", "neighbour-before-util88");
    let requested = term(&neighbour, "requested");
    assert_eq!(requested["restore"], Value::Null);
    assert!(requested["why"].as_str().unwrap().contains("at most --gpu-memory-utilization 0.9 "), "{requested}");
    assert!(neighbour["notes"].to_string().contains("were in use"), "{neighbour}");
}

#[test]
fn what_arrived_meanwhile_is_no_secret_and_words_are_those_of_the_engine() {
    let arrived = difference("default", "neighbour-during");
    assert!(term(&arrived, "beside_weights")["why"].as_str().unwrap().contains("another process"), "{arrived}");
    let graphs = term(&difference("eager", "default"), "graphs_estimated").clone();
    assert_eq!(graphs["restore"], "--enforce-eager");
    let adapters = difference("default", "lora");
    assert_eq!(term(&adapters, "weights")["restore"], "leaving --enable-lora out");
}

#[test]
fn a_run_that_failed_says_why_it_has_no_pool() {
    let output = vramscope(&["explain", &format!("{RESTORED}/neighbour-before")]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("free memory below utilization"), "{}", stderr(&output));
}

#[test]
fn what_is_more_is_not_brought_back_and_a_neighbour_of_the_recording_is_reckoned_with() {
    let explained = |before: &str, after: &str| {
        let output = vramscope(&["explain", before, after, "--format", "json"]);
        serde_json::from_str::<Value>(&stdout(&output)).unwrap()["difference"].clone()
    };
    let beside = explained("examples/llama-3.1-8b", "examples/noisy-neighbour");
    let requested = term(&beside, "requested");
    assert_eq!(requested["restore"], Value::Null, "20.51 GiB of the card are a neighbour's: {requested}");
    assert!(requested["why"].as_str().unwrap().contains("at most --gpu-memory-utilization 0.85 "), "{requested}");
    let more = |term: &Value| term["size_bytes"].as_i64() > Some(0) && term["restore"] != Value::Null;
    assert!(!beside["terms"].as_array().unwrap().iter().any(more), "{beside}");
    let failed = explained("examples/kv-cache-too-small", "examples/llama-3.1-8b");
    assert_eq!(failed["restore"], Value::Null, "the second run has more: {failed}");
    assert!(failed["notes"].to_string().contains("of the first run, the engine failed"), "{failed}");
}

/// The tokens and the bytes of one of two data-parallel engines go together.
#[test]
fn one_of_several_engines_is_explained() {
    let corpus = root().join("../shared/corpus");
    if !corpus.exists() {
        assert!(std::env::var_os("CI").is_none(), "the recordings must be there in CI");
        eprintln!("skipped: no recordings beside the checkout");
        return;
    }
    let run = corpus.join("h200-2gpu/dp2-serve-l1b").to_string_lossy().into_owned();
    let output = vramscope(&["explain", &run]);
    assert!(stdout(&output).contains("4104864 tokens, 501.08 requests"), "{}", stdout(&output));
}

#[test]
fn what_says_nothing_of_its_memory_is_refused() {
    let output = vramscope(&["explain", "README.md"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn a_log_of_another_engine_is_named_and_not_said_to_lack_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let logs = [
        ("llama.cpp", "load_tensors:        CUDA0 model buffer size =  2357.26 MiB\n"),
        ("SGLang", "[2026-04-27 02:36:04 TP0] Load weight begin. avail mem=77.57 GB\n"),
        ("TGI", "2026-01-02T03:04:21.922473Z ERROR text_generation_launcher: Method Warmup encountered an error.\n"),
    ];
    for (engine, log) in logs {
        let path = folder.path().join("engine.log");
        std::fs::write(&path, log).unwrap();
        let output = vramscope(&["explain", path.to_str().unwrap()]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(&format!("is of {engine}, and `explain` answers for vLLM")), "{said}");
    }
}
