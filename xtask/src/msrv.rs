//! Holds the `rust-version` of the workspace against the dependencies and the toolchain.

use std::process::Command;

use anyhow::{Context as _, bail};

/// Fails on a dependency that asks for a newer Rust than the workspace promises, and says what of the promise this
/// toolchain proves. Clippy's `incompatible_msrv`, which is on, covers the standard library.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask msrv");
    }
    let metadata = crate::cargo_metadata(&[])?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let ours = packages.iter().find(|package| package["source"].is_null());
    let promised = ours.and_then(|package| package["rust_version"].as_str()).context("we promise no rust-version")?;
    let promise = version(promised).with_context(|| format!("read rust-version {promised:?}"))?;
    let mut wrong = Vec::new();
    for package in packages {
        let Some(text) = package["rust_version"].as_str() else { continue };
        let needed = version(text).with_context(|| format!("read rust-version {text:?}"))?;
        let other = package["source"].is_null() && needed != promise;
        if needed > promise || other {
            wrong.push(format!("{} {}: rust-version {text}", package["name"], package["version"]));
        }
    }
    if !wrong.is_empty() {
        bail!("the workspace promises Rust {promised}:\n  {}", wrong.join("\n  "));
    }
    let output = Command::new("rustc").arg("--version").output().context("ask rustc for its version")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let toolchain = said.split(' ').nth(1).and_then(version).with_context(|| format!("read {said:?}"))?;
    let proved = match toolchain.cmp(&promise) {
        std::cmp::Ordering::Less => bail!("this is {}, older than the promised Rust {promised}", said.trim()),
        _ if toolchain[..2] == promise[..2] => "built by that release",
        std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => {
            "by the dependencies' own statements and clippy alone: this toolchain is newer"
        }
    };
    println!("msrv: {} packages, none needs more than Rust {promised}; {proved}", packages.len());
    Ok(())
}

/// `1.95` or `1.95.0` as numbers.
fn version(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split(['.', '-', '+']).map(str::parse);
    let mut next = || parts.next().map_or(Some(0), Result::ok);
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("1.9").unwrap() < version("1.95.0").unwrap());
        assert_eq!(version("1.95"), version("1.95.0"));
        assert_eq!(version("1.x"), None);
    }
}
