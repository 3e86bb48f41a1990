//! What to do about llama.cpp's failures.

use vramscope_core::{BufferKind, EngineFacts, Failure, FailureKind};

/// What found no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Weights,
    KvCache,
    RecurrentState,
    Compute,
}

/// What an allocation that failed was for. The line that fails says how much, and those behind it what for
/// (`src/llama-model.cpp`, `src/llama-kv-cache.cpp`, `src/llama-memory-recurrent.cpp`, `src/llama-context.cpp`;
/// `ggml_gallocr` allocates what a step computes with).
fn lacks(failure: &Failure) -> Option<Lacks> {
    let behind = failure.consequences.iter().map(|follows| follows.message.as_str());
    let said: Vec<&str> = std::iter::once(failure.message.as_str()).chain(behind).collect();
    let any = |words: &[&str]| said.iter().any(|line| words.iter().any(|word| line.contains(word)));
    if any(&["rs cache", "recurrent"]) {
        return Some(Lacks::RecurrentState);
    }
    if any(&["kv cache", "self-attention cache"]) {
        return Some(Lacks::KvCache);
    }
    if any(&["allocate compute", "ggml_gallocr"]) {
        return Some(Lacks::Compute);
    }
    // A server says that it failed to load the model also where a context found no room.
    any(&["unable to allocate", "error loading model"]).then_some(Lacks::Weights)
}

/// What to do about a failure, in one or two sentences.
pub(crate) fn advice(failure: &Failure, facts: &EngineFacts) -> String {
    let placed = |kind| facts.buffers.iter().any(|part| part.kind == kind && part.is_on_device());
    match &failure.kind {
        FailureKind::OutOfMemory { .. } => {
            match lacks(failure) {
                Some(Lacks::Compute) => {
                    "The device has no room for the compute buffer: lower -ub (--ubatch-size), -c (--ctx-size) or -ngl \
                     (--n-gpu-layers), and turn flash attention on with -fa on if it is off."
                }
                Some(Lacks::RecurrentState) => {
                    "The device has no room for the state of recurrent layers, of which each request has its own: lower \
                     -np (--parallel), or lower -ngl (--n-gpu-layers)."
                }
                Some(Lacks::KvCache) => {
                    "The device has no room for the KV cache: lower -c (--ctx-size) or -np (--parallel), take a smaller \
                     type with -ctk q8_0 -ctv q8_0, keep the cache on the host with -nkvo, or lower -ngl \
                     (--n-gpu-layers)."
                }
                Some(Lacks::Weights) => {
                    "The device has no room for the weights: lower -ngl (--n-gpu-layers), keep experts on the host with \
                     --n-cpu-moe, take a smaller quantization, or leave -ngl out, so that --fit chooses it."
                }
                None if placed(BufferKind::KvCache) => {
                    "The device has no room beside weights and KV cache, and no line says for what: for the compute buffer \
                     lower -ub (--ubatch-size), for state of recurrent layers -np (--parallel); -c (--ctx-size) or -ngl \
                     (--n-gpu-layers) make room for either."
                }
                None if placed(BufferKind::Weights) => {
                    "The device has no room beside the weights, and no line says for what: lower -c (--ctx-size), -np \
                     (--parallel), -ub (--ubatch-size) or -ngl (--n-gpu-layers). The lines behind this one would tell."
                }
                None => {
                    "The device has no room, and no line says for what: lower -ngl (--n-gpu-layers), or leave it out, so \
                     that --fit chooses it; -c (--ctx-size) and -ub (--ubatch-size) make room too. The lines behind this \
                     one would tell."
                }
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
        FailureKind::Other if failure.message.contains("bind HTTP server socket") => {
            "The address is taken or not this machine's: end what listens there, perhaps a server that runs already, or give \
             another one with --host and --port."
                .to_owned()
        }
        FailureKind::Other if failure.message.contains("HTTP server error") => {
            "The server could not begin to listen; the line before this one says why: look at --host and --port.".to_owned()
        }
        FailureKind::BadArguments => "See --help of the program for what it takes.".to_owned(),
        _ => "Read the lines before this one for the cause; -lv 4 (--log-verbosity 4) prints more.".to_owned(),
    }
}
