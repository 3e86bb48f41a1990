//! The timeline file, from outside.

#[cfg(test)]
mod document;
#[cfg(feature = "parquet")]
#[cfg(test)]
mod parquet;
#[cfg(feature = "parquet")]
#[cfg(test)]
mod rewritten;
