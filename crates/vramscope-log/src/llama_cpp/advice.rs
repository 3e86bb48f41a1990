//! What to do about llama.cpp's failures.

use vramscope_core::{BufferKind, EngineFacts, Failure, FailureKind};

/// What to do about a failure, in one or two sentences.
pub(crate) fn advice(failure: &Failure, facts: &EngineFacts) -> String {
    let placed = |kind| facts.buffers.iter().any(|part| part.kind == kind && part.is_on_device());
    match &failure.kind {
        FailureKind::OutOfMemory { .. } => {
            let message = failure.message.as_str();
            let of_cache = message.contains("kv cache");
            let of_compute = message.contains("compute");
            if of_compute || placed(BufferKind::KvCache) && !of_cache {
                "The device has no room for the compute buffer: lower -ub (--ubatch-size), -c (--ctx-size) or -ngl \
                 (--n-gpu-layers), and turn flash attention on with -fa on if it is off."
            } else if of_cache || placed(BufferKind::Weights) {
                "The device has no room for the KV cache: lower -c (--ctx-size) or -np (--parallel), take a smaller type \
                 with -ctk q8_0 -ctv q8_0, keep the cache on the host with -nkvo, or lower -ngl (--n-gpu-layers)."
            } else {
                "The device has no room for the weights: lower -ngl (--n-gpu-layers), keep experts on the host with \
                 --n-cpu-moe, take a smaller quantization, or leave -ngl out, so that --fit chooses it."
            }
            .to_owned()
        }
        FailureKind::HostOutOfMemory { .. } => {
            "The host has no room: take a smaller quantization, lower -c (--ctx-size) or --cache-ram, put more layers \
             on the device with -ngl (--n-gpu-layers), or leave weights in the file (no --no-mmap, no --mlock)."
                .to_owned()
        }
        FailureKind::UnsupportedOnDevice if failure.message.contains("split buffers") => {
            "This build or device cannot split a layer's rows over devices: leave out -sm row, so that whole layers are \
             split over them (-sm layer)."
                .to_owned()
        }
        FailureKind::UnsupportedOnDevice => {
            "The device cannot work with a buffer of this size or type, although it was allocated: lower -c \
             (--ctx-size) or -ub (--ubatch-size), spread the model over more devices, or lower -ngl (--n-gpu-layers)."
                .to_owned()
        }
        FailureKind::UnsupportedArchitecture => {
            "This build does not know the model's architecture: take a newer build, or a GGUF file of another model."
                .to_owned()
        }
        FailureKind::BadArguments => "See --help of the program for what it takes.".to_owned(),
        _ => "Read the lines before this one for the cause; -lv 4 (--log-verbosity 4) prints more.".to_owned(),
    }
}
