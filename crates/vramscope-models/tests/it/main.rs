//! What the crate costs, from outside.

#[cfg(test)]
mod memory;
