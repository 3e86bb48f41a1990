//! The configuration file of an engine's command line (`--config FILE`), as the words that it stands for.

use serde_json::Value;

/// The largest that is read. Real ones have some hundred bytes.
pub const MOST_ENGINE_CONFIG_BYTES: usize = 1 << 20;

/// A text that is no configuration of an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineConfigError {
    /// It is no YAML, or no mapping.
    #[error(
        "read the engine's configuration: expected YAML with an option a line, such as `max-model-len: 8192`: {reason}"
    )]
    Yaml {
        /// What the reader says, with line and column.
        reason: String,
    },
    /// It is larger than any configuration.
    #[error("read the engine's configuration: it has more than {MOST_ENGINE_CONFIG_BYTES} bytes")]
    TooLarge,
}

/// The words that a configuration file in YAML stands for: `--NAME VALUE` for each entry, `--NAME` for what is true,
/// `--no-NAME` for what is false, all members behind the name of a list, and JSON for a mapping. Source: vLLM's
/// `FlexibleArgumentParser.load_config_file`.
///
/// # Errors
/// [`EngineConfigError`] for a text that is no mapping.
pub fn engine_config_words(yaml: &str) -> Result<Vec<String>, EngineConfigError> {
    if yaml.len() > MOST_ENGINE_CONFIG_BYTES {
        return Err(EngineConfigError::TooLarge);
    }
    let options = serde_saphyr::options! { with_snippet: false };
    let entries: serde_json::Map<String, Value> = serde_saphyr::from_str_with_options(yaml, options)
        .map_err(|error| EngineConfigError::Yaml { reason: error.to_string().trim_end().to_owned() })?;
    let mut words = Vec::new();
    for (name, value) in entries {
        match value {
            Value::Bool(true) => words.push(format!("--{name}")),
            Value::Bool(false) => words.push(format!("--no-{name}")),
            Value::Array(members) if members.is_empty() => {}
            Value::Array(members) => {
                words.push(format!("--{name}"));
                words.extend(members.iter().map(text));
            }
            value => words.push(format!("--{name}={}", text(&value))),
        }
    }
    Ok(words)
}

/// A value as a word: text as it is, `None` as the engine spells it, the rest as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_what_the_engine_makes_of_it() {
        let yaml = "model: org/m\nmax-model-len: 32k\nenforce_eager: true\nenable-prefix-caching: false\n\
                    gpu-memory-utilization: 0.5\nserved-model-name: [a, b]\nmiddleware: []\nquantization: null\n\
                    compilation-config:\n  pass_config: {fuse: true}\nseed: -1\n";
        let mut words = engine_config_words(yaml).unwrap();
        words.sort();
        assert_eq!(
            words,
            [
                "--compilation-config={\"pass_config\":{\"fuse\":true}}",
                "--enforce_eager",
                "--gpu-memory-utilization=0.5",
                "--max-model-len=32k",
                "--model=org/m",
                "--no-enable-prefix-caching",
                "--quantization=None",
                "--seed=-1",
                "--served-model-name",
                "a",
                "b"
            ]
        );
    }

    #[test]
    fn what_is_no_mapping_is_refused_with_its_place() {
        for wrong in ["- a\n- b\n", "just text", "a: [1\n"] {
            assert!(engine_config_words(wrong).unwrap_err().to_string().contains("max-model-len: 8192"), "{wrong}");
        }
        let large = "#".repeat(MOST_ENGINE_CONFIG_BYTES + 1);
        assert!(matches!(engine_config_words(&large), Err(EngineConfigError::TooLarge)));
    }
}
