//! Looks at pages of every kind in a real browser: Chromium opens what `vramscope report` writes, as people would.

mod browser;
mod hostile;
mod made;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

pub(crate) use browser::missing_packages;
use table::{Case, Source};

/// Larger than this no page is: larger ones open slowly, and no mail takes them.
const MOST_BYTES: u64 = 3_000_000;

/// What the command says with its exit code, beside a result that is there: an engine that failed, the answer no.
const WITH_A_RESULT: [i32; 3] = [0, 6, 8];

/// Where everything is.
struct Desk {
    root: PathBuf,
    /// The command under test.
    vramscope: PathBuf,
    /// Pages, documents and screenshots.
    folder: PathBuf,
}

/// `cargo xtask pages [NAME…] [--screenshots]`: all pages, or those whose names begin so.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let (options, names): (Vec<&String>, Vec<&String>) = args.iter().partition(|word| word.starts_with('-'));
    ensure!(options.iter().all(|word| *word == "--screenshots"), "usage: cargo xtask pages [NAME]... [--screenshots]");
    let root = crate::root()?;
    let shared = crate::shared(&root, "corpus")?.is_some();
    let all = table::cases();
    let chosen: Vec<Case> = all
        .into_iter()
        .filter(|case| names.is_empty() || names.iter().any(|name| case.name.starts_with(name.as_str())))
        .filter(|case| shared || !case.is_of_shared())
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = table::cases().iter().map(|case| case.name).collect();
        bail!("no page is called so; there are {}", names.join(", "));
    }
    let desk = Desk { vramscope: crate::built::command(&root)?, folder: root.join("target/pages"), root };
    // What is made is made anew, as this program says now.
    let made = desk.folder.join("made");
    if made.exists() {
        fs::remove_dir_all(&made).context("empty target/pages/made")?;
    }
    fs::create_dir_all(&made).context("make target/pages/made")?;
    let browser = browser::Browser::find(&desk.root)?;
    let begun = Instant::now();
    let (pages, mut wrong) = written(&desk, &chosen);
    println!("pages: {} written in {:.0} s", pages.len(), begun.elapsed().as_secs_f64());
    if names.is_empty() && !browser.look(&desk.folder, &["--self-test"], &[], false)? {
        wrong.push("a broken page was not found".to_owned());
    }
    if !browser.look(&desk.folder, &[], &pages, !options.is_empty())? {
        wrong.push("what the browser saw is above".to_owned());
    }
    if !wrong.is_empty() {
        bail!("something is wrong with the pages, which are in target/pages:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

/// Writes the pages, as many at once as there are cores. Gives what the browser is to look at, and what went wrong.
fn written(desk: &Desk, cases: &[Case]) -> (Vec<Value>, Vec<String>) {
    let rest = Mutex::new(cases.iter().enumerate());
    let done = Mutex::new((Vec::new(), Vec::new()));
    let next = || rest.lock().ok().and_then(|mut rest| rest.next());
    std::thread::scope(|threads| {
        for _ in 0..browser::at_once() {
            threads.spawn(|| {
                while let Some((place, case)) = next() {
                    let page = page(desk, case).with_context(|| format!("{}: WRONG", case.name));
                    let Ok(mut done) = done.lock() else { return };
                    match page {
                        Ok(page) => done.0.push((place, page)),
                        Err(error) => done.1.push(format!("{error:#}")),
                    }
                }
            });
        }
    });
    let (mut pages, wrong) = done.into_inner().unwrap_or_default();
    pages.sort_by_key(|(place, _)| *place);
    (pages.into_iter().map(|(_, page)| page).collect(), wrong)
}

/// Writes the documents of a page, and the page.
fn page(desk: &Desk, case: &Case) -> anyhow::Result<Value> {
    let mut documents = Vec::new();
    for (place, source) in case.documents.iter().enumerate() {
        let path = desk.folder.join(format!("{}-{place}.json", case.name));
        fs::write(&path, document(desk, source)?).with_context(|| format!("write {}", path.display()))?;
        documents.push(path);
    }
    let given = if case.given.is_empty() {
        documents.iter().map(|path| path.to_string_lossy().into_owned()).collect()
    } else {
        words(desk, case.given)?
    };
    let page = desk.folder.join(format!("{}.html", case.name));
    let _ = fs::remove_file(&page);
    let took = report(desk, &given, &page)?;
    let size = fs::metadata(&page).with_context(|| format!("there is no {}", page.display()))?.len();
    if case.alone {
        println!("{}: made in {:.1} s by an unoptimised build, {size} bytes", case.name, took.as_secs_f64());
    }
    let most = case.most_bytes.unwrap_or(MOST_BYTES);
    ensure!(size <= most, "the page has {size} bytes, at most {most} are allowed");
    Ok(json!({
        "name": case.name, "page": page, "documents": documents, "figures": case.figures, "pictures": case.pictures,
        "time": case.time, "alone": case.alone,
    }))
}

/// Makes a page of paths.
fn report(desk: &Desk, given: &[String], page: &Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut words = vec!["report".to_owned(), "--output".to_owned(), page.to_string_lossy().into_owned()];
    words.extend_from_slice(given);
    said(desk, &words)?;
    Ok(begun.elapsed())
}

/// A document, as it is written.
fn document(desk: &Desk, source: &Source) -> anyhow::Result<Vec<u8>> {
    match source {
        Source::Printed(line) => {
            let mut words = words(desk, line)?;
            let place = if line.starts_with("trace diff") { 2 } else { 1 };
            words.splice(place..place, ["--format".to_owned(), "json".to_owned()]);
            said(desk, &words)
        }
        Source::Stored(name) => {
            let path = desk.root.join("xtask/data/pages").join(name);
            fs::read(&path).with_context(|| format!("read {}", path.display()))
        }
        Source::Hostile(source) => {
            let document = serde_json::from_slice(&document(desk, source)?).context("read the document")?;
            Ok(hostile::planted(document).to_string().into_bytes())
        }
        Source::ManyRuns(count) => Ok(made::many_runs(*count).to_string().into_bytes()),
    }
}

/// The words of a line. `made:NAME` is a file that is made on the spot.
fn words(desk: &Desk, line: &str) -> anyhow::Result<Vec<String>> {
    let word = |word: &str| match word.strip_prefix("made:") {
        Some(name) => made::file(&desk.root, &desk.folder.join("made"), name).map(|p| p.to_string_lossy().into_owned()),
        None => Ok(word.to_owned()),
    };
    line.split_whitespace().map(word).collect()
}

/// What the command prints.
fn said(desk: &Desk, words: &[String]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(&desk.vramscope).args(words).current_dir(&desk.root).output();
    let output = output.context("run the vramscope command")?;
    if !output.status.code().is_some_and(|code| WITH_A_RESULT.contains(&code)) {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("vramscope {} ended with {}: {}", words.join(" "), output.status, said.trim());
    }
    Ok(output.stdout)
}
