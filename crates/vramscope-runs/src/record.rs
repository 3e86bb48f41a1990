//! What the conductor of a run wrote down: `run.json` of a recording folder.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use vramscope_models::Overrides;
use vramscope_schema::v3::{HostInfo, Phase, RunStatus, WorkloadInfo};

use crate::json::{JsonError, read_json};

/// The version of the record that is written.
pub const RECORD_VERSION: u32 = 1;

/// The outcome of a conducted run, with what no other file of the recording folder holds.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct RunRecord {
    /// The version of this record. A higher one is refused. Unit: none, a version.
    pub vramscope_run: u32,
    /// The program that conducted the run, with its release.
    pub generator: String,
    /// How the run ended.
    pub status: RunStatus,
    /// The phase in which it failed or was stopped.
    pub failing_phase: Option<Phase>,
    /// Why, as the conductor saw it. The engine's log may know better.
    pub failure: Option<HostFailure>,
    /// What ran the engine.
    pub host: HostInfo,
    /// The engine: `vllm`, `transformers`, `llama.cpp`, `ollama`, `sglang` or `tgi`; `unknown` where nothing told it.
    pub engine_type: String,
    /// What was asked of the engine.
    pub workload: Option<WorkloadInfo>,
    /// The model's shape, where it was given by hand.
    pub shape: Option<Shape>,
    /// The engine's processes that were seen, as the machine numbers them. A driver that lists processes by the same
    /// numbers tells by them which devices are the engine's. Unit: none, process ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine_pids: Vec<u32>,
    /// What a reader must know, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Why a run failed, seen from outside the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct HostFailure {
    /// A stable name, such as `engine_exited`, `timed_out`, `container_gone`, `device_lost`, `interrupted`.
    pub kind: String,
    /// What happened, in one sentence.
    pub message: String,
}

/// A model's shape as given by hand; what was not given is as the model's own description has it.
#[skip_serializing_none]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Shape {
    /// Parameters of the whole model. Unit: count.
    pub parameters: Option<u64>,
    /// Layers. Unit: count.
    pub layers: Option<u64>,
    /// Query heads. Unit: count.
    pub heads: Option<u64>,
    /// Key and value heads. Unit: count.
    pub kv_heads: Option<u64>,
    /// The size of one head. Unit: elements.
    pub head_dim: Option<u64>,
    /// The width of the residual stream. Unit: elements.
    pub hidden_size: Option<u64>,
    /// The width inside the feed-forward layers. Unit: elements.
    pub intermediate_size: Option<u64>,
    /// Rows of the embedding. Unit: count.
    pub vocab_size: Option<u64>,
}

impl Shape {
    /// As the reader of models takes it.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            parameters: self.parameters,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            vocab_size: self.vocab_size,
            max_positions: None,
        }
    }

    /// Whether it alone describes a model.
    pub fn is_whole(&self) -> bool {
        self.layers.is_some() && self.heads.is_some() && self.hidden_size.is_some()
    }
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is no record.
    #[error("read the record of the run: expected the JSON object that vramscope profile writes as run.json")]
    Json(#[from] JsonError),
    /// A newer program wrote it.
    #[error(
        "read the record of the run: it is of version {found}, and this program reads up to {RECORD_VERSION}; use a newer vramscope"
    )]
    Newer {
        /// Its version.
        found: u32,
    },
}

/// Reads `run.json`.
///
/// # Errors
/// [`RecordError`].
pub fn read(json: &[u8]) -> Result<RunRecord, RecordError> {
    #[derive(Deserialize)]
    struct Version {
        vramscope_run: u32,
    }
    let Version { vramscope_run: found } = read_json(json)?;
    if found > RECORD_VERSION {
        return Err(RecordError::Newer { found });
    }
    Ok(read_json(json)?)
}

/// The JSON Schema of `run.json`.
#[cfg(feature = "json-schema")]
pub fn record_json_schema() -> schemars::Schema {
    schemars::schema_for!(RunRecord)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_by_its_version_first() {
        let json = br#"{"vramscope_run": 1, "generator": "vramscope 0", "status": "failed", "failing_phase": "load",
            "failure": {"kind": "engine_exited", "message": "it ended with code 1"}, "host": {"kind": "process"},
            "engine_type": "vllm", "later": 1}"#;
        let record = read(json).unwrap();
        assert_eq!((record.status, record.failing_phase), (RunStatus::Failed, Some(Phase::Load)));
        assert!(matches!(read(br#"{"vramscope_run": 2}"#), Err(RecordError::Newer { found: 2 })));
        assert!(matches!(read(b"{}"), Err(RecordError::Json(_))));
        assert_eq!(read(&serde_json::to_vec(&record).unwrap()).unwrap(), record);
    }
}
