//! Versions of the profile document.

use std::fmt;
use std::str::FromStr;

/// The version of a document: `major.minor`. A minor only adds; a major changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when a reader of the version before would misunderstand.
    pub major: u32,
    /// Changes when something is added.
    pub minor: u32,
}

impl Version {
    /// The first documents, which name no version.
    pub const V1: Self = Self { major: 1, minor: 0 };
    /// The version that this program writes.
    pub const WRITTEN: Self = Self { major: 3, minor: 1 };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is no `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read the version: it is not of the form major.minor")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let number = |digits: &str| -> Result<u32, VersionError> {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if plain { digits.parse().map_err(|_| VersionError) } else { Err(VersionError) }
        };
        let (major, minor) = text.split_once('.').ok_or(VersionError)?;
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_version_is_the_documents_constant() {
        assert_eq!(Version::WRITTEN.to_string(), crate::v3::SCHEMA_VERSION);
        assert_eq!(crate::v3::SCHEMA_VERSION.parse(), Ok(Version::WRITTEN));
    }

    #[test]
    fn only_two_plain_numbers_are_a_version() {
        for text in ["", "3", "3.", ".1", "3.1.0", "v3.1", "+3.1", "3.-1", "3. 1", "99999999999.0"] {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text:?}");
        }
        assert!(Version { major: 3, minor: 10 } > Version { major: 3, minor: 9 });
    }
}
