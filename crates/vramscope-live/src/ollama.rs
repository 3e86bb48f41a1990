//! How Ollama's server is started for a run, and how it comes to hold the model that is measured: it loads none before one
//! is asked for.

use std::time::Duration;

use serde_json::{Value, json};
use vramscope_load::Client;

use crate::plan::PlanError;
use crate::unready::Unready;

/// The usual name of the program.
pub(crate) const PROGRAM: &str = "ollama";
/// The subcommand that serves.
const SERVES: &str = "serve";
/// The variable by which it is told where to listen.
pub(crate) const LISTENS: &str = "OLLAMA_HOST";
/// The port at which it listens unless it is told.
const USUAL_PORT: &str = "11434";
/// Where it says which models are loaded.
pub(crate) const LOADED: &str = "/api/ps";
/// Where it is asked for a model.
const GENERATE: &str = "/api/generate";

/// The words that are run; the subcommand need not be given.
pub(crate) fn words(words: &[String], variables: &[(String, String)]) -> Result<Vec<String>, PlanError> {
    if variables.iter().any(|(name, _)| name == LISTENS) {
        return Err(PlanError::OurVariable { name: LISTENS });
    }
    match words {
        [] => Ok(vec![SERVES.to_owned()]),
        [first, ..] if first == SERVES => Ok(words.to_vec()),
        _ => Err(PlanError::NoServer { expected: format!("{PROGRAM} {SERVES}") }),
    }
}

/// Host and port of a value of that variable, which may have a scheme in front and lack either (`envconfig/config.go`).
pub(crate) fn place(value: Option<&str>) -> (String, String) {
    let value = value.unwrap_or_default().trim();
    let bare = value.split_once("://").map_or(value, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let (host, port) = match bare.rsplit_once(':') {
        // The colons of an address of version 6 without a port.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (bare, USUAL_PORT),
        Some((host, port)) => (host, port),
        None => (bare, USUAL_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    (host.to_owned(), port.to_owned())
}

/// The variable that is added.
pub(crate) fn added(host: &str, port: u16) -> (String, String) {
    (LISTENS.to_owned(), format!("{host}:{port}"))
}

/// Has the server load the model of this name, or the one that it holds already, or the only one that it has; gives its
/// name. `None` where the server has no such page, as another engine that somebody takes for this one. An empty request for
/// a model loads it, and says so when it is there (`server/routes.go`, `GenerateHandler`).
pub(crate) async fn load(client: &Client, named: Option<&str>, patience: Duration) -> Result<Option<String>, Unready> {
    let name = match named {
        Some(name) => name.to_owned(),
        None => one(client).await?,
    };
    let body = json!({"model": name, "stream": false}).to_string().into_bytes();
    let reply = client.clone().with_timeout(patience).post(GENERATE, body).await.map_err(Unready::Asked)?;
    if (200..300).contains(&reply.status) {
        return Ok(Some(name));
    }
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let why = said["error"].as_str();
    if matches!(reply.status, 404 | 405) && why.is_none() {
        return Ok(None);
    }
    let why = why.unwrap_or("it does not say why");
    Err(Unready::Model(format!("the server does not load the model {name:?} (status {}): {why}", reply.status)))
}

/// The model that is loaded, or the only one that there is.
async fn one(client: &Client) -> Result<String, Unready> {
    let loaded = client.settings(LOADED).await.map_err(Unready::Asked)?.unwrap_or_default();
    let loaded: Value = serde_json::from_str(&loaded).unwrap_or_default();
    let names: Vec<&str> =
        loaded["models"].as_array().into_iter().flatten().filter_map(|model| model["name"].as_str()).collect();
    if let [only] = names[..] {
        return Ok(only.to_owned());
    }
    let listed = client.models().await.map_err(Unready::Asked)?;
    match &listed[..] {
        [only] if names.is_empty() => Ok(only.id.clone()),
        [] => Err(Unready::Model("the server has no model: pull one".to_owned())),
        several => {
            let of: Vec<&str> = if names.is_empty() { several.iter().map(|model| &*model.id).collect() } else { names };
            Err(Unready::Model(format!(
                "which of its models is measured nobody says: give --model with one of {}",
                of.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn only_its_server_is_started_and_where_it_listens_is_told_by_us() {
        assert_eq!(words(&[], &[]).unwrap(), ["serve"]);
        assert_eq!(words(&own("serve"), &[]).unwrap(), ["serve"]);
        assert!(matches!(words(&own("run llama3"), &[]), Err(PlanError::NoServer { .. })));
        let variables = [(LISTENS.to_owned(), "0.0.0.0".to_owned())];
        assert!(matches!(words(&[], &variables), Err(PlanError::OurVariable { name: LISTENS })));
        assert_eq!(added("127.0.0.1", 7).1, "127.0.0.1:7");
    }

    #[test]
    fn a_place_is_read_whatever_it_lacks() {
        for (value, host, port) in [
            (None, "127.0.0.1", "11434"),
            (Some(""), "127.0.0.1", "11434"),
            (Some("0.0.0.0"), "0.0.0.0", "11434"),
            (Some(":9"), "127.0.0.1", "9"),
            (Some("http://h:8/api"), "h", "8"),
            (Some("[::1]:7"), "::1", "7"),
            (Some("::1"), "::1", "11434"),
        ] {
            assert_eq!(place(value), (host.to_owned(), port.to_owned()), "{value:?}");
        }
    }

    #[tokio::test]
    async fn a_model_is_loaded_before_it_is_measured_and_one_that_is_not_there_is_named() {
        let script = standin_openai::Script {
            engine: standin_openai::Engine::Ollama,
            model: "small:1b".to_owned(),
            ..standin_openai::Script::default()
        };
        let server = standin_openai::Server::start(script).unwrap();
        let client = Client::new(&server.url(), None).unwrap();
        let patience = Duration::from_secs(60);
        let small = Some("small:1b".to_owned());
        assert_eq!(load(&client, None, patience).await.unwrap(), small, "the only one that it has");
        assert_eq!(load(&client, Some("small:1b"), patience).await.unwrap(), small);
        let Err(Unready::Model(said)) = load(&client, Some("other"), patience).await else { panic!("it is loaded") };
        assert!(said.contains("\"other\"") && said.contains("not found"), "{said}");
        let another = standin_openai::Server::start(standin_openai::Script::default()).unwrap();
        let client = Client::new(&another.url(), None).unwrap();
        assert_eq!(load(&client, None, patience).await.unwrap(), None, "it has no such page");
    }
}
