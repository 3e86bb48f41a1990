//! Tests of the crate from outside.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod made;
mod pictures;
#[cfg(test)]
#[cfg(test)]
mod real;
#[cfg(test)]
mod writer;
