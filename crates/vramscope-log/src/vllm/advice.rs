//! What to do about each kind of failure, as far as the engine is not set so already.

mod memory;

use vramscope_core::{Bytes, EngineFacts, Failure, FailureKind};

/// What to do about a failure, in one or two sentences.
pub(crate) fn advice(failure: &Failure, facts: &EngineFacts) -> String {
    let gib = |bytes: Bytes| bytes.to_string();
    let on_cpu = on_cpu(facts);
    let more_memory = format!("raise {}", pool(facts));
    match &failure.kind {
        FailureKind::NoKvCacheMemory if on_cpu => {
            format!("Weights and activations leave nothing for the KV cache: {more_memory}, or use a smaller model.")
        }
        FailureKind::NoKvCacheMemory => {
            let quantized = facts.quantization.as_ref().is_some_and(|method| method.value != "none");
            let smaller = if quantized { "" } else { "use quantized weights, " };
            format!(
                "Weights and activations leave nothing for the KV cache: {more_memory}, lower \
                 --max-num-batched-tokens or --max-num-seqs, {smaller}or spread the model over more GPUs with \
                 --tensor-parallel-size."
            )
        }
        FailureKind::MaxSeqLenExceedsKvCache { kv_cache_tokens, .. } => {
            let most = kv_cache_tokens.map_or(String::new(), |tokens| format!(" to at most {tokens}"));
            format!("Lower --max-model-len{most}, or {more_memory}.")
        }
        FailureKind::KvCacheTooSmallForMaxModelLen { needed, available, estimated_max_model_len, .. } => {
            let lower = estimated_max_model_len.map_or_else(
                || "Lower --max-model-len".to_owned(),
                |tokens| format!("Lower --max-model-len to {tokens} or less"),
            );
            let more = match (needed, available) {
                (Some(needed), Some(available)) if needed > available => needed
                    .checked_sub(*available)
                    .map_or(String::new(), |lack| format!(" that frees {} more per GPU", gib(lack))),
                _ => String::new(),
            };
            let to = if on_cpu { "to a size" } else { "to a share" };
            let to = if more.is_empty() { String::new() } else { format!(" {to}{more}") };
            let room = format!("{lower}, or {more_memory}{to}");
            match facts.kv_cache_dtype.as_ref().map(|dtype| dtype.value.as_str()) {
                Some(dtype) if is_narrow(dtype) && on_cpu => format!("{room}; the KV cache is {dtype} already."),
                Some(dtype) if is_narrow(dtype) => format!(
                    "{room}; the KV cache is {dtype} already. Spreading the model over more GPUs with \
                     --tensor-parallel-size leaves more to each."
                ),
                _ if on_cpu => format!("{room}."),
                _ => format!("{room}; --kv-cache-dtype fp8 halves the need."),
            }
        }
        // A KV cache whose size was given asks for no share.
        FailureKind::FreeMemoryBelowUtilization { utilization: None, .. } => {
            "Other processes hold memory of this device: \
             stop them, or ask for less with --gpu-memory-utilization, or with --kv-cache-memory-bytes (on a CPU \
             VLLM_CPU_KVCACHE_SPACE) where the size of the KV cache is given."
                .to_owned()
        }
        FailureKind::FreeMemoryBelowUtilization { free, total, .. } => {
            let share = match (free, total) {
                (Some(free), Some(total)) if *total > Bytes::ZERO => {
                    let share = (free.as_f64() / total.as_f64() * 100.0).floor() / 100.0;
                    format!(" to {share:.2} or less")
                }
                _ => String::new(),
            };
            format!("Other processes hold memory of this device: stop them, or lower --gpu-memory-utilization{share}.")
        }
        FailureKind::FreeMemoryGrew { .. } => "Another process on this GPU gave memory back while the engine measured \
             its own use: start the engine when the others have started or stopped, or give it a GPU of its own."
            .to_owned(),
        FailureKind::OutOfMemory { .. } => memory::device(failure, facts),
        FailureKind::HostOutOfMemory { .. } => memory::host(failure, facts),
        FailureKind::Collective => "The GPUs could not talk to each other: set NCCL_DEBUG=INFO and look for the first \
             warning; check drivers, shared memory (--ipc=host or --shm-size) and network interfaces."
            .to_owned(),
        FailureKind::WorkerDied | FailureKind::EngineCoreFailed if was_killed(&failure.message) => KILLED.to_owned(),
        FailureKind::WorkerDied => "A worker process died; the cause is on its own lines before this one, or in the \
             kernel's log if it was killed for host memory."
            .to_owned(),
        FailureKind::UnsupportedArchitecture => {
            "This release does not know the model's architecture: use a newer vLLM or Transformers.".to_owned()
        }
        FailureKind::BadArguments => {
            "The command line was refused: correct the argument that the message names.".to_owned()
        }
        FailureKind::UnsupportedOnDevice => "This device cannot do what the model or the arguments ask for: leave out \
             the argument that the message names, use a newer vLLM, or run it on another device."
            .to_owned(),
        FailureKind::EngineCoreFailed => {
            "The engine's core did not start; the cause is in lines that this log lacks or \
             that were not understood."
                .to_owned()
        }
        FailureKind::EngineCoreDied => {
            "The engine's core stopped while it was at work; the cause is in lines that this log lacks or that were \
             not understood, or in the kernel's log if it was killed for host memory."
                .to_owned()
        }
        FailureKind::WaitingForGpus => {
            "Fewer GPUs are there than the engine was told to use: lower --tensor-parallel-size or free GPUs."
                .to_owned()
        }
        _ => other(&failure.message).to_owned(),
    }
}

fn on_cpu(facts: &EngineFacts) -> bool {
    facts.platform.as_ref().is_some_and(|platform| platform.value == "cpu")
}

/// The setting that gives the KV cache its room, with what it is now.
fn pool(facts: &EngineFacts) -> String {
    match &facts.kv_cache_memory {
        _ if on_cpu(facts) => "VLLM_CPU_KVCACHE_SPACE".to_owned(),
        Some(given) => format!("--kv-cache-memory-bytes ({} now)", given.value),
        None => "--gpu-memory-utilization".to_owned(),
    }
}

/// How logs write that a process was ended by signal 9, which none survives and none sends itself.
const SIGNAL_9: [&str; 5] = ["exit code: -9", "exit code -9", "exitcode: -9", "exitcode=-9", "': -9"];

/// Whether a process was ended by signal 9.
fn was_killed(message: &str) -> bool {
    let says = |words: &&str| message.split(*words).skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    message == "Killed" || SIGNAL_9.iter().any(says)
}

const KILLED: &str = "A process of the engine was ended by signal 9. The kernel does so when the host's memory runs \
    out: look for `Out of memory` in its log (dmesg), and give the container or the machine more memory; else whoever \
    watches over the engine did.";

/// What to do about errors of no kind, where their words tell.
fn other(message: &str) -> &'static str {
    if message.contains("No space left on device") {
        "A disk or the shared memory (/dev/shm) is full, which is no memory of the device: make room, or give a container \
         more of it with --shm-size or --ipc=host."
    } else if message.contains("AlignedAllocator") {
        "A workspace of FlashInfer is too small, whatever the device has free: raise \
         VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE, or lower --max-num-batched-tokens."
    } else if message.contains("CUBLAS_STATUS_NOT_INITIALIZED") {
        "The library could not begin, and does not say why: too little free memory is the usual reason, a driver that does \
         not fit or an earlier error of the device another one. See what was free, and the lines before."
    } else {
        "The engine stopped with an error of its own; see the message and its line."
    }
}

/// Whether elements of this type, as the engine names it, have eight bits or fewer: a KV cache of them does not become
/// smaller by another type.
pub fn is_narrow(dtype: &str) -> bool {
    let dtype = dtype.strip_prefix("torch.").unwrap_or(dtype).to_ascii_lowercase();
    ["fp8", "float8", "nvfp4", "mxfp4", "fp4", "int8", "int4", "uint8"].iter().any(|narrow| dtype.starts_with(narrow))
}

#[cfg(test)]
mod tests;
