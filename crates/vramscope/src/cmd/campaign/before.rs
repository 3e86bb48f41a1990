//! What was asked for before in the same folder: a profile stands for a run only if it is of the same arguments.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use vramscope_runs::{PlanDocument, PlannedDocument};
use vramscope_schema::ExitCode;

use super::plan::{Planned, document};
use crate::exit::OrExit as _;
use crate::{input, output};

/// The plan that a campaign leaves in its folder.
const FILE: &str = "campaign.plan.json";
/// The largest that is read.
const MOST_BYTES: usize = 64 << 20;

/// Refuses a campaign of which a run has a complete profile that was made with other arguments.
pub(super) fn check(plan: &[Planned], folder: &Path) -> anyhow::Result<()> {
    let before = read(folder)?;
    for (planned, now) in plan.iter().zip(document(plan).runs) {
        let Some(then) = before.iter().find(|run| run.name == now.name) else { continue };
        if then.asked() == now.asked() || !super::complete(&planned.profile) {
            continue;
        }
        let differs = |of: &PlannedDocument, other: &PlannedDocument| {
            let words = of.asked().into_iter().filter(|word| !other.asked().contains(word)).collect::<Vec<_>>();
            if words.is_empty() { "nothing more".to_owned() } else { words.join(" ") }
        };
        let taken = anyhow!(
            "{} holds the run {} of other arguments ({} then, {} now); give another --output, or remove {}",
            folder.display(),
            now.name,
            differs(then, &now),
            differs(&now, then),
            planned.profile.display()
        );
        return Err(taken).or_exit(ExitCode::Usage);
    }
    Ok(())
}

/// Keeps what is asked for, with the runs of earlier campaigns in the same folder.
pub(super) fn keep(plan: &[Planned], folder: &Path) -> anyhow::Result<()> {
    let mut now = document(plan);
    let earlier = read(folder)?.into_iter().filter(|run| !plan.iter().any(|planned| planned.run.name == run.name));
    now.runs.extend(earlier);
    output::write_json(&path(folder), &now)
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

fn read(folder: &Path) -> anyhow::Result<Vec<PlannedDocument>> {
    let path = path(folder);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = || -> anyhow::Result<PlanDocument> { Ok(serde_json::from_slice(&input::bounded(&path, MOST_BYTES)?)?) };
    let plan = read().with_context(|| format!("could not use {}; remove it if it is not needed", path.display()));
    Ok(plan.or_exit(ExitCode::BadInput)?.runs)
}
