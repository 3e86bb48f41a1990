//! How a quantized checkpoint stores each matrix: lists of modules that it leaves alone, or stores in other formats.

use std::collections::BTreeMap;

use regex_lite::Regex;
use vramscope_core::{Matrix, Stored, StoredAs};

/// Longest list that is read; real ones have a few thousand entries.
pub(crate) const MOST_PATTERNS: usize = 100_000;
/// Most expressions (`re:…`): each is tried on every layer. Real lists have a dozen.
pub(crate) const MOST_EXPRESSIONS: usize = 256;
/// Longest expression in bytes.
const MOST_EXPRESSION_BYTES: usize = 512;

/// Names under which common implementations have a layer's matrices. One that an engine joins of several is stored as
/// any of them is: the engine refuses to load what differs within.
const fn names(matrix: Matrix) -> &'static [&'static str] {
    match matrix {
        Matrix::QueryKeyValue => &[
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.qkv_proj",
            "attention.wqkv",
            "mixer.q_proj",
            "mixer.qkv_proj",
        ],
        Matrix::Output => &["self_attn.o_proj", "attention.wo", "mixer.o_proj", "self_attn.out_proj", "attn.wo_b"],
        Matrix::OutputDown => &["self_attn.o_a_proj", "attn.wo_a"],
        Matrix::LatentDown => &[
            "self_attn.kv_a_proj_with_mqa",
            "self_attn.q_a_proj",
            "self_attn.fused_qkv_a_proj",
            "attn.wq_a",
            "attn.wkv",
            "attn.fused_wqa_wkv",
        ],
        Matrix::QueryUp => &["self_attn.q_b_proj", "self_attn.q_proj", "attn.wq_b"],
        Matrix::KeyValueUp => &["self_attn.kv_b_proj"],
        Matrix::Index => &["self_attn.indexer.wq_b", "self_attn.indexer.wk", "attn.indexer.wq_b"],
        Matrix::RecurrentIn => &[
            "linear_attn.in_proj",
            "linear_attn.in_proj_qkvz",
            "linear_attn.in_proj_qkv",
            "linear_attn.in_proj_z",
            "mixer.in_proj",
            "mamba.in_proj",
            "conv.in_proj",
            "self_attn.q_proj",
        ],
        Matrix::RecurrentGates => &["linear_attn.in_proj_ba", "linear_attn.in_proj_b", "linear_attn.in_proj_a"],
        Matrix::RecurrentOut => {
            &["linear_attn.out_proj", "mixer.out_proj", "mamba.out_proj", "conv.out_proj", "self_attn.o_proj"]
        }
        Matrix::GateUp => &[
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.gate_up_proj",
            "feed_forward.gate_proj",
            "feed_forward.up_proj",
            "mixer.up_proj",
        ],
        Matrix::Down => &["mlp.down_proj", "feed_forward.down_proj", "mixer.down_proj"],
        Matrix::ExpertsGateUp => &[
            "mlp.experts.0.gate_proj",
            "mlp.experts.0.up_proj",
            "mlp.experts.gate_up_proj",
            "ffn.experts.0.w1",
            "block_sparse_moe.experts.0.w1",
            "block_sparse_moe.experts.0.gate_proj",
            "feed_forward.experts.gate_up_proj",
            "mixer.experts.0.up_proj",
        ],
        Matrix::ExpertsDown => &[
            "mlp.experts.0.down_proj",
            "mlp.experts.down_proj",
            "ffn.experts.0.w2",
            "block_sparse_moe.experts.0.w2",
            "block_sparse_moe.experts.0.down_proj",
            "feed_forward.experts.down_proj",
            "mixer.experts.0.down_proj",
        ],
        Matrix::SharedGateUp => &[
            "mlp.shared_experts.gate_proj",
            "mlp.shared_experts.up_proj",
            "ffn.shared_experts.w1",
            "mlp.shared_expert.gate_proj",
            "mlp.shared_expert.up_proj",
            "block_sparse_moe.shared_experts.up_proj",
            "feed_forward.shared_expert.up_proj",
            "mixer.shared_experts.up_proj",
        ],
        Matrix::SharedDown => &[
            "mlp.shared_experts.down_proj",
            "ffn.shared_experts.w2",
            "mlp.shared_expert.down_proj",
            "block_sparse_moe.shared_experts.down_proj",
            "feed_forward.shared_expert.down_proj",
            "mixer.shared_experts.down_proj",
        ],
        Matrix::LatentExperts => &["mixer.fc1_latent_proj", "mixer.fc2_latent_proj"],
        // A matrix that is new in the core crate has no names yet.
        _ => &[],
    }
}

/// Where experts stand beside the dense part, not within it (Gemma 4).
const EXPERTS_APART: [&str; 3] = ["experts", "experts.0.gate_up_proj", "moe.experts"];

/// Sections that are no part of the decoder: those of other senses, and layers for drafts.
const TOWERS: [&str; 8] =
    ["vision_tower", "vision_model", "visual", "vision", "audio_tower", "audio_model", "embed_vision", "mtp"];

/// The entries, sorted by the layer that they name. What is added first stands.
#[derive(Debug, Default)]
pub(crate) struct StorageRules {
    /// What is not sorted yet.
    entries: Vec<(String, StoredAs)>,
    everywhere: Vec<(Matrix, StoredAs)>,
    by_layer: BTreeMap<u64, Vec<(Matrix, StoredAs)>>,
    /// Expressions over a whole name: only trying says which layers they mean.
    expressions: Vec<(Regex, StoredAs)>,
    /// What holds for matrices that no entry names.
    usual: StoredAs,
    /// Experts stand beside the dense part.
    experts_apart: bool,
}

impl StorageRules {
    /// Sorts the entries, for a model whose experts stand within its feed-forward part, or beside it.
    pub(crate) fn sorted(mut self, experts_apart: bool) -> Self {
        self.experts_apart = experts_apart;
        for (pattern, format) in std::mem::take(&mut self.entries) {
            self.sort(&pattern, format);
        }
        self
    }

    /// States how matrices are stored that no entry names.
    pub(crate) fn usual(&mut self, usual: StoredAs) {
        self.usual = usual;
    }

    /// Adds an entry: a dotted name, or an expression (`re:…`). It counts once entries are sorted.
    pub(crate) fn add(&mut self, pattern: &str, format: StoredAs) {
        self.entries.push((pattern.to_owned(), format));
    }

    /// Sorts an entry by what it names. One that names no part of a layer is passed over, as the engine does; so is an
    /// expression that it could not read either.
    fn sort(&mut self, pattern: &str, format: StoredAs) {
        match pattern.strip_prefix("re:") {
            // The engine matches from the beginning of the name.
            Some(text) if text.len() <= MOST_EXPRESSION_BYTES => {
                self.expressions.extend(Regex::new(&format!("^(?:{text})")).ok().map(|regex| (regex, format)));
            }
            Some(_) => {}
            None => self.path(pattern, format),
        }
    }

    /// States how a matrix is stored in every layer.
    pub(crate) fn set(&mut self, matrix: Matrix, format: StoredAs) {
        self.everywhere.push((matrix, format));
    }

    /// A dotted name, in which `*` stands for any one component.
    fn path(&mut self, text: &str, format: StoredAs) {
        let parts: Vec<&str> = text.trim_matches('*').trim_matches('.').split('.').collect();
        if !text.is_empty() && text.trim_matches(['*', '.']).is_empty() {
            self.everywhere.extend(Matrix::ALL.map(|matrix| (matrix, format)));
            return;
        }
        if parts == [""] || parts.iter().any(|part| TOWERS.contains(part)) {
            return;
        }
        // What stands before the layers is spelled differently by every wrapper (`model`, `language_model.model`).
        let from = parts.iter().position(|part| *part == "layers");
        let mut parts = parts[from.unwrap_or(0)..].to_vec();
        let layer = from.and_then(|_| parts.get(1)?.parse::<u64>().ok());
        if layer.is_some() {
            parts[1] = "*";
        }
        let covers = |name: &str| {
            let own: Vec<&str> = ["layers", "N"].into_iter().chain(name.split('.')).collect();
            let same = |(own, wanted): (&&str, &&str)| *wanted == "*" || own == wanted;
            own.windows(parts.len()).any(|window| window.iter().zip(&parts).all(same))
        };
        let found = covered(self.experts_apart, &covers).map(|matrix| (matrix, format));
        match layer {
            Some(layer) => self.by_layer.entry(layer).or_default().extend(found),
            None => self.everywhere.extend(found),
        }
    }

    /// How a layer's matrices are stored.
    pub(crate) fn of_layer(&self, layer: u64) -> Stored {
        let mut stored = Stored::all(self.usual);
        let mut stated = [false; Matrix::ALL.len()];
        let mut state = |matrix: Matrix, format| {
            if !std::mem::replace(&mut stated[matrix as usize], true) {
                stored.set(matrix, format);
            }
        };
        let own = self.by_layer.get(&layer);
        own.into_iter().flatten().chain(&self.everywhere).for_each(|(matrix, format)| state(*matrix, *format));
        for (expression, format) in &self.expressions {
            let covers = |name: &str| expression.is_match(&format!("model.layers.{layer}.{name}"));
            covered(self.experts_apart, &covers).for_each(|matrix| state(matrix, *format));
        }
        stored
    }
}

/// Whether an entry names one module of one layer from end to end, which is all that some methods look for; of experts,
/// which such lists name one by one, a part will do.
pub(crate) fn is_whole(pattern: &str) -> bool {
    let Some((_, rest)) = pattern.split_once("layers.") else { return false };
    let Some((layer, name)) = rest.split_once('.') else { return false };
    let known = || Matrix::ALL.into_iter().any(|matrix| names(matrix).contains(&name));
    layer.parse::<u64>().is_ok() && (name.split('.').any(|part| part == "experts") || known())
}

/// The matrices of which a name is covered.
fn covered(experts_apart: bool, covers: &dyn Fn(&str) -> bool) -> impl Iterator<Item = Matrix> {
    let names = move |matrix: Matrix| match matrix {
        Matrix::ExpertsGateUp | Matrix::ExpertsDown if experts_apart => &EXPERTS_APART[..],
        _ => names(matrix),
    };
    Matrix::ALL.into_iter().filter(move |matrix| names(*matrix).iter().any(|name| covers(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(patterns: &[&str], layer: u64) -> Vec<Matrix> {
        let mut rules = StorageRules::default();
        patterns.iter().for_each(|pattern| rules.add(pattern, StoredAs::Plain));
        let stored = rules.sorted(false).of_layer(layer);
        Matrix::ALL.into_iter().filter(|matrix| stored.of(*matrix) == StoredAs::Plain).collect()
    }

    #[test]
    fn a_name_a_glob_and_an_expression_say_the_same() {
        for pattern in ["model.layers.*.self_attn", "re:.*self_attn.*", "self_attn"] {
            let kept = kept(&[pattern], 3);
            assert!(kept.contains(&Matrix::QueryKeyValue) && kept.contains(&Matrix::Output), "{pattern}");
            assert!(!kept.contains(&Matrix::Down), "{pattern}");
        }
    }

    #[test]
    fn a_star_alone_covers_everything_and_an_empty_entry_nothing() {
        assert_eq!(kept(&["*"], 0), Matrix::ALL);
        assert_eq!(kept(&[""], 0), []);
    }

    #[test]
    fn a_whole_name_is_that_of_a_module_of_a_layer() {
        for whole in ["model.layers.3.mlp.down_proj", "layers.0.self_attn.q_proj", "model.layers.1.mlp.experts"] {
            assert!(is_whole(whole), "{whole}");
        }
        for part in ["mlp", "self_attn", "model.layers.3.mlp", "down_proj", "layers.x.mlp.down_proj", "lm_head"] {
            assert!(!is_whole(part), "{part}");
        }
    }

    #[test]
    fn one_matrix_of_a_part_leaves_the_others_alone() {
        assert_eq!(kept(&["re:.*down_proj"], 0).iter().filter(|m| **m == Matrix::GateUp).count(), 0);
        assert!(kept(&["re:.*down_proj"], 0).contains(&Matrix::Down));
        assert_eq!(kept(&["model.layers.3.mlp.down_proj"], 3), [Matrix::Down]);
    }

    #[test]
    fn a_layer_of_its_own_leaves_the_others_alone() {
        let patterns = ["model.layers.3.mlp", "lm_head"];
        assert_eq!(kept(&patterns, 2), []);
        let own = kept(&patterns, 3);
        assert!(own.contains(&Matrix::Down) && own.contains(&Matrix::ExpertsDown) && !own.contains(&Matrix::Output));
    }

    #[test]
    fn a_router_is_not_its_experts() {
        assert_eq!(kept(&["re:.*mlp.gate$", "model.layers.0.mlp.gate"], 0), []);
    }

    #[test]
    fn wrappers_of_the_decoder_count_and_towers_do_not() {
        let patterns = ["language_model.model.layers.1.self_attn.q_proj", "vision_tower.layers.0.self_attn"];
        assert!(kept(&patterns, 1).contains(&Matrix::QueryKeyValue));
        assert_eq!(kept(&patterns, 0), []);
    }

    #[test]
    fn layers_for_drafts_are_not_the_first_ones_and_experts_may_stand_apart() {
        assert_eq!(kept(&["mtp.layers.0*"], 0), []);
        let mut rules = StorageRules::default();
        rules.add("model.language_model.layers.0.mlp*", StoredAs::Plain);
        let stored = rules.sorted(true).of_layer(0);
        assert_eq!((stored.of(Matrix::Down), stored.of(Matrix::ExpertsDown)), (StoredAs::Plain, StoredAs::Usual));
    }

    #[test]
    fn what_is_stated_first_stands() {
        let mut rules = StorageRules::default();
        rules.usual(StoredAs::Plain);
        rules.add("re:.*down_proj", StoredAs::Other(1));
        rules.add("re:.*mlp.*", StoredAs::Other(0));
        let stored = rules.sorted(false).of_layer(0);
        assert_eq!(stored.of(Matrix::Down), StoredAs::Other(1));
        assert_eq!((stored.of(Matrix::GateUp), stored.of(Matrix::Output)), (StoredAs::Other(0), StoredAs::Plain));
    }
}
