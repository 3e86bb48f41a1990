//! Python stacks for flame graphs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::names::kept;
use crate::tree::{NodeId, Tree};

/// What the width of a flame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackWeight {
    /// Time on the CPU in the frame itself.
    Cpu,
    /// Time of kernels that the frame launched.
    Gpu,
}

/// A frame in its stack. Its time holds that of the frames within it, so it is never less than theirs together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackNode {
    /// The frame: a python function, an operator, or a call of the runtime.
    pub name: String,
    /// The frame around it, as a place in the list; an outermost one has none.
    pub parent: Option<usize>,
    /// Time on the CPU.
    pub cpu_ns: u64,
    /// Time on the CPU in the frame itself.
    pub cpu_own_ns: u64,
    /// Time of the kernels launched within.
    pub gpu_ns: u64,
    /// Time of the kernels that the frame itself launched.
    pub gpu_own_ns: u64,
}

/// The frames with the most time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeavyFrames {
    /// Time on the CPU in all frames.
    pub cpu_ns: u64,
    /// Time of kernels launched in any frame.
    pub gpu_ns: u64,
    /// How many frames there are.
    pub unique: usize,
    /// The heavy ones, each behind the one around it.
    pub frames: Vec<StackNode>,
}

/// Python frames, operators and calls by the stack around them, with their time.
#[derive(Clone)]
pub struct Stacks {
    inner: Arc<Inner>,
}

struct Inner {
    names: Arc<[Arc<[u8]>]>,
    tree: Tree,
    cpu: BTreeMap<NodeId, u64>,
    gpu: BTreeMap<NodeId, u64>,
}

impl Stacks {
    pub(crate) fn new(
        names: Arc<[Arc<[u8]>]>,
        tree: Tree,
        cpu: impl Iterator<Item = (NodeId, u64)>,
        gpu: impl Iterator<Item = (NodeId, u64)>,
    ) -> Self {
        Self { inner: Arc::new(Inner { names, tree, cpu: cpu.collect(), gpu: gpu.collect() }) }
    }

    /// Writes one line a stack: frames from the outermost, joined by `;`, a blank, and nanoseconds. Flame graph tools
    /// read this form. A stack stands before those within it, and those beside each other in order of their names; the
    /// number of lines is returned. No more than one line is held.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_folded(&self, weight: StackWeight, out: &mut dyn io::Write) -> io::Result<usize> {
        let times = match weight {
            StackWeight::Cpu => &self.inner.cpu,
            StackWeight::Gpu => &self.inner.gpu,
        };
        let below = self.inner.tree.below();
        let inside = |nodes: &[NodeId]| -> Vec<NodeId> {
            nodes.iter().filter_map(|node| below.get(&Some(*node))).flatten().copied().collect()
        };
        let mut written = 0;
        let mut line = String::new();
        // How long the line is up to each level, and what is still to be written there.
        let roots = self.by_name(below.get(&None).map(Vec::as_slice).unwrap_or_default());
        let mut levels = vec![(0, roots.into_iter())];
        while let Some((length, groups)) = levels.last_mut() {
            let Some((name, nodes)) = groups.next() else {
                levels.pop();
                continue;
            };
            line.truncate(*length);
            if levels.len() > 1 {
                line.push(';');
            }
            line.push_str(&name);
            let time =
                nodes.iter().filter_map(|node| times.get(node)).fold(0_u64, |sum, time| sum.saturating_add(*time));
            if time > 0 {
                writeln!(out, "{line} {time}")?;
                written += 1;
            }
            levels.push((line.len(), self.by_name(&inside(&nodes)).into_iter()));
        }
        Ok(written)
    }

    /// The frames with the most time, `most` of them by time on the CPU and `most` by time of kernels, each behind the one
    /// around it.
    pub fn heaviest(&self, most: usize) -> HeavyFrames {
        let below = self.inner.tree.below();
        let (cpu, gpu) = (self.totals(&self.inner.cpu), self.totals(&self.inner.gpu));
        let mut kept = HashSet::new();
        self.keep_heaviest(&below, &cpu, most, &mut kept);
        self.keep_heaviest(&below, &gpu, most, &mut kept);
        let mut frames = Vec::with_capacity(kept.len());
        let mut open = vec![(None, self.within(&below, &[None]).into_iter())];
        while let Some((parent, groups)) = open.last_mut() {
            let parent = *parent;
            let Some((name, nodes)) = groups.next() else {
                open.pop();
                continue;
            };
            if kept.contains(&nodes) {
                frames.push(StackNode {
                    name,
                    parent,
                    cpu_ns: sum(&nodes, |node| at(&cpu, node)),
                    cpu_own_ns: sum(&nodes, |node| self.inner.cpu.get(&node).copied()),
                    gpu_ns: sum(&nodes, |node| at(&gpu, node)),
                    gpu_own_ns: sum(&nodes, |node| self.inner.gpu.get(&node).copied()),
                });
                open.push((Some(frames.len() - 1), self.within(&below, &some(&nodes)).into_iter()));
            }
        }
        let all = |times: &BTreeMap<NodeId, u64>| times.values().copied().fold(0, u64::saturating_add);
        let (cpu_ns, gpu_ns) = (all(&self.inner.cpu), all(&self.inner.gpu));
        HeavyFrames { cpu_ns, gpu_ns, unique: self.inner.tree.len(), frames }
    }

    /// Adds the heaviest frames. What is within a frame is not looked at before the frame is the heaviest of those that
    /// wait, so a list of some hundred comes from few looks; a frame is never kept without the one around it.
    fn keep_heaviest(&self, below: &Below, times: &[u64], most: usize, kept: &mut HashSet<Vec<NodeId>>) {
        let mut waiting = BinaryHeap::new();
        let mut turn = 0_u64;
        let mut push = |waiting: &mut BinaryHeap<_>, groups: BTreeMap<String, Vec<NodeId>>| {
            for nodes in groups.into_values() {
                let time = sum(&nodes, |node| at(times, node));
                if time > 0 {
                    waiting.push((time, Reverse(turn), nodes));
                    turn += 1;
                }
            }
        };
        push(&mut waiting, self.within(below, &[None]));
        for _ in 0..most {
            let Some((_, _, nodes)) = waiting.pop() else { break };
            push(&mut waiting, self.within(below, &some(&nodes)));
            kept.insert(nodes);
        }
    }

    /// What is directly below any of these places, by what is shown of its name.
    fn within(&self, below: &Below, around: &[Option<NodeId>]) -> BTreeMap<String, Vec<NodeId>> {
        let all: Vec<NodeId> = around.iter().filter_map(|key| below.get(key)).flatten().copied().collect();
        let mut groups: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
        for (name, nodes) in self.by_name(&all) {
            groups.entry(without_number(&name)).or_default().extend(nodes);
        }
        groups
    }

    /// Time at each place with what is within it. What is within a place comes behind it.
    fn totals(&self, own: &BTreeMap<NodeId, u64>) -> Vec<u64> {
        let mut totals = vec![0_u64; self.inner.tree.len()];
        for (id, place) in (0..).zip(0..totals.len()).collect::<Vec<(NodeId, usize)>>().into_iter().rev() {
            totals[place] = totals[place].saturating_add(own.get(&id).copied().unwrap_or(0));
            let parent = self.inner.tree.parent(id).and_then(|parent| usize::try_from(parent).ok());
            if let Some(parent) = parent {
                totals[parent] = totals[parent].saturating_add(totals[place]);
            }
        }
        totals
    }

    /// Places by what is written of their names: different ones can read the same once separators are replaced.
    fn by_name(&self, nodes: &[NodeId]) -> BTreeMap<String, Vec<NodeId>> {
        let mut groups: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
        for &node in nodes {
            let id = self.inner.tree.name(node).and_then(|id| usize::try_from(id).ok());
            let name = id.and_then(|at| self.inner.names.get(at)).map(|raw| frame(&kept(raw))).unwrap_or_default();
            groups.entry(name).or_default().push(node);
        }
        groups
    }
}

/// The places directly below each place.
type Below = HashMap<Option<NodeId>, Vec<NodeId>>;

fn some(nodes: &[NodeId]) -> Vec<Option<NodeId>> {
    nodes.iter().copied().map(Some).collect()
}

fn at(times: &[u64], node: NodeId) -> Option<u64> {
    usize::try_from(node).ok().and_then(|place| times.get(place)).copied()
}

fn sum(nodes: &[NodeId], time: impl Fn(NodeId) -> Option<u64>) -> u64 {
    nodes.iter().filter_map(|node| time(*node)).fold(0, u64::saturating_add)
}

/// A frame's name without what tells it only from others of its kind: the number of a module (`nn.Module: Linear_3`), and
/// where an object lies in memory (`<built-in method f of T object at 0x7f00>`). Forty layers are one frame of a picture.
fn without_number(name: &str) -> String {
    let module = name.strip_prefix("nn.Module: ").and_then(|module| module.rsplit_once('_'));
    let numbered = module.filter(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some((class, _)) = numbered {
        return format!("nn.Module: {class}");
    }
    match name.split_once(" at 0x") {
        Some((object, rest)) => {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            format!("{object}{rest}")
        }
        None => name.to_owned(),
    }
}

/// A frame's name without what separates frames and lines, or steers a terminal.
fn frame(name: &str) -> String {
    vramscope_core::without_controls(name).replace(';', ":").replace(['\n', '\t'], " ")
}

impl fmt::Debug for Stacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stacks").field("cpu", &self.inner.cpu.len()).field("gpu", &self.inner.gpu.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_a_number_is_one_frame() {
        for (name, expected) in [
            ("nn.Module: Qwen2DecoderLayer_23", "nn.Module: Qwen2DecoderLayer"),
            ("nn.Module: my_module", "nn.Module: my_module"),
            ("<built-in method item of Tensor object at 0x7d6a86ff5f20>", "<built-in method item of Tensor object>"),
            ("torch/nn/modules/module.py(1747): _call_impl", "torch/nn/modules/module.py(1747): _call_impl"),
            ("aten::conv_2", "aten::conv_2"),
        ] {
            assert_eq!(without_number(name), expected);
        }
    }
}
