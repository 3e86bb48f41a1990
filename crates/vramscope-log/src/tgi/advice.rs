//! What to do about TGI's failures.

use vramscope_core::{EngineFacts, Failure, FailureKind};

/// What to do about a failure, in one or two sentences.
pub(crate) fn advice(failure: &Failure, _facts: &EngineFacts) -> String {
    match &failure.kind {
        FailureKind::OutOfMemory { .. } => {
            "The device has no room for the largest batch of prompts: lower --max-batch-prefill-tokens (and \
             --max-input-tokens, which it may not be below), quantize the weights with --quantize, or spread the model \
             over more GPUs with --num-shard. Memory of other processes counts too: --cuda-memory-fraction bounds what is \
             taken."
        }
        FailureKind::HostOutOfMemory { .. } => {
            "The host had no memory left while the weights were loaded, and the kernel ended a shard: give the container \
             more memory, or load fewer shards at once on this host."
        }
        _ if failure.message.contains("Warmup") => {
            "The warm-up failed; the lines before and after this one tell why. If they speak of memory, lower \
             --max-batch-prefill-tokens, or spread the model over more GPUs with --num-shard."
        }
        _ if failure.message.contains("Failed to bind") => {
            "The address is taken or not this machine's: end what listens there, or give another one with --hostname and \
             --port."
        }
        _ if failure.message.contains("Download encountered") => {
            "The weights could not be downloaded; the line itself says why: the model's name, its --revision, access to it \
             (HF_TOKEN), room on the disk, or the network."
        }
        _ => "Read what the shard printed before this line.",
    }
    .to_owned()
}
