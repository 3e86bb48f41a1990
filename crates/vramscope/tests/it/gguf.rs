//! Files of packed models, as far as their headers go: the shapes of the recorded runs, without their numbers.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::root;

/// Types of elements by their codes in the format.
const KINDS: &[(&str, u32)] = &[
    ("F32", 0),
    ("F16", 1),
    ("Q4_0", 2),
    ("Q5_0", 6),
    ("Q8_0", 8),
    ("Q4_K", 12),
    ("Q5_K", 13),
    ("Q6_K", 14),
    ("BF16", 30),
    ("MXFP4", 39),
];

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A metadata entry: text, a switch, a number, or a list of numbers.
fn entry(out: &mut Vec<u8>, key: &str, value: &Value) {
    text(out, key);
    match value {
        Value::String(value) => {
            out.extend(8_u32.to_le_bytes());
            text(out, value);
        }
        Value::Bool(switch) => {
            out.extend(7_u32.to_le_bytes());
            out.push(u8::from(*switch));
        }
        Value::Array(list) => {
            out.extend(9_u32.to_le_bytes());
            out.extend(10_u32.to_le_bytes());
            out.extend((list.len() as u64).to_le_bytes());
            list.iter().for_each(|number| out.extend(number.as_u64().unwrap().to_le_bytes()));
        }
        value => match value.as_u64() {
            Some(number) => {
                out.extend(10_u32.to_le_bytes());
                out.extend(number.to_le_bytes());
            }
            None => {
                out.extend(12_u32.to_le_bytes());
                out.extend(value.as_f64().unwrap().to_le_bytes());
            }
        },
    }
}

/// Whether `0-3,6` names a layer.
fn names(layers: &str, layer: u64) -> bool {
    layers.split(',').any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        (from.parse().unwrap()..=to.parse().unwrap()).contains(&layer)
    })
}

/// A folder with the header of a recorded run's model, and the file.
pub(crate) fn header(name: &str) -> (TempDir, PathBuf) {
    let models = root().join("crates/vramscope-estimate/tests/data/llama-cpp-h200/models.json");
    let models: Value = serde_json::from_str(&std::fs::read_to_string(models).unwrap()).unwrap();
    let model = &models[name];
    let (family, metadata) = (model["family"].as_str().unwrap(), model["metadata"].as_object().unwrap());
    let mut tensors: Vec<(String, &Value)> = Vec::new();
    for row in model["tensors"].as_array().unwrap() {
        let own = row[0].as_str().unwrap();
        match row.get(3).and_then(Value::as_str) {
            None => tensors.push((own.to_owned(), row)),
            Some(layers) => tensors.extend(
                (0..metadata["block_count"].as_u64().unwrap())
                    .filter(|layer| names(layers, *layer))
                    .map(|layer| (format!("blk.{layer}.{own}"), row)),
            ),
        }
    }
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64 + 2).to_le_bytes());
    entry(&mut out, "general.architecture", &Value::from(family));
    metadata.iter().for_each(|(key, value)| entry(&mut out, &format!("{family}.{key}"), value));
    // A vocabulary by its length alone.
    text(&mut out, "tokenizer.ggml.tokens");
    let words = model["words"].as_u64().unwrap();
    out.extend(9_u32.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    out.extend(words.to_le_bytes());
    out.resize(out.len() + usize::try_from(words).unwrap(), 0);
    for (at, (name, row)) in tensors.iter().enumerate() {
        text(&mut out, name);
        let sides = row[2].as_array().unwrap();
        out.extend(u32::try_from(sides.len()).unwrap().to_le_bytes());
        sides.iter().for_each(|side| out.extend(side.as_u64().unwrap().to_le_bytes()));
        let kind = row[1].as_str().unwrap();
        let code = KINDS.iter().find(|(known, _)| *known == kind).unwrap_or_else(|| panic!("{kind}")).1;
        out.extend(code.to_le_bytes());
        out.extend((at as u64 * 32).to_le_bytes());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{name}.gguf"));
    std::fs::write(&file, out).unwrap();
    (folder, file)
}
