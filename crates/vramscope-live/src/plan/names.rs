//! What the model of a run is called.

use std::path::PathBuf;

use super::Plan;

/// So much of a model's name is a part of a file's name, in characters; no file system takes more than 255 in all.
const LONGEST_NAME: usize = 100;

impl Plan {
    /// The model's name: a hub id as it is, of a folder its last part.
    pub(super) fn short_model(&self) -> String {
        let named = self.named.clone().unwrap_or_else(|| "server".to_owned());
        let path = self.folder.clone().or_else(|| Some(PathBuf::from(&named)).filter(|path| path.is_absolute()));
        let Some(path) = path else { return named };
        path.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The same as a part of a file's name.
    pub(crate) fn short_name(&self) -> String {
        let model = self.short_model();
        let last = model.rsplit('/').next().unwrap_or(&model);
        let plain = last.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' });
        plain.take(LONGEST_NAME).collect()
    }
}
