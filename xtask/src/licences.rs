//! Every dependency's licence must be one of those that `deny.toml` allows.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, bail};

/// Checks the licence of every package in the lock file.
pub(crate) fn run(_: &[String]) -> anyhow::Result<()> {
    let root = crate::root()?;
    let allowed = allowed(&fs::read_to_string(root.join("deny.toml")).context("read deny.toml")?);
    let metadata = crate::cargo_metadata(&[])?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let expression = package["license"].as_str().unwrap_or_default();
        if !satisfied(expression, &allowed) {
            wrong.push(format!("{} {}: {expression:?}", package["name"], package["version"]));
        }
    }
    if wrong.is_empty() {
        println!("licences: {} packages", packages.len());
        return Ok(());
    }
    bail!("licences that deny.toml does not allow:\n  {}", wrong.join("\n  "))
}

/// The strings of the `allow` list under `[licenses]`.
fn allowed(deny: &str) -> BTreeSet<String> {
    let list = deny.split("[licenses]").nth(1).and_then(|rest| rest.split("allow = [").nth(1));
    let list = list.and_then(|rest| rest.split(']').next()).unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met: any side of an `OR`, every side of an `AND`. `/` is the old `OR`.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let all = |part: &str| part.split(" AND ").all(|licence| allowed.contains(licence.trim()));
    // Without brackets the reading is too strict for `A AND (B OR C)`, never too lax: each mix must be allowed.
    expression.split(" OR ").any(all)
        || (expression.contains(" AND ")
            && expression.split(" AND ").all(|part| part.split(" OR ").any(|licence| allowed.contains(licence.trim()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed = allowed("[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"Unicode-3.0\"]\n");
        for good in ["MIT", "MIT OR GPL-3.0", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0"] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }
}
