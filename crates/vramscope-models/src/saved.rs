//! What transformers 5 writes in place of what a model's authors wrote.
//!
//! A config that was loaded and saved again says the same with other keys. Those that are told by keys of their own are put
//! back into the authors' spelling before anything is read, so that both are read alike; names that only stand for what
//! other keys say anyway are left out.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// A kind of layers that `layer_types` names and other keys decide.
const NAMED_ELSEWHERE: &str = "minimax_m3_sparse";
/// Kinds of DeepSeek V4's layers, each with the number that its authors write for it.
const COMPRESSED: [(&str, u64); 3] =
    [("sliding_attention", 0), ("compressed_sparse_attention", 4), ("heavily_compressed_attention", 128)];

/// A section of a config in the spelling of its authors.
pub(crate) fn as_published<'a>(
    section: &'a Map<String, Value>,
    root: &Map<String, Value>,
) -> Cow<'a, Map<String, Value>> {
    let mut published = Cow::Borrowed(section);
    if let Some(fields) = global_layers(section) {
        let own = published.to_mut();
        own.remove("per_layer_config");
        own.extend(fields);
    }
    if of_interleaved_experts(section) {
        published.to_mut().remove("moe_layers");
    }
    let kinds = section.get("layer_types").and_then(Value::as_array);
    if kinds.is_some() && section.contains_key("hybrid_layer_pattern") && pattern_says_the_same(section) {
        published.to_mut().remove("hybrid_layer_pattern");
    }
    if kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind.as_str() == Some(NAMED_ELSEWHERE))) {
        published.to_mut().remove("layer_types");
    }
    if section.get("model_type").and_then(Value::as_str) == Some("deepseek_v4") {
        if let Some(ratios) = kinds.filter(|_| rates_are_usual(section)).and_then(|kinds| ratios(kinds)) {
            let own = published.to_mut();
            own.retain(|name, _| name != "layer_types" && name != "compress_rates");
            own.insert("compress_ratios".to_owned(), ratios);
        }
        if let Some(hashed) = section.get("mlp_layer_types").and_then(Value::as_array).and_then(|list| hashed(list)) {
            let own = published.to_mut();
            own.remove("mlp_layer_types");
            own.insert("num_hash_layers".to_owned(), Value::from(hashed));
        }
    }
    // The width that a projector takes in, where that is the tower's own.
    let tower = root.get("vision_config").and_then(Value::as_object);
    let width = tower.and_then(|tower| ["hidden_size", "vt_hidden_size"].iter().find_map(|name| tower.get(*name)));
    if width.is_some() && section.get("projection_hidden_size") == width {
        published.to_mut().remove("projection_hidden_size");
    }
    published
}

/// Whether the kinds of layers compress as their authors' numbers say.
fn rates_are_usual(section: &Map<String, Value>) -> bool {
    let Some(rates) = section.get("compress_rates") else { return true };
    rates.as_object().is_some_and(|rates| {
        rates
            .iter()
            .all(|(kind, rate)| COMPRESSED.iter().any(|(own, usual)| own == kind && rate.as_u64() == Some(*usual)))
    })
}

/// The kinds of DeepSeek V4's layers by their numbers; `None` where one is of another kind.
fn ratios(kinds: &[Value]) -> Option<Value> {
    let ratio = |kind: &Value| COMPRESSED.iter().find(|(own, _)| Some(*own) == kind.as_str()).map(|(_, ratio)| *ratio);
    Some(Value::from(kinds.iter().map(ratio).collect::<Option<Vec<u64>>>()?))
}

/// The layers that look their experts up, where they are the first ones.
fn hashed(kinds: &[Value]) -> Option<usize> {
    let first = kinds.iter().take_while(|kind| kind.as_str() == Some("hash_moe")).count();
    kinds[first..].iter().all(|kind| kind.as_str() == Some("moe")).then_some(first)
}

/// What Gemma 4's layers without a window have of their own, where it is the same in all of them.
fn global_layers(section: &Map<String, Value>) -> Option<[(String, Value); 2]> {
    let layers = section.get("per_layer_config")?.as_object()?;
    let kinds = section.get("layer_types")?.as_array()?;
    let full = |place: usize| kinds.get(place).and_then(Value::as_str) == Some("full_attention");
    let mut own = layers.values();
    let first = own.next()?.as_object()?;
    let every = layers.keys().map(|place| place.parse().ok()).collect::<Option<Vec<usize>>>()?;
    let all = (0..kinds.len()).filter(|place| full(*place)).count() == every.len() && every.into_iter().all(full);
    let known = first.keys().all(|name| matches!(name.as_str(), "head_dim" | "num_key_value_heads"));
    let alike = own.all(|other| other.as_object() == Some(first));
    let stated = |name: &str| first.get(name).or_else(|| section.get(name)).cloned();
    (all && known && alike).then_some(())?;
    Some([
        ("global_head_dim".to_owned(), stated("head_dim")?),
        ("num_global_key_value_heads".to_owned(), stated("num_key_value_heads")?),
    ])
}

/// Whether the list of layers with experts is what the step between them gives (Llama 4).
fn of_interleaved_experts(section: &Map<String, Value>) -> bool {
    let number = |name: &str| section.get(name).and_then(Value::as_u64);
    let (Some(step), Some(count)) = (number("interleave_moe_layer_step"), number("num_hidden_layers")) else {
        return false;
    };
    let Some(listed) = section.get("moe_layers").and_then(Value::as_array) else { return false };
    if step == 0 || count > 1 << 16 {
        return false;
    }
    let stepped = (1..=count).filter(|place| place % step == 0).map(|place| place - 1);
    listed.iter().map(Value::as_u64).eq(stepped.map(Some))
}

/// Whether MiMo's pattern names the same layers as the list of kinds.
fn pattern_says_the_same(section: &Map<String, Value>) -> bool {
    let list = |name: &str| section.get(name).and_then(Value::as_array);
    let (Some(pattern), Some(kinds)) = (list("hybrid_layer_pattern"), list("layer_types")) else { return false };
    let windowed = |kind: &Value| kind.as_str() == Some("sliding_attention");
    pattern.len() == kinds.len()
        && pattern.iter().zip(kinds).all(|(own, kind)| (own.as_u64() != Some(0)) == windowed(kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn published(section: Value) -> Value {
        let root = json!({"vision_config": {"hidden_size": 1152}});
        Value::Object(as_published(section.as_object().unwrap(), root.as_object().unwrap()).into_owned())
    }

    #[test]
    fn layers_alike_are_told_once_and_others_are_left_as_they_stand() {
        let kinds = json!(["sliding_attention", "full_attention", "full_attention"]);
        let alike = json!({"layer_types": kinds, "head_dim": 256, "num_key_value_heads": 8,
            "per_layer_config": {"01": {"head_dim": 512}, "02": {"head_dim": 512}}});
        let expected = json!({"layer_types": kinds, "head_dim": 256, "num_key_value_heads": 8, "global_head_dim": 512,
            "num_global_key_value_heads": 8});
        assert_eq!(published(alike), expected);
        for unlike in [
            json!({"01": {"head_dim": 512}, "02": {"head_dim": 128}}),
            json!({"01": {"head_dim": 512}}),
            json!({"00": {"head_dim": 512}, "01": {"head_dim": 512}}),
            json!({"01": {"rank": 1}, "02": {"rank": 1}}),
        ] {
            let section =
                json!({"layer_types": kinds, "head_dim": 256, "num_key_value_heads": 8, "per_layer_config": unlike});
            assert_eq!(published(section.clone()), section);
        }
    }

    #[test]
    fn lists_that_say_what_other_keys_say_are_left_out_and_others_stay() {
        let moe = |layers: Value| json!({"num_hidden_layers": 4, "interleave_moe_layer_step": 2, "moe_layers": layers});
        assert_eq!(published(moe(json!([1, 3])))["moe_layers"], Value::Null);
        assert_eq!(published(moe(json!([0, 3])))["moe_layers"], json!([0, 3]));
        let kinds = json!(["full_attention", "sliding_attention"]);
        let mimo = |pattern: Value| json!({"layer_types": kinds, "hybrid_layer_pattern": pattern});
        assert_eq!(published(mimo(json!([0, 1])))["hybrid_layer_pattern"], Value::Null);
        assert_eq!(published(mimo(json!([1, 0])))["hybrid_layer_pattern"], json!([1, 0]));
        let deepseek = json!({"model_type": "deepseek_v4", "layer_types": ["sliding_attention",
            "compressed_sparse_attention", "heavily_compressed_attention"], "mlp_layer_types": ["hash_moe", "moe", "moe"]});
        let ratios = json!({"model_type": "deepseek_v4", "compress_ratios": [0, 4, 128], "num_hash_layers": 1});
        assert_eq!(published(deepseek.clone()), ratios);
        let mut other = deepseek;
        other["compress_rates"] = json!({"compressed_sparse_attention": 8});
        assert_eq!(published(other.clone())["layer_types"], other["layer_types"]);
        assert_eq!(published(json!({"projection_hidden_size": 1152})), json!({}));
        assert_eq!(published(json!({"projection_hidden_size": 64})), json!({"projection_hidden_size": 64}));
    }
}
