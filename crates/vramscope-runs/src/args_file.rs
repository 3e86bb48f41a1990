//! The command line of the engine, as a recording has it: `args.json`.

use serde::{Deserialize, Serialize};

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArgsFile {
    /// The words.
    pub argv: Vec<String>,
    /// A name of the model.
    pub model: Option<String>,
    /// The engine's release. The key is that of the first recordings, which knew one engine.
    #[serde(rename = "vllm", alias = "engine_version")]
    pub engine_version: Option<String>,
}
