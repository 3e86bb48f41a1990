//! The report in the shape that `vllm bench serve --save-result --save-detailed` writes: its names, its units.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::arrival::{Arrival, Spacing};
use crate::completion::Endpoint;
use crate::lengths::Lengths;
use crate::report::{Latency, LoadReport, Summary};
use crate::request::RequestRecord;

impl LoadReport {
    /// Writes the report as `vllm bench serve` writes its own: arrays in seconds, summaries in milliseconds, one entry a
    /// sent request. What has no figure is absent. What vLLM's file does not hold stands under `vramscope`.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_serve_json(&self, mut out: impl io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, &self.serve_json())?;
        out.write_all(b"\n")
    }

    /// The report as `vllm bench serve` writes it.
    pub fn serve_json(&self) -> Value {
        let summary = self.summary();
        let mut document = Map::new();
        self.head(&summary, &mut document);
        self.each_request(&mut document);
        let latencies = [
            ("ttft", summary.ttft),
            ("tpot", summary.tpot),
            ("itl", summary.itl),
            ("e2el", summary.e2el),
            ("client_queue_time", summary.client_queue_time),
        ];
        for (name, latency) in latencies {
            if let Some(latency) = latency {
                latency.figures(name, &mut document);
            }
        }
        document.insert("vramscope".into(), self.own(&summary));
        Value::Object(document)
    }

    fn head(&self, summary: &Summary, document: &mut Map<String, Value>) {
        let (rate, burstiness, concurrency) = match self.plan.arrival {
            Arrival::Concurrency(n) => (json!("inf"), json!(1.0), json!(n)),
            // vLLM's word for even distances is an infinite burstiness, which JSON cannot hold.
            Arrival::Rate { per_s, spacing, max_in_flight } => {
                let burstiness = match spacing {
                    Spacing::Even => json!("inf"),
                    Spacing::Poisson => json!(1.0),
                    Spacing::Gamma { burstiness } => json!(burstiness),
                };
                (json!(per_s), burstiness, json!(max_in_flight))
            }
            // The rate that a trace comes to.
            Arrival::Trace { max_in_flight, .. } => (json!(summary.sent_per_s), json!(1.0), json!(max_in_flight)),
        };
        let backend = match self.plan.endpoint {
            Endpoint::Completions => "openai",
            Endpoint::Chat => "openai-chat",
        };
        let date = Timestamp::try_from(self.anchor.wall).map(|at| at.strftime("%Y%m%d-%H%M%S").to_string());
        let fields = [
            ("date", date.map_or(Value::Null, Value::from)),
            ("endpoint_type", json!(backend)),
            ("backend", json!(backend)),
            ("label", Value::Null),
            ("model_id", json!(self.plan.model)),
            ("tokenizer_id", Value::Null),
            ("num_prompts", json!(self.requests.len() as u64 + self.unsent)),
            ("request_rate", rate),
            ("burstiness", burstiness),
            ("max_concurrency", concurrency),
            ("duration", json!(summary.duration.as_secs_f64())),
            ("completed", json!(summary.completed)),
            ("failed", json!(summary.failed)),
            ("total_input_tokens", json!(summary.input_tokens)),
            ("total_output_tokens", json!(summary.output_tokens)),
            ("request_throughput", json!(summary.requests_per_s)),
            ("request_goodput", json!(summary.good_per_s)),
            ("output_throughput", json!(summary.output_tokens_per_s)),
            ("total_token_throughput", json!(summary.total_tokens_per_s)),
            ("max_output_tokens_per_s", json!(summary.max_chunks_per_s)),
            ("max_concurrent_requests", json!(summary.max_concurrent_requests)),
        ];
        document.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    }

    fn each_request(&self, document: &mut Map<String, Value>) {
        let seconds = |time: Duration| time.as_secs_f64();
        let mut list = |name: &str, values: Vec<Value>| document.insert(name.to_owned(), Value::Array(values));
        let all = || self.requests.iter();
        let tokens = || all().map(|record| record.outcome.as_ref().ok());
        // A failed request has no answer; vLLM writes 0 for its length and an empty list for its gaps.
        // How long a given text is, only an answer tells.
        let input = |r: &RequestRecord| r.outcome.as_ref().ok().and_then(|t| t.input).or(r.asked.input);
        list("input_lens", all().map(|record| json!(input(record))).collect());
        list("output_lens", tokens().map(|t| json!(t.map_or(0, |t| t.output))).collect());
        list("ttfts", all().map(|record| json!(record.ttft().map_or(0.0, seconds))).collect());
        list("itls", all().map(|record| json!(record.itls().map(seconds).collect::<Vec<_>>())).collect());
        list("latencies", all().map(|record| json!(seconds(record.latency()))).collect());
        list("start_times", all().map(|record| json!(seconds(record.start))).collect());
        list("queue_times", all().map(|record| json!(seconds(record.start.saturating_sub(record.due)))).collect());
        let error = |failure: &crate::Failure| failure.message.clone();
        list("errors", all().map(|r| json!(r.outcome.as_ref().err().map(error).unwrap_or_default())).collect());
    }

    fn own(&self, summary: &Summary) -> Value {
        let anchor = self.anchor.wall.duration_since(UNIX_EPOCH).ok().and_then(|at| u64::try_from(at.as_nanos()).ok());
        let failures: Map<String, Value> =
            summary.failures.iter().map(|(kind, count)| (kind.to_string(), json!(count))).collect();
        json!({
            "generator": concat!("vramscope-load ", env!("CARGO_PKG_VERSION")),
            "anchor_unix_ns": anchor,
            "measure_started_s": self.started.as_secs_f64(),
            "seed": self.plan.seed,
            "stream": self.plan.stream,
            "input_len": self.plan.prompts.are_of_lengths().then(|| lengths(self.plan.input_len)),
            "output_len": lengths(self.plan.output_len),
            "warmup_requests": self.plan.warmup_requests,
            "prompts": self.form.name(),
            "itl_basis": "chunk",
            "chunks": summary.chunks,
            "other_output_len": summary.other_output_len,
            "unsent": self.unsent,
            "stopped": self.stopped,
            "short": summary.short,
            "late": summary.late,
            "failures": failures,
        })
    }
}

/// A number where all are the same, else as it is written on a command line.
fn lengths(lengths: Lengths) -> Value {
    lengths.fixed().map_or_else(|| json!(lengths.to_string()), |len| json!(len))
}

impl Latency {
    fn figures(&self, name: &str, document: &mut Map<String, Value>) {
        let figures = [
            ("mean", self.mean_ms),
            ("median", self.median_ms),
            ("std", self.std_ms),
            ("p95", self.p95_ms),
            ("p99", self.p99_ms),
        ];
        document.extend(figures.map(|(statistic, ms)| (format!("{statistic}_{name}_ms"), json!(ms))));
    }
}
