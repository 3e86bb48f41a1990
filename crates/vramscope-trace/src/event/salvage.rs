//! Events that are not valid JSON.
//!
//! Kineto has written strings without escaping the quotes in them (`"name": "{"device": "cpu"}(12): run"`). Such an
//! event is cut out at the next place where another event clearly begins, and its fields are found by their names: a
//! string ends at the quote that is followed by the next known key or by the end of its object.

use super::Event;

/// The keys of an event, by which its parts are told apart.
const KEYS: [&[u8]; 12] =
    [b"ph", b"cat", b"name", b"pid", b"tid", b"ts", b"dur", b"args", b"id", b"bp", b"s", b"External id"];

/// Keys with which an event may begin. `id` is not among them: the device list of the header begins with it.
const FIRST_KEYS: [&[u8]; 8] = [b"ph", b"name", b"cat", b"args", b"pid", b"ts", b"bp", b"dur"];

/// The next place at or after `from` where an event begins: `}`, a comma, `{` and a first key, with any white space
/// between. In valid JSON this can only be an object in an array.
pub(crate) fn next_boundary(text: &[u8], from: usize) -> Option<usize> {
    let start = from.max(1);
    memchr::memchr_iter(b'{', text.get(start..)?).map(|at| start + at).find(|&at| is_boundary(text, at))
}

/// The last such place before the end of the text.
pub(crate) fn last_boundary(text: &[u8]) -> Option<usize> {
    memchr::memrchr_iter(b'{', text).find(|&at| is_boundary(text, at))
}

fn is_boundary(text: &[u8], brace: usize) -> bool {
    let comma = before(text, brace);
    let close = comma.filter(|&at| text[at] == b',').and_then(|at| before(text, at));
    close.is_some_and(|at| text[at] == b'}') && begins_with_key(&text[brace + 1..], &FIRST_KEYS)
}

/// The last byte before `at` that is no white space.
fn before(text: &[u8], at: usize) -> Option<usize> {
    text[..at].iter().rposition(|b| !b.is_ascii_whitespace())
}

/// Whether a quoted key of the set and a colon come next.
fn begins_with_key(text: &[u8], keys: &[&[u8]]) -> bool {
    let text = text.trim_ascii_start();
    keys.iter().any(|key| {
        text.strip_prefix(b"\"")
            .and_then(|t| t.strip_prefix(*key))
            .and_then(|t| t.strip_prefix(b"\""))
            .is_some_and(|t| t.trim_ascii_start().starts_with(b":"))
    })
}

/// The fields of a broken event; `None` without a phase and a time, because then it is no event.
pub(crate) fn salvage(text: &[u8]) -> Option<Event<'_>> {
    let own = text.len() - args_of(text).map_or(0, <[u8]>::len);
    let own = &text[..own];
    let event = Event {
        phase: lookup(own, b"ph"),
        category: lookup(own, b"cat"),
        name: lookup(own, b"name"),
        pid: lookup(own, b"pid"),
        tid: lookup(own, b"tid"),
        ts: lookup(own, b"ts"),
        dur: lookup(own, b"dur"),
        args: args_of(text),
        not_json: false,
        repaired: true,
    };
    (event.phase.is_some() && event.ts.is_some()).then_some(event)
}

/// From the bracket of `"args": {` to the end.
fn args_of(text: &[u8]) -> Option<&[u8]> {
    let at = value_of(text, b"args")?;
    (text.get(at) == Some(&b'{')).then(|| &text[at..])
}

/// The plain value of a key that follows a bracket or a comma.
pub(crate) fn lookup<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = value_of(text, key)?;
    if text.get(at) == Some(&b'"') {
        let start = at + 1;
        let end = memchr::memchr_iter(b'"', &text[start..]).map(|e| start + e).find(|&e| ends_string(text, e))?;
        return Some(&text[start..end]);
    }
    let rest = &text[at..];
    let end = rest.iter().position(|b| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace())?;
    (end > 0 && !matches!(rest[0], b'{' | b'[')).then(|| &rest[..end])
}

/// Where the value of a key begins.
fn value_of(text: &[u8], key: &[u8]) -> Option<usize> {
    let finder = memchr::memmem::Finder::new(key);
    finder.find_iter(text).find_map(|at| {
        let quoted = at > 0 && text[at - 1] == b'"' && text.get(at + key.len()) == Some(&b'"');
        let placed = quoted && before(text, at - 1).is_some_and(|b| matches!(text[b], b'{' | b','));
        let rest = text.get(at + key.len() + 1..).filter(|_| placed)?;
        let colon = rest.iter().position(|b| !b.is_ascii_whitespace()).filter(|&c| rest[c] == b':')?;
        let value = rest[colon + 1..].iter().position(|b| !b.is_ascii_whitespace())?;
        Some(at + key.len() + 1 + colon + 1 + value)
    })
}

/// Whether a quote is the last of its string: not escaped, and then comes a known key, the end of the object, or nothing.
fn ends_string(text: &[u8], quote: usize) -> bool {
    if text[..quote].iter().rev().take_while(|&&b| b == b'\\').count() % 2 == 1 {
        return false;
    }
    let rest = text[quote + 1..].trim_ascii_start();
    match rest.split_first() {
        None => true,
        Some((b',', rest)) => rest.trim_ascii().is_empty() || begins_with_key(rest, &KEYS),
        Some((b'}', rest)) => matches!(rest.trim_ascii_start().first(), None | Some(b',' | b'}' | b']')),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::gpu_args;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_with_bare_quotes_keeps_its_times() {
        let text = br#"{"ph": "X", "cat": "python_function", "name": "{"device": "cpu", "dtype": "float32"}(12): run", "pid": 5, "tid": 6, "ts": 1.5, "dur": 2, "args": {"Python id": 3}}"#;
        let event = salvage(text).unwrap();
        assert_eq!(event.name, Some(&br#"{"device": "cpu", "dtype": "float32"}(12): run"#[..]));
        assert_eq!((event.ts, event.dur, event.tid), (Some(&b"1.5"[..]), Some(&b"2"[..]), Some(&b"6"[..])));
    }

    #[test]
    fn broken_arguments_still_tell_the_device() {
        let args =
            br#"{"External id": 7, "Collective name": "all"reduce", "device": 3, "stream": 20, "correlation": 99}"#;
        let found = gpu_args(args);
        assert_eq!((found.device, found.stream, found.correlation), (Some(&b"3"[..]), Some(&b"20"[..]), Some(99)));
    }

    #[test]
    fn an_event_begins_only_after_another_one() {
        let text = br#"[{"ph":"X","args":{"a":{"ph":"X"}}} , {"name":"b"}]"#;
        assert_eq!(next_boundary(text, 0), Some(38));
        assert_eq!(last_boundary(text), Some(38));
        assert_eq!(next_boundary(br#"[{"id": 0},{"id": 1}]"#, 0), None);
        assert_eq!(next_boundary(br#"{"ph""#, 0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(prop::sample::select(br#"{}[]",: \phcatnmesdurgi1."#.to_vec()), 0..120)) {
            let _ = salvage(&raw);
            let _ = next_boundary(&raw, 0);
            let _ = last_boundary(&raw);
        }
    }
}
