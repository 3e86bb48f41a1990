//! Recorded files of each tool: our figures are those of the tool's own table.

mod laws;
mod tables;

use std::path::Path;

use vramscope_results::LoadResult;

fn recorded(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(name: &str) -> String {
    String::from_utf8(recorded(name)).unwrap()
}

fn results(name: &str) -> Vec<LoadResult> {
    vramscope_results::read(&recorded(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
