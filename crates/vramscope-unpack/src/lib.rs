//! Opens files and bytes in memory, plain, gzip or zstd.
//!
//! [`open_file`] opens what somebody named and refuses what never ends; [`Unpacked`] tells by the first bytes how a
//! stream is packed and unpacks it; [`Source`] is a file, or bytes in memory, that can be opened any number of times;
//! [`Growth`] says when what was unpacked is more than a file of its kind can become.

mod compression;
mod opened;
mod source;
mod unpacked;

pub use compression::Compression;
pub use opened::{OpenedFile, open_file};
pub use source::Source;
pub use unpacked::{Growth, Unpacked};
