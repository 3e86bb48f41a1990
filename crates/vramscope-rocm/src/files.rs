//! The kernel's files: small texts, read whole each time, so that a card that went away is noticed.

use std::io;
use std::path::{Path, PathBuf};

/// No file that is read here is longer (the longest is a process's `fdinfo`).
const MAX: u64 = 64 << 10;

/// The text of a file without its last newline.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX).read_to_string(&mut text)?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// A whole number in a file.
pub(crate) fn number(path: &Path) -> io::Result<u64> {
    let text = text(path)?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is not a whole number"));
    text.trim().parse().map_err(|_| wrong())
}

/// The starred line of a list of levels (`1: 1700Mhz *`), in MHz.
pub(crate) fn starred_mhz(path: &Path) -> Option<u32> {
    let list = text(path).ok()?;
    let line = list.lines().find(|line| line.trim_end().ends_with('*'))?;
    let value = line.split_once(':')?.1.trim().trim_end_matches('*').trim();
    let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    value[..digits].parse().ok()
}

/// The entries of a folder by name; none if it cannot be read.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(list) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = list.filter_map(Result::ok).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// The last part of a path.
pub(crate) fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}
