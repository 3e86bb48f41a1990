//! What to do where memory ran out: it follows from whose memory, what the engine was at, and how it is set.

use vramscope_core::{Activity, Bytes, EngineFacts, Failure, FailureKind};

use super::{on_cpu, pool};

/// What others must hold of a device at least to be named: less is the driver's own.
const OTHERS_AT_LEAST: Bytes = Bytes::new(1 << 30);

/// The device's memory ran out.
pub(super) fn device(failure: &Failure, facts: &EngineFacts) -> String {
    let advice = match failure.activity {
        _ if on_cpu(facts) => {
            return format!(
                "Lower {} to leave room outside the KV cache, or lower --max-num-seqs and --max-num-batched-tokens, or \
                 close other programs.",
                pool(facts)
            );
        }
        Some(Activity::WakingUp { freed }) => return waking(freed),
        Some(Activity::LoadingWeights) => {
            let offload = match &facts.cpu_offload {
                Some(given) => format!("keep more of them on the host than the {} of --cpu-offload-gb", given.value),
                None => "keep a part on the host with --cpu-offload-gb".to_owned(),
            };
            format!(
                "The weights do not fit: {}spread them over more GPUs with --tensor-parallel-size{}, or {offload}. There was \
                 no KV cache yet, so that a smaller share for it gives no room.",
                quantized(facts),
                parallel(facts)
            )
        }
        Some(Activity::Profiling) => format!(
            "The profile run does not fit beside the weights: lower --max-num-batched-tokens{} or --max-num-seqs{}, {}or \
             spread the model over more GPUs with --tensor-parallel-size{}. There was no KV cache yet, so that a smaller \
             share for it gives no room.",
            now(facts.max_num_batched_tokens.as_ref().map(|fact| fact.value)),
            now(facts.max_num_seqs.as_ref().map(|fact| fact.value)),
            quantized(facts),
            parallel(facts)
        ),
        Some(Activity::CapturingGraphs) => format!(
            "The KV cache leaves too little for the graphs: lower {}, capture fewer and smaller batches \
             (cudagraph_capture_sizes), or do without graphs by --enforce-eager.",
            pool(facts)
        ),
        Some(Activity::WarmingUpSampler { requests }) => {
            let seqs = requests.or_else(|| facts.max_num_seqs.as_ref().map(|fact| fact.value));
            format!(
                "The KV cache leaves too little for the sampler of a full batch: lower --max-num-seqs{}, or lower {}.",
                now(seqs),
                pool(facts)
            )
        }
        Some(Activity::Starting) => {
            let eager = facts.enforce_eager.as_ref().is_some_and(|fact| fact.value);
            let graphs = if eager { "" } else { ", do without graphs by --enforce-eager" };
            format!(
                "The KV cache leaves too little for what comes after it: lower {}{graphs}, or lower --max-num-seqs and \
                 --max-num-batched-tokens.",
                pool(facts)
            )
        }
        _ => format!(
            "Lower {} to leave room outside the KV cache, or lower --max-num-seqs and --max-num-batched-tokens.",
            pool(facts)
        ),
    };
    advice + &others(failure) + fragmented(failure)
}

/// Waking up maps again what sleeping gave back.
fn waking(freed: Option<Bytes>) -> String {
    match freed {
        Some(Bytes::ZERO) => "Waking up found no memory because falling asleep had freed none: what it maps again is held \
            still. No other setting of memory helps; see why sleep freed nothing, and restart the engine."
            .to_owned(),
        Some(freed) => format!(
            "Waking up found no memory: of the {freed} that falling asleep had freed another process has taken a part. Free \
             it before waking, or wake in parts, the weights first (tags=weights) and the KV cache later (tags=kv_cache)."
        ),
        None => "Waking up found no memory: another process has taken what falling asleep had freed. Free it before waking, \
            or wake in parts, the weights first (tags=weights) and the KV cache later (tags=kv_cache)."
            .to_owned(),
    }
}

fn quantized(facts: &EngineFacts) -> &'static str {
    let is = facts.quantization.as_ref().is_some_and(|method| method.value != "none");
    if is { "" } else { "use quantized weights, " }
}

fn parallel(facts: &EngineFacts) -> String {
    now(facts.parallel.tensor.as_ref().map(|fact| u64::from(fact.value)))
}

fn now(value: Option<u64>) -> String {
    value.map_or_else(String::new, |value| format!(" ({value} now)"))
}

/// What other processes hold, where the figures tell.
fn others(failure: &Failure) -> String {
    let FailureKind::OutOfMemory { capacity: Some(capacity), free: Some(free), process: Some(process), .. } =
        failure.kind
    else {
        return String::new();
    };
    let held = capacity.checked_sub(free).and_then(|used| used.checked_sub(process));
    held.filter(|held| *held >= OTHERS_AT_LEAST)
        .map_or_else(String::new, |held| format!(" Other processes hold {held} of this device: free that first."))
}

/// Where the allocator holds enough, but not in one piece.
fn fragmented(failure: &Failure) -> &'static str {
    let FailureKind::OutOfMemory { reserved_unallocated: Some(held), tried: Some(tried), .. } = failure.kind else {
        return "";
    };
    if held < tried {
        return "";
    }
    " The allocator holds enough that it cannot use in one piece: set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True."
}

/// The host's memory ran out.
pub(super) fn host(failure: &Failure, facts: &EngineFacts) -> String {
    let shared = failure.message.contains("shared memory") || failure.message.contains("/dev/shm");
    let more = if shared {
        "give a container more shared memory with --shm-size or --ipc=host"
    } else {
        "give the container or the machine more"
    };
    let held = match &facts.cpu_offload {
        _ if on_cpu(facts) => ", lower VLLM_CPU_KVCACHE_SPACE".to_owned(),
        Some(given) => format!(", lower --cpu-offload-gb ({} now)", given.value),
        None => String::new(),
    };
    format!("The host's memory ran out, not the device's: {more}{held}, or load with fewer processes together.")
}
