//! What was asked of the engine.

use std::time::Duration;

/// A benchmark's requests, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workload {
    /// Prompt tokens of one request.
    pub input_len: Option<u64>,
    /// Generated tokens of one request.
    pub output_len: Option<u64>,
    /// Requests in flight together.
    pub batch_size: Option<u64>,
    /// Iterations before the measured ones.
    pub warmup_iterations: Option<u64>,
    /// Measured iterations.
    pub iterations: Option<u64>,
}

impl Workload {
    /// Tokens that the KV cache holds when every request of a batch has reached its full length.
    pub fn peak_tokens(&self) -> Option<u64> {
        self.input_len?.checked_add(self.output_len?)?.checked_mul(self.batch_size?)
    }
}

/// What a latency benchmark measured: the time of whole iterations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LatencyResult {
    /// Each measured iteration, in order.
    pub iterations: Vec<Duration>,
    /// Percentiles as the benchmark itself printed them: percent, and the time.
    pub percentiles: Vec<(f64, Duration)>,
    /// The mean as the benchmark itself printed it.
    pub mean: Option<Duration>,
}
