//! The small language in which formats are written.
//!
//! - Text stands for itself; a space stands for any run of spaces.
//! - `{key}` reads a value of the key's kind; `{key~2}` one that was rounded to two digits and printed without its
//!   trailing zeros, as Python does with `round(x, 2)`; `{key=}` memory in GiB whose unit the line leaves out, and
//!   `{key=B}` and `{key=M}` memory in bytes and in MiB.
//! - `{a|b}` is one of several texts; `{..}` skips to what follows; `{$}` is the end of the line.
//! - `[[…]]` is a part that may be absent.
//!
//! A line that is cut off within the pattern still gives the values before the cut, but never a number whose end is not
//! seen.

use vramscope_core::{ByteDelta, ByteUnit};

use crate::figure::{Memory, Value};
use crate::key::{Key, Kind};
use crate::number::{self, half_step};

/// One element of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Element {
    Text(&'static str),
    Read { key: Key, how: How },
    Either(Vec<&'static str>),
    Skip,
    End,
    Optional(Vec<Element>),
}

/// How a value is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct How {
    /// Digits to which it was rounded before it was printed.
    rounded: u8,
    /// The unit that it has where none is printed; `None` where one may be.
    unprinted: Option<ByteUnit>,
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    elements: Vec<Element>,
}

/// A value that a pattern read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Captured {
    pub(crate) key: Key,
    pub(crate) value: Value,
    /// Half a step of the last digit, in the unit of the value (bytes for memory).
    pub(crate) resolution: Option<f64>,
}

/// What came of matching.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matched {
    pub(crate) captured: Vec<Captured>,
    /// The text ended before the pattern did.
    pub(crate) cut: bool,
    /// Where the match ends in the text.
    pub(crate) end: usize,
}

impl Pattern {
    /// Compiles the text of a format.
    pub(crate) fn compile(source: &'static str) -> Result<Self, String> {
        let (elements, rest) = compile(source, false)?;
        if !rest.is_empty() {
            return Err(format!("`]]` without `[[` before `{rest}`"));
        }
        Ok(Self { elements })
    }

    /// The text with which every match begins; empty if it does not begin with text.
    pub(crate) fn first_text(&self) -> &'static str {
        match self.elements.first() {
            Some(Element::Text(text)) => text,
            _ => "",
        }
    }

    /// The byte with which every match begins, if it is always the same.
    pub(crate) fn first_byte(&self) -> Option<u8> {
        self.first_text().bytes().next()
    }

    /// Whether `text` ends within the pattern and before any value of it, after enough to tell the format by.
    pub(crate) fn is_cut(&self, text: &str) -> bool {
        if self.first_text().len().min(text.len()) < MIN_CUT {
            return false;
        }
        matches!(walk(&self.elements, text, 0, &mut Vec::new()), Step::Cut)
    }

    /// Matches at the start of `text`.
    pub(crate) fn match_start(&self, text: &str) -> Option<Matched> {
        let mut captured = Vec::new();
        match walk(&self.elements, text, 0, &mut captured) {
            Step::To(end) => Some(Matched { captured, cut: false, end }),
            Step::Cut if captured.iter().any(|c| !c.key.is_ignored()) => {
                Some(Matched { captured, cut: true, end: text.len() })
            }
            Step::Cut | Step::No => None,
        }
    }
}

/// Shortest text that a cut line must share with a format to count as the beginning of it.
const MIN_CUT: usize = 12;

/// Compiles up to the end, or up to the `]]` that closes the optional part that it is in.
fn compile(source: &'static str, inner: bool) -> Result<(Vec<Element>, &'static str), String> {
    let mut elements = Vec::new();
    let mut rest = source;
    loop {
        let special = ["{", "[[", "]]"].iter().filter_map(|mark| rest.find(mark)).min().unwrap_or(rest.len());
        let (text, tail) = rest.split_at(special);
        if !text.is_empty() {
            elements.push(Element::Text(text));
        }
        if tail.is_empty() {
            return if inner { Err(format!("`[[` is not closed in `{source}`")) } else { Ok((elements, "")) };
        } else if let Some(after) = tail.strip_prefix("[[") {
            let (optional, after) = compile(after, true)?;
            elements.push(Element::Optional(optional));
            rest = after;
        } else if let Some(after) = tail.strip_prefix("]]") {
            return if inner { Ok((elements, after)) } else { Ok((elements, tail)) };
        } else {
            let after = &tail[1..];
            let end = after.find('}').ok_or_else(|| format!("`{{` is not closed in `{source}`"))?;
            elements.push(braces(&after[..end])?);
            rest = &after[end + 1..];
        }
    }
}

fn braces(inside: &'static str) -> Result<Element, String> {
    if inside == ".." {
        return Ok(Element::Skip);
    }
    if inside.contains('|') {
        return Ok(Element::Either(inside.split('|').collect()));
    }
    if inside == "$" {
        return Ok(Element::End);
    }
    let (rest, unprinted) = match inside.split_once('=') {
        None => (inside, None),
        Some((rest, "")) => (rest, Some(ByteUnit::GiB)),
        Some((rest, "B")) => (rest, Some(ByteUnit::B)),
        Some((rest, "M")) => (rest, Some(ByteUnit::MiB)),
        Some((_, unit)) => return Err(format!("`{unit}` is no unit that a line can leave out")),
    };
    let (name, rounded) = match rest.split_once('~') {
        Some((name, digits)) => (name, digits.parse().map_err(|_| format!("`{inside}`: not a number of digits"))?),
        None => (rest, 0),
    };
    let key = Key::from_name(name).ok_or_else(|| format!("`{name}` is not a key"))?;
    Ok(Element::Read { key, how: How { rounded, unprinted } })
}

/// Where matching stands.
enum Step {
    To(usize),
    Cut,
    No,
}

fn walk(elements: &[Element], text: &str, at: usize, captured: &mut Vec<Captured>) -> Step {
    let Some((element, rest)) = elements.split_first() else { return Step::To(at) };
    let mark = captured.len();
    match element {
        Element::Text(literal) => match literal_at(literal, text, at) {
            Step::To(end) => walk(rest, text, end, captured),
            other => other,
        },
        Element::Either(texts) => {
            for literal in texts {
                if let Step::To(end) = literal_at(literal, text, at) {
                    return walk(rest, text, end, captured);
                }
            }
            if at == text.len() { Step::Cut } else { Step::No }
        }
        Element::Optional(inner) => {
            let with: Vec<Element> = inner.iter().chain(rest).cloned().collect();
            match walk(&with, text, at, captured) {
                Step::To(end) => Step::To(end),
                cut_or_not => {
                    let attempt: Vec<Captured> = captured.drain(mark..).collect();
                    match (walk(rest, text, at, captured), cut_or_not) {
                        (Step::No, Step::Cut) => {
                            captured.truncate(mark);
                            captured.extend(attempt);
                            Step::Cut
                        }
                        (step, _) => step,
                    }
                }
            }
        }
        Element::Skip => skip(rest, text, at, captured),
        Element::End if at == text.len() => walk(rest, text, at, captured),
        Element::End => Step::No,
        Element::Read { key, how } => read(*key, *how, rest, text, at, captured),
    }
}

/// Skips to the first place where the rest matches.
fn skip(rest: &[Element], text: &str, at: usize, captured: &mut Vec<Captured>) -> Step {
    if rest.is_empty() {
        return Step::To(text.len());
    }
    let mark = captured.len();
    let first = match rest.first() {
        Some(Element::Text(literal)) => first_word(literal),
        _ => "",
    };
    let mut from = at;
    while let Some(place) = text.get(from..).and_then(|tail| tail.find(first)) {
        match walk(rest, text, from + place, captured) {
            Step::No => captured.truncate(mark),
            step => return step,
        }
        from += place + 1;
        while from < text.len() && !text.is_char_boundary(from) {
            from += 1;
        }
        if from >= text.len() {
            break;
        }
    }
    Step::Cut
}

/// What to look for to find a literal: its first word, or its first space, because a run of spaces in the text may be
/// longer than in the pattern.
fn first_word(literal: &'static str) -> &'static str {
    &literal[..literal.find(' ').unwrap_or(literal.len()).max(1)]
}

/// Matches a text; a space stands for one space or more.
fn literal_at(literal: &str, text: &str, mut at: usize) -> Step {
    let bytes = text.as_bytes();
    for expected in literal.bytes() {
        match bytes.get(at) {
            None => return Step::Cut,
            Some(b' ' | b'\t') if expected == b' ' => {
                at += 1;
                while matches!(bytes.get(at), Some(b' ' | b'\t')) {
                    at += 1;
                }
            }
            Some(found) if *found == expected => at += 1,
            Some(_) => return Step::No,
        }
    }
    Step::To(at)
}

fn read(key: Key, how: How, rest: &[Element], text: &str, at: usize, captured: &mut Vec<Captured>) -> Step {
    let Some(tail) = text.get(at..) else { return Step::No };
    let (value, resolution, end) = match key.kind() {
        Kind::Text => return read_text(key, rest, text, at, captured),
        Kind::Word => {
            let end = at + tail.find([' ', ',', ';']).unwrap_or(tail.len());
            let word = tail[..end - at].trim_end_matches('.');
            // What follows in the pattern ends the word, unless words can hold it.
            let stop = match rest.first() {
                Some(Element::Text(literal)) => literal.chars().next().filter(|c| !c.is_alphanumeric() && *c != '.'),
                _ => None,
            };
            let stop = stop.and_then(|c| word.find(c));
            let word = &word[..stop.unwrap_or(word.len())];
            if word.is_empty() {
                return if tail.is_empty() { Step::Cut } else { Step::No };
            }
            (Value::Text(word.to_owned()), None, at + word.len())
        }
        Kind::Count => match number::count(tail) {
            Some((count, len)) => (Value::Count(count), None, at + len),
            None => return if tail.is_empty() { Step::Cut } else { Step::No },
        },
        Kind::Memory => match memory(tail, how) {
            // The digits, or the unit behind them, may go on past the cut.
            Some((memory, _, len)) if memory.unit.is_none() && how.unprinted.is_none() && is_cut_unit(&tail[len..]) => {
                return Step::Cut;
            }
            Some((memory, resolution, len)) => (Value::Memory(memory), Some(resolution), at + len),
            None => return if tail.is_empty() { Step::Cut } else { Step::No },
        },
        Kind::Seconds | Kind::Millis | Kind::Number => match number::number(tail) {
            Some(n) => (Value::Number(n.value), Some(half_step(n.decimals.max(how.rounded))), at + n.len),
            None => return if tail.is_empty() { Step::Cut } else { Step::No },
        },
    };
    // A value that touches the cut may have lost its end.
    if end == text.len() && !rest.is_empty() && needs_more(rest) {
        return Step::Cut;
    }
    captured.push(Captured { key, value, resolution });
    walk(rest, text, end, captured)
}

/// A text that is the value of a key.
pub(crate) fn value(key: Key, text: &str) -> Option<Captured> {
    let mut captured = Vec::new();
    match read(key, How::default(), &[], text, 0, &mut captured) {
        Step::To(_) => captured.pop(),
        Step::Cut | Step::No => None,
    }
}

/// Whether a match cannot end here.
fn needs_more(rest: &[Element]) -> bool {
    rest.iter().any(|element| !matches!(element, Element::Optional(_) | Element::Skip | Element::End))
}

/// Reads text up to the first place where the rest of the pattern matches.
fn read_text(key: Key, rest: &[Element], text: &str, at: usize, captured: &mut Vec<Captured>) -> Step {
    let mark = captured.len();
    let put = |captured: &mut Vec<Captured>, end: usize| {
        let value = text[at..end].trim();
        captured.push(Captured { key, value: Value::Text(value.to_owned()), resolution: None });
        !value.is_empty()
    };
    if rest.is_empty() {
        return if put(captured, text.len()) { Step::To(text.len()) } else { Step::No };
    }
    for (offset, _) in text[at..].char_indices().skip(1) {
        let end = at + offset;
        put(captured, end);
        match walk(rest, text, end, captured) {
            Step::To(to) => return Step::To(to),
            _ => captured.truncate(mark),
        }
    }
    Step::Cut
}

/// An amount of memory at the start of `text`: the amount, its resolution in bytes, and the length of the text. The
/// unit may be glued to the number, a space away, or absent.
fn memory(text: &str, how: How) -> Option<(Memory, f64, usize)> {
    let n = number::number(text)?;
    let tail = &text[n.len..];
    let gap = tail.len() - tail.trim_start_matches(' ').len();
    let word_len = tail[gap..].bytes().take_while(u8::is_ascii_alphabetic).count();
    let word = &tail[gap..gap + word_len];
    let (unit, printed_unit, len) = match unit(word) {
        Some(unit) if gap <= 1 => (unit, Some(word.to_owned()), n.len + gap + word_len),
        // What is no GiB says so, for those who show the number as it was printed.
        _ => {
            let unit = how.unprinted.unwrap_or(ByteUnit::GiB);
            let named = match unit {
                ByteUnit::B => Some("bytes"),
                ByteUnit::MiB => Some("MiB"),
                _ => None,
            };
            (unit, named.map(str::to_owned), n.len)
        }
    };
    let scale = unit_bytes(unit);
    let bytes = whole_bytes(n.value * scale)?;
    let decimals = n.decimals.max(how.rounded);
    Some((
        Memory { bytes, printed: n.value, decimals: n.decimals, unit: printed_unit },
        half_step(decimals) * scale,
        len,
    ))
}

/// Whether nothing follows a number but, at most, the beginning of a unit.
fn is_cut_unit(tail: &str) -> bool {
    let word = tail.trim_start_matches(' ');
    ["GiB", "MiB", "KiB", "TiB", "GB", "bytes"].iter().any(|unit| unit.starts_with(word))
}

/// The unit that the engine means: it divides by powers of two whatever it writes.
fn unit(word: &str) -> Option<ByteUnit> {
    Some(match word {
        // XLA leaves the rest of the unit out, and the kernel writes a small k.
        "GiB" | "GB" | "G" => ByteUnit::GiB,
        "MiB" | "MB" | "M" => ByteUnit::MiB,
        "KiB" | "KB" | "K" | "kB" => ByteUnit::KiB,
        "TiB" | "TB" | "T" => ByteUnit::TiB,
        "bytes" | "B" => ByteUnit::B,
        _ => return None,
    })
}

fn unit_bytes(unit: ByteUnit) -> f64 {
    vramscope_core::Bytes::new(unit.bytes()).as_f64()
}

fn whole_bytes(bytes: f64) -> Option<ByteDelta> {
    let bytes = bytes.round();
    if bytes.abs() >= 9.0e18 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and far below 2^63 by the test above")]
    Some(ByteDelta::new(bytes as i64))
}

#[cfg(test)]
impl Pattern {
    /// Whether some text of the pattern that no match can lack contains `needle`.
    pub(crate) fn must_contain(&self, needle: &str) -> bool {
        self.elements.iter().any(|element| match element {
            Element::Text(text) => text.contains(needle),
            Element::Either(texts) => texts.iter().all(|text| text.contains(needle)),
            _ => false,
        })
    }

    /// The keys that it can read.
    pub(crate) fn keys(&self) -> Vec<Key> {
        fn walk(elements: &[Element], keys: &mut Vec<Key>) {
            for element in elements {
                match element {
                    Element::Read { key, .. } => keys.push(*key),
                    Element::Optional(inner) => walk(inner, keys),
                    _ => {}
                }
            }
        }
        let mut keys = Vec::new();
        walk(&self.elements, &mut keys);
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &'static str, text: &str) -> Option<(Vec<String>, bool)> {
        let matched = Pattern::compile(pattern).unwrap().match_start(text)?;
        let show = |c: &Captured| match &c.value {
            Value::Memory(memory) => format!("{}={}", c.key.name(), memory.text()),
            Value::Count(count) => format!("{}={count}", c.key.name()),
            Value::Number(number) => format!("{}={number}", c.key.name()),
            Value::Text(text) => format!("{}={text}", c.key.name()),
        };
        Some((matched.captured.iter().map(show).collect(), matched.cut))
    }

    fn all(values: &[&str]) -> Option<(Vec<String>, bool)> {
        Some((values.iter().map(|v| (*v).to_owned()).collect(), false))
    }

    fn cut(values: &[&str]) -> Option<(Vec<String>, bool)> {
        Some((values.iter().map(|v| (*v).to_owned()).collect(), true))
    }

    #[test]
    fn units_may_be_glued_apart_or_absent() {
        let pattern = "reserved {kv_pool} memory";
        assert_eq!(read(pattern, "reserved 4.00GiB memory"), all(&["kv_pool=4.00 GiB"]));
        assert_eq!(read(pattern, "reserved 4.0 GiB  memory"), all(&["kv_pool=4.0 GiB"]));
        assert_eq!(
            read("({initial_free}/{device_total}) on", "(23.21/23.65 GiB) on"),
            all(&["initial_free=23.21", "device_total=23.65 GiB"])
        );
    }

    #[test]
    fn optional_parts_may_be_absent_and_may_be_cut() {
        let pattern = "took {weights}[[ memory]] and {load_secs} seconds[[, {..}peak {load_peak} GiB]]";
        assert_eq!(read(pattern, "took 5.4 GiB and 2 seconds"), all(&["weights=5.4 GiB", "load_secs=2"]));
        assert_eq!(read(pattern, "took 5.4 GiB memory and 2 seconds"), all(&["weights=5.4 GiB", "load_secs=2"]));
        assert_eq!(read(pattern, "took 5.4 GiB memory an"), cut(&["weights=5.4 GiB"]));
        assert_eq!(read(pattern, "took 5.4 GiB, nothing"), None);
    }

    #[test]
    fn a_number_that_touches_the_cut_is_not_a_value() {
        assert_eq!(read("took {weights} GiB", "took 5.4"), None);
        assert_eq!(read("KV cache memory: {kv_pool}", "KV cache memory: 5.4"), None);
        assert_eq!(read("KV cache memory: {kv_pool}", "KV cache memory: 5.4 Gi"), None);
        assert_eq!(read("KV cache memory: {kv_pool}", "KV cache memory: 5.4 GiB"), all(&["kv_pool=5.4 GiB"]));
        assert_eq!(read("# GPU blocks: {gpu_blocks}, # CPU", "# GPU blocks: 463"), None);
    }

    #[test]
    fn the_end_of_a_line_is_the_end() {
        assert_eq!(read("Killed{$}", "Killed"), all(&[]));
        assert_eq!(read("Killed{$}", "Killed process"), None);
    }

    #[test]
    fn a_unit_that_is_left_out_is_the_one_that_the_pattern_names() {
        let bytes = |pattern: &'static str, text: &str| match &Pattern::compile(pattern)
            .unwrap()
            .match_start(text)
            .unwrap()
            .captured[0]
            .value
        {
            Value::Memory(memory) => memory.bytes.as_bytes().unwrap().get(),
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes("size::{fail_tried=B} (", "size::939524096 (896)MB"), 939_524_096);
        assert_eq!(bytes("allocate {fail_tried}.", "allocate 1.50G."), 3 << 29);
        assert_eq!(bytes("rss:{fail_process},", "rss:2048kB,"), 2 << 20);
    }

    #[test]
    fn words_end_where_the_pattern_goes_on() {
        assert_eq!(read("(v{version}) with", "(v0.14.0rc1+g7d.d2026) with"), all(&["version=0.14.0rc1+g7d.d2026"]));
        assert_eq!(read("platform {platform}.", "platform cuda."), all(&["platform=cuda"]));
        assert_eq!(
            read("Using {attention_backend} backend", "Using Triton MLA backend on"),
            all(&["attention_backend=Triton MLA"])
        );
    }

    #[test]
    fn rounding_to_two_digits_keeps_its_resolution() {
        let resolution = |pattern: &'static str| {
            Pattern::compile(pattern).unwrap().match_start("took 15.0 GiB").unwrap().captured[0].resolution.unwrap()
        };
        let gib = 1_073_741_824.0;
        assert!((resolution("took {weights}") - 0.05 * gib).abs() < 1.0);
        assert!((resolution("took {weights~2}") - 0.005 * gib).abs() < 1.0);
    }
}
