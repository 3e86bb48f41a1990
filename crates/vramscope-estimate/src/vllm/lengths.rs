//! `max_model_len` as each release derives it, and which lengths it refuses.

use vramscope_core::{Architecture, Lengths};

use super::input::{EngineArgs, EngineVersion};
use crate::EstimateError;

/// The variable that lets the engine take more than it derives.
pub const ALLOWS_LONG: &str = "VLLM_ALLOW_LONG_MAX_MODEL_LEN";
/// What is taken of a model whose config states no length.
const UNSTATED: u64 = 32_768;

/// The longest sequence that a release derives of a model, and the one that it takes unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelLengths {
    /// What is refused is longer. Unit: tokens.
    pub longest: u64,
    /// What is taken where nobody asks for a length. Unit: tokens.
    pub usual: u64,
    /// The rules of this release were checked, by building its own configuration.
    pub checked: bool,
}

/// The lengths of a model under a release; `None` where its config states none, which is taken for 32,768, or for
/// whatever is asked.
pub fn model_lengths(model: &Architecture, version: EngineVersion) -> Option<ModelLengths> {
    let Lengths { stretched, stretched_but_for_yarn, usual, accepted, .. } = model.lengths?;
    // YaRN multiplies the length up to 0.28 and no longer from 0.30 on.
    let derived = if version.from_minor(30) { stretched_but_for_yarn } else { stretched };
    let checked = (25..=33).contains(&version.minor) && version.major == 0 && version.minor != 29;
    Some(ModelLengths { longest: derived.max(accepted.unwrap_or(0)), usual: usual.unwrap_or(derived), checked })
}

/// `max_model_len` as the release sets it.
///
/// # Errors
/// [`EstimateError::LongerThanModel`] for a length that it refuses.
pub(crate) fn max_model_len(model: &Architecture, args: &EngineArgs) -> Result<u64, EstimateError> {
    let Some(lengths) = model_lengths(model, args.version) else { return Ok(args.max_model_len.unwrap_or(UNSTATED)) };
    match args.max_model_len {
        None => Ok(lengths.usual),
        Some(asked) if asked > lengths.longest && !args.allow_long_max_model_len => {
            Err(EstimateError::LongerThanModel { asked, most: lengths.longest })
        }
        Some(asked) => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(lengths: &str) -> Architecture {
        let config = format!(
            r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "vocab_size": 32000,
                "intermediate_size": 11008, "num_hidden_layers": 2, "num_attention_heads": 32 {lengths}}}"#
        );
        vramscope_models::read_config(config.as_bytes()).unwrap().0
    }

    /// What two releases make of a length: before and since YaRN is no longer counted; `None` where they refuse.
    fn derived(lengths: &str, asked: Option<u64>) -> [Option<u64>; 2] {
        let model = model(lengths);
        [EngineVersion::new(0, 25, 1), EngineVersion::new(0, 33, 0)].map(|version| {
            let args = EngineArgs { version, max_model_len: asked, ..EngineArgs::default() };
            max_model_len(&model, &args).ok()
        })
    }

    #[test]
    fn lengths_are_those_of_the_engine_release_by_release() {
        let both = |length: u64| [Some(length); 2];
        let yarn = r#", "max_position_embeddings": 40960, "rope_scaling":
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}"#;
        let rewritten = r#", "max_position_embeddings": 40960, "rope_parameters": {"rope_type": "yarn", "factor": 4.0,
            "rope_theta": 10000.0, "original_max_position_embeddings": 32768}"#;
        let linear = r#", "max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}"#;
        let long = r#", "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "rope_scaling":
            {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}"#;
        let plain = r#", "max_position_embeddings": 40960"#;
        let cohere = r#", "max_position_embeddings": 131072, "model_max_length": 8192"#;
        for (config, asked, expected) in [
            (yarn, None, [Some(131_072), Some(40_960)]),
            (rewritten, None, [Some(131_072), Some(40_960)]),
            (yarn, Some(131_072), [Some(131_072), None]),
            (
                r#", "max_position_embeddings": 40960, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}"#,
                None,
                [Some(163_840), Some(40_960)],
            ),
            (linear, None, both(16_384)),
            (linear, Some(131_072), [None; 2]),
            (
                r#", "max_position_embeddings": 8192, "rope_scaling": {"type": "dynamic", "factor": 2.0}"#,
                None,
                both(16_384),
            ),
            (long, None, both(4096)),
            (long, Some(131_072), both(131_072)),
            (
                r#", "max_position_embeddings": 40960, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}"#,
                None,
                both(40_960),
            ),
            (r#", "max_position_embeddings": 8192, "model_max_length": 131072"#, None, both(131_072)),
            (cohere, None, both(8192)),
            (cohere, Some(131_072), [None; 2]),
            (r#", "max_position_embeddings": 4096, "seq_length": 2048"#, None, both(2048)),
            ("", Some(7), both(7)),
            (plain, None, both(40_960)),
            (plain, Some(131_072), [None; 2]),
        ] {
            assert_eq!(derived(config, asked), expected, "{config} {asked:?}");
        }
        let gemma = r#"{"model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 64, "max_position_embeddings": 131072,
            "sliding_window": 8, "sliding_window_pattern": 2,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0}}"#;
        let (gemma, _) = vramscope_models::read_config(gemma.as_bytes()).unwrap();
        assert_eq!(max_model_len(&gemma, &EngineArgs::default()).unwrap(), 131_072);
        let allowed =
            EngineArgs { max_model_len: Some(131_072), allow_long_max_model_len: true, ..EngineArgs::default() };
        assert_eq!(max_model_len(&model(plain), &allowed).unwrap(), 131_072);
    }
}
