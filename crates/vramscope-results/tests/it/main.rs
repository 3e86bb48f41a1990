//! Recorded files of each tool: our figures are those of the tool's own table.

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tables;

#[cfg(test)]
use std::path::Path;

#[cfg(test)]
use vramscope_results::LoadResult;

#[cfg(test)]
fn recorded(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
fn text(name: &str) -> String {
    String::from_utf8(recorded(name)).unwrap()
}

#[cfg(test)]
fn results(name: &str) -> Vec<LoadResult> {
    vramscope_results::read(&recorded(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
