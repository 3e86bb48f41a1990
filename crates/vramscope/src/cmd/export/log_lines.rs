//! Lines of a log by their numbers.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

/// What is kept of a line: a viewer shows less.
const MOST_OF_LINE: usize = 8 << 10;

/// The lines of these numbers, counted from 1. Of a longer line its beginning is kept.
pub(super) fn read(log: impl Read, numbers: &[u64]) -> io::Result<BTreeMap<u64, String>> {
    let mut wanted: Vec<u64> = numbers.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut wanted = wanted.into_iter().peekable();
    let mut found = BTreeMap::new();
    let mut log = BufReader::with_capacity(1 << 16, log);
    let (mut number, mut line) = (1_u64, Vec::new());
    while let Some(next) = wanted.peek().copied() {
        let bytes = log.fill_buf()?;
        if bytes.is_empty() {
            if number == next && !line.is_empty() {
                found.insert(number, String::from_utf8_lossy(&line).into_owned());
            }
            break;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        if number == next {
            let room = MOST_OF_LINE.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let used = piece.len() + usize::from(end.is_some());
        log.consume(used);
        if end.is_some() {
            if number == next {
                found.insert(number, String::from_utf8_lossy(&line).into_owned());
                wanted.next();
            }
            line.clear();
            number += 1;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_number_and_long_ones_cut() {
        let long = "x".repeat(200_000);
        let text = format!("a\n{long}\n\nb\r\nlast");
        let found = read(text.as_bytes(), &[5, 4, 2, 2, 9]).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!((found[&2].len(), found[&4].as_str(), found[&5].as_str()), (MOST_OF_LINE, "b\r", "last"));
        assert!(read(&b""[..], &[1]).unwrap().is_empty());
    }
}
