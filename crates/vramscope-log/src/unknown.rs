//! Lines that look like figures of memory and have no known format, so that a user can report them.

use vramscope_core::redact;

/// A line that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownLine {
    /// The line, counted from 1.
    pub line: u64,
    /// Its message, without secrets, shortened.
    pub text: String,
}

/// Most lines that are kept.
const MAX_LINES: usize = 500;
/// Longest text that is kept of one.
const MAX_TEXT: usize = 300;

/// The lines that were not understood.
#[derive(Debug, Default)]
pub(crate) struct Unknown {
    pub(crate) lines: Vec<UnknownLine>,
}

impl Unknown {
    /// Keeps a message if it looks like a figure of memory.
    pub(crate) fn offer(&mut self, message: &str, line: u64) {
        if self.lines.len() >= MAX_LINES || !looks_like_memory(message) {
            return;
        }
        // Of a secret that is cut the beginning would not be known for one.
        let mut text = redact(message);
        let end = (0..=text.len().min(MAX_TEXT)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        self.lines.push(UnknownLine { line, text });
    }
}

/// A number with a unit of memory, which is no rate and no part of a name.
fn looks_like_memory(message: &str) -> bool {
    let bytes = message.as_bytes();
    memchr::memchr_iter(b'B', bytes).any(|at| {
        let before = &bytes[..at];
        let unit = [&b"Gi"[..], b"Mi", b"Ki", b"Ti", b"G", b"M", b"T"].into_iter().find(|unit| before.ends_with(unit));
        let Some(unit) = unit else { return false };
        let lead = &before[..before.len() - unit.len()];
        let lead = lead.strip_suffix(b" ").unwrap_or(lead);
        let number = lead.last().is_some_and(u8::is_ascii_digit);
        let after = bytes.get(at + 1);
        number && !after.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_the_end_of_the_text_falls_into_is_hidden() {
        let secret = "hf_abcdefghijklmnopqrstuvwxyz012345";
        for before in 0..MAX_TEXT {
            let mut unknown = Unknown::default();
            unknown.offer(&format!("{} token {secret} took 5.4 GiB of", "x".repeat(before)), 1);
            assert!(!unknown.lines[0].text.contains(&secret[..6]), "{before}: {}", unknown.lines[0].text);
            assert!(unknown.lines[0].text.len() <= MAX_TEXT);
        }
    }

    #[test]
    fn figures_of_memory_are_told_from_names_and_rates() {
        for yes in ["took 5.4 GiB of", "uses 12MiB.", "(3.2 GB)", "16.0GB,"] {
            assert!(looks_like_memory(yes), "{yes}");
        }
        for no in ["NVIDIA_H100_80GB_HBM3", "12.3 GB/s", "5 B", "GiB", "3.50MB/s"] {
            assert!(!looks_like_memory(no), "{no}");
        }
    }
}
