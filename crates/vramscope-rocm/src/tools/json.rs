//! JSON in the midst of other text, and figures in the tools' several forms.

use serde_json::{Deserializer, Value};
use vramscope_core::{ByteUnit, Bytes};
use vramscope_gpu::Figure;

use super::ReadError;

/// More places than this in which a document could begin are not tried.
const MAX_TRIES: usize = 1000;

/// Tries that fail may read this many times the text together: each may read to the end.
const MAX_READ: usize = 4;

/// How an output begins where a line has something before it, as a container's log has.
const STARTS: [&str; 4] = ["{\"card", "{\"system\"", "{\"gpu_data\"", "[{\"gpu\""];

/// What a text holds.
#[derive(Debug)]
pub(super) struct Found {
    /// All JSON objects and lists of objects, in order.
    pub(super) documents: Vec<Value>,
    /// The line, from 1, of one that begins and does not end.
    pub(super) torn: Option<usize>,
}

/// Finds JSON in the midst of other text. The tools print warnings before it, some with brackets, so each opening
/// bracket at the beginning of a line or behind only blanks is tried.
pub(super) fn documents(text: &str) -> Result<Found, ReadError> {
    let mut found = Found { documents: Vec::new(), torn: None };
    let (mut failure, mut read) = (None, 0_usize);
    let mut rest = text;
    let mut tries = 0;
    while tries < MAX_TRIES && read <= text.len().saturating_mul(MAX_READ) {
        let Some(start) = next_start(rest) else { break };
        let from = &rest[start..];
        // A list that begins neither with an object nor with a list that does is none of the tools'.
        let inside = from.trim_start_matches(|c: char| c == '[' || c.is_whitespace());
        read = read.saturating_add(from.len() - inside.len());
        if !inside.starts_with('{') {
            rest = &from[1..];
            continue;
        }
        tries += 1;
        let mut stream = Deserializer::from_str(from).into_iter::<Value>();
        let tried = stream.next();
        rest = match tried {
            Some(Ok(value)) if holds_objects(&value) => {
                found.documents.push(value);
                &from[stream.byte_offset()..]
            }
            Some(Err(error)) => {
                let ends_early = error.is_eof();
                read = read.saturating_add(if ends_early { from.len() } else { reached(from, &error) });
                if ends_early && found.torn.is_none() && STARTS.iter().any(|sign| begins_with(from, sign)) {
                    found.torn = Some(text[..text.len() - from.len()].matches('\n').count() + 1);
                }
                failure.get_or_insert(error);
                &from[1..]
            }
            _ => &from[1..],
        };
    }
    match (found.documents.is_empty(), found.torn) {
        (false, _) => Ok(found),
        (true, Some(line)) => Err(ReadError::Torn { line }),
        (true, None) => Err(ReadError::NoJson(failure)),
    }
}

/// How far a failed try has read: to the end of the line of its error.
fn reached(text: &str, error: &serde_json::Error) -> usize {
    text.split_inclusive('\n').take(error.line()).map(str::len).sum()
}

/// Whether a text begins with this, apart from blanks between the parts.
fn begins_with(text: &str, sign: &str) -> bool {
    let mut text = text.chars().filter(|c| !c.is_whitespace());
    sign.chars().all(|c| text.next() == Some(c))
}

/// The next opening bracket that begins a line, or an output in the midst of one.
fn next_start(text: &str) -> Option<usize> {
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start();
        if bare.starts_with(['{', '[']) {
            return Some(line_start + line.len() - bare.len());
        }
        if let Some(place) = STARTS.iter().filter_map(|sign| line.find(sign)).min() {
            return Some(line_start + place);
        }
        line_start += line.len();
    }
    None
}

/// Whether it is an object, or a list of objects or of such lists.
fn holds_objects(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(list) => !list.is_empty() && list.iter().all(holds_objects),
        _ => false,
    }
}

/// A figure and its unit in any of the tools' forms: `6`, `"6"`, `"6 W"`, `"(300Mhz)"`, `{"value": 6, "unit": "W"}`.
/// `"N/A"` in any of these places is nothing.
pub(super) fn figure(value: &Value) -> Option<(Figure, String)> {
    match value {
        Value::Number(number) => Figure::parse(&number.to_string()).map(|figure| (figure, String::new())),
        Value::String(text) => Figure::parse_with_unit(text).map(|(figure, unit)| (figure, unit.to_owned())),
        Value::Object(pair) => {
            let (figure, unit) = figure(pair.get("value")?)?;
            let stated = pair.get("unit").and_then(Value::as_str).map(str::to_owned);
            Some((figure, stated.unwrap_or(unit)))
        }
        _ => None,
    }
}

/// The figure alone.
pub(super) fn number(value: &Value) -> Option<Figure> {
    figure(value).map(|(figure, _)| figure)
}

/// An amount of memory. The tools write "MB" and "KB" and mean MiB and KiB; without a unit they mean MiB.
pub(super) fn memory(value: &Value) -> Option<Bytes> {
    let (figure, unit) = figure(value)?;
    let unit = match unit.to_ascii_uppercase().as_str() {
        "B" | "BYTES" => ByteUnit::B,
        "KB" | "KIB" => ByteUnit::KiB,
        "GB" | "GIB" => ByteUnit::GiB,
        "TB" | "TIB" => ByteUnit::TiB,
        "" | "MB" | "MIB" => ByteUnit::MiB,
        _ => return None,
    };
    Bytes::from_unit(figure.as_f64(), unit)
}

/// A text that says something.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty() && *text != "N/A" && *text != "None")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn warnings_with_brackets_before_the_json_do_not_hide_it() {
        let text = "WARNING: missing groups [render, video]\n[not json]\n\n  {\"a\": 1}\n[{\"b\": 2}]\nbye\n";
        assert_eq!(documents(text).unwrap().documents, [json!({"a": 1}), json!([{"b": 2}])]);
        assert!(matches!(documents("no json at all"), Err(ReadError::NoJson(None))));
        assert!(matches!(documents("{\"a\": "), Err(ReadError::NoJson(Some(_)))));
    }

    #[test]
    fn an_output_in_a_line_is_found_and_one_without_its_end_is_named_by_its_line() {
        let text = "2026-11-23T21:04:05Z stdout F {\"card0\": {\"GPU use (%)\": \"1\"}}\n";
        assert_eq!(documents(text).unwrap().documents.len(), 1);
        let behind = "[2026-11-23 21:04:05] starting\n".repeat(5000);
        assert_eq!(documents(&format!("{behind}{text}")).unwrap().documents.len(), 1);
        let torn = "WARNING: [a\n\n[\n    {\n        \"gpu\": 0,\n        \"usage\": {\n";
        assert!(matches!(documents(torn), Err(ReadError::Torn { line: 3 })), "{:?}", documents(torn));
        let second = documents(&format!("{text}{{\"card0\": {{")).unwrap();
        assert_eq!((second.documents.len(), second.torn), (1, Some(2)));
    }

    #[test]
    fn text_full_of_brackets_is_given_up_and_depth_is_bounded() {
        let brackets = "[1,\n".repeat(100_000);
        assert!(documents(&brackets).is_err());
        let deep = "{\"a\":".repeat(100_000);
        assert!(documents(&deep).is_err());
    }

    #[test]
    fn a_figure_has_many_forms_and_absent_is_none() {
        let value = |json| number(&json);
        assert_eq!(value(json!(6)), Some(Figure::Whole(6)));
        assert_eq!(value(json!({"value": 6.5, "unit": "W"})), Some(Figure::Real(6.5)));
        assert_eq!(value(json!("37 W")), Some(Figure::Whole(37)));
        assert_eq!(value(json!({"value": "N/A", "unit": "W"})), None);
        assert_eq!(value(json!("N/A")), None);
        assert_eq!(memory(&json!({"value": 65520, "unit": "MB"})), Some(Bytes::new(65520 << 20)));
        assert_eq!(memory(&json!({"value": 3, "unit": "furlong"})), None);
    }
}
