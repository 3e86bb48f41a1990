//! Each way in which a request fails is counted as itself.

use std::time::Duration;

use vramscope_load::{Client, FailureKind, LoadError, LoadPlan, run};

use crate::server::{Server, Step, TOKEN, answer, completion, piece, stream_end, stream_head, usage};

/// What one request of a load ends with when the server answers so.
async fn outcome(steps: Vec<Step>) -> (Option<FailureKind>, String) {
    let server = Server::start(move |asked, number| if number == 0 { completion(asked) } else { steps.clone() }).await;
    let client = Client::new(&server.url, Some("sk-hunter2".into())).unwrap();
    let plan = LoadPlan { stall_timeout: Duration::from_millis(300), ..LoadPlan::new("m", 4, 3, 1) };
    let report = run(&client, &plan, &mut |_| {}).await.unwrap();
    let failure = report.requests[0].outcome.as_ref().err();
    let message = failure.map(ToString::to_string).unwrap_or_default();
    assert!(!format!("{report:?}{}", report.serve_json()).contains("hunter2"), "{message}");
    (failure.map(|failure| failure.kind), message)
}

fn stream(parts: &[&str]) -> Vec<Step> {
    let mut steps = vec![stream_head()];
    steps.extend(parts.iter().map(|part| piece(part)));
    steps
}

fn whole(parts: &[&str]) -> Vec<Step> {
    let mut steps = stream(parts);
    steps.push(stream_end());
    steps
}

fn with(mut steps: Vec<Step>, last: Step) -> Vec<Step> {
    steps.push(last);
    steps
}

#[tokio::test]
async fn every_failure_is_told_by_its_kind() {
    const DONE: &str = "data: [DONE]\n\n";
    let usage = usage(4, 3);
    let error = "data: {\"error\":{\"message\":\"EngineDead sk-hunter2\",\"code\":500}}\n\n";
    let huge = format!("data: {}", "x".repeat(2 << 20));
    let many = TOKEN.repeat(200);
    let cases: Vec<(&str, Vec<Step>, FailureKind)> = vec![
        ("cut between tokens", with(stream(&[TOKEN]), Step::Close), FailureKind::Cut),
        ("cut within an event", with(stream(&[TOKEN, "data: {\"cho"]), Step::Close), FailureKind::Cut),
        ("ended without DONE or a count", whole(&[TOKEN]), FailureKind::Cut),
        ("closed at once", vec![Step::Close], FailureKind::Cut),
        ("no HTTP", vec![Step::Send(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()), Step::Close], FailureKind::Cut),
        ("error in mid-stream", whole(&[TOKEN, error, DONE]), FailureKind::InStream),
        ("garbage", whole(&[TOKEN, "data: <html>\n\n"]), FailureKind::Malformed),
        ("JSON in place of a stream", answer(200, "application/json", "{\"choices\":[]}"), FailureKind::Malformed),
        ("no token", whole(&[&usage, DONE]), FailureKind::NoToken),
        ("silence", with(stream(&[TOKEN]), Step::Hang), FailureKind::Stalled),
        ("no answer", vec![Step::Hang], FailureKind::Stalled),
        ("an endless event", whole(&[&huge]), FailureKind::TooLarge),
        ("too many chunks", whole(&[&many]), FailureKind::TooLarge),
        ("refused", answer(400, "application/json", r#"{"error":{"message":"too long"}}"#), FailureKind::Status(400)),
        ("wrong key", answer(401, "text/plain", "no such key: sk-hunter2"), FailureKind::Status(401)),
        ("long refusal", answer(500, "text/plain", &"y".repeat(1 << 20)), FailureKind::Status(500)),
    ];
    for (name, steps, expected) in cases {
        let (kind, message) = outcome(steps).await;
        assert_eq!(kind, Some(expected), "{name}: {message}");
        assert!(message.len() < 600, "{name}: {message}");
    }
}

#[tokio::test]
async fn what_breaks_after_the_end_does_no_harm() {
    let parts = [TOKEN, TOKEN, TOKEN, &usage(4, 3), "data: [DONE]\n\n"];
    assert_eq!(outcome(with(stream(&parts), Step::Close)).await.0, None);
}

#[tokio::test]
async fn a_server_that_gives_no_token_or_fails_all_warmup_ends_the_load() {
    let server = Server::start(|_, _| answer(404, "application/json", r#"{"error":{"message":"no model m"}}"#)).await;
    let client = Client::new(&server.url, None).unwrap();
    let plan = LoadPlan { warmup_requests: 2, ..LoadPlan::new("m", 4, 3, 1) };
    let error = run(&client, &plan, &mut |_| {}).await.unwrap_err();
    assert!(matches!(&error, LoadError::Probe { failure } if failure.kind == FailureKind::Status(404)), "{error}");
    assert!(error.to_string().contains("no model m"));
    let server = Server::start(|asked, number| match number {
        0 => completion(asked),
        _ => answer(500, "text/plain", "dead"),
    })
    .await;
    let error = run(&Client::new(&server.url, None).unwrap(), &plan, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, LoadError::Warmup { requests: 2, .. }), "{error}");
}
