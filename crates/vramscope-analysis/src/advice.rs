//! What to do about a finding, in the words of the engine that ran.

use vramscope_core::EngineKind;

use crate::vllm;

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
    /// The log's clock does not meet that of the samples.
    NoCommonClock,
    /// A part of the peak is explained by nothing.
    Unexplained,
}

/// The advice for an engine; for one that is not known here, or not named, what holds for any.
pub(crate) fn advice(engine: Option<EngineKind>, topic: Topic) -> &'static str {
    match engine {
        Some(EngineKind::Vllm) => vllm::advice(topic),
        _ => of_any(topic),
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
        Topic::NoCommonClock => "record both on one machine, and keep the engine's own line prefix",
        Topic::Unexplained => "compare with a run without graphs, and with the engine's most detailed log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_an_engine_are_advised_to_nobody_else() {
        use Topic as T;
        let all = [
            T::OthersHoldMemory,
            T::PoolTooSmall,
            T::PoolFarTooLarge,
            T::PoolNearlyFull,
            T::NoCommonClock,
            T::Unexplained,
        ];
        for topic in all {
            for other in [None, Some(EngineKind::Transformers)] {
                let said = advice(other, topic);
                assert!(!said.contains("--") && !said.contains(EngineKind::Vllm.title()), "{said}");
            }
            assert_ne!(advice(Some(EngineKind::Vllm), topic), of_any(topic));
        }
    }
}
