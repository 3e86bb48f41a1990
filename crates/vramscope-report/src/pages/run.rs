//! A run as its profile tells it: where the figures are that every page of runs asks for.

use super::parts::{self, BASELINE, RESIDUAL, Sized};
use crate::cell::{Cell, Tone};
use crate::node::Node;

/// A run.
#[derive(Debug, Clone)]
pub(crate) struct Run<'d> {
    pub(crate) root: Node<'d>,
    pub(crate) breakdown: Node<'d>,
}

impl<'d> Run<'d> {
    pub(crate) fn new(root: Node<'d>) -> Self {
        let breakdown = root.at("memory_breakdown");
        Self { root, breakdown }
    }

    /// The first of these places at which something is.
    fn first(&self, places: &[&str]) -> Node<'d> {
        let mut all = places.iter().map(|place| self.root.path(place));
        all.find(Node::is_there).unwrap_or_else(|| self.root.at(""))
    }

    /// The peak that is explained, of all GPUs together.
    pub(crate) fn peak(&self) -> Node<'d> {
        self.first(&[
            "memory_breakdown/total_measured_bytes",
            "memory_breakdown/total_bytes",
            "memory_measurements/peak/total_bytes",
            "memory_timeline/max_bytes",
        ])
    }

    /// In use before the engine came.
    pub(crate) fn baseline(&self) -> Node<'d> {
        self.first(&["memory_breakdown/baseline_bytes", "memory_measurements/baseline/total_bytes"])
    }

    pub(crate) fn residual(&self) -> Node<'d> {
        self.first(&["memory_breakdown/residual_bytes", "memory_breakdown/framework_overhead_bytes"])
    }

    /// The parts without baseline and residual.
    pub(crate) fn parts(&self) -> Vec<Sized<'d>> {
        parts::of(&self.breakdown)
    }

    /// All that the peak is made of, the residual last.
    pub(crate) fn all_parts(&self) -> Vec<Sized<'d>> {
        let sized = |part: parts::Part, size| Sized { part: Some(part), kind: part.kind, size, more: None };
        let mut all = vec![sized(BASELINE, self.baseline())];
        all.extend(self.parts());
        all.push(sized(RESIDUAL, self.residual()));
        all.retain(|part| part.size.number().is_some());
        all
    }

    /// What took most: the baseline counts, as others may hold more than the engine.
    pub(crate) fn largest(&self) -> Option<Sized<'d>> {
        self.all_parts().into_iter().filter(|part| part.bytes() > 0.0).max_by(|a, b| a.bytes().total_cmp(&b.bytes()))
    }

    /// Each GPU at the peak.
    fn devices(&self) -> Vec<Node<'d>> {
        self.root.path("memory_measurements/peak/per_gpu_details").items()
    }

    /// Places of the figures of all GPUs; none where one of them does not say.
    fn of_each(&self, name: &str) -> Vec<Node<'d>> {
        let places: Vec<Node<'d>> = self.devices().iter().map(|device| device.at(name)).collect();
        if places.iter().all(|place| place.number().is_some()) { places } else { Vec::new() }
    }

    /// Free memory at the peak on each GPU.
    pub(crate) fn free(&self) -> Vec<Node<'d>> {
        self.of_each("free_bytes")
    }

    /// All memory of each GPU.
    pub(crate) fn card(&self) -> Vec<Node<'d>> {
        let totals = self.of_each("total_bytes");
        if !totals.is_empty() {
            return totals;
        }
        let devices = self.root.path("gpu_info/gpu_memory_per_device").items();
        let places: Vec<Node<'d>> = devices.iter().map(|device| device.at("total_bytes")).collect();
        if places.iter().all(|place| place.number().is_some()) { places } else { Vec::new() }
    }

    /// The GPU with the least free memory at the peak: its number, what is free, and all that it has.
    pub(crate) fn fullest(&self) -> Option<(Node<'d>, Node<'d>, Node<'d>)> {
        let free = |device: &Node<'d>| device.at("free_bytes").number();
        let known = self.devices().into_iter().filter(|device| free(device).is_some());
        let least = known.min_by(|a, b| free(a).unwrap_or(0.0).total_cmp(&free(b).unwrap_or(0.0)))?;
        Some((least.at("gpu"), least.at("free_bytes"), least.at("total_bytes")))
    }

    /// What processes can use of a GPU: all of its memory less what the driver holds back.
    pub(crate) fn usable(&self, gpu: &Node<'d>) -> Node<'d> {
        let devices = self.root.path("gpu_info/devices").items();
        let of = |device: &&Node<'d>| device.at("index").count().is_some() && device.at("index").count() == gpu.count();
        devices.iter().find(of).map_or_else(|| self.root.at(""), |device| device.at("usable_bytes"))
    }

    /// The processes that the GPU tool saw at the peak.
    pub(crate) fn processes(&self) -> Vec<Node<'d>> {
        let gpus = self.root.path("detailed_gpu_metrics/gpus").items();
        gpus.iter().flat_map(|gpu| gpu.at("processes").items()).collect()
    }

    /// How many GPUs there are.
    pub(crate) fn gpus(&self) -> usize {
        let listed = self.breakdown.at("per_device").items().len();
        let known = self.root.path("gpu_info/num_gpus").count().and_then(|count| usize::try_from(count).ok());
        self.devices().len().max(listed).max(known.unwrap_or(0))
    }

    pub(crate) fn model(&self) -> Option<&'d str> {
        let named = ["model_info/name", "model_info/model_name", "run_config/engine/model"];
        named.iter().find_map(|place| self.root.path(place).text().filter(|text| !text.is_empty()))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.root.at("failure").is_there() || self.root.path("metadata/status").text() == Some("failed")
    }

    /// How it ended.
    pub(crate) fn status(&self) -> Cell {
        let tone = match self.root.path("metadata/status").text() {
            Some("complete") => Tone::Good,
            Some("failed") => Tone::Bad,
            Some(_) => Tone::Warning,
            None if self.has_failed() => return Cell::text("failed").tone(Tone::Bad),
            None => return Cell::absent(),
        };
        self.root.path("metadata/status").cell().tone(tone)
    }

    /// What the engine reported of itself.
    pub(crate) fn reported(&self) -> Node<'d> {
        reported(&self.root)
    }

    /// The phase at an instant.
    pub(crate) fn phase_at(&self, instant: f64) -> Option<Node<'d>> {
        let holds = |phase: &Node<'d>| {
            let (start, end) = (phase.at("start_ns").number(), phase.at("end_ns").number());
            start.is_some_and(|start| start <= instant) && end.is_some_and(|end| instant < end)
        };
        self.root.at("phases").items().into_iter().find(holds)
    }
}

/// What the engine of a profile reported of itself: under the key that bears an engine's name since the first version of the
/// document, or under the one that is of any.
pub(crate) fn reported<'d>(root: &Node<'d>) -> Node<'d> {
    let mut members = root.members().into_iter();
    members
        .find(|(key, _)| key.ends_with("_internal_metrics"))
        .map_or_else(|| root.at("engine_reported"), |(_, node)| node)
}
