//! What a config's class takes where the file leaves a key out.
//!
//! The table is made from the classes of transformers 5.19 and vLLM 0.33 by `xtask/class_defaults.py`, for the keys that a
//! model's shape hangs on.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use serde_json::{Map, Value};

/// A model type, a key and its value, by type; `null` where the class works it out from other keys, in a way that is not
/// known here.
const TABLE: &str = include_str!("defaults.tsv");

/// Without these nothing can be told of a model. A file that lacks them at its top is cut, though classes have them too.
const BASIC: [&str; 5] = ["hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"];

/// What authors write in place of a list of transformers'.
const INSTEAD: [(&str, &[&str]); 5] = [
    (
        "layer_types",
        &[
            "compress_ratios",
            "hybrid_layer_pattern",
            "hybrid_override_pattern",
            "layers_block_type",
            "attn_type_list",
            "linear_attn_config",
            "sliding_window_pattern",
            "_sliding_window_pattern",
            "full_attention_interval",
            "global_attn_every_n_layers",
            "attn_layer_period",
        ],
    ),
    (
        "mlp_layer_types",
        &[
            "moe_layer_freq",
            "moe_layers",
            "moe_layers_enum",
            "first_k_dense_replace",
            "num_dense_layers",
            "mlp_only_layers",
            "decoder_sparse_step",
        ],
    ),
    ("layers_block_type", &["hybrid_override_pattern"]),
    ("per_layer_config", &["global_head_dim"]),
    ("num_hash_layers", &["mlp_layer_types"]),
];

/// The values of one class, or of a section of it.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    known: Vec<(&'static str, Value)>,
    open: Vec<&'static str>,
}

impl Defaults {
    /// Of what has no class.
    pub(crate) const NONE: &'static Self = &Self { known: Vec::new(), open: Vec::new() };

    /// The values of a model type for the keys of the object itself, which is a file's top or a section in it.
    pub(crate) fn of(model_type: Option<&str>, is_top: bool) -> Self {
        let mut found = Self::default();
        for (key, value) in model_type.into_iter().flat_map(rows).filter(|(key, _)| !key.contains('.')) {
            if !(is_top && BASIC.contains(&key)) {
                found.put(key, value);
            }
        }
        found
    }

    /// The values of a section that the class of a model type makes itself.
    pub(crate) fn of_section(model_type: &str, section: &str) -> Self {
        let mut found = Self::default();
        for (key, value) in rows(model_type) {
            if let Some(key) = key.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')) {
                found.put(key, value);
            }
        }
        found
    }

    fn put(&mut self, key: &'static str, value: &str) {
        match serde_json::from_str(value) {
            Ok(Value::Null) | Err(_) => self.open.push(key),
            Ok(value) => self.known.push((key, value)),
        }
    }

    /// The first of several spellings that has a value.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&(&'static str, Value)> {
        if self.known.is_empty() {
            return None;
        }
        names.iter().find_map(|name| self.known.iter().find(|(key, _)| key == name))
    }

    /// Keys that a section lacks, and its authors' spellings of the same, of which it is not known what the class then takes.
    pub(crate) fn left_open(&self, section: &Map<String, Value>) -> Vec<&'static str> {
        let stated = |key: &str| {
            let others = INSTEAD.iter().find(|(own, _)| *own == key).map_or(&[] as &[&str], |(_, others)| others);
            section.contains_key(key) || others.iter().any(|other| section.contains_key(*other))
        };
        self.open.iter().copied().filter(|key| !stated(key)).collect()
    }
}

/// The rows of a model type: key and value. They stand together.
fn rows(model_type: &str) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
    static PLACES: OnceLock<HashMap<&str, Range<usize>>> = OnceLock::new();
    let places = PLACES.get_or_init(|| {
        let mut places: HashMap<&str, Range<usize>> = HashMap::new();
        for line in TABLE.lines().skip(1) {
            let start = line.as_ptr() as usize - TABLE.as_ptr() as usize;
            let name = line.split('\t').next().unwrap_or_default();
            places.entry(name).or_insert(start..start).end = start + line.len();
        }
        places
    });
    let own = places.get(model_type).map_or("", |place| &TABLE[place.clone()]);
    own.lines().filter_map(|line| line.split_once('\t')?.1.split_once('\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_read_and_rows_of_a_type_stand_together() {
        let mut seen = std::collections::HashSet::new();
        let mut last = "";
        for line in TABLE.lines().skip(1) {
            let [name, key, value] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            assert!(serde_json::from_str::<Value>(value).is_ok(), "{line}");
            assert!(name == last || seen.insert(name), "{name} stands in two places");
            assert!(rows(name).any(|row| row == (key, value)), "{line}");
            last = name;
        }
        assert_eq!(rows("no_such_type").count(), 0);
        assert_eq!(rows("llam").count(), 0);
    }

    #[test]
    fn a_section_has_its_own_and_a_top_lacks_what_it_must_state() {
        assert_eq!(Defaults::of(Some("llama"), false).get(&["hidden_size"]).unwrap().1, 4096);
        assert_eq!(Defaults::of(Some("llama"), true).get(&["hidden_size"]), None);
        assert_eq!(Defaults::of_section("qwen2_vl", "vision_config").get(&["temporal_patch_size"]).unwrap().1, 2);
    }
}
