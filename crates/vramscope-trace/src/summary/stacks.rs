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
    /// read this form. Lines are in order of their text; the number of lines is returned.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_folded(&self, weight: StackWeight, out: &mut dyn io::Write) -> io::Result<usize> {
        let times = match weight {
            StackWeight::Cpu => &self.inner.cpu,
            StackWeight::Gpu => &self.inner.gpu,
        };
        // Different stacks can read the same once separators are replaced.
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        for (&node, &time) in times.iter().filter(|(_, time)| **time > 0) {
            *lines.entry(self.line(node)).or_default() += time;
        }
        for (line, time) in &lines {
            writeln!(out, "{line} {time}")?;
        }
        Ok(lines.len())
    }

    fn line(&self, node: NodeId) -> String {
        let name = |id: u32| usize::try_from(id).ok().and_then(|at| self.inner.names.get(at));
        let mut frames: Vec<String> = self.inner.tree.up(node).filter_map(name).map(|raw| frame(&kept(raw))).collect();
        frames.reverse();
        frames.join(";")
    }
}

/// A frame's name without what separates frames and lines.
fn frame(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c == ';' {
                ':'
            } else if c.is_control() {
                ' '
            } else {
                c
            }
        })
        .collect()
}

impl fmt::Debug for Stacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stacks").field("cpu", &self.inner.cpu.len()).field("gpu", &self.inner.gpu.len()).finish()
    }
}
