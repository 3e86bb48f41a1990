//! Releases, and how well the rules of each are known.

use std::fmt;
use std::str::FromStr;

use super::error::SgLangError;

/// A release of SGLang. A release that follows another without a new number (`0.4.6.post5`) has `post`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct SgLangVersion {
    /// Major number.
    pub major: u16,
    /// Minor number.
    pub minor: u16,
    /// Patch number.
    pub patch: u16,
    /// Number behind `post`; 0 without.
    pub post: u16,
}

/// How well the rules of a release are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SgLangChecked {
    /// Older than any whose source was read.
    Before,
    /// Newer than any whose source was read.
    Newer,
    /// Between releases that were read.
    Between,
    /// Its source was read.
    Read,
    /// And the pool of a public log of it was computed.
    Logged,
}

impl SgLangChecked {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Newer => "newer",
            Self::Between => "between",
            Self::Read => "read",
            Self::Logged => "logged",
        }
    }
}

/// Releases whose source was read, but for those of which a log was computed. Candidates count as the release.
const READ: &[(u16, u16, u16, u16)] = &[
    (0, 2, 15, 0),
    (0, 3, 6, 0),
    (0, 4, 1, 0),
    (0, 4, 4, 1),
    (0, 4, 5, 0),
    (0, 4, 6, 5),
    (0, 4, 7, 0),
    (0, 4, 9, 0),
    (0, 4, 10, 0),
    (0, 5, 1, 0),
    (0, 5, 2, 0),
    (0, 5, 3, 0),
    (0, 5, 4, 0),
    (0, 5, 5, 0),
    (0, 5, 6, 0),
    (0, 5, 9, 0),
    (0, 5, 14, 0),
    (0, 5, 16, 0),
    (0, 5, 18, 0),
    (0, 5, 20, 0),
    (0, 5, 23, 0),
];

/// Releases of which a log states what the pool is computed of. Logs print no release: these are told by their form and
/// their date, the last three by the number of graphs of prefills, which only they capture unasked.
const LOGGED: &[(u16, u16, u16, u16)] = &[(0, 4, 3, 0), (0, 5, 0, 0), (0, 5, 10, 0), (0, 5, 11, 0), (0, 5, 12, 0)];

impl SgLangVersion {
    /// The newest release whose rules are known here; every default here stands for it.
    pub const NEWEST: Self = Self::new(0, 5, 23);

    /// A release by its numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch, post: 0 }
    }

    /// How well the rules of this release are known.
    pub fn checked(self) -> SgLangChecked {
        let own = (self.major, self.minor, self.patch, self.post);
        if LOGGED.contains(&own) {
            return SgLangChecked::Logged;
        }
        match READ {
            _ if READ.contains(&own) => SgLangChecked::Read,
            [first, ..] if own < *first => SgLangChecked::Before,
            [.., last] if own > *last => SgLangChecked::Newer,
            _ => SgLangChecked::Between,
        }
    }

    /// Whether this is `0.minor.patch` or later.
    pub(crate) fn from(self, minor: u16, patch: u16) -> bool {
        self >= Self::new(0, minor, patch)
    }
}

impl fmt::Display for SgLangVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let post = if self.post > 0 { format!(".post{}", self.post) } else { String::new() };
        f.pad(&format!("{}.{}.{}{post}", self.major, self.minor, self.patch))
    }
}

impl FromStr for SgLangVersion {
    type Err = SgLangError;

    /// Reads `0.5.3`, `v0.5.3`, `0.4.6.post5`; a candidate (`0.5.0rc0`) counts as the release.
    fn from_str(text: &str) -> Result<Self, SgLangError> {
        let bad = || SgLangError::BadArgument {
            name: "sglang-version".to_owned(),
            value: text.chars().take(40).collect(),
            expected: "a release such as 0.5.12 or 0.4.6.post5",
        };
        let bare = text.strip_prefix('v').unwrap_or(text);
        let parts: Vec<&str> = bare.split('.').collect();
        let number = |part: &str| {
            let digits = &part[..part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len())];
            digits.parse::<u16>().map_err(|_| bad())
        };
        let [major, minor, patch, rest @ ..] = parts.as_slice() else { return Err(bad()) };
        let post = match rest.first().and_then(|rest| rest.strip_prefix("post")) {
            Some(post) => number(post)?,
            None => 0,
        };
        Ok(Self { major: number(major)?, minor: number(minor)?, patch: number(patch)?, post })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> SgLangVersion {
        text.parse().unwrap()
    }

    #[test]
    fn releases_are_read_with_what_stands_behind_them() {
        assert_eq!(version("v0.5.3"), SgLangVersion::new(0, 5, 3));
        assert_eq!(version("0.5.0rc0"), SgLangVersion::new(0, 5, 0));
        assert!(version("0.4.6.post5") > version("0.4.6") && version("0.4.6.post5") < version("0.4.7"));
        assert!(version("0.4.10") > version("0.4.9"), "numbers, not letters");
        assert_eq!(version("0.4.6.post5").to_string(), "0.4.6.post5");
        for wrong in ["", "5", "0.5", "new", "0.5.x", "0.99999999.1", "0.4.6.postmodern"] {
            assert!(wrong.parse::<SgLangVersion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_was_looked_at_is_called_so() {
        assert!(READ.is_sorted() && LOGGED.is_sorted());
        assert_eq!(version("0.5.12").checked(), SgLangChecked::Logged);
        assert_eq!(version("0.5.3").checked(), SgLangChecked::Read);
        assert_eq!(version("0.5.3.post1").checked(), SgLangChecked::Between);
        assert_eq!(version("0.5.13").checked(), SgLangChecked::Between);
        assert_eq!(version("0.2.14").checked(), SgLangChecked::Before);
        assert_eq!(version("0.5.24").checked(), SgLangChecked::Newer);
    }
}
