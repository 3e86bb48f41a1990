//! The runs of a campaign as command lines of `profile`, checked before the first one starts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Parser;
use vramscope_runs::{PlanDocument, PlannedDocument, PlannedRun};
use vramscope_schema::ExitCode;

use super::Args;
use crate::cmd::profile::{self, WorkKind};
use crate::cmd::runs::TableFormat;
use crate::exit::{self, OrExit as _};
use crate::output;
use crate::table::{Align, Table, wrap};

/// A run that is ready to be carried out.
pub(super) struct Planned {
    pub(super) run: PlannedRun,
    /// Where its profile goes.
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

/// Checks every run's arguments.
pub(super) fn make(runs: Vec<PlannedRun>, folder: &Path, args: &Args) -> anyhow::Result<Vec<Planned>> {
    let total = runs.len();
    let one = |(place, mut run): (usize, PlannedRun)| {
        let which = format!("run {} of {total}, {}", place + 1, run.name);
        let profile = folder.join(format!("{}.json", run.name));
        let read =
            |words: &[String]| parse(words).map_err(|wrong| anyhow!("{which}: {wrong}")).or_exit(ExitCode::Usage);
        let mut words = run.arguments(&profile, !args.no_containers, &args.words);
        let mut parsed = read(&words)?;
        if let Some(prompt) = &run.prompt {
            // Files of the earlier profilers have prompts whatever is measured.
            if parsed.kind() == WorkKind::Latency {
                run.notes.push("its prompt is not sent: latency takes lengths; see --workload".to_owned());
            } else {
                words.insert(0, format!("--prompt={prompt}"));
                parsed = read(&words)?;
            }
        }
        parsed.part_of_campaign = true;
        Ok(Planned { run, profile, args: parsed, words })
    };
    runs.into_iter().enumerate().map(one).collect()
}

fn parse(words: &[String]) -> Result<Box<profile::Args>, String> {
    let parsed = OneRun::try_parse_from(words).map_err(|error| {
        let said = error.to_string();
        said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    let flags = parsed.args.engine.given().read();
    flags.map_err(|error| exit::causes(&anyhow::Error::new(error)).collect::<Vec<_>>().join(": "))?;
    Ok(Box::new(parsed.args))
}

/// The plan as a document.
pub(super) fn document(plan: &[Planned]) -> PlanDocument {
    let runs = plan.iter().map(|planned| PlannedDocument::new(&planned.run, &planned.profile, &planned.words));
    PlanDocument::new(runs.collect())
}

/// Prints the plan.
pub(super) fn show(plan: &[Planned], format: TableFormat) -> anyhow::Result<()> {
    match format {
        TableFormat::Table => output::print(&table(plan, output::width())),
        TableFormat::Json => output::print_json(&document(plan)),
        TableFormat::Csv => {
            let mut out = csv::Writer::from_writer(Vec::new());
            out.write_record(["name", "profile", "arguments"])?;
            for run in document(plan).runs {
                out.write_record([&run.name, &run.profile, &run.arguments.join(" ")])?;
            }
            output::print(&String::from_utf8(out.into_inner()?)?)
        }
    }
}

fn table(plan: &[Planned], width: usize) -> String {
    let mut table = Table::new(&[
        ("in", Align::Right),
        ("out", Align::Right),
        ("batch", Align::Right),
        ("model and flags", Align::Left),
    ]);
    for planned in plan {
        let run = &planned.run;
        let args = &planned.args;
        let flags = run.flags.iter().map(|(name, value)| match value {
            Some(value) => format!("--{name} {value}"),
            None => format!("--{name}"),
        });
        let place = args.host.container.as_deref().or(args.host.image.as_deref()).map(|name| format!("in {name}"));
        let what: Vec<String> = [run.model.clone()].into_iter().chain(place).chain(flags).collect();
        table.row([
            args.work.prompt.as_ref().map_or(args.work.input_len.to_string(), |_| "text".to_owned()),
            args.work.output_len.to_string(),
            args.work.batch_size.to_string(),
            what.join(" "),
        ]);
    }
    let folder = plan.first().and_then(|planned| planned.profile.parent()).unwrap_or(Path::new("."));
    let s = if plan.len() == 1 { "" } else { "s" };
    let mut text = format!("{} run{s}, to {}\n{}", plan.len(), folder.display(), table.render(width));
    let mut told = Vec::new();
    for (run, note) in plan.iter().flat_map(|planned| planned.run.notes.iter().map(|note| (&planned.run, note))) {
        let note = format!("note: {}: {note}", run.model);
        if !told.contains(&note) {
            for line in wrap(&note, width.saturating_sub(2)) {
                let _ = writeln!(text, "  {line}");
            }
            told.push(note);
        }
    }
    text
}
