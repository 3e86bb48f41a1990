//! What load to send.

use std::ops::Range;
use std::time::Duration;

use crate::error::LoadError;
use crate::random::Random;

/// More requests than this are refused: their records would not fit memory well, and no such run ends in a day.
const MAX_REQUESTS: u64 = 1_000_000;
/// More generated tokens than this are refused: each chunk's time is kept (16 bytes).
const MAX_TOKENS: u64 = 50_000_000;
/// No model takes a longer context, and a prompt is built in memory.
const MAX_LEN: u64 = 16_000_000;
/// The stream of random numbers that arrivals use; prompts use the numbers of their requests.
const ARRIVALS: u64 = u64::MAX;

/// A load: how many requests of which lengths, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
    /// The name under which the server knows the model.
    pub model: String,
    /// Prompt tokens of each request; not used where there is a text.
    pub input_len: u64,
    /// The prompt of every request, in place of those made from the seed. The server counts its tokens.
    pub text: Option<String>,
    /// Generated tokens of each request.
    pub output_len: u64,
    /// Measured requests.
    pub requests: u64,
    /// When they are sent.
    pub arrival: Arrival,
    /// Requests before the measured ones, with other prompts; their times are kept apart.
    pub warmup_requests: u64,
    /// Names the prompts and arrivals: the same seed sends the same load.
    pub seed: u64,
    /// The token ids that prompts draw from: within the model's vocabulary, and free of ids with a special meaning
    /// that would matter (an image's placeholder).
    pub token_ids: Range<u32>,
    /// How long the server may send nothing before a request counts as failed.
    pub stall_timeout: Duration,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Arrival {
    /// So many in flight always: as one ends, the next is sent.
    Concurrency(u64),
    /// By the clock, whether the server keeps up or not.
    Rate {
        /// Requests per second.
        per_s: f64,
        /// Random (a Poisson process) or even distances.
        spacing: Spacing,
    },
}

/// The distances between requests sent by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Exponentially distributed: a Poisson process, `--burstiness 1` of `vllm bench serve`.
    Poisson,
    /// All the same.
    Even,
}

impl LoadPlan {
    /// A plan of one request at a time, without warmup, seed 0, token ids 0 to 9,999 and ten minutes of patience.
    pub fn new(model: impl Into<String>, input_len: u64, output_len: u64, requests: u64) -> Self {
        Self {
            model: model.into(),
            input_len,
            text: None,
            output_len,
            requests,
            arrival: Arrival::Concurrency(1),
            warmup_requests: 0,
            seed: 0,
            token_ids: 0..10_000,
            stall_timeout: Duration::from_secs(600),
        }
    }

    /// Checks all that can be checked without a server. [`crate::run`] does so first.
    ///
    /// # Errors
    /// [`LoadError::Plan`], naming the field.
    pub fn check(&self) -> Result<(), LoadError> {
        let wrong = |field, problem: String| Err(LoadError::Plan { field, problem });
        let between = |field, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            wrong(field, format!("{value} is out of range; expected {low} to {high}"))
        };
        if self.model.is_empty() {
            return wrong("model", "it is empty; expected a name that /v1/models lists".into());
        }
        match &self.text {
            Some(text) => between("text", text.len() as u64, 1, MAX_LEN)?,
            None => between("input_len", self.input_len, 1, MAX_LEN)?,
        }
        between("output_len", self.output_len, 1, MAX_LEN)?;
        between("requests", self.requests, 1, MAX_REQUESTS)?;
        between("warmup_requests", self.warmup_requests, 0, MAX_REQUESTS)?;
        let all = self.requests.saturating_add(self.warmup_requests).saturating_mul(self.output_len);
        between("requests × output_len", all, 1, MAX_TOKENS)?;
        if self.token_ids.is_empty() {
            return wrong(
                "token_ids",
                format!("{:?} is empty; expected ids below the vocabulary's size", self.token_ids),
            );
        }
        if self.stall_timeout.is_zero() {
            return wrong("stall_timeout", "it is zero; expected the longest time without a token".into());
        }
        match self.arrival {
            Arrival::Concurrency(n) => between("concurrency", n, 1, MAX_REQUESTS),
            // The slowest rate still ends: a million requests at this rate take 30 years, fewer are the user's choice.
            Arrival::Rate { per_s, .. } if (1e-3..=1e6).contains(&per_s) => Ok(()),
            Arrival::Rate { per_s, .. } => {
                wrong("rate", format!("{per_s} requests per second are out of range; expected 0.001 to 1000000"))
            }
        }
    }

    /// When each measured request is due, from the beginning of the measurement. For a rate it is computed as
    /// `vllm bench serve` computes it: distances are summed and scaled so that the last request is due at
    /// `requests / rate`. With a fixed concurrency all are due at once and wait for their turn.
    pub fn due(&self) -> Vec<Duration> {
        let Arrival::Rate { per_s, spacing } = self.arrival else {
            return (0..self.requests).map(|_| Duration::ZERO).collect();
        };
        let mut random = Random::of(self.seed, ARRIVALS);
        let mut sum = 0.0;
        let times: Vec<f64> = (0..self.requests)
            .map(|_| {
                sum += if spacing == Spacing::Even { 1.0 } else { random.exponential() };
                sum
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "at most MAX_REQUESTS")]
        let scale = if sum > 0.0 { self.requests as f64 / per_s / sum } else { 0.0 };
        times.into_iter().map(|time| Duration::try_from_secs_f64(time * scale).unwrap_or(Duration::MAX)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_s: f64, spacing: Spacing, seed: u64, requests: u64) -> LoadPlan {
        LoadPlan { arrival: Arrival::Rate { per_s, spacing }, seed, ..LoadPlan::new("m", 1, 1, requests) }
    }

    proptest! {
        #[test]
        fn arrivals_ascend_end_at_count_over_rate_and_repeat_with_their_seed(
            per_s in 0.01f64..1000.0, seed: u64, n in 1u32..300
        ) {
            let plan = rate(per_s, Spacing::Poisson, seed, u64::from(n));
            let due = plan.due();
            prop_assert_eq!(due.len(), n as usize);
            prop_assert!(due.is_sorted());
            let last = due.last().unwrap().as_secs_f64();
            prop_assert!((last - f64::from(n) / per_s).abs() <= 1e-6 * last.max(1.0));
            prop_assert_eq!(due, plan.due());
        }
    }

    #[test]
    fn even_arrivals_are_even_and_other_seeds_give_other_arrivals() {
        let due = rate(4.0, Spacing::Even, 1, 4).due();
        assert_eq!(due.iter().map(Duration::as_millis).collect::<Vec<_>>(), [250, 500, 750, 1000]);
        assert_ne!(rate(4.0, Spacing::Poisson, 1, 9).due(), rate(4.0, Spacing::Poisson, 2, 9).due());
    }

    #[test]
    fn each_field_out_of_range_is_named() {
        let good = LoadPlan::new("m", 16, 16, 4);
        good.check().unwrap();
        let bad = [
            ("model", LoadPlan { model: String::new(), ..good.clone() }),
            ("input_len", LoadPlan { input_len: 0, ..good.clone() }),
            ("text", LoadPlan { text: Some(String::new()), ..good.clone() }),
            ("output_len", LoadPlan { output_len: u64::MAX, ..good.clone() }),
            ("requests", LoadPlan { requests: 0, ..good.clone() }),
            ("requests × output_len", LoadPlan { requests: 1_000_000, output_len: 51, ..good.clone() }),
            ("token_ids", LoadPlan { token_ids: 5..5, ..good.clone() }),
            ("stall_timeout", LoadPlan { stall_timeout: Duration::ZERO, ..good.clone() }),
            ("concurrency", LoadPlan { arrival: Arrival::Concurrency(0), ..good.clone() }),
            ("rate", rate(f64::NAN, Spacing::Even, 0, 1)),
            ("rate", rate(0.0, Spacing::Even, 0, 1)),
        ];
        for (name, plan) in bad {
            let error = plan.check().unwrap_err();
            assert!(matches!(error, LoadError::Plan { field, .. } if field == name), "{name}: {error}");
        }
    }
}
