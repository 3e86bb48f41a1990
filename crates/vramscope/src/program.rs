//! Where programs are, and how their command lines are written.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The file that starting a program of this name would run; a name with a folder in it stands for itself. `None` where there
/// is no such file.
pub(crate) fn on_path(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    if name.components().count() > 1 || name.is_absolute() {
        return Some(name.to_owned()).filter(|path| path.is_file());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_and_a_path_is_not() {
        let shell = on_path("sh").unwrap();
        assert_eq!(on_path(&shell), Some(shell));
        assert_eq!(
            (on_path("./sh"), on_path("/no/sh"), on_path("no-such-program"), on_path("")),
            (None, None, None, None)
        );
    }
}
