//! Where recorded and labelled logs lie.

use std::path::{Path, PathBuf};

/// A folder of `../shared/corpus` beside the workspace. `None` where it is absent, which is a failure under CI.
#[expect(clippy::print_stderr, reason = "whoever runs the tests must see that some were skipped")]
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let folder = root.join("../shared/corpus").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent, and CI must have it", folder.display());
    eprintln!("skipped: {} is absent", folder.display());
    None
}
