//! HTTP/1.1 as a load generator needs it: nothing stands between a read of the socket and the one who takes its time.
//!
//! Parsing is apart from reading ([`response::Reader`] sees bytes, no socket), and the socket is one type of one module
//! ([`connection::Connection`]), so that another transport is a change in one place.

mod arrival;
pub(crate) mod connection;
pub(crate) mod response;

pub(crate) use connection::{Arrived, Connection, Pool, Unsent};
pub(crate) use response::{Head, NoHttp, Reader};
