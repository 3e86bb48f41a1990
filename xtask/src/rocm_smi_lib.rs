//! Checks `vramscope-rocm` with its feature `rocm-smi-lib`, which needs libclang and ROCm SMI's headers to build.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

/// What the feature needs, by Debian's names.
const PACKAGES: [&str; 2] = ["librocm-smi-dev", "libclang-dev"];
/// The releases in which these names exist, with the version of ROCm SMI that each has kept: the check is of these.
const RELEASES: [(&str, &str); 2] = [("bookworm", "5.2.3"), ("trixie", "6.1.2")];

/// Installs what is missing where that is allowed, then lints and tests the feature.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask rocm-smi-lib");
    }
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|package| version(package).is_none()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    for package in PACKAGES {
        let found = version(package).with_context(|| format!("{package} is still not installed"))?;
        println!("rocm-smi-lib: {package} {found}");
    }
    let feature = ["-p", "vramscope-rocm", "--features", "rocm-smi-lib", "--locked"];
    cargo(&[&["clippy", "--all-targets"][..], &feature, &["--", "-D", "warnings"]].concat())?;
    cargo(&[&["test"][..], &feature].concat())
}

/// The installed version of a package.
fn version(package: &str) -> Option<String> {
    let output =
        Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Version}", package]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix("installed ").map(str::to_owned)
}

fn install(missing: &[&str]) -> anyhow::Result<()> {
    let names = missing.join(" ");
    let by_hand = format!("install them first: apt-get install {names}");
    let release = release().with_context(|| format!("this is no Debian, where {names} would come from; {by_hand}"))?;
    let Some((_, expected)) = RELEASES.iter().find(|(name, _)| *name == release) else {
        let known = RELEASES.map(|(name, _)| name).join(", ");
        bail!("Debian {release} is not among the releases that were checked ({known}); {by_hand}");
    };
    let id = Command::new("id").arg("-u").output().context("ask who runs this")?;
    if id.stdout.trim_ascii() != b"0" {
        bail!("{names} are missing and only root may install them; {by_hand}");
    }
    println!("rocm-smi-lib: installing {names} of Debian {release} (ROCm SMI {expected})");
    let apt = |args: &[&str]| -> anyhow::Result<()> {
        let status = Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args).status();
        let status = status.context("start apt-get")?;
        if !status.success() {
            bail!("apt-get {} ended with {status}; {by_hand}", args.join(" "));
        }
        Ok(())
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"][..], missing].concat())?;
    if let Some(found) = version(PACKAGES[0]).filter(|found| !found.starts_with(expected)) {
        bail!("Debian {release} gave ROCm SMI {found} where {expected} was checked: look at it, then say so in xtask");
    }
    Ok(())
}

/// The release's name by the system's own statement.
fn release() -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/etc/os-release")).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    text.lines().any(|line| line == "ID=debian").then(|| name.trim_matches('"').to_owned())
}

fn cargo(args: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO")).args(args).current_dir(crate::root()?).status().context("start cargo")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", args.join(" "));
    }
    Ok(())
}
