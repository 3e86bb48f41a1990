//! `vramscope profile`: one command that runs the engine, measures it, and leaves a profile.

mod args;
mod devices;
mod outcome;
mod repeat;
mod request;
mod view;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use vramscope_core::escape_controls;
use vramscope_host::is_signal_ignored;
use vramscope_live::{
    CancelHandle, CancelToken, Finding, Found, Plan, PlanError, Request, Run, RunError, RunPaths, cancel,
};
use vramscope_sampler::{Sampler, SamplerConfig, SamplerError};
use vramscope_schema::ExitCode;
use vramscope_schema::v3::Profile;

use crate::exit::{Failed, OrExit as _, OrPlanned as _};
use crate::output::{self, Format};

pub(crate) use args::{Args, WorkKind};
use view::View;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("could not start the asynchronous runtime")?;
    runtime.block_on(async {
        // A write past the limit of a file's size is an error of that file, not the end of this process.
        let _too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
        let (handle, token) = cancel();
        let view = Arc::new(View::new(args.quiet));
        tokio::spawn(listen(handle, Arc::clone(&view)));
        profile(args, &token, &view).await
    })
}

/// Ctrl-C, SIGTERM and a terminal that goes away end the run in order. Who asks twice does not want to wait for the
/// engine; its watchdog ends it.
async fn listen(handle: CancelHandle, view: Arc<View>) {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
    // Under nohup nobody wants to hear of it.
    let mut hung_up = if is_signal_ignored(Signal::HUP.as_raw()) { None } else { signal(SignalKind::hangup()).ok() };
    let mut asked = false;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
            // The terminal and its shell may both tell of it, and nobody is there to ask twice.
            () = next_of(&mut hung_up) => {
                handle.cancel();
                continue;
            }
        }
        if std::mem::replace(&mut asked, true) {
            std::process::exit(i32::from(ExitCode::Interrupted.code()));
        }
        view.say("stopping the engine and keeping what was recorded; once more to leave at once");
        handle.cancel();
    }
}

/// The next signal, if it is listened to.
async fn next_of(listener: &mut Option<tokio::signal::unix::Signal>) {
    match listener {
        Some(listener) => drop(listener.recv().await),
        None => std::future::pending().await,
    }
}

async fn profile(args: &Args, token: &CancelToken, view: &View) -> anyhow::Result<ExitCode> {
    let request = request::of(args)?;
    let mut devices = devices::open(args, &request)?;
    let plan = Plan::make(request, &devices.measured).await.or_planned()?;
    let paths = |number| RunPaths::new(&plan, number).or_planned();
    // What costs nothing to know comes first: it takes an engine seconds to say anything.
    for number in 1..=args.repeat {
        paths(number)?.check().or_planned()?;
    }
    if args.repeat > 1 {
        paths(0)?.check_profile().or_planned()?;
    }
    let config = SamplerConfig { period: devices.period(args), ..SamplerConfig::default() };
    // It reads nothing until a recording begins.
    let mut sampler = Sampler::spawn_all(devices.take_sources(), config).map_err(unsampled)?;
    let measured = &devices.measured;
    tell_unused(args, plan.request());
    may_start(args, &plan.preflight(None, &measured.devices).check_place())?;
    let found = Found::ask(&plan, &mut |event| view.show(event)).await.or_planned()?;
    view.clear();
    may_start(args, plan.preflight(found.version.as_deref(), &measured.devices).check_fit().as_slice())?;
    // What cannot be started is told before a device is sampled.
    let first = plan.spec(&found, measured, &paths(1)?).or_planned()?;
    if args.dry_run && args.host.url.is_some() {
        output::say("nothing would be started: the requests go to a server that runs");
        return Ok(ExitCode::Success);
    }
    if args.dry_run {
        output::print(&format!("{}\n", shown(&first, &measured.confinement)))?;
        return Ok(ExitCode::Success);
    }
    let mut profiles: Vec<Profile> = Vec::new();
    let mut ended = ExitCode::Success;
    for number in 1..=args.repeat {
        let paths = paths(number)?;
        let spec = plan.spec(&found, measured, &paths).or_planned()?;
        let folder = vramscope_runs::RecordingFolder::create(&paths.folder);
        let folder = folder.map_err(PlanError::Recording).or_planned()?;
        if args.repeat > 1 && !args.quiet {
            output::say(&format!("run {number} of {}", args.repeat));
        }
        let run = Run::new(spec, &mut sampler, plan.host.clone(), folder);
        let mut observe = |event| view.show(event);
        let profile = run.execute(&mut observe, token.clone()).await;
        view.clear();
        let profile = profile.map_err(unprofiled)?;
        let written = output::write_file(&paths.profile, |out| Ok(vramscope_schema::write(&profile, out)?));
        let code = outcome::exit_code(&profile);
        // What cannot be written can be seen at least.
        let told = tell(args, &profile);
        if let Err(error) = written {
            output::say(&format!(
                "the recording is kept; analyze {} -o FILE derives the profile",
                paths.folder.display()
            ));
            return Err(error);
        }
        if !args.quiet {
            output::say(&format!("profile written to {}", paths.profile.display()));
        }
        // How the run went matters more than whether somebody still listened.
        if code != ExitCode::Success {
            ended = code;
            break;
        }
        told?;
        profiles.push(profile);
    }
    // What went well until then can be compared all the same.
    if profiles.len() > 1 {
        repeat::tell(args, &profiles, &paths(0)?.profile)?;
    }
    Ok(ended)
}

/// Devices that cannot be sampled as they were asked to be.
fn unsampled(error: SamplerError) -> anyhow::Error {
    let code = if matches!(error, SamplerError::TooFast { .. }) { ExitCode::Usage } else { ExitCode::NoDevice };
    anyhow::Error::new(error).context("could not begin to sample").context(Failed { code })
}

/// A run that left no profile.
fn unprofiled(error: RunError) -> anyhow::Error {
    let code = if matches!(error, RunError::Folder(_)) { ExitCode::CannotWrite } else { ExitCode::Failure };
    anyhow::Error::new(error).context("the run left no profile").context(Failed { code })
}

/// Tells of what was asked for and belongs to another kind of work.
fn tell_unused(args: &Args, request: &Request) {
    for (name, whose) in request.unused().iter().filter(|_| !args.quiet) {
        output::say(&format!("note: --{name} is of {whose}, and is not used"));
    }
}

/// Tells what the checks found, and refuses the run if they do.
fn may_start(args: &Args, findings: &[Finding]) -> anyhow::Result<()> {
    for finding in findings {
        let word = if finding.refuses && !args.force { "refused" } else { "warning" };
        output::say(&format!("{word} {}: {}\n  → {}", finding.code, finding.message, finding.advice));
    }
    if args.force || !findings.iter().any(|finding| finding.refuses) {
        return Ok(());
    }
    Err(anyhow!("the run is refused before it starts; --force goes on all the same")).or_exit(ExitCode::Negative)
}

/// The command as a person would type it, secrets hidden.
fn shown(spec: &vramscope_live::RunSpec, confinement: &[(String, String)]) -> String {
    let variables = confinement.iter().map(|(name, value)| format!("{name}={value}"));
    let words = variables.chain(spec.command.shown());
    let quoted = words.map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Prints the profile of a single run, and says of any that did not go well why.
fn tell(args: &Args, profile: &Profile) -> anyhow::Result<()> {
    if args.repeat == 1 && !args.part_of_campaign {
        match args.format {
            Format::Table => output::print(&super::analyze::render::profile(profile, output::width()))?,
            Format::Json => {
                let mut document = Vec::new();
                vramscope_schema::write(profile, &mut document)?;
                output::print(&escape_controls(&String::from_utf8(document)?))?;
            }
        }
    }
    if let Some(sentence) = outcome::sentence(profile) {
        output::say(&sentence);
    }
    Ok(())
}
