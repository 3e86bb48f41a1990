//! Which backend computes each tensor of a graph, and what is copied between them.
//!
//! Follows `ggml_backend_sched_split_graph` of `ggml-backend.cpp` (2025-08 to 2026-11) for devices of one kind and the
//! host, which is the last backend.

use super::allocator::walk;
use super::graph::{Graph, Id, Op};
use super::keep::kept;

/// From this many rows an operator whose weights lie on the host is computed on a device
/// (`GGML_OP_OFFLOAD_MIN_BATCH`, 32 by default).
const OFFLOAD_ROWS: u64 = 32;

/// Sources of one tensor at most (`GGML_MAX_SRC`).
const MOST_SOURCES: usize = 10;

/// How backends are, as far as it decides sizes.
#[derive(Debug, Clone)]
pub(crate) struct Backends {
    /// What offsets in each backend's buffer are multiples of, the host's last.
    pub(crate) alignments: Vec<u64>,
    /// Large operators on weights of the host are computed on a device.
    pub(crate) offload: bool,
    /// Copies of each input, so that several batches are in flight; 1 without.
    pub(crate) copies: usize,
    /// A device reorders its part of the graph.
    pub(crate) reorders: bool,
    /// A device keeps what runs of operators read that it computes as one.
    pub(crate) keeps: bool,
}

/// What a graph takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// The most that each backend's buffer holds, the host's last.
    pub(crate) peaks: Vec<u64>,
    /// Operators in the graph, views included.
    pub(crate) nodes: usize,
    /// Runs of operators on one backend.
    pub(crate) splits: usize,
}

/// A tensor and the backend that holds it.
type Placed = (Id, usize);

/// A run of operators on one backend.
struct Split {
    backend: usize,
    inputs: Vec<Id>,
    from: usize,
    to: usize,
}

/// A graph with the backend of each tensor.
pub(crate) struct Schedule<'b> {
    pub(crate) graph: Graph,
    backends: &'b Backends,
    of: Vec<Option<usize>>,
    splits: Vec<Split>,
    /// The copy of a tensor in a backend's memory.
    copies: Vec<(Id, usize, Id)>,
    copy_inputs: Vec<(Id, usize)>,
}

/// What a graph takes from each backend.
pub(crate) fn reserve(graph: Graph, backends: &Backends) -> Reserved {
    let nodes = graph.nodes.len();
    let mut schedule = Schedule::new(graph, backends);
    let splits = schedule.splits.len();
    let (order, leafs) = schedule.order();
    let (peaks, _) = walk(&schedule.graph, &order, &leafs, &backends.alignments);
    Reserved { peaks, nodes, splits }
}

impl<'b> Schedule<'b> {
    pub(crate) fn new(graph: Graph, backends: &'b Backends) -> Self {
        let of = vec![None; graph.tensors.len()];
        let mut schedule =
            Self { graph, backends, of, splits: Vec::new(), copies: Vec::new(), copy_inputs: Vec::new() };
        schedule.place_what_is_bound();
        schedule.spread(true, true);
        schedule.spread(false, true);
        schedule.spread(true, false);
        schedule.spread(false, false);
        schedule.place_the_rest();
        schedule.split();
        schedule
    }

    fn host(&self) -> usize {
        self.backends.alignments.len() - 1
    }

    /// What follows from where tensors lie (pass 1).
    fn place_what_is_bound(&mut self) {
        for id in self.graph.leafs.iter().chain(&self.graph.nodes).copied().collect::<Vec<_>>() {
            self.of[id] = self.bound(id);
        }
    }

    fn bound(&self, id: Id) -> Option<usize> {
        let tensor = self.graph.at(id);
        if let Some(home) = self.graph.at(self.graph.root(id)).home {
            return Some(home.backend);
        }
        if tensor.input {
            return Some(self.host());
        }
        if matches!(tensor.op, Op::Rope | Op::FlashAttention) {
            return None;
        }
        let weight = |source: &Id| self.graph.at(*source).home.filter(|home| home.weight);
        let home = tensor.sources.iter().find_map(weight)?;
        let offloads = self.backends.offload && home.backend == self.host() && !home.repacked && self.host() > 0;
        if offloads && self.batch(id) >= OFFLOAD_ROWS {
            return Some(0);
        }
        Some(home.backend)
    }

    fn batch(&self, id: Id) -> u64 {
        let tensor = self.graph.at(id);
        match tensor.op {
            Op::GetRows => 0,
            Op::MulMat => tensor.ne[1],
            Op::MulMatId | Op::Rope => tensor.ne[2],
            _ => tensor.rows(),
        }
    }

    /// Neighbours of what is placed go to the same backend (pass 2); devices first, then the host as well.
    fn spread(&mut self, down: bool, devices: bool) {
        let mut nodes = self.graph.nodes.clone();
        if !down {
            nodes.reverse();
        }
        let host = self.host();
        let mut current = None;
        for id in nodes {
            if self.graph.at(id).op.shows() {
                continue;
            }
            match self.of[id] {
                Some(backend) => current = (!devices || backend != host).then_some(backend),
                None => self.of[id] = current,
            }
        }
    }

    /// Sources and views (pass 4), and what is still without a backend.
    fn place_the_rest(&mut self) {
        for id in self.graph.nodes.clone() {
            if self.of[id].is_none() {
                self.of[id] = self.graph.at(id).view.and_then(|(root, _)| self.of[root]);
            }
            let own = self.of[id];
            for source in self.graph.at(id).sources.clone() {
                if self.of[source].is_none() {
                    self.of[source] = match self.graph.at(source).view {
                        Some((root, _)) => self.of[root],
                        None => own,
                    };
                }
            }
            if self.of[id].is_none() {
                self.of[id] = Some(0);
            }
        }
    }

    fn backend(&self, id: Id) -> usize {
        self.of[id].unwrap_or(0)
    }

    /// Whether a backend reads a tensor where it lies.
    fn reads(&self, id: Id, backend: usize) -> bool {
        let root = self.graph.root(id);
        let lies = match self.graph.at(root).home {
            Some(home) => Some(home.backend),
            None => self.of[id].or(self.of[root]),
        };
        lies == Some(backend)
    }

    /// Runs of operators on one backend, each with the tensors that are copied for it (pass 5).
    fn split(&mut self) {
        let nodes = self.graph.nodes.clone();
        let first = nodes.iter().find(|id| !self.graph.at(**id).op.shows());
        let backend = first.map_or(0, |id| self.backend(*id));
        let mut split = Split { backend, inputs: Vec::new(), from: 0, to: 0 };
        for (at, id) in nodes.iter().copied().enumerate() {
            if self.graph.at(id).op.shows() {
                continue;
            }
            let own = self.backend(id);
            let sources = self.graph.at(id).sources.clone();
            let foreign_weight = |source: &Id| {
                let weight = self.graph.at(*source).home.is_some_and(|home| home.weight);
                weight && self.of[*source] != Some(own) && !self.reads(*source, own)
            };
            let fresh = own == split.backend && !split.inputs.is_empty() && sources.iter().any(foreign_weight);
            if own != split.backend || fresh {
                let next = Split { backend: own, inputs: Vec::new(), from: at, to: 0 };
                let mut done = std::mem::replace(&mut split, next);
                done.to = at;
                self.splits.push(done);
            }
            for (place, source) in sources.into_iter().enumerate() {
                if self.of[source] == Some(own) || self.reads(source, own) {
                    continue;
                }
                let found = self.copies.iter().find(|(of, at, _)| *of == source && *at == own).map(|found| found.2);
                let copy = match found {
                    Some(copy) => copy,
                    None => {
                        split.inputs.push(source);
                        self.copy(source, own)
                    }
                };
                self.graph.tensors[id].sources[place] = copy;
            }
        }
        split.to = nodes.len();
        self.splits.push(split);
    }

    /// A copy of a tensor in a backend's memory; with several batches in flight, one for each.
    fn copy(&mut self, source: Id, backend: usize) -> Id {
        let mut first = None;
        for _ in 0..self.backends.copies.max(1) {
            let copy = self.graph.copy_of(source);
            self.of.push(Some(backend));
            if self.backends.copies > 1 {
                self.graph.tensors[copy].output = true;
                self.copy_inputs.push((copy, backend));
            }
            first = first.or(Some(copy));
        }
        let copy = first.unwrap_or(source);
        self.copies.push((source, backend, copy));
        copy
    }

    /// The order in which the allocator meets nodes and leafs, each with its backend.
    pub(crate) fn order(&mut self) -> (Vec<Placed>, Vec<Placed>) {
        let mut order = Vec::new();
        for split in std::mem::take(&mut self.splits) {
            for input in &split.inputs {
                let copy = self.copies.iter().find(|(of, at, _)| of == input && *at == split.backend);
                let copy = copy.map_or(*input, |found| found.2);
                let keep = self.graph.keep(&[*input]);
                self.of.push(self.of[*input]);
                order.push((keep, self.backend(*input)));
                order.push((copy, split.backend));
            }
            let mut nodes = self.graph.nodes[split.from..split.to].to_vec();
            if self.backends.reorders && split.backend != self.host() {
                nodes = super::reorder::reordered(&self.graph, &nodes);
            }
            let on_device = split.backend != self.host();
            let kept = if self.backends.keeps && on_device { kept(&self.graph, &nodes) } else { Vec::new() };
            for id in nodes {
                order.push((id, self.backend(id)));
                for kept in kept.iter().filter(|kept| kept.until == id) {
                    for tensors in kept.tensors.chunks(MOST_SOURCES) {
                        let keep = self.graph.keep(tensors);
                        self.of.push(Some(split.backend));
                        order.push((keep, split.backend));
                    }
                }
            }
            self.splits.push(split);
        }
        let mut leafs = self.copy_inputs.clone();
        leafs.extend(self.graph.leafs.iter().map(|id| (*id, self.backend(*id))));
        (order, leafs)
    }
}
