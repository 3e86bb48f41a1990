//! Values that must not be seen in anything that a run leaves behind.

use vramscope_core::redact;

/// A shorter value would be found in texts that have nothing to do with it.
const SHORTEST: usize = 6;

/// What stands in the place of such a value.
const MASK: &str = "[redacted]";

/// Secret values of one run: keys and tokens from its arguments and its environment.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} values)", self.0.len())
    }
}

impl Secrets {
    /// These values. Values of fewer than six characters are left out: they would be found everywhere.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| value.len() >= SHORTEST).collect();
        // A value that contains another one must be replaced first, or its rest would stay.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self(values)
    }

    /// The text without these values, and without anything that looks like a secret.
    pub fn hide(&self, text: &str) -> String {
        let mut text = redact(text);
        for value in &self.0 {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), MASK);
            }
        }
        text
    }

    /// The same of each word of a command line whose secrets by name are hidden already.
    pub(crate) fn hide_words(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.hide(word)).collect()
    }

    /// The same of bytes; bytes that are not UTF-8 stay as they are where the line holds no secret.
    pub(crate) fn hide_bytes<'b>(&self, bytes: &'b [u8]) -> std::borrow::Cow<'b, [u8]> {
        let text = String::from_utf8_lossy(bytes);
        let hidden = self.hide(&text);
        if *hidden == *text { bytes.into() } else { hidden.into_bytes().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_wherever_they_stand_and_longer_ones_first() {
        let secrets = Secrets::new(["plainword".to_owned(), "plainwordlonger".to_owned(), "ab".to_owned()]);
        assert_eq!(secrets.hide("x=plainwordlonger y=plainword ab"), "x=[redacted] y=[redacted] ab");
        assert_eq!(&*secrets.hide_bytes(b"\xff fine"), b"\xff fine");
        assert_eq!(&*secrets.hide_bytes(b"see plainword"), b"see [redacted]");
        assert_eq!(format!("{secrets:?}"), "Secrets(2 values)");
    }
}
