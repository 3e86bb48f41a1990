//! A profile beside what a calculator said.

use vramscope_core::{ByteDelta, Bytes};
use vramscope_schema::v3::Profile;

use crate::diff::cautions;
use crate::figure::{Quantity, figures};

/// What a calculator said, all GPUs together. `None` is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calculated {
    /// The weights.
    pub weights: Option<Bytes>,
    /// The KV cache.
    pub kv_cache: Option<Bytes>,
    /// The activations.
    pub activations: Option<Bytes>,
    /// Everything else that the run added to the GPUs.
    pub overhead: Option<Bytes>,
    /// All of it; the sum of the four where all four are said and this is not.
    pub total: Option<Bytes>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The weights.
    Weights,
    /// The KV cache: for vLLM the whole pool that it sets up.
    KvCache,
    /// That share of the pool which the workload's tokens fill at most. It is what a calculator means that knows a
    /// batch and a length, but no pool.
    KvCacheOfWorkload,
    /// The activations.
    Activations,
    /// The peak less the baseline, the weights, the KV cache and the activations.
    Overhead,
    /// The peak less the baseline.
    Total,
    /// The same with that share of the KV pool alone which the workload fills.
    TotalOfWorkload,
}

impl Part {
    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "model_weights",
            Self::KvCache => "kv_cache",
            Self::KvCacheOfWorkload => "kv_cache_of_workload",
            Self::Activations => "activations",
            Self::Overhead => "framework_overhead",
            Self::Total => "total",
            Self::TotalOfWorkload => "total_of_workload",
        }
    }

    /// How far a good calculator is usually off, as a share of what was measured.
    pub const fn usual(self) -> f64 {
        match self {
            Self::Weights => 0.02,
            Self::KvCache | Self::KvCacheOfWorkload => 0.15,
            Self::Activations => 0.30,
            Self::Overhead => 0.40,
            Self::Total | Self::TotalOfWorkload => 0.10,
        }
    }
}

/// One part beside its calculated size.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CheckedPart {
    /// Which.
    pub part: Part,
    /// What was measured; signed, since overhead is a difference. `None` where the profile does not say.
    pub measured: Option<ByteDelta>,
    /// What the calculator said.
    pub calculated: Bytes,
}

impl CheckedPart {
    /// Calculated less measured.
    pub fn error(&self) -> Option<ByteDelta> {
        let calculated = i64::try_from(self.calculated.get()).ok()?;
        calculated.checked_sub(self.measured?.get()).map(ByteDelta::new)
    }

    /// The error as a share of what was measured.
    pub fn relative(&self) -> Option<f64> {
        let measured = self.measured?.as_f64();
        (measured != 0.0).then(|| self.error().map(|error| error.as_f64() / measured.abs()))?
    }

    /// Whether the calculator is no further off than is usual for the part.
    pub fn within(&self) -> Option<bool> {
        self.relative().map(|relative| relative.abs() <= self.part.usual())
    }

    /// What the calculated size must be multiplied with to agree.
    pub fn factor(&self) -> Option<f64> {
        let (measured, calculated) = (self.measured?.as_f64(), self.calculated.as_f64());
        (calculated > 0.0 && measured > 0.0).then(|| measured / calculated)
    }
}

/// A profile beside what a calculator said.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The parts of which the calculator said something.
    pub parts: Vec<CheckedPart>,
    /// What makes the comparison doubtful, in sentences.
    pub cautions: Vec<String>,
}

impl Check {
    /// Compares.
    pub fn of(profile: &Profile, said: &Calculated) -> Self {
        let mut parts = Vec::new();
        let mut put = |part: Part, measured: Option<ByteDelta>, calculated: Option<Bytes>| {
            parts.extend(calculated.map(|calculated| CheckedPart { part, measured, calculated }));
        };
        let sizes = Sizes::of(profile);
        let of_workload = sizes.kv_cache.and_then(|pool| of_workload(profile, pool));
        put(Part::Weights, sizes.weights, said.weights);
        put(Part::KvCache, sizes.kv_cache, said.kv_cache);
        if of_workload.is_some() {
            put(Part::KvCacheOfWorkload, of_workload, said.kv_cache);
        }
        put(Part::Activations, sizes.activations, said.activations);
        put(Part::Overhead, sizes.overhead(), said.overhead);
        let sum = || {
            let parts = [said.weights?, said.kv_cache?, said.activations?, said.overhead?];
            Bytes::checked_sum(parts)
        };
        let total = said.total.or_else(sum);
        put(Part::Total, sizes.net(), total);
        if let (Some(pool), Some(used)) = (sizes.kv_cache, of_workload) {
            let net = sizes.net().and_then(|net| net.get().checked_sub(pool.get())?.checked_add(used.get()));
            put(Part::TotalOfWorkload, net.map(ByteDelta::new), total);
        }
        let mut cautions = cautions(profile, None);
        if of_workload.is_some() && (said.kv_cache.is_some() || total.is_some()) {
            cautions.push(
                "the engine sets up its whole KV pool at the start, whatever is asked of it; \"of workload\" counts the \
                 share alone that the workload's batch and lengths fill"
                    .to_owned(),
            );
        }
        if sizes.baseline.is_none() && (total.is_some() || said.overhead.is_some()) {
            cautions.push(
                "the profile states no baseline, so nothing is taken off its peak; that is right only if it was measured \
                 from inside the process"
                    .to_owned(),
            );
        }
        Self { parts, cautions }
    }
}

/// The profile's sizes.
struct Sizes {
    peak: Option<ByteDelta>,
    baseline: Option<ByteDelta>,
    weights: Option<ByteDelta>,
    kv_cache: Option<ByteDelta>,
    activations: Option<ByteDelta>,
}

impl Sizes {
    fn of(profile: &Profile) -> Self {
        let memory = |name: &str| match figures().iter().find(|figure| figure.name == name)?.of(profile)? {
            Quantity::Memory(bytes) => Some(bytes),
            Quantity::Number(_) => None,
        };
        Self {
            peak: memory("peak_bytes"),
            baseline: memory("baseline_bytes"),
            weights: memory("model_weights_bytes"),
            kv_cache: memory("kv_cache_bytes"),
            activations: memory("activations_bytes"),
        }
    }

    /// What the run added. A document without a baseline was measured from inside the process, which starts at zero.
    fn net(&self) -> Option<ByteDelta> {
        let baseline = self.baseline.map_or(0, ByteDelta::get);
        self.peak?.get().checked_sub(baseline).map(ByteDelta::new)
    }

    fn overhead(&self) -> Option<ByteDelta> {
        let known = [self.weights?, self.kv_cache?, self.activations?];
        let left = known.iter().try_fold(self.net()?.get(), |left, part| left.checked_sub(part.get()));
        left.map(ByteDelta::new)
    }
}

/// The share of the pool that the workload's tokens fill at most, rounded down to a byte. The pool is that of all
/// replicas together, and an engine states its tokens for one of them.
fn of_workload(profile: &Profile, pool: ByteDelta) -> Option<ByteDelta> {
    let config = profile.run_config.as_ref()?;
    let work = config.workload.as_ref()?;
    let replicas = config.engine.as_ref().and_then(|engine| engine.data_parallel_size).unwrap_or(1).max(1);
    let tokens = profile.vllm_internal_metrics.as_ref()?.total_gpu_kv_cache_tokens.filter(|tokens| *tokens > 0)?;
    let tokens = tokens.checked_mul(u64::from(replicas))?;
    let used = work.batch_size?.checked_mul(work.input_len?.checked_add(work.output_len?)?)?.min(tokens);
    let share = i128::from(pool.get()).checked_mul(i128::from(used))? / i128::from(tokens);
    i64::try_from(share).ok().map(ByteDelta::new)
}
