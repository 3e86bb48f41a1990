//! From the card's total down to one request, for one run.

use vramscope_core::{ByteDelta, ByteUnit, Bytes};
use vramscope_schema::v3::{EngineFact, Profile};

use crate::vllm;

/// How an engine counts what is no KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Weights, growth outside the allocator, and the peak over what was there before, as releases up to 0.26 do.
    Growth,
    /// All that is gone from the device, and the peak over what stays, as releases since 0.27 do.
    Consumed,
}

/// An amount that a run states.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Amount {
    /// Bytes of one rank.
    pub bytes: u64,
    /// Half a step of the last printed digit, in bytes.
    pub within: u64,
    /// Lines of the engine log that it rests on, counted from 1.
    pub lines: Vec<u64>,
}

/// The subtractions of one run, of the rank with the least room. What it does not state is `None`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Account {
    /// The engine's release.
    pub version: Option<String>,
    /// How it counts.
    pub counting: Counting,
    /// The card, as the framework sees it.
    pub total: Option<Amount>,
    /// The share of it that was asked for; where the run does not state it, the default of its release.
    pub utilization: Option<f64>,
    /// Whether the run states that share.
    pub utilization_stated: bool,
    /// The amount that was asked for.
    pub requested: Option<Amount>,
    /// Weights.
    pub weights: Option<Amount>,
    /// What is kept beside them: what was consumed less the weights, or what grew outside the allocator.
    pub beside: Option<Amount>,
    /// The transient peak of the profile run.
    pub peak: Option<Amount>,
    /// Graphs as taken off the budget; zero where none are.
    pub graphs: Amount,
    /// What is left for the KV cache.
    pub available: Option<Amount>,
    /// The KV cache as allocated: whole blocks, where they are known.
    pub pool: Option<u64>,
    /// Tokens that it holds, by the engine's count.
    pub tokens: Option<u64>,
    /// Requests of so many tokens that it holds.
    pub concurrency: Option<(u64, f64)>,
    /// In use on the device before the engine came.
    pub others: Option<u64>,
    /// Free when the engine started.
    pub free: Option<Amount>,
    /// Why the engine did not start or stopped, and the line that says so; a KV cache that was too small was never allocated.
    pub failure: Option<(String, Option<u64>)>,
    /// Settings that bear on the KV cache, by name, where the run states them.
    pub settings: Vec<(&'static str, String)>,
}

/// Settings that change what the KV cache is left, or what a token takes of it.
const SETTINGS: &[&str] = &[
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "max_num_batched_tokens",
    "max_num_seqs",
    "max_model_len",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "dtype",
    "num_parameters",
    "quantization",
    "kv_cache_dtype",
    "block_size",
    "enforce_eager",
    "cudagraph_mode",
    "enable_prefix_caching",
    "speculative_method",
    "enable_lora",
    "max_loras",
    "max_lora_rank",
];

/// Failures before there is a KV cache.
const NEVER_ALLOCATED: &[&str] = &[
    "no_kv_cache_memory",
    "max_seq_len_exceeds_kv_cache",
    "kv_cache_too_small_for_max_model_len",
    "free_memory_below_utilization",
    "free_memory_grew",
];

impl Account {
    /// The account of a profile.
    pub fn of(profile: &Profile) -> Self {
        let metrics = profile.vllm_internal_metrics.as_ref();
        let facts = metrics.map_or(&[][..], |metrics| &metrics.facts);
        let consumed = fact(facts, "consumed", Extreme::Most);
        let weights = fact(facts, "model_weights", Extreme::Most);
        let version = profile.engine_metadata.as_ref().and_then(|engine| engine.engine_version.clone());
        let counting = if consumed.is_some() || vllm::counts_consumed(version.as_deref()) {
            Counting::Consumed
        } else {
            Counting::Growth
        };
        let beside = match counting {
            Counting::Consumed => consumed.zip(weights.clone()).and_then(|(all, weights)| less(&all, &weights)),
            Counting::Growth => fact(facts, "non_torch_growth", Extreme::Most),
        };
        let total = fact(facts, "device_total", Extreme::Least).or_else(|| card(profile));
        let config = |name: &str| crate::settings().iter().find(|s| s.name == name).and_then(|s| s.of(profile));
        let total_tokens = metrics.and_then(|metrics| metrics.total_gpu_kv_cache_tokens);
        let each = fact(facts, "kv_cache_tokens", Extreme::Least).map(|tokens| tokens.bytes);
        let started = profile.failure.as_ref().is_none_or(|failure| !NEVER_ALLOCATED.contains(&failure.kind.as_str()));
        let stated: Option<f64> = config("gpu_memory_utilization").and_then(|share| share.parse().ok());
        Self {
            counting,
            weights,
            beside,
            total,
            utilization: stated.or_else(|| vllm::default_share(version.as_deref())),
            utilization_stated: stated.is_some(),
            requested: fact(facts, "requested", Extreme::Least)
                .or_else(|| metrics?.requested_bytes.map(|bytes| Amount { bytes, within: 0, lines: Vec::new() })),
            peak: fact(facts, "activation_peak", Extreme::Most),
            graphs: fact(facts, "cuda_graphs_estimated", Extreme::Most).unwrap_or(Amount {
                bytes: 0,
                within: 0,
                lines: Vec::new(),
            }),
            available: fact(facts, "available_kv_cache", Extreme::Least),
            pool: metrics.filter(|_| started).and_then(|metrics| metrics.total_gpu_kv_cache_bytes),
            tokens: each.or(total_tokens),
            concurrency: metrics.and_then(|metrics| {
                // Data-parallel engines state theirs together; what one of them holds goes with its tokens.
                let (length, all) = (metrics.max_concurrency_tokens?, metrics.max_concurrency?.get());
                let share = each.zip(total_tokens).filter(|(_, all)| *all > 0);
                #[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^53")]
                let share = share.map_or(1.0, |(one, all)| one as f64 / all as f64);
                Some((length, all * share))
            }),
            failure: profile.failure.as_ref().map(|failure| (failure.kind.replace('_', " "), failure.log_line)),
            others: profile.memory_breakdown.as_ref().and_then(|breakdown| breakdown.baseline_bytes),
            free: fact(facts, "initial_free", Extreme::Least),
            settings: SETTINGS
                .iter()
                .filter_map(|name| {
                    // Without the option there are no adapters, where the options are known.
                    let options = profile.run_config.as_ref().is_some_and(|run| run.engine.is_some());
                    let absent = || (*name == "enable_lora" && options).then(|| "false".to_owned());
                    Some((*name, config(name).or_else(absent)?))
                })
                .collect(),
            version,
        }
    }

    /// The same, with the card of another run where this one does not say what card it had, and what it asked for then.
    /// Gives whether that was needed.
    pub(crate) fn on_card_of(&self, other: &Self) -> (Self, bool) {
        let mut own = self.clone();
        if own.requested.is_some() || self.is_given() {
            return (own, false);
        }
        own.total = own.total.or_else(|| other.total.clone());
        own.requested = own.total.as_ref().zip(own.utilization).and_then(|(total, share)| {
            let bytes = (Bytes::new(total.bytes).as_f64() * share).ceil();
            let bytes = Bytes::from_unit(bytes, ByteUnit::B)?.get();
            Some(Amount { bytes, within: total.within, lines: Vec::new() })
        });
        let taken = own.requested.is_some();
        (own, taken)
    }

    /// That the engine failed, in words; `None` where it did not.
    pub fn failed(&self) -> Option<String> {
        let (kind, line) = self.failure.as_ref()?;
        let line = line.map_or_else(String::new, |line| format!(", line {line}"));
        let never = if self.pool.is_none() { ": nothing was allocated, what was left for it is taken" } else { "" };
        Some(format!("the engine failed ({kind}{line}){never}"))
    }

    /// What was free when the engine first looked: as it says, else the card less what others held. Unit: bytes.
    pub(crate) fn room(&self) -> Option<u64> {
        let stated = self.free.as_ref().map(|free| free.bytes);
        stated.or_else(|| self.total.as_ref()?.bytes.checked_sub(self.others.filter(|others| *others > 0)?))
    }

    /// What a setting is, where the run states it.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The stated amounts by their names, in the order of the subtraction.
    pub fn amounts(&self) -> Vec<(&'static str, &Amount)> {
        let stated = [
            ("device_total", self.total.as_ref()),
            ("requested", self.requested.as_ref()),
            ("model_weights", self.weights.as_ref()),
            ("beside_weights", self.beside.as_ref()),
            ("activation_peak", self.peak.as_ref()),
            ("graphs_estimated", Some(&self.graphs)),
            ("available_kv_cache", self.available.as_ref()),
        ];
        stated.into_iter().filter_map(|(name, amount)| Some((name, amount?))).collect()
    }

    /// Whether the size of the KV cache was given, so that nothing is taken off.
    pub fn is_given(&self) -> bool {
        self.setting("kv_cache_memory_bytes").is_some()
    }

    /// What the profile run took: all between the amount asked for and the KV cache but weights and graphs. `None` where the
    /// run does not state these.
    pub(crate) fn profiled(&self) -> Option<i64> {
        let taken = [self.available.as_ref()?, self.weights.as_ref()?, &self.graphs];
        taken
            .iter()
            .try_fold(signed(self.requested.as_ref()?.bytes)?, |left, part| left.checked_sub(signed(part.bytes)?))
    }

    /// What is left of the amount asked for when all stated parts and the KV cache are taken off: the digits that are not
    /// printed, and what no line states.
    pub fn unattributed(&self) -> Option<ByteDelta> {
        let parts = [self.beside.as_ref(), self.peak.as_ref()];
        let left = parts
            .into_iter()
            .flatten()
            .try_fold(self.profiled()?, |left, part| left.checked_sub(signed(part.bytes)?))?;
        Some(ByteDelta::new(left))
    }
}

/// Which of several ranks' figures counts.
#[derive(Clone, Copy)]
enum Extreme {
    Least,
    Most,
}

fn fact(facts: &[EngineFact], name: &str, extreme: Extreme) -> Option<Amount> {
    let bytes = |fact: &&EngineFact| fact.value.as_ref().and_then(serde_json::Number::as_u64);
    let named = facts.iter().filter(|fact| fact.name == name && bytes(fact).is_some());
    let found = match extreme {
        Extreme::Least => named.min_by_key(bytes),
        Extreme::Most => named.max_by_key(bytes),
    }?;
    Some(Amount {
        bytes: bytes(&found)?,
        within: found.resolution.as_ref().and_then(serde_json::Number::as_u64).unwrap_or(0),
        lines: vec![found.log_line],
    })
}

fn card(profile: &Profile) -> Option<Amount> {
    let devices = &profile.gpu_info.as_ref()?.devices;
    let bytes = devices.iter().filter_map(|device| device.usable_bytes.or(device.total_bytes)).min()?;
    Some(Amount { bytes, within: 0, lines: Vec::new() })
}

fn less(whole: &Amount, part: &Amount) -> Option<Amount> {
    let lines = [part.lines.clone(), whole.lines.clone()].concat();
    Some(Amount { bytes: whole.bytes.checked_sub(part.bytes)?, within: whole.within + part.within, lines })
}

pub(crate) fn signed(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok()
}
