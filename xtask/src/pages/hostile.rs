//! Names and lines as nobody should write them. A page must show them as text, in their place.

use serde_json::Value;

/// A name of this length is no name any more.
const LONG: usize = 1 << 20;
/// So many long ones are enough.
const MOST_LONG: usize = 4;

const NAMES: &[&str] = &[
    "</script><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(2)><!--",
    "safe\u{202e}gpj.exe\u{2066}\u{200f}",
    "' autofocus onfocus='alert(3)",
    "</title></style><style>*{display:none}</style>",
    "javascript:alert(4)",
    "]]>&lt;script&gt;alert(5)&lt;/script&gt;&#x3c;",
    "line\u{2028}line\r\nline\u{0}\u{1b}[2J\u{7f}",
    "![x](https://example.org/x.png) | <details open ontoggle=alert(6)>",
    "\u{1f469}\u{200d}\u{1f4bb}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} \u{fdfd}\u{fdfd}\u{fdfd}",
];

/// The document with hostile texts in place of all that somebody else may choose: what is no single word of the
/// document's own.
pub(super) fn planted(mut document: Value) -> Value {
    let mut count = 0;
    plant(&mut document, "", &mut count);
    document
}

fn plant(value: &mut Value, key: &str, count: &mut usize) {
    match value {
        Value::String(text) if is_free(text, key) => {
            *text = nth(*count);
            *count += 1;
        }
        Value::Array(list) => list.iter_mut().for_each(|one| plant(one, key, count)),
        Value::Object(members) => members.iter_mut().for_each(|(key, one)| plant(one, key, count)),
        _ => {}
    }
}

/// Whether others choose what stands here.
fn is_free(text: &str, key: &str) -> bool {
    // A figure's or a part's name is the document's own word.
    let word = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let time = matches!(text.as_bytes(), [_, _, _, _, b'-', _, _, b'-', _, _, b'T', ..]);
    !word && !time && key != "schema_version"
}

/// The name of this number: every tenth is endless, as long as few are.
fn nth(count: usize) -> String {
    let name = NAMES[count % NAMES.len()];
    match count {
        3 => "W".repeat(LONG),
        14 => "漢".repeat(LONG / 3),
        25 => "</script><img src=x onerror=alert(7)>".repeat(LONG / 38),
        count if count < 10 * MOST_LONG && count % 10 == 6 => format!("{name} ").repeat(LONG / (name.len() + 1)),
        count => format!("{name} {count}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_choose_becomes_hostile_and_the_documents_own_words_stay() {
        let document = serde_json::json!({
            "status": "complete", "created_at": "2026-11-30T12:00:00Z", "model": "org/model", "n": 1,
            "lines": ["INFO 11-30 a line"], "figures": [{"name": "peak_bytes"}],
        });
        let planted = planted(document.clone());
        for kept in ["status", "created_at", "n", "figures"] {
            assert_eq!(planted[kept], document[kept]);
        }
        assert!(planted["model"] != document["model"] && planted["lines"][0] != document["lines"][0]);
    }
}
