//! What can stop the reading of a snapshot.

use std::io;
use std::path::PathBuf;

/// A snapshot that cannot be read. Offsets are bytes of the unpacked file, counted from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file cannot be opened.
    #[error("open the snapshot {}: check the path and its permissions", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read on.
    #[error("read the snapshot {name} after {bytes} bytes")]
    Read {
        /// The snapshot's name.
        name: String,
        /// Unpacked bytes read before.
        bytes: u64,
        /// The operating system's or the decompressor's answer.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error(
        "find an allocator snapshot in {name}: {problem}; expected the pickle of torch.cuda.memory._dump_snapshot, or its \
         JSON, plain, gzip or zstd"
    )]
    NotASnapshot {
        /// The file's name.
        name: String,
        /// What it is instead.
        problem: String,
    },
    /// The compressed file grows beyond reason.
    #[error(
        "decompress {name}: {compressed} bytes have become more than {limit} times as many, which no snapshot does; if \
         the file is genuine, unpack it first"
    )]
    Bomb {
        /// The snapshot's name.
        name: String,
        /// Compressed bytes read so far.
        compressed: u64,
        /// The ratio that is allowed.
        limit: u64,
    },
    /// The file ends in the middle.
    #[error(
        "read {name}: it ends at byte {offset}, in the middle of {what}; it was cut off: copy it or record it again"
    )]
    Truncated {
        /// The snapshot's name.
        name: String,
        /// Where it ends.
        offset: u64,
        /// What was being read.
        what: &'static str,
    },
    /// The pickle asks for code.
    #[error(
        "read {name}: at byte {offset} the pickle asks Python for {global} ({opcode}), and nothing in a pickle is \
         executed here; a snapshot of torch is made of plain lists and dictionaries and needs no such thing, so this is \
         another file or a harmful one: do not load it with Python either"
    )]
    Global {
        /// The snapshot's name.
        name: String,
        /// Where the opcode stands.
        offset: u64,
        /// What is asked for: module and name, where the file says them.
        global: String,
        /// The opcode's name.
        opcode: &'static str,
    },
    /// The pickle is not well formed.
    #[error("read {name}: at byte {offset} {problem}")]
    Pickle {
        /// The snapshot's name.
        name: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// Something is larger than snapshots are.
    #[error("read {name}: at byte {offset} {what} exceeds {limit}, which no snapshot needs")]
    Limit {
        /// The snapshot's name.
        name: String,
        /// Where.
        offset: u64,
        /// What is too large.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The JSON is not well formed.
    #[error("read {name} as JSON")]
    Json {
        /// The snapshot's name.
        name: String,
        /// The parser's answer, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A field holds what it cannot hold.
    #[error("read {name}: near byte {offset} {problem}")]
    Field {
        /// The snapshot's name.
        name: String,
        /// The end of the record that holds it.
        offset: u64,
        /// Which record and field, what was expected, what is there.
        problem: String,
    },
    /// Sizes add up to more than can be.
    #[error("add up {what} of {name}: the sum exceeds 2^64 bytes; the file's sizes cannot be true")]
    Sum {
        /// The snapshot's name.
        name: String,
        /// Of what.
        what: &'static str,
    },
}
