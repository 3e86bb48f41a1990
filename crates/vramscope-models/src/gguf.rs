//! Headers of GGUF files.
//!
//! Layout follows the format's description in ggml (`docs/gguf.md`), versions 1 to 3; block sizes follow `ggml.c`.

mod saved;

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use serde_json::{Map, Value};
use vramscope_core::{
    Architecture, ElementType, PackedModel, PackedTensor, PackedValue, Quantization, StoredAs, WeightFormat,
};

use crate::checkpoint::{HeaderError, StoredTensor, TensorTable};
use crate::config::read_shape;
use crate::{ConfigError, Note};

pub use saved::{MOST_PACKED_JSON_BYTES, SavedHeaderError, packed_json, read_packed_json};

/// No header is larger: long vocabularies take a few megabytes.
const MOST_HEADER_BYTES: u64 = 512 << 20;
/// Where a file does not say otherwise, its data begins at a multiple of so many bytes.
const USUAL_ALIGNMENT: u64 = 32;
/// More than any file has.
const MOST_ENTRIES: u64 = 1 << 20;
/// More than any tensor has.
const MOST_DIMENSIONS: u32 = 8;
/// Longer lists are kept by their length: an entry a layer is kept, a vocabulary is not.
const LONGEST_KEPT_LIST: u64 = 4096;
/// Longer texts are not kept: a chat template takes kilobytes and shapes nothing.
const LONGEST_KEPT_TEXT: usize = 256;
/// Deepest nesting of lists in the metadata.
const DEEPEST: u32 = 4;

/// What a GGUF file says before its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    /// The format's version.
    pub version: u32,
    /// The model's family as GGUF names it.
    pub architecture: Option<String>,
    /// Its tensors.
    pub table: TensorTable,
    numbers: BTreeMap<String, u64>,
    lengths: BTreeMap<String, u64>,
    metadata: BTreeMap<String, PackedValue>,
    offsets: Vec<u64>,
    header_bytes: u64,
}

/// Reads a file's header; no tensor data is read.
///
/// # Errors
/// [`HeaderError`]: no GGUF, counts and lengths beyond what there can be, tensors that make no sense.
pub fn read_gguf(file: impl Read) -> Result<Gguf, HeaderError> {
    let mut reader = Reader { file, left: MOST_HEADER_BYTES, wide: true };
    let magic = reader.bytes::<4>()?;
    if &magic != b"GGUF" {
        return Err(HeaderError::NotOne { expected: "GGUF", found: format!("{magic:02x?}") });
    }
    let version = u32::from_le_bytes(reader.bytes()?);
    if !(1..=3).contains(&version) {
        return Err(HeaderError::NotOne { expected: "version 1, 2 or 3", found: format!("version {version}") });
    }
    reader.wide = version > 1;
    let tensors = reader.count("the number of tensors", MOST_ENTRIES)?;
    let entries = reader.count("the number of metadata entries", MOST_ENTRIES)?;
    let mut gguf = Gguf {
        version,
        architecture: None,
        table: TensorTable::default(),
        numbers: BTreeMap::new(),
        lengths: BTreeMap::new(),
        metadata: BTreeMap::new(),
        offsets: Vec::new(),
        header_bytes: 0,
    };
    for _ in 0..entries {
        let name = reader.text()?;
        let value = reader.value(DEEPEST)?;
        if let Some(kept) = value.kept() {
            gguf.metadata.insert(name.clone(), kept);
        }
        match value {
            Metadata::Number(number) => drop(gguf.numbers.insert(name, number)),
            // One number stands for all: some files have an entry a layer, all alike.
            Metadata::Numbers(list) if list.len() > 1 && list.iter().all(|entry| *entry == list[0]) => {
                gguf.numbers.insert(name, list[0]);
            }
            Metadata::Numbers(list) => drop(gguf.lengths.insert(name, list.len() as u64)),
            Metadata::List { length, same: Some(number) } if length > 1 => drop(gguf.numbers.insert(name, number)),
            Metadata::List { length, .. } => drop(gguf.lengths.insert(name, length)),
            Metadata::Text(text) if name == "general.architecture" => gguf.architecture = Some(text),
            Metadata::Text(_) | Metadata::Real(_) | Metadata::Switch(_) | Metadata::Other => {}
        }
    }
    let mut names = HashSet::new();
    for _ in 0..tensors {
        let (tensor, offset) = reader.tensor()?;
        if !names.insert(tensor.name.clone()) {
            return Err(HeaderError::tensor(&tensor.name, "it is there twice"));
        }
        gguf.table.tensors.push(tensor);
        gguf.offsets.push(offset);
    }
    gguf.header_bytes = MOST_HEADER_BYTES - reader.left;
    Ok(gguf)
}

impl Gguf {
    /// The architecture that the metadata describes; shapes that it leaves open are taken from the tensors.
    ///
    /// # Errors
    /// As [`crate::read_config`].
    pub fn architecture(&self) -> Result<(Architecture, Vec<Note>), ConfigError> {
        let family = self.architecture.clone().unwrap_or_default();
        let own = |name: &str| self.numbers.get(&format!("{family}.{name}")).copied();
        let list = |name: &str| self.lengths.get(name).copied();
        let fields = [
            ("num_hidden_layers", own("block_count")),
            ("hidden_size", own("embedding_length")),
            ("intermediate_size", own("feed_forward_length")),
            ("num_attention_heads", own("attention.head_count")),
            ("num_key_value_heads", own("attention.head_count_kv")),
            ("head_dim", own("attention.key_length")),
            ("sliding_window", own("attention.sliding_window")),
            ("max_position_embeddings", own("context_length")),
            ("num_experts", own("expert_count")),
            ("num_experts_per_tok", own("expert_used_count")),
            ("moe_intermediate_size", own("expert_feed_forward_length")),
            (
                "vocab_size",
                own("vocab_size").or_else(|| list("tokenizer.ggml.tokens")).or_else(|| self.rows_of_embedding()),
            ),
        ];
        let mut root: Map<String, Value> = Map::new();
        for (name, value) in fields {
            if let Some(value) = value.filter(|value| *value > 0) {
                root.insert(name.to_owned(), value.into());
            }
        }
        root.insert("model_type".to_owned(), model_type(&family).into());
        root.insert("dtype".to_owned(), "float16".into());
        let tied = !self.table.tensors.iter().any(|tensor| tensor.name == "output.weight");
        root.insert("tie_word_embeddings".to_owned(), tied.into());
        let (mut model, notes) = read_shape(&root)?;
        model.stored_bytes = self.table.bytes();
        let method = "gguf".to_owned();
        model.quantization = Some(Quantization {
            method,
            format: WeightFormat::Unknown,
            others: Vec::new(),
            head: StoredAs::Usual,
            kv_cache: None,
            beside_config: false,
        });
        Ok((model, notes))
    }

    /// The model as the file holds it: its metadata, and every tensor with its own type.
    pub fn packed(&self) -> PackedModel {
        let tensors = self.table.tensors.iter().zip(&self.offsets).map(|(tensor, offset)| PackedTensor {
            name: tensor.name.clone(),
            kind: tensor.kind,
            sides: tensor.shape.clone(),
            bytes: tensor.bytes,
            offset: *offset,
        });
        PackedModel {
            family: self.architecture.clone().unwrap_or_default(),
            metadata: self.metadata.clone(),
            tensors: tensors.collect(),
        }
    }

    /// Bytes that a file with this header has at least: up to the end of its last tensor. A shorter one was cut off, or
    /// is a header alone.
    pub fn least_file_bytes(&self) -> u64 {
        let alignment = self.numbers.get("general.alignment").copied().filter(|bytes| *bytes > 0);
        let data = self.header_bytes.next_multiple_of(alignment.unwrap_or(USUAL_ALIGNMENT).min(MOST_HEADER_BYTES));
        let ends = self.table.tensors.iter().zip(&self.offsets);
        let last = ends.map(|(tensor, offset)| offset.saturating_add(tensor.bytes)).max();
        // Offsets that make no sense hide no tensor.
        last.map_or(self.header_bytes, |last| data.saturating_add(last.max(self.table.bytes().unwrap_or(0))))
    }

    fn rows_of_embedding(&self) -> Option<u64> {
        let embedding = self.table.tensors.iter().find(|tensor| tensor.name == "token_embd.weight")?;
        embedding.shape.last().copied()
    }
}

/// Hugging Face's name of a family.
fn model_type(family: &str) -> &str {
    match family {
        "qwen2moe" => "qwen2_moe",
        "qwen3moe" => "qwen3_moe",
        "gemma3" => "gemma3_text",
        "gpt-oss" => "gpt_oss",
        "phi3" => "phi3",
        "deepseek2" => "deepseek_v2",
        "glm4moe" => "glm4_moe",
        "command-r" => "cohere",
        "cohere2" => "cohere2",
        other => other,
    }
}

/// A metadata value, as far as it is kept.
enum Metadata {
    Number(u64),
    Real(f64),
    Switch(bool),
    Text(String),
    Numbers(Vec<u64>),
    /// A list by its length, and the number that each entry is.
    List {
        length: u64,
        same: Option<u64>,
    },
    Other,
}

impl Metadata {
    fn kept(&self) -> Option<PackedValue> {
        Some(match self {
            Self::Number(number) => PackedValue::Number(*number),
            Self::Switch(on) => PackedValue::Number(u64::from(*on)),
            Self::Real(value) => PackedValue::Real(*value),
            Self::Text(text) if text.len() <= LONGEST_KEPT_TEXT => PackedValue::Text(text.clone()),
            Self::Numbers(list) => PackedValue::Numbers(list.clone()),
            Self::List { length, .. } => PackedValue::Length(*length),
            Self::Text(_) | Self::Other => return None,
        })
    }
}

/// Reads a header piece by piece and never more than it may have.
struct Reader<R> {
    file: R,
    left: u64,
    /// Counts and lengths have 64 bits; 32 in version 1.
    wide: bool,
}

impl<R: Read> Reader<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        self.spend(N as u64)?;
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn spend(&mut self, bytes: u64) -> Result<(), HeaderError> {
        let what = "the size of the header";
        let over = HeaderError::TooLarge {
            what,
            value: bytes.saturating_add(MOST_HEADER_BYTES - self.left),
            limit: MOST_HEADER_BYTES,
        };
        self.left = self.left.checked_sub(bytes).ok_or(over)?;
        Ok(())
    }

    fn length(&mut self) -> Result<u64, HeaderError> {
        if self.wide {
            return Ok(u64::from_le_bytes(self.bytes()?));
        }
        Ok(u64::from(u32::from_le_bytes(self.bytes()?)))
    }

    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, HeaderError> {
        let value = self.length()?;
        if value > limit {
            return Err(HeaderError::TooLarge { what, value, limit });
        }
        Ok(value)
    }

    fn text(&mut self) -> Result<String, HeaderError> {
        let length = self.length()?;
        self.spend(length)?;
        let mut bytes = Vec::new();
        (&mut self.file).take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(HeaderError::Read(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(&mut self, depth: u32) -> Result<Metadata, HeaderError> {
        let kind = u32::from_le_bytes(self.bytes()?);
        self.value_of(kind, depth)
    }

    fn value_of(&mut self, kind: u32, depth: u32) -> Result<Metadata, HeaderError> {
        Ok(match kind {
            0 => Metadata::Number(u64::from(self.bytes::<1>()?[0])),
            2 => Metadata::Number(u64::from(u16::from_le_bytes(self.bytes()?))),
            4 => Metadata::Number(u64::from(u32::from_le_bytes(self.bytes()?))),
            10 => Metadata::Number(u64::from_le_bytes(self.bytes()?)),
            5 => signed(i64::from(i32::from_le_bytes(self.bytes()?))),
            11 => signed(i64::from_le_bytes(self.bytes()?)),
            1 => signed(i64::from(i8::from_le_bytes(self.bytes()?))),
            7 => Metadata::Switch(self.bytes::<1>()?[0] != 0),
            3 => {
                self.bytes::<2>()?;
                Metadata::Other
            }
            6 => Metadata::Real(f64::from(f32::from_le_bytes(self.bytes()?))),
            12 => Metadata::Real(f64::from_le_bytes(self.bytes()?)),
            8 => Metadata::Text(self.text()?),
            9 if depth > 0 => self.list(depth - 1)?,
            9 => return Err(HeaderError::NotOne { expected: "lists of few levels", found: "deeper ones".into() }),
            kind => return Err(HeaderError::NotOne { expected: "a kind of metadata", found: format!("kind {kind}") }),
        })
    }

    /// A list, entry by entry where it is short and of whole numbers or switches.
    fn list(&mut self, depth: u32) -> Result<Metadata, HeaderError> {
        let kind = u32::from_le_bytes(self.bytes()?);
        let length = self.count("the length of a list", MOST_HEADER_BYTES)?;
        let mut kept: Option<Vec<u64>> = (length > 0 && length <= LONGEST_KEPT_LIST).then(Vec::new);
        let mut same: Option<u64> = None;
        let mut alike = true;
        for _ in 0..length {
            let number = match self.value_of(kind, depth)? {
                Metadata::Number(number) => Some(number),
                Metadata::Switch(on) => Some(u64::from(on)),
                _ => None,
            };
            match (number, &mut kept) {
                (Some(number), Some(list)) => list.push(number),
                (None, list) => *list = None,
                (Some(_), None) => {}
            }
            match number {
                Some(number) => alike &= *same.get_or_insert(number) == number,
                None => alike = false,
            }
        }
        Ok(kept.map_or(Metadata::List { length, same: same.filter(|_| alike) }, Metadata::Numbers))
    }

    fn tensor(&mut self) -> Result<(StoredTensor, u64), HeaderError> {
        let name = self.text()?;
        let dimensions = u32::from_le_bytes(self.bytes()?);
        if dimensions > MOST_DIMENSIONS {
            return Err(HeaderError::tensor(&name, format!("it has {dimensions} dimensions")));
        }
        let shape = (0..dimensions).map(|_| self.length()).collect::<Result<Vec<u64>, _>>()?;
        let kind = u32::from_le_bytes(self.bytes()?);
        let offset = u64::from_le_bytes(self.bytes()?);
        let (kind_name, block, bytes, element) =
            block(kind).ok_or_else(|| HeaderError::tensor(&name, format!("its kind {kind} is not known")))?;
        let mut tensor = StoredTensor { name, kind: kind_name, element, shape, bytes: 0 };
        let elements = tensor.elements().filter(|n| n.is_multiple_of(block));
        let size = elements.and_then(|n| (n / block).checked_mul(bytes));
        tensor.bytes = size.ok_or_else(|| HeaderError::tensor(&tensor.name, "its shape is not one of whole blocks"))?;
        Ok((tensor, offset))
    }
}

fn signed(number: i64) -> Metadata {
    u64::try_from(number).map_or(Metadata::Other, Metadata::Number)
}

/// Name, elements of a block, bytes of a block, and the element type where elements stand by themselves.
fn block(kind: u32) -> Option<(&'static str, u64, u64, Option<ElementType>)> {
    let quantized = |name, block, bytes| Some((name, block, bytes, None));
    let plain = |name, bytes, element| Some((name, 1, bytes, Some(element)));
    match kind {
        0 => plain("F32", 4, ElementType::F32),
        1 => plain("F16", 2, ElementType::F16),
        2 => quantized("Q4_0", 32, 18),
        3 => quantized("Q4_1", 32, 20),
        6 => quantized("Q5_0", 32, 22),
        7 => quantized("Q5_1", 32, 24),
        8 => quantized("Q8_0", 32, 34),
        9 => quantized("Q8_1", 32, 36),
        10 => quantized("Q2_K", 256, 84),
        11 => quantized("Q3_K", 256, 110),
        12 => quantized("Q4_K", 256, 144),
        13 => quantized("Q5_K", 256, 176),
        14 => quantized("Q6_K", 256, 210),
        15 => quantized("Q8_K", 256, 292),
        16 => quantized("IQ2_XXS", 256, 66),
        17 => quantized("IQ2_XS", 256, 74),
        18 => quantized("IQ3_XXS", 256, 98),
        19 => quantized("IQ1_S", 256, 50),
        20 => quantized("IQ4_NL", 32, 18),
        21 => quantized("IQ3_S", 256, 110),
        22 => quantized("IQ2_S", 256, 82),
        23 => quantized("IQ4_XS", 256, 136),
        24 => plain("I8", 1, ElementType::I8),
        25 => plain("I16", 2, ElementType::I16),
        26 => plain("I32", 4, ElementType::I32),
        27 => plain("I64", 8, ElementType::I64),
        28 => plain("F64", 8, ElementType::F64),
        29 => quantized("IQ1_M", 256, 56),
        30 => plain("BF16", 2, ElementType::Bf16),
        34 => quantized("TQ1_0", 256, 54),
        35 => quantized("TQ2_0", 256, 66),
        39 => quantized("MXFP4", 32, 17),
        // Four blocks of 16, each with an 8-bit scale.
        40 => quantized("NVFP4", 64, 36),
        // A 16-bit scale and one bit or two for each element.
        41 => quantized("Q1_0", 128, 18),
        42 => quantized("Q2_0", 64, 18),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    /// A file with an architecture, some numbers and a tensor of Q4_K.
    fn small() -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(1_u64.to_le_bytes());
        let numbers = [
            ("block_count", 2),
            ("embedding_length", 256),
            ("feed_forward_length", 512),
            ("attention.head_count", 4),
            ("context_length", 2048),
            ("vocab_size", 1000),
        ];
        out.extend((1 + numbers.len() as u64).to_le_bytes());
        text(&mut out, "general.architecture");
        out.extend(8_u32.to_le_bytes());
        text(&mut out, "llama");
        for (name, value) in numbers {
            text(&mut out, &format!("llama.{name}"));
            out.extend(4_u32.to_le_bytes());
            out.extend(u32::to_le_bytes(value));
        }
        text(&mut out, "token_embd.weight");
        out.extend(2_u32.to_le_bytes());
        out.extend(256_u64.to_le_bytes());
        out.extend(1000_u64.to_le_bytes());
        out.extend(12_u32.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
        out
    }

    #[test]
    fn a_header_gives_shape_and_stored_size() {
        let gguf = read_gguf(small().as_slice()).unwrap();
        let (model, _) = gguf.architecture().unwrap();
        assert_eq!((model.layers.len(), model.hidden_size, model.vocab_size), (2, 256, 1000));
        assert_eq!(model.stored_bytes, Some(1000 * 144));
        assert_eq!(gguf.least_file_bytes(), (small().len() as u64).next_multiple_of(32) + 144_000);
        assert!(model.tied_head && model.known_family);
        let packed = gguf.packed();
        assert_eq!((packed.family.as_str(), packed.own("block_count")), ("llama", Some(2)));
        let embedding = packed.tensor("token_embd.weight").unwrap();
        assert_eq!((embedding.kind, embedding.sides.as_slice(), embedding.bytes), ("Q4_K", &[256, 1000][..], 144_000));
    }

    #[test]
    fn blocks_have_the_bits_of_the_formats() {
        // memory-formulas.md, section 2.3: elements of a block and its bytes.
        let table = [
            ("Q4_0", 32, 18),
            ("Q4_1", 32, 20),
            ("Q5_0", 32, 22),
            ("Q5_1", 32, 24),
            ("Q8_0", 32, 34),
            ("Q2_K", 256, 84),
            ("Q3_K", 256, 110),
            ("Q4_K", 256, 144),
            ("Q5_K", 256, 176),
            ("Q6_K", 256, 210),
            ("Q8_K", 256, 292),
            ("IQ1_S", 256, 50),
            ("IQ1_M", 256, 56),
            ("IQ2_XXS", 256, 66),
            ("IQ2_XS", 256, 74),
            ("IQ2_S", 256, 82),
            ("IQ3_XXS", 256, 98),
            ("IQ3_S", 256, 110),
            ("IQ4_NL", 32, 18),
            ("IQ4_XS", 256, 136),
            ("TQ1_0", 256, 54),
            ("TQ2_0", 256, 66),
            ("MXFP4", 32, 17),
            ("NVFP4", 64, 36),
            ("Q1_0", 128, 18),
            ("Q2_0", 64, 18),
        ];
        for (name, elements, bytes) in table {
            let found = (0..64).filter_map(block).find(|(own, ..)| *own == name);
            assert_eq!(found.map(|(_, block, size, _)| (block, size)), Some((elements, bytes)), "{name}");
        }
    }

    #[test]
    fn every_cut_and_every_large_count_is_refused() {
        let whole = small();
        for end in 0..whole.len() {
            assert!(read_gguf(&whole[..end]).is_err(), "cut at {end}");
        }
        for place in [8, 16, 24] {
            let mut bad = whole.clone();
            bad[place..place + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            assert!(matches!(read_gguf(bad.as_slice()), Err(HeaderError::TooLarge { .. })), "count at {place}");
        }
    }
}
