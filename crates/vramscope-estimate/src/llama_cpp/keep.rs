//! What CUDA's backend keeps longer, so that a run of operators can be computed as one.
//!
//! Follows `ggml_backend_cuda_graph_optimize` (`ggml-cuda.cu`, 2026-10). A tensor that is kept has one more reader: it is
//! not overwritten either.

use super::graph::{Graph, Id, Op};

/// Chosen experts up to which their sum is computed as one (`MOE_WEIGHTED_REDUCTION_MAX_EXPERTS`).
const MOST_SUMMED: u64 = 15;
/// Experts of which some are chosen as one: a power of two up to this, or one of two more counts.
const MOST_SORTED: u64 = 512;
const ALSO_SORTED: [u64; 2] = [288, 576];

/// The choice of experts, from their shares to the weights of the chosen ones.
const CHOICE: &[Op] = &[Op::SoftMax, Op::Reshape, Op::ArgSort, Op::View, Op::GetRows];
/// What makes those weights sum to one.
const NORM: &[Op] = &[Op::Reshape, Op::SumRows, Op::Clamp, Op::Div, Op::Reshape];

/// Tensors that are kept until an operator is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) until: Id,
    pub(crate) tensors: Vec<Id>,
}

/// What is kept, of the operators of one split in their order.
pub(crate) fn kept(graph: &Graph, nodes: &[Id]) -> Vec<Kept> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < nodes.len() {
        let taken = match graph.at(nodes[at]).op {
            Op::Mul => sum_of_chosen(graph, &nodes[at..]).map(|(run, kept)| {
                found.push(kept);
                run
            }),
            Op::SoftMax => choice(graph, &nodes[at..]).map(|(run, kept)| {
                found.extend(kept);
                run
            }),
            _ => None,
        };
        at += taken.unwrap_or(1);
    }
    found
}

/// Results of chosen experts times their weights, and their sum: how long the run is, and what it keeps.
fn sum_of_chosen(graph: &Graph, nodes: &[Id]) -> Option<(usize, Kept)> {
    let product = graph.at(nodes[0]);
    let [results, weights] = *product.sources.as_slice() else { return None };
    let (used, shape) = (product.ne[1], graph.at(weights).ne);
    let weighs = shape[0] == 1 && shape[1..] == product.ne[1..] && graph.at(results).ne == product.ne;
    if !weighs || !(2..=MOST_SUMMED).contains(&used) {
        return None;
    }
    let used = usize::try_from(used).ok()?;
    let run = nodes.get(..2 * used)?;
    let (views, sums) = run[1..].split_at(used);
    let shows = |id: &Id| graph.at(*id).op == Op::View && graph.at(*id).sources == [nodes[0]];
    let mut before = views[0];
    let adds = sums.iter().zip(&views[1..]).all(|(sum, view)| {
        let right = graph.at(*sum).op == Op::Add && graph.at(*sum).sources == [before, *view];
        before = *sum;
        right
    });
    (views.iter().all(shows) && adds).then(|| (run.len(), Kept { until: before, tensors: vec![results, weights] }))
}

/// The choice of experts: how long the run is, and what is kept until the operator behind it.
fn choice(graph: &Graph, nodes: &[Id]) -> Option<(usize, Option<Kept>)> {
    let begins = |nodes: &[Id], run: &[Op]| {
        nodes.len() >= run.len() && nodes.iter().zip(run).all(|(id, op)| graph.at(*id).op == *op)
    };
    // A mask or sinks are further sources.
    if !begins(nodes, CHOICE) || graph.at(nodes[0]).sources.len() > 1 || graph.at(nodes[2]).sources != [nodes[0]] {
        return None;
    }
    let experts = graph.at(nodes[0]).ne[0];
    if !(experts.is_power_of_two() && experts <= MOST_SORTED || ALSO_SORTED.contains(&experts)) {
        return None;
    }
    let mut run = CHOICE.len();
    if begins(&nodes[run..], NORM) {
        run += NORM.len();
    }
    let scales = |id: &Id| graph.at(*id).op == Op::Each && graph.at(*id).sources == [nodes[run - 1]];
    run += usize::from(nodes.get(run).is_some_and(scales));
    let kept = nodes.get(run).map(|until| {
        let mut tensors = Vec::new();
        for id in &nodes[..run] {
            for kept in std::iter::once(id).chain(&graph.at(*id).sources) {
                if !tensors.contains(kept) {
                    tensors.push(*kept);
                }
            }
        }
        Kept { until: *until, tensors }
    });
    Some((run, kept))
}
