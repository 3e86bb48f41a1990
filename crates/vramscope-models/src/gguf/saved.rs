//! A packed model's header as JSON: what a recording keeps of a file that is too large to be kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vramscope_core::{PackedModel, PackedTensor, PackedValue};

use super::block;

/// No header is larger: names of a hundred thousand tensors.
pub const MOST_PACKED_JSON_BYTES: u64 = 64 << 20;
/// Kinds of elements are numbered below this.
const KINDS: u32 = 256;

/// A header that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedHeaderError {
    /// It is no header.
    #[error("read the header of a GGUF file: expected the JSON object that vramscope profile writes as gguf.json")]
    Json(#[from] serde_json::Error),
    /// A tensor's elements are of a kind that is not known.
    #[error("read the header of a GGUF file: tensor {tensor} is of the kind {kind:?}, which is not known")]
    Kind {
        /// The tensor.
        tensor: String,
        /// Its kind.
        kind: String,
    },
}

#[derive(Serialize, Deserialize)]
struct File {
    family: String,
    metadata: BTreeMap<String, Value>,
    tensors: Vec<Tensor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Number(u64),
    Real(f64),
    Text(String),
    Numbers(Vec<u64>),
    Length(u64),
}

#[derive(Serialize, Deserialize)]
struct Tensor {
    name: String,
    kind: String,
    sides: Vec<u64>,
    bytes: u64,
    offset: u64,
}

/// The header as JSON.
///
/// # Errors
/// None that a header has.
pub fn packed_json(model: &PackedModel) -> Result<Vec<u8>, serde_json::Error> {
    let value = |value: &PackedValue| {
        Some(match value {
            PackedValue::Number(number) => Value::Number(*number),
            // JSON has no word for the others, and no size follows from them.
            PackedValue::Real(real) if real.is_finite() => Value::Real(*real),
            PackedValue::Text(text) => Value::Text(text.clone()),
            PackedValue::Numbers(list) => Value::Numbers(list.clone()),
            PackedValue::Length(length) => Value::Length(*length),
            _ => return None,
        })
    };
    let metadata = model.metadata.iter().filter_map(|(key, of)| Some((key.clone(), value(of)?))).collect();
    let tensor = |tensor: &PackedTensor| Tensor {
        name: tensor.name.clone(),
        kind: tensor.kind.to_owned(),
        sides: tensor.sides.clone(),
        bytes: tensor.bytes,
        offset: tensor.offset,
    };
    serde_json::to_vec(&File {
        family: model.family.clone(),
        metadata,
        tensors: model.tensors.iter().map(tensor).collect(),
    })
}

/// Reads what [`packed_json`] wrote.
///
/// # Errors
/// [`SavedHeaderError`].
pub fn read_packed_json(json: &[u8]) -> Result<PackedModel, SavedHeaderError> {
    let file: File = serde_json::from_slice(json)?;
    let value = |value| match value {
        Value::Number(number) => PackedValue::Number(number),
        Value::Real(real) => PackedValue::Real(real),
        Value::Text(text) => PackedValue::Text(text),
        Value::Numbers(list) => PackedValue::Numbers(list),
        Value::Length(length) => PackedValue::Length(length),
    };
    let tensor = |tensor: Tensor| {
        let known =
            (0..KINDS).find_map(|number| block(number).map(|(name, ..)| name).filter(|name| *name == tensor.kind));
        let kind =
            known.ok_or_else(|| SavedHeaderError::Kind { tensor: tensor.name.clone(), kind: tensor.kind.clone() })?;
        Ok(PackedTensor { name: tensor.name, kind, sides: tensor.sides, bytes: tensor.bytes, offset: tensor.offset })
    };
    Ok(PackedModel {
        family: file.family,
        metadata: file.metadata.into_iter().map(|(key, of)| (key, value(of))).collect(),
        tensors: file.tensors.into_iter().map(tensor).collect::<Result<_, SavedHeaderError>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_again_and_a_kind_that_is_not_known_is_named() {
        let mut model = PackedModel { family: "f".into(), ..PackedModel::default() };
        model.metadata.insert("f.a".into(), PackedValue::Number(3));
        model.metadata.insert("f.b".into(), PackedValue::Numbers(vec![1, 2]));
        model.metadata.insert("f.c".into(), PackedValue::Real(0.5));
        model.metadata.insert("f.d".into(), PackedValue::Text("t".into()));
        model.metadata.insert("f.e".into(), PackedValue::Length(9));
        let kind = block(2).unwrap().0;
        model.tensors.push(PackedTensor { name: "w".into(), kind, sides: vec![32, 2], bytes: 36, offset: 0 });
        let json = packed_json(&model).unwrap();
        assert_eq!(read_packed_json(&json).unwrap(), model);
        let mut odd = model.clone();
        odd.metadata.insert("f.inf".into(), PackedValue::Real(f64::INFINITY));
        assert_eq!(
            read_packed_json(&packed_json(&odd).unwrap()).unwrap(),
            model,
            "what JSON has no word for is left out"
        );
        let other = String::from_utf8(json).unwrap().replace(kind, "Q9_9");
        assert!(
            matches!(read_packed_json(other.as_bytes()), Err(SavedHeaderError::Kind { kind, .. }) if kind == "Q9_9")
        );
        assert!(matches!(read_packed_json(b"[]"), Err(SavedHeaderError::Json(_))));
    }
}
