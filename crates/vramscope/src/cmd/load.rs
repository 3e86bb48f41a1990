//! `vramscope load`: sends requests to a server at several levels and says how fast it answers.

mod args;
mod data;
mod energy;
mod engine;
mod experiment;
mod levels;
mod measure;
mod plan;
mod reach;
mod render;
mod requests;

use anyhow::Context as _;
use vramscope_load::LoadError;
use vramscope_load::document::{FindingDocument, LoadDocument};
use vramscope_schema::ExitCode;

use crate::exit::{self, OrExit as _};
use crate::output::{self, Format};
use crate::signals::Signals;
use measure::Measurer;

pub(crate) use args::Args;
pub(crate) use plan::drawn_seed;

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
    // What cannot be is told before a server is asked anything, or started.
    if args.report && args.output.is_none() && args.experiments.experiment.is_none() {
        let nowhere = || Err(anyhow::anyhow!("--report leaves its page beside the document: name it with -o"));
        return nowhere().or_exit(ExitCode::Usage);
    }
    if let (Some(path), None) = (&args.output, args.experiments.experiment) {
        output::can_write(path)?;
    }
    let checked = plan::checked(args).await?;
    let folder = match args.experiments.experiment {
        Some(_) => {
            experiment::check(args, &checked.plan)?;
            Some(experiment::Folder::of(args.output.as_deref())?)
        }
        None => None,
    };
    let log = match (&folder, &args.output) {
        _ if args.url.is_some() => None,
        (Some(folder), _) => Some(folder.log()?),
        (None, Some(output)) => Some(output.with_extension("engine.log")),
        (None, None) => None,
    };
    let mut requests = args.requests.as_ref().map(|path| requests::RequestsFile::new(path)).transpose()?;
    let Some(server) = engine::open(args, signals, log).await? else { return Ok(ExitCode::Interrupted) };
    let measured = measured(args, signals, &server, checked, requests.as_mut()).await;
    let went_well = measured.as_ref().is_ok_and(|measured| measured.as_ref().is_none_or(Measured::went_well));
    // On every way out the engine is stopped first.
    let closed = signals.in_order(server.close(went_well)).await;
    let mut measured = match measured {
        Ok(Some(measured)) => measured,
        Ok(None) => return closed.map(|()| ExitCode::Interrupted),
        // That an engine died says more than how a request noticed.
        Err(error) => return closed.and(Err(error)),
    };
    if let Some(requests) = requests {
        requests.keep()?;
    }
    let broke_off = measured.broke_off.take();
    let code = finish(args, measured, folder.as_ref(), closed.as_ref().err().or(broke_off.as_ref()))?;
    closed.and(broke_off.map_or(Ok(code), Err))
}

/// What was measured.
struct Measured {
    results: Results,
    /// Why it broke off, though nobody stopped it.
    broke_off: Option<anyhow::Error>,
}

/// The results of a load.
enum Results {
    Load(Box<LoadDocument>),
    Experiments(Box<experiment::Results>),
}

impl Measured {
    fn failed(&self) -> u64 {
        match &self.results {
            Results::Load(document) => document.failed(),
            Results::Experiments(results) => results.document.failed(),
        }
    }

    fn went_well(&self) -> bool {
        self.failed() == 0 && self.broke_off.is_none()
    }
}

/// Measures a server that answers; `None` where somebody stopped it before it was known what to measure.
async fn measured(
    args: &Args,
    signals: &Signals,
    server: &engine::Server,
    checked: plan::Checked,
    requests: Option<&mut requests::RequestsFile>,
) -> anyhow::Result<Option<Measured>> {
    let client = &server.client;
    let Some(asked) = signals.until_stopped(plan::ask(client, args, checked)).await else { return Ok(None) };
    let asked = asked?;
    let whose = server.whose().await;
    let tell = |note: &str| {
        if !args.quiet {
            output::say(note);
        }
    };
    let meter = signals.at_once(|| energy::Meter::open(&args.experiments.devices, &whose, &tell))?;
    let metered = meter.as_ref().map(|meter| meter.metered.clone());
    let price = args.experiments.price.map(|price| price.of(metered.as_ref())).transpose()?;
    let mut measurer = Measurer::new(client, signals, args.quiet);
    (measurer.requests, measurer.meter, measurer.price) = (requests, meter.as_ref(), price);
    let engine = server.engine();
    signals
        .in_order(async {
            match args.experiments.experiment {
                None => {
                    let (mut document, broke_off) = levels::measure(args, asked, &mut measurer).await?;
                    (document.engine, document.metered, document.price) = (engine, metered, price);
                    Ok(Some(Measured { results: Results::Load(Box::new(document)), broke_off }))
                }
                Some(experiment) => {
                    let mut results = experiment::measure(args, experiment, asked, &mut measurer).await?;
                    let document = &mut results.document;
                    (document.engine, document.metered, document.price) = (engine, metered, price);
                    let broke_off = results.broke_off.take();
                    Ok(Some(Measured { results: Results::Experiments(Box::new(results)), broke_off }))
                }
            }
        })
        .await
}

/// Writes and shows what was measured, and says how that ends. `why` is why it broke off, if it did.
fn finish(
    args: &Args,
    measured: Measured,
    folder: Option<&experiment::Folder>,
    why: Option<&anyhow::Error>,
) -> anyhow::Result<ExitCode> {
    let failed = measured.failed();
    let broke_off = why.map(|error| {
        let said: Vec<String> = exit::causes(error).map(|cause| exit::presentable(&cause)).collect();
        FindingDocument::warning("broke_off", format!("it broke off: {}", said.join(": ")))
    });
    let (stopped, written) = match measured.results {
        Results::Load(mut document) => {
            document.findings.extend(broke_off);
            if let Some(path) = &args.output {
                output::write_json(path, &document)?;
                if args.report {
                    let name = path.display().to_string();
                    super::report::beside(&super::report::name_beside(path), &name, &document)?;
                }
            }
            match args.format {
                Format::Json => output::print_json(&document)?,
                Format::Table => output::print(&render::table(&document, output::width()))?,
            }
            (document.stopped, args.output.clone())
        }
        Results::Experiments(mut results) => {
            results.document.findings.extend(broke_off);
            let something = results.document.measurements().next().is_some();
            let folder = folder.filter(|_| something);
            if let Some(folder) = folder {
                folder.write(&results, args.report)?;
            }
            match args.format {
                Format::Json => output::print_json(&results.document)?,
                Format::Table if something => output::print(&experiment::table(&results.document, output::width()))?,
                Format::Table => {}
            }
            (results.document.stopped, folder.map(|folder| folder.path().to_owned()))
        }
    };
    if let Some(path) = written.filter(|_| !args.quiet) {
        output::say(&format!("written to {}", path.display()));
    }
    if stopped {
        return Ok(ExitCode::Interrupted);
    }
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
