//! Times of `vramscope estimate`.

use serde_json::Value;

use crate::{stderr, stdout, vramscope};

const WORKLOAD: [&str; 5] = ["estimate", "--input-len", "1024", "--output-len", "256"];

fn ran(args: &[&str]) -> String {
    let ran = vramscope(&[&WORKLOAD, args].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    stdout(&ran)
}

#[test]
fn times_of_one_request_and_of_those_that_run_together_say_what_bounds_them() {
    let text = ran(&["--model", "Qwen/Qwen3-8B", "--gpu", "h200"]);
    for words in ["1 request ", "first token of all", "weight bandwidth, 6", "compute, 7", " requests\n"] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let text = ran(&["--model", "Qwen/Qwen3-8B", "--gpu", "l40s", "--enforce-eager", "--max-model-len", "4096"]);
    for words in ["at least", "nobody measured them", "without graphs the host starts each kernel"] {
        assert!(text.replace('\n', " ").contains(words), "{words:?} is not in {text}");
    }
}

#[test]
fn the_document_has_parts_that_add_up_and_an_open_end_where_the_host_decides() {
    let document = |args: &[&str]| -> Value {
        let text = ran(&[args, &["--format", "json", "--gpu", "h200"]].concat());
        serde_json::from_str(&text).unwrap()
    };
    let large = document(&["--model", "Qwen/Qwen3-8B", "--batch-size", "16"]);
    let batches = large["time"]["batches"].as_array().unwrap();
    assert_eq!(batches.iter().map(|batch| batch["requests"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 16]);
    for phase in batches.iter().flat_map(|batch| [&batch["prefill"], &batch["decode"]]) {
        let of = |name: &str| phase[name].as_f64().unwrap();
        let parts = ["weights", "kv", "compute", "launch", "communication", "host"];
        let sum: f64 = parts.iter().map(|part| of(&format!("{part}_seconds"))).sum();
        assert!((sum / of("seconds") - 1.0).abs() < 1e-9, "{phase}");
    }
    let small = document(&["--model", "meta-llama/Llama-3.2-1B"]);
    let latency = &small["time"]["batches"][0]["latency"];
    assert!(latency["low"].as_f64() < latency["value"].as_f64() && latency["high"].is_null(), "{latency}");
    let without = vramscope(&["estimate", "--model", "Qwen/Qwen3-8B", "--gpu", "h200", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&stdout(&without)).unwrap()["time"], Value::Null);
}

#[test]
fn what_is_not_predicted_is_said_with_its_reason() {
    let drafts = r#"--speculative-config={"method": "ngram", "num_speculative_tokens": 4}"#;
    let text = ran(&["--model", "Qwen/Qwen3-8B", "--gpu", "h200", "--", drafts]);
    assert!(text.contains("Time: not predicted: how many of a drafter's tokens are accepted"), "{text}");
    let text = ran(&["--model", "Qwen/Qwen3-8B", "--gpu-memory", "80GiB"]);
    assert!(text.contains("Time: not predicted: nobody knows here how fast this device"), "{text}");
}
