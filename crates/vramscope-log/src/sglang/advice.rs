//! What to do about SGLang's failures. Two kinds of them want the opposite of each other: a pool for which nothing is left
//! wants a larger share, and whatever comes after the pool wants a smaller one.

use vramscope_core::{EngineFacts, Failure, FailureKind, Milestone};

/// What to do about a failure, in one or two sentences.
pub(crate) fn advice(failure: &Failure, facts: &EngineFacts) -> String {
    let pooled = !facts.kv_pool.is_empty() || facts.event(Milestone::KvPoolSized).is_some();
    match &failure.kind {
        FailureKind::NoKvCacheMemory => {
            "Weights take the whole share of memory that is meant for them and the pool: raise --mem-fraction-static, \
             quantize the weights, or spread the model over more GPUs with --tp-size."
        }
        FailureKind::OutOfMemory { .. } if failure.message.contains("graph failed") => {
            "Capturing graphs found no memory beside weights and pool: lower --mem-fraction-static, lower \
             --cuda-graph-max-bs, or set --disable-cuda-graph."
        }
        FailureKind::OutOfMemory { .. } if pooled => {
            "Weights and pool leave too little for computing: lower --mem-fraction-static, --chunked-prefill-size, \
             --cuda-graph-max-bs or --max-running-requests."
        }
        FailureKind::OutOfMemory { .. } => {
            "The device has no room for the weights, or others hold memory of it: stop them, quantize the weights, or \
             spread the model over more GPUs with --tp-size."
        }
        FailureKind::HostOutOfMemory { .. } => {
            "The host has no memory left: lower --hicache-ratio or --hicache-size if a cache in host memory is on, and \
             --cpu-offload-gb."
        }
        FailureKind::Other if failure.message.contains("out of memory. Try to lower") => {
            "The pool has no room for the requests at hand: lower --max-running-requests or --chunked-prefill-size, or \
             raise --schedule-conservativeness."
        }
        FailureKind::Other if failure.message.contains("attempting to bind") => {
            "The address is taken: end what listens there, or give another one with --host and --port."
        }
        FailureKind::UnsupportedArchitecture => {
            "This release does not know the model's architecture: take a newer one, or --model-impl transformers where \
             transformers knows it."
        }
        FailureKind::WorkerDied => {
            "A process of the server ended, and no line here says why: read the traceback before this one, of each rank. \
             Where it has none, and an exit code of -9 or 9, the kernel ended it, mostly because the host had no memory \
             left (dmesg); --log-level debug prints more."
        }
        _ => "Read what the engine printed before this line; --log-level debug prints more.",
    }
    .to_owned()
}
