//! A few lines of an engine's log, by their numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

use vramscope_core::{on_one_line, redact};

/// A line is shown up to this length, and read no further than this times a few.
const LONGEST: usize = 300;
const MOST_BYTES_OF_A_LINE: u64 = 64 << 10;

/// These lines of a log that lies in several files, numbered from 1 over all of them, without secrets. What cannot be read
/// again is left out: the figures are there without it.
pub(crate) fn lines(files: &[PathBuf], wanted: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    let Some(last) = wanted.last() else { return found };
    let mut number = 0;
    for file in files {
        let Ok(source) = vramscope_runs::open(file) else { return found };
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        loop {
            line.clear();
            match source.by_ref().take(MOST_BYTES_OF_A_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            // A line that is longer than any of an engine's is passed over to its end.
            if !line.ends_with(b"\n") && line.len() >= 64 << 10 && source.skip_until(b'\n').is_err() {
                break;
            }
            number += 1;
            if wanted.contains(&number) {
                let text = on_one_line(&redact(&String::from_utf8_lossy(&line)));
                found.insert(number, behind_progress(text.trim()).chars().take(LONGEST).collect());
            }
            if number >= *last {
                return found;
            }
        }
    }
    found
}

/// The message of a line that a progress bar stands in front of, since both were printed without a line end between.
fn behind_progress(line: &str) -> &str {
    const LEVELS: [&str; 4] = ["INFO ", "WARNING ", "ERROR ", "DEBUG "];
    /// What stands before a level on a line of its own: a time, a worker's name.
    const LONGEST_HEAD: usize = 100;
    let last = LEVELS.iter().filter_map(|level| line.rfind(level)).max().unwrap_or(0);
    if last > LONGEST_HEAD { &line[last..] } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_over_all_files_and_hold_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.log"), folder.path().join("2.log"));
        std::fs::write(&one, "a\nb\n").unwrap();
        let long = "x".repeat(200_000);
        std::fs::write(&two, format!("c\n{long}\nHF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz0123 \u{1b}[2Je\n")).unwrap();
        let wanted = [2, 3, 4, 5, 9].into();
        let found = lines(&[one, two], &wanted);
        assert_eq!((&*found[&2], &*found[&3]), ("b", "c"));
        assert_eq!(found[&4].len(), LONGEST);
        assert!(found[&5].contains("[2Je") && !found[&5].contains("hf_abc"), "{}", found[&5]);
        assert!(!found.contains_key(&9));
        let bar = format!("{}100%|####| (Worker pid=1) INFO 11-22 the size is 5", "50%|##| ".repeat(40));
        assert_eq!(behind_progress(&bar), "INFO 11-22 the size is 5");
        assert_eq!(behind_progress("(Worker pid=1) INFO 11-22 x"), "(Worker pid=1) INFO 11-22 x");
    }
}
