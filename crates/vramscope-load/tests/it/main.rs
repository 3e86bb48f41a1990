//! Tests of the crate from outside, against a server that does what each test scripts.

#[cfg(test)]
mod control;
#[cfg(test)]
mod data;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod load;
#[cfg(test)]
mod server;
#[cfg(test)]
mod truth;
