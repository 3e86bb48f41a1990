//! `vramscope profile`: one command that runs the engine, measures it, and leaves a profile.

mod args;
mod devices;
mod outcome;
mod repeat;
mod request;
mod session;
mod view;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::anyhow;
use vramscope_core::{escape_controls, shell_quoted};
use vramscope_live::{AskedSnapshots, Finding, Found, Plan, PlanError, Request, Run, RunError, RunPaths};
use vramscope_sampler::{Sampler, SamplerConfig, SamplerError};
use vramscope_schema::ExitCode;
use vramscope_schema::v3::Profile;

use crate::exit::{Failed, OrExit as _, OrPlanned as _};
use crate::output::{self, Format};

pub(crate) use args::{Args, WorkKind};
use devices::Devices;
pub(crate) use session::Session;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    Session::new(args.quiet)?.run(args, args.output.as_deref())
}

/// A run that is ready to start, as far as nobody objects.
pub(crate) struct Prepared {
    devices: Devices,
    sampler: Sampler,
    plan: Plan,
    found: Found,
    /// What the checks found.
    pub(crate) findings: Vec<Finding>,
}

/// Opens the devices, reads the model, asks the engine what it is, and makes every check that can be made before a start.
async fn prepare(args: &Args, output: Option<&Path>, session: &Session) -> anyhow::Result<Prepared> {
    let (signals, view) = (&session.signals, &session.view);
    let (request, mut devices) = signals.at_once(|| -> anyhow::Result<_> {
        let request = request::of(args, output)?;
        let devices = devices::open(args, &request, &|note| session.note(note))?;
        Ok((request, devices))
    })?;
    let plan = session.before(async { Plan::make(request, &devices.measured).await.or_planned() }).await?;
    // What costs nothing to know comes first: it takes an engine seconds to say anything.
    for number in 1..=args.repeat {
        RunPaths::new(&plan, number).or_planned()?.check().or_planned()?;
    }
    if args.repeat > 1 {
        RunPaths::new(&plan, 0).or_planned()?.check_profile().or_planned()?;
    }
    let period = devices.period(args, &|note| session.note(note));
    let config = SamplerConfig { period, ..SamplerConfig::default() };
    // It reads nothing until a recording begins.
    let sources = devices.take_sources();
    let sampler = signals.at_once(|| Sampler::spawn_all(sources, config)).map_err(unsampled)?;
    let mut findings = plan.preflight(None, &devices.measured.devices).check_place();
    let refused = findings.iter().any(|finding| finding.refuses) && !args.force;
    // Whoever is refused anyhow need not wait for the engine's words.
    if refused {
        return Ok(Prepared { devices, sampler, plan, found: Found::default(), findings });
    }
    let asked = async {
        let mut engines = session.engines.lock().await;
        engines.ask(&plan, &mut |event| view.show(event)).await.or_planned()
    };
    let found = session.before(asked).await;
    view.clear();
    let found = found?;
    let checks = plan.preflight(Some(&found), &devices.measured.devices);
    // What only the engine knows: its release, and of a server how long requests may be.
    findings.extend(checks.check_place().into_iter().chain(checks.check_fit()));
    let mut known = BTreeSet::new();
    findings.retain(|finding| known.insert(finding.code));
    Ok(Prepared { devices, sampler, plan, found, findings })
}

async fn profile(args: &Args, output: Option<&Path>, session: &Session) -> anyhow::Result<ExitCode> {
    let view = &session.view;
    let Prepared { devices, mut sampler, plan, found, findings } = prepare(args, output, session).await?;
    tell_unused(args, plan.request(), session);
    may_start(args, &findings, session)?;
    let paths = |number| RunPaths::new(&plan, number).or_planned();
    let measured = &devices.measured;
    // What cannot be started is told before a device is sampled.
    let first = plan.spec(&found, measured, &paths(1)?).or_planned()?;
    for note in first.notes.iter().filter(|_| !args.quiet) {
        session.note(&format!("note: {note}"));
    }
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
        let profile = session.signals.in_order(run.execute(&mut observe, session.signals.token())).await;
        view.clear();
        let profile = profile.map_err(unprofiled)?;
        let written = output::write_file(&paths.profile, |out| Ok(vramscope_schema::write(&profile, out)?));
        let code = outcome::exit_code(&profile, args.work.max_failed);
        // What cannot be written can be seen at least.
        let told = tell(args, &profile, &paths.folder.join(vramscope_runs::layout::ENGINE_LOG));
        if let Err(error) = written {
            output::say(&format!(
                "the recording is kept; analyze {} -o FILE derives the profile",
                paths.folder.display()
            ));
            return Err(error);
        }
        if !args.quiet && !args.part_of_campaign {
            output::say(&format!("profile written to {}", paths.profile.display()));
        }
        if !args.quiet && !args.part_of_campaign {
            tell_snapshots(&paths.folder);
        }
        if args.report && !args.part_of_campaign {
            let page = super::report::of_profile(&paths.profile, &paths.folder)?;
            if !args.quiet {
                output::say(&format!("page written to {}", page.display()));
            }
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
fn tell_unused(args: &Args, request: &Request, session: &Session) {
    for (name, whose) in request.unused().iter().filter(|_| !args.quiet) {
        session.note(&format!("note: --{name} is of {whose}, and is not used"));
    }
}

/// Tells what the checks found, and refuses the run if they do.
fn may_start(args: &Args, findings: &[Finding], session: &Session) -> anyhow::Result<()> {
    for finding in findings {
        let refuses = finding.refuses && !args.force;
        let word = if refuses { "refused" } else { "warning" };
        let text = format!("{word} {}: {}\n  → {}", finding.code, finding.message, finding.advice);
        // What stops a run is said of each; what only is to be known, of the first.
        if refuses { output::say(&text) } else { session.note(&text) }
    }
    let refusing: Vec<&str> = findings.iter().filter(|finding| finding.refuses).map(|finding| finding.code).collect();
    if args.force || refusing.is_empty() {
        return Ok(());
    }
    let why = refusing.join(", ");
    Err(anyhow!("the run is refused before it starts ({why}); --force goes on all the same"))
        .or_exit(ExitCode::Negative)
}

/// The command as a person would type it, secrets hidden.
fn shown(spec: &vramscope_live::RunSpec, confinement: &[(String, String)]) -> String {
    // What records the allocator comes by a variable, and changes what runs.
    let is_hook = |(name, _): &&(String, String)| spec.snapshots.is_some() && name == AskedSnapshots::VARIABLE;
    let hook = spec.command.env.iter().rfind(is_hook);
    // A name in quotes would be no assignment.
    let variables = confinement.iter().chain(hook).map(|(name, value)| format!("{name}={}", shell_quoted(value)));
    let words = spec.command.shown().into_iter().map(|word| shell_quoted(&word));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// Prints the profile of a single run, and says of any that did not go well why.
fn tell(args: &Args, profile: &Profile, log: &Path) -> anyhow::Result<()> {
    let shown = if args.repeat == 1 && !args.part_of_campaign { show(args, profile) } else { Ok(()) };
    // Whoever does not read the result may still read why there is none.
    if let Some(sentence) = outcome::sentence(profile) {
        output::say(&sentence);
        if log.exists() {
            output::say(&format!("the engine's log: {}", log.display()));
        }
    }
    let unanswered = outcome::unanswered(profile);
    if unanswered > args.work.max_failed && outcome::sentence(profile).is_none() {
        let allowed = args.work.max_failed;
        output::say(&format!("{unanswered} requests failed or were not sent; --max-failed allows {allowed}"));
    }
    shown
}

/// Says which snapshots the engine took, and how to look at them.
fn tell_snapshots(folder: &Path) {
    // A folder without anything to analyze has been told of before.
    let found = vramscope_runs::EvidenceFiles::find(folder).map(|files| files.snapshots).unwrap_or_default();
    let Some(first) = found.first() else { return };
    let count = if found.len() == 1 {
        "an allocator snapshot".to_owned()
    } else {
        format!("{} allocator snapshots", found.len())
    };
    output::say(&format!(
        "{count} in the recording; to look further: vramscope snapshot {}",
        shell_quoted(&first.to_string_lossy())
    ));
}

fn show(args: &Args, profile: &Profile) -> anyhow::Result<()> {
    match args.format {
        Format::Table => output::print(&super::analyze::render::profile(profile, output::width())),
        Format::Json => {
            let mut document = Vec::new();
            vramscope_schema::write(profile, &mut document)?;
            output::print(&escape_controls(&String::from_utf8(document)?))
        }
    }
}
