//! The sampling engine, from outside.

#[cfg(test)]
mod analysis;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod parquet;
#[cfg(test)]
mod survival;
#[cfg(test)]
mod threads;
