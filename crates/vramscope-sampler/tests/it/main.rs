//! The timeline file and the sampling engine, from outside.

#[cfg(test)]
mod analysis;
#[cfg(test)]
mod document;
#[cfg(test)]
mod engine;
#[cfg(all(test, feature = "parquet"))]
mod parquet;
#[cfg(test)]
mod survival;
#[cfg(test)]
mod threads;
