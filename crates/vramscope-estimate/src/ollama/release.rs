//! Releases, and the build of llama.cpp's server that each brings.

use std::fmt;
use std::str::FromStr;

/// A release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OllamaVersion {
    major: u64,
    minor: u64,
    patch: u64,
}

/// The first release that starts llama.cpp's server; those before place layers by formulas of their own.
pub(crate) const FIRST: OllamaVersion = OllamaVersion::new(30, 0);

/// The first release that leaves attention in one operator to devices of compute capability 6 too.
pub(crate) const FUSES_FROM_6: OllamaVersion = OllamaVersion::new(31, 2);

/// The first release that tells the server by `--load-mode` not to map pages.
const LOAD_MODES: OllamaVersion = OllamaVersion::new(32, 6);

/// The first release that brings each build (`LLAMA_CPP_VERSION` of every release from 0.30.0 to 0.32.15).
const BUILDS: &[(OllamaVersion, u64)] = &[
    (FIRST, 9452),
    (OllamaVersion::new(30, 1), 9479),
    (OllamaVersion::new(30, 4), 9493),
    (OllamaVersion::new(30, 5), 9509),
    (OllamaVersion::new(30, 9), 9626),
    (OllamaVersion::new(30, 10), 9672),
    (OllamaVersion::new(30, 11), 9781),
    (OllamaVersion::new(31, 0), 9840),
    (OllamaVersion::new(31, 2), 9888),
    (OllamaVersion::new(32, 2), 10069),
    (OllamaVersion::new(32, 3), 10091),
    (OllamaVersion::new(32, 6), 10242),
    (OllamaVersion::new(32, 8), 10353),
    (OllamaVersion::new(32, 10), 10380),
    (OllamaVersion::new(32, 14), 10434),
    (OllamaVersion::NEWEST, 10488),
];

impl OllamaVersion {
    /// The newest release whose rules were read.
    pub const NEWEST: Self = Self::new(32, 15);

    const fn new(minor: u64, patch: u64) -> Self {
        Self { major: 0, minor, patch }
    }

    /// The build of the server that it brings; `None` where that is not known.
    pub fn build(self) -> Option<u64> {
        let known = self.was_read().then_some(BUILDS)?;
        known.iter().rev().find(|(first, _)| *first <= self).map(|(_, build)| *build)
    }

    /// The words that keep the server from mapping pages of the file.
    pub(crate) fn unmapped(self) -> &'static [&'static str] {
        if self < LOAD_MODES { &["--no-mmap"] } else { &["--load-mode", "none"] }
    }

    /// Whether its rules were read in its source.
    pub fn was_read(self) -> bool {
        (FIRST..=Self::NEWEST).contains(&self)
    }
}

impl fmt::Display for OllamaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that is no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a release, such as 0.32.15")]
pub struct OllamaVersionError;

impl FromStr for OllamaVersion {
    type Err = OllamaVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).splitn(3, '.').map(str::parse::<u64>);
        let mut next = || numbers.next().unwrap_or(Ok(0)).map_err(|_| OllamaVersionError);
        let (major, minor, patch) = (next()?, next()?, next()?);
        if !text.contains('.') {
            return Err(OllamaVersionError);
        }
        Ok(Self { major, minor, patch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_the_build_of_the_last_change_before_it() {
        let build = |text: &str| text.parse::<OllamaVersion>().unwrap().build();
        assert_eq!((build("0.30.0"), build("v0.30.3"), build("0.30.8")), (Some(9452), Some(9479), Some(9509)));
        assert_eq!((build("0.31.1"), build("0.32.1"), build("0.32.15")), (Some(9840), Some(9888), Some(10488)));
        assert_eq!((build("0.29.9"), build("0.32.16"), build("1.0.0")), (None, None, None));
        assert!(BUILDS.is_sorted());
    }

    #[test]
    fn what_is_no_release_is_refused() {
        for wrong in ["", "latest", "30", "0.x", "0.30.0-rc1"] {
            assert!(wrong.parse::<OllamaVersion>().is_err(), "{wrong}");
        }
        assert_eq!("0.31".parse::<OllamaVersion>().unwrap().to_string(), "0.31.0");
    }
}
