//! Which engine answers.

use standin_openai::{Engine, Script, Server};
use vramscope_core::EngineKind;
use vramscope_load::{Client, Identity, LoadError};

async fn asked(engine: Engine, version: &str) -> Identity {
    let script = Script { engine, version: version.to_owned(), max_model_len: 4096, ..Script::default() };
    let server = Server::start(script).unwrap();
    Client::new(&server.url(), None).unwrap().identify().await.unwrap()
}

#[tokio::test]
async fn an_engine_is_told_by_what_it_answers() {
    for (engine, kind, version, length) in [
        (Engine::Vllm, EngineKind::Vllm, "0.32.0", Some(4096)),
        (Engine::LlamaCpp, EngineKind::LlamaCpp, "b10434", Some(4096)),
        (Engine::Ollama, EngineKind::Ollama, "0.12.3", None),
        (Engine::SgLang, EngineKind::SgLang, "0.4.6.post1", Some(4096)),
        (Engine::Tgi, EngineKind::Tgi, "3.2.1", Some(4096)),
    ] {
        let told = asked(engine, version).await;
        assert_eq!((told.kind, told.version.as_deref()), (Some(kind), Some(version)), "{:?}", told.signs);
        assert_eq!(told.max_model_len, length, "{engine:?}");
        assert!(told.signs.iter().all(|sign| sign.kind == kind) && !told.signs.is_empty(), "{:?}", told.signs);
    }
}

#[tokio::test]
async fn the_token_ids_of_a_small_model_are_known_where_the_server_counts_them() {
    assert_eq!(asked(Engine::LlamaCpp, "b1").await.vocabulary, Some(8000));
    assert_eq!(asked(Engine::Vllm, "0.32.0").await.vocabulary, None);
}

#[tokio::test]
async fn a_server_that_nothing_tells_is_of_no_engine() {
    let other = asked(Engine::Other, "1.2.3").await;
    assert_eq!((other.kind, other.signs.len(), other.version.as_deref()), (None, 0, Some("1.2.3")));
    let mixed = asked(Engine::Mixed, "1.2.3").await;
    assert_eq!((mixed.kind, mixed.version), (None, None));
    let kinds: Vec<EngineKind> = mixed.signs.iter().map(|sign| sign.kind).collect();
    assert!(kinds.contains(&EngineKind::Vllm) && kinds.contains(&EngineKind::SgLang), "{kinds:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_or_refuses_is_an_error() {
    let refused = Client::new("http://127.0.0.1:1", None).unwrap().identify().await.unwrap_err();
    assert!(matches!(refused, LoadError::Refused { .. }), "{refused:?}");
    for (status, ready) in [(503, false), (401, true)] {
        let answer = move |_: &_, _| crate::server::answer(status, "application/json", "{}");
        let server = crate::server::Server::start(answer).await;
        let error = Client::new(&server.url, None).unwrap().identify().await.unwrap_err();
        assert_eq!(matches!(error, LoadError::Status { status: 401, .. }), ready, "{error:?}");
        assert_eq!(matches!(error, LoadError::NotReady { status: 503, .. }), !ready, "{error:?}");
    }
}
