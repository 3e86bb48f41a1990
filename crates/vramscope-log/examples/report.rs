//! Reads logs from files, as one, and prints their document: what a program of its own does with this crate.
//!
//! ```sh
//! cargo run -p vramscope-log --example report -- server.log
//! cargo run -p vramscope-log --example report -- --unknown server.log
//! ```

use std::io::{Read, Write};

use vramscope_log::LogParser;
use vramscope_log::document::LogDocument;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let unknown = paths.first().is_some_and(|first| first == "--unknown");
    paths.drain(..usize::from(unknown));
    let mut parser = if unknown { LogParser::keeping_unknown() } else { LogParser::new() };
    let mut buffer = vec![0; 256 * 1024];
    for path in paths {
        let mut file = std::fs::File::open(path)?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => parser.push_bytes(&buffer[..read]),
            }
        }
        // The next file begins on a line of its own.
        parser.push_line("");
    }
    let document = serde_json::to_string_pretty(&LogDocument::of(&parser.finish()))?;
    writeln!(std::io::stdout(), "{document}")?;
    Ok(())
}
