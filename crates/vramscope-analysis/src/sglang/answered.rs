//! What the server says of itself when it is asked: of a run without a log, all that the engine reports.

use serde_json::Value;
use vramscope_core::{Buffer, BufferKind, ByteUnit, Bytes, EngineFacts, EngineKind, Fact, Origin, Scope, redact};
use vramscope_runs::{JsonError, read_json};

/// Sizes are rounded to hundredths of a GiB (`managers/scheduler.py`, `get_internal_state`).
const PRINTED_STEP: f64 = 0.01;

/// What SGLang's `/get_server_info` says. Its replicas of the attention each have a state of their own, of which the first
/// speaks for every rank.
pub(crate) fn answered(json: &[u8]) -> Result<EngineFacts, JsonError> {
    let info: Value = read_json(json)?;
    let mut facts = EngineFacts::default();
    (facts.engine, facts.answered) = (Some(EngineKind::SgLang), true);
    // What is left to the server to choose is no fact.
    let told = |key: &str| info[key].as_str().filter(|text| *text != "auto");
    let text = |key: &str| told(key).map(|text| fact(redact(text), Scope::AllRanks));
    let count = |key: &str| info[key].as_u64();
    let size = |key: &str| count(key).and_then(|size| u32::try_from(size).ok()).map(|size| fact(size, Scope::AllRanks));
    (facts.version, facts.model, facts.dtype) = (text("version"), text("model_path"), text("dtype"));
    (facts.quantization, facts.kv_cache_dtype) = (text("quantization"), text("kv_cache_dtype"));
    (facts.parallel.tensor, facts.parallel.pipeline) = (size("tp_size"), size("pp_size"));
    facts.max_model_len = count("context_length").map(|tokens| fact(tokens, Scope::AllRanks));
    facts.gpu_memory_utilization = info["mem_fraction_static"].as_f64().map(|share| fact(share, Scope::AllRanks));
    facts.enforce_eager = info["disable_cuda_graph"].as_bool().filter(|off| *off).map(|off| fact(off, Scope::AllRanks));
    let state = &info["internal_states"][0]["memory_usage"];
    let sizes: [(&[&str], BufferKind); 3] = [
        (&["weight"], BufferKind::Weights),
        (&["kvcache"], BufferKind::KvCache),
        (&["cuda_graph", "graph"], BufferKind::Graphs),
    ];
    for (keys, kind) in sizes {
        let printed = keys.iter().find_map(|key| state[*key].as_f64());
        let Some(bytes) = printed.and_then(|size| Bytes::from_unit(size, ByteUnit::GiB)) else { continue };
        let step = Bytes::from_unit(PRINTED_STEP / 2.0, ByteUnit::GiB);
        let amount = Fact { resolution: step, ..fact(bytes, Scope::PerRank) };
        match kind {
            BufferKind::Weights => facts.weights.push(amount.clone()),
            BufferKind::KvCache => facts.kv_pool.push(amount.clone()),
            _ => facts.graphs.push(amount.clone()),
        }
        facts.buffers.push(Buffer::new(kind, None, amount));
    }
    let tokens = state["token_capacity"].as_u64().or_else(|| count("max_total_num_tokens"));
    facts.kv_tokens = tokens.map(|tokens| fact(tokens, Scope::PerRank)).into_iter().collect();
    Ok(facts)
}

/// The whole answer counts as one line.
fn fact<T>(value: T, scope: Scope) -> Fact<T> {
    Fact { value, scope, resolution: None, origin: Origin { line: 1, worker: None } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_a_state_are_those_of_a_rank() {
        let json = br#"{"model_path": "a/b", "tp_size": 2, "version": "0.5.12", "mem_fraction_static": 0.88,
            "max_total_num_tokens": 9, "internal_states": [{"memory_usage":
            {"weight": 14.98, "kvcache": 59.14, "graph": 2.28, "token_capacity": 484518}}]}"#;
        let facts = answered(json).unwrap();
        assert_eq!((facts.ranks(), facts.kv_cache_tokens()), (Some(2), Some(484_518)));
        assert_eq!(facts.version.unwrap().value, "0.5.12");
        let sizes: Vec<(BufferKind, f64)> =
            facts.buffers.iter().map(|buffer| (buffer.kind, buffer.amount.value.in_unit(ByteUnit::GiB))).collect();
        assert_eq!(sizes.len(), 3);
        assert!((sizes[0].1 - 14.98).abs() < 1e-6 && (sizes[1].1 - 59.14).abs() < 1e-6, "{sizes:?}");
        assert_eq!(facts.buffers[0].amount.resolution, Bytes::from_unit(0.005, ByteUnit::GiB));
    }

    #[test]
    fn what_is_not_said_is_not_known() {
        let facts = answered(br#"{"internal_states": [{"memory_usage": {"weight": "much", "kvcache": -1}}]}"#).unwrap();
        assert!(facts.buffers.is_empty() && facts.version.is_none() && facts.kv_tokens.is_empty());
        assert!(answered(b"[1]").unwrap().buffers.is_empty());
        assert!(answered(b"<html>").is_err());
    }
}
