//! Headers of safetensors files, and the index of a checkpoint in several files.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead as _, BufReader, ErrorKind, Read};

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use vramscope_core::ElementType;

use crate::checkpoint::{HeaderError, StoredTensor, TensorTable};

/// The largest header that the format's own readers accept.
const MOST_HEADER_BYTES: u64 = 100_000_000;
/// More tensors than any checkpoint has.
const MOST_TENSORS: usize = 4_000_000;
/// More dimensions than a tensor of any framework has: torch allows 64.
const MOST_DIMENSIONS: usize = 64;

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
    // Its text is not kept: it would be a third of what reading it takes.
    let mut header = BufReader::new(file.take(length));
    let first = header.fill_buf()?.first().copied();
    if first.is_none() && length > 0 {
        return Err(HeaderError::Read(ErrorKind::UnexpectedEof.into()));
    }
    if first != Some(b'{') {
        let found = first.map_or_else(|| "nothing".to_owned(), |byte| format!("byte {byte:#04x}"));
        return Err(HeaderError::NotOne { expected: "`{`", found });
    }
    let mut entries = Entries { data: room - length, tensors: Vec::new(), problem: None, reading: None };
    let mut json = serde_json::Deserializer::from_reader(&mut header);
    let read = (&mut entries).deserialize(&mut json).and_then(|()| json.end());
    let ends_early = header.get_ref().limit() > 0;
    match read {
        Ok(()) if !ends_early => Ok(TensorTable { tensors: in_order(entries.tensors) }),
        Err(error) if error.is_io() => Err(HeaderError::Read(error.into())),
        Err(error) if !(ends_early && error.is_eof()) => Err(match (entries.problem, entries.reading) {
            (Some(problem), _) => problem,
            (None, Some(name)) if error.is_data() => HeaderError::tensor(&name, error.to_string()),
            _ => HeaderError::Json { reason: error.to_string() },
        }),
        _ => Err(HeaderError::Read(ErrorKind::UnexpectedEof.into())),
    }
}

/// Tensors in the order of their names; of a name that stands there twice, the last is meant, as readers of JSON take it.
/// A list of millions is put in order in its place, by numbers a tenth of its size.
fn in_order(mut tensors: Vec<StoredTensor>) -> Vec<StoredTensor> {
    let mut sorted: Vec<u32> = (0..).take(tensors.len()).collect();
    let name = |at: u32| usize::try_from(at).ok().and_then(|at| tensors.get(at)).map(|tensor| tensor.name.as_str());
    sorted.sort_unstable_by(|a, b| name(*a).cmp(&name(*b)).then(a.cmp(b)));
    // Where each one goes.
    let mut target = vec![0; tensors.len()];
    for (place, from) in sorted.into_iter().enumerate() {
        if let Some(target) = usize::try_from(from).ok().and_then(|from| target.get_mut(from)) {
            *target = u32::try_from(place).unwrap_or(u32::MAX);
        }
    }
    for at in 0..tensors.len() {
        // Each exchange brings one tensor to its place.
        while let Some(to) = usize::try_from(target[at]).ok().filter(|to| *to != at && *to < tensors.len()) {
            tensors.swap(at, to);
            target.swap(at, to);
        }
    }
    tensors.dedup_by(|later, kept| {
        let same = later.name == kept.name;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    tensors
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
struct Entry {
    dtype: Option<String>,
    shape: Option<Few>,
    data_offsets: Option<Few>,
}

/// As many numbers as a tensor has dimensions: a list that goes on would take eight bytes for two of the header.
struct Few(Vec<u64>);

impl<'de> Deserialize<'de> for Few {
    fn deserialize<D: Deserializer<'de>>(list: D) -> Result<Self, D::Error> {
        list.deserialize_seq(FewVisitor)
    }
}

struct FewVisitor;

impl<'de> Visitor<'de> for FewVisitor {
    type Value = Few;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST_DIMENSIONS} numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element()? {
            if numbers.len() == MOST_DIMENSIONS {
                return Err(A::Error::invalid_length(numbers.len() + 1, &self));
            }
            numbers.push(number);
        }
        numbers.shrink_to_fit();
        Ok(Few(numbers))
    }
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
            let entry: Entry = match header.next_value() {
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

fn tensor(name: String, entry: Entry, data: u64) -> Result<StoredTensor, HeaderError> {
    let wrong = |reason: &str| HeaderError::tensor(&name, reason);
    let dtype = entry.dtype.ok_or_else(|| wrong("it has no dtype"))?;
    let unknown = || HeaderError::tensor(&name, format!("the dtype {dtype:.40} is not known"));
    let (kind, bits, element) = stored_as(&dtype).ok_or_else(unknown)?;
    let Few(shape) = entry.shape.ok_or_else(|| wrong("it has no shape"))?;
    let Some(Few(offsets)) = entry.data_offsets else { return Err(wrong("it has no two data_offsets")) };
    let [begin, end] = offsets[..] else { return Err(wrong("it has no two data_offsets")) };
    let bytes = end.checked_sub(begin).ok_or_else(|| wrong("its data ends before it begins"))?;
    if end > data {
        return Err(HeaderError::TooLarge { what: "the end of a tensor's data", value: end, limit: data });
    }
    let mut stored = StoredTensor { name: String::new(), kind, element, shape, bytes };
    let expected = stored.elements().and_then(|n| n.checked_mul(bits)).map(|n| n.div_ceil(8));
    if expected != Some(bytes) {
        return Err(wrong("its size does not follow from its dtype and shape"));
    }
    stored.name = name;
    stored.name.shrink_to_fit();
    Ok(stored)
}

/// A dtype's own name, the bits of one element, and its element type.
fn stored_as(dtype: &str) -> Option<(&'static str, u64, Option<ElementType>)> {
    const KINDS: [(&str, u64, Option<ElementType>); 22] = [
        ("F64", 64, Some(ElementType::F64)),
        ("F32", 32, Some(ElementType::F32)),
        ("F16", 16, Some(ElementType::F16)),
        ("BF16", 16, Some(ElementType::Bf16)),
        ("F8_E4M3", 8, Some(ElementType::F8)),
        ("F8_E5M2", 8, Some(ElementType::F8)),
        ("F8_E8M0", 8, Some(ElementType::F8)),
        ("F8_E4M3FNUZ", 8, Some(ElementType::F8)),
        ("F8_E5M2FNUZ", 8, Some(ElementType::F8)),
        ("F6_E2M3", 6, None),
        ("F6_E3M2", 6, None),
        ("F4", 4, Some(ElementType::I4)),
        ("I64", 64, Some(ElementType::I64)),
        ("U64", 64, Some(ElementType::I64)),
        ("I32", 32, Some(ElementType::I32)),
        ("U32", 32, Some(ElementType::I32)),
        ("I16", 16, Some(ElementType::I16)),
        ("U16", 16, Some(ElementType::I16)),
        ("I8", 8, Some(ElementType::I8)),
        ("U8", 8, Some(ElementType::I8)),
        ("BOOL", 8, Some(ElementType::I8)),
        ("C64", 64, None),
    ];
    KINDS.into_iter().find(|(kind, ..)| *kind == dtype)
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
    fn tensors_are_in_the_order_of_their_names_and_the_last_of_a_name_counts() {
        let names = ["m", "b", "z", "a", "b", "y", "b", "c"];
        let entry =
            |(n, name): (usize, &&str)| format!(r#""{name}":{{"dtype":"U8","shape":[{n}],"data_offsets":[0,{n}]}}"#);
        let entries: Vec<String> = names.iter().enumerate().map(entry).collect();
        let table = read(&format!("{{{}}}", entries.join(",")), 8).unwrap();
        let found: Vec<(&str, u64)> = table.tensors.iter().map(|t| (t.name.as_str(), t.bytes)).collect();
        assert_eq!(found, [("a", 3), ("b", 6), ("c", 7), ("m", 0), ("y", 5), ("z", 2)]);
    }

    #[test]
    fn a_file_that_ends_within_its_header_is_no_bad_json() {
        let whole = file(r#"{"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}  "#);
        for length in 8..whole.len() {
            let failed = read_safetensors(&whole[..length], whole.len() as u64 + 8);
            assert!(matches!(failed, Err(HeaderError::Read(_))), "{length}: {failed:?}");
        }
    }

    #[test]
    fn a_list_longer_than_dimensions_can_be_is_refused() {
        let shape = |ones: usize| vec!["1"; ones].join(",");
        let header = |ones| format!(r#"{{"w":{{"dtype":"U8","shape":[{}],"data_offsets":[0,1]}}}}"#, shape(ones));
        assert!(read(&header(64), 1).is_ok());
        let failed = read(&header(65), 1).unwrap_err().to_string();
        assert!(failed.contains("at most 64 numbers"), "{failed}");
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
