//! Tests of the crate from outside.

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod defects;
#[cfg(test)]
mod generator;
#[cfg(test)]
mod laws;
