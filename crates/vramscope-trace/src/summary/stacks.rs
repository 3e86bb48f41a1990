//! Python stacks for flame graphs.

use std::collections::BTreeMap;
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

/// A frame's name without what separates frames and lines, or steers a terminal.
fn frame(name: &str) -> String {
    vramscope_core::without_controls(name).replace(';', ":").replace(['\n', '\t'], " ")
}

impl fmt::Debug for Stacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stacks").field("cpu", &self.inner.cpu.len()).field("gpu", &self.inner.gpu.len()).finish()
    }
}
