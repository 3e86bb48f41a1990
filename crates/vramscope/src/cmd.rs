//! The subcommands. Each module has its arguments and one function that runs it.

mod accuracy;
mod analyze;
mod campaign;
mod compare;
mod completions;
mod doctor;
mod estimate;
mod explain;
mod export;
mod fit;
mod gpus;
mod load;
mod log;
mod migrate;
mod monitor;
mod profile;
mod report;
mod runs;
mod schema;
mod snapshot;
mod timeline;
mod trace;

use crate::exit::Answer;

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Accuracy(accuracy::Args),
    Analyze(Box<analyze::Args>),
    Campaign(Box<campaign::Args>),
    Compare(compare::Args),
    Completions(completions::Args),
    Doctor(doctor::Args),
    Estimate(Box<estimate::Args>),
    Explain(explain::Args),
    Export(export::Args),
    Fit(Box<fit::Args>),
    Gpus(gpus::Args),
    Load(Box<load::Args>),
    Log(log::Args),
    Migrate(migrate::Args),
    Monitor(Box<monitor::Args>),
    Profile(Box<profile::Args>),
    Report(report::Args),
    Runs(runs::Args),
    Schema(schema::Args),
    Snapshot(snapshot::Args),
    Timeline(timeline::Args),
    Trace(Box<trace::Args>),
}

/// Runs a subcommand.
pub(crate) fn run(command: Command) -> anyhow::Result<Answer> {
    let code = match command {
        Command::Accuracy(args) => accuracy::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Campaign(args) => campaign::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Estimate(args) => estimate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Gpus(args) => gpus::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Monitor(args) => return monitor::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Timeline(args) => timeline::run(&args),
        Command::Trace(args) => trace::run(&args),
    }?;
    Ok(code.into())
}

/// A share: `5%` or `0.05`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let (number, factor) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
    let value: f64 = number.trim().parse().map_err(|_| format!("`{text}` is no share; write 5% or 0.05"))?;
    if value.is_finite() && value >= 0.0 { Ok(value * factor) } else { Err("a share is not negative".into()) }
}
