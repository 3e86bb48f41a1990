//! What analysis says in Ollama's words.

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
