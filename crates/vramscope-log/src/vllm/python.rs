//! Just enough of Python's `repr` to read the engine's configuration: `key=value, …` and `{'key': value, …}` with
//! nested brackets, quoted strings and enum members.

/// Deepest nesting that is followed; the engine's own lines have about five levels.
const MAX_DEPTH: usize = 64;

/// One `key=value` or `'key': value`, its value as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    /// The text ends within or right after the value, so that the value may have lost its end.
    pub(crate) cut: bool,
}

/// Reads `key=value` pairs separated by commas, or, as 0.6.3 and 0.6.4 have it in one place, by a space alone. Stops at
/// a bracket that closes more than was opened.
pub(crate) fn assignments(text: &str) -> Vec<Pair<'_>> {
    let mut pairs = Vec::new();
    let mut at = 0;
    while let Some((key, value_at)) = assignment_at(text, at) {
        let end = value_end(text, value_at, |rest| rest.starts_with(' ') && assignment_at(rest, 0).is_some());
        let value = text[value_at..end.at].trim();
        pairs.push(Pair { key, value, cut: end.cut });
        if !matches!(text.as_bytes().get(end.at), Some(b',' | b' ')) {
            break;
        }
        at = end.at + 1;
    }
    pairs
}

/// Reads the pairs of a dict whose opening brace has been passed.
pub(crate) fn dict(text: &str) -> Vec<Pair<'_>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let Some(close) = rest[1..].find(quote) else { break };
        let key = &rest[1..=close];
        let Some(after) = rest[close + 2..].strip_prefix(':') else { break };
        let after = after.trim_start_matches(' ');
        let end = value_end(after, 0, |_| false);
        pairs.push(Pair { key, value: after[..end.at].trim(), cut: end.cut });
        match after[end.at..].strip_prefix(',') {
            Some(next) => rest = next.trim_start_matches(' '),
            None => break,
        }
    }
    pairs
}

/// An identifier and `=` at `at`, after spaces; gives the identifier and where the value begins.
fn assignment_at(text: &str, at: usize) -> Option<(&str, usize)> {
    let tail = text.get(at..)?;
    let start = at + (tail.len() - tail.trim_start_matches([' ', ',']).len());
    let name = &text[start..];
    let len = name.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    (starts_well && name.as_bytes().get(len) == Some(&b'=')).then(|| (&name[..len], start + len + 1))
}

struct End {
    at: usize,
    cut: bool,
}

/// Where the value that begins at `at` ends: at a comma, a closing bracket, or where `breaks` says so, all outside
/// brackets and strings.
fn value_end(text: &str, at: usize, breaks: impl Fn(&str) -> bool) -> End {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut place = at;
    while let Some(&byte) = bytes.get(place) {
        match byte {
            b'\'' | b'"' if opens_string(bytes, place, at) => match string_end(bytes, place) {
                Some(end) => {
                    place = end;
                    continue;
                }
                None => return End { at: text.len(), cut: true },
            },
            b'(' | b'[' | b'{' => depth = (depth + 1).min(MAX_DEPTH),
            b'<' if bytes.get(place + 1).is_some_and(u8::is_ascii_alphabetic) => depth = (depth + 1).min(MAX_DEPTH),
            b')' | b']' | b'}' if depth == 0 => return End { at: place, cut: false },
            b')' | b']' | b'}' => depth -= 1,
            b'>' if depth > 0 && bytes.get(place.wrapping_sub(1)) != Some(&b'-') => depth -= 1,
            b',' if depth == 0 => return End { at: place, cut: false },
            b' ' if depth == 0 && breaks(&text[place..]) => return End { at: place, cut: false },
            _ => {}
        }
        place += 1;
    }
    End { at: text.len(), cut: true }
}

/// A quote opens a string where a value can begin: an apostrophe within a bare word does not.
fn opens_string(bytes: &[u8], place: usize, start: usize) -> bool {
    place == start || bytes.get(place - 1).is_none_or(|b| !b.is_ascii_alphanumeric() || matches!(b, b'r' | b'b' | b'u'))
}

/// Just after the quote that closes the string that opens at `place`.
fn string_end(bytes: &[u8], place: usize) -> Option<usize> {
    let quote = *bytes.get(place)?;
    let mut at = place + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            b if b == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// A string without its quotes, an enum member by its name (`LoadFormat.AUTO`, `<CUDAGraphMode.FULL: 2>`), or the text
/// itself. `None` for Python's `None`.
pub(crate) fn text_of(value: &str) -> Option<String> {
    let value = value.trim();
    if value.is_empty() || value == "None" {
        return None;
    }
    for quote in ['\'', '"'] {
        if let Some(inside) = value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote)) {
            return Some(unescape(inside));
        }
    }
    if let Some(inside) = value.strip_prefix('<').and_then(|v| v.strip_suffix('>')) {
        let member = inside.split(':').next().unwrap_or(inside);
        return Some(member.rsplit('.').next().unwrap_or(member).to_owned());
    }
    Some(value.to_owned())
}

fn unescape(inside: &str) -> String {
    if !inside.contains('\\') {
        return inside.to_owned();
    }
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next @ ('\\' | '\'' | '"'))) => {
                out.push(next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// `True` and `False`.
pub(crate) fn bool_of(value: &str) -> Option<bool> {
    match value.trim() {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}

/// The inside of `{…}` or `Name(…)`, closed or cut off.
pub(crate) fn inside(value: &str) -> Option<&str> {
    let open = value.find(['{', '('])?;
    let inside = &value[open + 1..];
    Some(inside.strip_suffix(['}', ')']).unwrap_or(inside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get<'a>(pairs: &[Pair<'a>], key: &str) -> Option<&'a str> {
        pairs.iter().find(|p| p.key == key).map(|p| p.value)
    }

    #[test]
    fn nested_values_do_not_leak_their_keys() {
        let pairs = assignments(
            "model='a/b', speculative_config=SpeculativeConfig(method='mtp', model='draft, x=1', num_spec_tokens=3), \
             dtype=torch.bfloat16, chunked_prefill_enabled=False multi_step_stream_outputs=True, \
             compilation_config={'mode': <CompilationMode.VLLM_COMPILE: 3>, 'a': [1, 2]}, seed=0)",
        );
        assert_eq!(get(&pairs, "model"), Some("'a/b'"));
        assert_eq!(get(&pairs, "dtype"), Some("torch.bfloat16"));
        assert_eq!(get(&pairs, "chunked_prefill_enabled"), Some("False"));
        assert_eq!(get(&pairs, "multi_step_stream_outputs"), Some("True"));
        assert_eq!(get(&pairs, "seed"), Some("0"));
        assert_eq!(pairs.iter().filter(|p| p.key == "model").count(), 1);
        let spec = assignments(inside(get(&pairs, "speculative_config").unwrap()).unwrap());
        assert_eq!(get(&spec, "method"), Some("'mtp'"));
        let compilation = dict(inside(get(&pairs, "compilation_config").unwrap()).unwrap());
        assert_eq!(text_of(get(&compilation, "mode").unwrap()).as_deref(), Some("VLLM_COMPILE"));
    }

    #[test]
    fn a_dict_with_strings_that_hold_quotes_and_commas() {
        let pairs = dict("'a': \"it's, fine\", 'max_model_len': 8192, 'c': {'d': 1}, 'e': None}");
        assert_eq!(get(&pairs, "max_model_len"), Some("8192"));
        assert_eq!(text_of(get(&pairs, "a").unwrap()).as_deref(), Some("it's, fine"));
        assert_eq!(text_of(get(&pairs, "e").unwrap()), None);
    }

    #[test]
    fn a_cut_is_seen() {
        assert!(assignments("a=1, model='x/y").last().unwrap().cut);
        assert!(assignments("a=1, max_seq_len=40").last().unwrap().cut);
        assert!(!assignments("a=1, max_seq_len=40)").last().unwrap().cut);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[a-z={}'\"\\[\\]()<>:, \\\\é]{0,80}") {
            let _ = assignments(&text);
            let _ = dict(&text);
            let _ = text_of(&text);
            let _ = inside(&text).map(assignments);
        }
    }
}
