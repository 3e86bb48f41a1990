//! The figures of a profile that can be compared, in one table.

use vramscope_core::ByteDelta;
use vramscope_schema::Amount;
use vramscope_schema::v3::{MemoryBreakdown, PartKind, Phase, Profile, TimeSpread};

/// A value with its kind: memory is exact, everything else is a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    /// An amount of memory, or a difference of two. Scope: all GPUs of the run together.
    Memory(ByteDelta),
    /// Anything else, in the unit that the figure's name ends in.
    Number(f64),
}

impl Quantity {
    fn bytes(bytes: u64) -> Option<Self> {
        i64::try_from(bytes).ok().map(|bytes| Self::Memory(ByteDelta::new(bytes)))
    }

    /// The value for ratios. Bytes beyond 2^53 are rounded.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Memory(bytes) => bytes.as_f64(),
            Self::Number(number) => number,
        }
    }

    /// This less another of the same kind; `None` for two kinds, or where the difference cannot be counted.
    pub fn less(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => {
                a.get().checked_sub(b.get()).map(|bytes| Self::Memory(ByteDelta::new(bytes)))
            }
            (Self::Number(a), Self::Number(b)) => Some(Self::Number(a - b)),
            _ => None,
        }
    }
}

/// Which way a figure should move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less is better: a latency, the memory of weights.
    Lower,
    /// More is better: tokens each second.
    Higher,
    /// Neither: it describes.
    Neither,
}

/// A figure that can be compared.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name, which ends in its unit.
    pub name: &'static str,
    /// Which way it should move.
    pub better: Better,
    /// The fields of the profile that it is read from, the first one present wins; for the unit of earlier documents.
    fields: &'static [&'static str],
    of: fn(&Profile) -> Option<Quantity>,
}

impl Figure {
    /// Its value in a profile; `None` where that does not say.
    pub fn of(&self, profile: &Profile) -> Option<Quantity> {
        (self.of)(profile)
    }

    /// Whether the value rests on a unit that nothing proves.
    pub fn unproven(&self, profile: &Profile) -> bool {
        let migration = profile.migration.as_ref();
        let basis = migration.and_then(|m| self.fields.iter().find_map(|field| m.basis_of(field)));
        basis.is_some_and(|basis| !basis.proven)
    }
}

/// Every figure, in the order in which people read them.
pub fn figures() -> &'static [Figure] {
    FIGURES
}

const fn figure(
    name: &'static str,
    better: Better,
    fields: &'static [&'static str],
    of: fn(&Profile) -> Option<Quantity>,
) -> Figure {
    Figure { name, better, fields, of }
}

const FIGURES: &[Figure] = &[
    figure(
        "peak_bytes",
        Better::Lower,
        &[
            "memory_breakdown.total_measured_bytes",
            "memory_breakdown.total_bytes",
            "memory_measurements.peak.total_bytes",
        ],
        |p| {
            let breakdown = p.memory_breakdown.as_ref();
            let total = breakdown.and_then(|b| b.total_measured_bytes.or(b.total_bytes));
            let peak = || p.memory_measurements.as_ref()?.peak.as_ref()?.total_bytes;
            Quantity::bytes(total.or_else(peak)?)
        },
    ),
    figure(
        "baseline_bytes",
        Better::Neither,
        &["memory_breakdown.baseline_bytes", "memory_measurements.baseline.total_bytes"],
        |p| {
            let breakdown = p.memory_breakdown.as_ref().and_then(|b| b.baseline_bytes);
            let point = || p.memory_measurements.as_ref()?.baseline.as_ref()?.total_bytes;
            Quantity::bytes(breakdown.or_else(point)?)
        },
    ),
    figure("model_weights_bytes", Better::Lower, &["memory_breakdown.model_weights_bytes"], |p| {
        part(p, PartKind::ModelWeights, |b| b.model_weights_bytes)
    }),
    figure("kv_cache_bytes", Better::Neither, &["memory_breakdown.kv_cache_bytes"], |p| {
        part(p, PartKind::KvCache, |b| b.kv_cache_bytes)
    }),
    figure("held_bytes", Better::Lower, &[], |p| part(p, PartKind::Held, |b| b.held_bytes)),
    figure("activations_bytes", Better::Lower, &["memory_breakdown.activations_bytes"], |p| {
        part(p, PartKind::Activations, |b| b.activations_bytes)
    }),
    figure("recurrent_state_bytes", Better::Lower, &[], |p| {
        part(p, PartKind::RecurrentState, |b| b.recurrent_state_bytes)
    }),
    figure("compute_buffers_bytes", Better::Lower, &[], |p| {
        part(p, PartKind::ComputeBuffers, |b| b.compute_buffers_bytes)
    }),
    figure("output_buffers_bytes", Better::Lower, &[], |p| {
        part(p, PartKind::OutputBuffers, |b| b.output_buffers_bytes)
    }),
    figure("cuda_graphs_bytes", Better::Lower, &[], |p| part(p, PartKind::CudaGraphs, |b| b.cuda_graphs_bytes)),
    figure("runtime_context_bytes", Better::Lower, &[], |p| {
        part(p, PartKind::RuntimeContext, |b| b.runtime_context_bytes)
    }),
    figure("collectives_bytes", Better::Lower, &[], |p| part(p, PartKind::Collectives, |b| b.collectives_bytes)),
    figure("residual_bytes", Better::Neither, &["memory_breakdown.residual_bytes"], |p| {
        Some(Quantity::Memory(ByteDelta::new(p.memory_breakdown.as_ref()?.residual_bytes?)))
    }),
    figure("kv_cache_tokens", Better::Higher, &[], |p| {
        count(p.vllm_internal_metrics.as_ref()?.total_gpu_kv_cache_tokens?)
    }),
    figure("kv_cache_usage_max_pct", Better::Neither, &[], |p| {
        let scraped = p.engine_metrics.as_ref().and_then(|metrics| metrics.kv_cache_usage_max_pct);
        let printed = || p.vllm_internal_metrics.as_ref()?.peak_kv_usage_pct;
        number(scraped.or_else(printed))
    }),
    figure("mean_latency_ms", Better::Lower, &[], |p| number(p.latency_stats.as_ref()?.mean_latency_ms)),
    figure("stddev_latency_ms", Better::Neither, &[], |p| number(p.latency_stats.as_ref()?.stddev_latency_ms)),
    figure("tokens_per_second", Better::Higher, &[], |p| number(p.latency_stats.as_ref()?.tokens_per_second)),
    figure("requests_per_second", Better::Higher, &[], |p| number(p.latency_stats.as_ref()?.requests_per_second)),
    figure("time_to_first_token_median_ms", Better::Lower, &[], |p| {
        number(served(p, |s| s.time_to_first_token)?.median_ms)
    }),
    figure("time_to_first_token_p99_ms", Better::Lower, &[], |p| number(served(p, |s| s.time_to_first_token)?.p99_ms)),
    figure("time_per_output_token_median_ms", Better::Lower, &[], |p| {
        number(served(p, |s| s.time_per_output_token)?.median_ms)
    }),
    figure("end_to_end_p99_ms", Better::Lower, &[], |p| number(served(p, |s| s.end_to_end)?.p99_ms)),
    figure("failed_requests", Better::Lower, &[], |p| count(p.served_stats.as_ref()?.failed_requests?)),
    figure("unsent_requests", Better::Lower, &[], |p| count(p.served_stats.as_ref()?.unsent_requests?)),
    figure("short_requests", Better::Lower, &[], |p| count(p.served_stats.as_ref()?.short_requests?)),
    figure("late_requests", Better::Lower, &[], |p| count(p.served_stats.as_ref()?.late_requests?)),
    figure("load_s", Better::Lower, &[], |p| {
        let load = p.phases.iter().flatten().find(|phase| phase.phase == Phase::Load)?;
        number(Some(load.duration_s))
    }),
    figure("measure_utilization_pct", Better::Neither, &[], |p| measured(p, |phase| phase.mean_utilization_pct)),
    figure("measure_power_w", Better::Neither, &[], |p| measured(p, |phase| phase.mean_power_w)),
];

/// A part of the breakdown: by its component, else by the key of earlier documents.
fn part(profile: &Profile, kind: PartKind, key: fn(&MemoryBreakdown) -> Option<u64>) -> Option<Quantity> {
    let breakdown = profile.memory_breakdown.as_ref()?;
    let component = breakdown.components.iter().find(|part| part.kind == kind).map(|part| part.size_bytes);
    Quantity::bytes(component.or_else(|| key(breakdown))?)
}

fn number(amount: Option<Amount>) -> Option<Quantity> {
    amount.map(|amount| Quantity::Number(amount.get()))
}

/// A count is far below 2^53.
fn count(n: u64) -> Option<Quantity> {
    Some(Quantity::Number(vramscope_core::Bytes::new(n).as_f64()))
}

fn served(profile: &Profile, of: fn(&vramscope_schema::v3::ServedStats) -> Option<TimeSpread>) -> Option<TimeSpread> {
    profile.served_stats.as_ref().and_then(of)
}

fn measured(profile: &Profile, of: fn(&vramscope_schema::v3::PhaseInfo) -> Option<Amount>) -> Option<Quantity> {
    number(of(profile.phases.iter().flatten().find(|phase| phase.phase == Phase::Measure)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name_of_its_own_that_ends_in_its_unit() {
        let names: std::collections::BTreeSet<_> = figures().iter().map(|figure| figure.name).collect();
        assert_eq!(names.len(), figures().len());
        for name in names {
            let units = ["_bytes", "_ms", "_s", "_tokens", "_per_second", "_pct", "_w", "_requests"];
            assert!(units.iter().any(|unit| name.ends_with(unit)), "{name}");
        }
    }

    #[test]
    fn memory_is_subtracted_exactly_beyond_the_digits_of_a_float() {
        let (a, b) = (Quantity::Memory(ByteDelta::new((1 << 60) + 1)), Quantity::Memory(ByteDelta::new(1 << 60)));
        assert_eq!(a.less(b), Some(Quantity::Memory(ByteDelta::new(1))));
        assert_eq!(a.less(Quantity::Number(1.0)), None, "bytes less seconds are nothing");
    }
}
