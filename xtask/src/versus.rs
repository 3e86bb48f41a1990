//! Puts four public estimators beside ours, on the same configs, against what engines hold and plan.

mod install;
mod models;
mod peer;
mod recordings;
mod table;

use std::path::PathBuf;

use anyhow::bail;

/// Asks all of them of models, of recordings, or of both, and prints a table for each figure.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (models, recordings, folders) = match &*words {
        [] => (true, true, &[][..]),
        ["models"] => (true, false, &[][..]),
        ["recordings", folders @ ..] => (false, true, folders),
        _ => bail!("usage: cargo xtask versus [models | recordings [FOLDER]...]"),
    };
    let root = crate::root()?;
    let tools = install::install(&root)?;
    println!("{}\n", install::versions());
    if models {
        models::run(&root, &tools)?;
    }
    if recordings {
        let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
        recordings::run(&root, &tools, folders)?;
    }
    Ok(())
}
