//! What analysis says in Ollama's words, and reads of what its server answers.

use serde_json::Value;
use vramscope_core::{Bytes, redact};
use vramscope_runs::{JsonError, read_json};

use crate::advice::Topic;

/// What to do about a finding of a run of Ollama; `None` where what holds for any engine says it.
pub(crate) fn advice(topic: Topic) -> Option<&'static str> {
    Some(match topic {
        Topic::PrintsNoMemory => {
            "start the server with OLLAMA_DEBUG=1, and give its log from the loading of the model on"
        }
        Topic::OthersHoldMemory => "free the device, or keep room for others with OLLAMA_GPU_OVERHEAD",
        Topic::PoolTooSmall | Topic::PoolNearlyFull => {
            "raise num_ctx or lower OLLAMA_NUM_PARALLEL; OLLAMA_KV_CACHE_TYPE=q8_0 halves the cache"
        }
        Topic::PoolFarTooLarge => "to free memory for others, lower num_ctx or OLLAMA_NUM_PARALLEL",
        Topic::DeviceNearlyFull => "lower num_ctx or num_gpu, or set OLLAMA_KV_CACHE_TYPE=q8_0",
        Topic::Underused => "send more requests at a time, and raise OLLAMA_NUM_PARALLEL with them",
        Topic::Unexplained | Topic::NoCommonClock => return None,
    })
}

/// What Ollama's `/api/ps` says that its models hold: a sentence each, for it does not take them apart.
pub(crate) fn answered(json: &[u8]) -> Result<Vec<String>, JsonError> {
    const MOST_MODELS: usize = 16;
    let loaded: Value = read_json(json)?;
    let models = loaded["models"].as_array().into_iter().flatten().take(MOST_MODELS);
    let sentence = |model: &Value| {
        let name = redact(model["name"].as_str()?);
        let (all, on_devices) = (Bytes::new(model["size"].as_u64()?), Bytes::new(model["size_vram"].as_u64()?));
        let context = model["context_length"].as_u64();
        let context = context.map_or(String::new(), |tokens| format!(", for a context of {tokens} tokens"));
        Some(format!("the server says that {name} holds {all}, {on_devices} of them on devices{context}"))
    };
    Ok(models.filter_map(sentence).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_model_is_a_sentence() {
        let json =
            br#"{"models": [{"name": "a:1b", "size": 2147483648, "size_vram": 1073741824, "context_length": 4096}]}"#;
        let said = answered(json).unwrap();
        assert!(
            said[0].contains("a:1b holds 2.00 GiB, 1.00 GiB of them on devices, for a context of 4096"),
            "{said:?}"
        );
        assert!(answered(br#"{"models": [{"name": "a"}, 7]}"#).unwrap().is_empty());
        assert!(answered(b"{").is_err());
    }
}
