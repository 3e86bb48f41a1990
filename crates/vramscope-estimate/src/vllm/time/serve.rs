//! A served load, by going through the engine's steps.
//!
//! Means say little of a server: of the same lengths in the mean, equal ones move in waves and drawn ones do not. So the
//! scheduler itself is followed, step by step, with the time that each step is predicted to take.

mod load;
mod random;
mod scheduler;

pub use load::{Arrivals, ServedLoad, TokenCounts};

use super::figure::Seconds;
use super::float;
use super::step::StepModel;
use crate::EstimateError;
use crate::vllm::budget::Budget;

/// What the server made of a load.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServedTime {
    /// From sending a request to its first token. Unit: seconds.
    pub ttft: Spread,
    /// Between a request's tokens, its mean. Unit: seconds; `None` where no request has a second token.
    pub tpot: Option<Spread>,
    /// From sending a request to its last token. Unit: seconds.
    pub e2e: Spread,
    /// From the first request to the last token. Unit: seconds.
    pub seconds: f64,
    /// Generated tokens in a second of that.
    pub output_tokens_per_second: f64,
    /// Requests that ended in a second of that.
    pub requests_per_second: f64,
    /// Requests that ended: all of them.
    pub requests: u64,
    /// Prompt tokens of all.
    pub input_tokens: u64,
    /// Generated tokens of all.
    pub output_tokens: u64,
    /// Steps of the engine.
    pub steps: u64,
    /// Most requests that were in one step.
    pub most_together: u64,
    /// How often a request lost its cache to others and was computed again.
    pub preemptions: u64,
    /// What each figure but those of the first token may be off by, as a share: it lies between value / (1 + this) and
    /// value x (1 + this).
    pub off: f64,
    /// The same of times to the first token.
    pub ttft_off: f64,
    /// Nothing bounds the figures from above: the host decides, and nobody measured it.
    pub open: bool,
}

/// How a figure is spread over requests.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Spread {
    /// The arithmetic mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// Nine in ten requests have no more.
    pub p90: f64,
    /// 99 in a hundred requests have no more.
    pub p99: f64,
}

/// What figures would be off by if steps were certain, as shares: the worst errors of the recorded levels over seeds, rounded
/// up, of the medians of first tokens and of everything else. A first token waits for whole steps of other prompts, so one step
/// more or less is much of it.
const FIRST: f64 = 1.50;
const OTHERS: f64 = 0.26;

/// Follows a load through the engine of a budget; `model` must be of the same engine.
///
/// The scheduler is that of vLLM's V1 engine (`v1/core/sched/scheduler.py`, `async_scheduler.py`; `v1/engine/core.py`,
/// `step_with_batch_queue`): a step holds at most `max_num_batched_tokens`; running requests come first, in their order;
/// waiting ones follow in theirs while fewer than `max_num_seqs` run and the cache has room for their prompts, which are cut
/// where the step is full. Where the cache is full the newest request is computed again later. A step is put together and
/// started while the one before it runs, and tokens are handed out once the next step was started. Prefixes are never shared.
/// Releases without asynchronous scheduling or `scheduler_reserve_full_isl` differ, and are followed as if they had both.
///
/// # Errors
/// [`EstimateError::BadArgument`] for a load that nobody can send, one that is too large to go through, and one whose
/// longest request is not within `max_model_len` or the cache.
pub fn serve(model: &StepModel, budget: &Budget, load: &ServedLoad) -> Result<ServedTime, EstimateError> {
    let due = load.due()?;
    let followed = scheduler::follow(model, budget, load, &due)?;
    let doubts = model.doubts();
    let figure = |of: &dyn Fn(&scheduler::Ended) -> Option<f64>| {
        let counted = followed.ended.iter().filter(|own| own.index as u64 >= load.warmup);
        Spread::of(counted.filter_map(of).collect())
    };
    let output_tokens = due.iter().fold(0_u64, |sum, own| sum.saturating_add(own.output));
    let seconds = followed.ended.iter().map(|own| own.last).fold(0.0, f64::max);
    let none = || EstimateError::BadArgument { name: "requests", value: "0".to_owned(), expected: "at least 1" };
    Ok(ServedTime {
        ttft: figure(&|own| Some(own.first - own.sent)).ok_or_else(none)?,
        tpot: figure(&|own| (own.output > 1).then(|| (own.last - own.first) / float(own.output - 1))),
        e2e: figure(&|own| Some(own.last - own.sent)).ok_or_else(none)?,
        seconds,
        output_tokens_per_second: float(output_tokens) / seconds,
        requests_per_second: float(load.requests) / seconds,
        requests: followed.ended.len() as u64,
        input_tokens: due.iter().fold(0_u64, |sum, own| sum.saturating_add(own.input)),
        output_tokens: followed.output_tokens,
        steps: followed.steps,
        most_together: followed.most_together,
        preemptions: followed.preemptions,
        off: doubts.half_width.hypot(OTHERS),
        ttft_off: doubts.half_width.hypot(FIRST),
        open: doubts.open,
    })
}

impl ServedTime {
    /// A time to the first token, such as the median, with its interval.
    pub fn around_first(&self, value: f64) -> Seconds {
        self.interval(value, self.ttft_off)
    }

    /// A time per output token or of whole requests with its interval.
    pub fn around(&self, value: f64) -> Seconds {
        self.interval(value, self.off)
    }

    fn interval(&self, value: f64, off: f64) -> Seconds {
        Seconds { value, low: value / (1.0 + off), high: (!self.open).then_some(value * (1.0 + off)) }
    }
}

impl Spread {
    /// Quantiles of type 7; `None` of nothing.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |share: usize| {
            let place = (values.len() - 1) * share;
            let (below, part) = (place / 100, place % 100);
            let next = values.get(below + 1).or(values.get(below))?;
            Some(values[below] + (next - values[below]) * float(part as u64) / 100.0)
        };
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / float(values.len() as u64);
        Some(Self { mean, p50: at(50)?, p90: at(90)?, p99: at(99)? })
    }
}
