//! What really happened.

use serde::{Deserialize, Serialize};

/// All requests for completions since the start, or since they were forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Truth {
    /// Whether the server's thread has real-time priority, and if not, why.
    pub real_time: Option<String>,
    /// The latest that a write was behind its schedule, in nanoseconds.
    pub latest_write_ns: u64,
    /// In the order of their arrival.
    pub requests: Vec<RequestTruth>,
}

/// One request. Times are of `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RequestTruth {
    /// Its number, from 0; its answer's `id` ends with it.
    pub number: u64,
    /// When the last of the request came, by the system's note of packets.
    pub arrived_ns: u64,
    /// The HTTP status of the answer, 0 while there is none.
    pub status: u16,
    /// The model it asked for.
    pub model: String,
    /// Tokens of its prompt.
    pub input_tokens: u64,
    /// When each write that held tokens began.
    pub written_ns: Vec<u64>,
    /// The tokens of each of these writes.
    pub tokens: Vec<u64>,
    /// Whether the answer was written whole.
    pub whole: bool,
}

impl RequestTruth {
    /// From arrival to the write of the first token, in nanoseconds.
    pub fn ttft_ns(&self) -> Option<u64> {
        self.written_ns.first()?.checked_sub(self.arrived_ns)
    }

    /// From arrival to the write of the last token, in nanoseconds.
    pub fn latency_ns(&self) -> Option<u64> {
        self.written_ns.last()?.checked_sub(self.arrived_ns)
    }

    /// Tokens of the answer.
    pub fn output_tokens(&self) -> u64 {
        self.tokens.iter().sum()
    }
}
