//! Holds the table of `docs/architecture.md`: who may import whom.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, bail};

/// Each crate with the crates of ours that it may import. `*` is anything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("vramscope-core", &[]),
    ("vramscope-schema", &["core"]),
    ("vramscope-gpu", &["core"]),
    ("vramscope-log", &["core"]),
    ("vramscope-models", &["core"]),
    ("vramscope-estimate", &["core"]),
    ("vramscope-unpack", &[]),
    ("vramscope-trace", &["core", "unpack"]),
    ("vramscope-snapshot", &["core", "unpack"]),
    ("vramscope-load", &["core"]),
    ("vramscope-host", &["core"]),
    ("vramscope-results", &["core"]),
    ("vramscope-report", &["core"]),
    ("vramscope-timeline", &["core", "gpu"]),
    ("vramscope-nvml", &["core", "gpu"]),
    ("vramscope-rocm", &["core", "gpu"]),
    ("vramscope-compare", &["core", "schema"]),
    ("vramscope-runs", &["core", "models", "schema", "unpack"]),
    ("vramscope-sampler", &["core", "gpu", "timeline"]),
    (
        "vramscope-analysis",
        &["core", "estimate", "gpu", "log", "models", "results", "runs", "schema", "snapshot", "timeline"],
    ),
    (
        "vramscope-live",
        &[
            "analysis", "core", "estimate", "gpu", "host", "load", "log", "models", "runs", "sampler", "schema",
            "timeline", "trace",
        ],
    ),
    ("standin-nvml", &[]),
    ("standin-openai", &[]),
    ("standin-rocm-smi", &[]),
    ("standin-vllm", &[]),
    ("vramscope", &["*"]),
    ("xtask", &["*"]),
    ("benches", &["*"]),
];

/// The document that draws the table, in a block that is marked `imports`.
const DRAWN: &str = "docs/architecture.md";

/// Crates that no library may depend on.
const NOT_IN_LIBRARIES: &[&str] = &["clap", "anyhow"];

/// Checks every edge of the workspace's graph, and that the table and its drawing speak of no crate that is gone.
pub(crate) fn run(_: &[String]) -> anyhow::Result<()> {
    let graph = workspace_graph()?;
    let text = fs::read_to_string(crate::root()?.join(DRAWN)).with_context(|| format!("read {DRAWN}"))?;
    let mut wrong = wrong(&graph);
    wrong.extend(differs(&text));
    if wrong.is_empty() {
        println!("layers: {} crates, every edge granted", graph.len());
        return Ok(());
    }
    bail!("layers:\n  {}", wrong.join("\n  "))
}

/// Each workspace member with the names of its normal and build dependencies.
type Graph = BTreeMap<String, Vec<String>>;

fn wrong(graph: &Graph) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, allowed) in MAY_IMPORT {
        if !graph.contains_key(*name) {
            wrong.push(format!("{name} has a row in the table of xtask/src/layers.rs and is no crate"));
        }
        for short in allowed.iter().filter(|short| **short != "*") {
            if !graph.contains_key(&format!("vramscope-{short}")) {
                wrong.push(format!("the row of {name} grants {short}, which is no crate"));
            }
        }
    }
    for (name, dependencies) in graph {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|row| row.0 == name) else {
            wrong.push(format!("{name} has no row in the table of xtask/src/layers.rs"));
            continue;
        };
        if allowed.contains(&"*") {
            continue;
        }
        for dependency in dependencies {
            let ours = dependency.strip_prefix("vramscope-");
            let granted = ours.is_none_or(|short| allowed.contains(&short)) && dependency != "vramscope";
            if !granted || NOT_IN_LIBRARIES.contains(&dependency.as_str()) {
                wrong.push(format!("{name} imports {dependency}, which its row does not grant"));
            }
        }
    }
    wrong
}

/// Where the block of the document and the table differ.
fn differs(document: &str) -> Option<String> {
    let block = document.split("\n```imports\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let drawn: Vec<_> = block.lines().map(words).collect();
    let row = |(name, allowed): &(&str, &[&str])| {
        let allowed = if allowed.is_empty() { "-".to_owned() } else { allowed.join(" ") };
        format!("{:<16}  {allowed}", name.strip_prefix("vramscope-").unwrap_or(name))
    };
    let rows: Vec<String> = MAY_IMPORT.iter().map(row).collect();
    let same = rows.iter().map(|row| words(row)).eq(drawn);
    (!same).then(|| format!("the block `imports` of {DRAWN} is not the table; it is\n{}", rows.join("\n")))
}

fn workspace_graph() -> anyhow::Result<Graph> {
    let metadata = crate::cargo_metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut graph = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        let imported = dependencies.iter().filter(|d| d["kind"] != "dev").filter_map(|d| d["name"].as_str());
        graph.insert(name.to_owned(), imported.map(str::to_owned).collect());
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every crate of the table, importing nothing.
    fn graph() -> Graph {
        MAY_IMPORT.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect()
    }

    #[test]
    fn a_row_without_a_crate_is_found_with_the_rows_that_grant_it() {
        let mut graph = graph();
        assert!(wrong(&graph).is_empty());
        graph.remove("vramscope-host");
        let wrong = wrong(&graph);
        assert!(wrong[0].starts_with("vramscope-host has a row"), "{wrong:?}");
        assert_eq!(wrong[1], "the row of vramscope-live grants host, which is no crate");
    }

    #[test]
    fn a_drawing_that_is_not_the_table_is_found() {
        let wrong = differs("# No block\n").unwrap();
        let rows = wrong.split_once('\n').unwrap().1;
        assert_eq!(differs(&format!("text\n```imports\n{rows}\n```\ntext\n")), None);
        assert!(differs(&format!("text\n```imports\n{}\n```\n", rows.replacen("core gpu", "core", 1))).is_some());
    }

    #[test]
    fn a_crate_without_a_row_and_an_edge_that_is_not_granted_are_found() {
        let mut graph = graph();
        graph.insert("vramscope-new".to_owned(), Vec::new());
        for (name, import) in [("vramscope-core", "vramscope-gpu"), ("vramscope-log", "clap"), ("xtask", "clap")] {
            graph.insert(name.to_owned(), vec![import.to_owned()]);
        }
        let wrong = wrong(&graph);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong.iter().any(|text| text.starts_with("vramscope-new has no row")), "{wrong:?}");
    }
}
