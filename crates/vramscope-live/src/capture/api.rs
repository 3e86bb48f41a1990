//! The engine's HTTP interface, on this machine only.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use vramscope_load::{Client, LoadError};

use super::CaptureError;
use crate::vllm::profiler::{START, STOP};

/// Requests in flight together: enough for the engine to form batches.
const AT_ONCE: u32 = 8;
/// Tokens of a prompt.
const PROMPT: u32 = 24;
/// So many characters of a refusal are repeated.
const MOST_WORDS: usize = 300;

/// An engine's address.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    base: Arc<str>,
}

impl Api {
    /// An engine at `http://HOST:PORT` on this machine.
    pub(super) fn new(url: &str, key: Option<String>, timeout: Duration) -> Result<Self, CaptureError> {
        let base = url.trim_end_matches('/');
        let rest = base.strip_prefix("http://").ok_or(CaptureError::NotHttp)?;
        let place = rest.split('/').next().unwrap_or_default();
        let addresses =
            if place.contains(':') && !place.ends_with(']') { place.to_owned() } else { format!("{place}:80") };
        let found = addresses.to_socket_addrs();
        let mut found = found.map_err(|source| CaptureError::NoHost { place: place.to_owned(), source })?;
        if !found.all(|address| is_here(address.ip())) {
            return Err(CaptureError::NotHere { place: place.to_owned() });
        }
        let client = Client::new(base, key).map_err(CaptureError::Address)?.with_timeout(timeout);
        Ok(Self { client, base: base.into() })
    }

    /// The client that asks it.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The first model that it serves.
    pub(super) async fn model(&self) -> Result<String, CaptureError> {
        let models = self.client.models().await.map_err(|error| match error {
            LoadError::Json { source, .. } => CaptureError::Models(source),
            source => CaptureError::AskModels { base: self.base.to_string(), source },
        })?;
        let first = models.into_iter().next().map(|model| model.id);
        first.ok_or_else(|| CaptureError::NoModel { base: self.base.to_string() })
    }

    /// Starts the profiler.
    pub(super) async fn start_profile(&self) -> Result<(), CaptureError> {
        self.profile(START).await
    }

    /// Stops the profiler; the engine answers when the trace is written, which can take minutes.
    pub(super) async fn stop_profile(&self) -> Result<(), CaptureError> {
        self.profile(STOP).await
    }

    async fn profile(&self, (what, path): (&'static str, &'static str)) -> Result<(), CaptureError> {
        let answer = self.client.post(path, Vec::new()).await;
        match answer.map_err(|source| CaptureError::AskProfiler { what, source })?.status {
            200..=299 => Ok(()),
            404 => Err(CaptureError::NoProfiler { what }),
            status => Err(CaptureError::ProfilerRefused { what, status }),
        }
    }

    /// Sends one request. Prompts differ, so that no cached prefix saves the engine its work.
    pub(super) async fn complete(&self, model: &str, number: u32, max_tokens: u32) -> Result<(), CaptureError> {
        // Token ids are taken by servers without a tokenizer too; these are in every vocabulary.
        let prompt: Vec<u32> = (0..PROMPT).map(|at| 3 + (number.wrapping_mul(31) + at * 7) % 200).collect();
        let body =
            json!({"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": true});
        let answer = self.client.post("/v1/completions", body.to_string().into_bytes()).await;
        let answer = answer.map_err(CaptureError::Send)?;
        if answer.status != 200 {
            let words = String::from_utf8_lossy(&answer.body).chars().take(MOST_WORDS).collect();
            return Err(CaptureError::Refused { status: answer.status, words });
        }
        Ok(())
    }

    /// Sends several requests, some at once; the first failure is told.
    pub(super) async fn complete_all(&self, model: &str, requests: u32, max_tokens: u32) -> Result<(), CaptureError> {
        let next = Arc::new(AtomicU32::new(1));
        let mut workers = JoinSet::new();
        for _ in 0..requests.min(AT_ONCE) {
            let (api, next, model) = (self.clone(), Arc::clone(&next), model.to_owned());
            workers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > requests {
                        return Ok(());
                    }
                    api.complete(&model, number, max_tokens).await?;
                }
            });
        }
        let mut result = Ok(());
        while let Some(worker) = workers.join_next().await {
            // Nobody aborts one; one that panicked has said so.
            result = result.and(worker.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        }
        result
    }
}

fn is_here(address: IpAddr) -> bool {
    address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_this_machine_is_spoken_to() {
        let failed =
            |url: &str| Api::new(url, None, Duration::from_secs(1)).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(failed("http://127.0.0.1:8000/"), "");
        assert_eq!(failed("http://[::1]:8000"), "");
        assert!(failed("http://192.0.2.1:8000").contains("another machine"));
        assert!(failed("https://127.0.0.1").contains("only http://"));
    }
}
