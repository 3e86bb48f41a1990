//! Says who holds the memory of a snapshot: `cargo run -p vramscope-snapshot --example holders -- FILE`; without a file, of
//! one that was recorded for the tests.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use vramscope_snapshot::document::{Extract, SnapshotDocument};
use vramscope_snapshot::{By, Snapshot, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let recorded = || concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/data/streams.pickle.gz").into();
    let path: PathBuf = std::env::args_os().nth(1).map_or_else(recorded, PathBuf::from);
    let snapshot = Snapshot::read(&Source::file(path))?;
    let document = SnapshotDocument::of(&snapshot, Extract { by: By::Function, top: 10 })?;
    let mut out = std::io::stdout().lock();
    for row in &document.holders.rows {
        let name = row.name.as_deref().unwrap_or("(no stack recorded)");
        writeln!(out, "{:>16} bytes  {:>5.1} %  {name}", row.bytes, row.share * 100.0)?;
    }
    Ok(())
}
