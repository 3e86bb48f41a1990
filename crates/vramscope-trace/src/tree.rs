//! Nested names as a tree: python stacks and annotations.

use std::collections::HashMap;

use crate::names::NameId;

/// A place in a tree.
pub(crate) type NodeId = u32;

/// Distinct stacks that are kept. A served model has some ten thousand.
const MAX_NODES: usize = 1 << 19;

/// Chains of names; equal chains share a place.
#[derive(Default)]
pub(crate) struct Tree {
    nodes: Vec<(Option<NodeId>, NameId)>,
    ids: HashMap<(Option<NodeId>, NameId), NodeId>,
    refused: u64,
}

impl Tree {
    /// The place of `name` below `parent`; the parent itself once the tree is full.
    pub(crate) fn child(&mut self, parent: Option<NodeId>, name: NameId) -> Option<NodeId> {
        if let Some(&id) = self.ids.get(&(parent, name)) {
            return Some(id);
        }
        let Some(id) = NodeId::try_from(self.nodes.len()).ok().filter(|_| self.nodes.len() < MAX_NODES) else {
            self.refused += 1;
            return parent;
        };
        self.nodes.push((parent, name));
        self.ids.insert((parent, name), id);
        Some(id)
    }

    /// How many places were not made because the tree was full.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// The names from a place to the root.
    pub(crate) fn up(&self, node: NodeId) -> impl Iterator<Item = NameId> + '_ {
        let mut next = Some(node);
        std::iter::from_fn(move || {
            let (parent, name) = *self.nodes.get(usize::try_from(next?).ok()?)?;
            next = parent;
            Some(name)
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
}
