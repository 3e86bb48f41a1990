//! HTTP/1.1 as a load generator needs it: nothing stands between a read of the socket and the one who takes its time.
//!
//! Parsing is apart from reading ([`response::Reader`] sees bytes, no socket), and all transports are behind one type
//! ([`connection::Connection`]).

mod arrival;
pub(crate) mod connection;
pub(crate) mod response;
mod socket;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use connection::{Arrived, Connection, Pool, Unsent};
pub(crate) use response::{Head, NoHttp, Reader};
#[cfg(feature = "tls")]
pub(crate) use tls::Settings;
