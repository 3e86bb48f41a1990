//! What analysis says in SGLang's words, and how it reads what SGLang's ranks print of their memory.

pub(crate) mod answered;
pub(crate) mod parts;

use crate::advice::{Setting, Topic};

/// What to do about a finding of a run of SGLang; `None` where what holds for any engine says it.
pub(crate) fn advice(setting: Setting<'_>, topic: Topic) -> Option<String> {
    let dtype = setting.facts.kv_cache_dtype.as_ref().map(|dtype| dtype.value.as_str());
    let is_narrow = dtype.is_some_and(vramscope_log::is_narrow_dtype);
    let fp8 = if is_narrow { "" } else { "take --kv-cache-dtype fp8_e5m2, " };
    let has_graphs = setting.facts.enforce_eager.is_none();
    let batches = if has_graphs { ", --cuda-graph-max-bs" } else { "" };
    let text = match topic {
        Topic::OthersHoldMemory => {
            "SGLang's share is one of what is free when it starts, so its pool is smaller by what others hold: free the \
             device, or leave it as it is; --mem-fraction-static changes the share"
                .to_owned()
        }
        Topic::PoolTooSmall => {
            format!("raise --mem-fraction-static, {fp8}shorten requests, or send fewer at a time")
        }
        Topic::PoolFarTooLarge => {
            "to free memory for others, lower --mem-fraction-static or set --max-total-tokens; to use it, send more \
             requests at a time"
                .to_owned()
        }
        Topic::PoolNearlyFull => {
            format!("raise --mem-fraction-static, {fp8}or lower --max-running-requests")
        }
        // The server makes no trial run: what computing takes has to fit what the share leaves.
        Topic::DeviceNearlyFull => {
            format!("lower --mem-fraction-static, --chunked-prefill-size{batches} or --max-running-requests")
        }
        Topic::Unexplained if has_graphs => {
            "compare with a run at --disable-cuda-graph, and one with a smaller --chunked-prefill-size: graphs and the \
             largest prefill are what it takes beside weights and pool"
                .to_owned()
        }
        Topic::Unexplained => {
            "compare with a run with a smaller --chunked-prefill-size: the largest prefill is what it takes beside \
             weights and pool"
                .to_owned()
        }
        Topic::PrintsNoMemory => "start the server with --log-level info, and give its log from its first line".to_owned(),
        Topic::Underused => "send more requests at a time, and raise --max-running-requests with them".to_owned(),
        Topic::NoCommonClock => return None,
    };
    Some(text)
}
