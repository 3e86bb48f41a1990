//! `docs/api`: what each library offers, one line an item, so that a change of it is seen in review.

mod listing;
mod types;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Where the listings stand.
const FOLDER: &str = "docs/api";
/// Set for this program when cargo runs it in place of rustdoc.
pub(crate) const AS_RUSTDOC: &str = "XTASK_AS_RUSTDOC";

/// `cargo xtask api [--check]`: writes the listings, or fails where one is not what the code says.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask api [--check]"),
    };
    let root = crate::root()?;
    let folder = root.join(FOLDER);
    if check && !folder.exists() {
        println!("api: there are no listings yet; to write them: cargo xtask api");
        return Ok(());
    }
    let libraries = libraries()?;
    let mut wrong = superfluous(&folder, &libraries)?;
    for (package, json) in libraries.iter().zip(documents(&root, &libraries)?) {
        let text = listing(&json).with_context(|| format!("list {package}"))?;
        let path = folder.join(format!("{package}.txt"));
        let there = fs::read_to_string(&path).unwrap_or_default();
        if there == text {
            continue;
        }
        if check {
            wrong.push(format!("{package}:\n{}", difference(&there, &text)));
        } else {
            fs::create_dir_all(&folder).context("make docs/api")?;
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            println!("api: wrote {FOLDER}/{package}.txt");
        }
    }
    if !wrong.is_empty() {
        bail!("what the libraries offer has changed:\n{}\nif it is meant: cargo xtask api", wrong.join("\n"));
    }
    println!("api: {} libraries offer what {FOLDER} says", libraries.len());
    Ok(())
}

/// The packages under `crates/` with a library that others may use.
fn libraries() -> anyhow::Result<Vec<String>> {
    let metadata = crate::cargo_metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let has_library = |package: &serde_json::Value| {
        let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        targets.iter().any(|target| target["kind"][0] == "lib")
    };
    let names = packages.iter().filter(|p| has_library(p)).filter_map(|p| p["name"].as_str());
    // The stand-ins, the benchmarks and this program are for the workspace alone.
    Ok(names.filter(|name| name.starts_with("vramscope-")).map(str::to_owned).collect())
}

/// Listings of no library.
fn superfluous(folder: &Path, libraries: &[String]) -> anyhow::Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).context("list docs/api")? {
        let path = entry.context("list docs/api")?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !libraries.contains(&name) {
            found.push(format!("{} is of no library", path.display()));
        }
    }
    Ok(found)
}

/// Has rustdoc write what it knows of each library as JSON. Only rustdoc itself is told to take an unstable flag: cargo and
/// the compiler are not, so that the build results of `cargo doc` are used.
fn documents(root: &Path, libraries: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let this = std::env::current_exe().context("find this program")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["doc", "--no-deps", "--lib", "--locked", "--target-dir", "target"]);
    for package in libraries {
        cargo.args(["--package", package]);
    }
    cargo.env("RUSTDOC", this).env(AS_RUSTDOC, "1").env("RUSTDOCFLAGS", "-Zunstable-options --output-format=json");
    let status = cargo.current_dir(root).status().context("run cargo doc")?;
    if !status.success() {
        bail!("cargo doc ended with {status}");
    }
    let path = |package: &String| root.join("target/doc").join(format!("{}.json", package.replace('-', "_")));
    Ok(libraries.iter().map(path).collect())
}

/// What this program does in place of rustdoc.
pub(crate) fn as_rustdoc() -> anyhow::Result<()> {
    let words = std::env::args_os().skip(1);
    let status = Command::new("rustdoc").args(words).env("RUSTC_BOOTSTRAP", "1").env_remove(AS_RUSTDOC).status();
    let status = status.context("start rustdoc")?;
    if !status.success() {
        bail!("rustdoc ended with {status}");
    }
    Ok(())
}

fn listing(json: &Path) -> anyhow::Result<String> {
    let text = fs::read(json).with_context(|| format!("read {}", json.display()))?;
    let document = serde_json::from_slice(&text).with_context(|| format!("read {}", json.display()))?;
    listing::listing(&document)
}

/// Lines that only one of them has.
fn difference(before: &str, now: &str) -> String {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), now.lines().collect());
    let gone = old.difference(&new).map(|line| format!("  - {line}\n"));
    let come = new.difference(&old).map(|line| format!("  + {line}\n"));
    gone.chain(come).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_went_and_what_came() {
        assert_eq!(difference("a\nb\n", "b\nc\n"), "  - a\n  + c\n");
    }
}
