//! Times and log texts of earlier documents.

use vramscope_core::redact;

use crate::earlier::Time;

/// The most text of one log that a migrated document keeps: its end, where engines say why they failed.
const KEPT_LOG_BYTES: usize = 16 << 10;

/// A time in RFC 3339, without a time zone where none was written. `None` for what is no time.
pub(super) fn timestamp(time: &Time) -> Option<String> {
    match time {
        Time::Text(text) => {
            let text = text.trim();
            let instant = text.parse::<jiff::Timestamp>().map(|instant| instant.to_string());
            instant.or_else(|_| text.parse::<jiff::civil::DateTime>().map(|local| local.to_string())).ok()
        }
        Time::UnixSeconds(seconds) => {
            let span = std::time::Duration::try_from_secs_f64(*seconds).ok()?;
            let micros = i64::try_from(span.as_micros()).ok()?;
            jiff::Timestamp::from_microsecond(micros).ok().map(|instant| instant.to_string())
        }
    }
}

/// The end of a log, from the start of a line, without secrets.
pub(super) fn kept(log: &str) -> String {
    let mut start = log.len().saturating_sub(KEPT_LOG_BYTES);
    while !log.is_char_boundary(start) {
        start += 1;
    }
    let tail = &log[start..];
    let tail = match tail.split_once('\n') {
        Some((_, whole_lines)) if start > 0 => whole_lines,
        _ => tail,
    };
    redact(tail.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_is_neither_lost_nor_made_up() {
        let of = |text: &str| timestamp(&Time::Text(text.into()));
        assert_eq!(of("2025-11-03T12:00:00.25").as_deref(), Some("2025-11-03T12:00:00.25"));
        assert_eq!(of("2025-11-03T12:00:00+02:00").as_deref(), Some("2025-11-03T10:00:00Z"));
        assert_eq!(of("2025-11-03 12:00:00").as_deref(), Some("2025-11-03T12:00:00"));
        assert_eq!(of("yesterday"), None);
        assert_eq!(timestamp(&Time::UnixSeconds(0.5)).as_deref(), Some("1970-01-01T00:00:00.5Z"));
        assert_eq!(timestamp(&Time::UnixSeconds(f64::MAX)), None);
        assert_eq!(timestamp(&Time::UnixSeconds(-1.0)), None);
    }

    #[test]
    fn secrets_are_hidden_as_everywhere_and_the_rest_stays() {
        for (line, shown) in [
            ("HF_TOKEN=hf_abcdefghijkl ok", "HF_TOKEN=[redacted] ok"),
            ("api_key='abc', port=8000", "api_key='[redacted]', port=8000"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
            ("hf_token: None, seed=0", "hf_token: None, seed=0"),
            ("--api-key s3cret --port 1", "--api-key [redacted] --port 1"),
            (r#"{"api_token": "s3cr3tvalue", "n": 1}"#, r#"{"api_token": "[redacted]", "n": 1}"#),
            ("https://me:s3cret@host/v1", "https://[redacted]@host/v1"),
            ("the first token takes 5 ms", "the first token takes 5 ms"),
            ("max_num_batched_tokens=8192", "max_num_batched_tokens=8192"),
        ] {
            assert_eq!(kept(line), shown);
        }
    }

    #[test]
    fn only_whole_lines_of_the_end_are_kept() {
        let log: String = (0..3000).map(|n| format!("line {n} of the log\n")).collect();
        let kept = kept(&log);
        assert!(kept.len() <= KEPT_LOG_BYTES && kept.starts_with("line ") && kept.ends_with("line 2999 of the log"));
    }
}
