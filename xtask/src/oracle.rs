//! Holds what is computed of a model against what the engine itself builds and plans for it.
//!
//! The engine's answers are stored: its own model classes on a device without memory, and its own planner, asked without a
//! GPU. Comparing needs no engine and no Python.

pub(crate) mod judged;
pub(crate) mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use judged::Class;
use truth::Truth;
use vramscope_core::Architecture;

/// Configs of the engine's registry: an architecture, a tab, and what its class takes where nothing is stated.
const DEFAULTS: &str = "xtask/data/oracle/defaults.tsv";
/// Configs with rules of their own, a folder each.
pub(crate) const CASES: &str = "crates/vramscope-estimate/tests/data/models";
/// What the engines said of these.
pub(crate) const TRUTH: &str = "xtask/data/oracle/truth.jsonl";
/// Cases that are known to be wrong, each with why: what it says before a tab is a case's label.
const KNOWN: &str = "xtask/data/oracle/known-wrong.tsv";
/// The largest share of served cases that may be refused, in percent.
const MOST_REFUSED_PCT: usize = 2;
/// The program that asks an engine, beside the checkout.
const ASKS: &str = "tools/engine_oracle.py";
/// Releases and ranks that are recorded.
const RELEASES: [&str; 2] = ["0.25.1", "0.33.0"];
const RANKS: [&str; 3] = ["1", "2", "8"];

const USAGE: &str =
    "usage: cargo xtask oracle [--record | --check] [--env DIR] [--truth FILE] [--only NAME] [--verbose]";

#[derive(Default)]
struct Options {
    /// Ask the engines anew, and store what they say.
    record: bool,
    /// Ask them anew, and fail where they say something else than what is stored.
    check: bool,
    /// Where the releases are installed.
    env: Option<PathBuf>,
    /// Lines of the oracle on models in folders, to be compared too.
    truth: Option<PathBuf>,
    /// Only models whose name holds this.
    only: Option<String>,
    verbose: bool,
}

impl Options {
    fn read(args: &[String]) -> anyhow::Result<Self> {
        let mut options = Self { env: std::env::var_os("ENGINE_ORACLE_DIR").map(PathBuf::from), ..Self::default() };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--record" => options.record = true,
                "--check" => options.check = true,
                "--verbose" => options.verbose = true,
                "--env" => options.env = Some(words.next().context(USAGE)?.into()),
                "--truth" => options.truth = Some(words.next().context(USAGE)?.into()),
                "--only" => options.only = Some(words.next().context(USAGE)?.clone()),
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }
}

/// Configs by the name that the truth has for them.
type Configs = BTreeMap<String, Result<Architecture, String>>;

/// `cargo xtask oracle`.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let options = Options::read(args)?;
    let root = crate::root()?;
    if options.record {
        record(&root, &options)?;
    } else if options.check {
        check(&root, &options)?;
    }
    let mut truths = stored(&root.join(TRUTH))?;
    let mut configs = configs(&root)?;
    if let Some(more) = options.truth.as_ref().filter(|_| !options.record) {
        for line in lines(more)? {
            let truth = Truth::of_oracle(&serde_json::from_str(&line).context("read a line of the oracle")?)?;
            if !truth.args.iter().any(|word| word.contains("\"model\"")) {
                configs.entry(truth.model.clone()).or_insert_with(|| read_folder(Path::new(&truth.model)));
                truths.push(truth);
            }
        }
    }
    if let Some(part) = &options.only {
        truths.retain(|truth| truth.model.contains(part.as_str()));
    }
    let mut wrong = Vec::new();
    let mut labels = BTreeSet::new();
    let mut rows: BTreeMap<(&str, Class), usize> = BTreeMap::new();
    for truth in &truths {
        let config = configs.get(&truth.model).with_context(|| format!("there is no config {}", truth.model))?;
        let judged = judged::judge(truth, config.as_ref().map_err(String::as_str));
        *rows.entry((&truth.release, judged.class)).or_default() += 1;
        let line = format!("{:?} {}: {}", judged.class, truth.label(), judged.why.join("; "));
        match judged.class {
            Class::Wrong => {
                labels.insert(truth.label());
                wrong.push(line);
            }
            Class::RefusedThoughServed => wrong.push(line),
            _ if options.verbose => println!("{line}"),
            _ => {}
        }
    }
    wrong.iter().for_each(|line| println!("{line}"));
    print!("{}", table(&rows));
    // With other models, or with some of them alone, the list of known cases says nothing.
    if options.only.is_some() || options.truth.is_some() { Ok(()) } else { hold(&root, &labels, &rows) }
}

/// Nothing is wrong but what is known to be, and all of that still is.
fn hold(root: &Path, wrong: &BTreeSet<String>, rows: &BTreeMap<(&str, Class), usize>) -> anyhow::Result<()> {
    let known = lines(&root.join(KNOWN))?;
    let known: BTreeSet<String> = known.iter().filter_map(|line| Some(line.split_once('\t')?.0.to_owned())).collect();
    let mut faults: Vec<String> = wrong.difference(&known).map(|label| format!("{label} is wrong")).collect();
    faults.extend(known.difference(wrong).map(|label| format!("{label} is no longer wrong: strike it from {KNOWN}")));
    let releases: BTreeSet<&str> = rows.keys().map(|(release, _)| *release).collect();
    for release in releases {
        let of = |class| rows.get(&(release, class)).copied().unwrap_or(0);
        let refused = of(Class::RefusedThoughServed);
        let asked: usize = Class::ALL.iter().filter(|(c, _)| *c != Class::Unknown).map(|(class, _)| of(*class)).sum();
        if refused * 100 > asked * MOST_REFUSED_PCT {
            faults.push(format!("{refused} of {asked} cases of {release} are refused though served"));
        }
    }
    if !faults.is_empty() {
        bail!("oracle:\n  {}", faults.join("\n  "));
    }
    println!("oracle: nothing is wrong but {} cases that are known to be", known.len());
    Ok(())
}

/// How many cases of each release are how good.
fn table(rows: &BTreeMap<(&str, Class), usize>) -> String {
    let releases: BTreeSet<&str> = rows.keys().map(|(release, _)| *release).collect();
    let mut text = String::from("| release |");
    Class::ALL.iter().for_each(|(_, name)| text.push_str(&format!(" {name} |")));
    text.push_str(" asked |\n|---|");
    text.push_str(&"---|".repeat(Class::ALL.len() + 1));
    for release in releases {
        let count = |class| rows.get(&(release, class)).copied().unwrap_or(0);
        let _ = write!(text, "\n| {release} |");
        Class::ALL.iter().for_each(|(class, _)| text.push_str(&format!(" {} |", count(*class))));
        let asked: usize = Class::ALL.iter().filter(|(c, _)| *c != Class::Unknown).map(|(c, _)| count(*c)).sum();
        let _ = write!(text, " {asked} |");
    }
    text.push('\n');
    text
}

fn lines(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

pub(crate) fn stored(file: &Path) -> anyhow::Result<Vec<Truth>> {
    lines(file)?.iter().map(|line| Truth::read(line)).collect()
}

fn read_config(config: &[u8]) -> Result<Architecture, String> {
    vramscope_models::read_config(config).map(|(model, _)| model).map_err(|error| error.to_string())
}

/// The model of a folder, with the quantization that lies beside its config.
pub(crate) fn read_folder(folder: &Path) -> Result<Architecture, String> {
    let config = fs::read(folder.join("config.json")).map_err(|error| error.to_string())?;
    match fs::read(folder.join(vramscope_models::QUANTIZATION_FILE)) {
        Ok(beside) => {
            let joined = vramscope_models::with_quantization(&config, &beside).map_err(|error| error.to_string())?;
            read_config(&joined)
        }
        Err(_) => read_config(&config),
    }
}

fn configs(root: &Path) -> anyhow::Result<Configs> {
    let mut configs = Configs::new();
    for line in lines(&root.join(DEFAULTS))? {
        let (name, config) = line.split_once('\t').context("a config has no name")?;
        configs.insert(name.to_owned(), read_config(config.as_bytes()));
    }
    for folder in folders(&root.join(CASES))? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        configs.insert(name, read_folder(&folder));
    }
    Ok(configs)
}

pub(crate) fn folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_dir()));
    let mut folders: Vec<PathBuf> = paths.collect();
    folders.sort();
    Ok(folders)
}

/// Stores what the engines say of every stored config: what they are asked now, or were asked elsewhere.
fn record(root: &Path, options: &Options) -> anyhow::Result<()> {
    let said = match &options.truth {
        Some(file) => Some(said_elsewhere(root, file)?),
        None => asked(root, options)?,
    };
    let Some(mut truths) = said else { return Ok(()) };
    if truths.is_empty() {
        bail!("the oracle said nothing");
    }
    if let Some(part) = &options.only {
        truths.extend(stored(&root.join(TRUTH))?.into_iter().filter(|truth| !truth.model.contains(part.as_str())));
    }
    let mut written: Vec<String> = truths.iter().map(Truth::line).collect();
    written.sort();
    fs::write(root.join(TRUTH), written.join("\n") + "\n").context("write the truth")
}

/// Fails where the engines say something else than what is stored.
fn check(root: &Path, options: &Options) -> anyhow::Result<()> {
    let Some(said) = asked(root, options)? else { return Ok(()) };
    let stored: BTreeSet<String> = lines(&root.join(TRUTH))?.into_iter().collect();
    let new: Vec<String> = said.iter().map(Truth::line).filter(|line| !stored.contains(line)).collect();
    if said.is_empty() || !new.is_empty() {
        bail!("oracle: {} answers, of which these are not as stored:\n  {}", said.len(), new.join("\n  "));
    }
    println!("oracle: {} answers are as stored", said.len());
    Ok(())
}

/// Lines of the oracle, as far as they are of stored configs, recorded releases and ranks.
fn said_elsewhere(root: &Path, file: &Path) -> anyhow::Result<Vec<Truth>> {
    let configs = configs(root)?;
    let mut truths = Vec::new();
    for line in lines(file)? {
        let truth = named(Truth::of_oracle(&serde_json::from_str(&line).context("read a line of the oracle")?)?);
        let ranks = match truth.args.as_slice() {
            [] => Some("1"),
            [name, ranks] if name == "--tensor-parallel-size" => Some(ranks.as_str()),
            _ => None,
        };
        let wanted = ranks.is_some_and(|ranks| RANKS.contains(&ranks)) && RELEASES.contains(&truth.release.as_str());
        if wanted && configs.contains_key(&truth.model) {
            truths.push(truth);
        }
    }
    Ok(truths)
}

/// Asks the engines.
fn asked(root: &Path, options: &Options) -> anyhow::Result<Option<Vec<Truth>>> {
    let Some(asks) = crate::shared(root, ASKS)? else { return Ok(None) };
    let Some(env) = options.env.as_deref() else {
        println!("skipped: no engine is asked; name the folder of installed releases by --env or ENGINE_ORACLE_DIR");
        return Ok(None);
    };
    let work = root.join("target/oracle");
    for line in lines(&root.join(DEFAULTS))? {
        let (name, config) = line.split_once('\t').context("a config has no name")?;
        let folder = work.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        fs::write(folder.join("config.json"), config).context("write a config")?;
    }
    let mut folders = self::folders(&work)?;
    folders.extend(self::folders(&root.join(CASES))?);
    folders.retain(|folder| options.only.as_deref().is_none_or(|part| folder.to_string_lossy().contains(part)));
    let mut truths = Vec::new();
    for release in RELEASES {
        for ranks in RANKS {
            let output = Command::new("python3")
                .arg(&asks)
                .arg("plan")
                .args(&folders)
                .args(["--vllm", release, "--tensor-parallel-size", ranks, "--env"])
                .arg(env)
                .output()
                .context("run the oracle")?;
            let text = String::from_utf8_lossy(&output.stdout);
            for line in text.lines() {
                truths.push(named(Truth::of_oracle(&serde_json::from_str(line).context("read the oracle")?)?));
            }
        }
    }
    Ok(Some(truths))
}

/// A truth by the name of its folder, without where that lies.
fn named(mut truth: Truth) -> Truth {
    let name = Path::new(&truth.model).file_name().map(|name| name.to_string_lossy().into_owned());
    truth.model = name.unwrap_or(truth.model);
    truth
}
