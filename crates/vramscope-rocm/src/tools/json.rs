//! JSON in the midst of other text, and figures in the tools' several forms.

use serde_json::{Deserializer, Value};
use vramscope_core::{ByteUnit, Bytes};
use vramscope_gpu::Figure;

use super::ReadError;

/// More places than this in which a document could begin are not tried: each try may read to the end.
const MAX_TRIES: usize = 1000;

/// All JSON objects and arrays of objects in a text, in order. The tools print warnings before them, some with
/// brackets, so each opening bracket at the beginning of a line or behind only blanks is tried.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, ReadError> {
    let mut found = Vec::new();
    let mut failure = None;
    let mut rest = text;
    for _ in 0..MAX_TRIES {
        let Some(start) = next_start(rest) else { break };
        let mut stream = Deserializer::from_str(&rest[start..]).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) if holds_objects(&value) => {
                found.push(value);
                rest = &rest[start + stream.byte_offset()..];
            }
            Some(Err(error)) => {
                failure.get_or_insert(error);
                rest = &rest[start + 1..];
            }
            _ => rest = &rest[start + 1..],
        }
    }
    if found.is_empty() { Err(ReadError::NoJson(failure)) } else { Ok(found) }
}

/// The next opening bracket that begins a line, or the text.
fn next_start(text: &str) -> Option<usize> {
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start();
        if bare.starts_with(['{', '[']) {
            return Some(line_start + line.len() - bare.len());
        }
        line_start += line.len();
    }
    None
}

fn holds_objects(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(list) => !list.is_empty() && list.iter().all(Value::is_object),
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
        assert_eq!(documents(text).unwrap(), [json!({"a": 1}), json!([{"b": 2}])]);
        assert!(matches!(documents("no json at all"), Err(ReadError::NoJson(None))));
        assert!(matches!(documents("{\"a\": "), Err(ReadError::NoJson(Some(_)))));
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
