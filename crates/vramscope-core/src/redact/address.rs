//! What is found by something that stands behind it: the `@` of an address, the end of a private key.

use std::ops::Range;

use memchr::memmem;

use super::REDACTED;

/// The next of something in a text. A place that was found is kept until the search has passed it, so that all searches
/// of one text together pass over it once.
struct Next<F> {
    find: F,
    /// Where the last search began, and what it found.
    known: Option<(usize, usize)>,
}

impl<F: Fn(usize) -> Option<usize>> Next<F> {
    /// `find` gives the first place at or behind another.
    fn new(find: F) -> Self {
        Self { find, known: None }
    }

    /// The first place at or behind `from`, or `end` where there is none.
    fn behind(&mut self, from: usize, end: usize) -> usize {
        match self.known {
            Some((began, found)) if began <= from && from <= found => found,
            _ => {
                let found = (self.find)(from).unwrap_or(end);
                self.known = Some((from, found));
                found
            }
        }
    }
}

type Find<'t> = Box<dyn Fn(usize) -> Option<usize> + 't>;

/// Addresses and keys of a text, asked for from its beginning to its end.
pub(super) struct Addresses<'t> {
    text: &'t str,
    slash: Next<Find<'t>>,
    sign: Next<Find<'t>>,
    end: Next<Find<'t>>,
    key_end: Next<Find<'t>>,
}

impl<'t> Addresses<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let one = |byte: u8| -> Next<Find<'t>> {
            Next::new(Box::new(move |from| memchr::memchr(byte, &bytes[from..]).map(|at| from + at)))
        };
        // What no address holds, as it is or written.
        let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'\'' | b'"' | b'<' | b'>' | b'`' | b'\\');
        Self {
            text,
            slash: one(b'/'),
            sign: one(b'@'),
            end: Next::new(Box::new(move |from| bytes[from..].iter().position(ends).map(|at| from + at))),
            key_end: Next::new(Box::new(move |from| memmem::find(&bytes[from..], b"-----END ").map(|at| from + at))),
        }
    }

    /// `user:password` of `scheme://user:password@host`, where `start` is behind the slashes. A password may hold a
    /// slash, though it must not: then what stands before that slash is no port.
    pub(super) fn user_at(&mut self, start: usize) -> Option<Range<usize>> {
        let (text, all) = (self.text, self.text.len());
        let end = self.end.behind(start, all);
        let host_end = self.slash.behind(start, all).min(end);
        let mut sign = text[start..host_end].rfind('@').map(|at| start + at);
        if sign.is_none() && host_end < end {
            let (_, port) = text[start..host_end].split_once(':')?;
            let is_port = port.bytes().all(|b| b.is_ascii_digit()) || text[start..].starts_with('[');
            let behind = self.sign.behind(host_end, all);
            sign = (!is_port && behind < end).then_some(behind);
        }
        let user = start..sign?;
        let (_, password) = text[user.clone()].split_once(':')?;
        (password != REDACTED && !password.is_empty()).then_some(user)
    }

    /// What stands between the lines of a private key, where `start` is behind `-----BEGIN `. Without its last line it
    /// is what may stand in a key: base64 with its line breaks, as they are or written.
    pub(super) fn private_key_at(&mut self, start: usize) -> Option<Range<usize>> {
        // `ENCRYPTED PRIVATE KEY-----`, `PGP PRIVATE KEY BLOCK-----`: the longest has 24 letters before the dashes.
        let label_end = start + self.text.as_bytes()[start..].iter().take(40).position(|b| *b == b'-')?;
        let body = label_end + "-----".len();
        let label = self.text.get(start..label_end)?;
        if !label.contains("PRIVATE KEY") || self.text.get(label_end..body)? != "-----" {
            return None;
        }
        let whole = self.key_end.behind(body, usize::MAX);
        let of_key =
            |b: &u8| b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || matches!(b, b'+' | b'/' | b'=' | b'\\');
        let rest = &self.text.as_bytes()[body..];
        let end = if whole == usize::MAX { body + rest.iter().take_while(|b| of_key(b)).count() } else { whole };
        let key = self.text.get(body..end)?;
        let inner = key.trim();
        let begins = body + (key.len() - key.trim_start().len());
        (!inner.is_empty() && inner != REDACTED).then(|| begins..begins + inner.len())
    }
}
