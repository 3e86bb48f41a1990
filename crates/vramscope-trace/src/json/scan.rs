//! A cursor over JSON text that may end or break anywhere.

/// Why a value could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The text ends within the value.
    End,
    /// Here the text is no JSON.
    Malformed,
}

/// A value without its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// What stands between the quotes, escapes and all.
    Text(&'a [u8]),
    /// A number, `true`, `false`, `null`; also `NaN` and infinities, which are not JSON.
    Bare(&'a [u8]),
    /// An object or array, with its brackets.
    Nested(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The text or number as it stands in the file, without quotes; `None` for an object or array.
    pub(crate) fn plain(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) | Self::Bare(text) => Some(text),
            Self::Nested(_) => None,
        }
    }
}

/// Objects within objects deeper than this are no trace; the bits of one word hold the kind of each bracket.
const MAX_DEPTH: u32 = 64;

/// A place in a text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    not_json: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, not_json: false }
    }

    /// Where the cursor stands.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Whether a `NaN` or an infinity was passed.
    pub(crate) fn passed_not_json(&self) -> bool {
        self.not_json
    }

    /// The next byte that is no white space, without passing it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<u8, Stop> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return Ok(byte),
                None => return Err(Stop::End),
            }
        }
    }

    /// Passes this byte, which must come next.
    #[inline]
    pub(crate) fn pass(&mut self, expected: u8) -> Result<(), Stop> {
        if self.peek()? != expected {
            return Err(Stop::Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a [u8], Stop> {
        self.pass(b'"')?;
        let start = self.at;
        self.skip_text()?;
        Ok(&self.bytes[start..self.at - 1])
    }

    /// Reads the next key of an object, after its `{` or `,`; `None` at its `}`, which is passed.
    #[inline]
    pub(crate) fn key(&mut self, first: bool) -> Result<Option<&'a [u8]>, Stop> {
        match self.peek()? {
            b'}' => {
                self.at += 1;
                return Ok(None);
            }
            b',' if !first => self.at += 1,
            b'"' if first => {}
            _ => return Err(Stop::Malformed),
        }
        let key = self.text()?;
        self.pass(b':')?;
        Ok(Some(key))
    }

    /// Reads any value.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Value<'a>, Stop> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => Ok(Value::Text(self.text()?)),
            b'{' | b'[' => {
                self.skip_nested()?;
                Ok(Value::Nested(&self.bytes[start..self.at]))
            }
            _ => {
                self.skip_bare()?;
                Ok(Value::Bare(&self.bytes[start..self.at]))
            }
        }
    }

    /// From just after an opening quote to just after the closing one.
    #[inline]
    fn skip_text(&mut self) -> Result<(), Stop> {
        loop {
            let rest = self.bytes.get(self.at..).ok_or(Stop::End)?;
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or(Stop::End)?;
            self.at += found + 1;
            if rest[found] == b'"' {
                return Ok(());
            }
            self.at += 1;
        }
    }

    /// A number or a word.
    #[inline]
    fn skip_bare(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while let Some(byte) = self.bytes.get(self.at) {
            if matches!(CLASS[usize::from(*byte)], Class::Number | Class::Letter) {
                self.at += 1;
            } else {
                return self.check_bare(start);
            }
        }
        Err(Stop::End)
    }

    fn check_bare(&mut self, start: usize) -> Result<(), Stop> {
        let token = &self.bytes[start..self.at];
        match token.first() {
            Some(b'0'..=b'9') => Ok(()),
            Some(b'-') if token.get(1).is_some_and(u8::is_ascii_digit) => Ok(()),
            Some(_) if matches!(token, b"true" | b"false" | b"null") => Ok(()),
            Some(_) if matches!(token, b"NaN" | b"nan" | b"-nan" | b"Infinity" | b"-Infinity" | b"inf" | b"-inf") => {
                self.not_json = true;
                Ok(())
            }
            _ => Err(Stop::Malformed),
        }
    }

    /// An object or array. Strings must be followed by what may follow a string: that is how an unescaped quote shows.
    fn skip_nested(&mut self) -> Result<(), Stop> {
        let mut objects = 0u64;
        let mut depth = 0u32;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Stop::End)?;
            match CLASS[usize::from(byte)] {
                Class::Blank => self.at += 1,
                Class::Quote => {
                    self.at += 1;
                    self.skip_text()?;
                    if !matches!(self.peek()?, b',' | b':' | b'}' | b']') {
                        return Err(Stop::Malformed);
                    }
                }
                Class::Number | Class::Letter => self.skip_bare()?,
                Class::Open => {
                    if depth == MAX_DEPTH {
                        return Err(Stop::Malformed);
                    }
                    objects = objects << 1 | u64::from(byte == b'{');
                    depth += 1;
                    self.at += 1;
                }
                Class::Close => {
                    if depth == 0 || (objects & 1 == 1) != (byte == b'}') {
                        return Err(Stop::Malformed);
                    }
                    objects >>= 1;
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                Class::Other => return Err(Stop::Malformed),
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Blank,
    Quote,
    Open,
    Close,
    Number,
    Letter,
    Other,
}

/// What each byte can mean outside strings. Commas and colons are blanks to a reader that only looks for the end.
const CLASS: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256; From is not const")]
        let character = byte as u8;
        table[byte] = match character {
            b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => Class::Blank,
            b'"' => Class::Quote,
            b'{' | b'[' => Class::Open,
            b'}' | b']' => Class::Close,
            b'0'..=b'9' | b'-' | b'+' | b'.' => Class::Number,
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            _ => Class::Other,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Result<Value<'_>, Stop> {
        let mut cursor = Cursor::new(text, 0);
        cursor.value()
    }

    #[test]
    fn a_value_ends_where_it_ends() {
        let text = br#" {"a": [1, {"b": "}\""}], "c": null} , 7"#;
        let mut cursor = Cursor::new(text, 0);
        assert_eq!(cursor.value(), Ok(Value::Nested(&text[1..text.len() - 4])));
        cursor.pass(b',').unwrap();
        assert_eq!(cursor.value(), Err(Stop::End), "a number may go on after the end of the text");
    }

    #[test]
    fn an_unescaped_quote_is_seen_at_once() {
        assert_eq!(read(br#"{"a": "all"reduce", "b": 1}"#), Err(Stop::Malformed));
        assert_eq!(read(br#"{"a": x}"#), Err(Stop::Malformed));
        assert_eq!(read(br#"{"a": [1}"#), Err(Stop::Malformed));
    }

    #[test]
    fn not_a_number_is_passed_and_told() {
        let mut cursor = Cursor::new(br#"{"x": NaN, "y": -Infinity}"#, 0);
        assert!(cursor.value().is_ok() && cursor.passed_not_json());
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(read(&deep(64)).is_ok());
        assert_eq!(read(&deep(65)), Err(Stop::Malformed));
    }

    proptest! {
        #[test]
        fn every_cut_of_a_value_ends_early(depth in 0usize..6, cut in 0usize..200) {
            let mut json = String::from("[1,\"a\\\"b\",{\"k\":null}]");
            for _ in 0..depth {
                json = format!("{{\"x\": {json}, \"y\": [true, -1.5e3]}}");
            }
            prop_assert!(read(json.as_bytes()).is_ok());
            let cut = cut % json.len();
            prop_assert_eq!(read(&json.as_bytes()[..cut]), Err(Stop::End));
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&raw);
        }
    }
}
