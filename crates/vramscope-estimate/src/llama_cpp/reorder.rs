//! How the Vulkan backend reorders its part of a graph before memory is given out.
//!
//! Follows `ggml_vk_graph_optimize` of `ggml-vulkan.cpp` (2025-11 to 2026-11): operators that need none of those before
//! them are drawn forward so that they run together, runs that are computed as one stay together.

use super::graph::{Graph, Id, Op};

/// How far ahead operators are looked for.
const AHEAD: usize = 20;
/// How far ahead the end of a run is looked for.
const RUN_AHEAD: usize = 15;

/// Runs of operators that are computed as one.
const RUNS: &[&[Op]] = &[
    &[
        Op::SoftMax,
        Op::Reshape,
        Op::ArgSort,
        Op::View,
        Op::GetRows,
        Op::Reshape,
        Op::SumRows,
        Op::Clamp,
        Op::Div,
        Op::Reshape,
    ],
    &[Op::SoftMax, Op::Reshape, Op::ArgSort, Op::View, Op::GetRows],
    &[Op::ArgSort, Op::View, Op::GetRows, Op::Reshape, Op::SoftMax, Op::Reshape],
    &[Op::RmsNorm, Op::Mul, Op::Rope, Op::View, Op::SetRows],
    &[Op::RmsNorm, Op::View, Op::SetRows],
    &[Op::Rope, Op::View, Op::SetRows],
];

/// A split's operators while their order is being made.
struct Order<'g> {
    graph: &'g Graph,
    nodes: &'g [Id],
    used: Vec<bool>,
    first: usize,
    made: Vec<Id>,
}

/// The nodes of a split in the order in which they run.
pub(crate) fn reordered(graph: &Graph, nodes: &[Id]) -> Vec<Id> {
    let used = vec![false; nodes.len()];
    let mut order = Order { graph, nodes, used, first: 0, made: Vec::with_capacity(nodes.len()) };
    while order.first < nodes.len() {
        let kept = RUNS.iter().find(|run| order.begins(run, order.first));
        let set = match kept {
            Some(run) => (order.first..order.first + run.len()).collect(),
            None => order.together(),
        };
        for at in set {
            order.made.push(nodes[at]);
            order.used[at] = true;
        }
        while order.first < nodes.len() && order.used[order.first] {
            order.first += 1;
        }
    }
    order.made
}

impl Order<'_> {
    fn op(&self, at: usize) -> Op {
        self.graph.at(self.nodes[at]).op
    }

    fn is_empty(&self, at: usize) -> bool {
        matches!(self.op(at), Op::None | Op::View | Op::Reshape | Op::Permute)
    }

    fn begins(&self, run: &[Op], at: usize) -> bool {
        at + run.len() <= self.nodes.len()
            && run.iter().enumerate().all(|(step, op)| self.op(at + step) == *op && !self.used[at + step])
    }

    /// Whether an operator needs what an earlier one computes, or both show the same bytes.
    fn needs(&self, later: usize, earlier: usize) -> bool {
        let (later, earlier) = (self.nodes[later], self.nodes[earlier]);
        let sources = &self.graph.at(later).sources;
        sources.contains(&earlier) || self.graph.root(later) == self.graph.root(earlier)
    }

    /// The next operator, with those ahead that need nothing that was not computed.
    fn together(&mut self) -> Vec<usize> {
        let end = self.nodes.len().min(self.first + AHEAD);
        let mut set = vec![self.first];
        for at in self.first + 1..end {
            let in_run = RUNS.iter().any(|run| self.begins(run, at));
            if self.used[at] || self.is_empty(at) || in_run || !self.is_free(at, &set) {
                continue;
            }
            set.push(at);
            self.draw_run(at, &mut set);
        }
        let last = set.last().copied().unwrap_or(self.first);
        if self.op(last) != Op::Add {
            for at in self.first + 1..end {
                if self.used[at] || !self.is_empty(at) {
                    continue;
                }
                let waits = |earlier: usize| !self.used[earlier] && !set.contains(&earlier) && self.needs(at, earlier);
                if !(self.first..at).any(waits) {
                    set.push(at);
                }
            }
        }
        set
    }

    fn is_free(&self, at: usize, set: &[usize]) -> bool {
        let last = set.last().copied();
        (self.first..at).all(|earlier| {
            if self.used[earlier] || !self.needs(at, earlier) {
                return true;
            }
            let pair = (self.op(earlier), self.op(at));
            let fused = matches!(
                pair,
                (Op::RmsNorm, Op::Mul)
                    | (Op::MulMat | Op::Add, Op::Add)
                    | (Op::MulMatId, Op::Mul)
                    | (Op::MulMatId, Op::AddId)
            );
            fused && at == earlier + 1 && last == Some(earlier)
        })
    }

    /// Draws the end of a run forward: the rotation behind a norm, and what stores its result.
    fn draw_run(&mut self, at: usize, set: &mut Vec<usize>) {
        let mut turn = at;
        if self.op(at) == Op::Mul && self.op(at - 1) == Op::RmsNorm {
            let end = self.nodes.len().min(at + RUN_AHEAD);
            let found = (at + 1..end).find(|next| {
                let tensor = self.graph.at(self.nodes[*next]);
                let rest = tensor.sources.iter().skip(1).all(|source| self.graph.at(*source).op == Op::None);
                tensor.op == Op::Rope && tensor.sources.first() == Some(&self.nodes[at]) && rest
            });
            if let Some(found) = found {
                turn = found;
                set.push(found);
                self.used[found] = true;
            }
        }
        if self.op(turn) != Op::Rope {
            return;
        }
        let end = self.nodes.len().min(turn + RUN_AHEAD);
        let first_source = |at: usize| self.graph.at(self.nodes[at]).sources.first().copied();
        let shown =
            (turn + 1..end).find(|next| self.op(*next) == Op::View && first_source(*next) == Some(self.nodes[turn]));
        let Some(shown) = shown else { return };
        let stored = (shown + 1..end)
            .find(|next| self.op(*next) == Op::SetRows && first_source(*next) == Some(self.nodes[shown]));
        if let Some(stored) = stored {
            set.extend([shown, stored]);
            self.used[shown] = true;
            self.used[stored] = true;
        }
    }
}
