//! What a config leaves out.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use vramscope_core::Architecture;
use vramscope_models::read_config;

/// Keys whose absence is not the class's own value, or is told otherwise.
const OTHERWISE: [(&str, &str); 6] = [
    ("architectures", "engines ask for the class by another way"),
    ("model_type", "a file without a type belongs to no known family"),
    ("dtype", "engines take the type of the files"),
    ("torch_dtype", "engines take the type of the files"),
    ("rope_parameters", "a file without this section has older keys; its lengths are read by their own rules"),
    ("model_max_length", "the tokenizer's, which some classes take over"),
];
/// Classes whose own section or whole is not as the class of its model type has it, so that a key taken out of it is one
/// that the class fills in with something else.
const UNLIKE_THEIR_CLASS: [&str; 9] = [
    // The engine's own class of it, not the one that this config is from, has another length.
    "DeepseekV32ForCausalLM",
    "GlmAsrForConditionalGeneration",
    "KimiLinearForCausalLM",
    "LightOnOCRForConditionalGeneration",
    "Mistral3ForConditionalGeneration",
    "Qwen3ASRForConditionalGeneration",
    "VoxtralForConditionalGeneration",
    "HfMoondream",
    "Moondream3ForCausalLM",
];

/// A config without one of its keys, at its top or in a section, is the same model, or is not understood.
#[test]
fn what_a_config_leaves_out_is_as_its_class_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/data/oracle/defaults.tsv");
    let text = fs::read_to_string(path).unwrap();
    let (mut tried, mut same, mut wrong) = (0, 0, String::new());
    for line in text.lines() {
        let (class, json) = line.split_once('\t').unwrap();
        // Python's word for a number that is none.
        let json = json.replace("Infinity", "1e300");
        let root: Map<String, Value> = serde_json::from_str(&json).unwrap();
        let Ok((whole, _)) = read_config(json.as_bytes()) else { continue };
        if UNLIKE_THEIR_CLASS.contains(&class) || !is_certain(&whole) {
            continue;
        }
        for (path, without) in every_one_out(&root) {
            if OTHERWISE.iter().any(|(key, _)| path.split('.').any(|part| part == *key)) {
                continue;
            }
            tried += 1;
            // What is refused is not wrong.
            let Ok((model, _)) = read_config(Value::Object(without).to_string().as_bytes()) else { continue };
            if model == whole {
                same += 1;
            } else if is_certain(&model) {
                writeln!(wrong, "{class}\t{path}").unwrap();
            }
        }
    }
    assert!(tried > 2000 && same > tried * 8 / 10, "{same} of {tried}");
    assert!(wrong.is_empty(), "another model, and certain of it:\n{wrong}");
}

/// Whether all of a model is understood.
fn is_certain(model: &Architecture) -> bool {
    model.unread.is_empty() && model.known_family && model.tower.is_none_or(|tower| tower.counted)
}

/// The object without each of its keys in turn, and without each key of a section.
fn every_one_out(root: &Map<String, Value>) -> Vec<(String, Map<String, Value>)> {
    let mut found = Vec::new();
    for (key, value) in root {
        let mut without = root.clone();
        without.remove(key);
        found.push((key.clone(), without));
        for inner in value.as_object().into_iter().flat_map(Map::keys) {
            let mut section = value.as_object().unwrap().clone();
            section.remove(inner);
            let mut without = root.clone();
            without.insert(key.clone(), Value::Object(section));
            found.push((format!("{key}.{inner}"), without));
        }
    }
    found
}

/// A class of dense parts looks at no key of experts, whoever left it in the file.
#[test]
fn experts_that_a_class_does_not_have_are_not_counted_and_leave_nothing_certain() {
    let config = |more: &str| {
        format!(
            r#"{{"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "vocab_size": 64{more}}}"#
        )
    };
    let (plain, _) = read_config(config("").as_bytes()).unwrap();
    let (foreign, _) = read_config(config(r#", "num_local_experts": 8, "num_experts_per_tok": 2"#).as_bytes()).unwrap();
    assert_eq!(foreign.layers, plain.layers);
    assert!(foreign.unread.contains(&"num_local_experts".to_owned()), "{:?}", foreign.unread);
}
