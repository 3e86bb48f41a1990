//! What a run of a campaign is known by.

use std::fmt;
use std::hash::Hasher as _;

use fnv::FnvHasher;

/// The name under which the attempts and the profile of a run lie in a campaign's folder: what people call the run, and a
/// hash of what it measures. It does not depend on the run's place in a campaign, nor on how its arguments are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey(String);

/// Digits of the hash: with 10,000 runs, two share one with a probability of 2 in 10 million.
const DIGITS: usize = 12;

impl RunKey {
    /// The key of a run that people call `label`, a part of a file's name, and that measures what `asked` says: words in
    /// an order that does not depend on how somebody typed them, without secrets.
    pub fn new(label: &str, asked: &[String]) -> Self {
        // FNV-1a with 64 bits stays what it is in every release; a key outlives the program that made it.
        let mut hasher = FnvHasher::default();
        for word in asked {
            hasher.write(word.as_bytes());
            // So that no two lists of words are the same bytes.
            hasher.write(&[0]);
        }
        let hash = format!("{:016x}", hasher.finish());
        Self(format!("{label}-{}", &hash[..DIGITS]))
    }

    /// A key that a plan has written down; `None` for what cannot be the name of a folder.
    pub fn read(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_name = !text.is_empty() && text.len() < 200 && !text.starts_with('.') && text.chars().all(plain);
        is_name.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_in_every_release_and_another_for_other_words() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let key = |asked: &[&str]| RunKey::new("m_bs1", &words(asked)).to_string();
        assert_eq!(key(&["--a=1", "--b=2"]), "m_bs1-b2b006e0a2f3");
        assert_ne!(key(&["--a=1", "--b=2"]), key(&["--a=1--b=2"]));
        assert_ne!(key(&[]), key(&[""]));
        assert_eq!(RunKey::read(&key(&["--a=1"])), Some(RunKey::new("m_bs1", &words(&["--a=1"]))));
        for no_name in ["", "..", ".hidden", "a/b", "a\u{202e}b"] {
            assert_eq!(RunKey::read(no_name), None, "{no_name:?}");
        }
    }
}
