//! Every fact of an engine by its name: the one list that documents are made of.

use super::{BufferKind, EngineFacts, Fact, Origin, Scope};
use crate::Bytes;

/// The value of a fact. It is matched without a rest: who adds a kind of value must say how documents spell it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FactValue<'f> {
    /// A word.
    Text(&'f str),
    /// An amount of memory, with half a step of its last printed digit.
    Memory(Bytes, Option<Bytes>),
    /// A whole number of something, such as tokens.
    Count(u64, &'static str),
    /// Another number with its unit, and half a step of its last printed digit.
    Number(f64, &'static str, Option<f64>),
}

/// A fact with its name.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct NamedFact<'f> {
    /// The name as documents spell it.
    pub name: &'static str,
    /// The value with its unit.
    pub value: FactValue<'f>,
    /// For which ranks it speaks.
    pub scope: Scope,
    /// Where it stands.
    pub origin: &'f Origin,
}

impl<'f> NamedFact<'f> {
    fn of<T>(name: &'static str, fact: &'f Fact<T>, value: FactValue<'f>) -> Self {
        Self { name, value, scope: fact.scope, origin: &fact.origin }
    }
}

impl EngineFacts {
    /// Every fact that has a value, by name; several of one name where several lines print it. Who adds a fact to
    /// [`EngineFacts`] adds it here, and every document has it.
    pub fn named(&self) -> impl Iterator<Item = NamedFact<'_>> {
        let words = [
            ("engine_version", &self.version),
            ("platform", &self.platform),
            ("architecture", &self.architecture),
            ("dtype", &self.dtype),
            ("quantization", &self.quantization),
            ("kv_cache_dtype", &self.kv_cache_dtype),
            ("load_format", &self.load_format),
            ("attention_backend", &self.attention_backend),
            ("speculative_method", &self.speculative_method),
            ("cudagraph_mode", &self.cudagraph_mode),
        ];
        let memory = [
            ("model_weights", &self.weights),
            ("available_kv_cache", &self.kv_pool),
            ("consumed", &self.consumed),
            ("activation_peak", &self.activation_peak),
            ("non_torch_growth", &self.non_torch),
            ("initial_non_torch", &self.initial_non_torch),
            ("cuda_graphs", &self.graphs),
            ("cuda_graphs_tried", &self.graphs_tried),
            ("cuda_graphs_freed", &self.graphs_negative),
            ("cuda_graphs_estimated", &self.graphs_estimated),
            ("requested", &self.requested),
            ("initial_free", &self.initial_free),
            ("device_total", &self.device_total),
            ("free_after_weights", &self.free_after_weights),
            ("free_after_pools", &self.free_after_pools),
            ("free_before_graphs", &self.free_before_graphs),
            ("free_after_graphs", &self.free_after_graphs),
            ("free_at_ready", &self.free_at_ready),
        ];
        let asked = [("kv_cache_memory", &self.kv_cache_memory), ("cpu_offload", &self.cpu_offload)];
        let of_ranks = [("num_gpu_blocks", "blocks", &self.gpu_blocks), ("kv_cache_tokens", "tokens", &self.kv_tokens)];
        let sizes = [
            ("max_model_len", "tokens", &self.max_model_len),
            ("max_num_batched_tokens", "tokens", &self.max_num_batched_tokens),
            ("max_num_seqs", "count", &self.max_num_seqs),
            ("block_size", "tokens", &self.block_size),
            ("peak_running_requests", "count", &self.peak_running),
            ("layers_on_device", "count", &self.layers_on_device),
            ("layers", "count", &self.layers),
        ];
        let parallel = [
            ("tensor_parallel_size", &self.parallel.tensor),
            ("pipeline_parallel_size", &self.parallel.pipeline),
            ("data_parallel_size", &self.parallel.data),
        ];
        let shares = [
            ("gpu_memory_utilization", "share", &self.gpu_memory_utilization),
            ("peak_kv_usage", "percent", &self.peak_kv_usage_pct),
        ];
        let words = words.into_iter().filter_map(|(name, fact)| {
            let fact = fact.as_ref()?;
            Some(NamedFact::of(name, fact, FactValue::Text(&fact.value)))
        });
        let memory = memory.into_iter().flat_map(|(name, list)| {
            list.iter().map(move |fact| NamedFact::of(name, fact, FactValue::Memory(fact.value, fact.resolution)))
        });
        let buffers = self.buffers.iter().map(|buffer| {
            let name = match (buffer.planned, buffer.kind) {
                (false, kind) => kind.name(),
                (true, kind) => planned_name(kind),
            };
            NamedFact::of(name, &buffer.amount, FactValue::Memory(buffer.amount.value, buffer.amount.resolution))
        });
        let asked = asked.into_iter().filter_map(|(name, fact)| {
            let fact = fact.as_ref()?;
            Some(NamedFact::of(name, fact, FactValue::Memory(fact.value, fact.resolution)))
        });
        let of_ranks = of_ranks.into_iter().flat_map(|(name, unit, list)| {
            list.iter().map(move |fact| NamedFact::of(name, fact, FactValue::Count(fact.value, unit)))
        });
        let sizes = sizes.into_iter().filter_map(|(name, unit, fact)| {
            let fact = fact.as_ref()?;
            Some(NamedFact::of(name, fact, FactValue::Count(fact.value, unit)))
        });
        let parallel = parallel.into_iter().filter_map(|(name, fact)| {
            let fact = fact.as_ref()?;
            Some(NamedFact::of(name, fact, FactValue::Count(u64::from(fact.value), "count")))
        });
        let shares = shares.into_iter().filter_map(|(name, unit, fact)| {
            let fact = fact.as_ref()?;
            Some(NamedFact::of(name, fact, FactValue::Number(fact.value, unit, fact.resolution)))
        });
        let factors = self.max_concurrency.iter().map(|fact| {
            let value = FactValue::Number(fact.value.factor, "count", fact.resolution.map(|step| step.factor));
            NamedFact::of("max_concurrency", fact, value)
        });
        words
            .chain(memory)
            .chain(buffers)
            .chain(asked)
            .chain(of_ranks)
            .chain(sizes)
            .chain(parallel)
            .chain(shares)
            .chain(factors)
    }
}

/// The name of a buffer that is planned and not allocated.
const fn planned_name(kind: BufferKind) -> &'static str {
    match kind {
        BufferKind::Weights => "planned_weights",
        BufferKind::ProjectorWeights => "planned_projector_weights",
        BufferKind::KvCache => "planned_kv_cache",
        BufferKind::RecurrentState => "planned_recurrent_state",
        BufferKind::Context => "planned_context",
        BufferKind::Compute => "planned_compute",
        BufferKind::Output => "planned_output",
        BufferKind::Graphs => "planned_graphs",
        BufferKind::Communication => "planned_communication",
        BufferKind::Total => "planned_total",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_does_not_say_has_no_name() {
        assert_eq!(EngineFacts::default().named().count(), 0);
        let at = |line| Origin { line, worker: None };
        let amount = |bytes, line| Fact {
            value: Bytes::new(bytes),
            scope: Scope::PerRank,
            resolution: Some(Bytes::new(5)),
            origin: at(line),
        };
        let facts = EngineFacts { weights: vec![amount(10, 3), amount(20, 4)], ..EngineFacts::default() };
        let named: Vec<_> = facts.named().map(|fact| (fact.name, fact.value, fact.origin.line)).collect();
        let memory = |bytes| FactValue::Memory(Bytes::new(bytes), Some(Bytes::new(5)));
        assert_eq!(named, [("model_weights", memory(10), 3), ("model_weights", memory(20), 4)]);
    }
}
