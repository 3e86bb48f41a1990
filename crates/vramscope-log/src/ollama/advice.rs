//! What to do about Ollama's failures.

use vramscope_core::{EngineFacts, Failure, FailureKind};

/// What to do about a failure, in one or two sentences.
pub(crate) fn advice(failure: &Failure, facts: &EngineFacts) -> String {
    let several = facts.max_num_seqs.as_ref().is_some_and(|slots| slots.value > 1);
    let slots = if several { ", OLLAMA_NUM_PARALLEL=1" } else { "" };
    match &failure.kind {
        FailureKind::OutOfMemory { .. } => format!(
            "The device has no room for what was planned for it: lower num_ctx (OLLAMA_CONTEXT_LENGTH){slots} or num_gpu, \
             set OLLAMA_KV_CACHE_TYPE=q8_0 with OLLAMA_FLASH_ATTENTION=1, leave room with OLLAMA_GPU_OVERHEAD (in bytes), \
             or stop other models (ollama ps, ollama stop)."
        ),
        FailureKind::HostOutOfMemory { .. } => format!(
            "The host has no room for the model: take a smaller one or a smaller quantization, lower num_ctx \
             (OLLAMA_CONTEXT_LENGTH){slots}, or stop other models (ollama ps, ollama stop; OLLAMA_MAX_LOADED_MODELS=1)."
        ),
        FailureKind::UnsupportedArchitecture => {
            "This release does not know the model's architecture: update Ollama, or take another model.".to_owned()
        }
        _ => "Read what the runner printed before this line; OLLAMA_DEBUG=1 prints more.".to_owned(),
    }
}
