//! Which classes of models a release has of its own. Others it serves by transformers' class, or not at all.

use std::collections::HashMap;
use std::sync::LazyLock;

use vramscope_core::Architecture;

use crate::vllm::input::EngineVersion;

const TABLE: &str = include_str!("../../data/classes.tsv");
/// The releases of the table's columns, by their minor numbers.
const RELEASES: [u16; 11] = [8, 10, 12, 16, 20, 22, 25, 28, 30, 32, 33];

static CLASSES: LazyLock<HashMap<&str, [bool; RELEASES.len()]>> = LazyLock::new(|| {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let mut cells = line.split('\t');
        let name = cells.next()?;
        let mut has = [false; RELEASES.len()];
        has.iter_mut().zip(cells).for_each(|(has, cell)| *has = cell == "yes");
        Some((name, has))
    };
    rows.filter_map(row).collect()
});

/// Whether a release has no class for a model: neither the checked release before it nor the one after. Of what was before
/// 0.8 nothing is said, and what comes after 0.33 is taken to have what that has.
pub(crate) fn lacks(model: &Architecture, version: EngineVersion) -> bool {
    let Some(class) = model.class.as_deref().filter(|_| version.from_minor(RELEASES[0])) else { return false };
    let Some(has) = CLASSES.get(class) else { return true };
    let minor = if version.major > 0 { u16::MAX } else { version.minor };
    let before = RELEASES.iter().rposition(|release| *release <= minor).unwrap_or(0);
    let after = RELEASES.iter().position(|release| *release >= minor).unwrap_or(RELEASES.len() - 1);
    !has[before] && !has[after]
}

const WITHOUT_ADAPTERS: &str = include_str!("../../data/without_adapters.tsv");

/// Classes that take no adapters in 0.25.1 or in 0.33.0: whether they do in each, `None` where that was not read.
static ADAPTERS: LazyLock<HashMap<&str, [Option<bool>; 2]>> = LazyLock::new(|| {
    let rows = WITHOUT_ADAPTERS.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let mut cells = line.split('\t');
        let name = cells.next()?;
        let mut next = || cells.next().and_then(|cell| (cell != "-").then_some(cell == "yes"));
        Some((name, [next(), next()]))
    };
    rows.filter_map(row).collect()
});

/// Whether a release serves no adapters with a model's own class: read in 0.25.1 and 0.33.0, said between them where both
/// say it, and after 0.33 as 0.33 has it. Of earlier releases nothing is said.
pub(crate) fn refuses_adapters(model: &Architecture, version: EngineVersion) -> bool {
    let class = model.class.as_deref().filter(|_| version.from_minor(25) && !lacks(model, version));
    let Some([before, after]) = class.and_then(|class| ADAPTERS.get(class)) else { return false };
    match (version.from_minor(33), version.from_minor(26)) {
        (true, _) => *after == Some(false),
        (false, true) => *before != Some(true) && *after != Some(true),
        (false, false) => *before == Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_adapters_are_known_by_release() {
        let refusing = |class: &str| {
            let config = format!(
                r#"{{"architectures": ["{class}"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 64,
                "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 64}}"#
            );
            let (model, _) = vramscope_models::read_config(config.as_bytes()).unwrap();
            ["0.24.0", "0.25.1", "0.28.0", "0.33.0", "0.34.0"]
                .map(|version| refuses_adapters(&model, version.parse().unwrap()))
        };
        assert_eq!(refusing("LlamaForCausalLM"), [false; 5]);
        assert_eq!(refusing("FalconForCausalLM"), [false, true, true, true, true]);
        assert_eq!(refusing("KimiK3ForConditionalGeneration"), [false, false, true, true, true], "not there in 0.25.1");
        assert_eq!(refusing("GPTNeoXForCausalLM"), [false, true, false, false, false], "no longer in 0.33.0");
    }

    #[test]
    fn every_row_of_classes_without_adapters_names_one_of_the_table_and_a_refusal() {
        for line in WITHOUT_ADAPTERS.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<&str> = line.split('\t').collect();
            assert!(cells.len() == 3 && cells[1..].contains(&"no"), "{line}");
            assert!(cells[1..].iter().all(|cell| ["yes", "no", "-"].contains(cell)), "{line}");
            assert!(CLASSES.contains_key(cells[0]), "{line}");
        }
    }

    #[test]
    fn a_release_lacks_what_came_later_and_what_is_gone() {
        let lacking = |class: &str| {
            let config = format!(
                r#"{{"architectures": ["{class}"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 64,
                "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 64}}"#
            );
            let (model, _) = vramscope_models::read_config(config.as_bytes()).unwrap();
            ["0.6.0", "0.11.0", "0.25.1", "0.27.0", "0.29.0", "0.30.0", "0.33.0", "0.34.0", "1.0.0"]
                .map(|version| lacks(&model, version.parse().unwrap()))
        };
        assert_eq!(lacking("LlamaForCausalLM"), [false; 9]);
        assert_eq!(lacking("HYV4ForCausalLM"), [false, true, true, true, false, false, false, false, false]);
        let since_20 = [false, true, false, false, false, false, false, false, false];
        assert_eq!(lacking("Qwen3_5MoeForConditionalGeneration"), since_20);
        assert_eq!(lacking("ArcticForCausalLM"), [false, false, false, false, false, true, true, true, true]);
        assert_eq!(lacking("NobodysForCausalLM"), [false, true, true, true, true, true, true, true, true]);
    }

    #[test]
    fn every_row_of_the_table_has_all_releases() {
        let rows: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(rows.len() > 400 && rows.iter().all(|row| row.split('\t').count() == RELEASES.len() + 1));
    }
}
