//! What to do about a finding, in the words of the engine that ran.

use vramscope_core::{EngineFacts, EngineKind};

use crate::{llama_cpp, ollama, sglang, vllm};

/// A finding whose advice names settings of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Others hold memory on the engine's devices.
    OthersHoldMemory,
    /// The KV cache holds less than the workload has at once.
    PoolTooSmall,
    /// The KV cache holds many times what the workload has at once.
    PoolFarTooLarge,
    /// The KV cache was in use almost whole.
    PoolNearlyFull,
    /// Next to nothing of the device was free.
    DeviceNearlyFull,
    /// The log's clock does not meet that of the samples.
    NoCommonClock,
    /// A part of the peak is explained by nothing.
    Unexplained,
    /// The device waits for work.
    Underused,
    /// The log holds no figure of memory.
    PrintsNoMemory,
}

/// How a run was, as far as advice depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The engine; `None` for one that is not known here, or not named.
    pub(crate) engine: Option<EngineKind>,
    /// What it is set to already.
    pub(crate) facts: &'a EngineFacts,
    /// There is no GPU.
    pub(crate) on_cpu: bool,
}

/// The advice for an engine; for one that is not known here, or not named, what holds for any.
pub(crate) fn advice(setting: Setting<'_>, topic: Topic) -> String {
    match setting.engine {
        Some(EngineKind::Vllm) => vllm::advice(setting, topic),
        Some(EngineKind::LlamaCpp) => llama_cpp::advice(setting, topic).unwrap_or_else(|| of_any(topic).to_owned()),
        Some(EngineKind::Ollama) => ollama::advice(topic).unwrap_or_else(|| of_any(topic)).to_owned(),
        Some(EngineKind::SgLang) => sglang::advice(setting, topic).unwrap_or_else(|| of_any(topic).to_owned()),
        _ => of_any(topic).to_owned(),
    }
}

fn of_any(topic: Topic) -> &'static str {
    match topic {
        Topic::OthersHoldMemory => "leave room for it in the engine's share of the memory, or free the device",
        Topic::PoolTooSmall => {
            "give the KV cache more memory or a smaller element type, shorten requests, or send fewer at a time"
        }
        Topic::PoolFarTooLarge => {
            "to free memory for others, give the engine a smaller share; to use it, send more requests at a time"
        }
        Topic::PoolNearlyFull => {
            "give the KV cache more memory or a smaller element type, or let fewer requests run together"
        }
        Topic::DeviceNearlyFull => {
            "give the engine a smaller share of the memory: a larger batch or a fragmented cache would run out of it"
        }
        Topic::NoCommonClock => "record both on one machine, and keep the engine's own line prefix",
        Topic::Unexplained => "compare with a run without graphs, and with the engine's most detailed log",
        Topic::PrintsNoMemory => "start the engine with its most detailed log",
        Topic::Underused => "send more requests at a time; vramscope trace shows what the device waits for",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Topic; 9] = [
        Topic::OthersHoldMemory,
        Topic::PoolTooSmall,
        Topic::PoolFarTooLarge,
        Topic::PoolNearlyFull,
        Topic::DeviceNearlyFull,
        Topic::NoCommonClock,
        Topic::Unexplained,
        Topic::Underused,
        Topic::PrintsNoMemory,
    ];

    #[test]
    fn settings_of_an_engine_are_advised_to_nobody_else() {
        let facts = EngineFacts::default();
        for topic in ALL {
            for engine in [None, Some(EngineKind::Transformers)] {
                let said = advice(Setting { engine, facts: &facts, on_cpu: false }, topic);
                assert!(!said.contains("--") && !said.contains(EngineKind::Vllm.title()), "{said}");
            }
            let vllm = Setting { engine: Some(EngineKind::Vllm), facts: &facts, on_cpu: false };
            assert_ne!(advice(vllm, topic), of_any(topic));
        }
    }

    #[test]
    fn each_engine_is_advised_with_settings_of_its_own() {
        let facts = EngineFacts::default();
        let others = ["--gpu-memory-utilization", "--max-num-seqs", "-lv 4", "--ctx-size", "num_ctx", "OLLAMA_"];
        for topic in ALL {
            let said = advice(Setting { engine: Some(EngineKind::SgLang), facts: &facts, on_cpu: false }, topic);
            assert!(others.iter().all(|other| !said.contains(other)), "{topic:?}: {said}");
        }
        let sglang = |topic| advice(Setting { engine: Some(EngineKind::SgLang), facts: &facts, on_cpu: false }, topic);
        assert!(sglang(Topic::DeviceNearlyFull).contains("--chunked-prefill-size, --cuda-graph-max-bs"));
        assert!(sglang(Topic::PoolNearlyFull).contains("--max-running-requests"));
    }

    #[test]
    fn graphs_that_are_switched_off_are_not_advised_about() {
        use vramscope_core::{Fact, Origin, Scope};
        let mut facts = EngineFacts::default();
        facts.enforce_eager =
            Some(Fact { value: true, scope: Scope::AllRanks, resolution: None, origin: Origin::default() });
        for topic in ALL {
            let said = advice(Setting { engine: Some(EngineKind::SgLang), facts: &facts, on_cpu: false }, topic);
            assert!(!said.contains("cuda-graph"), "{topic:?}: {said}");
        }
    }

    #[test]
    fn what_is_of_a_gpu_is_not_advised_without_one_and_what_is_set_is_not_advised_again() {
        use vramscope_core::{Fact, Origin, Scope};
        let mut facts = EngineFacts::default();
        for topic in ALL {
            let said = advice(Setting { engine: Some(EngineKind::Vllm), facts: &facts, on_cpu: true }, topic);
            assert!(!said.contains("--gpu") && !said.contains("FP8"), "{topic:?}: {said}");
        }
        let (value, scope, origin) = ("fp8_e5m2".to_owned(), Scope::AllRanks, Origin::default());
        facts.kv_cache_dtype = Some(Fact { value, scope, resolution: None, origin });
        for topic in [Topic::PoolTooSmall, Topic::PoolNearlyFull] {
            let said = advice(Setting { engine: Some(EngineKind::Vllm), facts: &facts, on_cpu: false }, topic);
            assert!(!said.contains("FP8"), "{said}");
        }
    }
}
