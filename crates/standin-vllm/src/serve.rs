//! `vllm serve`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use standin_openai::{Counts, metrics_page, models_page, version_page};
use standin_vllm::{How, Phase};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::engine::{Engine, hang};
use crate::flags::Given;
use crate::http::{Connection, Request};
use crate::profiler::Profiler;

/// What the server knows.
struct State {
    engine: Engine,
    model: String,
    max_model_len: u64,
    api_key: Option<String>,
    /// What the script has for the health check.
    health: Option<How>,
    profiler: Option<Profiler>,
    asked: AtomicU64,
    counts: Counters,
}

#[derive(Default)]
struct Counters {
    running: AtomicU64,
    finished: AtomicU64,
    prompt_tokens: AtomicU64,
    generation_tokens: AtomicU64,
}

#[derive(Deserialize)]
struct Completion {
    model: String,
    prompt: serde_json::Value,
    #[serde(default = "sixteen")]
    max_tokens: u64,
    #[serde(default)]
    stream: bool,
}

fn sixteen() -> u64 {
    16
}

/// Plays the start, then serves until it is asked to end.
pub(crate) async fn serve(engine: Engine, given: Given) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let flag = |name: &str| given.flags.get(name).cloned();
    let host = flag("--host").unwrap_or_else(|| "127.0.0.1".into());
    let port: u16 = flag("--port").map_or(Ok(8000), |text| text.parse()).map_err(io::Error::other)?;
    let given_model = given.positional.first().cloned().or_else(|| flag("--model"));
    let model = flag("--served-model-name").or(given_model).unwrap_or_else(|| "Qwen/Qwen3-0.6B".into());
    let state = State {
        model,
        max_model_len: flag("--max-model-len").and_then(|text| text.parse().ok()).unwrap_or(8192),
        api_key: flag("--api-key").or_else(|| std::env::var("VLLM_API_KEY").ok()),
        health: None,
        profiler: flag("--profiler-config")
            .and_then(|config| Profiler::of(&config, engine.script.function_trace_bytes)),
        asked: AtomicU64::new(0),
        counts: Counters::default(),
        engine,
    };
    let ignores = state.engine.script.ignores_sigterm;
    // The start blocks its thread; a signal meanwhile ends the process, as it ends a loading vLLM.
    let mut started = tokio::task::spawn_blocking(move || start(state));
    let state = tokio::select! {
        state = &mut started => Arc::new(state.map_err(io::Error::other)?),
        _ = terminate.recv(), if !ignores => std::process::exit(143),
        _ = interrupt.recv() => std::process::exit(130),
    };
    let listener = TcpListener::bind((host.as_str(), port)).await?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (state, connection) = (state.clone(), Connection::new(accepted?.0));
                tokio::spawn(async move { converse(&state, connection).await });
            }
            _ = terminate.recv() => if !ignores { break },
            _ = interrupt.recv() => break,
        }
    }
    let stopped = tokio::task::spawn_blocking(move || stop(&state));
    stopped.await.map_err(io::Error::other)
}

fn start(mut state: State) -> State {
    for phase in [Phase::Launch, Phase::Load, Phase::Ready] {
        match (state.engine.enter(phase), phase) {
            (how @ Some(_), Phase::Ready) => state.health = how,
            (Some(How::Hang), _) => hang(),
            (Some(_), _) => {
                state.engine.log("ValueError: the script refuses the configuration");
                state.engine.end(1);
            }
            (None, _) => {}
        }
        if !state.engine.play(phase) {
            // The recorded engine failed here.
            state.engine.end(1);
        }
    }
    state
}

fn stop(state: &State) {
    state.engine.skip_to(Phase::Shutdown);
    if state.engine.enter(Phase::Shutdown).is_some() {
        hang();
    }
    state.engine.play(Phase::Shutdown);
    state.engine.use_memory(0);
    state.engine.end(0)
}

async fn converse(state: &State, mut connection: Connection) -> io::Result<()> {
    while let Some(request) = connection.read().await? {
        let guarded = request.path.starts_with("/v1");
        let key = state.api_key.as_ref().map(|key| format!("Bearer {key}"));
        if guarded && key.is_some() && request.authorization != key {
            connection.answer(401, "application/json", r#"{"error":"Unauthorized"}"#).await?;
            continue;
        }
        let status = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/health") => match state.health {
                Some(How::Hang) => std::future::pending().await,
                Some(_) => plain(&mut connection, 503, "").await?,
                None => plain(&mut connection, 200, "").await?,
            },
            ("GET", "/version") => jsonly(&mut connection, &version_page(&state.engine.script.version)).await?,
            ("GET", "/v1/models") => {
                jsonly(&mut connection, &models_page(&state.model, &[], state.max_model_len)).await?
            }
            ("GET", "/metrics") => plain(&mut connection, 200, &metrics(state)).await?,
            ("POST", "/v1/completions") => complete(state, &mut connection, &request).await?,
            ("POST", "/start_profile") if state.profiler.is_some() => plain(&mut connection, 200, "").await?,
            ("POST", "/stop_profile") if state.profiler.is_some() => {
                let written = tokio::task::block_in_place(|| state.profiler.as_ref().map(Profiler::write));
                state.engine.log(&written.transpose()?.unwrap_or_default());
                plain(&mut connection, 200, "").await?
            }
            _ => {
                connection.answer(404, "application/json", r#"{"detail":"Not Found"}"#).await?;
                404
            }
        };
        let Request { method, path, .. } = &request;
        let end = if status < 400 { "OK" } else { "Error" };
        state
            .engine
            .log(&format!("(APIServer pid=0) INFO:     127.0.0.1:1 - \"{method} {path} HTTP/1.1\" {status} {end}"));
    }
    Ok(())
}

async fn plain(connection: &mut Connection, status: u16, body: &str) -> io::Result<u16> {
    connection.answer(status, "text/plain; version=0.0.4; charset=utf-8", body).await.map(|()| status)
}

async fn jsonly(connection: &mut Connection, body: &str) -> io::Result<u16> {
    connection.answer(200, "application/json", body).await.map(|()| 200)
}

async fn refuse(connection: &mut Connection, status: u16, message: &str) -> io::Result<u16> {
    let body = json!({"error": {"message": message, "type": "Error", "param": null, "code": status}});
    connection.answer(status, "application/json", &body.to_string()).await.map(|()| status)
}

async fn complete(state: &State, connection: &mut Connection, request: &Request) -> io::Result<u16> {
    let asked: Completion = match serde_json::from_slice(&request.body) {
        Ok(asked) => asked,
        Err(error) => return refuse(connection, 400, &error.to_string()).await,
    };
    if asked.model != state.model {
        return refuse(connection, 404, &format!("The model `{}` does not exist.", asked.model)).await;
    }
    let input = match &asked.prompt {
        serde_json::Value::Array(_) if state.engine.script.refuses_token_ids => {
            return refuse(connection, 400, "prompt must be a string").await;
        }
        serde_json::Value::Array(ids) => ids.len() as u64,
        other => other.as_str().map_or(1, |text| text.split_whitespace().count() as u64),
    };
    if input.saturating_add(asked.max_tokens) > state.max_model_len {
        let limit = state.max_model_len;
        return refuse(connection, 400, &format!("This model's maximum context length is {limit} tokens.")).await;
    }
    let number = state.asked.fetch_add(1, Relaxed) + 1;
    if number == 1 {
        state.engine.serve_memory();
    }
    let phase = match number {
        2 => Some(Phase::Warmup),
        n if n == state.engine.script.measure_from_request => Some(Phase::Measure),
        _ => None,
    };
    // A failure may sleep or end the process, which holds up this thread only.
    match phase.and_then(|phase| tokio::task::block_in_place(|| state.engine.enter(phase))) {
        Some(How::Hang) => std::future::pending().await,
        Some(_) => return refuse(connection, 500, "EngineCore encountered an issue.").await,
        None => {}
    }
    state.counts.running.fetch_add(1, Relaxed);
    let answered = generate(state, connection, &asked, input).await;
    state.counts.running.fetch_sub(1, Relaxed);
    answered?;
    state.counts.finished.fetch_add(1, Relaxed);
    state.counts.prompt_tokens.fetch_add(input, Relaxed);
    state.counts.generation_tokens.fetch_add(asked.max_tokens, Relaxed);
    Ok(200)
}

async fn generate(state: &State, connection: &mut Connection, asked: &Completion, input: u64) -> io::Result<()> {
    let pause = Duration::try_from_secs_f64(state.engine.script.token_ms / 1e3).unwrap_or_default();
    let usage = json!({"prompt_tokens": input, "completion_tokens": asked.max_tokens,
                       "total_tokens": input.saturating_add(asked.max_tokens)});
    let chunk = |choices: serde_json::Value, usage: &serde_json::Value| {
        json!({"id": "cmpl-0", "object": "text_completion", "model": state.model, "choices": choices, "usage": usage})
            .to_string()
    };
    let choice = |text: String, reason: Option<&str>| json!([{"index": 0, "text": text, "finish_reason": reason}]);
    if !asked.stream {
        let tokens = u32::try_from(asked.max_tokens).unwrap_or(u32::MAX);
        tokio::time::sleep(pause.saturating_mul(tokens)).await;
        let body = chunk(choice("ba".into(), Some("length")), &usage);
        return connection.answer(200, "application/json", &body).await;
    }
    connection.begin_stream().await?;
    for token in 1..=asked.max_tokens {
        tokio::time::sleep(pause).await;
        let reason = (token == asked.max_tokens).then_some("length");
        if reason.is_none() && !token.is_multiple_of(state.engine.script.tokens_per_chunk) {
            continue;
        }
        connection.event(&chunk(choice("ba".into(), reason), &serde_json::Value::Null)).await?;
    }
    connection.event(&chunk(json!([]), &usage)).await?;
    connection.event("[DONE]").await?;
    connection.end_stream().await
}

/// The page of an engine since 0.12. KV usage is of the requests that run now, each a thousandth of the pool.
fn metrics(state: &State) -> String {
    let of = |counter: &AtomicU64| counter.load(Relaxed);
    let counts = &state.counts;
    let running = of(&counts.running);
    let counts = Counts {
        running,
        kv_cache_usage: f64::from(u32::try_from(running).unwrap_or(u32::MAX)) / 1000.0,
        prompt_tokens: of(&counts.prompt_tokens),
        generation_tokens: of(&counts.generation_tokens),
        finished: of(&counts.finished),
        ..Counts::default()
    };
    metrics_page(&state.model, &counts)
}
