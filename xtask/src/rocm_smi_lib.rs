//! Checks `vramscope-rocm` with its feature `rocm-smi-lib`, which needs libclang and ROCm SMI's headers to build.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::debian::{self, release, version};

/// What the feature needs, by Debian's names.
const PACKAGES: [&str; 2] = ["librocm-smi-dev", "libclang-dev"];
/// The releases in which these names exist, with the version of ROCm SMI that each has kept: the check is of these.
const RELEASES: [(&str, &str); 2] = [("bookworm", "5.2.3"), ("trixie", "6.1.2")];

/// Installs what is missing where that is allowed, then lints and tests the feature.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask rocm-smi-lib");
    }
    let missing = missing();
    if !missing.is_empty() {
        install(&missing)?;
    }
    for package in PACKAGES {
        let found = version(package).with_context(|| format!("{package} is still not installed"))?;
        println!("rocm-smi-lib: {package} {found}");
    }
    as_checked()?;
    let feature = ["-p", "vramscope-rocm", "--features", "rocm-smi-lib", "--locked"];
    cargo(&[&["clippy", "--all-targets"][..], &feature, &["--", "-D", "warnings"]].concat())?;
    cargo(&[&["test"][..], &feature].concat())
}

/// Which of the packages are not installed.
pub(crate) fn missing() -> Vec<&'static str> {
    PACKAGES.into_iter().filter(|package| version(package).is_none()).collect()
}

fn install(missing: &[&str]) -> anyhow::Result<()> {
    let names = missing.join(" ");
    let by_hand = format!("install them first: apt-get install {names}");
    let release = release().with_context(|| format!("this is no Debian, where {names} would come from; {by_hand}"))?;
    let known = RELEASES.map(|(name, _)| name);
    if !known.contains(&&*release) {
        bail!("Debian {release} is not among the releases that were checked ({}); {by_hand}", known.join(", "));
    }
    debian::install(missing)
}

/// What Debian gives must be what was checked.
fn as_checked() -> anyhow::Result<()> {
    let release = release().unwrap_or_default();
    let found = version(PACKAGES[0]).unwrap_or_default();
    if let Some((_, expected)) = RELEASES.iter().find(|(name, _)| *name == release)
        && !found.starts_with(expected)
    {
        bail!("Debian {release} gave ROCm SMI {found} where {expected} was checked: look at it, then say so in xtask");
    }
    Ok(())
}

fn cargo(args: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO")).args(args).current_dir(crate::root()?).status().context("start cargo")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", args.join(" "));
    }
    Ok(())
}
