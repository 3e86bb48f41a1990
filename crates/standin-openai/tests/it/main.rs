//! Tests of the stand-in from outside, over raw sockets.

#[cfg(test)]
mod standin;
