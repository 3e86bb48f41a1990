//! What to do about a failure, in the words of the engine that failed.

use vramscope_core::{EngineFacts, EngineKind, Failure};

use crate::{llama_cpp, ollama, sglang, tgi, vllm};

/// The engines whose logs are read.
pub const ENGINES: &[EngineKind] =
    &[vllm::rows::ENGINE, EngineKind::LlamaCpp, EngineKind::Ollama, EngineKind::SgLang, EngineKind::Tgi];

/// What to do about a failure, in one or two sentences; flags are those of the engine that failed, and none is advised
/// that its facts show to be set already. Of an engine that is not known here, what holds for any.
pub fn advice(failure: &Failure, facts: &EngineFacts) -> String {
    match failure.engine {
        Some(EngineKind::Vllm) => vllm::advice::advice(failure, facts),
        Some(EngineKind::LlamaCpp) => llama_cpp::advice::advice(failure, facts),
        Some(EngineKind::Ollama) => ollama::advice::advice(failure, facts),
        Some(EngineKind::SgLang) => sglang::advice::advice(failure, facts),
        Some(EngineKind::Tgi) => tgi::advice::advice(failure, facts),
        _ if matches!(failure.kind, vramscope_core::FailureKind::OutOfMemory { .. }) => {
            "The device has no memory left. Which engine printed this is not known from the log: give the whole of it,              from its first line."
                .to_owned()
        }
        _ => "Read what the engine printed last, and its documentation of that message.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_core::{FailureKind, Origin};

    #[test]
    fn no_engine_is_advised_with_the_flags_of_another_one() {
        let advice = |engine| {
            let failure = Failure::new(engine, FailureKind::NoKvCacheMemory, String::new(), Origin::default());
            advice(&failure, &EngineFacts::default())
        };
        assert!(advice(Some(EngineKind::Vllm)).contains("--gpu-memory-utilization"));
        for other in [None, Some(EngineKind::Transformers)] {
            assert!(!advice(other).contains("--"), "{other:?}");
        }
    }
}
