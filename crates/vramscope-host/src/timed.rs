//! A log with the time of every line, as a file: `NANOSECONDS STREAM BYTES`, one line each.

use std::io::{self, BufRead, Read as _, Write};

use crate::engine::{LogLine, LogStream};
use crate::lines::LONGEST_LINE;

/// The most that is read back: lines beyond this are no log of a run.
const MOST_BYTES: usize = 1 << 30;

/// What stands in front of a line's bytes takes no more.
const LONGEST_HEAD: usize = 32;

/// Why a timed log could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimedLogError {
    /// It could not be read further.
    #[error("read the timed log, line {line}")]
    Read {
        /// Counted from 1.
        line: u64,
        /// What the system says.
        source: io::Error,
    },
    /// A line is not as it is written.
    #[error(
        "read the timed log, line {line}: expected `NANOSECONDS STREAM BYTES`, STREAM one of out, err, file, and + \
        behind it for a line that goes on; is it a plain log?"
    )]
    Malformed {
        /// Counted from 1.
        line: u64,
    },
    /// It is larger than any log of a run.
    #[error("read the timed log: it has more than {MOST_BYTES} bytes")]
    TooLarge,
}

/// Writes a line so that [`read_timed_log`] gives it back exactly.
///
/// # Errors
/// What `out` says.
pub fn write_timed_line(line: &LogLine, out: &mut impl Write) -> io::Result<()> {
    let stream = match line.stream {
        LogStream::Stdout => "out",
        LogStream::Stderr => "err",
        LogStream::File => "file",
    };
    let goes_on = if line.ended { "" } else { "+" };
    write!(out, "{} {stream}{goes_on} ", line.at_unix_ns)?;
    out.write_all(&line.bytes)?;
    out.write_all(b"\n")
}

/// Reads what [`write_timed_line`] wrote.
///
/// # Errors
/// [`TimedLogError`] with the line. A last line that was cut off, by a kill or a full disk, is left out.
pub fn read_timed_log(mut input: impl BufRead) -> Result<Vec<LogLine>, TimedLogError> {
    let mut lines = Vec::new();
    let mut total = 0_usize;
    let longest = u64::try_from(LONGEST_LINE + LONGEST_HEAD).unwrap_or(u64::MAX);
    for number in 1.. {
        let mut text = Vec::new();
        let read = input.by_ref().take(longest).read_until(b'\n', &mut text);
        read.map_err(|source| TimedLogError::Read { line: number, source })?;
        total = total.saturating_add(text.len());
        if total > MOST_BYTES {
            return Err(TimedLogError::TooLarge);
        }
        if text.pop() != Some(b'\n') {
            let whole = text.len() + 1 < LONGEST_LINE + LONGEST_HEAD;
            return if whole { Ok(lines) } else { Err(TimedLogError::Malformed { line: number }) };
        }
        lines.push(parse(&text).ok_or(TimedLogError::Malformed { line: number })?);
    }
    Ok(lines)
}

fn parse(text: &[u8]) -> Option<LogLine> {
    let mut parts = text.splitn(3, |byte| *byte == b' ');
    let at_unix_ns = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = parts.next()?;
    let (stream, ended) = stream.strip_suffix(b"+").map_or((stream, true), |stream| (stream, false));
    let stream = match stream {
        b"out" => LogStream::Stdout,
        b"err" => LogStream::Stderr,
        b"file" => LogStream::File,
        _ => return None,
    };
    Some(LogLine { at_unix_ns, stream, bytes: parts.next()?.to_vec(), ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at_unix_ns: i64, stream: LogStream, bytes: &[u8], ended: bool) -> LogLine {
        LogLine { at_unix_ns, stream, bytes: bytes.to_vec(), ended }
    }

    #[test]
    fn what_is_written_is_read_back_exactly() {
        let lines = [
            line(-1, LogStream::Stdout, b"", true),
            line(1_764_093_920_123_456_789, LogStream::Stderr, b" two  spaces \r50%", true),
            line(i64::MAX, LogStream::File, &[0xff; LONGEST_LINE], false),
            line(i64::MIN, LogStream::File, b"end", false),
        ];
        let mut text = Vec::new();
        lines.iter().for_each(|line| write_timed_line(line, &mut text).unwrap());
        assert_eq!(read_timed_log(&text[..]).unwrap(), lines);
        text.pop();
        assert_eq!(read_timed_log(&text[..]).unwrap(), lines[..3], "a line that was cut off is left out");
    }

    #[test]
    fn a_plain_log_is_refused_with_its_line() {
        let error = read_timed_log(&b"1 out ok\nINFO 11-22 12:00:01 ready\n"[..]).unwrap_err();
        assert!(matches!(error, TimedLogError::Malformed { line: 2 }), "{error}");
        let endless = vec![b'9'; 10 * LONGEST_LINE];
        assert!(matches!(read_timed_log(&endless[..]), Err(TimedLogError::Malformed { line: 1 })));
    }
}
