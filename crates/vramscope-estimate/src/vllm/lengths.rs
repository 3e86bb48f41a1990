//! `max_model_len` as each release derives it, and which lengths it refuses.

use vramscope_core::{Architecture, Lengths};

use super::input::{EngineArgs, EngineVersion};
use crate::EstimateError;

/// The variable that lets the engine take more than it derives.
pub const ALLOWS_LONG: &str = "VLLM_ALLOW_LONG_MAX_MODEL_LEN";
/// What is taken of a model where neither its config nor its class states a length, as of Mamba's
/// (`config/model.py`, `default_max_len`).
const UNSTATED: u64 = 2048;

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

/// The lengths of a model under a release; `None` where neither its config nor its class states one, which is taken for
/// 2048, or for whatever is asked.
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

    const RELEASES: [(u16, u16); 5] = [(25, 1), (28, 0), (30, 0), (32, 0), (33, 0)];

    /// What each of the five releases makes of a length; `None` where it refuses.
    fn derived(config: &str, asked: Option<u64>) -> [Option<u64>; 5] {
        let (model, _) = vramscope_models::read_config(config.as_bytes()).unwrap();
        RELEASES.map(|(minor, patch)| {
            let version = EngineVersion::new(0, minor, patch);
            let args = EngineArgs { version, max_model_len: asked, ..EngineArgs::default() };
            max_model_len(&model, &args).ok()
        })
    }

    /// The forms of `../shared/reference/oracle-2026.md`, each as the five releases' own configurations take it.
    #[test]
    fn lengths_are_those_of_the_engine_release_by_release() {
        let all = |length: u64| [Some(length); 5];
        // YaRN's factor counts in the first two releases alone.
        let yarn = |before: Option<u64>, since: Option<u64>| [before, before, since, since, since];
        let (refused, asked) = ([None; 5], Some(131_072));
        let factors = vec!["1.0"; 64].join(", ");
        let long = format!(
            r#""max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "rope_scaling":
            {{"type": "longrope", "short_factor": [{factors}], "long_factor": [{factors}]}}"#
        );
        const YARN: &str = r#""max_position_embeddings": 40960, "rope_scaling":
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}"#;
        const LINEAR: &str = r#""max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}"#;
        const COHERE: &str = r#""max_position_embeddings": 131072, "model_max_length": 8192"#;
        const PLAIN: &str = r#""max_position_embeddings": 40960"#;
        for (fields, length, expected) in [
            (YARN, None, yarn(Some(131_072), Some(40_960))),
            (
                r#""max_position_embeddings": 40960, "rope_parameters": {"rope_type": "yarn", "factor": 4.0,
                "rope_theta": 10000.0, "original_max_position_embeddings": 32768}"#,
                None,
                yarn(Some(131_072), Some(40_960)),
            ),
            (
                r#""max_position_embeddings": 40960, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}"#,
                None,
                yarn(Some(163_840), Some(40_960)),
            ),
            (YARN, asked, yarn(Some(131_072), None)),
            (LINEAR, None, all(16_384)),
            (LINEAR, asked, refused),
            (
                r#""max_position_embeddings": 8192, "rope_scaling": {"type": "dynamic", "factor": 2.0}"#,
                None,
                all(16_384),
            ),
            (&long, None, all(4096)),
            (&long, asked, all(131_072)),
            (
                r#""max_position_embeddings": 40960, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}"#,
                None,
                all(40_960),
            ),
            (r#""max_position_embeddings": 8192, "model_max_length": 131072"#, None, all(131_072)),
            (COHERE, None, all(8192)),
            (COHERE, asked, refused),
            (r#""max_position_embeddings": 4096, "seq_length": 2048"#, None, all(2048)),
            // The class's own, where no key states one.
            (r#""initializer_range": 0.02"#, None, all(2048)),
            (r#""initializer_range": 0.02"#, Some(4096), refused),
            (r#""model_type": "qwen3", "head_dim": 128"#, None, all(32_768)),
            (PLAIN, None, all(40_960)),
            (PLAIN, asked, refused),
        ] {
            let config = format!(
                r#"{{"model_type": "llama", "hidden_size": 4096, "vocab_size": 32000, "intermediate_size": 11008,
                "num_hidden_layers": 2, "num_attention_heads": 32, {fields}}}"#
            );
            assert_eq!(derived(&config, length), expected, "{fields} {length:?}");
        }
        // Gemma 3's factor is not counted.
        let gemma = r#"{"model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 64,
            "max_position_embeddings": 131072, "sliding_window": 8, "sliding_window_pattern": 2,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0}}"#;
        assert_eq!(derived(gemma, None), all(131_072));
        // Mamba's class has no length.
        let mamba = r#"{"model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 4, "head_dim": 32,
            "state_size": 16, "n_groups": 1, "conv_kernel": 4, "expand": 2, "vocab_size": 64}"#;
        assert_eq!((derived(mamba, None), derived(mamba, Some(7))), (all(2048), all(7)));
        let allowed = EngineArgs { max_model_len: asked, allow_long_max_model_len: true, ..EngineArgs::default() };
        let (plain, _) = vramscope_models::read_config(
            br#"{"model_type": "llama", "hidden_size": 4096, "vocab_size": 32000, "intermediate_size": 11008,
            "num_hidden_layers": 2, "num_attention_heads": 32, "max_position_embeddings": 40960}"#,
        )
        .unwrap();
        assert_eq!(max_model_len(&plain, &allowed).unwrap(), 131_072);
    }

    #[test]
    fn stretching_that_transformers_refuses_is_refused() {
        let read = |rope: &str| {
            let config = format!(
                r#"{{"model_type": "phi3", "hidden_size": 1536, "vocab_size": 32064, "intermediate_size": 4096,
                "num_hidden_layers": 2, "num_attention_heads": 16, "num_key_value_heads": 16,
                "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "rope_scaling": {rope}}}"#
            );
            vramscope_models::read_config(config.as_bytes()).map(drop)
        };
        let factors = vec!["1.0"; 48].join(", ");
        assert!(
            read(&format!(r#"{{"type": "longrope", "short_factor": [{factors}], "long_factor": [{factors}]}}"#))
                .is_ok()
        );
        assert!(
            read(&format!(r#"{{"type": "su", "short_factor": [{factors}], "long_factor": [{factors}]}}"#)).is_err()
        );
        assert!(read(r#"{"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}"#).is_err());
    }
}
