//! The engine's HTTP interface, on this machine only.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

/// Requests in flight together: enough for the engine to form batches.
const AT_ONCE: u32 = 8;

/// The longest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;

/// An engine's address.
pub(super) struct Api {
    agent: ureq::Agent,
    base: String,
}

impl Api {
    /// An engine at `http://HOST:PORT` on this machine.
    pub(super) fn new(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        let rest = base.strip_prefix("http://").context("only http:// on this machine is supported")?;
        let place = rest.split('/').next().unwrap_or_default();
        let addresses =
            if place.contains(':') && !place.ends_with(']') { place.to_owned() } else { format!("{place}:80") };
        let mut found = addresses.to_socket_addrs().with_context(|| format!("could not find {place}"))?;
        if !found.all(|address| is_here(address.ip())) {
            bail!("{place} is another machine: the traces would be on its disk; run this command there");
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .build();
        Ok(Self { agent: config.into(), base })
    }

    /// Whether the engine answers that it is well.
    pub(super) fn is_ready(&self) -> bool {
        let probe = self.agent.get(format!("{}/health", self.base));
        let probe = probe.config().timeout_global(Some(Duration::from_secs(5))).build();
        probe.call().is_ok_and(|answer| answer.status() == 200)
    }

    /// The first model that it serves.
    pub(super) fn model(&self) -> anyhow::Result<String> {
        let answer = self.agent.get(format!("{}/v1/models", self.base)).call();
        let mut answer = answer.with_context(|| format!("could not ask {} for its models", self.base))?;
        let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string()?;
        let models: Value = serde_json::from_str(&text).context("the list of models is no JSON")?;
        let name = models["data"][0]["id"].as_str();
        name.map(str::to_owned).ok_or_else(|| anyhow!("{} serves no model", self.base))
    }

    /// Starts the profiler.
    pub(super) fn start_profile(&self) -> anyhow::Result<()> {
        self.profile("start_profile")
    }

    /// Stops the profiler; the engine answers when the trace is written, which can take minutes.
    pub(super) fn stop_profile(&self) -> anyhow::Result<()> {
        self.profile("stop_profile")
    }

    fn profile(&self, what: &str) -> anyhow::Result<()> {
        let answer = self.agent.post(format!("{}/{what}", self.base)).send_empty();
        let status = answer.with_context(|| format!("could not ask for {what}"))?.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            404 => bail!(
                "the engine has no {what}: its profiler is not set up (--profiler-config, or before vLLM 0.13 VLLM_TORCH_PROFILER_DIR)"
            ),
            code => bail!("{what} was answered with status {code}"),
        }
    }

    /// Sends one request. Prompts differ, so that no cached prefix saves the engine its work.
    pub(super) fn complete(&self, model: &str, number: u32, max_tokens: u32) -> anyhow::Result<()> {
        let prompt = format!("{number}: count on from {} to the end, one number after the other.", number * 7 + 1);
        let body =
            json!({"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": true});
        let request =
            self.agent.post(format!("{}/v1/completions", self.base)).header("content-type", "application/json");
        let mut answer = request.send(body.to_string()).context("could not send a request")?;
        let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string()?;
        if answer.status() != 200 {
            let words: String = text.chars().take(300).collect();
            bail!("a request was answered with status {}: {words}", answer.status().as_u16());
        }
        Ok(())
    }

    /// Sends several requests, some at once; the first failure is told.
    pub(super) fn complete_all(&self, model: &str, requests: u32, max_tokens: u32) -> anyhow::Result<()> {
        let next = AtomicU32::new(1);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..requests.min(AT_ONCE))
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            if number > requests {
                                return Ok(());
                            }
                            self.complete(model, number, max_tokens)?;
                        }
                    })
                })
                .collect();
            let mut result = Ok(());
            for worker in workers {
                let done: anyhow::Result<()> = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(done);
            }
            result
        })
    }
}

fn is_here(address: IpAddr) -> bool {
    address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to() {
        let failed =
            |url: &str| Api::new(url, Duration::from_secs(1)).err().map(|e| format!("{e:#}")).unwrap_or_default();
        assert_eq!(failed("http://127.0.0.1:8000/"), "");
        assert_eq!(failed("http://[::1]:8000"), "");
        assert!(failed("http://192.0.2.1:8000").contains("another machine"));
        assert!(failed("https://127.0.0.1").contains("only http://"));
    }
}
