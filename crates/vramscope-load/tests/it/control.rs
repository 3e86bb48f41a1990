//! Questions about the server.

use std::time::Duration;

use vramscope_load::{Client, EngineMetrics, LoadError};

use crate::server::{Server, Step, answer};

#[tokio::test]
async fn nothing_there_is_refused_and_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Client::new(&format!("http://{address}"), None).unwrap().health().await.unwrap_err();
    assert!(matches!(&error, LoadError::Refused { address: named, .. } if *named == address), "{error:?}");
}

#[tokio::test]
async fn a_server_that_loads_is_not_ready_and_then_is() {
    let server = Server::start(|_, number| answer(if number == 0 { 503 } else { 200 }, "text/plain", "")).await;
    let client = Client::new(&server.url, None).unwrap();
    assert!(matches!(client.health().await.unwrap_err(), LoadError::NotReady { status: 503, .. }));
    client.health().await.unwrap();
}

#[tokio::test]
async fn another_server_is_told_from_an_engine() {
    for (status, kind) in [(404, "application/json"), (200, "text/html; charset=utf-8"), (405, "text/plain")] {
        let server = Server::start(move |_, _| answer(status, kind, "<html></html>")).await;
        let client = Client::new(&server.url, None).unwrap();
        assert!(matches!(client.health().await.unwrap_err(), LoadError::OtherServer { .. }), "{status}");
        assert!(matches!(client.models().await.unwrap_err(), LoadError::OtherServer { .. }), "{status}");
        assert!(matches!(client.metrics().await.unwrap_err(), LoadError::OtherServer { .. }), "{status}");
        assert_eq!(client.version().await.unwrap(), None, "{status}");
    }
}

#[tokio::test]
async fn an_engine_behind_a_proxy_is_waited_for_and_what_is_none_is_not() {
    // A proxy answers 502 until the engine listens; some engines have no /health.
    let server = Server::start(|asked, number| match (number, asked.path.as_str()) {
        (0, _) => answer(502, "text/html", "<html>bad gateway</html>"),
        (_, "/v1/models") => answer(200, "application/json", r#"{"data": []}"#),
        _ => answer(404, "text/plain", ""),
    })
    .await;
    let client = Client::new(&server.url, None).unwrap();
    let loading = client.ready().await.unwrap_err();
    assert!(!loading.is_of_another() && !loading.is_about_access(), "{loading:?}");
    client.ready().await.unwrap();
    for (status, kind, access) in [(200, "text/html", false), (404, "text/plain", false), (401, "text/plain", true)] {
        let server = Server::start(move |_, _| answer(status, kind, "no")).await;
        let other = Client::new(&server.url, None).unwrap().ready().await.unwrap_err();
        assert_eq!((other.is_of_another(), other.is_about_access()), (true, access), "{other:?}");
    }
}

#[tokio::test]
async fn a_post_gives_whatever_is_answered() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/slow" => vec![Step::Hang],
        _ => answer(404, "application/json", &format!("got {}", asked.body)),
    })
    .await;
    let client = Client::new(&server.url, Some("sk-key".into())).unwrap();
    let reply = client.post("/any", b"{}".to_vec()).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (404, &b"got {}"[..]));
    client.post("/any", Vec::new()).await.unwrap();
    let short = client.with_timeout(Duration::from_millis(20));
    assert!(matches!(short.post("/slow", Vec::new()).await.unwrap_err(), LoadError::TimedOut { path: "/slow", .. }));
    let asked = &server.seen.lock().unwrap().asked;
    assert!(asked[0].head.starts_with("POST /any") && asked[0].head.contains("application/json"));
    assert!(asked[1].body.is_empty() && asked[1].head.contains("authorization: Bearer sk-key"));
}

#[tokio::test]
async fn a_silent_server_and_a_broken_connection_are_told_apart() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/health" => vec![Step::Hang],
        _ => vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()), Step::Close],
    })
    .await;
    let client = Client::new(&server.url, None).unwrap();
    let short = client.clone().with_timeout(Duration::from_millis(20));
    assert!(matches!(short.health().await.unwrap_err(), LoadError::TimedOut { path: "/health", .. }));
    assert!(matches!(client.models().await.unwrap_err(), LoadError::Cut { path: "/v1/models", .. }));
}

#[tokio::test]
async fn models_and_version_are_read_and_their_defects_named() {
    let server = Server::start(|asked, number| match (asked.path.as_str(), number) {
        ("/v1/models", 0) => answer(
            200,
            "application/json",
            r#"{"object":"list","data":[{"id":"m","root":"./m","max_model_len":2048,"permission":[]},{"id":"lora"}]}"#,
        ),
        ("/v1/models", 1) => answer(401, "application/json", r#"{"error":"Unauthorized: sk-hunter2"}"#),
        ("/v1/models", _) => answer(200, "application/json", "{\"data\": 7}"),
        _ => answer(200, "application/json", r#"{"version":"0.32.0"}"#),
    })
    .await;
    let client = Client::new(&format!("{}/v1", server.url), Some("sk-hunter2".into())).unwrap();
    let models = client.models().await.unwrap();
    assert_eq!((models[0].id.as_str(), models[0].max_model_len, models[1].max_model_len), ("m", Some(2048), None));
    let refused = client.models().await.unwrap_err();
    assert!(matches!(refused, LoadError::Status { status: 401, .. }));
    assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused}");
    assert!(matches!(client.models().await.unwrap_err(), LoadError::Json { .. }));
    assert_eq!(client.version().await.unwrap().as_deref(), Some("0.32.0"));
    assert!(server.seen.lock().unwrap().asked[0].head.contains("authorization: Bearer sk-hunter2"));
}

#[tokio::test]
async fn a_body_beyond_reason_is_refused_before_it_is_read_whole() {
    let server = Server::start(|_, _| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99000000000\r\n\r\n".to_vec();
        let mut steps = vec![Step::Send(head)];
        steps.extend((0..40).map(|_| Step::Send(vec![b'x'; 1 << 20])));
        steps
    })
    .await;
    let client = Client::new(&server.url, None).unwrap();
    assert!(matches!(client.metrics().await.unwrap_err(), LoadError::TooLarge { path: "/metrics", .. }));
    assert!(matches!(client.models().await.unwrap_err(), LoadError::TooLarge { .. }));
}

#[tokio::test]
async fn the_pages_of_real_engines_are_read() {
    let server = Server::start(|_, number| {
        let late = include_str!("data/metrics-0.25.1.txt");
        let early = include_str!("data/metrics-0.12.0.txt");
        answer(200, "text/plain; version=0.0.4", if number == 0 { late } else { early })
    })
    .await;
    let client = Client::new(&server.url, None).unwrap();
    let metrics: EngineMetrics = client.metrics().await.unwrap();
    assert_eq!(metrics.engines.keys().collect::<Vec<_>>(), ["0"]);
    let late = metrics.total();
    assert_eq!((late.kv_cache_usage_ratio, late.running, late.waiting), (Some(0.0), Some(0), Some(0)));
    assert_eq!((late.prompt_tokens, late.generation_tokens), (Some(9600), Some(3072)));
    assert_eq!((late.prefix_cache_query_tokens, late.prefix_cache_hit_tokens), (Some(9600), Some(0)));
    assert_eq!((late.requests_finished, late.preemptions, late.swapped), (Some(48), Some(0), None));
    assert_eq!(late.kv_block_tokens, Some(16));
    let early = client.metrics().await.unwrap().total();
    assert!(early.kv_cache_usage_ratio.is_some() && early.generation_tokens > Some(0), "{early:?}");
}
