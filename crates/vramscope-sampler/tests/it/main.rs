//! The timeline file and the sampling engine, from outside.

#[cfg(test)]
mod document;
