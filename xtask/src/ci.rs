//! Everything that must hold before a change lands: steps that run beside each other, and what they took.

mod schedule;
mod step;
mod times;

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use anyhow::{Context as _, bail};

pub(crate) use step::{Lane, Step};

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Tier {
    /// What each change is tried with while it is made: no engine, no network, no slow test.
    Quick,
    /// What must hold before a change lands.
    Ci,
    /// What takes long and seldom breaks.
    Full,
}

/// The steps with the least tier that has them. The order is that in which they start where nothing else decides: what
/// others wait for comes first, then what ends soon.
fn steps(quick: bool) -> Vec<(Tier, Step)> {
    use Lane::{Cargo, Light, Run};
    use Tier::{Ci, Full, Quick};
    let clippy = ["--locked", "--", "-D", "warnings"];
    let cargo = |name: &str, words: &[&str]| Step::new(name, Cargo, &[&["cargo"], words].concat());
    let test: &[&str] = if quick { &["xtask", "test", "--quick"] } else { &["xtask", "test"] };
    let mut steps = vec![
        (Quick, Step::new("fmt", Light, &["cargo", "fmt", "--all", "--check"])),
        (Quick, Step::new("layers", Light, &["xtask", "layers"])),
        (Ci, Step::new("oracle", Run, &["xtask", "oracle"])),
        (Full, Step::new("oracle-anew", Run, &["xtask", "oracle", "--check"])),
        (Quick, Step::new("tidy", Light, &["xtask", "tidy"])),
        (Ci, Step::new("licences", Light, &["xtask", "licences"])),
        (Ci, Step::new("msrv", Light, &["xtask", "msrv"])),
        (Ci, Step::new("packages", Light, &["xtask", "packages"])),
        (Quick, Step::new("build", Cargo, &["xtask", "build"])),
        (Quick, cargo("clippy", &[&["clippy", "--workspace", "--all-targets"], &clippy[..]].concat())),
        // Features of dependencies that only another crate of the workspace asks for are missing here, as they are where
        // the command is installed.
        (Ci, cargo("clippy-alone", &[&["clippy", "-p", "vramscope"], &clippy[..]].concat())),
        (Ci, cargo("clippy-lean", &[&["clippy", "-p", "vramscope", "--no-default-features"], &clippy[..]].concat())),
        (Ci, fuzz()),
        (Ci, cargo("doc", &["doc", "--workspace", "--no-deps", "--locked"]).with_env("RUSTDOCFLAGS", "-D warnings")),
        (Ci, Step::new("doctest", Cargo, &["xtask", "test", "--doc"])),
        (Ci, Step::new("rocm-smi-lib", Cargo, &["xtask", "rocm-smi-lib"]).after(&["packages"])),
        (Ci, Step::new("api", Cargo, &["xtask", "api", "--check"])),
        (Full, cargo("bench", &["test", "-p", "benches", "--benches", "--locked"])),
        (Quick, Step::new("schema", Run, &["xtask", "schema", "--check"]).after(&["build"])),
        (Ci, Step::new("examples", Run, &["xtask", "examples"]).after(&["build"])),
        (Ci, Step::new("kit", Run, &["python3", "-B", "-m", "unittest", "discover", "-s", "benches/gpu"])),
        (Ci, Step::new("validate", Light, &["xtask", "validate"]).after(&["build"])),
        (Ci, Step::new("pages", Run, &["xtask", "pages"]).after(&["build", "packages"])),
        (Quick, Step::new("test", Run, test).after(&["build"])),
    ];
    steps.extend(crate::e2e::steps(None).into_iter().map(|step| (Ci, step)));
    steps.push((Ci, Step::new("corpus", Run, &["xtask", "corpus"]).after(&["build"])));
    steps.push((Ci, Step::new("recordings", Run, &["xtask", "recordings", "--check"]).after(&["build"])));
    steps
}

/// The fuzz targets, which are a workspace of their own. What both have of the same version is compiled once: that asks
/// for the same folder and the same debug information. Nothing is linked, so libFuzzer itself is not compiled either.
fn fuzz() -> Step {
    let words = ["cargo", "check", "--manifest-path", "fuzz/Cargo.toml", "--locked", "--target-dir", "target"];
    let step = Step::new("fuzz", Lane::Cargo, &words).with_env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    step.with_env("CUSTOM_LIBFUZZER_PATH", "/dev/null")
}

/// `cargo xtask ci [--quick | full | STEP…]`. A name stands for the step and those that begin with it and a dash; what they
/// need is run too.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let (tier, names) = match args {
        [] => (Tier::Ci, &[][..]),
        [word] if word == "--quick" => (Tier::Quick, &[][..]),
        [word] if word == "full" => (Tier::Full, &[][..]),
        names => (Tier::Full, names),
    };
    let all = steps(tier == Tier::Quick);
    let chosen = if names.is_empty() {
        all.into_iter().filter(|(least, _)| *least <= tier).map(|(_, step)| step).collect()
    } else {
        named(all.into_iter().map(|(_, step)| step).collect(), names)?
    };
    run_steps(chosen, "cargo xtask ci")
}

/// Those of these names, and what they need.
fn named(all: Vec<Step>, names: &[String]) -> anyhow::Result<Vec<Step>> {
    let mut wanted = BTreeSet::new();
    for name in names {
        let found: Vec<&Step> = all.iter().filter(|step| is_called(&step.name, name)).collect();
        if found.is_empty() {
            let names: Vec<&str> = all.iter().map(|step| &*step.name).collect();
            bail!("no step is called {name}; there are --quick, full, or {}", names.join(", "));
        }
        wanted.extend(found.into_iter().map(|step| step.name.clone()));
    }
    // Needs of needs stand before or after; so often as there are steps is often enough.
    for _ in &all {
        let needs = all.iter().filter(|step| wanted.contains(&step.name)).flat_map(|step| step.needs.clone());
        wanted.extend(needs.collect::<Vec<_>>());
    }
    Ok(all.into_iter().filter(|step| wanted.contains(&step.name)).collect())
}

fn is_called(step: &str, name: &str) -> bool {
    step.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Runs steps, and says and keeps what each took. `again` is the command that runs one of them by its name.
pub(crate) fn run_steps(steps: Vec<Step>, again: &str) -> anyhow::Result<()> {
    let root = crate::root()?;
    let logs = root.join("target/ci");
    let list = crate::built::list_of(&root).to_string_lossy().into_owned();
    let build = "build".to_owned();
    let steps = steps
        .into_iter()
        .map(|step| if step.needs.contains(&build) { step.with_env(crate::built::LIST, &list) } else { step });
    let begun = Instant::now();
    let passed = schedule::run(steps.collect(), &root, &logs, again)?;
    let table = times::table(&passed, begun.elapsed());
    fs::write(logs.join("times.txt"), &table).context("write target/ci/times.txt")?;
    println!("\n{table}");
    println!("ci: all {} steps passed in {:.0} s", passed.len(), begun.elapsed().as_secs_f64());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_needs_is_a_step_of_no_higher_tier() {
        let all = steps(false);
        for (tier, step) in &all {
            for need in &step.needs {
                let (least, _) = all.iter().find(|(_, other)| other.name == *need).unwrap();
                assert!(least <= tier, "{} needs {need}", step.name);
            }
        }
        let names: BTreeSet<&str> = all.iter().map(|(_, step)| &*step.name).collect();
        assert_eq!(names.len(), all.len(), "two steps have one name");
    }

    #[test]
    fn a_name_brings_its_group_and_its_needs() {
        let all = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let steps = steps(false).into_iter().map(|(_, step)| step).collect();
            named(steps, &names).map(|steps| steps.into_iter().map(|step| step.name).collect::<Vec<_>>())
        };
        assert_eq!(all(&["test"]).unwrap(), ["build", "test"]);
        assert_eq!(all(&["clippy"]).unwrap(), ["clippy", "clippy-alone", "clippy-lean"]);
        assert_eq!(all(&["e2e-docker"]).unwrap(), ["packages", "build", "e2e-install", "e2e-docker"]);
        assert!(all(&["e2"]).is_err());
    }
}
