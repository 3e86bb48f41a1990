//! Holds documents against `schemas/` with validators that others wrote: Python's `jsonschema` and Node's `ajv`. They
//! must accept what the command writes, and refuse it damaged.

mod mutations;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// A validator: its name on the command line, and how it is installed and run.
struct Validator {
    name: &'static str,
    run: fn(&Tools, &Path) -> anyhow::Result<()>,
}

const VALIDATORS: &[Validator] = &[Validator { name: "python", run: python }, Validator { name: "node", run: node }];

/// Folders of the scripts (kept in the repository) and of what is installed for them (kept out of it).
struct Tools {
    scripts: PathBuf,
    installed: PathBuf,
}

/// `cargo xtask validate [--only python|node] [FILES…]`: profiles given, or those that the command writes from the
/// examples and from the old documents that its tests migrate.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let (only, files) = arguments(args)?;
    let root = crate::root()?;
    let tools = Tools { scripts: root.join("xtask/validators"), installed: root.join("target/validators") };
    fs::create_dir_all(&tools.installed).context("make target/validators")?;
    let profile = |file: PathBuf| ("profile", file);
    let files: Vec<(&str, PathBuf)> = if files.is_empty() {
        let profiles = written_by_the_command(&root, &tools.installed)?.into_iter().map(profile);
        profiles.chain(answers(&tools.installed)?).collect()
    } else {
        files.into_iter().map(profile).collect()
    };
    let work = tools.installed.join("work.json");
    fs::write(&work, jobs(&root, &files)?.to_string()).context("write the validators' work")?;
    for validator in VALIDATORS.iter().filter(|v| only.as_deref().is_none_or(|name| name == v.name)) {
        (validator.run)(&tools, &work).with_context(|| format!("validate with {}", validator.name))?;
    }
    Ok(())
}

fn arguments(args: &[String]) -> anyhow::Result<(Option<String>, Vec<PathBuf>)> {
    let mut only = None;
    let mut files = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--only" => {
                let name = rest.next().filter(|name| VALIDATORS.iter().any(|v| v.name == name.as_str()));
                only = Some(name.context("--only python or --only node")?.clone());
            }
            flag if flag.starts_with('-') => bail!("usage: cargo xtask validate [--only python|node] [FILES...]"),
            file => files.push(file.into()),
        }
    }
    Ok((only, files))
}

/// Profiles that the command writes now: each example analyzed, each old document of the tests migrated. With those,
/// the profiles that the repository holds.
fn written_by_the_command(root: &Path, installed: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let into = installed.join("profiles");
    fs::create_dir_all(&into).context("make target/validators/profiles")?;
    let mut profiles = Vec::new();
    for folder in entries(&root.join("examples"))?.into_iter().filter(|path| path.is_dir()) {
        let profile = into.join(format!("{}.json", name(&folder)));
        // A recording of an engine that failed has a profile too, and the command says so with its exit code.
        let _ = fs::remove_file(&profile);
        let analyzed = crate::schema::vramscope(&["analyze", &text(&folder), "-o", &text(&profile)]);
        if !profile.exists() {
            analyzed?;
        }
        profiles.push(profile);
        profiles.extend(entries(&folder)?.into_iter().filter(|path| is_profile(path)));
    }
    for old in entries(&root.join("crates/vramscope-schema/tests/it/data"))? {
        let profile = into.join(name(&old));
        crate::schema::vramscope(&["migrate", &text(&old), "-o", &text(&profile)])?;
        profiles.push(profile);
    }
    Ok(profiles)
}

/// Documents that answer a question: each command with the schema of what it prints.
fn answers(installed: &Path) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    const MODEL: [&str; 2] = ["--model", "openai/gpt-oss-20b"];
    const WORKLOAD: [&str; 6] = ["--input-len", "1000", "--output-len", "200", "--batch-size", "8"];
    const SGLANG: [&str; 2] = ["--engine-kind", "sglang"];
    const ONE: &str = "examples/llama-3.1-8b";
    // A run of vLLM is checked by asking it, and it is not there on every machine.
    const ASKS_NOBODY: [&str; 3] = ["--", "--workload", "transformers"];
    const CALCULATED: [&str; 4] = ["--calc-weights", "16", "--calc-total", "20"];
    let asked: [(&str, &str, Vec<&str>); 10] = [
        ("estimate", "fits", [&["estimate", "--gpu", "h100"], &MODEL[..], &WORKLOAD[..]].concat()),
        ("fit", "one", [&["fit", "--gpu", "l4", "--request-tokens", "8192"], &MODEL[..]].concat()),
        ("fit", "all", [&["fit", "--gpus", "all", "--request-tokens", "8192"], &MODEL[..]].concat()),
        ("estimate-sglang", "starts", [&["estimate", "--gpu", "h100"], &SGLANG[..], &MODEL].concat()),
        ("fit-sglang", "one", [&["fit", "--gpu", "l4", "--request-tokens", "8192"], &SGLANG[..], &MODEL].concat()),
        ("fit-sglang", "all", [&["fit", "--gpus", "all"], &SGLANG[..], &MODEL].concat()),
        ("comparison", "two", vec!["compare", ONE, "examples/noisy-neighbour"]),
        ("calculator-check", "one", [&["compare", ONE], &CALCULATED[..]].concat()),
        ("runs", "examples", vec!["runs", "examples"]),
        ("campaign-plan", "one", [&["campaign", "--dry-run"], &MODEL[..], &WORKLOAD[..], &ASKS_NOBODY].concat()),
    ];
    let mut files = Vec::new();
    for (schema, name, args) in asked {
        let (command, further) = args.split_at(1);
        let text = crate::schema::vramscope(&[command, &["--format", "json"], further].concat())?;
        let path = installed.join(format!("{schema}-{name}.json"));
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        files.push((schema, path));
    }
    Ok(files)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

fn is_profile(path: &Path) -> bool {
    let profile = path.extension().is_some_and(|e| e == "json").then(|| read(path).ok()).flatten();
    profile.is_some_and(|document| document["schema_version"].is_string())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))
}

/// What the scripts are to do: every schema, and every file with its mutations.
fn jobs(root: &Path, files: &[(&str, PathBuf)]) -> anyhow::Result<Value> {
    let mut schemas = serde_json::Map::new();
    for path in entries(&root.join("schemas"))?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        schemas.insert(stem, text(&path).into());
    }
    let mut jobs = Vec::new();
    for (name, file) in files {
        let schema = read(&root.join("schemas").join(format!("{name}.json")))?;
        let base = mutations::shortened(&read(file)?);
        let mutations = mutations::of(&schema, &base);
        jobs.push(json!({"schema": name, "document": file, "base": base, "mutations": mutations}));
    }
    Ok(json!({"schemas": schemas, "jobs": jobs}))
}

/// Python's `jsonschema`, in a virtual environment of its own.
fn python(tools: &Tools, work: &Path) -> anyhow::Result<()> {
    let folder = tools.installed.join("python");
    let interpreter = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    install(&tools.scripts.join("requirements.txt"), &folder, || {
        call(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "needs Python 3.11 with venv")?;
        let list = tools.scripts.join("requirements.txt");
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        call(Command::new(&interpreter).args(quiet).arg(list), "installs jsonschema from its registry")
    })?;
    call(Command::new(&interpreter).arg(tools.scripts.join("validate.py")).arg(work), "see above")
}

/// Node's `ajv`, with the packages beside a copy of the script.
fn node(tools: &Tools, work: &Path) -> anyhow::Result<()> {
    let folder = tools.installed.join("node");
    install_node(&tools.scripts, &folder)?;
    call(Command::new("node").arg(folder.join("validate.mjs")).arg(work), "see above")
}

/// Copies the scripts of a folder into another, where the packages that they ask for are installed.
pub(crate) fn install_node(scripts: &Path, folder: &Path) -> anyhow::Result<()> {
    install(&scripts.join("package-lock.json"), folder, || {
        fs::create_dir_all(folder)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(scripts.join(file), folder.join(file))?;
        }
        let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
        call(Command::new("npm").args(quiet).current_dir(folder), "needs Node 20 with npm, and installs packages")
    })?;
    for script in entries(scripts)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "mjs")) {
        fs::copy(&script, folder.join(name(&script))).with_context(|| format!("copy {}", script.display()))?;
    }
    Ok(())
}

/// Installs once for each content of the list of packages.
fn install(list: &Path, folder: &Path, install: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let wanted = fs::read_to_string(list).with_context(|| format!("read {}", list.display()))?;
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(&stamp, wanted).context("note what is installed")
}

fn call(command: &mut Command, hint: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("start {program} ({hint})"))?;
    if !status.success() {
        bail!("{program} ended with {status} ({hint})");
    }
    Ok(())
}
