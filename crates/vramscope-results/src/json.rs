//! JSON as these tools write it: Python's, in which numbers may be `Infinity` and `NaN`.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::error::ResultError;

/// Words of Python for numbers that JSON does not have.
const NO_NUMBERS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// The same text with `null` for numbers that JSON does not have: they are no figures.
pub(crate) fn strict(json: &[u8]) -> Cow<'_, [u8]> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let mut text: Option<Vec<u8>> = None;
    let (mut in_text, mut at, mut done) = (false, 0, 0);
    while let Some(byte) = json.get(at) {
        let word = NO_NUMBERS.iter().find(|word| !in_text && json[at..].starts_with(word));
        match byte {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            _ => {}
        }
        if let Some(word) = word {
            let text = text.get_or_insert_default();
            text.extend_from_slice(&json[done..at]);
            text.extend_from_slice(b"null");
            at += word.len();
            done = at;
        } else {
            at += 1;
        }
    }
    match text {
        Some(mut text) => {
            text.extend_from_slice(&json[done..]);
            Cow::Owned(text)
        }
        None => Cow::Borrowed(json),
    }
}

/// Reads every document of a file: one, several lines of them, or one after the other.
pub(crate) fn documents<T: DeserializeOwned>(json: &[u8], most: usize) -> Result<Vec<T>, ResultError> {
    let mut found = Vec::new();
    let text = serde_json::Deserializer::from_slice(json).into_iter::<T>();
    for read in text {
        if found.len() == most {
            return Err(ResultError::TooMuch { most, what: "runs" });
        }
        found.push(read.map_err(|error| broken("the document", &error))?);
    }
    Ok(found)
}

/// Reads the one document of a file.
pub(crate) fn document<T: DeserializeOwned>(json: &[u8]) -> Result<T, ResultError> {
    let mut text = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize::<_, T>(&mut text);
    let read = read.map_err(|error| broken(&error.path().to_string(), error.inner()))?;
    text.end().map_err(|error| broken("the document", &error))?;
    Ok(read)
}

fn broken(field: &str, error: &serde_json::Error) -> ResultError {
    let said = error.to_string();
    let reason = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let field = if matches!(field, "." | "" | "?") { "the document" } else { field };
    ResultError::Json { field: printable(field), line: error.line(), column: error.column(), reason: printable(reason) }
}

/// No name or message needs more characters.
const MOST_SAID: usize = 200;

/// A file's words, fit to be said: no control codes, and no more than a line.
pub(crate) fn printable(text: &str) -> String {
    vramscope_core::on_one_line(text).chars().take(MOST_SAID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_lacks_are_no_figures_and_texts_stay() {
        let text = br#"{"a": Infinity, "b": -Infinity, "c":NaN, "d": "NaN \"Infinity", "e": 1}"#;
        let read: serde_json::Value = serde_json::from_slice(&strict(text)).unwrap();
        assert_eq!(read["a"], serde_json::Value::Null);
        assert_eq!(read["b"], serde_json::Value::Null);
        assert_eq!(read["c"], serde_json::Value::Null);
        assert_eq!((read["d"].as_str(), read["e"].as_i64()), (Some("NaN \"Infinity"), Some(1)));
        assert!(matches!(strict(b"{}"), Cow::Borrowed(_)));
    }
}
