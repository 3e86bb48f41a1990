//! The document of an explanation.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::VERSION;
use crate::explain::{Account, Amount, Ledger, StartStep};

/// Why a KV cache is as large as it is, or why one of two is larger.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExplanationDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_explanation: u32,
    /// The runs, one or two, each from its card down to one request.
    pub runs: Vec<AccountDocument>,
    /// The second KV cache less the first; absent for one run, and where one does not state its KV cache.
    pub difference: Option<LedgerDocument>,
    /// The steps of the start, in order.
    pub start: Vec<StartStepDocument>,
}

/// The subtractions of one run, for one rank. What it does not state is absent.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AccountDocument {
    /// The run, as it was named.
    pub name: String,
    /// The engine's release.
    pub engine_version: Option<String>,
    /// The share that was asked for. Unit: none, a share.
    pub gpu_memory_utilization: Option<f64>,
    /// The amounts in order, each with its lines.
    pub amounts: Vec<AmountDocument>,
    /// What the amounts leave over, of what was asked for: digits that are not printed, and what no line states.
    pub unattributed_bytes: Option<i64>,
    /// Tokens that the KV cache holds, by the engine's count. Unit: tokens.
    pub kv_cache_tokens: Option<u64>,
    /// Requests of `request_tokens` that it holds. Unit: count, may be fractional.
    pub max_concurrency: Option<f64>,
    /// The length that `max_concurrency` is printed for. Unit: tokens.
    pub request_tokens: Option<u64>,
}

/// One amount of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AmountDocument {
    /// What, as a stable name: `device_total`, `requested`, `model_weights`, `beside_weights`, `activation_peak`,
    /// `graphs_estimated`, `available_kv_cache`, `kv_cache`.
    pub name: String,
    /// How much, of one rank.
    pub size_bytes: u64,
    /// The true amount lies within this of it, by the printed digits.
    pub resolution_bytes: u64,
    /// Lines of the engine log, counted from 1. Unit: none, line numbers.
    pub log_lines: Vec<u64>,
}

/// The difference of two KV caches.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LedgerDocument {
    /// The second less the first, of one rank: the sum of the terms.
    pub difference_bytes: i64,
    /// The same in tokens of an engine: the sum of the terms. Unit: tokens.
    pub difference_tokens: Option<i64>,
    /// The terms.
    pub terms: Vec<TermDocument>,
    /// One setting that gives the second run as much as the first, if its device has room.
    pub restore: Option<String>,
    /// What to know beside the terms.
    pub notes: Vec<String>,
}

/// One term of a difference.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TermDocument {
    /// A stable name.
    pub name: String,
    /// `release`, `setting`, `card`, `measured` or `unattributed`.
    pub cause: String,
    /// By how much it makes the second KV cache larger.
    pub size_bytes: i64,
    /// The same in tokens. Unit: tokens.
    pub tokens: Option<i64>,
    /// Why, in a sentence.
    pub why: String,
    /// The setting of the second run that brings it back, where there is one.
    pub restore: Option<String>,
    /// Lines of the first engine log, counted from 1. Unit: none, line numbers.
    pub lines_before: Vec<u64>,
    /// Lines of the second engine log, counted from 1. Unit: none, line numbers.
    pub lines_after: Vec<u64>,
}

/// One step of the start.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StartStepDocument {
    /// The event of the log that ends it.
    pub name: String,
    /// In the first run, since the step before. Unit: seconds.
    pub before_s: Option<f64>,
    /// In the second run. Unit: seconds.
    pub after_s: Option<f64>,
    /// What is known of a step that not every release has.
    pub why: Option<String>,
}

impl ExplanationDocument {
    /// The document of one run or two.
    pub fn of(runs: &[(String, Account)], ledger: Option<&Ledger>, start: &[StartStep]) -> Self {
        Self {
            vramscope_explanation: VERSION,
            runs: runs.iter().map(|(name, account)| AccountDocument::of(name, account)).collect(),
            difference: ledger.map(LedgerDocument::from),
            start: start
                .iter()
                .map(|step| StartStepDocument {
                    name: step.name.clone(),
                    before_s: step.before_s,
                    after_s: step.after_s,
                    why: step.why.map(str::to_owned),
                })
                .collect(),
        }
    }
}

impl AccountDocument {
    fn of(name: &str, account: &Account) -> Self {
        let pool = account.pool.map(|bytes| AmountDocument {
            name: "kv_cache".to_owned(),
            size_bytes: bytes,
            resolution_bytes: 0,
            log_lines: Vec::new(),
        });
        let amount = |name: &str, amount: &Amount| AmountDocument {
            name: name.to_owned(),
            size_bytes: amount.bytes,
            resolution_bytes: amount.within,
            log_lines: amount.lines.clone(),
        };
        let stated = account.amounts().into_iter().map(|(name, part)| amount(name, part));
        Self {
            name: name.to_owned(),
            engine_version: account.version.clone(),
            gpu_memory_utilization: account.utilization,
            amounts: stated.chain(pool).collect(),
            unattributed_bytes: account.unattributed().map(|delta| delta.get()),
            kv_cache_tokens: account.tokens,
            max_concurrency: account.concurrency.map(|(_, factor)| factor),
            request_tokens: account.concurrency.map(|(tokens, _)| tokens),
        }
    }
}

impl From<&Ledger> for LedgerDocument {
    fn from(ledger: &Ledger) -> Self {
        let term = |term: &crate::explain::Term| TermDocument {
            name: term.name.to_owned(),
            cause: term.cause.name().to_owned(),
            size_bytes: term.bytes,
            tokens: term.tokens,
            why: term.why.clone(),
            restore: term.restore.clone(),
            lines_before: term.lines_before.clone(),
            lines_after: term.lines_after.clone(),
        };
        Self {
            difference_bytes: ledger.bytes,
            difference_tokens: ledger.tokens,
            terms: ledger.terms.iter().map(term).collect(),
            restore: ledger.restore.clone(),
            notes: ledger.notes.clone(),
        }
    }
}
