//! The table of a campaign: a row for each run that was ever asked for in its folder, with its state.

use std::path::Path;

use vramscope_compare::document::RunsDocument;
use vramscope_compare::{CampaignRun, Row, Sweep};
use vramscope_core::without_controls;
use vramscope_runs::{CampaignFolder, RunKey, layout};
use vramscope_schema::RunState;
use vramscope_schema::v3::{Profile, RunStatus};

use super::plan::Planned;
use crate::cmd::{report, runs};
use crate::exit;
use crate::{input, output};

/// The longest reason of a failure in a table, in characters.
const REASON: usize = 300;

/// The rows, in the order of the plan.
pub(super) struct Rows {
    folder: CampaignFolder,
    rows: Vec<(RunKey, Row)>,
}

/// How far a run is, from what the folder holds, and its row.
fn look(folder: &CampaignFolder, key: &RunKey, name: &str, asked: &[(&str, String)]) -> anyhow::Result<Row> {
    let attempts = folder.attempts(key)?;
    let last = attempts.last();
    let published = folder.profile(key);
    let mut run = CampaignRun {
        key: key.to_string(),
        state: RunState::Pending,
        attempt: last.map(|attempt| attempt.id.clone()),
        attempts: u64::try_from(attempts.len()).unwrap_or(u64::MAX),
        failure: None,
        log: None,
        path: None,
    };
    // The first complete attempt stands for the run, whatever came later.
    let found = if published.is_file() {
        run.state = RunState::Complete;
        Some(published)
    } else {
        run.state = last.map_or(RunState::Pending, |_| RunState::Interrupted);
        last.and_then(|last| [&last.profile, &last.recording].into_iter().find(|path| path.exists()).cloned())
    };
    let (profile, unread) = match found.as_ref().map(|path| input::profile_or_recording(path)).transpose() {
        Ok(profile) => (profile, None),
        Err(error) => (None, Some(unread(&error, run.state))),
    };
    run.failure = unread;
    run.path = found.map(|path| path.display().to_string());
    let mut row = match &profile {
        Some(profile) => Row::of(name.to_owned(), profile),
        None => Row::without_profile(name.to_owned(), asked),
    };
    let log = last.map(|last| last.recording.join(layout::ENGINE_LOG)).filter(|log| log.is_file());
    if let Some(profile) = profile.filter(|_| run.state != RunState::Complete) {
        run.state = state_of(&profile);
        run.log = log.map(|log| without_controls(&log.display().to_string()).into_owned());
        run.failure = profile.failure.map(|failure| one_line(&format!("{}: {}", failure.kind, failure.message)));
    }
    row.campaign = Some(run);
    Ok(row)
}

/// What is said of a run whose files cannot be read. A published profile stands for its run as long as it is there.
fn unread(error: &anyhow::Error, state: RunState) -> String {
    let again = if state == RunState::Complete { "; move it away, and the run is carried out again" } else { "" };
    one_line(&format!("{}{again}", exit::causes(error).collect::<Vec<_>>().join(": ")))
}

/// A profile that is not published is none of a run that went well.
fn state_of(profile: &Profile) -> RunState {
    match profile.metadata.status {
        Some(RunStatus::Failed) => RunState::Failed,
        _ => RunState::Interrupted,
    }
}

fn one_line(text: &str) -> String {
    let words = without_controls(text).split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(REASON).collect()
}

impl Rows {
    /// Looks at every run of the plan, and at those that were asked for earlier.
    pub(super) fn read(
        folder: &CampaignFolder,
        plan: &[Planned],
        earlier: &[vramscope_runs::PlannedDocument],
    ) -> anyhow::Result<Self> {
        let mut rows = Vec::new();
        for planned in plan {
            rows.push((planned.key.clone(), look(folder, &planned.key, &planned.run.name, &asked(planned))?));
        }
        for (run, key) in earlier.iter().filter_map(|run| Some((run, RunKey::read(&run.key)?))) {
            let row = look(folder, &key, &run.name, &[])?;
            rows.push((key, row));
        }
        Ok(Self { folder: folder.clone(), rows })
    }

    /// How far a run is.
    pub(super) fn state(&self, key: &RunKey) -> RunState {
        let row = self.rows.iter().find(|(known, _)| known == key);
        row.and_then(|(_, row)| row.campaign.as_ref()).map_or(RunState::Pending, |run| run.state)
    }

    /// What is wrong with a run, or with what is kept of it.
    pub(super) fn failure(&self, key: &RunKey) -> Option<&str> {
        let row = self.rows.iter().find(|(known, _)| known == key);
        row?.1.campaign.as_ref()?.failure.as_deref()
    }

    /// Looks at a run anew.
    pub(super) fn renew(&mut self, planned: &Planned) -> anyhow::Result<()> {
        let row = look(&self.folder, &planned.key, &planned.run.name, &asked(planned))?;
        if let Some((_, old)) = self.rows.iter_mut().find(|(key, _)| *key == planned.key) {
            *old = row;
        }
        Ok(())
    }

    /// Notes what the folder does not hold: why a run left nothing, or who carries it out.
    pub(super) fn note(&mut self, planned: &Planned, state: RunState, failure: Option<&str>) {
        let row = self.rows.iter_mut().find(|(key, _)| *key == planned.key);
        if let Some(run) = row.and_then(|(_, row)| row.campaign.as_mut()) {
            run.state = state;
            run.failure = failure.map(one_line);
        }
    }

    /// How many runs of the plan are in a state.
    pub(super) fn count(&self, plan: &[Planned], state: RunState) -> usize {
        plan.iter().filter(|planned| self.state(&planned.key) == state).count()
    }

    /// All runs beside each other.
    pub(super) fn sweep(&self) -> Sweep {
        Sweep::of(self.rows.iter().map(|(_, row)| row.clone()).collect())
    }

    /// Brings the tables up to date. Each replaces the one before as a whole, or not at all.
    pub(super) fn write(&self, folder: &Path, page: bool) -> anyhow::Result<()> {
        let sweep = self.sweep();
        let csv = runs::csv(&sweep)?;
        output::write_file(&folder.join(layout::CAMPAIGN_TABLE), |out| Ok(out.write_all(csv.as_bytes())?))?;
        let document = RunsDocument::of(&sweep);
        output::write_json(&folder.join(layout::CAMPAIGN_RUNS), &document)?;
        if page {
            report::beside(&folder.join(layout::CAMPAIGN_PAGE), &folder.display().to_string(), &document)?;
        }
        Ok(())
    }
}

/// What is known of a run before it is measured, by the names of settings.
fn asked(planned: &Planned) -> Vec<(&'static str, String)> {
    let work = &planned.args.work;
    let input = work.prompt.is_none().then(|| work.input_len.to_string());
    let settings = [
        ("model", Some(planned.run.model.clone())),
        ("batch_size", Some(work.batch_size.to_string())),
        ("input_len", input),
        ("output_len", Some(work.output_len.to_string())),
    ];
    settings.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
