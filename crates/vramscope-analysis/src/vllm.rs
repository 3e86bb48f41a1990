//! What analysis says in vLLM's words.

use crate::advice::Topic;

/// The command that writes a benchmark's result.
pub(crate) const BENCHMARK: &str = "vllm bench";

/// What to do about a finding of a run of vLLM.
pub(crate) fn advice(topic: Topic) -> &'static str {
    match topic {
        Topic::OthersHoldMemory => {
            "vLLM does not take others' memory off its own budget: leave room with a lower --gpu-memory-utilization, or \
             free the device"
        }
        Topic::PoolTooSmall => {
            "raise --gpu-memory-utilization, use an FP8 KV cache, shorten requests, or send fewer at a time"
        }
        Topic::PoolFarTooLarge => {
            "vLLM fills the share that it is given: to free memory for others, lower --gpu-memory-utilization or set \
             --kv-cache-memory-bytes; to use it, send more requests at a time"
        }
        Topic::PoolNearlyFull => "raise --gpu-memory-utilization, use an FP8 KV cache, or lower --max-num-seqs",
        Topic::NoCommonClock => {
            "record both on one machine, and keep vLLM's own line prefix (VLLM_CONFIGURE_LOGGING=1)"
        }
        Topic::Unexplained => {
            "compare with a run at --enforce-eager and VLLM_LOGGING_LEVEL=DEBUG, which prints more of the parts"
        }
    }
}
