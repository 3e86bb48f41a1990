//! Puts two public estimators beside ours, on the same configs and against what the engines did.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Where the estimators are installed; git ignores it.
const FOLDER: &str = ".local/versus";

/// What pip installs, with the versions that the printed tables are of.
const PACKAGES: &[&str] = &["accelerate==1.15.0", "hf-mem==0.5.6", "transformers==5.23.0", "torch==2.15.0"];

/// One engine: what it did, and what each estimator says of it.
struct Row {
    run: String,
    weights: f64,
    /// The cache that one request of the longest length takes.
    request: Option<f64>,
    pool: Option<f64>,
    ours: Estimate,
    hf_mem: Estimate,
    accelerate: Estimate,
}

#[derive(Clone, Copy, Default)]
struct Estimate {
    weights: Option<f64>,
    request: Option<f64>,
    pool: Option<f64>,
}

/// Installs the two, asks all three, and prints the table.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let root = crate::root()?;
    let folder = match args {
        [] => match crate::shared(&root, "corpus/h200")? {
            Some(folder) => folder,
            None => return Ok(()),
        },
        [folder] => PathBuf::from(folder),
        _ => bail!("usage: cargo xtask versus [RECORDINGS]"),
    };
    let python = install(&root)?;
    let program = crate::built::command(&root)?;
    let mut rows = Vec::new();
    for (run, folder) in recordings(&folder)? {
        if let Some(row) = ask(&program, run, &folder)? {
            rows.push(row);
        }
    }
    let said = theirs(&python, &root, &rows)?;
    let mut rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
    for (row, said) in rows.iter_mut().zip(&said) {
        row.hf_mem =
            Estimate { weights: said["hf_mem_weights"].as_f64(), request: said["hf_mem_request"].as_f64(), pool: None };
        row.accelerate = Estimate { weights: said["accelerate_weights"].as_f64(), ..Estimate::default() };
        for failed in ["hf_mem_error", "accelerate_error"].iter().filter_map(|name| said[*name].as_str()) {
            eprintln!("{}: {failed}", row.run);
        }
    }
    print(&rows);
    Ok(())
}

/// A Python with both estimators, made on the first call.
fn install(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join(FOLDER);
    let python = folder.join("bin/python");
    let done = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&done).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    eprintln!("installing {} into {FOLDER} (5 GiB, minutes)", PACKAGES.join(", "));
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    fs::write(done, wanted).context("note what is installed")?;
    Ok(python)
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

fn recordings(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("args.json").is_file() && path.join("truth.json").is_file() {
            found.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// What an engine did and what we say of it, and the question for the others. `None` if it gave no figures.
fn ask(program: &Path, run: String, folder: &Path) -> anyhow::Result<Option<(Row, Value)>> {
    let read = |name: &str| -> anyhow::Result<Value> {
        let path = folder.join(name);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))
    };
    let (told, truth) = (read("args.json")?, read("truth.json")?);
    let Some(weights) = truth["model_memory_usage"].as_f64() else { return Ok(None) };
    let words: Vec<&str> = told["argv"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let output = Command::new(program)
        .args(["estimate", "--gpu", "h200", "--format", "json", "--model"])
        .arg(folder)
        .args(["--vllm-version", told["vllm"].as_str().unwrap_or_default(), "--"])
        .args(&words)
        .stderr(Stdio::inherit())
        .output()
        .context("run vramscope estimate")?;
    let ours: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("estimate {run}"))?;
    let figure = |name: &str| ours["budget"][name]["value"].as_f64();
    let pool = truth["kv_tensor_bytes"].as_f64().filter(|bytes| *bytes > 0.0);
    let log = fs::read_to_string(folder.join("vllm.log")).unwrap_or_default();
    let question = json!({
        "run": run,
        "config": folder.join("config.json"),
        "max_model_len": max_model_len(&log),
        "kv_cache_dtype": after(&words, "--kv-cache-dtype").unwrap_or("auto"),
    });
    let row = Row {
        run,
        weights,
        request: pool.zip(concurrency(&log)).map(|(pool, requests)| pool / requests),
        pool,
        ours: Estimate {
            weights: figure("weights_bytes"),
            request: figure("kv_cache_bytes").zip(figure("max_concurrency")).map(|(pool, requests)| pool / requests),
            pool: figure("kv_cache_bytes"),
        },
        hf_mem: Estimate::default(),
        accelerate: Estimate::default(),
    };
    Ok(Some((row, question)))
}

fn after<'a>(words: &[&'a str], flag: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == flag)?;
    words.get(at + 1).copied()
}

/// From `Maximum concurrency for 8,192 tokens per request: 111.61x`.
fn concurrency_line(log: &str) -> Option<(&str, &str)> {
    let line = log.split("Maximum concurrency for ").nth(1)?.lines().next()?;
    line.split_once(" tokens per request: ")
}

fn concurrency(log: &str) -> Option<f64> {
    concurrency_line(log)?.1.trim_end().trim_end_matches('x').parse().ok()
}

fn max_model_len(log: &str) -> Option<u64> {
    concurrency_line(log)?.0.replace(',', "").parse().ok()
}

/// What the two others answer, in the order of the rows.
fn theirs(python: &Path, root: &Path, rows: &[(Row, Value)]) -> anyhow::Result<Vec<Value>> {
    let mut child = Command::new(python)
        .arg(root.join("xtask/versus.py"))
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("run xtask/versus.py")?;
    let mut questions = String::new();
    for (_, question) in rows {
        questions += &format!("{question}\n");
    }
    child.stdin.take().context("open the script's input")?.write_all(questions.as_bytes())?;
    let output = child.wait_with_output()?;
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let said: Vec<Value> = lines.map(serde_json::from_slice).collect::<Result<_, _>>().context("read its answers")?;
    if !output.status.success() || said.len() != rows.len() {
        bail!("xtask/versus.py answered {} of {}: {}", said.len(), rows.len(), output.status);
    }
    Ok(said)
}

fn print(rows: &[Row]) {
    println!("  {:20} {:^41}   {:^29}   {:^18}", "", "weights", "KV cache of one request", "KV cache");
    println!(
        "  {:20} {:>10} {:>9} {:>9} {:>10}   {:>9} {:>9} {:>9}   {:>9} {:>8}",
        "run", "truth", "ours", "hf-mem", "accelerate", "truth", "ours", "hf-mem", "truth", "ours"
    );
    for row in rows {
        let weights = |said: Estimate| error(said.weights, Some(row.weights));
        let request = |said: Estimate| error(said.request, row.request);
        println!(
            "  {:20} {:>10} {:>9} {:>9} {:>10}   {:>9} {:>9} {:>9}   {:>9} {:>8}",
            row.run,
            gib(Some(row.weights)),
            weights(row.ours),
            weights(row.hf_mem),
            weights(row.accelerate),
            gib(row.request),
            request(row.ours),
            request(row.hf_mem),
            gib(row.pool),
            error(row.ours.pool, row.pool),
        );
    }
    let column = |said: fn(&Row) -> Option<f64>, truth: fn(&Row) -> Option<f64>| {
        let errors = rows.iter().filter_map(|row| Some(percent(said(row)?, truth(row)?).abs()));
        median(errors.collect())
    };
    println!(
        "  {:20} {:>10} {:>9} {:>9} {:>10}   {:>9} {:>9} {:>9}   {:>9} {:>8}",
        "median of sizes",
        "",
        column(|row| row.ours.weights, |row| Some(row.weights)),
        column(|row| row.hf_mem.weights, |row| Some(row.weights)),
        column(|row| row.accelerate.weights, |row| Some(row.weights)),
        "",
        column(|row| row.ours.request, |row| row.request),
        column(|row| row.hf_mem.request, |row| row.request),
        "",
        column(|row| row.ours.pool, |row| row.pool),
    );
    println!("\n  truth in GiB, errors in percent; - where a tool gives no such figure");
}

fn percent(said: f64, truth: f64) -> f64 {
    (said / truth - 1.0) * 100.0
}

fn error(said: Option<f64>, truth: Option<f64>) -> String {
    said.zip(truth).map_or_else(|| "-".to_owned(), |(said, truth)| format!("{:+.2}", percent(said, truth)))
}

fn gib(bytes: Option<f64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.3}", bytes / f64::from(1 << 30)))
}

fn median(mut errors: Vec<f64>) -> String {
    errors.sort_by(f64::total_cmp);
    errors.get(errors.len() / 2).map_or_else(|| "-".to_owned(), |error| format!("{error:.2}"))
}
