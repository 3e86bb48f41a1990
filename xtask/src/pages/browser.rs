//! Chromium and what drives it: playwright-core, with axe-core for what people without a mouse or with weak eyes need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Packages of Debian, each with the file by which it is known to be there: the browser, and letters for it to draw.
const PACKAGES: [(&str, &str); 2] =
    [("chromium", "/usr/bin/chromium"), ("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")];

/// Those that are not there.
pub(crate) fn missing_packages() -> Vec<&'static str> {
    let missing = PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists());
    missing.map(|(package, _)| *package).collect()
}

/// How many pages are made or looked at beside each other.
pub(super) fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// The scripts with their packages.
pub(super) struct Browser {
    scripts: PathBuf,
}

impl Browser {
    /// Installs what is missing.
    pub(super) fn find(root: &Path) -> anyhow::Result<Self> {
        let missing = missing_packages();
        if !missing.is_empty() {
            if crate::debian::release().is_none() {
                bail!("{} are missing; this is no Debian, where they would come from", missing.join(" and "));
            }
            crate::debian::install(&missing)?;
        }
        let scripts = root.join("target/pages/node");
        crate::validate::install_node(&root.join("xtask/pages"), &scripts)?;
        Ok(Self { scripts })
    }

    /// Looks at pages. Whether all is right; what is not was printed.
    pub(super) fn look(
        &self,
        folder: &Path,
        options: &[&str],
        pages: &[Value],
        screenshots: bool,
    ) -> anyhow::Result<bool> {
        let work = folder.join("work.json");
        let list = json!({
            "chromium": PACKAGES[0].1, "folder": folder, "screenshots": screenshots, "at_once": at_once(), "pages": pages,
        });
        fs::write(&work, list.to_string()).context("write the browser's work")?;
        let mut node = Command::new("node");
        let status = node.arg(self.scripts.join("look.mjs")).args(options).arg(work).status();
        match status.context("start node")?.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            other => bail!("looking at the pages ended with {other:?}"),
        }
    }
}
