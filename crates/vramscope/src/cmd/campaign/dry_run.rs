//! The plan of a campaign with what every check before a start says of each run. Nothing is started.

use std::fmt::Write as _;
use std::path::Path;

use vramscope_core::Bytes;
use vramscope_live::{DiskRoom, Finding};
use vramscope_runs::{CampaignFolder, CheckDocument, PlanDocument, RoomDocument};
use vramscope_schema::{ExitCode, RunState};

use super::Args;
use super::plan::{self, Planned};
use super::rows::Rows;
use crate::cmd::profile::Session;
use crate::cmd::runs::TableFormat;
use crate::exit::{self, OrExit as _};
use crate::output;
use crate::progress::Progress;
use crate::table::{Align, Table, wrap};

/// The code of what certainly does not fit the devices.
const UNFIT: &str = "does_not_fit";
/// The code of what prevents a run before any check can be made.
const NOT_PLANNED: &str = "cannot_be_planned";

pub(super) fn run(args: &Args, plan: &[Planned], path: &Path, session: &Session) -> anyhow::Result<ExitCode> {
    let earlier = plan::earlier(plan, path)?;
    let rows = Rows::read(&CampaignFolder::new(path), plan, &earlier).or_exit(ExitCode::BadInput)?;
    let mut document = plan::document(plan);
    let mut progress = Progress::new();
    for (place, (planned, shown)) in plan.iter().zip(&mut document.runs).enumerate() {
        progress.step("checked", place, plan.len());
        let state = rows.state(&planned.key);
        shown.state = Some(state);
        if !args.is_due(state) {
            continue;
        }
        shown.checks = match session.preflight(&planned.args, &planned.profile) {
            Ok(findings) => findings.iter().map(|finding| check(finding, planned.args.force)).collect(),
            Err(stopped) if session.stopped() => return Err(stopped),
            Err(error) => vec![CheckDocument {
                code: NOT_PLANNED.to_owned(),
                refuses: true,
                message: exit::causes(&error).collect::<Vec<_>>().join(": "),
                advice: None,
            }],
        };
    }
    progress.end();
    let due = plan.iter().filter(|planned| args.is_due(rows.state(&planned.key))).count();
    document.room = DiskRoom::of_runs(due, path).filter(|_| due > 0).map(room);
    show(plan, &document, path, args.format)?;
    let fails = document.runs.iter().any(|run| run.checks.iter().any(|check| check.refuses));
    Ok(if fails { ExitCode::Negative } else { ExitCode::Success })
}

/// Why a run certainly does not fit, if it does not.
pub(super) fn unfit(session: &Session, planned: &Planned) -> Option<String> {
    let findings = session.preflight(&planned.args, &planned.profile).ok()?;
    findings.into_iter().find(|finding| finding.code == UNFIT && finding.refuses).map(|finding| finding.message)
}

fn check(finding: &Finding, force: bool) -> CheckDocument {
    CheckDocument {
        code: finding.code.to_owned(),
        refuses: finding.refuses && !force,
        message: finding.message.clone(),
        advice: Some(finding.advice.to_owned()),
    }
}

fn show(plan: &[Planned], document: &PlanDocument, path: &Path, format: TableFormat) -> anyhow::Result<()> {
    match format {
        TableFormat::Table => output::print(&table(plan, document, path, output::width())),
        TableFormat::Json => output::print_json(document),
        TableFormat::Csv => {
            let mut out = csv::Writer::from_writer(Vec::new());
            out.write_record(["name", "profile", "state", "checks", "arguments"])?;
            for run in &document.runs {
                let state = run.state.map_or("", RunState::name);
                let checks: Vec<&str> = run.checks.iter().map(|check| check.code.as_str()).collect();
                out.write_record([&run.name, &run.profile, state, &checks.join(" "), &run.arguments.join(" ")])?;
            }
            output::print(&String::from_utf8(out.into_inner()?)?)
        }
    }
}

/// What the checks say of a run, in a few words.
fn verdict(state: Option<RunState>, checks: &[CheckDocument]) -> String {
    let worst = checks.iter().find(|check| check.refuses).or(checks.first());
    match (worst, state) {
        (Some(check), _) if check.refuses => format!("FAILS {}", check.code),
        (Some(check), _) => format!("warning {}", check.code),
        (None, Some(RunState::Complete)) => "complete".to_owned(),
        (None, _) => "ready".to_owned(),
    }
}

fn table(plan: &[Planned], document: &PlanDocument, path: &Path, width: usize) -> String {
    let mut table = Table::new(&[
        ("in", Align::Right),
        ("out", Align::Right),
        ("batch", Align::Right),
        ("check", Align::Left),
        ("model and flags", Align::Left),
    ]);
    for (planned, shown) in plan.iter().zip(&document.runs) {
        let (run, args) = (&planned.run, &planned.args);
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
            verdict(shown.state, &shown.checks),
            what.join(" "),
        ]);
    }
    let s = if plan.len() == 1 { "" } else { "s" };
    let mut text = format!("{} run{s}, to {}\n{}", plan.len(), path.display(), table.render(width));
    let mut told: Vec<String> = Vec::new();
    let mut say = |words: String| {
        if told.contains(&words) {
            return;
        }
        for line in wrap(&words, width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
        told.push(words);
    };
    for (planned, shown) in plan.iter().zip(&document.runs) {
        for check in &shown.checks {
            let word = if check.refuses { "fails" } else { "warning" };
            say(format!("{word} {}: {}", check.code, check.message));
            if let Some(advice) = &check.advice {
                say(format!("→ {advice}"));
            }
        }
        for note in &planned.run.notes {
            say(format!("note: {}: {note}", planned.run.model));
        }
    }
    let total =
        [Some(total(document)), document.room.map(room_words)].into_iter().flatten().collect::<Vec<_>>().join("; ");
    wrap(&total, width).iter().for_each(|line| {
        let _ = writeln!(text, "{line}");
    });
    text
}

/// Each run finds room for itself; together they may not.
fn room(room: DiskRoom) -> RoomDocument {
    RoomDocument { needed_bytes: room.needed.get(), free_bytes: room.free.get(), suffices: room.free >= room.needed }
}

fn room_words(room: RoomDocument) -> String {
    let (needed, free) = (Bytes::new(room.needed_bytes), Bytes::new(room.free_bytes));
    let less = if room.suffices { "" } else { "warning: only " };
    format!("together they may leave {needed}, and {less}{free} are free there")
}

/// `12 runs: 3 complete already, 8 ready, 1 certainly fails`.
fn total(document: &PlanDocument) -> String {
    let count =
        |of: &dyn Fn(&vramscope_runs::PlannedDocument) -> bool| document.runs.iter().filter(|run| of(run)).count();
    let fails = count(&|run| run.checks.iter().any(|check| check.refuses));
    let complete = count(&|run| run.state == Some(RunState::Complete));
    let ready = document.runs.len() - fails - complete;
    let parts = [(complete, "complete already"), (ready, "ready"), (fails, "certain to fail")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_all_runs_is_compared_with_what_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let mut found = DiskRoom::of_runs(3, &folder.path().join("not/made/yet")).unwrap();
        assert_eq!(found.needed.get(), 3 * (64 << 20));
        found.free = Bytes::new(found.needed.get());
        assert!(!room_words(room(found)).contains("warning"), "{}", room_words(room(found)));
        found.free = Bytes::new(found.needed.get() - 1);
        assert!(room_words(room(found)).contains("warning: only"), "{}", room_words(room(found)));
        assert_eq!(DiskRoom::of_runs(usize::MAX, folder.path()), None, "no sum");
    }
}
