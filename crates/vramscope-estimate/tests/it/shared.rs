//! The folder with recordings and references beside the checkout.

use std::path::PathBuf;

/// A path in the folder; `None` where it is not there, which is a failure in CI.
pub(crate) fn path(relative: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(relative);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is needed in CI", path.display());
    eprintln!("skipped: {} is not there", path.display());
    None
}
