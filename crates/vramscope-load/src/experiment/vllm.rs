//! What vLLM is told: said only where its own metrics are the reason.

/// The KV cache has no room for another request.
pub(super) const KV_CACHE_FULL: &str = "more memory for it (--gpu-memory-utilization, more devices), a smaller one \
    (--kv-cache-dtype fp8, a lower --max-model-len), or fewer requests at once";

/// Requests wait though the KV cache has room.
pub(super) const QUEUE: &str = "raise --max-num-seqs, or --max-num-batched-tokens where prompts are long";
