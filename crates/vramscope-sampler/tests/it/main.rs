//! The timeline file and the sampling engine, from outside.

#[cfg(test)]
mod analysis;
#[cfg(test)]
mod document;
#[cfg(test)]
mod engine;
#[cfg(feature = "parquet")]
#[cfg(test)]
mod parquet;
#[cfg(test)]
mod survival;
#[cfg(test)]
mod threads;
