//! A model as one file that holds its shape and its tensors together, each tensor in a type of its own.

use std::collections::BTreeMap;

/// A value of such a file's metadata.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PackedValue {
    /// A whole number, or a switch as 0 and 1.
    Number(u64),
    /// A real number.
    Real(f64),
    /// A text.
    Text(String),
    /// Whole numbers, an entry a layer as a rule.
    Numbers(Vec<u64>),
    /// A list of something else, or one that is too long to be kept, by its length.
    Length(u64),
}

/// A tensor of such a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedTensor {
    /// Its name.
    pub name: String,
    /// The type of its elements, as the format spells it: `F16`, `Q4_K`.
    pub kind: &'static str,
    /// Its sides, the fastest first.
    pub sides: Vec<u64>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where its data begins behind the header, in bytes.
    pub offset: u64,
}

/// A model as one file holds it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PackedModel {
    /// The family, as the format names it.
    pub family: String,
    /// The metadata by its keys.
    pub metadata: BTreeMap<String, PackedValue>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<PackedTensor>,
}

impl PackedModel {
    /// A whole number of the metadata, by its whole key.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.metadata.get(key)? {
            PackedValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A whole number of the family's own keys (`block_count`).
    pub fn own(&self, key: &str) -> Option<u64> {
        self.number(&format!("{}.{key}", self.family))
    }

    /// A value for each of so many layers: one number stands for all, a list has one a layer.
    pub fn own_by_layer(&self, key: &str, layers: usize) -> Option<Vec<u64>> {
        match self.metadata.get(&format!("{}.{key}", self.family))? {
            PackedValue::Number(number) => Some(vec![*number; layers]),
            PackedValue::Numbers(list) if list.len() >= layers => Some(list[..layers].to_vec()),
            _ => None,
        }
    }

    /// A real number of the family's own keys; a whole one counts too.
    pub fn own_real(&self, key: &str) -> Option<f64> {
        match self.metadata.get(&format!("{}.{key}", self.family))? {
            PackedValue::Real(value) => Some(*value),
            #[expect(clippy::cast_precision_loss, reason = "a scale or a share, never near 2^53")]
            PackedValue::Number(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// How many entries a list has.
    pub fn length(&self, key: &str) -> Option<u64> {
        match self.metadata.get(key)? {
            PackedValue::Length(length) => Some(*length),
            PackedValue::Numbers(list) => u64::try_from(list.len()).ok(),
            _ => None,
        }
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&PackedTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Bytes of all tensors; `None` past 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        self.tensors.iter().try_fold(0_u64, |sum, tensor| sum.checked_add(tensor.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_stands_for_all_layers_and_a_short_list_for_none() {
        let mut model = PackedModel { family: "f".into(), ..PackedModel::default() };
        model.metadata.insert("f.a".into(), PackedValue::Number(3));
        model.metadata.insert("f.b".into(), PackedValue::Numbers(vec![1, 2]));
        assert_eq!(model.own_by_layer("a", 2), Some(vec![3, 3]));
        assert_eq!(model.own_by_layer("b", 2), Some(vec![1, 2]));
        assert_eq!(model.own_by_layer("b", 3), None);
        assert_eq!(model.own_by_layer("c", 1), None);
    }
}
