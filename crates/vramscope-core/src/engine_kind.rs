//! Which engine ran.

/// An inference engine that this project knows. What is known of one lies in rooms of its name, in every crate that says
/// something of engines: its words in `vramscope-log`, its rules in `vramscope-estimate`, its commands in
/// `vramscope-live`.
///
/// ```
/// use vramscope_core::EngineKind;
/// assert_eq!(EngineKind::from_name("vllm"), Some(EngineKind::Vllm));
/// assert_eq!(EngineKind::from_name("something-else"), None, "an engine that is not known is no other one");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EngineKind {
    /// vLLM.
    Vllm,
    /// Hugging Face transformers in plain Python, without a server.
    Transformers,
    /// llama.cpp: its server, its other programs, and what wraps its library.
    LlamaCpp,
    /// Ollama, which loads models with a runner of its own or with llama.cpp's.
    Ollama,
    /// SGLang.
    SgLang,
    /// Text Generation Inference.
    Tgi,
}

impl EngineKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Vllm, Self::Transformers, Self::LlamaCpp, Self::Ollama, Self::SgLang, Self::Tgi];

    /// What documents say in the place of an engine that cannot be told.
    pub const UNKNOWN: &'static str = "unknown";

    /// The name as documents spell it (`engine_type`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Transformers => "transformers",
            Self::LlamaCpp => "llama.cpp",
            Self::Ollama => "ollama",
            Self::SgLang => "sglang",
            Self::Tgi => "tgi",
        }
    }

    /// The engine of that name in a document; `None` for one that is not known.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name as people write it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Vllm => "vLLM",
            Self::Transformers => "transformers",
            Self::LlamaCpp => "llama.cpp",
            Self::Ollama => "Ollama",
            Self::SgLang => "SGLang",
            Self::Tgi => "TGI",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_is_found_by_its_own_name_alone() {
        for kind in EngineKind::ALL {
            assert_eq!(EngineKind::from_name(kind.name()), Some(kind));
            assert_eq!(EngineKind::from_name(&kind.name().to_uppercase()), None);
            assert!(!kind.title().is_empty());
        }
        assert_eq!(EngineKind::from_name(""), None);
        assert_eq!(EngineKind::from_name(EngineKind::UNKNOWN), None);
    }
}
