//! What of a data set a load sent, which parts of prompts were alike, and what each model of a mix did.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::LatencyDocument;
use crate::dataset::{BLOCK, Dataset, Record};
use crate::plan::Prompts;
use crate::report::{Latency, LoadReport};
use crate::request::RequestRecord;
use crate::server_side::ServerSide;

/// Where prompts and lengths come from, other than from the seed alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DatasetDocument {
    /// What it is: `prefix`, `sharegpt`, `jsonl`, `trace_mooncake`, `trace_azure` or `trace_burstgpt`.
    pub kind: String,
    /// The file as it was named; absent for `prefix`, as what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The SHA-256 of the whole file, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The length of the file. Unit: bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// The records in the file. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// The records that can be sent. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usable: Option<u64>,
    /// The records that are not, by the reason. Unit: count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub skipped: BTreeMap<String, u64>,
    /// The order in which records are sent: `shuffled` by the seed, or `by_time` as a trace has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Turns of a conversation that are sent at most; absent where there are no conversations. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<u32>,
    /// Bytes of text for a token, by which the lengths of answers were told; absent where the file has them in tokens.
    /// Unit: bytes per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_token: Option<f64>,
    /// Whether the server counted that; else it is assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_token_counted: Option<bool>,
    /// The part of the requests that begin with the common prefix. Unit: none, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_share: Option<f64>,
    /// The length of the common prefix; words where prompts are text. Unit: tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_len: Option<u64>,
}

impl DatasetDocument {
    pub(super) fn of(prompts: &Prompts) -> Option<Self> {
        match prompts {
            Prompts::Prefix { share, len } => {
                let mut document = Self::empty("prefix");
                (document.prefix_share, document.prefix_len) = (Some(*share), Some(*len));
                Some(document)
            }
            Prompts::Data(data) => Some(Self::of_set(&data.set)),
            _ => None,
        }
    }

    fn empty(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            file: None,
            sha256: None,
            file_bytes: None,
            records: None,
            usable: None,
            skipped: BTreeMap::new(),
            order: None,
            turns: None,
            bytes_per_token: None,
            bytes_per_token_counted: None,
            prefix_share: None,
            prefix_len: None,
        }
    }

    fn of_set(set: &Dataset) -> Self {
        let by_length = set.bytes_per_token();
        Self {
            file: Some(set.file().to_owned()),
            sha256: Some(set.sha256().to_owned()),
            file_bytes: Some(set.file_bytes()),
            records: Some(set.records_read()),
            usable: Some(set.len() as u64),
            skipped: set.skipped().map(|(reason, count)| (reason.to_owned(), count)).collect(),
            order: Some(if set.kind().is_trace() { "by_time" } else { "shuffled" }.to_owned()),
            turns: by_length.map(|_| set.turns()),
            bytes_per_token: by_length.map(|(bytes, _)| bytes),
            bytes_per_token_counted: by_length.map(|(_, counted)| counted),
            ..Self::empty(set.kind().name())
        }
    }
}

/// What of the data set a level sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RecordsDocument {
    /// The record that it began with, in the order of sending. Unit: none, a number from 0.
    pub first: u64,
    /// Different records that were sent. Unit: count.
    pub used: u64,
    /// Requests with a record that this level had sent before. Unit: count.
    pub repeated: u64,
    /// Requests that are later turns of a conversation. Unit: count.
    pub later_turns: u64,
}

impl RecordsDocument {
    pub(super) fn of(report: &LoadReport) -> Option<Self> {
        let Prompts::Data(data) = &report.plan.prompts else { return None };
        let firsts = || report.requests.iter().map(|one| one.asked.of).filter(|of| of.turn == 0);
        let used = firsts().filter_map(|of| of.record).collect::<BTreeSet<u64>>().len() as u64;
        let sent = firsts().count() as u64;
        let later_turns = report.requests.len() as u64 - sent;
        Some(Self { first: data.first, used, repeated: sent.saturating_sub(used), later_turns })
    }
}

/// Parts of prompts that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SharedDocument {
    /// Requests that begin with what an earlier one began with, or with the common prefix. Unit: count.
    pub requests: u64,
    /// The tokens with which they do. Unit: tokens.
    pub tokens: u64,
    /// The part of all prompts' tokens that these are: what a prefix cache without limits would find. Unit: none, 0 to 1.
    pub share: f64,
    /// The part that the server found in its prefix cache, the warm-up with it; absent where it does not tell. Unit: none, 0
    /// to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<f64>,
}

impl SharedDocument {
    pub(super) fn of(report: &LoadReport, server: Option<&ServerSide>) -> Option<Self> {
        let alike = |one: &RequestRecord, seen: &mut HashSet<u32>| match &report.plan.prompts {
            Prompts::Prefix { .. } => Some(one.asked.of.prefix),
            Prompts::Data(data) => {
                let place = usize::try_from(one.asked.of.record?).ok()?;
                let Some((Record::Row { input, ids }, _)) = data.set.record(place) else { return None };
                let known = ids.iter().take_while(|id| seen.contains(*id)).count() as u64;
                seen.extend(ids);
                Some((known * BLOCK).min(input))
            }
            _ => None,
        };
        let is_shared = match &report.plan.prompts {
            Prompts::Prefix { .. } => true,
            Prompts::Data(data) => data.set.kind() == crate::DatasetKind::Mooncake,
            _ => false,
        };
        if !is_shared {
            return None;
        }
        let (mut requests, mut tokens, mut all) = (0, 0u64, 0u64);
        let mut seen = HashSet::new();
        for one in &report.requests {
            let shared = alike(one, &mut seen).unwrap_or(0);
            requests += u64::from(shared > 0);
            tokens = tokens.saturating_add(shared);
            all = all.saturating_add(one.asked.input.unwrap_or(0));
        }
        let share = if all == 0 { 0.0 } else { float(tokens) / float(all) };
        Some(Self { requests, tokens, share, found: server.and_then(ServerSide::prefix_hit_ratio) })
    }
}

/// What one model of a mix did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ModelDocument {
    /// Its name.
    pub model: String,
    /// The part of the requests that it was to get. Unit: none, 0 to 1.
    pub share: f64,
    /// Requests that were sent to it. Unit: count.
    pub sent: u64,
    /// Of these, answered whole. Unit: count.
    pub completed: u64,
    /// Of these, failed. Unit: count.
    pub failed: u64,
    /// Tokens that it generated in completed requests. Unit: tokens.
    pub output_tokens: u64,
    /// Time to first token of its completed requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft: Option<LatencyDocument>,
    /// Mean time per output token after the first, one figure a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot: Option<LatencyDocument>,
    /// From sending to the last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e: Option<LatencyDocument>,
}

impl ModelDocument {
    pub(super) fn all_of(report: &LoadReport) -> Vec<Self> {
        let shares = report.plan.mix.shares();
        let sum: f64 = shares.iter().map(|share| share.weight).sum();
        let of = |(place, share): (usize, &crate::ModelShare)| {
            let is_its = |one: &RequestRecord| one.asked.of.model as usize == place;
            let all = || report.requests.iter().filter(|one| is_its(one));
            let done = || report.completed().filter(|(one, _)| is_its(one));
            Self {
                model: share.model.clone(),
                share: share.weight / sum,
                sent: all().count() as u64,
                completed: done().count() as u64,
                failed: all().filter(|one| one.has_failed()).count() as u64,
                output_tokens: done().map(|(_, tokens)| tokens.output).fold(0, u64::saturating_add),
                ttft: Latency::of(done().filter_map(|(one, _)| one.ttft())).map(Into::into),
                tpot: Latency::of(done().filter_map(|(one, _)| one.tpot())).map(Into::into),
                e2e: Latency::of(done().map(|(one, _)| one.latency())).map(Into::into),
            }
        };
        shares.iter().enumerate().map(of).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens, of which a ratio is made")]
fn float(count: u64) -> f64 {
    count as f64
}
