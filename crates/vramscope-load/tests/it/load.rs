//! Loads that go well, and what ends them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use vramscope_load::{
    Arrival, Client, FailureKind, LoadEvent, LoadPlan, LoadReport, PromptForm, Prompts, Spacing, run,
};

use crate::server::{Server, Step, TOKEN, answer, completion, piece, stream_end, stream_head, usage};

async fn go(server: &Server, plan: &LoadPlan) -> LoadReport {
    run(&Client::new(&server.url, None).unwrap(), plan, &mut |_| {}).await.unwrap()
}

fn plan() -> LoadPlan {
    LoadPlan { arrival: Arrival::Concurrency(3), warmup_requests: 4, ..LoadPlan::new("m", 8, 5, 10) }
}

#[tokio::test]
async fn a_load_is_sent_as_planned_and_counted() {
    let server = Server::start(|asked, _| completion(asked)).await;
    let mut events = Vec::new();
    let client = Client::new(&server.url, None).unwrap();
    let report = run(&client, &plan(), &mut |event| events.push(event)).await.unwrap();
    let summary = report.summary();
    assert_eq!((summary.completed, summary.failed, report.unsent), (10, 0, 0));
    assert_eq!((summary.input_tokens, summary.output_tokens, summary.chunks), (80, 50, 50));
    assert_eq!((report.form, summary.other_output_len), (PromptForm::TokenIds, 0));
    assert_eq!((summary.ttft.unwrap().n, summary.tpot.unwrap().n, summary.itl.unwrap().n), (10, 10, 40));
    assert!(summary.max_concurrent_requests <= 3 && server.seen.lock().unwrap().most_at_once <= 3);
    for record in &report.requests {
        assert!(record.due <= record.start && record.chunks.is_sorted() && record.chunks.last() == Some(&record.end));
        assert!(report.started <= record.start && record.end <= report.ended);
    }
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 15, "a probe, four of warmup, ten measured");
    for body in &bodies[1..] {
        assert_eq!((body["max_tokens"].as_u64(), body["min_tokens"].as_u64()), (Some(5), Some(5)));
        assert_eq!((&body["ignore_eos"], &body["stream"]), (&Value::Bool(true), &Value::Bool(true)));
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["prompt"].as_array().unwrap().len(), 8);
    }
    let kinds = |measured| {
        events.iter().filter(move |e| matches!(e, LoadEvent::RequestDone { measured: m, .. } if *m == measured))
    };
    assert_eq!((kinds(false).count(), kinds(true).count()), (4, 10));
    assert!(matches!(events[0], LoadEvent::Probed { .. }) && matches!(events[1], LoadEvent::WarmupStarted { .. }));
    assert!(matches!(events[6], LoadEvent::MeasureStarted { requests: Some(10), .. }));
    assert!(matches!(events.last(), Some(LoadEvent::MeasureEnded { .. })));
}

#[tokio::test]
async fn the_same_seed_sends_the_same_requests_and_another_seed_others() {
    let mut sent = Vec::new();
    for seed in [1, 1, 2] {
        let server = Server::start(|asked, _| completion(asked)).await;
        let arrival = Arrival::Rate { per_s: 2000.0, spacing: Spacing::Poisson, max_in_flight: None };
        let report = go(&server, &LoadPlan { seed, arrival, ..plan() }).await;
        let mut bodies: Vec<String> = server.bodies().iter().map(Value::to_string).collect();
        bodies.sort_unstable();
        let due: Vec<Duration> =
            report.requests.iter().map(|record| record.due.saturating_sub(report.started)).collect();
        sent.push((bodies, due));
    }
    assert_eq!(sent[0], sent[1]);
    assert!(sent[0].0 != sent[2].0 && sent[0].1 != sent[2].1);
}

#[tokio::test]
async fn several_tokens_a_chunk_keep_alives_and_any_cut_give_the_same_counts() {
    let text = format!(": ping\r\n\r\n{TOKEN}{TOKEN}: ping\n\n{TOKEN}{}data: [DONE]\n\n", usage(8, 5));
    let server = Server::start(move |asked, number| {
        if number == 0 {
            return completion(asked);
        }
        let mut steps = vec![stream_head()];
        let size = number * 7;
        steps.extend(text.as_bytes().chunks(size).map(|part| piece(std::str::from_utf8(part).unwrap())));
        steps.push(stream_end());
        steps
    })
    .await;
    let report = go(&server, &LoadPlan { warmup_requests: 0, ..plan() }).await;
    let summary = report.summary();
    assert_eq!((summary.completed, summary.chunks, summary.output_tokens, summary.itl.unwrap().n), (10, 30, 50, 20));
}

#[tokio::test]
async fn a_server_that_refuses_ids_gets_words() {
    let server = Server::start(|asked, _| {
        if asked.body.contains("\"prompt\":[") {
            return answer(422, "application/json", r#"{"detail":"prompt must be a string"}"#);
        }
        completion(asked)
    })
    .await;
    let report = go(&server, &plan()).await;
    assert_eq!((report.form, report.summary().completed), (PromptForm::Text, 10));
    assert_eq!(report.serve_json()["vramscope"]["prompts"], "text");
    let words = server.bodies()[2]["prompt"].as_str().unwrap().split(' ').count();
    assert_eq!(words, 8);
}

#[tokio::test]
async fn a_text_that_is_given_is_every_prompt_and_the_server_counts_it() {
    let server = Server::start(|asked, _| completion(asked)).await;
    let prompts = Prompts::Text("Explain quantum computing".to_owned());
    let report = go(&server, &LoadPlan { prompts, input_len: 0.into(), ..plan() }).await;
    assert_eq!((report.form, report.summary().completed), (PromptForm::Given, 10));
    assert!(server.bodies().iter().all(|body| body["prompt"] == "Explain quantum computing"));
    let document = report.serve_json();
    assert_eq!(
        (&document["vramscope"]["prompts"], &document["vramscope"]["input_len"]),
        (&"given".into(), &Value::Null)
    );
}

#[tokio::test]
async fn when_the_server_goes_away_the_rest_is_not_sent_and_counted() {
    // The probe, then two whole answers; the fourth closes the port and breaks off.
    let server = Server::start(|asked, number| match number {
        0..3 => completion(asked),
        _ => vec![Step::Stop, stream_head(), piece(TOKEN), Step::Close],
    })
    .await;
    let plan = LoadPlan { arrival: Arrival::Concurrency(1), warmup_requests: 0, ..plan() };
    let report = go(&server, &plan).await;
    let summary = report.summary();
    assert_eq!((summary.completed, summary.failed + report.unsent), (2, 8));
    assert!(report.unsent > 0 && summary.failures.contains_key(&FailureKind::Cut), "{summary:?}");
}

#[tokio::test]
async fn dropping_the_load_closes_every_connection() {
    let mut server = Server::start(|asked, number| match number {
        0 => completion(asked),
        _ => vec![stream_head(), piece(TOKEN), Step::Hang],
    })
    .await;
    let client = Client::new(&server.url, None).unwrap();
    let load =
        tokio::spawn(
            async move { run(&client, &LoadPlan { warmup_requests: 0, ..plan() }, &mut |_| {}).await.map(drop) },
        );
    for _ in 0..3 {
        server.hanging.recv().await.unwrap();
    }
    load.abort();
    for _ in 0..3 {
        server.closed.recv().await.unwrap();
    }
    assert_eq!(server.bodies().len(), 4, "nothing is sent after it");
}

#[tokio::test]
async fn events_come_while_the_load_runs() {
    let seen = Arc::new(Mutex::new(0));
    let server = Server::start(|asked, _| completion(asked)).await;
    let client = Client::new(&server.url, None).unwrap();
    let count = seen.clone();
    let task = tokio::spawn(async move {
        let mut observe = |event| {
            if let LoadEvent::RequestDone { measured: true, done, .. } = event {
                *count.lock().unwrap() = done;
            }
        };
        run(&client, &plan(), &mut observe).await.map(drop)
    });
    task.await.unwrap().unwrap();
    assert_eq!(*seen.lock().unwrap(), 10);
}

#[tokio::test]
async fn the_file_has_the_names_and_units_of_vllm_bench_serve() {
    let server = Server::start(|asked, number| match number {
        5 => answer(500, "application/json", r#"{"error":{"message":"engine dead"}}"#),
        _ => completion(asked),
    })
    .await;
    let report = go(&server, &LoadPlan { warmup_requests: 0, ..plan() }).await;
    let mut text = Vec::new();
    report.write_serve_json(&mut text).unwrap();
    let ours: Value = serde_json::from_slice(&text).unwrap();
    // The keys of the file that vLLM 0.32.0 wrote with --save-result --save-detailed, but two: texts are not kept, and
    // rtfx is of audio.
    let names = include_str!("data/bench-serve-0.32.0.names");
    for name in names.lines().filter(|name| !matches!(*name, "generated_texts" | "rtfx")) {
        assert!(ours.get(name).is_some(), "{name} is missing");
    }
    assert_eq!(
        (ours["completed"].as_u64(), ours["failed"].as_u64(), ours["request_rate"].as_str()),
        (Some(9), Some(1), Some("inf"))
    );
    let of = |name: &str| ours[name].as_array().unwrap();
    for name in ["input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times", "queue_times", "errors"] {
        assert_eq!(of(name).len(), 10, "{name}");
    }
    // Arrays are in seconds, summaries in milliseconds, and both are of the same requests.
    let failed = of("errors").iter().position(|error| error != "").unwrap();
    let good = of("ttfts").iter().enumerate().filter(|(n, _)| *n != failed).map(|(_, s)| s.as_f64().unwrap());
    let mean_ms = good.sum::<f64>() / 9.0 * 1e3;
    assert!((ours["mean_ttft_ms"].as_f64().unwrap() - mean_ms).abs() < 1e-6 * mean_ms.max(1.0));
    assert!(of("errors")[failed].as_str().unwrap().contains("engine dead"));
    assert_eq!(ours["vramscope"]["failures"]["status_500"], 1);
    assert_eq!(of("output_lens")[failed], 0);
}
