//! What a server prints while it starts, loads and works, and what its device holds meanwhile: lines that the script gives,
//! in the words of an engine's log. No engine is behind them.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What is played when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Play {
    /// Before the server listens.
    pub start: Vec<Line>,
    /// When a model is asked for first, before the answer.
    pub load: Vec<Line>,
    /// When the first completion is asked for.
    pub work: Vec<Line>,
    /// The `used_file` of a device of the stand-in NVML library: what the device holds, and this process as who holds it.
    pub used_file: Option<PathBuf>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Line {
    /// So long after the one before. Unit: milliseconds.
    pub after_ms: u64,
    /// What is printed; nothing where it is empty. `{local}` stands for the time as SGLang prints it, `{rfc3339}` as Ollama
    /// does, both in UTC.
    pub text: String,
    /// What the device holds from then on. Unit: bytes.
    pub used_bytes: Option<u64>,
}

impl Play {
    /// Prints lines, and has the device hold what they say.
    ///
    /// # Errors
    /// Where the device's file cannot be written, or nobody reads the log.
    pub fn lines(&self, lines: &[Line]) -> io::Result<()> {
        for line in lines {
            std::thread::sleep(Duration::from_millis(line.after_ms));
            if let (Some(used), Some(path)) = (line.used_bytes, &self.used_file) {
                hold(path, used)?;
            }
            if !line.text.is_empty() {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let text = line.text.replace("{local}", &local(now)).replace("{rfc3339}", &rfc3339(now));
                writeln!(io::stderr(), "{text}")?;
            }
        }
        Ok(())
    }
}

/// Writes a level beside the file and renames it, so that nobody reads a half.
fn hold(path: &Path, used: u64) -> io::Result<()> {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, format!("{used} {} 0\n", std::process::id()))?;
    std::fs::rename(draft, path)
}

fn local(since: Duration) -> String {
    let (year, month, day) = date(since.as_secs() / 86_400);
    let second = since.as_secs() % 86_400;
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

fn rfc3339(since: Duration) -> String {
    format!("{}.{:03}Z", local(since).replace(' ', "T"), since.subsec_millis())
}

/// The date so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut rest) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if rest < length {
            break;
        }
        (year, rest) = (year + 1, rest - length);
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        (month, rest) = (month + 1, rest - length);
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(local(Duration::from_secs(0)), "1970-01-01 00:00:00");
        assert_eq!(local(Duration::from_secs(951_782_400)), "2000-02-29 00:00:00");
        assert_eq!(rfc3339(Duration::from_millis(1_795_323_600_250)), "2026-11-22T05:00:00.250Z");
        assert_eq!(date(20_454), (2026, 1, 1));
    }
}
