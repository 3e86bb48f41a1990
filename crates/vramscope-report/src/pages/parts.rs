//! The parts of used memory, as people call them.

use crate::cell::Cell;
use crate::node::Node;
use crate::unit::Unit;

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
    name: "baseline",
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
        name: "held beside weights",
        what: "tables, workspaces and states that are kept beside the weights",
        colour: 7,
    },
    Part { kind: "activations", name: "activations", what: "working memory of forward passes and sampling", colour: 3 },
    Part { kind: "cuda_graphs", name: "graphs", what: "captured graphs", colour: 4 },
    Part {
        kind: "runtime_context",
        name: "runtime context",
        what: "the driver's context, kernels and libraries",
        colour: 5,
    },
    Part { kind: "collectives", name: "collectives", what: "buffers for talk between GPUs", colour: 6 },
];

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

    /// A residual may be below zero, and says so.
    pub(crate) fn unit(&self) -> Unit {
        if self.kind == RESIDUAL.kind { Unit::SignedMemory } else { Unit::Memory }
    }

    pub(crate) fn bytes(&self) -> f64 {
        self.size.number().unwrap_or(0.0)
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
