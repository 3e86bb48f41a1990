//! What the bundled probe (`src/probe/transformers_probe.py`) wrote of a model loaded with transformers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use vramscope_core::Bytes;
use vramscope_runs::{JsonError, read_json};

/// The version of the probe's object that this reads.
const FORMAT: u64 = 1;
/// The object of a million iterations is about this large.
const MAX_PROBE: usize = 64 << 20;

/// What the probe found. After a failure it holds what was measured until then.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Probe {
    /// Why it failed, if it did.
    pub error: Option<ProbeFailure>,
    /// What was asked. Absent if the arguments were wrong.
    pub request: Option<ProbeRequest>,
    /// Versions of what ran.
    pub versions: Option<ProbeVersions>,
    /// `cuda`, `rocm` or `cpu`.
    pub platform: Option<String>,
    /// When each phase began.
    #[serde(default)]
    pub marks: Vec<ProbeMark>,
    /// The model as it was loaded.
    pub model: Option<ProbeModel>,
    /// The GPUs that torch saw; none on a CPU.
    #[serde(default)]
    pub devices: Vec<ProbeDevice>,
    /// Memory of the process in host RAM.
    #[serde(default)]
    pub process: ProbeProcess,
    /// The time of loading, with moving to the device.
    #[serde(default, rename = "load_s", deserialize_with = "maybe_seconds")]
    pub load: Option<Duration>,
    /// The time of each warmup iteration.
    #[serde(default, rename = "warmup_s", deserialize_with = "each_seconds")]
    pub warmup: Vec<Duration>,
    /// The time of each measured iteration.
    #[serde(default, rename = "generate_s", deserialize_with = "each_seconds")]
    pub generate: Vec<Duration>,
    /// Tokens that each measured iteration generated, all sequences together.
    #[serde(default)]
    pub output_tokens: Vec<u64>,
}

/// Why the probe failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbeFailure {
    /// `arguments`, `import`, `model_not_found`, `no_access`, `network`, `needs_remote_code`, `unsupported_model`,
    /// `device`, `out_of_memory`, `interrupted` or `internal`.
    pub kind: String,
    /// The phase that it was in.
    pub phase: String,
    /// The Python exception.
    #[serde(rename = "type")]
    pub exception: String,
    /// Its message, without the values of secret variables.
    pub message: String,
}

/// What was asked of the probe.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbeRequest {
    /// The folder or Hugging Face id.
    pub model: String,
    /// The type asked for, or `auto`.
    pub dtype: String,
    /// Where to load it, if that was asked.
    pub device_map: Option<String>,
    /// Sequences of one iteration.
    pub batch_size: u64,
    /// Prompt tokens of a sequence.
    pub input_len: u64,
    /// Generated tokens of a sequence.
    pub output_len: u64,
    /// Measured iterations.
    pub iterations: u64,
    /// Iterations before them.
    pub warmup_iterations: u64,
}

/// Versions of what ran the model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbeVersions {
    /// Python's.
    pub python: String,
    /// torch's.
    pub torch: String,
    /// transformers'.
    pub transformers: String,
    /// accelerate's, if it is there.
    pub accelerate: Option<String>,
    /// CUDA's, if torch was built for it.
    pub cuda: Option<String>,
    /// HIP's, if torch was built for it.
    pub hip: Option<String>,
}

/// The beginning of a phase: `import`, `load`, `warmup`, `measure`, `end`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbeMark {
    /// Its name.
    pub phase: String,
    /// When, in nanoseconds since 1970.
    pub unix_ns: u64,
}

/// The model as it was loaded. Sizes are of distinct storages: tied weights count once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbeModel {
    /// The class.
    pub architecture: String,
    /// `model_type` of the configuration.
    pub model_type: String,
    /// The model's main type.
    pub dtype: String,
    /// Parameters.
    pub parameters: u64,
    /// Bytes of all of them.
    #[serde(deserialize_with = "bytes")]
    pub parameter_bytes: Bytes,
    /// By type.
    #[serde(deserialize_with = "bytes_by_name")]
    pub parameter_bytes_by_dtype: BTreeMap<String, Bytes>,
    /// By device; offloaded weights stand under `meta`.
    #[serde(deserialize_with = "bytes_by_name")]
    pub parameter_bytes_by_device: BTreeMap<String, Bytes>,
    /// Bytes of buffers.
    #[serde(deserialize_with = "bytes")]
    pub buffer_bytes: Bytes,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbeDevice {
    /// torch's index of it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its UUID without `GPU-`, if torch tells.
    pub uuid: Option<String>,
    /// All of its memory.
    #[serde(deserialize_with = "bytes")]
    pub total_bytes: Bytes,
    /// Before loading.
    pub before_load: Option<ProbeMoment>,
    /// After loading.
    pub after_load: Option<ProbeMoment>,
    /// After the last iteration.
    pub after_generate: Option<ProbeMoment>,
    /// The most while loading.
    pub peak_load: Option<ProbePeak>,
    /// The most while generating.
    pub peak_generate: Option<ProbePeak>,
}

/// A device's memory at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbeMoment {
    /// In tensors.
    #[serde(deserialize_with = "bytes")]
    pub allocated_bytes: Bytes,
    /// Held by torch's allocator.
    #[serde(deserialize_with = "bytes")]
    pub reserved_bytes: Bytes,
    /// Free by the driver, whoever uses the rest.
    #[serde(deserialize_with = "bytes")]
    pub free_bytes: Bytes,
}

/// The most of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbePeak {
    /// In tensors.
    #[serde(deserialize_with = "bytes")]
    pub allocated_bytes: Bytes,
    /// Held by torch's allocator.
    #[serde(deserialize_with = "bytes")]
    pub reserved_bytes: Bytes,
}

/// Memory of the probe's process in host RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
pub struct ProbeProcess {
    /// Before loading.
    pub before_load: Option<ProbeProcessMoment>,
    /// After loading.
    pub after_load: Option<ProbeProcessMoment>,
    /// After the last iteration.
    pub after_generate: Option<ProbeProcessMoment>,
    /// The most resident memory.
    #[serde(default, deserialize_with = "maybe_bytes")]
    pub peak_rss_bytes: Option<Bytes>,
}

/// The process's memory at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProbeProcessMoment {
    /// Resident.
    #[serde(default, deserialize_with = "maybe_bytes")]
    pub rss_bytes: Option<Bytes>,
    /// Resident, shared pages divided by those who share them.
    #[serde(default, deserialize_with = "maybe_bytes")]
    pub pss_bytes: Option<Bytes>,
}

/// A probe's object that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// Too much.
    #[error("read the probe's object: it has {bytes} bytes; expected at most {MAX_PROBE}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Another thing.
    #[error("read the probe's object: expected the JSON object that transformers_probe.py writes")]
    Json {
        /// Where it fails.
        #[source]
        source: JsonError,
    },
    /// Another version.
    #[error("read the probe's object: its version is {found}; expected {FORMAT}, the probe that this vramscope brings")]
    Version {
        /// What it says.
        found: u64,
    },
    /// It contradicts itself.
    #[error("read the probe's object: {problem}")]
    Contradiction {
        /// In what.
        problem: String,
    },
}

/// Reads a probe's object.
///
/// # Errors
/// [`ProbeError`].
pub fn read(json: &[u8]) -> Result<Probe, ProbeError> {
    #[derive(Deserialize)]
    struct Head {
        probe: u64,
        status: String,
    }
    if json.len() > MAX_PROBE {
        return Err(ProbeError::TooLarge { bytes: json.len() });
    }
    let head: Head = read_json(json).map_err(|source| ProbeError::Json { source })?;
    if head.probe != FORMAT {
        return Err(ProbeError::Version { found: head.probe });
    }
    let probe: Probe = read_json(json).map_err(|source| ProbeError::Json { source })?;
    let contradiction = |problem: String| Err(ProbeError::Contradiction { problem });
    if (head.status == "ok") != probe.error.is_none() {
        return contradiction(format!(
            "its status is {:?}, and it holds {} error",
            head.status,
            probe.error.iter().len()
        ));
    }
    if let Some(model) = &probe.model {
        for (name, parts) in [("dtype", &model.parameter_bytes_by_dtype), ("device", &model.parameter_bytes_by_device)]
        {
            if Bytes::checked_sum(parts.values().copied()) != Some(model.parameter_bytes) {
                let whole = model.parameter_bytes.get();
                return contradiction(format!(
                    "parameter_bytes is {whole}, which parameter_bytes_by_{name} does not add up to"
                ));
            }
        }
    }
    Ok(probe)
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    u64::deserialize(from).map(Bytes::new)
}

fn maybe_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    Ok(Option::<u64>::deserialize(from)?.map(Bytes::new))
}

fn bytes_by_name<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Bytes>, D::Error> {
    let sizes = BTreeMap::<String, u64>::deserialize(from)?;
    Ok(sizes.into_iter().map(|(name, size)| (name, Bytes::new(size))).collect())
}

fn seconds<E: serde::de::Error>(s: f64) -> Result<Duration, E> {
    Duration::try_from_secs_f64(s).map_err(|_| E::custom(format!("{s} is no time in seconds")))
}

fn maybe_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Option::<f64>::deserialize(from)?.map(seconds).transpose()
}

fn each_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    Vec::<f64>::deserialize(from)?.into_iter().map(seconds).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What the probe wrote of a tiny model with torch on a CPU.
    const CPU: &str = include_str!("data/probe-cpu.json");

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Probe, ProbeError> {
        let mut object: Value = serde_json::from_str(CPU).unwrap();
        change(&mut object);
        read(object.to_string().as_bytes())
    }

    #[test]
    fn a_real_object_is_read() {
        let probe = read(CPU.as_bytes()).unwrap();
        let model = probe.model.unwrap();
        assert_eq!((model.parameters, model.parameter_bytes.get()), (684_928, 1_369_856));
        assert_eq!((probe.generate.len(), probe.output_tokens[0], probe.devices.len()), (3, 32, 0));
        assert!(
            probe.process.after_load.unwrap().pss_bytes.unwrap()
                > probe.process.before_load.unwrap().pss_bytes.unwrap()
        );
        assert_eq!(
            probe.marks.iter().map(|m| m.phase.as_str()).collect::<Vec<_>>(),
            ["import", "load", "warmup", "measure", "end"]
        );
    }

    #[test]
    fn a_gpu_and_a_failure_are_read() {
        let moment = json!({"allocated_bytes": 1, "reserved_bytes": 2, "free_bytes": 3});
        let device = json!({"index": 0, "name": "H200", "uuid": null, "total_bytes": 9, "before_load": moment});
        let error = json!({"kind": "out_of_memory", "phase": "load", "type": "OutOfMemoryError", "message": "full"});
        let probe = changed(|object| {
            object["devices"] = json!([device]);
            object["error"] = error;
            object["status"] = json!("error");
            object["model"] = Value::Null;
        });
        let probe = probe.unwrap();
        assert_eq!(probe.devices[0].before_load.unwrap().free_bytes.get(), 3);
        assert_eq!((probe.devices[0].after_load, probe.error.unwrap().kind.as_str()), (None, "out_of_memory"));
        let least = br#"{"probe": 1, "status": "error", "error": {"kind": "arguments", "phase": "arguments", "type": "Refused", "message": "m"}}"#;
        assert!(read(least).unwrap().request.is_none());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(matches!(read(b"{}"), Err(ProbeError::Json { .. })));
        assert!(matches!(changed(|o| o["probe"] = json!(2)), Err(ProbeError::Version { found: 2 })));
        assert!(matches!(changed(|o| o["generate_s"] = json!([-1.0])), Err(ProbeError::Json { .. })));
        assert!(matches!(changed(|o| o["status"] = json!("error")), Err(ProbeError::Contradiction { .. })));
        let wrong = |o: &mut Value| o["model"]["parameter_bytes"] = json!(5);
        assert!(matches!(changed(wrong), Err(ProbeError::Contradiction { .. })));
        assert!(matches!(read(&vec![b' '; MAX_PROBE + 1]), Err(ProbeError::TooLarge { .. })));
    }
}
