//! The requests of a load, from the lines that `load --requests` writes.

use std::io::{BufRead as _, BufReader, Read};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use vramscope_report::{Moment, RequestSpan};

/// A line has a time for each chunk of its answer; none is longer.
const MOST_OF_LINE: u64 = 16 << 20;
/// Requests that are shown; more make no picture.
const MOST_REQUESTS: usize = 200_000;

/// What a row says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    number: Option<u64>,
    id: Option<String>,
    sent_unix_ns: Option<i64>,
    ttft_ms: Option<f64>,
    e2e_ms: Option<f64>,
    model: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    failure: Option<String>,
    message: Option<String>,
    level: Option<Value>,
}

/// Requests, and what is to be said of those that are left out.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) spans: Vec<RequestSpan>,
    pub(super) notes: Vec<String>,
}

/// Reads rows. Their times are laid on those of a recording whose anchor is at `anchor_unix_ns`.
pub(super) fn read(rows: impl Read, anchor_unix_ns: i64) -> anyhow::Result<Requests> {
    let mut rows = BufReader::new(rows);
    let mut requests = Requests::default();
    let (mut number, mut without_clock, mut too_many) = (0_u64, 0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        number += 1;
        if rows.by_ref().take(MOST_OF_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if line.starts_with(b"PAR1") {
            bail!("these are requests as Parquet; `load --requests` writes JSON lines to a name that ends in .jsonl");
        }
        let row: Row = serde_json::from_slice(&line)
            .with_context(|| format!("line {number} is no row of a request, as `load --requests` writes them"))?;
        let Some(sent) = row.sent_unix_ns else {
            without_clock += 1;
            continue;
        };
        if requests.spans.len() == MOST_REQUESTS {
            too_many += 1;
            continue;
        }
        requests.spans.push(span(row, sent.saturating_sub(anchor_unix_ns)));
    }
    if without_clock > 0 {
        requests.notes.push(format!(
            "{without_clock} requests are left out: their rows have no sent_unix_ns, and so no place on the clock; earlier \
             versions of `load --requests` did not write it"
        ));
    }
    if too_many > 0 {
        requests.notes.push(format!("{too_many} requests are left out, those behind the first {MOST_REQUESTS}"));
    }
    Ok(requests)
}

fn span(row: Row, start: Moment) -> RequestSpan {
    let after = |ms: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "it saturates, and no request takes a century")]
        let ns = (ms * 1e6).round() as i64;
        start.saturating_add(ns)
    };
    let first_token = row.ttft_ms.filter(|ms| ms.is_finite()).map(after);
    let end = row.e2e_ms.filter(|ms| ms.is_finite()).map(after).or(first_token).unwrap_or(start);
    let name = match (&row.failure, row.number) {
        (Some(failure), _) => format!("failed: {failure}"),
        (None, Some(number)) => format!("request {number}"),
        (None, None) => "request".to_owned(),
    };
    let about = [
        ("id", row.id.map(Value::from)),
        ("model", row.model.map(Value::from)),
        ("input tokens", row.input_tokens.map(Value::from)),
        ("output tokens", row.output_tokens.map(Value::from)),
        ("message", row.message.map(Value::from)),
        ("level", row.level.map(|level| level.to_string().into())),
    ];
    let about = about.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    RequestSpan { start, end, first_token, name, about }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_spans_and_those_without_a_clock_are_told() {
        let rows = "{\"number\": 3, \"sent_unix_ns\": 1000000, \"ttft_ms\": 0.5, \"e2e_ms\": 2.25, \"output_tokens\": 8}\n\n\
                    {\"number\": 4, \"sent_ms\": 1.0, \"e2e_ms\": 2.0}\n\
                    {\"sent_unix_ns\": 999, \"failure\": \"http_status\", \"message\": \"500\"}\n";
        let requests = read(rows.as_bytes(), 1000).unwrap();
        let spans: Vec<_> = requests.spans.iter().map(|s| (s.start, s.end, s.first_token, s.name.as_str())).collect();
        assert_eq!(spans, [(999_000, 3_249_000, Some(1_499_000), "request 3"), (-1, -1, None, "failed: http_status")]);
        assert!(requests.notes.len() == 1 && requests.notes[0].starts_with("1 requests are left out"));
        assert!(read(&b"PAR1\x00"[..], 0).unwrap_err().to_string().contains("Parquet"));
        assert!(format!("{:#}", read(&b"{}\nx\n"[..], 0).unwrap_err()).contains("line 2"));
    }
}
