//! Text to document, from any version.

mod pairs;
mod unknown;

pub(crate) use unknown::UnknownField;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Version, migrate, v1, v2, v3, v3_0};

/// The largest document that is read. A profile of eight GPUs over an hour at ten ticks a second, nothing thinned out,
/// has under 100 MB.
pub const MAX_DOCUMENT_BYTES: usize = 256 << 20;

/// A document as this program understands it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Loaded {
    /// The document. Its `schema_version` is [`Version::WRITTEN`] unless `from` is a newer minor, which is never
    /// written back.
    pub profile: v3::Profile,
    /// The version of the text.
    pub from: Version,
    /// What a person should know of the reading: what did not come along, and what an old version could not say.
    pub notes: Vec<String>,
}

/// Why a text is no document that this program can read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing there.
    #[error("read the profile: it is empty")]
    Empty,
    /// More than any profile has.
    #[error("read the profile: it has {size} bytes, and no more than {MAX_DOCUMENT_BYTES} are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Not JSON, or not to its end.
    #[error("read the profile: line {line}, column {column} cannot be read as JSON ({reason})")]
    NotJson {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// JSON of another kind.
    #[error("read the profile: this is JSON, but no profile ({reason})")]
    NotAProfile {
        /// What is missing.
        reason: String,
    },
    /// The version is no version.
    #[error("read the profile: schema_version is {found}, and a version reads like \"{}\"", Version::WRITTEN)]
    BadVersion {
        /// What is written there.
        found: String,
    },
    /// A version that was never published.
    #[error(
        "read the profile: version {found} does not exist; this program reads 1.0, 2.0, 3.0 and {}",
        Version::WRITTEN
    )]
    UnknownVersion {
        /// The document's version.
        found: Version,
    },
    /// Written by a newer program, and changed so that this one would misunderstand it.
    #[error("read the profile: it is of version {found}, and this program reads up to {known}; use a newer vramscope")]
    NewerMajor {
        /// The document's version.
        found: Version,
        /// The newest version that this program knows.
        known: Version,
    },
    /// A field is not what it should be.
    #[error("read the profile (version {version}): {field}, line {line}: {reason}")]
    Field {
        /// The document's version.
        version: Version,
        /// The path of the field, or of the object in which it is missing.
        field: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// An amount of memory has a fraction of a byte.
    #[error("read the profile: {field} is {value}, and bytes are whole")]
    NotWhole {
        /// The path of the field.
        field: String,
        /// What is written there.
        value: f64,
    },
    /// The two figures of a pair say different things.
    #[error("read the profile: {field}_bytes is {bytes}, but {field}_gb is {gb} (of 10^9 bytes)")]
    Disagree {
        /// The path of the pair, without the ending.
        field: String,
        /// The exact figure.
        bytes: i128,
        /// The derived figure.
        gb: f64,
    },
    /// A derived figure stands without the exact one.
    #[error("read the profile: {field}_gb stands without {field}_bytes, which is the truth since version 3.1")]
    DerivedAlone {
        /// The path of the pair, without the ending.
        field: String,
    },
}

/// Reads a document of any version. Earlier versions are migrated to the one that this program writes; of a newer
/// minor, what is not known is listed in the notes.
///
/// # Errors
/// [`ReadError`], which names the field or the line.
pub fn read(json: &[u8]) -> Result<Loaded, ReadError> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    if json.len() > MAX_DOCUMENT_BYTES {
        return Err(ReadError::TooLarge { size: json.len() });
    }
    if json.iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty);
    }
    let (from, told) = version(json)?;
    let json = if told || from != Version::WRITTEN { Cow::Borrowed(json) } else { with_version(json, from) };
    let mut loaded = of_version(&json, from)?;
    if !told && from.major == 3 {
        loaded.notes.insert(0, format!("it has no schema_version; by its keys it is of version {from}"));
    }
    Ok(loaded)
}

/// The document with the version that its keys tell, on the line on which it begins: all lines keep their numbers.
fn with_version(json: &[u8], version: Version) -> Cow<'_, [u8]> {
    let begins = json.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
    let field = format!("\"schema_version\": \"{version}\",");
    Cow::Owned([&json[..begins], field.as_bytes(), &json[begins..]].concat())
}

/// Reads a document that is of a version.
fn of_version(json: &[u8], from: Version) -> Result<Loaded, ReadError> {
    match from {
        Version { major: 1, .. } => {
            let (old, unknown) = typed::<v1::Profile>(json, from)?;
            Ok(migrate::from_v1(old, from, &unknown))
        }
        Version { major: 2, .. } => {
            let (old, unknown) = typed::<v2::Profile>(json, from)?;
            Ok(migrate::from_v2(old, from, &unknown))
        }
        Version { major: 3, minor: 0 } => {
            let (old, unknown) = typed::<v3_0::Profile>(json, from)?;
            Ok(migrate::from_v3_0(old, from, &unknown))
        }
        Version { major: 3, .. } => current(json, from),
        found if found > Version::WRITTEN => Err(ReadError::NewerMajor { found, known: Version::WRITTEN }),
        found => Err(ReadError::UnknownVersion { found }),
    }
}

/// Reads a document of this major from 3.1 on.
fn current(json: &[u8], from: Version) -> Result<Loaded, ReadError> {
    pairs::check(json)?;
    let (profile, unknown) = typed::<v3::Profile>(json, from)?;
    let notes = unknown.into_iter().map(|field| field.note(from)).collect();
    Ok(Loaded { profile, from, notes })
}

/// The fields by which a version is told, and nothing else.
#[derive(Deserialize)]
struct Head {
    schema_version: Option<Value>,
    profiler_version: Option<Value>,
    generator: Option<serde::de::IgnoredAny>,
    memory_breakdown: Option<serde::de::IgnoredAny>,
    memory_measurements: Option<serde::de::IgnoredAny>,
    vllm_internal_metrics: Option<serde::de::IgnoredAny>,
    memory_timeline: Option<serde::de::IgnoredAny>,
    detailed_gpu_metrics: Option<serde::de::IgnoredAny>,
}

/// Looks at the version alone. Gives whether the document states it.
fn version(json: &[u8]) -> Result<(Version, bool), ReadError> {
    let head: Head = serde_json::from_slice(json).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ReadError::NotAProfile { reason: reason(&error) },
        _ => not_json(&error),
    })?;
    let of_third = [&head.vllm_internal_metrics, &head.memory_timeline, &head.detailed_gpu_metrics];
    let of_third = of_third.iter().any(|key| key.is_some());
    let told = head.schema_version.is_some();
    match (head.schema_version, head.profiler_version) {
        (Some(Value::String(text)), _) => {
            text.parse().map_err(|_| ReadError::BadVersion { found: short(&format!("{text:?}")) })
        }
        (Some(other), _) => Err(ReadError::BadVersion { found: short(&other.to_string()) }),
        (None, Some(Value::String(profiler))) if profiler.starts_with("1.") => Ok(Version::V1),
        // What version 3 alone has, whoever has left out the version; `generator` came with 3.1.
        (None, _) if head.generator.is_some() => Ok(Version::WRITTEN),
        (None, _) if of_third => Ok(Version { major: 3, minor: 0 }),
        (None, Some(profiler)) => {
            let reason =
                format!("it has no schema_version, though its profiler_version is {}", short(&profiler.to_string()));
            Err(ReadError::NotAProfile { reason })
        }
        (None, None) if head.memory_breakdown.is_some() && head.memory_measurements.is_none() => Ok(Version::V1),
        (None, None) if head.memory_measurements.is_some() => {
            let reason = "it has memory_measurements, which version 1 has not, and no schema_version".to_owned();
            Err(ReadError::NotAProfile { reason })
        }
        (None, None) => {
            let reason = "it has neither schema_version nor the memory_breakdown of a version 1 document".to_owned();
            Err(ReadError::NotAProfile { reason })
        }
    }
    .map(|version| (version, told))
}

/// Parses exactly one type, and lists what it does not know.
fn typed<T: DeserializeOwned>(json: &[u8], version: Version) -> Result<(T, Vec<UnknownField>), ReadError> {
    let mut unknown = unknown::Collector::new(version);
    let mut add = |path: serde_ignored::Path<'_>| unknown.add(&path);
    let mut text = serde_json::Deserializer::from_slice(json);
    let parsed = T::deserialize(serde_ignored::Deserializer::new(&mut text, &mut add));
    match parsed.and_then(|document| text.end().map(|()| document)) {
        Ok(document) => Ok((document, unknown.finish(json))),
        Err(error) => Err(field_error(&error, version, place::<T>(json))),
    }
}

/// Where a document does not fit its type. It is parsed again for this, because keeping the path costs time.
fn place<T: DeserializeOwned>(json: &[u8]) -> String {
    let mut text = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize::<_, T>(&mut text).err().map(|e| e.path().to_string()).unwrap_or_default()
}

fn field_error(error: &serde_json::Error, version: Version, path: String) -> ReadError {
    if !error.is_data() {
        return not_json(error);
    }
    let field = if path == "." { "the document".to_owned() } else { path };
    ReadError::Field { version, field, line: error.line(), reason: reason(error) }
}

fn not_json(error: &serde_json::Error) -> ReadError {
    ReadError::NotJson { line: error.line(), column: error.column(), reason: reason(error) }
}

/// The parser's words without its place, which is reported apart.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => short(&text[..end]),
        None => short(&text),
    }
}

/// The most of a document's own words that a message repeats.
const QUOTED_CHARS: usize = 200;

/// Text from the document, cut to what a person reads.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
