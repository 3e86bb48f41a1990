//! Values behind the name of a secret: `api_key=…`, `'hf_token': …`, `Authorization: Bearer …`, `--api-key …`.

use std::ops::Range;

use super::REDACTED;
use super::name::{Name, kind};

/// Words behind `Authorization:` that name the kind of secret and are none.
const SCHEMES: &[&str] = &["apikey", "basic", "bearer", "key", "negotiate", "token"];

/// The same, of kinds that have several parts up to the end of the line.
const SCHEMES_OF_PARTS: &[&str] = &["aws4-hmac-sha256", "digest", "hawk"];

/// What stands for no secret, or for the type of one.
const HARMLESS: &[&str] =
    &["", "0", "1", "None", "True", "False", "null", "true", "false", "str", "Optional[str", "bytes", "..."];

/// A value of a doubtful name is at least this long.
const LEAST_DOUBTFUL: usize = 8;

/// A name is looked at as far as a name goes.
const LONGEST_NAME: usize = 128;

/// Tells the values of the name of which `at` is a part. Gives where the name ends.
pub(super) fn values(text: &str, at: usize, hide: &mut dyn FnMut(Range<usize>)) -> usize {
    let bytes = text.as_bytes();
    let of_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let mut begins = at - bytes[..at].iter().rev().take_while(of_name).count();
    let ends = at + bytes[at..].iter().take_while(of_name).count();
    // A line break that is written out is no part of the name behind it.
    if bytes[..begins].ends_with(b"\\") && matches!(bytes[begins], b'n' | b't' | b'r') && begins < at {
        begins += 1;
    }
    let name = &text[begins..ends];
    if name.len() > LONGEST_NAME || bytes.get(ends).is_none_or(|b| !is_separator(*b)) {
        return ends;
    }
    let kind = kind(name);
    let of_query = matches!(bytes[..begins].last(), Some(b'?' | b'&'));
    if kind == Name::Plain || (kind == Name::Parameter && !of_query) {
        return ends;
    }
    let gap = bytes[ends..].iter().take_while(|b| is_separator(**b)).count();
    let between = &text[ends..ends + gap];
    let set = between.contains(['=', ':']);
    // A quoted flag in a sentence: what stands behind its closing quote is no value, but for that of a list of words.
    let closed = name.starts_with('-') && between.starts_with(['\'', '"']) && !set;
    let of_list = closed.then(|| word_behind(text, ends)).flatten();
    if (kind == Name::Header && !set) || (closed && of_list.is_none()) {
        return ends;
    }
    let mut value = of_list.unwrap_or_else(|| value_behind(text, ends, kind == Name::Header));
    if set {
        let scheme = text[value.clone()].to_ascii_lowercase();
        let next = if SCHEMES_OF_PARTS.contains(&scheme.as_str()) {
            value_behind(text, value.end, true)
        } else if SCHEMES.contains(&scheme.as_str()) && name.to_ascii_lowercase().ends_with("authorization") {
            value_behind(text, value.end, false)
        } else {
            value.end..value.end
        };
        value = if next.is_empty() { value } else { next };
    }
    let said = &text[value.clone()];
    // What was hidden before stays as it is; its bracket looks like that of a list.
    let was_hidden = text[..value.start].ends_with('[') && text[value.start - 1..].starts_with(REDACTED);
    let quoted = between.ends_with(['\'', '"']);
    let hides = match kind {
        Name::Doubtful => {
            let long = said.len() >= LEAST_DOUBTFUL && !said.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            set && long && (quoted || between.contains('=') || is_random(said))
        }
        Name::Parameter => between == "=" && said.len() >= LEAST_DOUBTFUL,
        Name::Guess => set && is_one_random_word(said),
        Name::Folder => set && !is_path(said),
        // A name in prose has a word behind it, that of a flag its value.
        _ => set || name.starts_with('-') || is_random(said),
    };
    if was_hidden || !hides || HARMLESS.contains(&said) || SCHEMES.contains(&said.to_ascii_lowercase().as_str()) {
        return ends;
    }
    let mut last = value.end;
    hide(value);
    if is_plural(name) {
        while let Some(more) = next_behind_comma(text, last) {
            last = more.end;
            hide(more);
        }
    }
    if between.contains('[') {
        while let Some(more) = next_of_list(text, last) {
            last = more.end;
            hide(more);
        }
    }
    ends
}

/// Letters with digits among them, or more than a word has.
fn is_random(value: &str) -> bool {
    let has = |of: fn(&u8) -> bool| value.bytes().any(|b| of(&b));
    value.len() >= LEAST_DOUBTFUL && (value.len() >= 24 || (has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)))
}

/// Letters and digits in one: what settings name has words with something between.
fn is_one_random_word(value: &str) -> bool {
    let whole = |part: &str| part.len() == value.trim_end_matches('=').len() || part.len() >= 16;
    value.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| whole(part) && is_random(part))
}

fn is_path(value: &str) -> bool {
    value.starts_with(['/', '~', '.', '$', '%']) || value.as_bytes().get(1) == Some(&b':')
}

/// What stands between a name and its value.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'\\' | b'=' | b':' | b' ' | b'\t' | b'[' | b'(')
}

/// The value behind a name that ends at `at`: up to its closing quote if it has one, else one word, or the `whole` line.
fn value_behind(text: &str, at: usize, whole: bool) -> Range<usize> {
    let bytes = text.as_bytes();
    let begins = at + bytes[at..].iter().take_while(|b| is_separator(**b)).count();
    let quote = bytes[at..begins].last().copied().filter(|b| matches!(b, b'\'' | b'"'));
    if let Some(end) = quote.and_then(|quote| memchr::memchr(quote, &bytes[begins..])) {
        return begins..begins + end - usize::from(end > 0 && bytes[begins + end - 1] == b'\\');
    }
    let ends: &[u8] = if whole { b"\n\r'\"" } else { b" \t\n\r\x0b\x0c'\"\\,;&)]}<>" };
    let long = bytes[begins..].iter().position(|b| ends.contains(b)).unwrap_or(bytes.len() - begins);
    begins..begins + text[begins..begins + long].trim_end().len()
}

/// The next word of a list of quoted words, as `'--api-key', 'x'`.
fn word_behind(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let quote = *bytes.get(at)?;
    let gap = bytes[at + 1..].iter().take(4).take_while(|b| matches!(b, b',' | b' ')).count();
    let begins = at + 1 + gap + 1;
    let listed = bytes[at + 1..at + 1 + gap].contains(&b',') && bytes.get(begins - 1) == Some(&quote);
    let end = memchr::memchr(quote, bytes.get(begins..).filter(|_| listed)?)?;
    (bytes.get(begins) != Some(&b'-')).then_some(begins..begins + end)
}

/// Whether a name speaks of several secrets.
fn is_plural(name: &str) -> bool {
    let small = name.to_ascii_lowercase();
    ["keys", "tokens", "secrets", "passwords"].iter().any(|part| small.contains(part))
}

/// The next value of `a,b,c` of which one ends at `at`; what has a name of its own is none.
fn next_behind_comma(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if bytes.get(at) != Some(&b',') || bytes.get(at + 1).is_none_or(|b| is_separator(*b)) {
        return None;
    }
    let value = value_behind(text, at + 1, false);
    (!value.is_empty() && !text[value.clone()].contains(['=', ':'])).then_some(value)
}

/// The next value of a list of which one ends at `at`.
fn next_of_list(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let gap = bytes[at..].iter().take(8).take_while(|b| matches!(b, b'\'' | b'"' | b'\\' | b',' | b' ')).count();
    let comma = bytes[at..at + gap].contains(&b',');
    // `[a], b=1` has left the list: no comma stands before its bracket.
    let next = value_behind(text, at + gap, false);
    let value = match bytes[at..at + gap].last() {
        Some(quote @ (b'\'' | b'"')) => {
            let end = memchr::memchr(*quote, &bytes[at + gap..])?;
            at + gap..at + gap + end - usize::from(end > 0 && bytes[at + gap + end - 1] == b'\\')
        }
        _ => next,
    };
    (comma && !value.is_empty()).then_some(value)
}
