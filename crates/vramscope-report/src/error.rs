//! Why there is no page.

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The text is no JSON.
    #[error("{name} is no JSON document: {source}")]
    NoJson {
        /// What was read.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The document is none that a page is made of.
    #[error(
        "{name} is no document that a page can be made of: expected what `vramscope` writes with --format json or -o"
    )]
    Unknown {
        /// What was read.
        name: String,
    },
    /// The document is of a version that this library does not know.
    #[error("{name} is of version {version}, which is newer than this program knows: update vramscope")]
    Newer {
        /// What was read.
        name: String,
        /// Its version.
        version: u64,
    },
    /// These documents do not go on one page.
    #[error(
        "{first} is {one} and {other} is {another}: on one page there may be several profiles, or one document of another kind"
    )]
    Mixed {
        /// The first document.
        first: String,
        /// What it is.
        one: &'static str,
        /// The one that does not go with it.
        other: String,
        /// What that is.
        another: &'static str,
    },
    /// There is no document.
    #[error("a page is made of at least one document")]
    Nothing,
}
