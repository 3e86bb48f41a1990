//! What analysis says in vLLM's words.

use crate::advice::{Setting, Topic};

/// The command that writes a benchmark's result.
pub(crate) const BENCHMARK: &str = "vllm bench";

/// What to do about a finding of a run of vLLM.
pub(crate) fn advice(setting: Setting<'_>, topic: Topic) -> String {
    let share = if setting.on_cpu { "VLLM_CPU_KVCACHE_SPACE" } else { "--gpu-memory-utilization" };
    let dtype = setting.facts.kv_cache_dtype.as_ref().map(|dtype| dtype.value.as_str());
    let narrow = dtype.is_some_and(vramscope_log::is_narrow_dtype);
    let fp8 = if narrow || setting.on_cpu { "" } else { "use an FP8 KV cache, " };
    match topic {
        Topic::OthersHoldMemory => format!(
            "vLLM does not take others' memory off its own budget: leave room with a lower {share}, or free the device"
        ),
        Topic::PoolTooSmall => format!("raise {share}, {fp8}shorten requests, or send fewer at a time"),
        Topic::PoolFarTooLarge if setting.on_cpu => {
            format!("to free memory for others, lower {share}; to use it, send more requests at a time")
        }
        Topic::PoolFarTooLarge => format!(
            "vLLM fills the share that it is given: to free memory for others, lower {share} or set \
             --kv-cache-memory-bytes; to use it, send more requests at a time"
        ),
        Topic::PoolNearlyFull => format!("raise {share}, {fp8}or lower --max-num-seqs"),
        Topic::DeviceNearlyFull => {
            format!("lower {share}: a larger batch or a fragmented cache would run out of memory")
        }
        Topic::NoCommonClock => {
            "record both on one machine, and keep vLLM's own line prefix (VLLM_CONFIGURE_LOGGING=1)".to_owned()
        }
        Topic::Unexplained => {
            "compare with a run at --enforce-eager and VLLM_LOGGING_LEVEL=DEBUG, which prints more of the parts"
                .to_owned()
        }
        Topic::PrintsNoMemory => "start it with VLLM_LOGGING_LEVEL=INFO or DEBUG".to_owned(),
        Topic::Underused if setting.on_cpu => "send more requests at a time, or raise --max-num-seqs".to_owned(),
        Topic::Underused => {
            "send more requests at a time, or raise --max-num-seqs; vramscope trace shows what the device waits for"
                .to_owned()
        }
    }
}
