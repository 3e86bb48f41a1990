//! What a person sets, in the engine's words.

use vramscope_core::{EngineKind, EngineLine};

use super::release::OllamaVersion;

/// Settings of the server and of a model. What is `None` is the engine's own choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OllamaArgs {
    /// The release.
    pub version: OllamaVersion,
    /// Tokens of one request: `num_ctx`, else `OLLAMA_CONTEXT_LENGTH`.
    pub num_ctx: Option<u64>,
    /// Requests at once (`OLLAMA_NUM_PARALLEL`).
    pub num_parallel: Option<u64>,
    /// The type of cached keys and values (`OLLAMA_KV_CACHE_TYPE`).
    pub kv_cache_type: Option<String>,
    /// Attention in one operator (`OLLAMA_FLASH_ATTENTION`).
    pub flash_attention: Option<bool>,
    /// Layers on the device (`num_gpu`); negative: as many as fit.
    pub num_gpu: Option<i64>,
    /// Tokens that are computed together (`num_batch`); 0: the server's own choice.
    pub num_batch: Option<u64>,
    /// What is not for the engine on each device, in bytes (`OLLAMA_GPU_OVERHEAD`).
    pub gpu_overhead: u64,
    /// Variables of the server that it starts (`LLAMA_ARG_…`): its environment is that of the engine.
    pub for_server: Vec<String>,
    /// What was given and could not be read, one sentence each.
    pub notes: Vec<String>,
    /// Words that were given and change no memory that is known here.
    pub ignored: Vec<String>,
}

impl Default for OllamaArgs {
    fn default() -> Self {
        Self {
            version: OllamaVersion::NEWEST,
            num_ctx: None,
            num_parallel: None,
            kv_cache_type: None,
            flash_attention: None,
            num_gpu: None,
            num_batch: None,
            gpu_overhead: 0,
            for_server: Vec::new(),
            notes: Vec::new(),
            ignored: Vec::new(),
        }
    }
}

impl OllamaArgs {
    /// The settings of a command line: variables in front of the program, or as a container is given them
    /// (`docker run -e OLLAMA_NUM_PARALLEL=2 …`).
    pub fn read<S: AsRef<str>>(words: &[S]) -> Self {
        let mut args = Self::default();
        for word in words.iter().map(AsRef::as_ref) {
            let word = word.strip_prefix("--env=").unwrap_or(word);
            match word.split_once('=') {
                Some((name, value)) if name.starts_with("OLLAMA_") => {
                    args.take(name, value.trim().trim_matches(['"', '\'']));
                }
                Some((name, _)) if name.starts_with("LLAMA_ARG_") => args.for_server.push(word.to_owned()),
                _ => {}
            }
        }
        let lead = EngineLine::of(words).filter(|line| line.kind == EngineKind::Ollama).map_or(0, |line| line.lead);
        // A secret stands behind its name: they are looked at together.
        let own = words.iter().skip(lead).map(AsRef::as_ref).filter(|word| *word != "serve");
        let own = own.filter(|word| !word.starts_with("OLLAMA_") && !word.starts_with("LLAMA_ARG_"));
        args.ignored.extend(vramscope_core::redact_args(own));
        args
    }

    fn take(&mut self, name: &str, value: &str) {
        // An empty variable is none.
        if value.is_empty() {
            return;
        }
        match name {
            "OLLAMA_CONTEXT_LENGTH" => self.num_ctx = self.number(name, value).filter(|tokens| *tokens > 0),
            "OLLAMA_NUM_PARALLEL" => self.num_parallel = self.number(name, value),
            "OLLAMA_GPU_OVERHEAD" => self.gpu_overhead = self.number(name, value).unwrap_or(0),
            "OLLAMA_KV_CACHE_TYPE" => self.kv_cache_type = Some(value.to_lowercase()),
            // What is no truth value counts as true (`BoolWithDefault`).
            "OLLAMA_FLASH_ATTENTION" => {
                self.flash_attention = Some(!matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False"));
            }
            _ => self.ignored.push(vramscope_core::redact_args([format!("{name}={value}").as_str()]).join(" ")),
        }
    }

    /// A whole number. The engine warns of anything else and goes on with its own choice; so does this.
    fn number(&mut self, name: &str, value: &str) -> Option<u64> {
        let number = value.parse().ok();
        if number.is_none() {
            self.notes.push(format!("{name}={value} is no whole number: the engine warns, and takes its own choice"));
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_front_of_the_program_are_read() {
        let args = OllamaArgs::read(&[
            "docker",
            "run",
            "-e",
            "OLLAMA_NUM_PARALLEL=4",
            "OLLAMA_KV_CACHE_TYPE=Q8_0",
            "OLLAMA_FLASH_ATTENTION=1",
            "OLLAMA_CONTEXT_LENGTH=8192",
            "OLLAMA_GPU_OVERHEAD=1024",
            "ollama",
            "serve",
        ]);
        assert_eq!((args.num_parallel, args.num_ctx, args.gpu_overhead), (Some(4), Some(8192), 1024));
        assert_eq!((args.kv_cache_type.as_deref(), args.flash_attention), (Some("q8_0"), Some(true)));
        assert!(args.notes.is_empty() && args.ignored.is_empty(), "{args:?}");
    }

    #[test]
    fn what_is_for_the_server_and_what_is_not_known_is_kept() {
        let args =
            OllamaArgs::read(&["LLAMA_ARG_FIT_TARGET=4096,2048", "OLLAMA_DEBUG=1", "ollama", "serve", "--verbose"]);
        let secret = OllamaArgs::read(&["ollama", "serve", "--api-key", "plainsecretword", "--x=1"]).ignored.join(" ");
        assert!(!secret.contains("plainsecretword") && secret.contains("--x=1"), "{secret}");
        assert_eq!((&args.for_server[..], args.ignored.len()), (&["LLAMA_ARG_FIT_TARGET=4096,2048".to_owned()][..], 2));
    }

    #[test]
    fn what_the_engine_cannot_read_is_its_own_choice_and_said() {
        let args = OllamaArgs::read(&["OLLAMA_GPU_OVERHEAD=8G", "OLLAMA_NUM_PARALLEL=", "OLLAMA_FLASH_ATTENTION=off"]);
        assert_eq!((args.gpu_overhead, args.num_parallel, args.flash_attention), (0, None, Some(true)));
        assert!(args.notes[0].contains("OLLAMA_GPU_OVERHEAD=8G"), "{:?}", args.notes);
    }
}
