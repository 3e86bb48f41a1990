//! Small JSON documents of a run or a campaign: one that cannot be used is told by its place, in words of the document.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Why a text is not the document that it should be. Who reads it says which file it is, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Nothing there.
    #[error("it is empty, as a file is whose writer was killed or whose disk was full")]
    Empty,
    /// The beginning of a document.
    #[error(
        "it ends in the middle, at line {line}, column {column}, as a file does whose writer was killed or whose disk \
         was full"
    )]
    CutShort {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// No JSON.
    #[error("line {line}, column {column} is no JSON: {reason}")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// JSON of another kind.
    #[error("{field}, line {line}, column {column}: {reason}")]
    Field {
        /// The path of the field, or of what lacks one: `runs[2].key`, `the document`.
        field: String,
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What is there or is missing, and what was expected.
        reason: String,
    },
}

/// Reads a document that is an object, or a list.
///
/// # Errors
/// [`JsonError`] with line, column and field.
pub fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, JsonError> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    if json.iter().all(u8::is_ascii_whitespace) {
        return Err(JsonError::Empty);
    }
    let mut text = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize::<_, T>(&mut text);
    let (field, error) = match read {
        Ok(document) => match text.end() {
            Ok(()) => return Ok(document),
            Err(error) => (String::new(), error),
        },
        Err(error) => (error.path().to_string(), error.into_inner()),
    };
    let (line, column) = (error.line(), error.column());
    Err(match error.classify() {
        Category::Eof => JsonError::CutShort { line, column },
        Category::Data => {
            let field = if matches!(field.as_str(), "." | "") { "the document".to_owned() } else { field };
            JsonError::Field { field, line, column, reason: reason(&error) }
        }
        Category::Syntax | Category::Io => JsonError::Syntax { line, column, reason: reason(&error) },
    })
}

impl JsonError {
    /// Of a text that is one line of a file.
    pub fn on_line(mut self, number: usize) -> Self {
        match &mut self {
            Self::CutShort { line, .. } | Self::Syntax { line, .. } | Self::Field { line, .. } => *line = number,
            Self::Empty => {}
        }
        self
    }
}

/// The parser's words without their place, and with names of JSON for those of Rust.
fn reason(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let Some((found, expected)) = said.rsplit_once(", expected ") else { return said.to_owned() };
    let is_number = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "usize"].contains(&expected);
    let expected = match expected {
        _ if is_number => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        other if other == "a map" || other.starts_with("struct ") => "an object",
        other => other,
    };
    let found = found.replacen("invalid type: sequence", "invalid type: a list", 1);
    let found = found.replacen("invalid type: map", "invalid type: an object", 1);
    format!("{found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Document {
        runs: Vec<Run>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Run {
        n: u32,
    }

    #[test]
    fn what_is_garbled_is_told_by_its_place_in_words_of_the_document() {
        for (text, said) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("{\"runs\": [\n{\"n\"", "it ends in the middle, at line 2, column 4"),
            ("{\"runs\": [\n{\"n\": 1}]", "it ends in the middle, at line 2"),
            ("\0\0\0\0", "line 1, column 1 is no JSON"),
            ("{\"runs\": []} x", "line 1, column 14 is no JSON: trailing characters"),
            (
                "{\"runs\": [\n{\"n\": 1}, {\"n\": \"x\"}]}",
                "runs[1].n, line 2, column 19: invalid type: string \"x\", expected a whole number",
            ),
            (
                "{\"runs\": [{\"n\": -1}]}",
                "runs[0].n, line 1, column 18: invalid value: integer `-1`, expected a whole number",
            ),
            ("{\"runs\": 7}", "runs, line 1, column 10: invalid type: integer `7`, expected a list"),
            ("{}", "the document, line 1, column 2: missing field `runs`"),
            ("null", "the document, line 1, column 4: invalid type: null, expected an object"),
        ] {
            let error = read_json::<Document>(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        let whole = read_json::<Document>(b"\xef\xbb\xbf{\"runs\": [{\"n\": 1}]}\n").unwrap();
        assert_eq!(whole, Document { runs: vec![Run { n: 1 }] });
    }

    #[test]
    fn a_line_of_a_file_has_that_files_number() {
        let error = read_json::<Run>(b"{\"n\": true}").unwrap_err().on_line(7);
        assert!(error.to_string().starts_with("n, line 7, column 10: "), "{error}");
    }
}
