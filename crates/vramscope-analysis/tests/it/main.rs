//! Evidence in, profile out, through the crate's public face.
#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, says so when it skips, and has small sums"
)]

mod allocator;
mod engines;
mod findings;
mod h200;
mod llama_cpp;
mod made_up;
mod ollama;
mod other_model;
mod releases;
mod sglang;

use std::path::{Path, PathBuf};

use vramscope_analysis::{Evidence, EvidenceError, assemble};
use vramscope_runs::EvidenceFiles;
use vramscope_schema::v3::{Generator, Profile};

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder of the reference recordings beside the checkout. They must be there in CI; elsewhere the test says that it
/// skips.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = root().join("../shared").join(folder);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent; CI needs it", path.display());
    println!("skipped: {} is absent", path.display());
    None
}

fn analyze(folder: &Path) -> Result<Profile, EvidenceError> {
    let evidence = Evidence::load(&EvidenceFiles::find(folder)?, &mut |_, _| {})?;
    let generator = Generator { name: "test".into(), version: "0".into() };
    Ok(assemble(&evidence, generator).expect("sums of a real run fit"))
}
