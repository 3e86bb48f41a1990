//! What load to send.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::arrival::{Arrival, Spacing};
use crate::completion::{DECIDED, Endpoint};
use crate::dataset::Dataset;
use crate::error::LoadError;
use crate::lengths::Lengths;
use crate::mix::Mix;
use crate::slo::Slo;

/// More requests than this are refused: their records would not fit memory well, and no such run ends in a day.
pub(crate) const MAX_REQUESTS: u64 = 1_000_000;
/// More generated tokens than this are refused: each chunk's time is kept (16 bytes).
const MAX_TOKENS: u64 = 50_000_000;
/// No model takes a longer context, and a prompt is built in memory.
pub(crate) const MAX_LEN: u64 = 16_000_000;
/// A load does not go on for longer: a week.
const MAX_TIME: Duration = Duration::from_secs(7 * 86_400);
/// An extra body of more is no setting any more.
const MAX_EXTRA: usize = 1 << 20;

/// A load: how many requests of which lengths, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
    /// The name under which the server knows the model.
    pub model: String,
    /// Models that share the requests by weight; empty for `model` alone.
    pub mix: Mix,
    /// Which question is asked.
    pub endpoint: Endpoint,
    /// Where prompts come from.
    pub prompts: Prompts,
    /// Prompt tokens of each request; not used where there is a text or a data set.
    pub input_len: Lengths,
    /// Generated tokens of each request, unless a data set says.
    pub output_len: Lengths,
    /// When the sending of measured requests ends.
    pub until: Until,
    /// When they are sent.
    pub arrival: Arrival,
    /// Over this time from the beginning of the measurement the concurrency, or the rate, rises evenly to what it is.
    pub ramp_up: Duration,
    /// Requests before the measured ones, with other prompts; their times are kept apart.
    pub warmup_requests: u64,
    /// Names the prompts, lengths and arrivals: the same seed and stream send the same load.
    pub seed: u64,
    /// Which of the loads of this seed it is. Loads of different streams share no prompt, so that one after the other
    /// finds nothing in the server's prefix cache.
    pub stream: u64,
    /// The token ids that prompts draw from: within the model's vocabulary, and free of ids with a special meaning
    /// that would matter (an image's placeholder).
    pub token_ids: Range<u32>,
    /// How many tokens the words of a prompt have, where it is made of words.
    pub words: WordTokens,
    /// How long the server may send nothing before a request counts as failed.
    pub stall_timeout: Duration,
    /// More fields of each request's body.
    pub extra_body: Map<String, Value>,
    /// What counts as good.
    pub slo: Slo,
}

/// How many tokens a prompt of words has, as [`crate::Client::word_tokens`] learns it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WordTokens {
    /// Tokens of a word, on the mean; 1 where nobody knows, and lengths then count words.
    pub per_word: f64,
    /// Tokens that the template of a chat adds to each prompt.
    pub template: u64,
}

impl Default for WordTokens {
    /// A token a word, and nothing besides.
    fn default() -> Self {
        Self { per_word: 1.0, template: 0 }
    }
}

/// Where prompts come from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Prompts {
    /// Each made from the seed, and like no other.
    Random,
    /// This text for every request. The server counts its tokens.
    Text(String),
    /// As [`Self::Random`], but a part of them begins alike. Each stream has another beginning.
    Prefix {
        /// The part of the requests, 0 to 1.
        share: f64,
        /// The tokens with which they begin; they are some of `input_len`.
        len: u64,
    },
    /// Those of a data set.
    Data(DataPrompts),
}

/// How the records of a data set are used.
#[derive(Debug, Clone, PartialEq)]
pub struct DataPrompts {
    /// The data set, arranged.
    pub set: Arc<Dataset>,
    /// The record to begin with: levels that go on where the last one ended share no prompt, as far as there are records.
    pub first: u64,
    /// Whether records say how long answers are to be; else the plan does.
    pub own_output: bool,
}

impl Prompts {
    /// Whether they are made to the plan's lengths.
    pub(crate) fn are_of_lengths(&self) -> bool {
        matches!(self, Self::Random | Self::Prefix { .. })
    }
}

/// When the sending of measured requests ends. Requests under way then come to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// After so many.
    Requests(u64),
    /// After this time.
    Elapsed(Duration),
}

impl LoadPlan {
    /// A plan of one request at a time, of text, without warmup, seed 0, token ids 0 to 9,999 and ten minutes of patience.
    pub fn new(
        model: impl Into<String>,
        input_len: impl Into<Lengths>,
        output_len: impl Into<Lengths>,
        requests: u64,
    ) -> Self {
        Self {
            model: model.into(),
            mix: Mix::default(),
            endpoint: Endpoint::Completions,
            prompts: Prompts::Random,
            input_len: input_len.into(),
            output_len: output_len.into(),
            until: Until::Requests(requests),
            arrival: Arrival::Concurrency(1),
            ramp_up: Duration::ZERO,
            warmup_requests: 0,
            seed: 0,
            stream: 0,
            token_ids: 0..10_000,
            words: WordTokens::default(),
            stall_timeout: Duration::from_secs(600),
            extra_body: Map::new(),
            slo: Slo::default(),
        }
    }

    /// Measured requests, where the plan counts them.
    pub fn requests(&self) -> Option<u64> {
        match self.until {
            Until::Requests(count) => Some(count),
            Until::Elapsed(_) => None,
        }
    }

    /// Requests that are in flight together at most, and whether so many will be: by the clock it depends on the server.
    pub(crate) fn in_flight(&self) -> (u64, bool) {
        let all = self.requests().unwrap_or(MAX_REQUESTS).max(self.warmup_requests);
        match self.arrival {
            Arrival::Concurrency(most) | Arrival::Rate { max_in_flight: Some(most), .. } => (most.min(all), true),
            Arrival::Trace { max_in_flight: Some(most), .. } => (most.min(all), true),
            Arrival::Rate { max_in_flight: None, .. } | Arrival::Trace { max_in_flight: None, .. } => (all, false),
        }
    }

    /// Checks all that can be checked without a server. [`crate::run`] does so first.
    ///
    /// # Errors
    /// [`LoadError::Plan`], naming the field.
    pub fn check(&self) -> Result<(), LoadError> {
        if self.model.is_empty() {
            return wrong("model", "it is empty; expected a name that /v1/models lists");
        }
        match &self.prompts {
            Prompts::Text(text) => between("prompts", text.len() as u64, 1, MAX_LEN)?,
            Prompts::Random => lengths("input_len", self.input_len)?,
            Prompts::Prefix { share, len } => {
                lengths("input_len", self.input_len)?;
                if !(0.0..=1.0).contains(share) {
                    return wrong("prefix", format!("its share is {share}; expected 0 to 1"));
                }
                between("prefix", *len, 1, self.input_len.shortest())?;
            }
            Prompts::Data(data) => self.data(data)?,
        }
        self.mix.check()?;
        lengths("output_len", self.output_len)?;
        match self.until {
            Until::Requests(requests) => {
                between("requests", requests, 1, MAX_REQUESTS)?;
                let sent = requests.saturating_add(self.warmup_requests);
                let all = match &self.prompts {
                    Prompts::Data(data) if data.own_output => data.set.output_tokens(sent, self.output_len.longest()),
                    _ => sent.saturating_mul(self.output_len.longest()),
                };
                between("requests × output_len", all, 1, MAX_TOKENS)?;
            }
            Until::Elapsed(time) if time.is_zero() || time > MAX_TIME => {
                return wrong("duration", format!("{time:?} is out of range; expected up to a week"));
            }
            Until::Elapsed(_) => {}
        }
        between("warmup_requests", self.warmup_requests, 0, MAX_REQUESTS)?;
        if self.token_ids.is_empty() {
            let ids = &self.token_ids;
            return wrong("token_ids", format!("{ids:?} is empty; expected ids below the vocabulary's size"));
        }
        if !(0.1..=100.0).contains(&self.words.per_word) {
            let problem = format!("{} tokens a word are out of range; expected 0.1 to 100", self.words.per_word);
            return wrong("words", problem);
        }
        if self.stall_timeout.is_zero() {
            return wrong("stall_timeout", "it is zero; expected the longest time without a token");
        }
        if self.ramp_up > MAX_TIME {
            return wrong("ramp_up", format!("{:?} is out of range; expected up to a week", self.ramp_up));
        }
        if let Some(name) = DECIDED.iter().find(|name| self.extra_body.contains_key(**name)) {
            return wrong("extra_body", format!("the plan decides {name:?} alone; leave it out of the extra body"));
        }
        if Value::Object(self.extra_body.clone()).to_string().len() > MAX_EXTRA {
            return wrong("extra_body", format!("it is larger than {MAX_EXTRA} bytes"));
        }
        self.slo.check()?;
        self.arrives()
    }

    fn data(&self, data: &DataPrompts) -> Result<(), LoadError> {
        let (messages, ids) = data.set.holds();
        if data.set.is_empty() {
            return wrong("prompts", "the data set has no record");
        }
        if self.endpoint == Endpoint::Completions && (messages || data.set.is_talk()) {
            return wrong("endpoint", "the data set holds chats of several messages; expected chat");
        }
        if self.endpoint == Endpoint::Chat && ids {
            return wrong("endpoint", "the data set holds token ids, which a chat does not take; expected completions");
        }
        Ok(())
    }

    fn arrives(&self) -> Result<(), LoadError> {
        match self.arrival {
            Arrival::Trace { speed, max_in_flight } => {
                if !matches!(&self.prompts, Prompts::Data(data) if data.set.kind().is_trace()) {
                    return wrong("arrival", "only a trace says when its requests come");
                }
                if !(1e-3..=1e6).contains(&speed) {
                    return wrong("trace speed", format!("{speed} is out of range; expected 0.001 to 1000000"));
                }
                if !self.ramp_up.is_zero() {
                    return wrong("ramp_up", "a trace has times of its own, which do not ramp up");
                }
                max_in_flight.map_or(Ok(()), |most| between("max_in_flight", most, 1, MAX_REQUESTS))
            }
            Arrival::Concurrency(n) => between("concurrency", n, 1, MAX_REQUESTS),
            Arrival::Rate { per_s, spacing, max_in_flight } => {
                // The slowest rate still ends: a million requests at this rate take 30 years, fewer are the user's choice.
                if !(1e-3..=1e6).contains(&per_s) {
                    let problem = format!("{per_s} requests per second are out of range; expected 0.001 to 1000000");
                    return wrong("rate", problem);
                }
                if let Spacing::Gamma { burstiness } = spacing
                    && !(1e-3..=1e6).contains(&burstiness)
                {
                    return wrong("burstiness", format!("{burstiness} is out of range; expected 0.001 to 1000000"));
                }
                if let Until::Elapsed(time) = self.until
                    && time.as_secs_f64() * per_s > 1e6
                {
                    return wrong(
                        "rate",
                        format!("{per_s} per second for {time:?} are more than {MAX_REQUESTS} requests"),
                    );
                }
                max_in_flight.map_or(Ok(()), |most| between("max_in_flight", most, 1, MAX_REQUESTS))
            }
        }
    }
}

pub(crate) fn wrong(field: &'static str, problem: impl Into<String>) -> Result<(), LoadError> {
    Err(LoadError::Plan { field, problem: problem.into() })
}

fn between(field: &'static str, value: u64, low: u64, high: u64) -> Result<(), LoadError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    wrong(field, format!("{value} is out of range; expected {low} to {high}"))
}

fn lengths(field: &'static str, lengths: Lengths) -> Result<(), LoadError> {
    if let Some(problem) = lengths.problem() {
        return wrong(field, problem);
    }
    between(field, lengths.shortest(), 1, MAX_LEN)?;
    between(field, lengths.longest(), 1, MAX_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_field_out_of_range_is_named() {
        let good = LoadPlan::new("m", 16, 16, 4);
        good.check().unwrap();
        let rate = |per_s, spacing| Arrival::Rate { per_s, spacing, max_in_flight: None };
        let extra = |json: Value| json.as_object().unwrap().clone();
        let bad = [
            ("model", LoadPlan { model: String::new(), ..good.clone() }),
            ("input_len", LoadPlan { input_len: 0.into(), ..good.clone() }),
            ("input_len", LoadPlan { input_len: Lengths::Uniform { low: 0, high: 4 }, ..good.clone() }),
            ("prompts", LoadPlan { prompts: Prompts::Text(String::new()), ..good.clone() }),
            ("output_len", LoadPlan { output_len: u64::MAX.into(), ..good.clone() }),
            ("requests", LoadPlan { until: Until::Requests(0), ..good.clone() }),
            ("duration", LoadPlan { until: Until::Elapsed(Duration::ZERO), ..good.clone() }),
            ("requests × output_len", LoadPlan::new("m", 16, 51, 1_000_000)),
            ("token_ids", LoadPlan { token_ids: 5..5, ..good.clone() }),
            ("stall_timeout", LoadPlan { stall_timeout: Duration::ZERO, ..good.clone() }),
            ("ramp_up", LoadPlan { ramp_up: Duration::MAX, ..good.clone() }),
            ("extra_body", LoadPlan { extra_body: extra(json!({"stream": false})), ..good.clone() }),
            ("slo", LoadPlan { slo: Slo { ttft: Some(Duration::ZERO), ..Slo::default() }, ..good.clone() }),
            ("concurrency", LoadPlan { arrival: Arrival::Concurrency(0), ..good.clone() }),
            ("rate", LoadPlan { arrival: rate(f64::NAN, Spacing::Even), ..good.clone() }),
            ("rate", LoadPlan { arrival: rate(0.0, Spacing::Even), ..good.clone() }),
            ("burstiness", LoadPlan { arrival: rate(1.0, Spacing::Gamma { burstiness: 0.0 }), ..good.clone() }),
        ];
        for (name, plan) in bad {
            let error = plan.check().unwrap_err();
            assert!(matches!(error, LoadError::Plan { field, .. } if field == name), "{name}: {error}");
        }
    }
}
