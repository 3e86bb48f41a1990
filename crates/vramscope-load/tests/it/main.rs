//! Tests of the crate from outside, against a server that does what each test scripts.

#[cfg(test)]
mod control;
#[cfg(test)]
mod data;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod load;
#[cfg(all(test, feature = "parquet"))]
mod rows;
#[cfg(test)]
mod server;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod truth;
