//! Loads of data sets and of several models: what is sent is what the file says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use standin_openai::{Script, Server as Standin, Truth};
use vramscope_load::document::LevelDocument;
use vramscope_load::{
    Arrival, Client, DataPrompts, Dataset, DatasetSpec, Endpoint, LoadPlan, LoadReport, Prompts, Scraper, Until, run,
};

use crate::server::{Server, Step, completion, piece, stream_end, stream_head, usage};

fn set(spec: &str, text: &str, seed: u64) -> Prompts {
    let spec: DatasetSpec = spec.parse().unwrap();
    let set = Dataset::from_reader(&spec, "f", text.as_bytes()).unwrap().unwrap().arrange(None, seed).unwrap();
    Prompts::Data(DataPrompts { set: Arc::new(set), first: 0, own_output: true })
}

fn plan(prompts: Prompts, requests: u64) -> LoadPlan {
    LoadPlan { prompts, seed: 5, arrival: Arrival::Concurrency(2), ..LoadPlan::new("standin", 8, 5, requests) }
}

async fn standin(script: Script, plan: &LoadPlan) -> (LoadReport, LevelDocument, Truth) {
    let server = Standin::start(script).unwrap();
    let client = Client::new(&server.url(), None).unwrap();
    let scraper = Scraper::start(&client).await;
    let report = run(&client, plan, &mut |_| {}).await.unwrap();
    let document = LevelDocument::of(&report, 1, scraper.end(&report).await);
    (report, document, server.truth())
}

fn conversations(count: usize, turns: usize) -> String {
    let one = |number: usize| {
        let said = (0..turns).flat_map(|turn| {
            [
                json!({"from": "human", "value": format!("question {turn} of conversation {number}")}),
                json!({"from": "gpt", "value": "x".repeat(16 + 4 * number)}),
            ]
        });
        json!({"id": number.to_string(), "conversations": said.collect::<Vec<_>>()})
    };
    Value::Array((0..count).map(one).collect()).to_string()
}

#[tokio::test]
async fn prompts_of_a_file_are_sent_once_each_with_their_lengths_and_repeats_are_told() {
    let server = Server::start(|asked, _| completion(asked)).await;
    let client = Client::new(&server.url, None).unwrap();
    let text = conversations(6, 1);
    let plan = plan(set("sharegpt:f", &text, 5), 6);
    let report = run(&client, &plan, &mut |_| {}).await.unwrap();
    let mut sent: Vec<(String, u64)> = server.bodies()[1..]
        .iter()
        .map(|body| (body["prompt"].as_str().unwrap().to_owned(), body["max_tokens"].as_u64().unwrap()))
        .collect();
    let in_order = sent.clone();
    sent.sort();
    let expected: Vec<(String, u64)> =
        (0..6).map(|number| (format!("question 0 of conversation {number}"), 4 + number)).collect();
    assert_eq!(sent, expected);
    assert_ne!(in_order, expected, "they are shuffled");
    let document = LevelDocument::of(&report, 1, None);
    let records = document.records.unwrap();
    assert_eq!((records.first, records.used, records.repeated, records.later_turns), (0, 6, 0, 0));
    assert!(document.findings.iter().all(|finding| finding.code != "data_repeated"));

    // Two more than are left.
    let Prompts::Data(data) = &plan.prompts else { panic!("data") };
    let later = Prompts::Data(DataPrompts { first: 4, ..data.clone() });
    let report =
        run(&client, &LoadPlan { prompts: later, until: Until::Requests(4), ..plan }, &mut |_| {}).await.unwrap();
    let document = LevelDocument::of(&report, 1, None);
    let found = document.findings.iter().find(|finding| finding.code == "data_repeated").unwrap();
    assert!(found.message.starts_with("2 of 4 prompts") && found.message.contains("prefix cache"), "{}", found.message);
}

#[tokio::test]
async fn each_turn_goes_with_what_the_server_answered_before() {
    let server = Server::start(|asked, number| {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let say = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"answer {number} \"}}}}]}}\n\n");
        let output = body["max_tokens"].as_u64().unwrap();
        let mut steps = vec![stream_head()];
        steps.extend((0..output).map(|_| piece(&say)));
        steps.extend([piece(&usage(3, output)), piece("data: [DONE]\n\n"), stream_end()]);
        steps
    })
    .await;
    let client = Client::new(&server.url, None).unwrap();
    let plan = plan(set("sharegpt:f,turns=3", &conversations(2, 4), 5), 6);
    let refused = run(&client, &plan, &mut |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("expected chat"), "{refused}");
    // One at a time: of two, one may be done before the other, and a third begins.
    let arrival = Arrival::Concurrency(1);
    let plan = LoadPlan { endpoint: Endpoint::Chat, arrival, warmup_requests: 2, ..plan };
    let report = run(&client, &plan, &mut |_| {}).await.unwrap();
    assert_eq!(report.summary().completed, 6);
    let asked = server.seen.lock().unwrap().asked.clone();
    let mut turns: BTreeMap<String, Vec<Vec<(String, String)>>> = BTreeMap::new();
    for (number, one) in asked.iter().enumerate().skip(3) {
        let body: Value = serde_json::from_str(&one.body).unwrap();
        let messages: Vec<(String, String)> = body["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| {
                (message["role"].as_str().unwrap().to_owned(), message["content"].as_str().unwrap().to_owned())
            })
            .collect();
        let output = body["max_tokens"].as_u64().unwrap();
        let answered = format!("answer {number} ").repeat(usize::try_from(output).unwrap());
        let of_conversation = turns.entry(messages[0].1.clone()).or_default();
        // All that was said before, word for word.
        if let Some(before) = of_conversation.last() {
            assert_eq!(messages[..before.len()], before[..]);
        }
        let mut heard = messages.clone();
        heard.push(("assistant".into(), answered));
        of_conversation.push(heard);
    }
    let lengths: Vec<usize> = turns.values().map(Vec::len).collect();
    assert_eq!(lengths, [3, 3], "three turns of four");
    assert!(turns.values().all(|turns| turns[2].iter().map(|(role, _)| role.as_str()).collect::<Vec<_>>()
        == ["user", "assistant", "user", "assistant", "user", "assistant"]));
    let records = LevelDocument::of(&report, 1, None).records.unwrap();
    assert_eq!((records.used, records.repeated, records.later_turns), (2, 0, 4));
}

#[tokio::test]
async fn a_conversation_whose_turn_failed_ends_and_others_go_on() {
    let server = Server::start(|asked, number| {
        let mut steps = completion(asked);
        if number == 1 {
            steps = vec![stream_head(), Step::Close];
        }
        steps
    })
    .await;
    let client = Client::new(&server.url, None).unwrap();
    let plan = LoadPlan {
        endpoint: Endpoint::Chat,
        arrival: Arrival::Concurrency(1),
        ..plan(set("sharegpt:f,turns=2", &conversations(3, 2), 5), 5)
    };
    let report = run(&client, &plan, &mut |_| {}).await.unwrap();
    let turns: Vec<u32> = report.requests.iter().map(|one| one.asked.of.turn).collect();
    assert_eq!(turns, [0, 0, 1, 0, 1]);
    assert_eq!((report.summary().failed, report.unsent), (1, 0));
}

#[tokio::test]
async fn lines_of_json_are_sent_as_they_are() {
    let server = Server::start(|asked, _| completion(asked)).await;
    let client = Client::new(&server.url, None).unwrap();
    let text = "{\"prompt\": [3, 1, 2], \"output_tokens\": 2}\n{\"prompt\": \"some text\"}\n";
    let report = run(&client, &plan(set("jsonl:f", text, 5), 2), &mut |_| {}).await.unwrap();
    assert_eq!(report.summary().output_tokens, 7, "what has no length gets the plan's");
    let mut sent: Vec<String> = server.bodies()[1..].iter().map(|body| body["prompt"].to_string()).collect();
    sent.sort();
    assert_eq!(sent, ["\"some text\"", "[3,1,2]"]);
    let chat = "{\"messages\": [{\"role\": \"system\", \"content\": \"s\", \"name\": \"n\"}, {\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]}";
    let chat_plan = LoadPlan { endpoint: Endpoint::Chat, ..plan(set("jsonl:f", chat, 5), 1) };
    run(&client, &chat_plan, &mut |_| {}).await.unwrap();
    let asked = server.seen.lock().unwrap().asked.clone();
    let body: Value = serde_json::from_str(&asked.last().unwrap().body).unwrap();
    assert_eq!(body["messages"], serde_json::from_str::<Value>(chat).unwrap()["messages"]);
    let wrong = LoadPlan { endpoint: Endpoint::Chat, ..plan(set("jsonl:f", text, 5), 1) };
    assert!(run(&client, &wrong, &mut |_| {}).await.unwrap_err().to_string().contains("token ids"));
}

fn mooncake(rows: &[(u64, u64, u64, &[u32])]) -> String {
    rows.iter()
        .map(|(at, input, output, ids)| {
            json!({"timestamp": at, "input_length": input, "output_length": output, "hash_ids": ids}).to_string() + "\n"
        })
        .collect()
}

#[tokio::test]
async fn a_trace_is_sent_at_its_times_with_its_lengths_and_equal_blocks_are_equal() {
    let text =
        mooncake(&[(1000, 1100, 2, &[7, 8, 9]), (1200, 1024, 3, &[7, 8]), (1500, 600, 1, &[7, 11]), (1600, 5, 4, &[])]);
    let arrival = Arrival::Trace { speed: 2.0, max_in_flight: None };
    let plan = LoadPlan { arrival, ..plan(set("trace:f", &text, 5), 4) };
    let script = Script { prefix_cache: true, ..Script::default() };
    let (report, document, truth) = standin(script, &plan).await;
    let due: Vec<u128> = report.requests.iter().map(|one| (one.due - report.started).as_millis()).collect();
    assert_eq!(due, [0, 100, 250, 300]);
    let sent = &truth.requests[1..];
    assert_eq!(sent.iter().map(|one| one.input_tokens).collect::<Vec<_>>(), [1100, 1024, 600, 5]);
    assert_eq!(sent.iter().map(|one| one.tokens.len()).collect::<Vec<_>>(), [2, 3, 1, 4]);
    // From the first one's arrival, which a busy machine may see late.
    let late = (report.requests[0].start - report.requests[0].due).as_millis() + 60;
    for (one, due) in sent.iter().zip(due) {
        let at = Duration::from_nanos(one.arrived_ns - sent[0].arrived_ns).as_millis();
        assert!(at + late >= due, "{at} {due}");
    }
    assert_eq!(document.asked.trace_speed, Some(2.0));
    // Whole blocks that came before: two of the second request, one of the third.
    let shared = document.shared.unwrap();
    assert_eq!((shared.requests, shared.tokens), (2, 1536));
    // The request that tries the server out asks for one token more than all of these.
    let found = shared.found.unwrap();
    assert!((found - 1536.0 / 2730.0).abs() < 1e-9, "{found}");
    let cut = LoadPlan { until: Until::Elapsed(Duration::from_millis(120)), ..plan };
    assert_eq!(cut.due().unwrap().len(), 2);
}

#[tokio::test]
async fn another_stream_of_a_trace_shares_nothing_with_it() {
    let text = mooncake(&[(0, 512, 1, &[1]), (0, 512, 1, &[1])]);
    let arrival = Arrival::Trace { speed: 1.0, max_in_flight: Some(1) };
    let plan = LoadPlan { arrival, ..plan(set("trace:f", &text, 5), 2) };
    let server = Server::start(|asked, _| completion(asked)).await;
    let client = Client::new(&server.url, None).unwrap();
    for stream in [0, 1] {
        run(&client, &LoadPlan { stream, ..plan.clone() }, &mut |_| {}).await.unwrap();
    }
    let bodies = server.bodies();
    let prompts: Vec<&Value> =
        bodies.iter().map(|body| &body["prompt"]).filter(|ids| ids.as_array().unwrap().len() == 512).collect();
    assert_eq!(prompts.len(), 4);
    assert!(prompts[0] == prompts[1] && prompts[2] == prompts[3] && prompts[0][0] != prompts[2][0]);
}

#[tokio::test]
async fn a_common_prefix_is_what_the_server_finds() {
    let prompts = Prompts::Prefix { share: 0.75, len: 64 };
    let plan = LoadPlan { input_len: 96.into(), warmup_requests: 200, ..plan(prompts, 400) };
    let script = Script { prefix_cache: true, ..Script::default() };
    let (report, document, _) = standin(script.clone(), &plan).await;
    let shared = document.shared.unwrap();
    assert!((260..=340).contains(&shared.requests), "{}", shared.requests);
    assert_eq!(shared.tokens, shared.requests * 64);
    assert!((shared.share - shared.found.unwrap()).abs() < 0.05, "{shared:?}");
    assert_eq!(report.requests.iter().filter(|one| one.asked.of.prefix == 64).count() as u64, shared.requests);
    assert!(document.findings.iter().any(|finding| finding.code == "shared_prefixes"));
    let none = LoadPlan { prompts: Prompts::Prefix { share: 0.0, len: 64 }, ..plan.clone() };
    assert_eq!(standin(script, &none).await.1.shared.unwrap().found, Some(0.0));
    let longer = LoadPlan { prompts: Prompts::Prefix { share: 0.5, len: 97 }, ..plan };
    assert!(longer.check().unwrap_err().to_string().contains("prefix"));
}

#[tokio::test]
async fn models_of_a_mix_get_their_parts_and_figures_of_their_own() {
    let script = Script { adapters: vec!["a".into(), "b".into()], ..Script::default() };
    let plan = LoadPlan { mix: "standin=5,a=3,b=2".parse().unwrap(), ..plan(Prompts::Random, 300) };
    let (_, document, truth) = standin(script, &plan).await;
    for (model, expected) in document.models.iter().zip([150u64, 90, 60]) {
        // The request that tries the model out is one more.
        let known = truth.requests.iter().filter(|one| one.model == model.model).count() as u64 - 1;
        assert_eq!((model.sent, model.completed, model.failed, model.output_tokens), (known, known, 0, known * 5));
        assert!(known.abs_diff(expected) < 40, "{} {known}", model.model);
        assert_eq!(model.e2e.unwrap().n, known);
    }
    assert_eq!(document.models.iter().map(|model| model.sent).sum::<u64>(), 300);
    let server = Standin::start(Script::default()).unwrap();
    let client = Client::new(&server.url(), None).unwrap();
    let error = run(&client, &plan, &mut |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("`a` does not exist"), "{error}");
}

#[tokio::test]
async fn a_server_that_counts_tokens_is_asked() {
    let counts = Standin::start(Script { bytes_per_token: Some(2.5), ..Script::default() }).unwrap();
    let client = Client::new(&counts.url(), None).unwrap();
    assert_eq!(client.count_tokens("standin", &"x".repeat(100)).await.unwrap(), Some(40));
    let plain = Standin::start(Script::default()).unwrap();
    let client = Client::new(&plain.url(), None).unwrap();
    assert_eq!(client.count_tokens("standin", "x").await.unwrap(), None);
}

#[tokio::test]
async fn the_words_of_a_chat_are_as_many_as_have_the_tokens_that_are_asked() {
    let server = Standin::start(Script { bytes_per_token: Some(2.3), ..Script::default() }).unwrap();
    let client = Client::new(&server.url(), None).unwrap();
    let mut plan =
        LoadPlan { endpoint: Endpoint::Chat, input_len: "50..900".parse().unwrap(), ..plan(Prompts::Random, 40) };
    let words = client.word_tokens(&plan).await.unwrap().unwrap();
    assert!((words.per_word - 5.0 / 2.3).abs() < 0.01 && words.template == 11, "{words:?}");
    plan.words = words;
    let report = run(&client, &plan, &mut |_| {}).await.unwrap();
    for (record, tokens) in report.completed() {
        let (asked, counted) = (record.asked.input.unwrap(), tokens.input.unwrap());
        assert!(asked.abs_diff(counted) <= 3, "{asked} {counted}");
    }
    let plain = Standin::start(Script::default()).unwrap();
    assert_eq!(Client::new(&plain.url(), None).unwrap().word_tokens(&plan).await.unwrap(), None);
}
