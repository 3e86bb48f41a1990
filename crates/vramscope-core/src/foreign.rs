//! Text of others on its way to a terminal, a table or an error message.

use std::borrow::Cow;

/// Whether a character does something other than stand there: it steers a terminal, turns the direction of what follows,
/// ends a line, or is not to be seen at all. Line feeds and tabs are left to whoever lays text out.
const fn steers(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // C0, DEL, and C1, of which U+009B begins a sequence as ESC [ does.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Marks, embeddings, overrides and isolates of direction.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Separators of lines and paragraphs.
        '\u{2028}' | '\u{2029}' => true,
        // What takes no room. The joiners U+200C and U+200D stay: scripts and emoji need them.
        '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// The text without the characters that steer what shows it. What is left of a terminal's sequence is plain text. A
/// separator of lines becomes a space, so that words stay apart.
pub fn without_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let shown = |c| match c {
        '\u{2028}' | '\u{2029}' => Some(' '),
        c => (!steers(c)).then_some(c),
    };
    Cow::Owned(text.chars().filter_map(shown).collect())
}

/// The same on one line: line feeds and tabs become spaces, so that words stay apart.
pub fn on_one_line(text: &str) -> String {
    without_controls(text).replace(['\n', '\t'], " ")
}

/// JSON text with the same characters as `\u` escapes, as which a parser reads them back. Sound JSON has them within
/// strings alone; serde_json escapes only those of C0.
pub fn escape_controls(json: &str) -> Cow<'_, str> {
    if !json.contains(steers_json) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if steers_json(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Carriage returns between values are white space of JSON.
const fn steers_json(c: char) -> bool {
    steers(c) && !c.is_ascii_whitespace()
}

/// A text in which no more than `most` characters are shown: its beginning and its end, and how many are left out
/// between. What to do often stands at the end.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    // Fewer bytes than characters there are not.
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let all = text.chars().count();
    if all <= most {
        return Cow::Borrowed(text);
    }
    let end = most / 4;
    let head = text.char_indices().nth(most - end).map_or(text.len(), |(at, _)| at);
    let tail = match end {
        0 => text.len(),
        end => text.char_indices().rev().nth(end - 1).map_or(0, |(at, _)| at),
    };
    Cow::Owned(format!("{} … ({} characters left out) … {}", &text[..head], all - most, &text[tail..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_goes_and_text_stays() {
        for (text, shown) in [
            ("a\u{1b}]52;c;ZXZpbA==\u{7}b", "a]52;c;ZXZpbA==b"),
            ("a\u{9b}31mb\u{9d}0;t\u{9c}", "a31mb0;t"),
            ("user\u{202e}gpj.exe\u{202c}", "usergpj.exe"),
            ("a\u{2066}b\u{2069}c\u{200e}d\u{200f}e\u{61c}f", "abcdef"),
            ("one\u{2028}two\u{2029}three", "one two three"),
            ("a\rb\u{8}c\u{7f}d\0e", "abcde"),
            ("in\u{200b}vis\u{feff}ible\u{e0041}", "invisible"),
            ("line\n\tindented é 模型 👩‍💻", "line\n\tindented é 模型 👩‍💻"),
        ] {
            assert_eq!(without_controls(text), shown);
        }
        assert!(matches!(without_controls("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn one_line_has_no_second() {
        assert_eq!(on_one_line("a\tb\nc\r\nd\u{2028}e\u{9b}f"), "a b c d ef");
    }

    #[test]
    fn json_says_the_same_in_escapes() {
        let json = "{\r\n  \"a\u{9b}\": \"\u{202e}b\u{7f}\u{e0041}é\"\n}";
        assert_eq!(escape_controls(json), "{\r\n  \"a\\u009b\": \"\\u202eb\\u007f\\udb40\\udc41é\"\n}");
        assert_eq!(without_controls(&escape_controls(json)).replace('\r', ""), escape_controls(json).replace('\r', ""));
    }

    #[test]
    fn long_text_keeps_its_beginning_and_its_end() {
        assert_eq!(shortened("abcdefgh", 8), "abcdefgh");
        assert_eq!(shortened("éééé", 4), "éééé");
        assert_eq!(shortened("abcdefghij", 8), "abcdef … (2 characters left out) … ij");
        assert_eq!(shortened("abc", 0), " … (3 characters left out) … ");
        let long = "é".repeat(10_000_000);
        assert!(shortened(&long, 100).chars().count() < 200);
    }
}
