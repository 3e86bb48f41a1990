//! Prints the document of a snapshot: `cargo run --example document -- FILE`.

use std::error::Error;
use std::io;

use vramscope_snapshot::document::{Extract, SnapshotDocument};
use vramscope_snapshot::{Snapshot, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("give the file of a snapshot")?;
    let snapshot = Snapshot::read(&Source::file(path))?;
    let document = SnapshotDocument::of(&snapshot, Extract::default())?;
    serde_json::to_writer_pretty(io::stdout().lock(), &document)?;
    Ok(())
}
