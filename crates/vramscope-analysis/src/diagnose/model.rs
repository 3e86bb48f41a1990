//! The model as it was described by hand against the model as it is.

use vramscope_core::{Architecture, Bytes, FeedForward, Mixer};
use vramscope_estimate::parameter_count;
use vramscope_schema::v3::{Diagnostic, Figures, Severity};

use super::{advise, diagnostic};
use crate::known::Known;

/// Parameters that differ by more than this share are not a matter of rounding.
const PARAMETERS_DIFFER_PCT: f64 = 2.0;

/// Sizes that were given by hand contradict the config that lies beside them.
pub(super) fn given_sizes(known: &Known<'_>) -> Option<Diagnostic> {
    let shape = known.evidence.record.as_ref()?.shape?;
    let own = known.evidence.own_architecture.as_ref()?;
    let sizes = Sizes::of(own);
    let rows = [
        ("num_layers", shape.layers, sizes.layers),
        ("num_heads", shape.heads, sizes.heads),
        ("num_kv_heads", shape.kv_heads, sizes.kv_heads),
        ("head_dim", shape.head_dim, sizes.head_dim),
        ("hidden_size", shape.hidden_size, Some(own.hidden_size)),
        ("intermediate_size", shape.intermediate_size, sizes.width),
        ("vocab_size", shape.vocab_size, Some(own.vocab_size)),
    ];
    let mut evidence = Figures::new();
    let mut said = Vec::new();
    for (name, given, own) in rows {
        let (Some(given), Some(own)) = (given, own) else { continue };
        if given != own {
            evidence = evidence.count(&format!("given_{name}_count"), given).count(&format!("own_{name}_count"), own);
            said.push(format!("{} {given} was given and is {own}", name.replace('_', " ")));
        }
    }
    let counted = parameter_count(own).ok().map(|count| count.total);
    if let Some((given, counted)) = shape.parameters.zip(counted).filter(|(given, counted)| differ(*given, *counted)) {
        evidence = evidence.count("given_parameters_count", given).count("own_parameters_count", counted);
        said.push(format!("{} parameters were given and are {}", millions(given), millions(counted)));
    }
    // What was given decides what is computed, also where the parameters were not given themselves.
    let used = known.evidence.architecture.as_ref().and_then(|model| parameter_count(model).ok()).map(|c| c.total);
    if let Some((used, counted)) = used.zip(counted).filter(|_| shape.parameters.is_none() && !said.is_empty()) {
        evidence = evidence.count("used_parameters_count", used).count("own_parameters_count", counted);
        said.push(format!("{} parameters follow from that, and the model has {}", millions(used), millions(counted)));
    }
    if said.is_empty() {
        return None;
    }
    let message = format!("sizes given by hand contradict the model's config: {}", said.join("; "));
    let found = Diagnostic { evidence, ..diagnostic("given_sizes_contradict_model", Severity::Warning, message) };
    advise(found, "leave the sizes out where the model can be read: what is computed here rests on what was given")
}

fn differ(given: u64, own: u64) -> bool {
    let (given, own) = (Bytes::new(given).as_f64(), Bytes::new(own).as_f64());
    (given - own).abs() > own * PARAMETERS_DIFFER_PCT / 100.0
}

fn millions(count: u64) -> String {
    let count = Bytes::new(count).as_f64();
    if count < 1e9 { format!("{:.2} M", count / 1e6) } else { format!("{:.2} B", count / 1e9) }
}

/// What the first layer of a kind has.
struct Sizes {
    layers: Option<u64>,
    heads: Option<u64>,
    kv_heads: Option<u64>,
    head_dim: Option<u64>,
    width: Option<u64>,
}

impl Sizes {
    fn of(model: &Architecture) -> Self {
        let attention = model.layers.iter().find_map(|layer| match layer.mixer {
            Mixer::Attention(attention) | Mixer::Parallel(attention, _) => Some(attention),
            _ => None,
        });
        let dense = model.layers.iter().find_map(|layer| match layer.feed_forward {
            FeedForward::Dense(dense) => Some(dense.width),
            _ => None,
        });
        Self {
            layers: u64::try_from(model.layers.len()).ok(),
            heads: attention.map(|attention| attention.heads),
            kv_heads: attention.map(|attention| attention.kv_heads),
            head_dim: attention.map(|attention| attention.head_dim),
            width: dense,
        }
    }
}
