//! Lines that are rows of a table with commas, as log stores export them: the message is one cell, in quotes.

use super::json::{self, Object};
use crate::clock;

/// Most cells of such a row.
const MAX_CELLS: usize = 64;

/// One cell.
#[derive(Debug, PartialEq, Eq)]
struct Cell {
    text: String,
    quoted: bool,
}

/// Reads a text that is one row of a table with a message in quotes (RFC 4180). Sentences with commas and quotes are no
/// rows: a cell without quotes is one word, or a time.
pub(crate) fn row(text: &str) -> Option<Object> {
    let text = text.trim_end();
    if !(text.ends_with('"') || text.starts_with('"')) {
        return None;
    }
    let cells = cells(text)?;
    let is_message = |cell: &&Cell| cell.quoted && cell.text.contains(' ') && clock::iso(&cell.text).is_none();
    let message = cells.iter().filter(is_message).max_by_key(|cell| cell.text.len())?.text.clone();
    let clock = cells.iter().find_map(|cell| clock::iso(&cell.text).filter(|(_, len)| *len == cell.text.len()));
    let clock = clock.map(|(clock, _)| clock);
    if let Some(object) = json::object(&message) {
        return Some(Object { clock: object.clock.or(clock), ..object });
    }
    Some(Object { message, level: None, clock, tag: None })
}

fn cells(text: &str) -> Option<Vec<Cell>> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (cell, after) = cell(rest)?;
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(next) if cells.len() < MAX_CELLS => rest = next,
            None if after.is_empty() => break,
            _ => return None,
        }
    }
    (cells.len() > 1).then_some(cells)
}

/// The first cell of a text, and what follows it.
fn cell(text: &str) -> Option<(Cell, &str)> {
    let Some(inside) = text.strip_prefix('"') else {
        let end = memchr::memchr(b',', text.as_bytes()).unwrap_or(text.len());
        let (cell, after) = text.split_at(end);
        let is_time = || clock::iso(cell).is_some_and(|(_, len)| len == cell.len());
        let plain = !cell.contains(['"', ' ']) || is_time();
        return plain.then(|| (Cell { text: cell.to_owned(), quoted: false }, after));
    };
    let mut cell = String::new();
    let mut rest = inside;
    loop {
        let end = memchr::memchr(b'"', rest.as_bytes())?;
        cell.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        let Some(doubled) = rest.strip_prefix('"') else { break };
        cell.push('"');
        rest = doubled;
    }
    Some((Cell { text: cell, quoted: true }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_row_is_read_wherever_it_stands() {
        let message = |text: &str| row(text).map(|row| row.message);
        let said = "(EngineCore pid=71) GPU KV cache size: 41,328 tokens";
        for text in [
            format!("2026-03-24T04:03:56Z,INFO,\"{said}\""),
            format!("\"2026-03-24T04:03:56.112Z\",\"node-7\",\"{said}\""),
            format!("\"2026-03-24 04:03:56\",\"{said}\",node-7,,7"),
        ] {
            assert_eq!(message(&text).as_deref(), Some(said), "{text}");
            assert_eq!(row(&text).unwrap().clock.unwrap().year, Some(2026), "{text}");
        }
        let doubled = "2026-03-24T04:03:56Z,INFO,\"args: {'a': \"\"b c\"\"}\"";
        assert_eq!(message(doubled).as_deref(), Some("args: {'a': \"b c\"}"));
        let object = "1,\"{\"\"log\"\":\"\"took 9 GB\\n\"\",\"\"time\"\":\"\"2025-05-20T19:02:33Z\"\"}\"";
        assert_eq!(row(object).map(|row| (row.message, row.clock.is_some())), Some(("took 9 GB\n".to_owned(), true)));
    }

    #[test]
    fn sentences_and_code_are_no_rows() {
        for text in [
            "INFO 03-24 04:03:56 [a.py:1] the model is called x, \"y z\"",
            "\"a b\"",
            "    \"a b\", \"c d\"",
            "print(\"a b\",\"c d\")",
            "\"a b\"c,\"d e\"",
            "\"open, and never closed",
            "File \"a.py\", line 3, in \"f g\"",
            "x,\"one\"",
        ] {
            assert_eq!(row(text), None, "{text}");
        }
        assert_eq!(row(&"\"a b\",".repeat(100_000)), None);
    }
}
