//! Headers of safetensors files, and the index of a checkpoint in several files.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use vramscope_core::ElementType;

use crate::checkpoint::{HeaderError, StoredTensor, TensorTable};

/// The largest header that the format's own readers accept.
const MOST_HEADER_BYTES: u64 = 100_000_000;
/// More tensors than any checkpoint has.
const MOST_TENSORS: usize = 4_000_000;

/// Reads the header of a safetensors file of `file_bytes` bytes; no tensor data is read.
///
/// ```
/// let header = br#"{"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}"#;
/// let mut file = (header.len() as u64).to_le_bytes().to_vec();
/// file.extend_from_slice(header);
/// let table = vramscope_models::read_safetensors(file.as_slice(), file.len() as u64 + 12).unwrap();
/// assert_eq!((table.elements(), table.bytes()), (Some(6), Some(12)));
/// ```
///
/// # Errors
/// [`HeaderError`]: a length beyond the file, no JSON, a tensor whose size does not follow from its type and shape.
pub fn read_safetensors(mut file: impl Read, file_bytes: u64) -> Result<TensorTable, HeaderError> {
    let mut length = [0_u8; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let room = file_bytes.saturating_sub(8);
    let limit = room.min(MOST_HEADER_BYTES);
    if length > limit {
        return Err(HeaderError::TooLarge { what: "the length of the header", value: length, limit });
    }
    let mut header = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(length).read_to_end(&mut header)?;
    if header.len() as u64 != length {
        return Err(HeaderError::Read(std::io::ErrorKind::UnexpectedEof.into()));
    }
    if header.first() != Some(&b'{') {
        let found = header.first().map_or_else(|| "nothing".to_owned(), |byte| format!("byte {byte:#04x}"));
        return Err(HeaderError::NotOne { expected: "`{`", found });
    }
    let mut entries = Entries { data: room - length, tensors: Vec::new(), problem: None, reading: None };
    let mut json = serde_json::Deserializer::from_slice(&header);
    let read = (&mut entries).deserialize(&mut json).and_then(|()| json.end());
    if let Err(error) = read {
        return Err(match (entries.problem, entries.reading) {
            (Some(problem), _) => problem,
            (None, Some(name)) if error.is_data() => HeaderError::tensor(&name, error.to_string()),
            _ => HeaderError::Json { reason: error.to_string() },
        });
    }
    drop(header);
    let mut tensors = entries.tensors;
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    // Of a name that stands there twice, the last is meant, as readers of JSON take it.
    tensors.dedup_by(|later, kept| {
        let same = later.name == kept.name;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    Ok(TensorTable { tensors })
}

/// Takes the entries of a header one by one: all of them as JSON values would take sixteen times the header.
struct Entries {
    /// Bytes of data behind the header.
    data: u64,
    tensors: Vec<StoredTensor>,
    /// What is wrong with an entry.
    problem: Option<HeaderError>,
    /// The tensor that is being read.
    reading: Option<String>,
}

/// What a header says of a tensor.
#[derive(Deserialize)]
struct Entry<'h> {
    #[serde(borrow)]
    dtype: Option<Cow<'h, str>>,
    shape: Option<Vec<u64>>,
    data_offsets: Option<Vec<u64>>,
}

impl<'de> DeserializeSeed<'de> for &mut Entries {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, header: D) -> Result<(), D::Error> {
        header.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Entries {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut header: A) -> Result<(), A::Error> {
        while let Some(name) = header.next_key::<String>()? {
            if name == "__metadata__" {
                header.next_value::<IgnoredAny>()?;
                continue;
            }
            let entry: Entry<'de> = match header.next_value() {
                Ok(entry) => entry,
                Err(error) => {
                    self.reading = Some(name);
                    return Err(error);
                }
            };
            let (value, limit) = (self.tensors.len() as u64 + 1, MOST_TENSORS as u64);
            let read = if value > limit {
                Err(HeaderError::TooLarge { what: "the number of tensors", value, limit })
            } else {
                tensor(name, entry, self.data)
            };
            match read {
                Ok(tensor) => self.tensors.push(tensor),
                Err(problem) => {
                    self.problem = Some(problem);
                    return Err(A::Error::custom("an entry makes no sense"));
                }
            }
        }
        Ok(())
    }
}

/// Reads `model.safetensors.index.json`: the names of the files that a checkpoint consists of, in order.
///
/// # Errors
/// [`HeaderError::Json`] and [`HeaderError::NotOne`]; names that lead out of the checkpoint's folder are refused.
pub fn read_safetensors_index(json: &[u8]) -> Result<Vec<String>, HeaderError> {
    if json.len() as u64 > MOST_HEADER_BYTES {
        let (value, limit) = (json.len() as u64, MOST_HEADER_BYTES);
        return Err(HeaderError::TooLarge { what: "the size of the index", value, limit });
    }
    let root: Value = serde_json::from_slice(json).map_err(|error| HeaderError::Json { reason: error.to_string() })?;
    let map = root.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or(HeaderError::NotOne { expected: "an object with `weight_map`", found: "other JSON".into() })?;
    let mut files = BTreeSet::new();
    for (name, file) in map {
        let plain = |file: &&str| !file.is_empty() && !file.contains(['/', '\\']) && *file != "..";
        let file = file.as_str().filter(plain).ok_or_else(|| HeaderError::tensor(name, "its file is no plain name"))?;
        files.insert(file.to_owned());
    }
    Ok(files.into_iter().collect())
}

fn tensor(name: String, entry: Entry<'_>, data: u64) -> Result<StoredTensor, HeaderError> {
    let wrong = |reason: &str| HeaderError::tensor(&name, reason);
    let kind = entry.dtype.ok_or_else(|| wrong("it has no dtype"))?;
    let bits = bits(&kind).ok_or_else(|| HeaderError::tensor(&name, format!("the dtype {kind:.40} is not known")))?;
    let mut shape = entry.shape.ok_or_else(|| wrong("it has no shape"))?;
    shape.shrink_to_fit();
    let offsets = entry.data_offsets.unwrap_or_default();
    let [begin, end] = offsets[..] else { return Err(wrong("it has no two data_offsets")) };
    let bytes = end.checked_sub(begin).ok_or_else(|| wrong("its data ends before it begins"))?;
    if end > data {
        return Err(HeaderError::TooLarge { what: "the end of a tensor's data", value: end, limit: data });
    }
    let element = element(&kind);
    let mut stored = StoredTensor { name: String::new(), kind: kind.into_owned(), element, shape, bytes };
    let expected = stored.elements().and_then(|n| n.checked_mul(bits)).map(|n| n.div_ceil(8));
    if expected != Some(bytes) {
        return Err(wrong("its size does not follow from its dtype and shape"));
    }
    stored.name = name;
    stored.name.shrink_to_fit();
    Ok(stored)
}

/// Bits of one element.
fn bits(kind: &str) -> Option<u64> {
    Some(match kind {
        "F64" | "I64" | "U64" | "C64" => 64,
        "F32" | "I32" | "U32" => 32,
        "F16" | "BF16" | "I16" | "U16" => 16,
        "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" | "I8" | "U8" | "BOOL" => 8,
        "F6_E2M3" | "F6_E3M2" => 6,
        "F4" => 4,
        _ => return None,
    })
}

fn element(kind: &str) -> Option<ElementType> {
    Some(match kind {
        "F64" => ElementType::F64,
        "F32" => ElementType::F32,
        "F16" => ElementType::F16,
        "BF16" => ElementType::Bf16,
        "I64" | "U64" => ElementType::I64,
        "I32" | "U32" => ElementType::I32,
        "I16" | "U16" => ElementType::I16,
        "I8" | "U8" | "BOOL" => ElementType::I8,
        "F4" => ElementType::I4,
        kind if kind.starts_with("F8") => ElementType::F8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file
    }

    fn read(header: &str, data: u64) -> Result<TensorTable, HeaderError> {
        let file = file(header);
        let size = file.len() as u64 + data;
        read_safetensors(file.as_slice(), size)
    }

    #[test]
    fn a_hostile_length_is_refused_before_anything_is_read() {
        for length in [u64::MAX, 1 << 40, 200] {
            let failed = read_safetensors(length.to_le_bytes().as_slice(), 100);
            assert!(matches!(failed, Err(HeaderError::TooLarge { limit: 92, .. })), "{length}");
        }
        assert!(matches!(read_safetensors([1_u8, 2].as_slice(), 2), Err(HeaderError::Read(_))));
    }

    #[test]
    fn a_tensor_must_be_as_large_as_its_type_and_shape_say() {
        let good = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F8_E4M3","shape":[4,2],"data_offsets":[0,8]}}"#;
        assert_eq!(read(good, 8).unwrap().by_kind(), [("F8_E4M3", 8)]);
        assert!(matches!(read(good, 7), Err(HeaderError::TooLarge { value: 8, limit: 7, .. })));
        for bad in [
            r#"{"w":{"dtype":"BF16","shape":[4,2],"data_offsets":[0,8]}}"#,
            r#"{"w":{"dtype":"BF16","shape":[4294967295,4294967295,4294967295],"data_offsets":[0,8]}}"#,
            r#"{"w":{"dtype":"X","shape":[],"data_offsets":[0,8]}}"#,
            r#"{"w":{"dtype":"I8","shape":[-1],"data_offsets":[0,8]}}"#,
            r#"{"w":{"dtype":"I8","shape":[8],"data_offsets":[8,0]}}"#,
            r#"{"w":3}"#,
        ] {
            assert!(matches!(read(bad, 8), Err(HeaderError::Tensor { .. })), "{bad}");
        }
        assert!(matches!(read("[1]", 8), Err(HeaderError::NotOne { .. })));
        assert!(matches!(read("{", 8), Err(HeaderError::Json { .. })));
    }

    #[test]
    fn an_index_names_files_of_its_own_folder_only() {
        let index =
            br#"{"metadata":{},"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors","c":"m-1.safetensors"}}"#;
        assert_eq!(read_safetensors_index(index).unwrap(), ["m-1.safetensors", "m-2.safetensors"]);
        assert!(read_safetensors_index(br#"{"weight_map":{"a":"../secret"}}"#).is_err());
        assert!(read_safetensors_index(b"{}").is_err());
    }
}
