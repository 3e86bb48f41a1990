//! Failures: from the values of a line to a typed kind, and what to do about each.

use vramscope_core::{Bytes, EngineFacts, FailureKind};

use crate::figure::Value;
use crate::key::Key;
use crate::pattern::Captured;
use crate::vllm::rows::Fails;

/// Longest message that is kept.
const MAX_MESSAGE: usize = 400;

/// The kind of failure with the numbers of its line.
pub(crate) fn kind(fails: Fails, captured: &[Captured]) -> FailureKind {
    let find = |key: Key| captured.iter().find(|c| c.key == key).map(|c| &c.value);
    let memory = |key: Key| match find(key) {
        Some(Value::Memory(memory)) => memory.bytes.as_bytes(),
        _ => None,
    };
    let count = |key: Key| match find(key) {
        Some(Value::Count(count)) => Some(*count),
        _ => None,
    };
    let number = |key: Key| match find(key) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    match fails {
        Fails::NoKvCacheMemory => FailureKind::NoKvCacheMemory,
        Fails::MaxSeqLen => FailureKind::MaxSeqLenExceedsKvCache {
            max_model_len: count(Key::FailLength),
            kv_cache_tokens: count(Key::FailKvTokens),
        },
        Fails::KvCacheTooSmall => FailureKind::KvCacheTooSmallForMaxModelLen {
            max_model_len: count(Key::FailLength),
            needed: memory(Key::FailNeeded),
            available: memory(Key::FailAvailable),
            estimated_max_model_len: count(Key::FailEstimatedLength),
        },
        Fails::FreeMemory => FailureKind::FreeMemoryBelowUtilization {
            free: memory(Key::FailFree).or_else(|| memory(Key::FailFreeThen)),
            total: memory(Key::FailTotal),
            utilization: number(Key::FailUtilization),
            requested: memory(Key::FailRequested),
        },
        Fails::FreeMemoryGrew => {
            FailureKind::FreeMemoryGrew { initial: memory(Key::InitialFree), current: memory(Key::FreeAfterProfile) }
        }
        Fails::OutOfMemory => FailureKind::OutOfMemory {
            tried: memory(Key::FailTried),
            capacity: memory(Key::FailTotal),
            free: memory(Key::FailFreeThen),
            process: memory(Key::FailProcess),
            allocated: memory(Key::FailAllocated),
            reserved_unallocated: memory(Key::FailReserved),
        },
        Fails::HostOutOfMemory => FailureKind::HostOutOfMemory { tried: memory(Key::FailTried) },
        Fails::Collective => FailureKind::Collective,
        Fails::WorkerDied => FailureKind::WorkerDied,
        Fails::Architecture => FailureKind::UnsupportedArchitecture,
        Fails::Arguments => FailureKind::BadArguments,
        Fails::Device => FailureKind::UnsupportedOnDevice,
        Fails::EngineCore => FailureKind::EngineCoreFailed,
        Fails::WaitingForGpus => FailureKind::WaitingForGpus,
    }
}

/// How a failure relates to others of the same engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// It explains itself.
    Cause,
    /// An error whose kind is not known.
    Unknown,
    /// It follows from another one, or may pass.
    Consequence,
}

/// How a failure relates to others.
pub(crate) fn rank(kind: &FailureKind) -> Rank {
    match kind {
        FailureKind::EngineCoreFailed
        | FailureKind::EngineCoreDied
        | FailureKind::WorkerDied
        | FailureKind::WaitingForGpus => Rank::Consequence,
        FailureKind::Other => Rank::Unknown,
        _ => Rank::Cause,
    }
}

/// What to do about a failure, in one or two sentences, as far as the engine is not set so already.
pub(crate) fn advice(kind: &FailureKind, facts: &EngineFacts) -> String {
    let gib = |bytes: Bytes| bytes.to_string();
    let on_cpu = facts.platform.as_ref().is_some_and(|platform| platform.value == "cpu");
    let more_memory = if on_cpu { "raise VLLM_CPU_KVCACHE_SPACE" } else { "raise --gpu-memory-utilization" };
    match kind {
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
        FailureKind::OutOfMemory { .. } if on_cpu => {
            "Lower VLLM_CPU_KVCACHE_SPACE to leave room outside the KV cache, or lower --max-num-seqs and \
             --max-num-batched-tokens, or close other programs."
                .to_owned()
        }
        FailureKind::OutOfMemory { reserved_unallocated, tried, .. } => {
            let fragmented = matches!((reserved_unallocated, tried), (Some(held), Some(tried)) if held >= tried);
            let hint = if fragmented {
                " The allocator holds enough that it cannot use in one piece: set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True."
            } else {
                ""
            };
            format!(
                "Lower --gpu-memory-utilization to leave room outside the KV cache, or lower --max-num-seqs and \
                 --max-num-batched-tokens.{hint}"
            )
        }
        FailureKind::HostOutOfMemory { .. } => {
            "The host's memory ran out, not the device's: give the container or the \
             machine more, lower --cpu-offload-gb and the size of a KV cache or swap space on the host (on a CPU \
             VLLM_CPU_KVCACHE_SPACE), or load with fewer processes together."
                .to_owned()
        }
        FailureKind::Collective => "The GPUs could not talk to each other: set NCCL_DEBUG=INFO and look for the first \
             warning; check drivers, shared memory (--ipc=host or --shm-size) and network interfaces."
            .to_owned(),
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
        _ => "The engine stopped with an error of its own; see the message and its line.".to_owned(),
    }
}

/// Whether elements of this type, as the engine names it, have eight bits or fewer: a KV cache of them does not become
/// smaller by another type.
pub fn is_narrow(dtype: &str) -> bool {
    let dtype = dtype.strip_prefix("torch.").unwrap_or(dtype).to_ascii_lowercase();
    ["fp8", "float8", "nvfp4", "mxfp4", "fp4", "int8", "int4", "uint8"].iter().any(|narrow| dtype.starts_with(narrow))
}

/// The message without secrets, shortened, and without what would steer the terminal that it is shown on.
pub(crate) fn message(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let more = if end < text.len() { " …" } else { "" };
    vramscope_core::redact(&vramscope_core::on_one_line(&text[..end])) + more
}

/// Strips the names of exceptions from the left (`torch._inductor.exc.InductorError: OutOfMemoryError: `); gives the
/// rest, and where the last name began.
pub(crate) fn strip_exceptions(text: &str) -> (&str, Option<usize>) {
    let mut at = 0;
    let mut last = None;
    while let Some(len) = exception_at(&text[at..]) {
        last = Some(at);
        at += len;
    }
    (&text[at..], last)
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heart<'a> {
    /// The text without the names of exceptions, and without the words of a process that passes on what another said.
    pub(crate) text: &'a str,
    /// Where the name of the exception begins, if there is one.
    pub(crate) exception: Option<usize>,
    /// One process tells what another one said.
    pub(crate) retold: bool,
}

/// What the driver of several workers says before the words of the one that failed (`v1/executor/multiproc_executor.py`,
/// since 0.8); the quotes are those of the text.
const RETELLS: [&str; 2] = ["Worker failed with error '", "Worker failed with error \""];

/// Finds what an error is about.
pub(crate) fn heart(message: &str) -> Heart<'_> {
    let (text, exception) = strip_exceptions(message);
    match RETELLS.iter().find_map(|words| text.strip_prefix(words)) {
        Some(told) => Heart { text: strip_exceptions(told).0, exception, retold: true },
        None => Heart { text, exception, retold: false },
    }
}

/// The length of `some.module.NameError: ` at the start.
fn exception_at(text: &str) -> Option<usize> {
    let end = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')))?;
    let name = &text[..end];
    if !text[end..].starts_with(": ") {
        return None;
    }
    let class = name.rsplit('.').next()?;
    let is_class = class.starts_with(|c: char| c.is_ascii_uppercase())
        && ["Error", "Exception", "Exit", "Interrupt"].iter().any(|suffix| class.ends_with(suffix));
    is_class.then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_exceptions_are_stripped() {
        assert_eq!(strip_exceptions("ValueError: Free memory").0, "Free memory");
        let nested = "torch._inductor.exc.InductorError: RuntimeError: PassManager::run failed";
        assert_eq!(strip_exceptions(nested), ("PassManager::run failed", Some(35)));
        assert_eq!(strip_exceptions("Error: x"), ("x", Some(0)));
        assert_eq!(strip_exceptions("Setting: x"), ("Setting: x", None));
    }

    #[test]
    fn a_message_does_not_steer_a_terminal() {
        assert_eq!(message("ValueError: a\u{1b}]0;title\u{7}\tb"), "ValueError: a]0;title b");
    }

    #[test]
    fn advice_names_the_number_to_use() {
        let kind = FailureKind::KvCacheTooSmallForMaxModelLen {
            max_model_len: Some(131_072),
            needed: None,
            available: None,
            estimated_max_model_len: Some(90_208),
        };
        assert!(advice(&kind, &EngineFacts::default()).contains("90208"));
    }

    #[test]
    fn nobody_is_advised_to_do_what_is_done_already() {
        use vramscope_core::{Fact, Origin, Scope};
        let kind = FailureKind::KvCacheTooSmallForMaxModelLen {
            max_model_len: Some(131_072),
            needed: Some(Bytes::new(1_438_814_044)),
            available: Some(Bytes::new(322_122_547)),
            estimated_max_model_len: Some(720),
        };
        let word = |text: &str| {
            let (value, scope, origin) = (text.to_owned(), Scope::AllRanks, Origin::default());
            Some(Fact { value, scope, resolution: None, origin })
        };
        let mut facts = EngineFacts::default();
        let mut with = |dtype: &str| {
            facts.kv_cache_dtype = word(dtype);
            advice(&kind, &facts)
        };
        for dtype in ["fp8", "fp8_e4m3", "fp8_e5m2", "fp8_ds_mla", "nvfp4", "torch.float8_e4m3fn"] {
            assert!(!with(dtype).contains("--kv-cache-dtype") && with(dtype).contains("already"), "{}", with(dtype));
        }
        for dtype in ["auto", "bfloat16", "float16"] {
            assert!(with(dtype).contains("--kv-cache-dtype fp8"), "{}", with(dtype));
        }
        let mut facts = EngineFacts::default();
        facts.platform = word("cpu");
        let on_cpu = advice(&kind, &facts);
        assert!(!on_cpu.to_lowercase().contains("gpu-"), "{on_cpu}");
        let (tried, capacity, free, process, allocated) = (None, None, None, None, None);
        let out = FailureKind::OutOfMemory { tried, capacity, free, process, allocated, reserved_unallocated: None };
        assert!(!advice(&out, &facts).contains("--gpu") && advice(&out, &EngineFacts::default()).contains("--gpu"));
        let mut quantized = EngineFacts::default();
        quantized.quantization = word("fp8");
        assert!(!advice(&FailureKind::NoKvCacheMemory, &quantized).contains("quantized"));
        assert!(advice(&FailureKind::NoKvCacheMemory, &EngineFacts::default()).contains("quantized"));
    }
}
