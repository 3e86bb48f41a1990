//! The runs of a campaign as command lines of `profile`, checked before the first one starts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, parser::ValueSource};
use vramscope_core::redact_args;
use vramscope_runs::{CampaignFolder, PlanDocument, PlannedDocument, PlannedRun, RunKey, layout};
use vramscope_schema::ExitCode;

use super::Args;
use crate::cmd::profile::{self, WorkKind};
use crate::exit::{self, OrExit as _};
use crate::{input, output};

/// The largest plan that is read.
const MOST_BYTES: usize = 64 << 20;
/// Arguments that say where and how a run is told, and how long is waited; not what is measured.
const NOT_MEASURED: [&str; 11] = [
    "output",
    "quiet",
    "format",
    "force",
    "dry_run",
    "repeat",
    "timeout_start",
    "timeout",
    "settle",
    "grace",
    "max_failed",
];

/// A run that is ready to be carried out.
pub(super) struct Planned {
    pub(super) run: PlannedRun,
    /// What it is called in the campaign's folder.
    pub(super) key: RunKey,
    /// Where its profile is published.
    pub(super) profile: PathBuf,
    pub(super) args: Box<profile::Args>,
    words: Vec<String>,
}

/// The arguments of `profile`; of one that is given twice the later one counts, so that the command line wins over the
/// file.
#[derive(Parser)]
#[command(name = "vramscope profile", no_binary_name = true, args_override_self = true)]
struct OneRun {
    #[command(flatten)]
    args: profile::Args,
}

/// One run's arguments, as they are read.
struct Read {
    args: Box<profile::Args>,
    /// What is measured, in an order that does not depend on how somebody typed it, secrets replaced.
    asked: Vec<String>,
}

/// Checks every run's arguments.
pub(super) fn make(runs: Vec<PlannedRun>, folder: &Path, args: &Args) -> anyhow::Result<Vec<Planned>> {
    let (total, folder) = (runs.len(), CampaignFolder::new(folder));
    let (mut plan, mut known) = (Vec::new(), BTreeSet::new());
    for (place, mut run) in runs.into_iter().enumerate() {
        let which = format!("run {} of {total}, {}", place + 1, run.name);
        let read = |words: &[String]| read(words).map_err(|wrong| anyhow!("{which}: {wrong}")).or_exit(ExitCode::Usage);
        let mut words = run.arguments(!args.no_containers, &args.words);
        let mut parsed = read(&words)?;
        if let Some(prompt) = &run.prompt {
            // Files of the earlier profilers have prompts whatever is measured.
            if parsed.args.kind() == WorkKind::Latency {
                run.notes.push("its prompt is not sent: latency takes lengths; see --workload".to_owned());
            } else {
                words.insert(0, format!("--prompt={prompt}"));
                parsed = read(&words)?;
            }
        }
        let times = parsed.args.repeat;
        for number in 1..=times {
            let (mut run, Read { mut args, mut asked }) = (run.clone(), read(&words)?);
            if times > 1 {
                asked.push(format!("repetition {number}"));
                run.name = format!("{}_run{number}", run.name);
                run.label = format!("{}_run{number}", run.label);
            }
            (args.repeat, args.part_of_campaign) = (1, true);
            let key = RunKey::new(&run.label, &asked);
            // The same run again is the same run.
            if !known.insert(key.clone()) {
                output::say(&format!("note: {} is asked for twice, and is one run", run.name));
                continue;
            }
            let profile = folder.profile(&key);
            plan.push(Planned { run, key, profile, args, words: words.clone() });
        }
    }
    Ok(plan)
}

fn read(words: &[String]) -> Result<Read, String> {
    let first = |error: clap::Error| {
        let said = error.to_string();
        said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    };
    let matches = OneRun::command().try_get_matches_from(words).map_err(first)?;
    let asked = asked(&matches);
    let parsed = OneRun::from_arg_matches(&matches).map_err(first)?;
    let flags = parsed.args.engine.given().read();
    flags.map_err(|error| exit::causes(&anyhow::Error::new(error)).collect::<Vec<_>>().join(": "))?;
    Ok(Read { args: Box::new(parsed.args), asked })
}

/// What was asked for in other words than the defaults, sorted; the engine's own words last and in their order.
fn asked(matches: &ArgMatches) -> Vec<String> {
    let command = OneRun::command();
    let mut words = Vec::new();
    let mut engine = Vec::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let given = matches.value_source(id) == Some(ValueSource::CommandLine);
        if !given || NOT_MEASURED.contains(&id) {
            continue;
        }
        let values: Vec<String> =
            matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
        if arg.get_default_values().iter().map(|value| value.to_string_lossy()).eq(values.iter().map(String::as_str)) {
            continue;
        }
        match arg.get_long() {
            Some(long) => words.extend(values.iter().map(|value| format!("--{long}={value}"))),
            None => engine = values,
        }
    }
    words.sort();
    words.extend(engine);
    redact_args(words.iter().map(String::as_str))
}

/// The plan as a document.
pub(super) fn document(plan: &[Planned]) -> PlanDocument {
    let document =
        |planned: &Planned| PlannedDocument::new(&planned.run, &planned.key, &planned.profile, &planned.words);
    PlanDocument::new(plan.iter().map(document).collect())
}

/// The runs that were asked for in the folder before, and are not asked for now.
pub(super) fn earlier(plan: &[Planned], folder: &Path) -> anyhow::Result<Vec<PlannedDocument>> {
    let path = folder.join(layout::CAMPAIGN_PLAN);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = || -> anyhow::Result<PlanDocument> {
        let text = input::bounded(&path, MOST_BYTES)?;
        anyhow::ensure!(text.len() <= MOST_BYTES, "it is larger than {} MiB, which no plan is", MOST_BYTES >> 20);
        Ok(PlanDocument::read(&text)?)
    };
    let document = read().with_context(|| {
        format!(
            "could not use {}: restore it, or give another --output; where it is moved away, complete runs are found \
             again, and those that this command does not ask for leave the table",
            path.display()
        )
    });
    let mut runs = document.or_exit(ExitCode::BadInput)?.runs;
    runs.retain(|run| !plan.iter().any(|planned| planned.key.as_str() == run.key));
    Ok(runs)
}

/// Keeps what is asked for, with the runs of earlier campaigns in the same folder.
pub(super) fn keep(plan: &[Planned], earlier: &[PlannedDocument], folder: &Path) -> anyhow::Result<()> {
    let mut now = document(plan);
    now.runs.extend(earlier.iter().cloned());
    output::write_json(&folder.join(layout::CAMPAIGN_PLAN), &now)
}
