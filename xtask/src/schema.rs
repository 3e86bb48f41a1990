//! Writes or verifies `schemas/*.json`, one file for each document that the command can describe.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, bail};

/// Writes the schemas, or with `--check` fails where one is missing, out of date, or of no document.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask schema [--check]"),
    };
    let folder = crate::root()?.join("schemas");
    let wanted = schemas(&folder)?;
    let present = files(&folder)?;
    let mut wrong = Vec::new();
    for (path, text) in &wanted {
        if fs::read_to_string(path).ok().as_ref() == Some(text) {
            continue;
        }
        if check {
            wrong.push(format!("{} is missing or out of date", path.display()));
        } else {
            fs::create_dir_all(&folder).context("make schemas/")?;
            fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
            println!("schema: wrote {}", path.display());
        }
    }
    for path in present.iter().filter(|path| !wanted.contains_key(*path)) {
        wrong.push(format!("{} belongs to no document of `vramscope schema`", path.display()));
    }
    if !wrong.is_empty() {
        bail!("schema:\n  {}\nto write them: cargo xtask schema", wrong.join("\n  "));
    }
    println!("schema: {} documents, all up to date", wanted.len());
    Ok(())
}

/// The schemas as they should be, by file.
fn schemas(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let list = vramscope(&["schema", "--format", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&list).context("read the list of documents")?;
    let names = list.as_array().context("the list of documents is no list")?.iter().filter_map(|d| d["name"].as_str());
    names.map(|name| Ok((folder.join(format!("{name}.json")), vramscope(&["schema", name])?))).collect()
}

/// The command, found once: it is asked for each document.
fn command(root: &Path) -> anyhow::Result<PathBuf> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = crate::built::command(root)?;
    Ok(FOUND.get_or_init(|| found).clone())
}

/// What the command of this workspace prints.
pub(crate) fn vramscope(args: &[&str]) -> anyhow::Result<String> {
    let root = crate::root()?;
    let output = Command::new(command(&root)?).args(args).current_dir(&root).output();
    let output = output.context("run the vramscope command")?;
    if !output.status.success() {
        bail!("vramscope {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("the command's output is not UTF-8")
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).context("list schemas/")?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|e| e.path())).collect();
    Ok(paths.context("list schemas/")?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "json")).collect())
}
