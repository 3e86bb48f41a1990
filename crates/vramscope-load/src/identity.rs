//! Which engine answers, told by what it answers and by nothing else.
//!
//! Each engine's room says which answers are its own. Where answers of several engines are found, as behind a gateway in
//! front of several servers, or where none is, the engine is not known.

mod llama_cpp;
mod ollama;
mod sglang;
mod tgi;
mod vllm;

use std::collections::BTreeMap;

use serde_json::Value;
use vramscope_core::{EngineKind, on_one_line};

use crate::client::{Answer, Client, MAX_JSON};
use crate::error::LoadError;
use crate::exposition::samples;
use crate::metrics::MAX_METRICS;

/// A release is a word; what is longer is none.
const MAX_VERSION: usize = 80;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Identity {
    /// The engine; `None` where nothing that the server answers tells it, or where its answers are of several engines.
    pub kind: Option<EngineKind>,
    /// Its release, where it says so.
    pub version: Option<String>,
    /// The answers that tell an engine, in the order in which they were asked for.
    pub signs: Vec<Sign>,
    /// The longest request that it takes. Unit: tokens.
    pub max_model_len: Option<u64>,
    /// Token ids that its model has. Unit: count.
    pub vocabulary: Option<u64>,
}

/// An answer by which an engine is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sign {
    /// The engine whose answer it is.
    pub kind: EngineKind,
    /// What was asked for.
    pub path: &'static str,
    /// What of the answer only this engine has.
    pub what: &'static str,
}

/// What is asked of every server: three pages, of which one at least tells most engines.
const FIRST: [&str; 3] = ["/version", "/v1/models", "/metrics"];
/// What is asked of a server that these do not tell.
const FURTHER: [&str; 7] =
    ["/props", "/", "/api/version", "/get_server_info", "/server_info", "/get_model_info", "/info"];

/// What an engine's room says of a server's pages.
struct Room {
    kind: EngineKind,
    /// Signs of the engine among the pages: where each stands and what it is.
    signs: fn(&Pages) -> Vec<(&'static str, &'static str)>,
    /// What is asked further, once the engine is told.
    further: &'static [&'static str],
    /// Adds what the pages say beside.
    tell: fn(&Pages, &mut Identity),
}

const ROOMS: [Room; 5] = [
    Room { kind: EngineKind::Vllm, signs: vllm::signs, further: &[], tell: vllm::tell },
    Room { kind: EngineKind::LlamaCpp, signs: llama_cpp::signs, further: &["/props"], tell: llama_cpp::tell },
    Room { kind: EngineKind::Ollama, signs: ollama::signs, further: &["/api/version"], tell: ollama::tell },
    Room {
        kind: EngineKind::SgLang,
        signs: sglang::signs,
        further: &["/get_server_info", "/server_info"],
        tell: sglang::tell,
    },
    Room { kind: EngineKind::Tgi, signs: tgi::signs, further: &["/info"], tell: tgi::tell },
];

/// What a server answered, by what it was asked for.
#[derive(Debug, Default)]
struct Pages(BTreeMap<&'static str, Page>);

#[derive(Debug)]
struct Page {
    /// The name by which the server goes in the head of its answer.
    server: Option<String>,
    /// The body of an answer that says all is well.
    body: Option<Vec<u8>>,
}

impl Pages {
    /// An answer as JSON.
    fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_slice(self.0.get(path)?.body.as_deref()?).ok()
    }

    /// An answer as text.
    fn text(&self, path: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.0.get(path)?.body.as_deref()?).into_owned())
    }

    /// Where the server first goes by this name.
    fn served_by(&self, name: &str) -> Option<&'static str> {
        let (path, _) = self.0.iter().find(|(_, page)| page.server.as_deref() == Some(name))?;
        Some(path)
    }

    /// Whether a metric's name begins so.
    fn has_metric(&self, beginnings: &[&str]) -> bool {
        let Some(text) = self.text("/metrics") else { return false };
        samples(&text).any(|sample| beginnings.iter().any(|beginning| sample.name.starts_with(beginning)))
    }

    /// Whether the models are said to be owned by this name, as engines put their own there.
    fn owned_by(&self, owner: &str) -> bool {
        let Some(models) = self.json("/v1/models") else { return false };
        models["data"].as_array().is_some_and(|all| all.iter().any(|model| model["owned_by"] == owner))
    }

    /// A release that stands at a key of an object.
    fn release(&self, path: &str, key: &str) -> Option<String> {
        let value = self.json(path)?;
        let text = on_one_line(value.get(key)?.as_str()?.trim());
        (!text.is_empty() && text.len() <= MAX_VERSION).then_some(text)
    }
}

impl Client {
    /// What a server that is ready says of itself.
    ///
    /// # Errors
    /// As [`Self::models`], of the first question alone: a server need not have all that is asked for.
    pub async fn identify(&self) -> Result<Identity, LoadError> {
        let mut pages = Pages::default();
        for path in FIRST {
            let answer = self.page(path).await;
            // Whether anybody answers at all, and lets this client ask, the first answer shows.
            let answer = if pages.0.is_empty() { answer?.allowed(self, path)? } else { kept(answer) };
            pages.0.insert(path, answer);
        }
        if signs(&pages).is_empty() {
            self.ask_further(&FURTHER, &mut pages).await;
        }
        let signs = signs(&pages);
        let first = signs.first().map(|sign| sign.kind);
        let kind = first.filter(|kind| signs.iter().all(|sign| sign.kind == *kind));
        let mut told = Identity { kind, signs, ..Identity::default() };
        match ROOMS.iter().find(|room| Some(room.kind) == kind) {
            Some(room) => {
                self.ask_further(room.further, &mut pages).await;
                (room.tell)(&pages, &mut told);
            }
            None => told.version = pages.release("/version", "version"),
        }
        Ok(told)
    }

    /// A page on which a server says how it is set, if it has it.
    ///
    /// # Errors
    /// As [`Self::models`].
    pub async fn settings(&self, path: &'static str) -> Result<Option<String>, LoadError> {
        let page = self.page(path).await?.into_page();
        Ok(page.body.map(|body| String::from_utf8_lossy(&body).into_owned()))
    }

    async fn ask_further(&self, paths: &[&'static str], pages: &mut Pages) {
        for path in paths {
            if !pages.0.contains_key(path) {
                pages.0.insert(path, kept(self.page(path).await));
            }
        }
    }

    async fn page(&self, path: &'static str) -> Result<Answer, LoadError> {
        self.get(path, if path == "/metrics" { MAX_METRICS } else { MAX_JSON }).await
    }
}

fn signs(pages: &Pages) -> Vec<Sign> {
    let of = |room: &Room| {
        let kind = room.kind;
        (room.signs)(pages).into_iter().map(move |(path, what)| Sign { kind, path, what })
    };
    ROOMS.iter().flat_map(of).collect()
}

/// A page that the server may lack.
fn kept(answer: Result<Answer, LoadError>) -> Page {
    answer.map_or(Page { server: None, body: None }, Answer::into_page)
}

impl Answer {
    fn into_page(self) -> Page {
        let well = (200..300).contains(&self.status);
        Page { server: self.server, body: well.then_some(self.body) }
    }

    /// The page, unless the server is not ready or refuses this client.
    fn allowed(self, client: &Client, path: &'static str) -> Result<Page, LoadError> {
        if matches!(self.status, 401 | 403 | 500..=599) {
            return Err(self.expect_engine(client, path).err().unwrap_or(LoadError::NotReady { path, status: 0 }));
        }
        Ok(self.into_page())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(all: &[(&'static str, &str)]) -> Pages {
        let page = |body: &str| Page { server: None, body: Some(body.as_bytes().to_vec()) };
        Pages(all.iter().map(|&(path, body)| (path, page(body))).collect())
    }

    fn kinds(all: &[(&'static str, &str)]) -> Vec<EngineKind> {
        let mut kinds: Vec<EngineKind> = signs(&pages(all)).iter().map(|sign| sign.kind).collect();
        kinds.dedup();
        kinds
    }

    #[test]
    fn what_many_servers_answer_tells_no_engine() {
        let plain = r#"{"object":"list","data":[{"id":"m","object":"model","owned_by":"organization"}]}"#;
        let common = [("/version", r#"{"version":"1.2.3"}"#), ("/v1/models", plain), ("/metrics", "process_cpu 1\n")];
        assert_eq!(kinds(&common), []);
        assert_eq!(kinds(&[("/api/version", r#"{"version":"0.7.0"}"#), ("/info", r#"{"version":"3"}"#)]), []);
        assert_eq!(kinds(&[("/props", "{}"), ("/get_server_info", "[]"), ("/", "<html>"), ("/metrics", "\u{0}")]), []);
    }

    #[test]
    fn a_release_is_one_clean_word_or_none() {
        let long = format!(r#"{{"version":"{}"}}"#, "9".repeat(200));
        for (text, release) in [
            (r#"{"version":"0.9\u001b[2J"}"#, Some("0.9[2J")),
            (r#"{"version":7}"#, None),
            (r#"{"version":""}"#, None),
            (long.as_str(), None),
        ] {
            assert_eq!(pages(&[("/version", text)]).release("/version", "version").as_deref(), release, "{text}");
        }
    }
}
