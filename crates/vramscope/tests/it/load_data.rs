//! `vramscope load` with data sets and several models, against a server that knows what it was asked.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use standin_openai::{Script, Server};

use crate::{stderr, stdout, vramscope};

fn quick() -> Script {
    Script { ttft_ms: vec![1.0], gap_ms: vec![0.2], ..Script::default() }
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn load(server: &Server, dataset: &str, words: &[&str]) -> (Value, Option<i32>, String) {
    let url = server.url();
    let all = [&["load", &url, "--format", "json", "-q", "--seed", "3", "--dataset", dataset][..], words].concat();
    let output = vramscope(&all);
    (serde_json::from_str(&stdout(&output)).unwrap_or_default(), output.status.code(), stderr(&output))
}

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.00,40,4\n2023-11-16 18:17:03.10,20,2\n\
                     2023-11-16 18:17:03.40,30,3\n";

#[test]
fn a_trace_is_replayed_at_several_speeds() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "azure.csv", AZURE);
    let server = Server::start(quick()).unwrap();
    let dataset = format!("trace:{}", path.display());
    let (document, code, said) = load(&server, &dataset, &["--trace-speed", "2,4", "--warmup", "0"]);
    assert_eq!(code, Some(0), "{said}");
    let set = &document["workload"]["dataset"];
    assert_eq!((&set["kind"], &set["records"], &set["usable"]), (&"trace_azure".into(), &3.into(), &3.into()));
    assert_eq!((&set["order"], set["sha256"].as_str().unwrap().len()), (&"by_time".into(), 64));
    assert_eq!(document["workload"]["output_len"], "data");
    let levels = document["levels"].as_array().unwrap();
    for (level, speed) in levels.iter().zip([2.0, 4.0]) {
        assert_eq!((&level["asked"]["trace_speed"], &level["requests"]["completed"]), (&speed.into(), &3.into()));
        assert_eq!((&level["tokens"]["input"], &level["tokens"]["output"]), (&90.into(), &9.into()));
        assert!(level["duration_s"].as_f64().unwrap() >= 0.4 / speed, "{level}");
    }
    // A rate of one's own takes the lengths alone.
    let (document, code, said) = load(&server, &dataset, &["--rate", "100", "--num-prompts", "6", "--output-len", "5"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(document["levels"][0]["tokens"]["output"], 30);
    let table = vramscope(&["load", &server.url(), "-q", "--dataset", &dataset, "--warmup", "0"]);
    let text = stdout(&table);
    assert!(text.contains("azure.csv (3 of 3 records) -> as many tokens") && text.contains("trace x1"), "{text}");
}

#[test]
fn levels_of_conversations_go_on_where_the_last_one_ended() {
    let conversations: Vec<Value> = (0..9)
        .map(|number| {
            let said = |from: &str, text: String| json!({"from": from, "value": text});
            let (one, two) = (format!("question number {number}"), "answer ".repeat(4));
            json!({"conversations": [said("human", one), said("gpt", two), said("human", "and then?".into()), said("gpt", "x".repeat(20))]})
        })
        .chain([json!({"conversations": []})])
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "talks.json", &Value::Array(conversations).to_string());
    let server = Server::start(Script { bytes_per_token: Some(2.0), ..quick() }).unwrap();
    let dataset = format!("sharegpt:{}", path.display());
    let words = ["--concurrency", "1,2", "--num-prompts", "4", "--warmup", "2"];
    let (document, code, said) = load(&server, &dataset, &words);
    assert_eq!(code, Some(0), "{said}");
    let set = &document["workload"]["dataset"];
    assert_eq!((&set["usable"], &set["skipped"]["no human turn"]), (&9.into(), &1.into()));
    let bytes = set["bytes_per_token"].as_f64().unwrap();
    assert!((bytes - 2.0).abs() < 0.02 && set["bytes_per_token_counted"] == true, "{set}");
    assert_eq!((&set["order"], &document["workload"]["endpoint"]), (&"shuffled".into(), &"completions".into()));
    let records = |level: usize| document["levels"][level]["records"].clone();
    assert_eq!((&records(0)["first"], &records(1)["first"], &records(1)["used"]), (&0.into(), &4.into(), &4.into()));
    assert_eq!(document["levels"][0]["tokens"]["output"], 4 * 14);
    // Several turns are a chat without being told.
    let (document, code, said) =
        load(&server, &format!("{dataset},turns=2"), &["--num-prompts", "20", "--warmup", "0"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        (&document["workload"]["endpoint"], &document["workload"]["dataset"]["turns"]),
        (&"chat".into(), &2.into())
    );
    let level = &document["levels"][0];
    assert_eq!((&level["records"]["later_turns"], &level["records"]["repeated"]), (&10.into(), &1.into()));
    assert!(level["findings"].to_string().contains("data_repeated"), "{level}");
}

#[test]
fn a_mix_of_models_is_told_apart() {
    let server = Server::start(Script { adapters: vec!["lora-a".into()], ..quick() }).unwrap();
    let url = server.url();
    let words = [
        "load",
        &url,
        "--model",
        "standin=0.5,lora-a=0.5",
        "--num-prompts",
        "60",
        "--input-len",
        "4",
        "--output-len",
        "2",
        "-q",
    ];
    let text = stdout(&vramscope(&words));
    assert!(text.contains("standin=0.5,lora-a=0.5") && text.contains("lora-a  50.0 %"), "{text}");
    let known = server.truth().requests.iter().filter(|one| one.model == "lora-a").count();
    assert!((15..=45).contains(&known), "{known}");
}

#[test]
fn what_does_not_go_together_and_files_that_cannot_be_used_are_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "bad.jsonl", "{\"prompt\": \"a\"}\n{\"promt\": 1}\n");
    let azure = file(folder.path(), "azure.csv", AZURE);
    let (bad, azure) = (format!("jsonl:{}", path.display()), format!("trace:{}", azure.display()));
    let server = Server::start(quick()).unwrap();
    for (dataset, words, code, part) in [
        (bad.as_str(), &[][..], 3, "bad.jsonl:2: it has neither"),
        ("jsonl:/nowhere/x", &[], 3, "/nowhere/x"),
        ("tarce:x", &[], 2, "there is no data set `tarce`"),
        ("prefix:0.5,600", &[], 2, "prefix"),
        (&azure, &["--input-len", "4"], 2, "leave out --input-len"),
        (&azure, &["--sweep"], 2, "--sweep"),
        (&azure, &["--ramp-up", "1s"], 2, "ramp"),
        (&azure, &["--trace-speed", "0"], 2, "out of range"),
        ("random", &["--trace-speed", "2"], 2, "--trace-speed is of a trace"),
        ("random", &["--max-in-flight", "2"], 2, "give a --rate or a trace"),
        ("random", &["--model", "a=1,b=x"], 2, "lora-a=0.3"),
    ] {
        let (_, found, said) = load(&server, dataset, words);
        assert_eq!(found, Some(code), "{dataset} {words:?}: {said}");
        assert!(said.contains(part), "{dataset} {words:?}: {said}");
    }
    assert!(server.truth().requests.is_empty());
}

#[test]
fn no_result_is_written_over_what_is_read_or_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("d.jsonl"), folder.path().join("one.json"));
    std::fs::write(&data, "{\"prompt\": \"a\"}\n").unwrap();
    let (data, other) = (data.to_str().unwrap(), other.to_str().unwrap());
    let set = format!("jsonl:{data}");
    let url = "http://127.0.0.1:1";
    for words in [
        ["load", url, "--dataset", &set, "-o", data],
        ["load", url, "--dataset", &set, "--requests", data],
        ["load", url, "-o", other, "--requests", other],
    ] {
        let ran = crate::vramscope(&words);
        let said = crate::stderr(&ran);
        assert_eq!((ran.status.code(), said.contains("one file")), (Some(2), true), "{words:?}: {said}");
    }
    assert_eq!(std::fs::read_to_string(data).unwrap(), "{\"prompt\": \"a\"}\n");
}
