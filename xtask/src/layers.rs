//! Holds the table of `docs/architecture.md`: who may import whom.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

/// Each crate with the crates of ours that it may import. `*` is anything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("vramscope-core", &[]),
    ("vramscope-schema", &["core"]),
    ("vramscope-gpu", &["core"]),
    ("vramscope-log", &["core"]),
    ("vramscope-models", &["core"]),
    ("vramscope-estimate", &["core"]),
    ("vramscope-trace", &["core"]),
    ("vramscope-load", &["core"]),
    ("vramscope-host", &["core"]),
    ("vramscope-timeline", &["core", "gpu"]),
    ("vramscope-nvml", &["core", "gpu"]),
    ("vramscope-rocm", &["core", "gpu"]),
    ("vramscope-compare", &["core", "schema"]),
    ("vramscope-runs", &["core", "models", "schema"]),
    ("vramscope-sampler", &["core", "gpu", "timeline"]),
    ("vramscope-analysis", &["core", "estimate", "gpu", "log", "models", "runs", "schema", "timeline"]),
    (
        "vramscope-live",
        &[
            "analysis", "core", "estimate", "gpu", "host", "load", "log", "models", "runs", "sampler", "schema",
            "timeline", "trace",
        ],
    ),
    ("standin-nvml", &[]),
    ("standin-rocm-smi", &[]),
    ("standin-vllm", &[]),
    ("vramscope", &["*"]),
    ("xtask", &["*"]),
    ("benches", &["*"]),
];

/// Crates that no library may depend on.
const NOT_IN_LIBRARIES: &[&str] = &["clap", "anyhow"];

/// Checks every edge of the workspace's graph.
pub(crate) fn run(_: &[String]) -> anyhow::Result<()> {
    let graph = workspace_graph()?;
    let mut wrong = Vec::new();
    for (name, dependencies) in &graph {
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
    if wrong.is_empty() {
        println!("layers: {} crates, every edge granted", graph.len());
        return Ok(());
    }
    bail!("layers:\n  {}", wrong.join("\n  "))
}

/// Each workspace member with the names of its normal and build dependencies.
fn workspace_graph() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
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
