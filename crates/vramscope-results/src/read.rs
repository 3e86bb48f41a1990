//! Tells which tool wrote a file.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::ResultError;
use crate::flat::{Flat, Runs};
use crate::json::{documents, strict};
use crate::result::LoadResult;
use crate::sglang;
use crate::vllm;
use crate::{aiperf, guidellm, own};

/// A file of more bytes is refused: a million requests in every detail are smaller.
pub const MOST_RESULT_BYTES: usize = 1 << 30;
/// More runs of one file are refused.
pub const MOST_RESULTS: usize = 10_000;
/// Keys of a document that are looked at to tell which tool wrote it.
const MOST_KEYS: usize = 10_000;

/// Reads every run of a file: one JSON document, several one after the other (`--append-result`, JSON lines), or a list of
/// them (the `summary.json` of a sweep).
///
/// # Errors
/// [`ResultError`] with the run and field, or the line and column.
pub fn read(file: &[u8]) -> Result<Vec<LoadResult>, ResultError> {
    if file.len() > MOST_RESULT_BYTES {
        return Err(ResultError::TooMuch { most: MOST_RESULT_BYTES, what: "bytes" });
    }
    let json = strict(file);
    match kind(&json) {
        Some(Kind::GuideLlm) => guidellm::read(&json),
        Some(Kind::AiPerf) => aiperf::read(&json),
        Some(Kind::Own) => own::read(&json),
        Some(Kind::Flat) => {
            let runs = Runs::into_flat(documents::<Runs>(&json, MOST_RESULTS)?);
            runs.iter().map(flat).collect()
        }
        // What is no JSON is told by its place.
        None => documents::<IgnoredAny>(&json, MOST_RESULTS).and_then(|found| {
            Err(ResultError::Kind { found: if found.is_empty() { "nothing" } else { "other JSON" } })
        }),
    }
}

/// Whether a file begins as a load generator's result does. Whether all of it is one, [`read`] tells.
pub fn is_result(file: &[u8]) -> bool {
    kind(&strict(file)).is_some()
}

fn flat(run: &Flat) -> Result<LoadResult, ResultError> {
    match (run.has("duration"), sglang::wrote(run)) {
        (true, true) => sglang::read(run),
        (true, false) => vllm::read(run),
        (false, _) => Err(ResultError::Figure {
            run: run.run,
            field: "duration".to_owned(),
            found: "absent".to_owned(),
            expected: "the seconds that the run took",
        }),
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Flat,
    GuideLlm,
    AiPerf,
    Own,
}

/// By the keys of the first document.
fn kind(json: &[u8]) -> Option<Kind> {
    let first = serde_json::Deserializer::from_slice(json).into_iter::<Keys>().next()?.ok()?.0;
    let has = |name: &str| first.contains(name);
    if has("benchmarks") && has("metadata") {
        Some(Kind::GuideLlm)
    } else if has("aiperf_version") {
        Some(Kind::AiPerf)
    } else if has(own::KEY) {
        Some(Kind::Own)
    } else if has("duration") && !has("vramscope_profile") && FLAT.iter().any(|name| has(name)) {
        Some(Kind::Flat)
    } else {
        None
    }
}

/// What `bench serve` writes beside `duration`.
const FLAT: [&str; 4] = ["completed", "request_throughput", "output_throughput", "mean_ttft_ms"];

/// The keys of an object, or of the first object of a list.
struct Keys(BTreeSet<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or a list of objects")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = BTreeSet::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    if keys.len() < MOST_KEYS {
                        keys.insert(key);
                    }
                }
                Ok(Keys(keys))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Keys, A::Error> {
                let first = list.next_element::<Keys>()?.unwrap_or(Keys(BTreeSet::new()));
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(first)
            }
        }
        deserializer.deserialize_any(Top)
    }
}
