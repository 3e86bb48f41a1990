//! Results that the engine's own benchmarks print.

use vramscope_core::Origin;

use crate::figure::Value;
use crate::key::Key;
use crate::pattern::Captured;
use crate::vllm::rows::BenchPart;

/// Which benchmark printed a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BenchKind {
    /// `vllm bench latency`.
    Latency,
    /// `vllm bench throughput`.
    Throughput,
    /// `vllm bench serve`.
    Serve,
}

/// One value of a benchmark's result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BenchValue {
    /// The label as printed, without its colon (`Mean TTFT (ms)`).
    pub label: String,
    /// The value.
    pub value: f64,
    /// Where it stands.
    pub origin: Origin,
}

/// Most values of one result; a serving result has about thirty.
const MAX_VALUES: usize = 256;

/// Everything that benchmarks have printed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bench {
    pub(crate) kind: Option<BenchKind>,
    pub(crate) values: Vec<BenchValue>,
    /// Within the block of a serving result.
    pub(crate) in_serve: bool,
    /// The mean of a latency result, in seconds.
    pub(crate) avg_latency: Option<f64>,
    /// Percent and seconds.
    pub(crate) percentiles: Vec<(f64, f64)>,
}

impl Bench {
    pub(crate) fn is_empty(&self) -> bool {
        self.kind.is_none()
    }

    /// Takes a line of a result.
    pub(crate) fn take(&mut self, part: BenchPart, captured: &[Captured], origin: &Origin) {
        let number = |key: Key| {
            captured.iter().find(|c| c.key == key).and_then(|c| match c.value {
                Value::Number(number) => Some(number),
                #[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^53")]
                Value::Count(count) => Some(count as f64),
                _ => None,
            })
        };
        self.kind = Some(match part {
            BenchPart::Latency => BenchKind::Latency,
            BenchPart::Throughput => BenchKind::Throughput,
            BenchPart::Serve => BenchKind::Serve,
        });
        if part == BenchPart::Serve {
            self.in_serve = true;
            self.values.clear();
        }
        if let Some(mean) = number(Key::BenchAvgLatency) {
            self.avg_latency = Some(mean);
            self.percentiles.clear();
            self.put("Avg latency (s)", mean, origin);
        }
        if let (Some(percent), Some(secs)) = (number(Key::BenchPercentile), number(Key::BenchPercentileLatency)) {
            if self.percentiles.len() < MAX_VALUES {
                self.percentiles.push((percent, secs));
            }
            self.put(&format!("{percent}% percentile latency (s)"), secs, origin);
        }
        for (key, label) in [
            (Key::BenchRequestRate, "requests/s"),
            (Key::BenchTotalRate, "total tokens/s"),
            (Key::BenchOutputRate, "output tokens/s"),
            (Key::BenchPromptTokens, "Total num prompt tokens"),
            (Key::BenchOutputTokens, "Total num output tokens"),
        ] {
            if let Some(value) = number(key) {
                self.put(label, value, origin);
            }
        }
    }

    /// A line `Label:   value` within a serving result. Gives whether it was one.
    pub(crate) fn serve_line(&mut self, message: &str, origin: &Origin) -> bool {
        if !self.in_serve {
            return false;
        }
        if message.len() >= 20 && message.bytes().all(|b| b == b'=') {
            self.in_serve = false;
            return true;
        }
        let Some((label, rest)) = message.split_once(':') else { return message.starts_with('-') };
        match crate::number::number(rest.trim()) {
            Some(n) if n.len == rest.trim().len() => {
                self.put(label.trim(), n.value, origin);
                true
            }
            _ => false,
        }
    }

    fn put(&mut self, label: &str, value: f64, origin: &Origin) {
        let value = BenchValue { label: label.to_owned(), value, origin: origin.clone() };
        match self.values.iter().position(|v| v.label == label) {
            Some(known) => self.values[known] = value,
            None if self.values.len() < MAX_VALUES => self.values.push(value),
            None => {}
        }
    }
}
