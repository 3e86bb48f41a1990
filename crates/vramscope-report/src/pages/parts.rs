//! The parts of used memory, as people call them: the names and colours that every picture, table and sentence of a page
//! has, so that one part is one word and one colour.

use crate::cell::Cell;
use crate::node::Node;
use crate::unit::{Unit, with_thousands};

/// A part: what documents call it, what people call it, what it is, and its colour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) colour: usize,
}

/// In use before the engine came.
pub(crate) const BASELINE: Part = Part {
    kind: "baseline",
    name: "baseline (others, before the engine)",
    what: "what others and the driver had in use before the engine came",
    colour: 0,
};

/// What no part explains.
pub(crate) const RESIDUAL: Part = Part { kind: "residual", name: "residual", what: "what no part explains", colour: 8 };

/// The parts, in the order in which an engine takes them.
pub(crate) const PARTS: &[Part] = &[
    Part { kind: "model_weights", name: "weights", what: "the model's weights", colour: 1 },
    Part {
        kind: "kv_cache",
        name: "KV cache",
        what: "the pool for keys and values, which the engine sets up at its start, used or not",
        colour: 2,
    },
    Part {
        kind: "held",
        name: "kept beside the weights",
        what: "tables, workspaces and states that are kept beside the weights",
        colour: 7,
    },
    Part {
        kind: "activations",
        name: "activations at the peak",
        what: "working memory of forward passes and sampling",
        colour: 3,
    },
    Part { kind: "cuda_graphs", name: "graphs", what: "captured graphs", colour: 4 },
    Part {
        kind: "runtime_context",
        name: "runtime context",
        what: "the driver's context, kernels and libraries",
        colour: 5,
    },
    Part { kind: "collectives", name: "collectives", what: "buffers for talk between GPUs", colour: 6 },
    // Engines that hold these hold none of the parts whose colours they share.
    Part { kind: "recurrent_state", name: "recurrent state", what: "states of layers that keep no keys", colour: 7 },
    Part {
        kind: "compute_buffers",
        name: "compute buffers",
        what: "buffers for the largest batch, set aside at the start",
        colour: 3,
    },
    Part { kind: "output_buffers", name: "output buffers", what: "results of each token for the host", colour: 6 },
];

/// What an engine plans with and no part of a peak is.
pub(crate) const BUDGET: &[Part] = &[
    Part { kind: "requested", name: "what the engine may use", what: "its share of the GPU", colour: 9 },
    Part {
        kind: "activation_peak",
        name: "activation peak of the trial run",
        what: "what the largest forward pass takes, as the engine tries it before it sets up its KV cache",
        colour: 3,
    },
    Part {
        kind: "non_torch",
        name: "outside the allocator",
        what: "what the engine's start takes outside its framework's allocator",
        colour: 5,
    },
    Part { kind: "cuda_graphs_budgeted", name: "set aside for graphs", what: "room left for graphs", colour: 4 },
    Part {
        kind: "available",
        name: "left for the KV cache",
        what: "what the engine may use less what is taken",
        colour: 2,
    },
    Part { kind: "num_gpu_blocks", name: "KV cache blocks", what: "blocks of the KV cache", colour: 2 },
    Part { kind: "kv_cache_tokens", name: "KV cache tokens", what: "tokens that the KV cache holds", colour: 2 },
    Part {
        kind: "max_concurrency",
        name: "requests at once, each of the longest length",
        what: "how often the KV cache holds a request of the longest length",
        colour: 2,
    },
];

/// The parts that any of these breakdowns has, by kind: what no engine of theirs can hold has no column.
pub(crate) fn of_any<'n, 'd: 'n>(breakdowns: impl IntoIterator<Item = &'n Node<'d>>) -> Vec<Part> {
    let breakdowns: Vec<&Node<'d>> = breakdowns.into_iter().collect();
    let has = |part: &&Part| breakdowns.iter().any(|breakdown| size_in(breakdown, part.kind).is_some());
    PARTS.iter().filter(has).copied().collect()
}

/// The size of a part in a breakdown.
pub(crate) fn size_in<'d>(breakdown: &Node<'d>, kind: &str) -> Option<Node<'d>> {
    let mut parts = breakdown.at("components").items().into_iter();
    parts.find(|part| part.at("kind").text() == Some(kind)).map(|part| part.at("size_bytes"))
}

/// The part or the figure of a budget of this name, with or without its unit.
pub(crate) fn called(kind: &str) -> Option<Part> {
    let bare = kind.strip_suffix("_bytes").unwrap_or(kind);
    [BASELINE, RESIDUAL].iter().chain(PARTS).chain(BUDGET).find(|part| part.kind == bare).copied()
}

/// Words of our own documents as the page says them: a part has one name, and counts have their thousands apart.
pub(crate) fn in_words(text: &str) -> String {
    with_thousands(&text.replace("KV-cache pool", "KV cache").replace("KV pool", "KV cache"))
}

/// What people call a part or a figure of a budget.
pub(crate) fn name_of(kind: &str) -> String {
    called(kind).map_or_else(|| super::named::words(kind), |part| part.name.to_owned())
}

/// A part with its size in a document.
#[derive(Debug, Clone)]
pub(crate) struct Sized<'d> {
    pub(crate) part: Option<Part>,
    /// What the document calls it.
    pub(crate) kind: &'d str,
    pub(crate) size: Node<'d>,
    /// Where more is said of it.
    pub(crate) more: Option<Node<'d>>,
}

impl Sized<'_> {
    pub(crate) fn name(&self) -> String {
        self.part.map_or_else(|| super::named::words(self.kind), |part| part.name.to_owned())
    }

    pub(crate) fn colour(&self) -> usize {
        self.part.map_or(9, |part| part.colour)
    }

    /// Its size. A residual may be below zero, and says so.
    pub(crate) fn figure(&self) -> Cell {
        if self.kind == RESIDUAL.kind { self.size.change(Unit::Memory) } else { self.size.figure(Unit::Memory) }
    }

    /// The same in words.
    pub(crate) fn words(&self) -> String {
        if self.kind == RESIDUAL.kind { Unit::Memory.signed(self.bytes()) } else { Unit::Memory.show(self.bytes()) }
    }

    pub(crate) fn bytes(&self) -> f64 {
        self.size.number().unwrap_or(0.0)
    }

    /// Nothing is there, and the document says that nothing can be.
    pub(crate) fn is_ruled_out(&self) -> bool {
        self.size.number() == Some(0.0) && self.more.as_ref().is_some_and(|more| more.at("detail").text().is_some())
    }
}

/// More parts than this are no breakdown.
const MOST_PARTS: usize = 40;

/// The parts of a breakdown: with their reasons where it has them, else by the names of their sums.
pub(crate) fn of<'d>(breakdown: &Node<'d>) -> Vec<Sized<'d>> {
    let named = |kind: &str| PARTS.iter().find(|part| part.kind == kind).copied();
    let with_reasons: Vec<Sized<'d>> = breakdown
        .at("components")
        .items()
        .into_iter()
        .take(MOST_PARTS)
        .map(|component| {
            let kind = component.at("kind").text().unwrap_or("part");
            Sized { part: named(kind), kind, size: component.at("size_bytes"), more: Some(component) }
        })
        .collect();
    if !with_reasons.is_empty() {
        return with_reasons;
    }
    let sum = |part: &Part| {
        let size = breakdown.at(&format!("{}_bytes", part.kind));
        size.is_there().then_some(Sized { part: Some(*part), kind: part.kind, size, more: None })
    };
    PARTS.iter().filter_map(sum).collect()
}

/// An amount of several places together: the figure itself where there is one place, else a sum without a pointer.
/// A dash where one of them is not known.
pub(crate) fn sum(places: &[Node<'_>]) -> Cell {
    match places {
        [] => Cell::absent(),
        [one] => one.figure(Unit::Memory),
        several => total(several).map_or_else(Cell::absent, |bytes| Cell::text(Unit::Memory.show(bytes))),
    }
}

/// The same as a number.
pub(crate) fn total(places: &[Node<'_>]) -> Option<f64> {
    if places.is_empty() {
        return None;
    }
    places.iter().map(Node::number).sum()
}

#[cfg(test)]
mod tests {
    use vramscope_core::ComponentKind;

    use super::*;

    #[test]
    fn every_part_that_a_breakdown_can_have_has_a_name_and_a_colour() {
        for kind in ComponentKind::ALL {
            assert!(PARTS.iter().any(|part| part.kind == kind.name()), "{kind} is called nothing");
        }
    }
}
