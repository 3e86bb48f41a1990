//! Nested names as a tree: python stacks and annotations.

use std::collections::HashMap;

use crate::names::NameId;

/// A place in a tree.
pub(crate) type NodeId = u32;

/// Distinct stacks that are kept. A served model has some ten thousand.
const MAX_NODES: usize = 1 << 19;

/// Names in one chain. Python ends a program at a depth of 1000; what claims more is not read from one. It also bounds
/// what is written of a chain, which is as long as it is deep.
const MAX_DEPTH: u16 = 1024;

/// A name below another one.
#[derive(Debug, Clone, Copy)]
struct Node {
    parent: Option<NodeId>,
    name: NameId,
    depth: u16,
}

/// Chains of names; equal chains share a place.
#[derive(Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    ids: HashMap<(Option<NodeId>, NameId), NodeId>,
    refused: u64,
}

impl Tree {
    /// The place of `name` below `parent`; the parent itself once the tree is full or the chain too long.
    pub(crate) fn child(&mut self, parent: Option<NodeId>, name: NameId) -> Option<NodeId> {
        if let Some(&id) = self.ids.get(&(parent, name)) {
            return Some(id);
        }
        let depth = parent.and_then(|parent| self.node(parent)).map_or(0, |parent| parent.depth + 1);
        let room = self.nodes.len() < MAX_NODES && depth < MAX_DEPTH;
        let Some(id) = NodeId::try_from(self.nodes.len()).ok().filter(|_| room) else {
            self.refused += 1;
            return parent;
        };
        self.nodes.push(Node { parent, name, depth });
        self.ids.insert((parent, name), id);
        Some(id)
    }

    /// How many places were not made because the tree was full.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The place around a place.
    pub(crate) fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.node(id).and_then(|node| node.parent)
    }

    fn node(&self, id: NodeId) -> Option<Node> {
        self.nodes.get(usize::try_from(id).ok()?).copied()
    }

    /// The name at a place.
    pub(crate) fn name(&self, id: NodeId) -> Option<NameId> {
        self.node(id).map(|node| node.name)
    }

    /// The places directly below each place, and, without one, those of the roots.
    pub(crate) fn below(&self) -> HashMap<Option<NodeId>, Vec<NodeId>> {
        let mut below: HashMap<Option<NodeId>, Vec<NodeId>> = HashMap::new();
        for (id, node) in (0..).zip(&self.nodes) {
            below.entry(node.parent).or_default().push(id);
        }
        below
    }

    /// The names from a place to the root.
    pub(crate) fn up(&self, node: NodeId) -> impl Iterator<Item = NameId> + '_ {
        let mut next = Some(node);
        std::iter::from_fn(move || {
            let node = self.node(next?)?;
            next = node.parent;
            Some(node.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_chains_share_a_place() {
        let mut tree = Tree::default();
        let a = tree.child(None, 1);
        let b = tree.child(a, 2);
        assert_eq!(tree.child(a, 2), b);
        assert_ne!(tree.child(None, 2), b);
        assert_eq!(tree.up(b.unwrap()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_chain_that_no_program_has_ends_where_programs_do() {
        let mut tree = Tree::default();
        let deepest = (0..100_000).fold(None, |parent, name| tree.child(parent, name));
        assert_eq!(tree.up(deepest.unwrap()).count(), usize::from(MAX_DEPTH));
        assert_eq!(tree.refused(), 100_000 - u64::from(MAX_DEPTH));
    }
}
