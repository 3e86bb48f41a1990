//! Lists of modules that a quantized checkpoint leaves in the plain format.

use std::collections::BTreeMap;

use regex_lite::Regex;
use vramscope_core::Kept;

/// Longest list that is read; real ones have a few thousand entries.
const MOST_PATTERNS: usize = 100_000;

/// One entry of a list.
#[derive(Debug)]
enum Pattern {
    /// Components of a dotted name; `*` stands for any one.
    Path(Vec<String>),
    /// An expression over the whole name (`re:…`).
    Expression(Regex),
}

/// The entries, sorted by the layer that they name.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    everywhere: Vec<Pattern>,
    by_layer: BTreeMap<u64, Vec<Pattern>>,
}

impl Ignored {
    pub(crate) fn new(patterns: &[&str]) -> Self {
        let mut list = Self::default();
        for text in patterns.iter().take(MOST_PATTERNS) {
            let Some(pattern) = parse(text) else { continue };
            match named_layer(&pattern) {
                Some(layer) => list.by_layer.entry(layer).or_default().push(pattern),
                None => list.everywhere.push(pattern),
            }
        }
        list
    }

    /// Which parts of a layer are left alone. The names are those under which common implementations have them.
    pub(crate) fn kept(&self, layer: u64) -> Kept {
        let own = self.by_layer.get(&layer).map(Vec::as_slice).unwrap_or_default();
        if own.is_empty() && self.everywhere.is_empty() {
            return Kept::default();
        }
        let matches = |names: &[&str]| {
            names.iter().any(|name| {
                let name = format!("model.layers.{layer}.{name}");
                self.everywhere.iter().chain(own).any(|pattern| pattern.covers(&name))
            })
        };
        Kept {
            mixer: matches(&[
                "self_attn.q_proj",
                "self_attn.qkv_proj",
                "self_attn.kv_b_proj",
                "linear_attn.in_proj",
                "mixer.in_proj",
            ]),
            feed_forward: matches(&["mlp.down_proj", "feed_forward.down_proj"]),
            experts: matches(&[
                "mlp.experts.0.down_proj",
                "block_sparse_moe.experts.0.w2",
                "feed_forward.experts.down_proj",
            ]),
            shared: matches(&[
                "mlp.shared_experts.down_proj",
                "mlp.shared_expert.down_proj",
                "feed_forward.shared_expert.down_proj",
            ]),
        }
    }
}

impl Pattern {
    fn covers(&self, name: &str) -> bool {
        match self {
            Self::Expression(expression) => expression.is_match(name),
            Self::Path(parts) => {
                let own: Vec<&str> = name.split('.').collect();
                own.windows(parts.len()).any(|window| window.iter().zip(parts).all(|(a, b)| b == "*" || a == b))
            }
        }
    }
}

fn parse(text: &str) -> Option<Pattern> {
    if let Some(expression) = text.strip_prefix("re:") {
        // The engine matches from the beginning of the name.
        return Regex::new(&format!("^(?:{expression})")).ok().map(Pattern::Expression);
    }
    let text = text.trim_matches('*').trim_matches('.');
    let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    (!text.is_empty()).then_some(Pattern::Path(parts))
}

fn named_layer(pattern: &Pattern) -> Option<u64> {
    let Pattern::Path(parts) = pattern else { return None };
    let place = parts.iter().position(|part| part == "layers")?;
    parts.get(place + 1)?.parse().ok()
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
}
