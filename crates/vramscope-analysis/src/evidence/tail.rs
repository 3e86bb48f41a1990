//! The last lines of an engine's log.

/// Bytes of the log's end that are looked at.
const KEPT: usize = 16 << 10;
/// Lines that are shown.
const LINES: usize = 12;

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogTail {
    /// The file's name.
    pub file: String,
    /// The number of the first line that is here, counted from 1.
    pub first_line: u64,
    /// The lines, without secrets and without what would steer a terminal.
    pub lines: Vec<String>,
}

/// Keeps the end of what is read.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    recent: Vec<u8>,
    /// Something before it was dropped.
    cut: bool,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(KEPT);
        self.cut |= kept < bytes.len();
        self.recent.extend_from_slice(&bytes[bytes.len() - kept..]);
        if self.recent.len() > 2 * KEPT {
            self.recent.drain(..self.recent.len() - KEPT);
            self.cut = true;
        }
    }

    /// The last lines of a log of so many; `None` where it is empty.
    pub(crate) fn finish(self, file: String, lines: u64) -> Option<LogTail> {
        let text = String::from_utf8_lossy(&self.recent);
        let whole: Vec<&str> = text.lines().skip(usize::from(self.cut)).collect();
        let shown = whole.len().min(LINES);
        let first_line = lines.saturating_sub(u64::try_from(shown).ok()?).saturating_add(1);
        let lines: Vec<String> = whole[whole.len() - shown..].iter().map(|line| vramscope_log::excerpt(line)).collect();
        lines.iter().any(|line| !line.is_empty()).then_some(LogTail { file, first_line, lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_however_the_log_comes() {
        let log: String = (1..=5000).map(|n| format!("line {n}\n")).collect();
        for size in [7, 4096, log.len()] {
            let mut tail = Tail::default();
            log.as_bytes().chunks(size).for_each(|chunk| tail.push(chunk));
            let found = tail.finish("engine.log".into(), 5000).unwrap();
            assert_eq!((found.first_line, found.lines.len()), (4989, LINES), "in pieces of {size}");
            assert_eq!(found.lines.last().unwrap(), "line 5000");
        }
        assert_eq!(Tail::default().finish(String::new(), 0), None);
    }

    #[test]
    fn no_line_steers_a_terminal_or_tells_a_secret() {
        let mut tail = Tail::default();
        tail.push(b"\x1b[31mred\x1b]0;title\x07\nHF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz012345\n");
        let lines = tail.finish(String::new(), 2).unwrap().lines;
        assert_eq!(lines[0], "red]0;title");
        assert!(!lines[1].contains("hf_abcdef"), "{}", lines[1]);
    }
}
