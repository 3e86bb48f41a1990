//! Tests of the command from outside.

#[cfg(test)]
mod standin;
