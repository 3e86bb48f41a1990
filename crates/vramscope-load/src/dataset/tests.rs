use proptest::prelude::*;

use super::*;

fn read(spec: &str, text: &str) -> Result<Dataset, DatasetError> {
    let spec: DatasetSpec = spec.parse().unwrap();
    Dataset::from_reader(&spec, "f", text.as_bytes()).map(Option::unwrap)
}

fn problem(spec: &str, text: &str) -> String {
    let error = read(spec, text).map(|set| set.arrange(None, 0)).map_or_else(|e| e, |set| set.unwrap_err());
    error.to_string()
}

fn lengths(set: &Dataset) -> Vec<(u64, Option<u64>)> {
    let of = |number| match set.record(set.place(number)).unwrap() {
        (Record::Row { input, .. }, output) => (input, output),
        (Record::Given(prompt), output) => (prompt.bytes() as u64, output),
        (Record::Talk(talk), output) => (talk.turns[0].text.len() as u64, output),
    };
    (0..set.len() as u64).map(of).collect()
}

const MOONCAKE: &str = r#"{"timestamp": 27482, "input_length": 1030, "output_length": 52, "hash_ids": [46, 47, 48]}
{"timestamp": 30535, "input_length": 520, "output_length": 26, "hash_ids": [46, 49]}

{"timestamp": 30535, "input_length": 7, "output_length": 0, "hash_ids": [50]}
"#;
const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,374,44\r\n\
                     2023-11-16 18:17:04.0319600,396,109\r\n";
const BURST: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                     5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,0,1087,API log\n118,GPT-4,417,276,693,API log\n";

#[test]
fn each_layout_of_a_trace_is_known_by_its_names_and_begins_with_its_first_request() {
    let ms = |set: &Dataset| set.times(0).map(|at| at.as_micros()).collect::<Vec<_>>();
    let set = read("trace:f", MOONCAKE).unwrap();
    assert_eq!((set.kind(), set.records_read(), set.len()), (DatasetKind::Mooncake, 3, 2));
    assert_eq!((lengths(&set), ms(&set)), (vec![(1030, Some(52)), (520, Some(26))], vec![0, 3_053_000]));
    let Some((Record::Row { ids, .. }, _)) = set.record(1) else { panic!("a row") };
    assert_eq!(ids, [46, 49]);
    let set = read("trace:f", AZURE).unwrap();
    assert_eq!((set.kind(), lengths(&set)), (DatasetKind::Azure, vec![(374, Some(44)), (396, Some(109))]));
    assert_eq!(ms(&set), [0, 52_000]);
    let later = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,1,2\n2024-05-10 00:00:01.009930+00:00,1,2";
    assert_eq!(ms(&read("trace:f", later).unwrap()), [0, 1_000_000]);
    let set = read("trace:f", BURST).unwrap();
    assert_eq!((set.kind(), lengths(&set)), (DatasetKind::BurstGpt, vec![(472, Some(18)), (417, Some(276))]));
    assert_eq!(ms(&set), [0, 113_000_000]);
    assert_eq!(set.skipped().collect::<Vec<_>>(), [("failed when it was recorded", 1)]);
}

#[test]
fn the_hash_is_of_the_whole_file_whatever_was_kept_of_it() {
    let spec = DatasetSpec::Trace { path: "f".into() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    std::fs::write(&path, AZURE).unwrap();
    let all = Dataset::read(&DatasetSpec::Trace { path: path.clone() }, None).unwrap().unwrap();
    let one = Dataset::read(&DatasetSpec::Trace { path }, Some(1)).unwrap().unwrap();
    assert_eq!((all.len(), one.len(), one.records_read(), all.sha256()), (2, 1, 2, one.sha256()));
    // The hash of three bytes that the standard publishes.
    let abc = Input::new("f".into(), &b"abc"[..]).end().unwrap();
    assert_eq!(abc.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(Dataset::from_reader(&spec, "f", &b""[..]).is_err());
}

#[test]
fn what_is_wrong_is_told_with_file_and_line_and_what_was_expected() {
    for (spec, text, parts) in [
        ("trace:f", "", &["f: it is empty", "BurstGPT"][..]),
        ("trace:f", "a,b\n1,2\n", &["f:1: its columns", "ContextTokens"]),
        ("trace:f", "{\"timestamp\": 1}\n", &["f:1: missing field `input_length`", "Mooncake"]),
        (
            "trace:f",
            "{\"timestamp\":1,\"input_length\":1,\"output_length\":1}\n{\"timestamp\":-1,\"input_length\":1,\"output_length\":1}",
            &["f:2: its timestamp"],
        ),
        (
            "trace:f",
            "{\"timestamp\":1,\"input_length\":1,\"output_length\":1,\"hash_ids\":[9999999999]}",
            &["above 2^32"],
        ),
        (
            "trace:f",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,x,4\n",
            &["f:2: its number of prompt tokens"],
        ),
        ("trace:f", "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,3,4\n", &["f:2: its time", "2023"]),
        (
            "trace:f",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,3\n",
            &["f:2: its number of generated"],
        ),
        ("trace:f", "Timestamp,Request tokens,Response tokens\n5,1,1\n4,1,1\n", &["f:3: its time is before"]),
        ("jsonl:f", "{\"prompt\": \"a\"}\n{\"promt\": \"a\"}\n", &["f:2: it has neither", "\"messages\""]),
        ("jsonl:f", "\n{\"prompt\": 7}", &["f:2: ", "a text or a list of token ids"]),
        ("jsonl:f", "{\"prompt\": \"a\", \"messages\": []}", &["f:1: it has both"]),
        ("jsonl:f", "{\"messages\": [{\"content\": \"x\"}]}", &["f:1: ", "role"]),
        ("jsonl:f", "{\"prompt\": \"a\", \"max_tokens\": 0}", &["f:1: its output length"]),
        ("jsonl:f", "{\"prompt\": \"\"}", &["f:1: its prompt is empty"]),
        ("jsonl:f", "[1]", &["f:1: "]),
        ("jsonl:f", "", &["f: none of its 0 records"]),
        ("sharegpt:f", "{}", &["f: it is no JSON list"]),
        ("sharegpt:f", "[\n{\"conversations\": 3}]", &["f:2: ", "expected conversations"]),
        ("sharegpt:f", "[{\"conversations\": []}]", &["none of its 1 records", "1 with no human turn"]),
        ("sharegpt:f", "[", &["f:1: EOF"]),
    ] {
        let said = problem(spec, text);
        for part in parts {
            assert!(said.contains(part), "{spec} {text}: {said}");
        }
    }
}

/// A conversation whose texts are as long as these.
fn talk(lengths: &[usize]) -> serde_json::Value {
    let said = lengths.iter().enumerate().map(|(at, len)| {
        let from = if at % 2 == 0 { "human" } else { "gpt" };
        serde_json::json!({"from": from, "value": "x".repeat(*len)})
    });
    serde_json::json!({"id": "i", "conversations": said.collect::<Vec<_>>()})
}

#[test]
fn conversations_are_pruned_by_the_tokens_that_a_server_counts() {
    let all = [
        talk(&[40, 80]),
        talk(&[15, 80]),
        talk(&[4101, 80]),
        talk(&[4000, 4200]),
        talk(&[40]),
        talk(&[400, 400, 8, 9]),
    ];
    let text = serde_json::Value::Array(all.to_vec()).to_string();
    let set = read("sharegpt:f", &text).unwrap();
    assert!(!set.sample().is_empty());
    let four = set.clone().arrange(None, 1).unwrap();
    assert_eq!(four.bytes_per_token(), Some((4.0, false)));
    let mut kept = lengths(&four);
    kept.sort_unstable();
    // 15 bytes are four tokens when they are rounded.
    assert_eq!(kept, [(15, Some(20)), (40, Some(20)), (400, Some(100))]);
    let skipped: Vec<u64> = four.skipped().map(|(_, count)| count).collect();
    assert_eq!((four.records_read(), skipped.iter().sum::<u64>()), (6, 3));
    let one = set.arrange(Some(1.0), 1).unwrap();
    let mut kept = lengths(&one);
    kept.sort_unstable();
    assert_eq!(
        (kept, one.bytes_per_token()),
        (vec![(15, Some(80)), (40, Some(80)), (400, Some(400))], Some((1.0, true)))
    );
    let turns = read("sharegpt:f,turns=5", &text).unwrap().arrange(None, 1).unwrap();
    let all = (0..3).map(|number| match turns.record(turns.place(number)) {
        Some((Record::Talk(talk), _)) => talk.turns.len(),
        _ => 0,
    });
    assert_eq!(all.sum::<usize>(), 4, "one conversation has two turns");
}

#[test]
fn half_a_surrogate_pair_does_not_end_the_reading() {
    let text = r#"[{"conversations":[{"from":"human","value":"0123456789 \ud83d cut"},{"from":"gpt","value":"0123456789abcdef"}]}]"#;
    assert_eq!(read("sharegpt:f", text).unwrap().arrange(None, 0).unwrap().len(), 1);
}

#[test]
fn a_speaker_who_is_nobody_known_ends_a_conversation() {
    let text = r#"[{"conversations":[{"from":"system","value":"s"},{"from":"user","value":"0123456789abcdef"},
                    {"from":"assistant","value":"0123456789abcdef"},{"from":"tool","value":"x"},{"from":"gpt","value":"y"}]}]"#;
    let set = read("sharegpt:f,turns=9", text).unwrap().arrange(None, 0).unwrap();
    assert_eq!(lengths(&set), [(16, Some(4))]);
}

proptest! {
    #[test]
    fn the_order_is_one_of_all_records_and_the_seeds_own(seed: u64, count in 2usize..60) {
        let text: String = (1..=count).map(|at| format!("{{\"prompt\":\"{}\",\"output_tokens\":{at}}}\n", "x".repeat(at))).collect();
        let set = read("jsonl:f", &text).unwrap().arrange(None, seed).unwrap();
        let mut all = lengths(&set);
        prop_assert_eq!(&all, &lengths(&read("jsonl:f", &text).unwrap().arrange(None, seed).unwrap()));
        // The record after the last is the first again.
        prop_assert_eq!(set.place(count as u64), set.place(0));
        all.sort_unstable();
        prop_assert!(all.iter().zip(1..).all(|(one, at)| *one == (at, Some(at))) && all.len() == count);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0usize..3) {
        let spec = ["trace:f", "jsonl:f", "sharegpt:f"][kind].parse().unwrap();
        let _ = Dataset::from_reader(&spec, "f", &bytes[..]);
    }
}

#[test]
fn a_million_rows_take_less_than_a_hundred_megabytes() {
    struct Rows(u32, Vec<u8>);
    impl Read for Rows {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            use std::io::Write as _;
            while self.1.len() < into.len() && self.0 < 1_000_000 {
                let at = self.0;
                let _ = writeln!(
                    self.1,
                    "{{\"timestamp\": {at}, \"input_length\": 3000, \"output_length\": 9, \"hash_ids\": [1, 2, {at}, {at}, 5, 6]}}"
                );
                self.0 += 1;
            }
            let most = into.len().min(self.1.len());
            into[..most].copy_from_slice(&self.1[..most]);
            self.1.drain(..most);
            Ok(most)
        }
    }
    let spec = DatasetSpec::Trace { path: "f".into() };
    let mut set = None;
    let cost = allocation_counter::measure(|| set = Dataset::from_reader(&spec, "f", Rows(0, Vec::new())).unwrap());
    assert_eq!(set.unwrap().len(), 1_000_000);
    assert!(cost.bytes_max < 100_000_000, "{} bytes at once", cost.bytes_max);
}

#[test]
fn a_record_without_end_is_refused_and_not_kept() {
    let long = "x".repeat(17 << 20);
    for (spec, text) in [
        ("jsonl:f", format!("{{\"prompt\": \"{long}\"}}")),
        ("sharegpt:f", format!("[{{\"conversations\": [{{\"from\": \"human\", \"value\": \"{long}\"}}]}}]")),
        ("trace:f", format!("TIMESTAMP,ContextTokens,GeneratedTokens\n\"{long}\",1,2\n")),
    ] {
        assert!(problem(spec, &text).contains("longer than 16 MiB"), "{spec}");
    }
}
