//! Debian's packages, installed where that is allowed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The installed version of a package.
pub(crate) fn version(package: &str) -> Option<String> {
    let output =
        Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Version}", package]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix("installed ").map(str::to_owned)
}

/// The release's name by the system's own statement.
pub(crate) fn release() -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/etc/os-release")).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    text.lines().any(|line| line == "ID=debian").then(|| name.trim_matches('"').to_owned())
}

/// Installs packages, as root.
pub(crate) fn install(names: &[&str]) -> anyhow::Result<()> {
    let by_hand = format!("install them first: apt-get install {}", names.join(" "));
    let id = Command::new("id").arg("-u").output().context("ask who runs this")?;
    if id.stdout.trim_ascii() != b"0" {
        bail!("{} are missing and only root may install them; {by_hand}", names.join(" "));
    }
    println!("installing {}", names.join(" "));
    let apt = |args: &[&str]| -> anyhow::Result<()> {
        let mut command = Command::new("apt-get");
        let status = command.env("DEBIAN_FRONTEND", "noninteractive").args(args).stdout(Stdio::null()).status();
        let status = status.context("start apt-get")?;
        if !status.success() {
            bail!("apt-get {} ended with {status}; {by_hand}", args.join(" "));
        }
        Ok(())
    };
    apt(&["update", "--quiet"])?;
    apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"][..], names].concat())
}

/// `cargo xtask packages`: what later steps need of Debian, installed at once, since two `apt-get` do not run beside
/// each other. Where that is not possible, the steps say so themselves.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask packages");
    }
    let mut missing = crate::rocm_smi_lib::missing();
    missing.extend(crate::e2e::missing_packages());
    missing.extend(crate::pages::missing_packages());
    if missing.is_empty() {
        println!("packages: nothing is missing");
    } else if release().is_none() {
        println!("packages: this is no Debian, where {} would come from", missing.join(" "));
    } else {
        install(&missing)?;
    }
    Ok(())
}
