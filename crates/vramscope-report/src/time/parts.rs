//! Which part of memory stands when: what a breakdown of the peak says of the time before and after it.
//!
//! A breakdown is of one instant, the peak. A part is drawn from when evidence has it, and never above what was measured.
//! What then remains of the measured memory is the residual.

use crate::node::Node;
use crate::pages::parts;

/// The rule, in the words that stand below the picture.
pub(crate) const RULE: &str = "Parts are those of the breakdown of the peak. A part is drawn from the moment at which \
    the run's evidence has it: the runtime context from launch, weights as they grow from when loading begins, the KV \
    cache and what is kept beside the weights from their line in the engine's log (or else from when the engine is ready) and only where \
    the measured memory has room for them whole, graphs while they are captured, activations after the KV cache. No part \
    stands above the measured line, and while the engine stops there are parts only as long as all of them fit. What is \
    measured beyond these parts is the residual.";

/// How a part comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// Little by little: it has what is measured, up to its size.
    Grows,
    /// At once: it is there whole or not at all.
    Whole,
}

/// A part of memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// `0` to `9`.
    pub(crate) colour: usize,
    pub(crate) bytes: f64,
    pub(crate) from_ns: u64,
    pub(crate) grows: bool,
}

/// The parts of one device, or of all, from the lowest up.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Stack {
    pub(crate) parts: Vec<Part>,
    /// How much more the parts are together than what was measured.
    pub(crate) slack: f64,
    /// From here on, parts stand only while all of them fit.
    pub(crate) until_ns: Option<u64>,
    /// All parts but activations, which come and go.
    pub(crate) whole: f64,
    /// Parts of the breakdown of which no evidence says when they came to be.
    pub(crate) unplaced: Vec<&'static str>,
}

pub(super) const BASELINE: &str = parts::BASELINE.name;
const ACTIVATIONS: &str = "activations";

/// Kinds of parts from the lowest up.
const KINDS: &[(&str, Growth)] = &[
    ("runtime_context", Growth::Grows),
    ("collectives", Growth::Grows),
    ("model_weights", Growth::Grows),
    ("held", Growth::Whole),
    ("kv_cache", Growth::Whole),
    ("recurrent_state", Growth::Whole),
    ("output_buffers", Growth::Grows),
    ("compute_buffers", Growth::Grows),
    ("cuda_graphs", Growth::Grows),
    (ACTIVATIONS, Growth::Grows),
];

/// A second, the resolution of an engine's log.
pub(super) const LOG_NS: u64 = 1_000_000_000;

/// When things came to be, as far as a document tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moments {
    pub(crate) launch: Option<u64>,
    pub(crate) load: Option<u64>,
    pub(crate) ready: Option<u64>,
    pub(crate) shutdown: Option<u64>,
    pub(crate) profiled: Option<u64>,
    pub(crate) pool: Option<u64>,
    /// When all that is held from the start on was there.
    pub(crate) allocated: Option<u64>,
    /// When capturing graphs began.
    pub(crate) graphs: Option<u64>,
}

impl Moments {
    fn of(&self, kind: &str) -> Option<u64> {
        let logged = |at: Option<u64>| at.map(|at| at.saturating_sub(LOG_NS)).or(self.ready);
        match kind {
            "runtime_context" | "collectives" => self.launch.or(self.load),
            "model_weights" => self.load,
            "held" => logged(self.profiled),
            "kv_cache" | "recurrent_state" => logged(self.pool),
            "output_buffers" | "compute_buffers" => logged(self.allocated.or(self.pool)),
            "cuda_graphs" => logged(self.graphs),
            _ => self.pool.or(self.ready),
        }
    }
}

impl Stack {
    /// Sets its times on a clock that began so much earlier.
    pub(crate) fn later(&mut self, by_ns: u64) {
        self.parts.iter_mut().for_each(|part| part.from_ns = part.from_ns.saturating_add(by_ns));
        self.until_ns = self.until_ns.map(|until| until.saturating_add(by_ns));
    }

    /// The parts of a breakdown (`memory_breakdown`, or one of its `per_device`).
    pub(crate) fn of(breakdown: &Node<'_>, moments: &Moments) -> Self {
        let mut stack = Self { until_ns: moments.shutdown, ..Self::default() };
        if let Some(bytes) = breakdown.at("baseline_bytes").number().filter(|bytes| *bytes > 0.0) {
            stack.whole += bytes;
            stack.parts.push(Part { name: BASELINE, colour: parts::BASELINE.colour, bytes, from_ns: 0, grows: true });
        }
        let components = breakdown.at("components").items();
        for (kind, growth) in KINDS {
            let Some(part) = parts::called(kind) else { continue };
            let of_kind = components.iter().filter(|one| one.at("kind").text() == Some(kind));
            let bytes: f64 = of_kind.filter_map(|one| one.at("size_bytes").number()).filter(|bytes| *bytes > 0.0).sum();
            if let Some(from_ns) = moments.of(kind).filter(|_| bytes > 0.0) {
                let grows = *growth == Growth::Grows;
                stack.parts.push(Part { name: part.name, colour: part.colour, bytes, from_ns, grows });
                if *kind != ACTIVATIONS {
                    stack.whole += bytes;
                }
            } else if bytes > 0.0 {
                stack.unplaced.push(part.name);
            }
        }
        stack.slack = breakdown.at("residual_bytes").number().map_or(0.0, |residual| (-residual).max(0.0));
        stack
    }

    /// What stands above the parts: its name and its colour.
    pub(crate) fn rest(&self) -> (&'static str, usize) {
        // Where nothing is taken apart, all is in use and nothing is left over.
        if self.parts.is_empty() { ("in use", 9) } else { (parts::RESIDUAL.name, parts::RESIDUAL.colour) }
    }

    /// Up to where each part reaches at an instant at which so much was measured.
    pub(crate) fn tops(&self, at_ns: u64, measured: f64) -> Vec<f64> {
        let ending = self.until_ns.is_some_and(|until| at_ns >= until) && measured + self.slack < self.whole;
        let (mut top, mut waits) = (0.0, false);
        let reach = |part: &Part| {
            let room = (measured - top).max(0.0);
            let due = at_ns >= part.from_ns && (!ending || part.name == BASELINE);
            // What comes after a part that has no room yet is not there either.
            waits |= due && !part.grows && room + self.slack < part.bytes;
            top += if due && !waits { part.bytes.min(room) } else { 0.0 };
            top
        };
        self.parts.iter().map(reach).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn stack() -> Stack {
        let breakdown = json!({"baseline_bytes": 5.0, "residual_bytes": -2.0, "components": [
            {"kind": "kv_cache", "size_bytes": 100.0}, {"kind": "model_weights", "size_bytes": 30.0},
            {"kind": "activations", "size_bytes": 7.0}, {"kind": "cuda_graphs", "size_bytes": 0.0}]});
        let moments = Moments { load: Some(10), ready: Some(20), shutdown: Some(30), ..Moments::default() };
        Stack::of(&Node::root(&breakdown, 0), &moments)
    }

    proptest! {
        #[test]
        fn no_part_stands_above_what_was_measured(at in 0u64..40, measured in 0.0..200.0f64) {
            let tops = stack().tops(at, measured);
            prop_assert!(tops.windows(2).all(|two| two[0] <= two[1]) && tops.iter().all(|top| *top <= measured));
        }
    }

    #[test]
    fn each_part_has_the_name_and_the_colour_that_it_has_elsewhere_on_the_page() {
        let kinds = ["baseline"].into_iter().chain(KINDS.iter().map(|(kind, _)| *kind));
        let components: Vec<_> = kinds.clone().map(|kind| json!({"kind": kind, "size_bytes": 1.0})).collect();
        let breakdown = json!({"baseline_bytes": 1.0, "components": components});
        let stack = Stack::of(
            &Node::root(&breakdown, 0),
            &Moments { launch: Some(1), load: Some(1), ready: Some(1), ..Moments::default() },
        );
        let drawn: Vec<_> = stack.parts.iter().map(|part| (part.name, part.colour)).collect();
        let named: Vec<_> = kinds.filter_map(parts::called).map(|part| (part.name, part.colour)).collect();
        assert_eq!(drawn, named);
        assert_eq!(stack.parts.len(), parts::PARTS.len() + 1, "every part has its place over time");
    }

    #[test]
    fn parts_stand_when_evidence_has_them() {
        assert_eq!(stack().tops(5, 50.0), [5.0, 5.0, 5.0, 5.0]);
        assert_eq!(stack().tops(15, 25.0), [5.0, 25.0, 25.0, 25.0], "weights grow");
        assert_eq!(stack().tops(15, 140.0), [5.0, 35.0, 35.0, 35.0], "nobody knows of a pool yet");
        assert_eq!(stack().tops(20, 100.0), [5.0, 35.0, 35.0, 35.0], "a pool is whole, and comes before activations");
        assert_eq!(stack().tops(20, 140.0), [5.0, 35.0, 135.0, 140.0]);
        assert_eq!(stack().tops(30, 134.0), [5.0, 35.0, 134.0, 134.0], "all fit but for what they are too large");
        assert_eq!(stack().tops(30, 100.0), [5.0, 5.0, 5.0, 5.0]);
    }
}
