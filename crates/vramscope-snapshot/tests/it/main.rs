//! Tests of the crate from outside.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod made;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod pinned;
#[cfg(test)]
mod real;
#[cfg(test)]
mod writer;
