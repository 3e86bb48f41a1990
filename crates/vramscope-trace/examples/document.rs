//! Prints a trace's document with its stacks: `cargo run --release -p vramscope-trace --example document -- FILE…`; that of
//! several files is the ranks'.

use std::io::Write as _;

use vramscope_trace::document::{Extract, RanksDocument, TraceDocument};
use vramscope_trace::{Options, Source, summarize};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options { stacks: true, ..Options::default() };
    let mut documents = Vec::new();
    for file in std::env::args().skip(1) {
        documents.push(TraceDocument::of(&summarize(&Source::file(&file), &options)?, None, Extract::default()));
    }
    let text = match documents.len() {
        1 => serde_json::to_string(&documents[0])?,
        _ => serde_json::to_string(&RanksDocument::of(documents))?,
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
