//! Lists of modules that a quantized checkpoint leaves in the plain format.

use std::collections::BTreeMap;

use regex_lite::Regex;
use vramscope_core::Kept;

/// Longest list that is read; real ones have a few thousand entries.
pub(crate) const MOST_PATTERNS: usize = 100_000;
/// Most expressions (`re:…`): each is tried on every layer. Real lists have a dozen.
pub(crate) const MOST_EXPRESSIONS: usize = 256;
/// Longest expression in bytes.
const MOST_EXPRESSION_BYTES: usize = 512;

/// Names under which common implementations have the parts of a layer.
const MIXER: &[&str] = &[
    "self_attn.q_proj",
    "self_attn.qkv_proj",
    "self_attn.kv_b_proj",
    "linear_attn.in_proj",
    "linear_attn.in_proj_qkvz",
    "mixer.in_proj",
];
const FEED_FORWARD: &[&str] = &["mlp.down_proj", "feed_forward.down_proj"];
const EXPERTS: &[&str] = &[
    "mlp.experts.0.down_proj",
    "block_sparse_moe.experts.0.w2",
    "feed_forward.experts.down_proj",
    "mixer.experts.0.down_proj",
];
const SHARED: &[&str] = &[
    "mlp.shared_experts.down_proj",
    "mlp.shared_expert.down_proj",
    "feed_forward.shared_expert.down_proj",
    "mixer.shared_experts.down_proj",
];

/// Sections of a multimodal model that are no part of its decoder.
const TOWERS: [&str; 6] = ["vision_tower", "vision_model", "visual", "vision", "audio_tower", "audio_model"];

/// The entries, sorted by the layer that they name.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    everywhere: Kept,
    by_layer: BTreeMap<u64, Kept>,
    /// Expressions over a whole name: only trying says which layers they mean.
    expressions: Vec<Regex>,
}

impl Ignored {
    /// Sorts the entries. Those that name no part of a layer are passed over, as the engine does; so are expressions
    /// that it could not read either.
    pub(crate) fn new(patterns: &[&str]) -> Self {
        let mut list = Self::default();
        for text in patterns {
            match text.strip_prefix("re:") {
                // The engine matches from the beginning of the name.
                Some(text) if text.len() <= MOST_EXPRESSION_BYTES => {
                    list.expressions.extend(Regex::new(&format!("^(?:{text})")).ok());
                }
                Some(_) => {}
                None => list.path(text),
            }
        }
        list
    }

    /// A dotted name, in which `*` stands for any one component.
    fn path(&mut self, text: &str) {
        let parts: Vec<&str> = text.trim_matches('*').trim_matches('.').split('.').collect();
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
        let found = Kept::of(&covers);
        match layer {
            Some(layer) => self.by_layer.entry(layer).or_default().add(found),
            None => self.everywhere.add(found),
        }
    }

    /// Which parts of a layer are left alone.
    pub(crate) fn kept(&self, layer: u64) -> Kept {
        let mut kept = self.everywhere;
        if let Some(own) = self.by_layer.get(&layer) {
            kept.add(*own);
        }
        if !self.expressions.is_empty() {
            kept.add(Kept::of(&|name| {
                let name = format!("model.layers.{layer}.{name}");
                self.expressions.iter().any(|expression| expression.is_match(&name))
            }));
        }
        kept
    }
}

/// What is kept, from which names are covered, and both together.
trait Parts {
    fn of(covers: &dyn Fn(&str) -> bool) -> Self;
    fn add(&mut self, other: Self);
}

impl Parts for Kept {
    fn of(covers: &dyn Fn(&str) -> bool) -> Self {
        let any = |names: &[&str]| names.iter().any(|name| covers(name));
        Self { mixer: any(MIXER), feed_forward: any(FEED_FORWARD), experts: any(EXPERTS), shared: any(SHARED) }
    }

    fn add(&mut self, other: Self) {
        self.mixer |= other.mixer;
        self.feed_forward |= other.feed_forward;
        self.experts |= other.experts;
        self.shared |= other.shared;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_a_glob_and_an_expression_say_the_same() {
        for pattern in ["model.layers.*.self_attn", "re:.*self_attn.*", "self_attn", "model.layers.3.self_attn.q_proj"]
        {
            let kept = Ignored::new(&[pattern]).kept(3);
            assert_eq!(kept, Kept { mixer: true, ..Kept::default() }, "{pattern}");
        }
    }

    #[test]
    fn a_layer_of_its_own_leaves_the_others_alone() {
        let list = Ignored::new(&["model.layers.3.mlp", "lm_head"]);
        assert_eq!(list.kept(2), Kept::default());
        assert!(list.kept(3).feed_forward && list.kept(3).experts && !list.kept(3).mixer);
    }

    #[test]
    fn a_router_is_not_its_experts() {
        assert_eq!(Ignored::new(&["re:.*mlp.gate$", "model.layers.0.mlp.gate"]).kept(0), Kept::default());
    }

    #[test]
    fn wrappers_of_the_decoder_count_and_towers_do_not() {
        let list = Ignored::new(&["language_model.model.layers.1.self_attn.q_proj", "vision_tower.layers.0.self_attn"]);
        assert!(list.kept(1).mixer);
        assert_eq!(list.kept(0), Kept::default());
    }
}
