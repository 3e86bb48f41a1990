//! Loads against a server that knows what it did: every count, and times that are never before the truth.

use std::time::Duration;

use standin_openai::{Capacity, Done, Fail, How, Said, Script, Server, Truth, UsageAt};
use vramscope_load::{
    Arrival, Client, Counted, Endpoint, FailureKind, Lengths, LoadPlan, LoadReport, Scraper, Slo, Spacing, Until, run,
    run_until,
};

fn plan(concurrency: u64, requests: u64) -> LoadPlan {
    LoadPlan { arrival: Arrival::Concurrency(concurrency), ..LoadPlan::new("standin", 32, 12, requests) }
}

/// What a load reports, and the truth of its measured requests in the order of their answers' ids.
async fn go(script: Script, plan: &LoadPlan) -> (LoadReport, Truth) {
    let server = Server::start(script).unwrap();
    let report = run(&Client::new(&server.url(), None).unwrap(), plan, &mut |_| {}).await.unwrap();
    (report, server.truth())
}

/// Each completed request beside what the server knows of it: reported times lie at or after the truth, since a chunk
/// cannot come before it is written, and gaps of the truth are met to what the reading can be late.
fn compare(report: &LoadReport, truth: &Truth) -> usize {
    let mut compared = 0;
    for (record, tokens) in report.completed() {
        let number: usize = record.id.as_ref().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        let known = &truth.requests[number];
        assert_eq!((tokens.output, tokens.input), (known.output_tokens(), Some(known.input_tokens)));
        assert_eq!(record.chunks.len() % known.written_ns.len(), 0, "each write has as many chunks");
        // A request arrives after it is sent, so from sending it takes at least as long as from arrival.
        let ttft = u64::try_from(record.ttft().unwrap().as_nanos()).unwrap();
        let latency = u64::try_from(record.latency().as_nanos()).unwrap();
        // The clock of packets and the clock of writes are read one after the other.
        let slack = 50_000;
        assert!(ttft + slack >= known.ttft_ns().unwrap(), "{ttft} {:?}", known.ttft_ns());
        assert!(latency + slack >= known.latency_ns().unwrap(), "{latency} {:?}", known.latency_ns());
        compared += 1;
    }
    compared
}

#[tokio::test]
async fn every_request_is_as_the_server_knows_it() {
    let script = Script { ttft_ms: vec![4.0, 9.0, 2.0], gap_ms: vec![1.0, 3.0], ..Script::default() };
    let (report, truth) = go(script, &plan(16, 64)).await;
    assert_eq!(compare(&report, &truth), 64);
    assert_eq!(report.summary().counted.get(&Counted::Usage), Some(&64));
}

#[tokio::test]
async fn chunks_with_many_tokens_and_writes_with_many_chunks_are_told_apart_from_empty_ones() {
    let (empty_first, empty_last) = (true, true);
    for (tokens_per_chunk, chunks_per_write) in [(4, 1), (1, 4), (3, 2), (12, 1)] {
        let (ttft_ms, gap_ms) = (vec![6.0], vec![2.0]);
        let script = Script {
            tokens_per_chunk,
            chunks_per_write,
            empty_first,
            empty_last,
            ttft_ms,
            gap_ms,
            ..Script::default()
        };
        let (report, truth) = go(script, &plan(4, 12)).await;
        for record in &report.requests {
            assert_eq!(record.chunks.len() as u64, 12 / tokens_per_chunk, "{tokens_per_chunk} {chunks_per_write}");
            assert!(record.ttft().unwrap() >= Duration::from_millis(6), "an empty chunk is no token");
        }
        if chunks_per_write == 1 {
            assert_eq!(compare(&report, &truth), 12);
        }
    }
}

#[tokio::test]
async fn a_chat_is_timed_in_whichever_field_it_is_said() {
    for said in [Said::Content, Said::ReasoningContent, Said::Reasoning, Said::ToolCalls] {
        let script = Script { said, ttft_ms: vec![5.0], gap_ms: vec![1.0], ..Script::default() };
        let plan = LoadPlan { endpoint: Endpoint::Chat, ..plan(4, 8) };
        let (report, truth) = go(script, &plan).await;
        assert_eq!(compare(&report, &truth), 8, "{said:?}");
        assert!(report.requests.iter().all(|record| record.chunks.len() == 12), "the role is no token");
    }
}

#[tokio::test]
async fn without_usage_or_done_or_with_them_elsewhere_the_figures_are_the_same() {
    for usage in [UsageAt::None, UsageAt::WithLast, UsageAt::Each, UsageAt::Own] {
        for done in [Done::AtOnce, Done::LateMs(30.0), Done::Never] {
            let script = Script { usage, done, ttft_ms: vec![3.0], gap_ms: vec![1.0], ..Script::default() };
            let (report, truth) = go(script, &plan(4, 8)).await;
            let summary = report.summary();
            assert_eq!((summary.completed, summary.output_tokens, summary.chunks), (8, 96, 96), "{usage:?} {done:?}");
            let counted = if usage == UsageAt::None { Counted::Length } else { Counted::Usage };
            assert_eq!(summary.counted.get(&counted), Some(&8), "{usage:?} {done:?}");
            for (record, known) in report.requests.iter().zip(&truth.requests[1..]) {
                assert_eq!(record.chunks.len(), known.written_ns.len());
                let since = record.latency();
                assert!(done != Done::LateMs(30.0) || since < Duration::from_millis(30) + record.ttft().unwrap() * 3);
            }
        }
    }
}

#[tokio::test]
async fn failures_are_counted_as_they_were() {
    let fail = vec![Fail { every: 5, how: How::InStream }, Fail { every: 7, how: How::Status(429) }];
    let (report, truth) = go(Script { fail, ..Script::default() }, &plan(8, 64)).await;
    let summary = report.summary();
    // The probe is the server's first request, so that of the 65 it saw 13 fail in mid-stream and 8 more with 429.
    assert_eq!(summary.failures.get(&FailureKind::InStream), Some(&13));
    assert_eq!(summary.failures.get(&FailureKind::Status(429)), Some(&8));
    assert_eq!((summary.completed, summary.failed), (43, 21));
    assert_eq!(truth.requests.iter().filter(|request| request.whole).count(), 44);
    assert_eq!(compare(&report, &truth), 43);
}

#[tokio::test]
async fn a_stopped_load_keeps_every_answer_and_what_was_under_way() {
    let script = Script { ttft_ms: vec![1.0], gap_ms: vec![2.0, 2.0, 2.0, 60_000.0], ..Script::default() };
    let server = Server::start(script).unwrap();
    let client = Client::new(&server.url(), None).unwrap();
    // Some end before the long gap, which is behind the fourth token.
    let plan = LoadPlan { output_len: Lengths::Uniform { low: 3, high: 6 }, ..plan(8, 1000) };
    let stop = tokio::time::sleep(Duration::from_millis(300));
    let report = run_until(&client, &plan, stop, &mut |_| {}).await.unwrap();
    let summary = report.summary();
    assert!(report.stopped && summary.completed > 0 && summary.failed == 0, "{summary:?}");
    assert_eq!(summary.stopped, 8);
    assert_eq!(summary.completed + summary.stopped + summary.unsent, 1000);
    let under_way = report.requests.iter().filter(|record| record.outcome.is_err());
    assert!(under_way.clone().count() == 8 && under_way.into_iter().all(|record| record.chunks.len() == 4));
}

#[tokio::test]
async fn a_time_ends_the_sending_and_not_the_answers() {
    let script = Script { ttft_ms: vec![20.0], gap_ms: vec![1.0], ..Script::default() };
    let arrival = Arrival::Rate { per_s: 200.0, spacing: Spacing::Poisson, max_in_flight: Some(2) };
    let plan = LoadPlan { until: Until::Elapsed(Duration::from_millis(400)), arrival, ..plan(1, 1) };
    let (report, truth) = go(script, &plan).await;
    let summary = report.summary();
    assert_eq!((summary.failed, summary.unsent, compare(&report, &truth) as u64), (0, 0, summary.completed));
    assert!(summary.held > 0 && summary.max_concurrent_requests <= 2);
    let dues = plan.due().unwrap();
    assert_eq!(report.requests.len(), dues.len());
    for (record, due) in report.requests.iter().zip(dues) {
        assert_eq!(record.due, report.started + due);
        assert!(record.start >= record.due + record.held);
    }
    assert!(summary.e2el_from_due.unwrap().mean_ms > summary.e2el.unwrap().mean_ms);
}

#[tokio::test]
async fn the_seed_and_the_stream_name_the_load_and_streams_share_no_prompt() {
    let script = Script { prefix_cache: true, ..Script::default() };
    let server = Server::start(script).unwrap();
    let client = Client::new(&server.url(), None).unwrap();
    let mut hits = Vec::new();
    for stream in [0, 1, 2, 1] {
        let scraper = Scraper::start(&client).await;
        let report = run(&client, &LoadPlan { stream, ..plan(4, 20) }, &mut |_| {}).await.unwrap();
        hits.push(scraper.end(&report).await.unwrap().prefix_hit_tokens);
    }
    // Only what was sent before is found: all of the last load, 20 prompts of 32 tokens.
    assert_eq!(hits, [Some(0), Some(0), Some(0), Some(640)]);
}

#[tokio::test]
async fn a_ramp_lets_in_one_after_the_other() {
    let script = Script { ttft_ms: vec![5.0], gap_ms: vec![1.0], ..Script::default() };
    let plan = LoadPlan { ramp_up: Duration::from_millis(200), ..plan(10, 200) };
    let (report, _) = go(script, &plan).await;
    let early = report.started + Duration::from_millis(60);
    let in_flight = report.requests.iter().filter(|r| r.start <= early && r.end >= early).count();
    assert!(in_flight <= 4, "{in_flight} of at most 10 after 60 of 200 ms");
    assert!(report.summary().max_concurrent_requests > 4);
}

#[tokio::test]
async fn goodput_counts_what_keeps_the_bounds() {
    // Every other request is slow at first.
    let script = Script { ttft_ms: vec![1.0, 400.0], gap_ms: vec![0.1], ..Script::default() };
    let slo: Slo = "ttft=200ms".parse().unwrap();
    let (report, _) = go(script, &LoadPlan { slo, ..plan(10, 20) }).await;
    assert_eq!(report.summary().good, Some(10));
    assert!(report.serve_json()["request_goodput"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn the_capacity_of_a_server_shows_in_its_queue() {
    let capacity = Capacity { running: 4, prefill_ms_per_1000: 0.0, step_ms: 2.0, step_ms_per_other: 0.0 };
    let script = Script { capacity: Some(capacity), ..Script::default() };
    let server = Server::start(script).unwrap();
    let client = Client::new(&server.url(), None).unwrap();
    let scraper = Scraper::start(&client).await;
    let report = run(&client, &plan(16, 400), &mut |_| {}).await.unwrap();
    let side = scraper.end(&report).await.unwrap();
    assert_eq!(report.summary().failed, 0);
    // On a busy machine readings are few, and may miss the moments at which the queue is longest.
    assert_eq!(side.running_max, Some(4), "{side:?}");
    assert!(side.waiting_max.is_some_and(|waiting| (1..=12).contains(&waiting)), "{side:?}");
    assert_eq!(side.generation_tokens, Some(400 * 12 + 1), "the probe's token is one of them");
}
