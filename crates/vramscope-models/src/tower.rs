//! Towers: what a multimodal model has beside its decoder, counted from its own sections.
//!
//! Shapes follow the classes of transformers 4.57 to 5.24; vLLM's own hold the same tensors. Ranks split the matrices of
//! a tower and the biases of their outputs as they split a decoder's (`mm_encoder_tp_mode="weights"`).

mod audio;
mod vision;

use serde_json::{Map, Value};
use vramscope_core::Tower;

use crate::ConfigError;
use crate::defaults::Defaults;
use crate::fields::Fields;

/// Keys of towers that shape no parameters: which blocks attend where, how pictures are cut and pooled.
const WITHOUT_EFFECT: [&str; 9] = [
    "fullatt_block_indexes",
    "tokens_per_second",
    "window_size",
    "num_channels",
    "pixel_shuffle_ratio",
    "pooling_kernel_size",
    "standardize",
    "global_head_dim",
    "encoder_attention_heads",
];

/// Parameters of a tower while they are counted. Sums of products of three numbers below 2^31.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: u128,
    /// Those that ranks split.
    split: u128,
}

impl Count {
    /// What stands whole on every rank.
    fn whole(&mut self, parameters: u128) {
        self.all += parameters;
    }

    /// What ranks split.
    fn split(&mut self, parameters: u128) {
        self.all += parameters;
        self.split += parameters;
    }

    fn add(&mut self, other: Self, times: u64) {
        self.all += other.all * u128::from(times);
        self.split += other.split * u128::from(times);
    }

    /// A matrix whose outputs are split, with its bias.
    fn up(&mut self, from: u64, to: u64, bias: bool) {
        self.split(wide(from) * wide(to) + if bias { wide(to) } else { 0 });
    }

    /// A matrix whose inputs are split; its bias is whole.
    fn down(&mut self, from: u64, to: u64, bias: bool) {
        self.split(wide(from) * wide(to));
        self.whole(if bias { wide(to) } else { 0 });
    }
}

fn wide(number: u64) -> u128 {
    u128::from(number)
}

/// What was found of a section.
struct Found {
    count: Count,
    /// By rules for this kind of tower.
    known: bool,
    /// Attention heads that ranks split.
    heads: Option<u64>,
}

impl Found {
    /// Known only if its section leaves nothing out of which it is not known what the class then takes. What a known one
    /// holds and nobody understands is named.
    fn checked(self, fields: &Fields<'_>, own: &Map<String, Value>, hidden: u64, unread: &mut Vec<String>) -> Self {
        if self.known {
            let mut others = Vec::new();
            crate::unread::collect(fields, own, "", &mut others);
            // PaliGemma's projector, which leads to the decoder's width in every model of it.
            let same = |key: &str| key == "projection_dim" && own[key].as_u64() == Some(hidden);
            others.retain(|key| !WITHOUT_EFFECT.contains(&key.as_str()) && !same(key));
            unread.extend(others.into_iter().map(|key| fields.path(&key)));
        }
        Self { known: self.known && fields.left_open().is_empty(), ..self }
    }
}

/// The towers of a multimodal model with their projectors; `None` for a language model.
///
/// A kind that is not known is counted as a plain vision transformer where it has the fields of one.
/// Keys of a counted tower that are not understood are put to `unread`.
pub(crate) fn read(
    fields: &Fields<'_>,
    root: &Map<String, Value>,
    hidden: u64,
    unread: &mut Vec<String>,
) -> Result<Option<Tower>, ConfigError> {
    if let Some(parameters) = fields.number(&["tower_parameters"])? {
        return Ok(Some(Tower { parameters, split: 0, heads: None, counted: true, deep: 0 }));
    }
    let outer = Fields::new(root, None, "", Defaults::NONE);
    let model_type = outer.text(&["model_type"])?.unwrap_or_default();
    let mut found = Vec::new();
    let mut deep = 0;
    match section(root, "vision_config") {
        Some(own) => {
            let defaults = Defaults::of_section(model_type, "vision_config");
            let fields = Fields::new(own, None, "vision_config.", &defaults);
            // The classes whose decoder takes outputs of the tower's layers; to others such a key says nothing.
            if model_type.starts_with("qwen3") {
                deep = vision::deep(&fields)? as u64;
            }
            found.push(vision::read(&fields, model_type, hidden)?.checked(&fields, own, hidden, unread));
        }
        None if model_type == "llama4" => found.push(vision::llama4(&outer, hidden)?),
        None => {}
    }
    if let Some(own) = section(root, "audio_config") {
        let defaults = Defaults::of_section(model_type, "audio_config");
        let fields = Fields::new(own, None, "audio_config.", &defaults);
        found.push(audio::read(&fields, model_type, hidden)?.checked(&fields, own, hidden, unread));
    }
    if found.is_empty() {
        return Ok(None);
    }
    let mut count = Count::default();
    found.iter().for_each(|found| count.add(found.count, 1));
    let narrow = |sum: u128| {
        u64::try_from(sum).ok().filter(|sum| *sum < 1 << 50).ok_or(ConfigError::OutOfRange {
            field: "vision_config.hidden_size".to_owned(),
            value: u64::MAX,
            least: 1,
            most: 1 << 20,
        })
    };
    let counted = found.iter().all(|found| found.known);
    let heads = found.iter().filter_map(|found| found.heads).reduce(greatest_common_divisor);
    Ok(Some(Tower { parameters: narrow(count.all)?, split: narrow(count.split)?, heads, counted, deep }))
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn section<'a>(root: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    root.get(name)?.as_object()
}

/// A number, or the first of a list of them: widths and heights are mostly alike.
fn side(fields: &Fields<'_>, names: &[&str]) -> Result<Option<u64>, ConfigError> {
    let first = fields.value(names).and_then(Value::as_array).and_then(|list| list.first());
    match first {
        Some(value) => {
            let number = value.as_u64().ok_or_else(|| fields.wrong(names[0], "a number or a list of two", value))?;
            fields.bounded(names[0], number, 1, 1 << 20).map(Some)
        }
        None => fields.positive(names),
    }
}
