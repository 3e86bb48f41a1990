//! ggml's graph allocator: which bytes each tensor of a graph takes, and what a buffer must hold at its fullest.
//!
//! Follows `ggml-alloc.c` (2025-11 to 2026-11): the best fitting free block, else the last; a result overwrites a source
//! of the same layout that nobody else reads; a tensor is freed when its last reader is done.

use super::graph::{Graph, Id, Op};

/// A run of free bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    offset: u64,
    size: u64,
}

/// One buffer, whose end is open.
#[derive(Debug, Clone)]
pub(crate) struct Buffer {
    alignment: u64,
    free: Vec<Free>,
    /// The most that was in use, from the start.
    pub(crate) peak: u64,
}

/// As good as without an end: half of what 64 bits hold.
const OPEN_END: u64 = u64::MAX / 2;

impl Buffer {
    pub(crate) fn new(alignment: u64) -> Self {
        Self { alignment: alignment.max(1), free: vec![Free { offset: 0, size: OPEN_END }], peak: 0 }
    }

    fn aligned(&self, size: u64) -> u64 {
        size.checked_next_multiple_of(self.alignment).unwrap_or(size)
    }

    /// Takes bytes and says where they begin.
    pub(crate) fn take(&mut self, size: u64) -> u64 {
        let size = self.aligned(size);
        let last = self.free.len() - 1;
        // Of blocks that fit equally well the later one is taken.
        let mut best: Option<usize> = None;
        for (at, block) in self.free[..last].iter().enumerate() {
            if block.size >= size && best.is_none_or(|best| block.size <= self.free[best].size) {
                best = Some(at);
            }
        }
        let at = best.unwrap_or(last);
        let block = &mut self.free[at];
        let offset = block.offset;
        block.offset = block.offset.saturating_add(size);
        block.size = block.size.saturating_sub(size);
        if block.size == 0 && at != last {
            self.free.remove(at);
        }
        self.peak = self.peak.max(offset.saturating_add(size));
        offset
    }

    /// Gives bytes back.
    pub(crate) fn give(&mut self, offset: u64, size: u64) {
        let size = self.aligned(size);
        if size == 0 {
            return;
        }
        let end = offset.saturating_add(size);
        let at = self.free.partition_point(|block| block.offset < offset);
        let joins_before = at > 0 && self.free[at - 1].offset + self.free[at - 1].size == offset;
        let joins_behind = at < self.free.len() && self.free[at].offset == end;
        match (joins_before, joins_behind) {
            (true, true) => {
                self.free[at - 1].size = self.free[at - 1].size.saturating_add(size).saturating_add(self.free[at].size);
                self.free.remove(at);
            }
            (true, false) => self.free[at - 1].size = self.free[at - 1].size.saturating_add(size),
            (false, true) => {
                self.free[at].offset = offset;
                self.free[at].size = self.free[at].size.saturating_add(size);
            }
            (false, false) => self.free.insert(at, Free { offset, size }),
        }
    }
}

/// What is known of a tensor while the graph is walked.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    readers: u64,
    views: u64,
    backend: usize,
    offset: u64,
    held: bool,
}

/// Where a tensor lay, for those who check the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lying {
    pub(crate) tensor: Id,
    pub(crate) backend: usize,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// The places in the order between which it was held.
    pub(crate) from: usize,
    pub(crate) until: usize,
}

/// A walk over a graph in its order.
pub(crate) struct Walk<'g> {
    graph: &'g Graph,
    known: Vec<Known>,
    buffers: Vec<Buffer>,
    /// What each tensor lay at, as far as it was not taken over from another one.
    pub(crate) lying: Vec<Lying>,
    now: usize,
}

/// The most that each backend's buffer holds at once. Nodes and leafs stand in their order, each with its backend.
pub(crate) fn walk<'g>(
    graph: &'g Graph,
    nodes: &[(Id, usize)],
    leafs: &[(Id, usize)],
    alignments: &[u64],
) -> (Vec<u64>, Walk<'g>) {
    let buffers: Vec<Buffer> = alignments.iter().map(|alignment| Buffer::new(*alignment)).collect();
    let known = vec![Known::default(); graph.tensors.len()];
    let mut walk = Walk { graph, known, buffers, lying: Vec::new(), now: 0 };
    for (leaf, backend) in leafs {
        walk.place(*leaf, *backend);
    }
    for (node, backend) in nodes {
        let tensor = graph.at(*node);
        if let (Some((root, _)), true) = (tensor.view, tensor.op != Op::None) {
            walk.known[root].views += 1;
        }
        if tensor.input {
            walk.place(*node, *backend);
        }
        for source in &tensor.sources {
            walk.known[*source].readers += 1;
            if graph.at(*source).input {
                walk.place(*source, *backend);
            }
        }
    }
    for (at, (node, backend)) in nodes.iter().enumerate() {
        walk.now = at;
        for source in &graph.at(*node).sources {
            walk.place(*source, *backend);
        }
        walk.place(*node, *backend);
        for source in &graph.at(*node).sources {
            walk.read(*source);
        }
    }
    (walk.buffers.iter().map(|buffer| buffer.peak).collect(), walk)
}

impl Walk<'_> {
    /// The last buffer is the host's.
    fn is_device(&self, backend: usize) -> bool {
        backend + 1 < self.buffers.len()
    }

    fn is_external(&self, id: Id) -> bool {
        self.graph.at(self.graph.root(id)).home.is_some()
    }

    fn place(&mut self, id: Id, backend: usize) {
        let tensor = self.graph.at(id);
        if self.known[id].held || tensor.view.is_some() || self.is_external(id) {
            return;
        }
        self.known[id].held = true;
        if tensor.op.may_overwrite() {
            for source in tensor.sources.clone() {
                if self.take_over(id, source) {
                    return;
                }
            }
        }
        let size = tensor.taken(self.is_device(backend));
        let offset = self.buffers[backend].take(size);
        (self.known[id].backend, self.known[id].offset) = (backend, offset);
        self.lie(id);
    }

    fn lie(&mut self, id: Id) {
        let Known { backend, offset, .. } = self.known[id];
        let size = self.graph.at(id).taken(self.is_device(backend));
        self.lying.push(Lying { tensor: id, backend, offset, size, from: self.now, until: usize::MAX });
    }

    fn end(&mut self, id: Id) {
        let now = self.now;
        if let Some(lying) = self.lying.iter_mut().rev().find(|lying| lying.tensor == id) {
            lying.until = now;
        }
    }

    /// Lets a tensor overwrite a source, if nobody else reads that. A source that is a view is never held itself.
    fn take_over(&mut self, id: Id, source: Id) -> bool {
        let (tensor, parent) = (self.graph.at(id), self.graph.at(source));
        let Known { readers, views, backend, offset, held } = self.known[source];
        if !held || parent.output || readers != 1 || views != 0 || !tensor.same_layout(parent) {
            return false;
        }
        self.known[source].held = false;
        self.end(source);
        (self.known[id].backend, self.known[id].offset) = (backend, offset);
        self.lie(id);
        true
    }

    /// One reader of a tensor is done.
    fn read(&mut self, id: Id) {
        let known = &mut self.known[id];
        known.readers = known.readers.saturating_sub(1);
        if known.readers > 0 || known.views > 0 {
            return;
        }
        if let Some((root, _)) = self.graph.at(id).view {
            let known = &mut self.known[root];
            known.views = known.views.saturating_sub(1);
            if known.views == 0 && known.readers == 0 && known.held {
                self.release(root);
            }
        } else if self.known[id].held {
            self.release(id);
        }
    }

    fn release(&mut self, id: Id) {
        if self.graph.at(id).output {
            return;
        }
        let Known { backend, offset, .. } = self.known[id];
        let size = self.graph.at(id).taken(self.is_device(backend));
        self.buffers[backend].give(offset, size);
        self.known[id].held = false;
        self.end(id);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::llama_cpp::kind::Kind;

    /// A graph in which each operator reads one or two of those before it.
    fn graph(steps: &[(u8, usize, usize, u64)]) -> Graph {
        let mut graph = Graph::default();
        let mut made = vec![graph.input(Kind::F32, [7, 3, 1, 1])];
        for (op, first, second, wide) in steps {
            let (first, second) = (made[first % made.len()], made[second % made.len()]);
            made.push(match op % 4 {
                0 => graph.each(first),
                1 => graph.like(Op::Add, first, &[second]),
                2 => graph.new_tensor(Op::Other, Kind::F32, [*wide, 2, 1, 1], &[first, second]),
                _ => {
                    let elements = graph.at(first).elements();
                    graph.reshape(first, [elements, 1, 1, 1])
                }
            });
        }
        for id in made {
            graph.expand(id);
        }
        graph
    }

    fn walked(graph: &Graph, alignment: u64) -> (Vec<u64>, Walk<'_>) {
        let nodes: Vec<(Id, usize)> = graph.nodes.iter().map(|id| (*id, 0)).collect();
        let leafs: Vec<(Id, usize)> = graph.leafs.iter().map(|id| (*id, 0)).collect();
        walk(graph, &nodes, &leafs, &[alignment])
    }

    proptest! {
        #[test]
        fn what_is_held_together_never_overlaps_and_the_peak_holds_all_of_it(
            steps in prop::collection::vec((any::<u8>(), 0_usize..64, 0_usize..64, 1_u64..200), 1..60),
            alignment in prop::sample::select(vec![1_u64, 32, 128]),
        ) {
            let graph = graph(&steps);
            let (peaks, walk) = walked(&graph, alignment);
            let held = &walk.lying;
            for (at, one) in held.iter().enumerate() {
                prop_assert!(one.offset % alignment == 0);
                prop_assert!(one.offset + one.size <= peaks[0]);
                for other in &held[..at] {
                    // The last place of one may be the first of what overwrites it.
                    let together = one.from < other.until && other.from < one.until;
                    let apart = one.offset + one.size <= other.offset || other.offset + other.size <= one.offset;
                    prop_assert!(!together || apart || one.size == 0 || other.size == 0, "{one:?} {other:?}");
                }
            }
            for now in 0..graph.nodes.len() {
                let sum: u64 = held.iter().filter(|l| l.from <= now && now < l.until).map(|l| l.size).sum();
                prop_assert!(sum <= peaks[0]);
            }
        }

        #[test]
        fn bytes_that_were_given_back_are_one_block_again(
            sizes in prop::collection::vec(1_u64..5000, 1..40),
            from in any::<prop::sample::Index>(),
        ) {
            let mut buffer = Buffer::new(32);
            let mut taken: Vec<(u64, u64)> = sizes.iter().map(|size| (buffer.take(*size), *size)).collect();
            let turn = from.index(taken.len());
            taken.rotate_left(turn);
            for (offset, size) in taken {
                buffer.give(offset, size);
            }
            prop_assert_eq!(buffer.free, vec![Free { offset: 0, size: OPEN_END }]);
        }
    }

    #[test]
    fn a_result_overwrites_a_source_that_nobody_else_reads() {
        let mut graph = Graph::default();
        let input = graph.input(Kind::F32, [100, 1, 1, 1]);
        let first = graph.new_tensor(Op::Other, Kind::F32, [100, 1, 1, 1], &[input]);
        let second = graph.each(first);
        let third = graph.each(second);
        graph.expand(third);
        assert_eq!(walked(&graph, 1).0, [800]);
        // A view in between keeps the source: its bytes are not the view's to give.
        let mut graph = Graph::default();
        let input = graph.input(Kind::F32, [100, 1, 1, 1]);
        let first = graph.new_tensor(Op::Other, Kind::F32, [100, 1, 1, 1], &[input]);
        let shown = graph.reshape(first, [100, 1, 1, 1]);
        let second = graph.each(shown);
        graph.expand(second);
        assert_eq!(walked(&graph, 1).0, [800], "the input's bytes are free again");
    }
}
