//! What the crate takes a config for, and what it costs, from outside.

#[cfg(test)]
mod defaults;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod unread;
