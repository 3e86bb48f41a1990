//! `vramscope fit` for SGLang: which settings serve requests on a device, each with its command line.

use serde_json::Value;
use snapbox::{assert_data_eq, file};
use vramscope_estimate::SgLangFitDocument;

use crate::{stderr, stdout, vramscope};

const MODEL: &str = "meta-llama/Llama-3.1-8B";

fn document(args: &[&str]) -> (Option<i32>, Value) {
    let ran = vramscope(&[&["fit", "--format", "json"], args].concat());
    let value: Value = serde_json::from_str(&stdout(&ran)).unwrap_or_else(|_| panic!("{}", stderr(&ran)));
    let read: SgLangFitDocument = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), value, "a field is not in the schema");
    (ran.status.code(), value)
}

#[test]
fn a_line_keeps_what_it_states_and_hides_what_is_secret() {
    let line = "sglang serve --model-path meta-llama/Llama-3.1-8B --port 9000 --api-key abcdefgh";
    let words: Vec<&str> = line.split(' ').collect();
    let asked = ["fit", "--gpu", "l4", "--sglang-version", "0.5.12", "--request-tokens", "8192", "--"];
    let ran = vramscope(&[&asked[..], &words].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    let text = stdout(&ran);
    assert!(!text.contains("abcdefgh"), "{text}");
    let tables = text.lines().filter(|line| !line.trim_start().starts_with("sglang serve"));
    assert!(tables.clone().all(|line| line.chars().count() <= 80), "{text}");
    assert_data_eq!(text, file!["data/fit-sglang-llama-8b.txt"]);
}

#[test]
fn every_kind_of_device() {
    let asked = ["--gpus", "all", "--engine-kind", "sglang", "--sglang-version", "0.5.12", "--request-tokens", "8192"];
    let ran = vramscope(&[&["fit", "--model", MODEL][..], &asked].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/fit-sglang-all.txt"]);
}

#[test]
fn every_answer_starts_by_its_own_line() {
    let line = ["--", "python3", "-m", "sglang.launch_server", "--model-path", MODEL, "--chunked-prefill-size", "4096"];
    let place = ["--gpu", "l40s", "--sglang-version", "0.5.12"];
    let (code, found) = document(&[&place[..], &["--request-tokens", "16K", "--requests", "8"], &line].concat());
    assert_eq!(code, Some(0));
    let mut compared = 0;
    for row in found["answers"].as_array().unwrap() {
        let Some(placed) = row["placed"].as_object() else { continue };
        let command = placed["command"].as_str().unwrap();
        assert!(command.contains("--chunked-prefill-size 4096"), "what is stated stays: {command}");
        let words: Vec<&str> = command.split(' ').collect();
        let ran = vramscope(&[&["estimate", "--format", "json"], &place[..], &["--"], &words].concat());
        assert_eq!(ran.status.code(), Some(0), "{command}: {}", stderr(&ran));
        let told: Value = serde_json::from_str(&stdout(&ran)).unwrap();
        for key in ["settings", "kv_pool_tokens", "kv_pool_bytes", "weights_bytes", "left_bytes"] {
            assert_eq!(told[key], placed[key], "{command}: {key}");
        }
        let held = placed["requests"].as_u64().unwrap() * placed["request_tokens"].as_u64().unwrap();
        assert!(told["kv_pool_tokens"]["value"].as_u64().unwrap() >= held, "{command}");
        compared += 1;
    }
    assert!(compared >= 6, "{found}");
}

#[test]
fn a_line_and_a_kind_with_a_model_say_the_same() {
    let (_, mut of_line) = document(&["--gpu", "l4", "--", "sglang", "serve", "--model-path", MODEL]);
    let (_, mut of_kind) = document(&["--gpu", "l4", "--engine-kind", "sglang", "--model", MODEL]);
    for document in [&mut of_line, &mut of_kind] {
        for row in document["answers"].as_array_mut().unwrap() {
            row["placed"].as_object_mut().map(|placed| placed.remove("command"));
        }
    }
    assert_eq!(of_line, of_kind);
}

#[test]
fn what_is_short_says_for_what() {
    let rows = |device: &[&str], tokens: &str, requests: &str, more: &[&str]| {
        let asked = ["fit", "--engine-kind", "sglang", "--model", MODEL, "--sglang-version", "0.5.12"];
        let wish = ["--request-tokens", tokens, "--requests", requests];
        let text = stdout(&vramscope(&[&asked, device, &wish, more].concat()));
        let of = |question: &str| {
            let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let from = words.find(&format!("{question} auto")).unwrap_or_else(|| panic!("{text}"));
            words.drain(..from);
            words.truncate(words.find("GiB short").map_or(words.len(), |at| at + 48));
            words
        };
        ["as asked", "longest context", "most requests"].map(of)
    };
    let [asked, _, most] = rows(&["--gpu", "l4"], "100K", "2", &[]);
    assert!(asked.contains("GiB short for 2 requests fewest"), "{asked}");
    assert!(most.contains("GiB short for 1 request as asked"), "{most}");
    let [_, longest, _] = rows(&["--gpu-memory", "1GiB"], "100K", "2", &[]);
    assert!(longest.contains("GiB short for 2 requests of 16 tokens"), "{longest}");
    let [asked, ..] = rows(&["--gpu", "h100"], "64", "5000", &[]);
    assert!(asked.contains("more requests than the release takes"), "{asked}");
    let [asked, ..] = rows(&["--gpu", "h100"], "8192", "1", &["--", "--max-total-tokens", "4096"]);
    assert!(asked.contains("held back by an argument"), "{asked}");
}

#[test]
fn without_a_way_the_exit_code_says_no() {
    let (code, found) = document(&["--gpu-memory", "1GiB", "--engine-kind", "sglang", "--model", MODEL]);
    assert_eq!(code, Some(8));
    for row in found["answers"].as_array().unwrap() {
        assert!(row["missing_bytes"].as_u64().unwrap() > 0 && row.get("placed").is_none(), "{row}");
    }
}

#[test]
fn wrong_arguments_say_what_is_expected() {
    let line = ["--", "sglang", "serve", "--model-path", MODEL, "--context-length", "4096"];
    for (args, code, word) in [
        (&["--engine-kind", "sglang", "--model", MODEL][..], 2, "--gpu"),
        (&["--engine-kind", "sglang", "--model", MODEL, "--gpu", "l4", "--max-model-len", "9"], 2, "vLLM"),
        (&["--model", MODEL, "--gpu", "l4", "--sglang-version", "0.5.12"], 2, "--engine-kind sglang"),
        (&["--engine-kind", "sglang", "--model", MODEL, "--gpu", "l4", "--llama-cpp-build", "b1"], 2, "llama.cpp"),
        (&[&["--gpu", "l4", "--request-tokens", "8192"], &line[..]].concat(), 3, "--context-length 4096"),
        (
            &["--engine-kind", "sglang", "--model", MODEL, "--gpu", "l4", "--request-tokens", "200000"],
            3,
            "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1",
        ),
        (&["--engine-kind", "sglang", "--model", MODEL, "--gpu", "l4", "--", "--tp", "3"], 3, "--tp-size = 3"),
    ] {
        let ran = vramscope(&[&["fit"], args].concat());
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(code), ""), "{args:?}: {}", stderr(&ran));
        assert!(stderr(&ran).contains(word), "{args:?}: {}", stderr(&ran));
    }
}

#[test]
fn a_page_is_made_of_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    for (name, device) in [("one", ["--gpu", "l40s"]), ("all", ["--gpus", "all"])] {
        let asked = ["fit", "--engine-kind", "sglang", "--model", MODEL, "--format", "json"];
        let ran = vramscope(&[&asked, &device[..]].concat());
        let document = folder.path().join(format!("{name}.json"));
        std::fs::write(&document, stdout(&ran)).unwrap();
        let page = folder.path().join(format!("{name}.html"));
        let ran = vramscope(&["report", document.to_str().unwrap(), "-o", page.to_str().unwrap()]);
        assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains("under SGLang") && page.contains("--model-path"), "{name}");
    }
}
