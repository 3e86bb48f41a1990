//! House rules that no compiler checks.

mod engines;
mod foreign;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A source file longer than this hides more than one noun.
const MAX_LINES: usize = 600;
/// Names with a unit of memory belong where documents are read and written; everywhere else memory is `Bytes`.
const UNITS_ALLOWED_IN: &[&str] = &["crates/vramscope-schema/", "crates/vramscope-log/", "xtask/", "/src/document"];
/// Words that do not land. They are spelled in two parts so that this file does not contain them.
const FORBIDDEN: &[(&str, &str)] = &[("todo", "!("), ("unimplemented", "!("), ("#[igno", "re"), ("FIX", "ME")];

/// Checks manifests, READMEs, file lengths, units in names, engines in their rooms, and the changelog.
pub(crate) fn run(_: &[String]) -> anyhow::Result<()> {
    let root = crate::root()?;
    let mut wrong = Vec::new();
    manifests(&root, &mut wrong)?;
    changelog(&root, &mut wrong)?;
    let mut sources = Vec::new();
    for folder in ["crates", "xtask", "benches", "examples", "fuzz"] {
        rust_files(&root.join(folder), &mut sources)?;
    }
    for path in &sources {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let name = path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned();
        source(&name, &text, &mut wrong);
        engines::check(&name, &text, &mut wrong);
        foreign::check(&name, &text, &mut wrong);
    }
    if wrong.is_empty() {
        println!("tidy: {} source files", sources.len());
        return Ok(());
    }
    bail!("tidy:\n  {}", wrong.join("\n  "))
}

fn manifests(root: &Path, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(root.join("crates")).context("list crates")? {
        let folder = entry.context("list crates")?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifest =
            fs::read_to_string(folder.join("Cargo.toml")).with_context(|| format!("read {name}'s manifest"))?;
        if !manifest.contains(&format!("name = \"{name}\"")) {
            wrong.push(format!("crates/{name}: the folder is not named as the package"));
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            wrong.push(format!("crates/{name}: the manifest does not take the workspace's lints"));
        }
        if !folder.join("README.md").exists() {
            wrong.push(format!("crates/{name}: no README.md"));
        }
    }
    Ok(())
}

fn changelog(root: &Path, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(root.join("CHANGELOG.md")).context("read CHANGELOG.md")?;
    for heading in ["## Unreleased", "### Profile schema"] {
        if !text.lines().any(|line| line.trim_end() == heading) {
            wrong.push(format!("CHANGELOG.md: no heading {heading:?}"));
        }
    }
    Ok(())
}

fn source(name: &str, text: &str, wrong: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > MAX_LINES {
        wrong.push(format!("{name}: {lines} lines; split it by noun"));
    }
    for (number, line) in text.lines().enumerate() {
        for (a, b) in FORBIDDEN {
            if line.contains(&format!("{a}{b}")) {
                wrong.push(format!("{name}:{}: {a}{b}", number + 1));
            }
        }
        if !UNITS_ALLOWED_IN.iter().any(|place| name.contains(place)) && names_a_unit(line) {
            wrong.push(format!("{name}:{}: a name with a unit of memory; use Bytes", number + 1));
        }
    }
}

/// Whether a line defines a field, variable or function whose name ends in a unit of memory. Strings and comments
/// may name such a field of a document.
fn names_a_unit(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default().trim_start();
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let mut words = words.skip_while(|word| ["pub", "crate", "super", "mut"].contains(word)).peekable();
    let keyword = ["let", "fn", "const", "static"];
    let visible = code.starts_with("pub");
    let name = match words.next() {
        Some(word) if keyword.contains(&word) => words.find(|word| *word != "mut"),
        first => first.filter(|_| visible),
    };
    name.is_some_and(|name| ["_gb", "_gib", "_mb", "_mib"].iter().any(|unit| name.ends_with(unit)))
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.with_context(|| format!("list {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_with_a_unit_is_found_and_a_mention_is_not() {
        assert!(names_a_unit("    let total_gb = 5.0;"));
        assert!(names_a_unit("pub fn used_mib(&self) -> f64 {"));
        assert!(!names_a_unit("    // total_gb is 10^9"));
        assert!(!names_a_unit("    assert_eq!(document.total_gb, 5.0);"));
        assert!(!names_a_unit("    let total = json[\"total_gb\"];"));
        assert!(!names_a_unit("    let total = gpu.mem_total_mib;"));
        assert!(names_a_unit("    pub(crate) used_gb: f64,"));
    }
}
