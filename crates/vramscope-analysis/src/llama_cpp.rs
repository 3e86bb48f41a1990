//! What analysis says in llama.cpp's words.

pub(crate) mod expected;

use vramscope_core::{EngineKind, Grammar};
use vramscope_estimate::{LLAMA_CPP_LINE, is_llama_cpp_command};

use crate::advice::{Setting, Topic};

/// How a command line is taken apart, if it starts one of its programs, or is known to.
pub(crate) fn grammar_of(argv: &[String], recorded: Option<EngineKind>) -> Option<Grammar> {
    (recorded == Some(EngineKind::LlamaCpp) || is_llama_cpp_command(argv)).then_some(LLAMA_CPP_LINE)
}

/// What to do about a finding of a run of llama.cpp; `None` where what holds for any engine says it.
pub(crate) fn advice(setting: Setting<'_>, topic: Topic) -> Option<String> {
    let narrow = setting
        .facts
        .kv_cache_dtype
        .as_ref()
        .is_some_and(|dtype| !matches!(dtype.value.as_str(), "f16" | "f32" | "bf16"));
    let smaller = if narrow { "" } else { "take a smaller type with -ctk q8_0 -ctv q8_0, " };
    let text = match topic {
        Topic::PrintsNoMemory => {
            "start llama-server with `-lv 4` (`--log-verbosity 4`, or LLAMA_LOG_VERBOSITY=4): at its default verbosity it \
             prints no figure of memory"
                .to_owned()
        }
        Topic::OthersHoldMemory if setting.on_cpu => return None,
        Topic::OthersHoldMemory => {
            "free the device, or leave room for it: --fit with a larger -fitt (--fit-target), or a lower -ngl".to_owned()
        }
        Topic::PoolTooSmall => format!("raise -c (--ctx-size), {smaller}shorten requests, or lower -np (--parallel)"),
        Topic::PoolFarTooLarge => "to free memory for others, lower -c (--ctx-size)".to_owned(),
        Topic::PoolNearlyFull => format!("raise -c (--ctx-size), {smaller}or lower -np (--parallel)"),
        Topic::DeviceNearlyFull => format!("lower -ngl or -c, {smaller}or leave more free with -fitt (--fit-target)"),
        Topic::Unexplained => {
            "compare with a run at -lv 4 that ends by itself: its table at the end counts what lies outside its buffers"
                .to_owned()
        }
        Topic::Underused => "send more requests at a time, and raise -np (--parallel) with them".to_owned(),
        Topic::NoCommonClock => return None,
    };
    Some(text)
}
