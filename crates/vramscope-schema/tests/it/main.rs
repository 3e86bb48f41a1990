//! The profile document as its users meet it: text in, text out.
#![expect(clippy::unwrap_used, reason = "a test may panic, and its helpers with it")]

mod generated;
mod guides;
mod jq;
mod junk;
mod migration;
mod newer;
mod round_trip;
mod schema;

/// A document of `data/`.
fn data(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A document as text.
fn text(profile: &vramscope_schema::v3::Profile) -> String {
    let mut out = Vec::new();
    vramscope_schema::write(profile, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The documents of every version.
const ALL: [&str; 5] = ["v1.json", "v1_negative_overhead.json", "v2.json", "v3_0.json", "v3_0_nothing_known.json"];
