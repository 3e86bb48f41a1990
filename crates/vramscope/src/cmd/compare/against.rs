//! `vramscope compare … --against …`: repeats of one run against repeats of another.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use vramscope_compare::document::AgainstDocument;
use vramscope_compare::{Against, Better, Judged, Outcome, Rule, figures};
use vramscope_schema::ExitCode;
use vramscope_schema::v3::Profile;

use super::{Args, junit, name, render};
use crate::exit::OrExit as _;
use crate::input;
use crate::output::{self, Format};

/// Repeats and the rule by which they are judged.
#[derive(clap::Args)]
#[command(next_help_heading = "Repeats against repeats")]
pub(super) struct AgainstArgs {
    /// The repeats of the second side, three at least as of the first; a file may hold several
    #[arg(id = "against", long = "against", value_name = "RUN", num_args = 1..)]
    pub(super) runs: Vec<PathBuf>,
    /// How often at most equal runs may have any figure called better or worse
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = chance, requires = "against")]
    false_alarms: f64,
    /// A change that is too small to matter: an interval within it shows no difference
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = crate::cmd::share, requires = "against")]
    margin: f64,
    /// Judge this figure alone; repeat for more. The fewer, the smaller the change that is found
    #[arg(long = "figure", value_name = "NAME", value_parser = directed, requires = "against")]
    figures: Vec<String>,
}

/// A share between nothing and all.
fn chance(text: &str) -> Result<f64, String> {
    let share = crate::cmd::share(text)?;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("expected a share above 0 and below 100%".to_owned()) }
}

/// The name of a figure that has a better direction.
fn directed(text: &str) -> Result<String, String> {
    let mut names = figures().iter().filter(|figure| figure.better != Better::Neither).map(|figure| figure.name);
    if names.clone().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let known: Vec<&str> = names.by_ref().collect();
    Err(format!("there is no figure {text:?} that could be better or worse; there are {}", known.join(", ")))
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (before, after) = (side(&args.profiles)?, side(&args.against.runs)?);
    let asked = &args.against;
    let rule = Rule { false_alarms: asked.false_alarms, margin: asked.margin, figures: asked.figures.clone() };
    let against = Against::of(&before.profiles, &after.profiles, rule);
    let verdict = against.verdict(&args.fail_above);
    let limited = !args.fail_above.is_empty();
    if let Some(path) = &args.junit {
        junit::write(path, &cases(&against, &verdict.exceeded, limited))?;
    }
    match args.format {
        Format::Json => {
            output::print_json(&AgainstDocument::of(before.names, after.names, &against, &verdict))?;
        }
        Format::Table => {
            let text = render::against(&against, limited.then_some(&verdict), output::width());
            output::print(&text)?;
        }
    }
    if limited && against.answers_fewer() {
        output::say("more requests of the second side were not answered: no limit is kept by a server that refuses");
        return Ok(ExitCode::Negative);
    }
    if let Some(name) = against.unjudged.first() {
        let none = anyhow!("{name} cannot be judged: it does not stand in every run of both sides");
        return Err(none).or_exit(ExitCode::BadInput);
    }
    super::judged(&verdict)
}

struct Side {
    names: Vec<String>,
    profiles: Vec<Profile>,
}

fn side(paths: &[PathBuf]) -> anyhow::Result<Side> {
    let mut side = Side { names: Vec::new(), profiles: Vec::new() };
    for path in paths {
        let runs = input::runs(path)?;
        side.names.extend(names(path, runs.len()));
        side.profiles.extend(runs);
    }
    Ok(side)
}

fn names(path: &Path, runs: usize) -> Vec<String> {
    let name = name(path);
    if runs == 1 { vec![name] } else { (1..=runs).map(|n| format!("{name}#{n}")).collect() }
}

fn cases(against: &Against, exceeded: &[vramscope_compare::Exceeded], limited: bool) -> Vec<junit::Case> {
    let figure = |judged: &Judged| {
        let item = exceeded.iter().find(|item| item.figure == judged.name);
        let outcome = match (item, judged.outcome) {
            (Some(item), _) => junit::Outcome::Failed(junit::exceeded(item)),
            (None, Outcome::Inconclusive) => junit::Outcome::Skipped(render::inconclusive(judged)),
            (None, _) => junit::Outcome::Passed,
        };
        junit::Case { name: judged.name.to_owned(), outcome }
    };
    let mut cases: Vec<junit::Case> = against.figures.iter().map(figure).collect();
    if limited {
        let outcome = if against.answers_fewer() {
            junit::Outcome::Failed(against.cautions.join("; "))
        } else {
            junit::Outcome::Passed
        };
        cases.push(junit::Case { name: "answered_requests".to_owned(), outcome });
    }
    cases
}
