//! `vramscope load`: sends requests to a server at several levels and says how fast it answers.

mod args;
mod data;
mod levels;
mod plan;
mod reach;
mod render;
mod requests;

use anyhow::Context as _;
use vramscope_load::LoadError;
use vramscope_schema::ExitCode;

use crate::output::{self, Format};
use crate::signals::Signals;

pub(crate) use args::Args;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("could not start the asynchronous runtime")?;
    runtime.block_on(async {
        let signals =
            Signals::listen(|| output::say("stopping; what was answered is kept. Once more to leave at once"));
        load(args, &signals).await
    })
}

async fn load(args: &Args, signals: &Signals) -> anyhow::Result<ExitCode> {
    let client = plan::client(args)?;
    let asked = signals.until_stopped(plan::ask(&client, args)).await;
    let Some(asked) = asked else { return Ok(ExitCode::Interrupted) };
    let asked = asked?;
    let mut requests = args.requests.as_ref().map(|path| requests::RequestsFile::new(path)).transpose()?;
    let measured = signals.in_order(levels::measure(&client, args, asked, signals, requests.as_mut())).await;
    let document = measured?;
    if let Some(requests) = requests {
        requests.keep()?;
    }
    if let Some(path) = &args.output {
        output::write_json(path, &document)?;
    }
    match args.format {
        Format::Json => output::print_json(&document)?,
        Format::Table => output::print(&render::table(&document, output::width()))?,
    }
    if let Some(path) = args.output.as_ref().filter(|_| !args.quiet) {
        output::say(&format!("written to {}", path.display()));
    }
    if document.stopped {
        return Ok(ExitCode::Interrupted);
    }
    let failed = document.failed();
    if failed > args.max_failed {
        output::say(&format!("{failed} requests failed or were not sent; --max-failed allows {}", args.max_failed));
        return Ok(ExitCode::Negative);
    }
    Ok(ExitCode::Success)
}

/// Gives an error of the load its exit code.
fn exit_code(error: &LoadError) -> ExitCode {
    match error {
        LoadError::Address { .. }
        | LoadError::ApiKey
        | LoadError::Header { .. }
        | LoadError::Plan { .. }
        | LoadError::OpenFiles { .. } => ExitCode::Usage,
        LoadError::Trust { .. } => ExitCode::BadInput,
        LoadError::Probe { .. } | LoadError::Warmup { .. } => ExitCode::EngineFailed,
        LoadError::TimedOut { .. } => ExitCode::TimedOut,
        LoadError::Stopped => ExitCode::Interrupted,
        LoadError::OwnLimit { .. } | LoadError::Thread { .. } => ExitCode::Failure,
        _ => ExitCode::HostUnavailable,
    }
}

/// An error of the load with its exit code.
fn refused<T>(result: Result<T, LoadError>) -> anyhow::Result<T> {
    result.map_err(|error| {
        let code = exit_code(&error);
        anyhow::Error::new(error).context("failed to load the server").context(crate::exit::Failed { code })
    })
}
