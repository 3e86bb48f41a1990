//! What a JSON string says.

use std::borrow::Cow;

/// The text of a string literal without its quotes. Escapes are resolved; what is no valid UTF-8 or no valid escape
/// becomes U+FFFD, so that a defect in a name costs that character and nothing else.
pub(crate) fn unescape(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        text.push_str(&String::from_utf8_lossy(&rest[..at]));
        let (character, used) = escape(&rest[at..]);
        text.push(character);
        rest = &rest[at + used..];
    }
    text.push_str(&String::from_utf8_lossy(rest));
    Cow::Owned(text)
}

/// The character of the escape at the start of `text` (a backslash), and how many bytes it takes.
fn escape(text: &[u8]) -> (char, usize) {
    match text.get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(&plain @ (b'"' | b'\\' | b'/')) => (char::from(plain), 2),
        Some(b'u') => unicode(text),
        Some(&other) if other.is_ascii() => (char::REPLACEMENT_CHARACTER, 2),
        _ => (char::REPLACEMENT_CHARACTER, 1),
    }
}

fn unicode(text: &[u8]) -> (char, usize) {
    let Some(high) = code_unit(text) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if let Some(character) = char::from_u32(high) {
        return (character, 6);
    }
    let low = text.get(6..).filter(|t| t.starts_with(b"\\u")).and_then(code_unit);
    match low {
        Some(low @ 0xDC00..=0xDFFF) if high < 0xDC00 => {
            let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// The four hexadecimal digits after `\u`.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(2..6).filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn defects_cost_one_character() {
        assert_eq!(unescape(br#"a\u4e2d\ud83d\ude00\n"#), "a\u{4e2d}\u{1f600}\n");
        assert_eq!(unescape(br"\ud83dx"), "\u{fffd}x");
        assert_eq!(unescape(br"\q\u12"), "\u{fffd}\u{fffd}12");
        assert_eq!(unescape(b"bad\xff byte\\"), "bad\u{fffd} byte\u{fffd}");
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read_back(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescape(&json.as_bytes()[1..json.len() - 1]), text.as_str());
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = unescape(&raw);
        }
    }
}
