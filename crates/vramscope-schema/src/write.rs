//! The document as text.

use std::io::{self, Write as _};

use serde::Serialize as _;
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::{Version, units, v3};

/// Why a document was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The document is not of the version that this program writes; a newer one would lose what it does not know.
    #[error("write the profile: it is of version {found}, and only {} is written here", Version::WRITTEN)]
    OtherVersion {
        /// The document's version.
        found: String,
    },
    /// A figure is infinite or not a number.
    #[error("write the profile: {field} is not a finite number")]
    NotFinite {
        /// The last key of its path.
        field: String,
    },
    /// The writer failed.
    #[error("write the profile")]
    Io(#[source] io::Error),
}

/// Writes the document as JSON: keys in the order of the types, two spaces, a line feed at the end. Each `x_bytes` is
/// followed by `x_gb`.
///
/// # Errors
/// [`WriteError::OtherVersion`] if the document is not of [`Version::WRITTEN`], [`WriteError::NotFinite`] if a figure
/// cannot be written, [`WriteError::Io`] if `out` fails.
pub fn write(profile: &v3::Profile, out: impl io::Write) -> Result<(), WriteError> {
    if profile.schema_version.parse() != Ok(Version::WRITTEN) {
        return Err(WriteError::OtherVersion { found: profile.schema_version.clone() });
    }
    let mut out = io::BufWriter::new(out);
    let mut pairs = Pairs::default();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, &mut pairs);
    if let Err(error) = profile.serialize(&mut serializer) {
        return Err(match pairs.not_finite {
            Some(field) => WriteError::NotFinite { field },
            None => WriteError::Io(error.into()),
        });
    }
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(WriteError::Io)
}

/// Pretty text in which every whole number under a key `x_bytes` is followed by `x_gb`.
#[derive(Default)]
struct Pairs {
    pretty: PrettyFormatter<'static>,
    in_key: bool,
    key: String,
    pending: Option<i128>,
    not_finite: Option<String>,
}

impl Pairs {
    /// A whole number was written; under the key of an exact amount of memory it has a companion.
    fn whole(&mut self, value: i128) {
        if units::exact_stem(&self.key).is_some() {
            self.pending = Some(value);
        }
    }

    fn companion<W: ?Sized + io::Write>(&mut self, out: &mut W, bytes: i128) -> io::Result<()> {
        let Some(stem) = units::exact_stem(&self.key) else { return Ok(()) };
        self.pretty.begin_object_key(out, false)?;
        write!(out, "\"{stem}_gb\"")?;
        self.pretty.end_object_key(out)?;
        self.pretty.begin_object_value(out)?;
        self.pretty.write_f64(out, units::gb(bytes))?;
        self.pretty.end_object_value(out)
    }
}

/// Writes a whole number and remembers it.
macro_rules! whole {
    ($($method:ident: $ty:ty),+) => {
        $(fn $method<W: ?Sized + io::Write>(&mut self, out: &mut W, value: $ty) -> io::Result<()> {
            self.whole(value.into());
            self.pretty.$method(out, value)
        })+
    };
}

/// Forwards the calls that only lay out the text.
macro_rules! layout {
    ($($method:ident($($arg:ident: $ty:ty)?)),+) => {
        $(fn $method<W: ?Sized + io::Write>(&mut self, out: &mut W $(, $arg: $ty)?) -> io::Result<()> {
            self.pretty.$method(out $(, $arg)?)
        })+
    };
}

impl Formatter for &mut Pairs {
    whole! {
        write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64,
        write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64
    }

    layout! {
        end_array(), begin_array_value(first: bool), end_array_value(), end_object(), begin_object_value()
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.key.clear();
        self.pretty.begin_array(out)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.key.clear();
        self.pretty.begin_object(out)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.key.clear();
        self.in_key = true;
        self.pretty.begin_object_key(out, first)
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if self.in_key {
            self.key.push_str(fragment);
        }
        self.pretty.write_string_fragment(out, fragment)
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.in_key = false;
        self.pretty.end_object_key(out)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.pretty.end_object_value(out)?;
        match self.pending.take() {
            Some(bytes) => self.companion(out, bytes),
            None => Ok(()),
        }
    }

    /// The document has no null: serde_json asks for one where a float is not finite.
    fn write_null<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.not_finite = Some(self.key.clone());
        Err(io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v3::{Generator, MemoryBreakdown, Metadata, Profile, TimelinePoint};

    fn empty() -> Profile {
        Profile::new(Generator { name: "test".into(), version: "0".into() }, Metadata::default())
    }

    fn text(profile: &Profile) -> String {
        let mut out = Vec::new();
        write(profile, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_amount_is_written_twice_and_stated_once() {
        let breakdown = MemoryBreakdown {
            baseline_bytes: Some(16_110_919_680),
            residual_bytes: Some(-2_500),
            ..MemoryBreakdown::default()
        };
        let profile = Profile { memory_breakdown: Some(breakdown), ..empty() };
        let text = text(&profile);
        let expected = "  \"memory_breakdown\": {\n    \"baseline_bytes\": 16110919680,\n    \"baseline_gb\": 16.11092,\n    \
                        \"residual_bytes\": -2500,\n    \"residual_gb\": -3e-6\n  }\n}\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_figure_that_is_no_number_is_an_error_and_not_a_null() {
        let point = TimelinePoint { temp_c: Some(f64::NAN), ..TimelinePoint::default() };
        let timeline = v3::MemoryTimeline { timeline: vec![point], ..v3::MemoryTimeline::default() };
        let profile = Profile { memory_timeline: Some(timeline), ..empty() };
        let error = write(&profile, Vec::new()).unwrap_err();
        assert!(matches!(&error, WriteError::NotFinite { field } if field == "temp_c"), "{error}");
    }

    #[test]
    fn another_version_is_never_written() {
        for version in ["3.2", "4.0", "3.0", "2.0", ""] {
            let profile = Profile { schema_version: version.into(), ..empty() };
            assert!(matches!(write(&profile, Vec::new()), Err(WriteError::OtherVersion { .. })), "{version}");
        }
    }

    #[test]
    fn a_full_disk_is_an_io_error() {
        let mut small = [0u8; 10];
        assert!(matches!(write(&empty(), &mut small[..]), Err(WriteError::Io(_))));
    }
}
