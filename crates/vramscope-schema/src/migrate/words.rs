//! Times and log texts of earlier documents.

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

/// The end of a log, from the start of a line, with everything that looks like a credential struck out.
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
    tail.lines().map(struck).collect::<Vec<_>>().join("\n")
}

/// A line without its credentials. A word is one if it begins like a token, or follows a name that announces one.
fn struck(line: &str) -> String {
    const BEGINNINGS: [&str; 7] = ["hf_", "sk-", "ghp_", "github_pat_", "glpat-", "nvapi-", "AKIA"];
    const ANNOUNCERS: [&str; 6] = ["token", "api_key", "api-key", "apikey", "password", "secret"];
    let mut out = String::with_capacity(line.len());
    let mut announced = false;
    for part in line.split_inclusive(|c: char| c.is_whitespace() || "=:,;'\"()[]{}<>".contains(c)) {
        let end = part.chars().next_back().filter(|c| c.is_whitespace() || "=:,;'\"()[]{}<>".contains(*c));
        let word = end.map_or(part, |end| &part[..part.len() - end.len_utf8()]);
        let lower = word.to_ascii_lowercase();
        let token = BEGINNINGS.iter().any(|b| word.starts_with(b)) && word.len() >= 12;
        let nothing = ["none", "null", "true", "false"].contains(&lower.as_str());
        let between = word.is_empty() || lower == "bearer";
        if token || (announced && !nothing && !between) {
            out.push_str("[struck out]");
            out.extend(end);
            announced = false;
            continue;
        }
        out.push_str(part);
        let assigned = word.starts_with("--") || end.is_some_and(|c| "=:'\"".contains(c));
        let announces = lower == "bearer" || (assigned && ANNOUNCERS.iter().any(|name| lower.ends_with(name)));
        announced = announces || (announced && between);
    }
    out
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
    fn credentials_are_struck_out_and_the_rest_stays() {
        assert_eq!(struck("HF_TOKEN=hf_abcdefghijkl ok"), "HF_TOKEN=[struck out] ok");
        assert_eq!(struck("api_key='abc', port=8000"), "api_key='[struck out]', port=8000");
        assert_eq!(struck("Authorization: Bearer abc.def"), "Authorization: Bearer [struck out]");
        assert_eq!(struck("hf_token: None, seed=0"), "hf_token: None, seed=0");
        assert_eq!(struck("--api-key s3cret --port 1"), "--api-key [struck out] --port 1");
        assert_eq!(struck(r#"{"token": "abc", "n": 1}"#), r#"{"token": "[struck out]", "n": 1}"#);
        assert_eq!(struck("the first token takes 5 ms"), "the first token takes 5 ms");
        assert_eq!(struck("Model loading took 15.0 GiB"), "Model loading took 15.0 GiB");
        assert_eq!(struck("max_num_batched_tokens=8192"), "max_num_batched_tokens=8192");
    }

    #[test]
    fn only_whole_lines_of_the_end_are_kept() {
        let log: String = (0..3000).map(|n| format!("line {n} of the log\n")).collect();
        let kept = kept(&log);
        assert!(kept.len() <= KEPT_LOG_BYTES && kept.starts_with("line ") && kept.ends_with("line 2999 of the log"));
    }
}
