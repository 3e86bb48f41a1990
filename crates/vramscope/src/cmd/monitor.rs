//! `vramscope monitor`: watch and record GPUs, for a while or as long as a program runs.

mod command;
mod lines;
mod metrics;
mod outputs;
mod row;
mod serve;
mod session;
mod signals;
mod target;
mod tui;
mod watch;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use vramscope_sampler::{Keep, Sampler, SamplerConfig, SamplerError, Source};
use vramscope_schema::ExitCode;
use vramscope_timeline::{AnalysisOptions, JsonLines};

use crate::backends::{self, BackendArgs, Opened};
use crate::containers::Containers;
use crate::exit::{Answer, OrExit as _};
use crate::output::EscapedJson;
use crate::{output, time};
use command::Accompanied;
use outputs::{Destination, Outputs};
use serve::{Address, Server};
use session::{Session, Setup};
use signals::Signals;
use target::{Membership, Target};
use watch::Watch;

const EXAMPLES: &str = "\
Examples:
  vramscope monitor                                      # watch all GPUs of this machine; q ends
  vramscope monitor --duration 60s -o run.jsonl          # record a minute of it
  vramscope monitor -o run.csv -- vllm serve MODEL       # record for as long as the program runs
  vramscope monitor --container vllm --format lines      # the GPUs of one container, a line a second
  vramscope monitor --format json | jq 'select(.t == \"sample\")'
  vramscope monitor --listen 127.0.0.1:9400              # metrics for Prometheus at /metrics

Exit code: that of COMMAND where there is one (127 if it is not there, 126 if it cannot be run, 128 and the signal
if one ended it). Otherwise 0 after --duration or q, 130 after Ctrl-C or a termination signal, 4 if the file could not
be written to its end, 7 if a device was lost or the driver does not answer. What was recorded is kept in every case.";

/// Watch the GPUs and record them: memory, power, utilisation, processes.
///
/// Ends with a summary: least, mean, median, 95th percentile and largest of each figure, idle periods, energy, what is
/// missing, and what sampling cost. With COMMAND, records for as long as it runs, leaves stdin and stdout to it, and
/// answers its exit code; everything of our own goes to stderr.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The time between two readings, 5ms at least. Default: 100ms, or the shortest that the source allows (1s for AMD's
    /// tools)
    #[arg(long, value_name = "TIME", value_parser = time::period)]
    interval: Option<Duration>,

    /// End after this time. Default: when stopped.
    #[arg(long, value_name = "TIME", value_parser = time::positive, conflicts_with = "command")]
    duration: Option<Duration>,

    /// Take the devices that this process or one that it started uses, and tell its memory apart.
    #[arg(long, value_name = "PID", conflicts_with = "container")]
    pid: Option<u32>,

    /// Take the devices that this container uses (its name or the beginning of its id), and tell its memory apart.
    #[arg(long, value_name = "NAME")]
    container: Option<String>,

    /// Record into this file, which is replaced: .jsonl or .parquet (everything) or .csv (the samples
    /// alone).
    #[arg(short, long, value_name = "FILE")]
    output: Option<Destination>,

    /// How to show it. Default: tui on a terminal, else lines; with COMMAND nothing but the summary.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,

    /// Answer Prometheus at http://ADDRESS/metrics. A port alone means this machine only [default: 127.0.0.1:9400].
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:9400")]
    listen: Option<Address>,

    /// A utilisation up to this counts as idle, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = clap::value_parser!(u8).range(..=100))]
    idle_below: u8,

    #[command(flatten)]
    devices: BackendArgs,

    /// The program to record, with its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How a recording is shown while it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A live view that fills the terminal.
    Tui,
    /// A line a second for each device.
    Lines,
    /// The lines of the recording as they come (`vramscope schema timeline`), the summary last.
    Json,
}

/// Records.
pub(crate) fn run(args: &Args) -> anyhow::Result<Answer> {
    let format = args.shown()?;
    // A mistyped name must not cost the recording that -o replaces.
    if !Accompanied::is_there(&args.command) {
        return Ok(not_started(&args.command, &io::ErrorKind::NotFound.into()));
    }
    let mut opened = backends::open(&args.devices)?;
    // What a device's figures are, where they are not what they are of any other.
    let notes = opened.iter().flat_map(|opened| opened.backend.info().notes);
    for note in notes.filter(|note| note.starts_with("device ")) {
        output::say(&format!("note: {note}"));
    }
    let mut containers = Containers::new(&args.devices.sys_root);
    let membership = args.target().map(|target| Membership::new(target, &args.devices.sys_root));
    if let Some(membership) = &membership {
        membership.restrict(&mut opened, &mut containers)?;
    }
    let period = backends::period(args.interval, opened.iter().map(|opened| opened.backend.as_ref()), &output::say);
    let mut sampler = args.sampler(opened, period)?;
    let server = args.listen.map(bind).transpose()?;
    let file = args.output.as_ref().map(create).transpose()?;
    let stream = (format == Some(Format::Json)).then(|| -> Box<dyn vramscope_timeline::Sink> {
        if args.command.is_empty() {
            Box::new(JsonLines::new(EscapedJson::new(std::io::stdout())))
        } else {
            Box::new(JsonLines::new(EscapedJson::new(std::io::stderr())))
        }
    });
    let outputs = Outputs::new(file, stream);
    let failures = outputs.failures();
    let signals = Signals::catch().context("could not catch signals")?;
    let recording = sampler.record_to(Box::new(outputs)).context("failed to begin")?;
    let own = membership.as_ref().map(Membership::name);
    let mut watch = Watch::new(recording.live_handle(), period, containers, membership);
    let command = match start(&args.command) {
        Ok(command) => command,
        Err(answer) => return Ok(answer),
    };
    if let Some(command) = &command
        && own.is_none()
    {
        watch.follow(Membership::new(Target::Process(command.pid()), &args.devices.sys_root));
    }
    let watch = Arc::new(Mutex::new(watch));
    if let Some(server) = server {
        server.start(Arc::clone(&watch)).context("could not start answering Prometheus")?;
    }
    let setup = Setup { watch, own, failures, signals, command, destination: args.output.clone() };
    let mut session = Session::new(recording, setup, args.duration);
    let why = match format {
        Some(Format::Tui) => tui::show(&mut session, period)?,
        Some(Format::Lines) => session.lines(!args.command.is_empty())?,
        Some(Format::Json) | None => session.wait()?,
    };
    session.end(&why, format == Some(Format::Json))
}

/// Starts the program, if there is one; one that cannot be started has an exit code of its own.
fn start(command: &[OsString]) -> Result<Option<Accompanied>, Answer> {
    if command.is_empty() {
        return Ok(None);
    }
    Accompanied::start(command).map(Some).map_err(|error| not_started(command, &error))
}

fn not_started(command: &[OsString], error: &io::Error) -> Answer {
    let program = command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    output::say(&format!("error: could not start {program}\n  because: {error}"));
    Answer::Command(command::failed_to_start(error))
}

fn create(destination: &Destination) -> anyhow::Result<Box<dyn vramscope_timeline::Sink>> {
    let path = destination.path.display();
    destination
        .create()
        .with_context(|| format!("could not create {path}: check that its folder exists and may be written to"))
        .or_exit(ExitCode::CannotWrite)
}

fn bind(address: Address) -> anyhow::Result<Server> {
    let server = Server::bind(address)
        .with_context(|| format!("could not listen on {address}: choose another port or address with --listen"))?;
    let at = server.address()?;
    output::say(&format!("metrics at http://{at}/metrics"));
    if !address.is_local() {
        output::say(&format!(
            "warning: {at} can be reached from other machines, and nobody is asked who they are: they see the names of \
             your processes and containers"
        ));
    }
    Ok(server)
}

impl Args {
    /// How it is shown, or `None` for not at all until the end.
    fn shown(&self) -> anyhow::Result<Option<Format>> {
        if !self.command.is_empty() && self.format == Some(Format::Tui) {
            let both = anyhow!("--format tui needs the terminal that COMMAND has; use --format lines, or leave it out");
            return Err(both).or_exit(ExitCode::Usage);
        }
        let terminal = std::io::stdout().is_terminal();
        if self.format == Some(Format::Tui) && !terminal {
            let none = anyhow!("--format tui needs a terminal and stdout is none; use --format lines or json");
            return Err(none).or_exit(ExitCode::Usage);
        }
        let usual = || self.command.is_empty().then_some(if terminal { Format::Tui } else { Format::Lines });
        Ok(self.format.or_else(usual))
    }

    fn target(&self) -> Option<Target> {
        self.pid.map(Target::Process).or_else(|| self.container.clone().map(Target::Container))
    }

    fn sampler(&self, opened: Vec<Opened>, period: Duration) -> anyhow::Result<Sampler> {
        let sources = opened.into_iter().map(|opened| Source { backend: opened.backend, devices: opened.chosen });
        let summary = AnalysisOptions { idle_threshold_pct: self.idle_below, ..AnalysisOptions::default() };
        let config = SamplerConfig { period, keep: Keep::Nothing, summary: Some(summary), ..SamplerConfig::default() };
        Sampler::spawn_all(sources.collect(), config).map_err(|error| {
            let code = match error {
                SamplerError::TooFast { .. } => ExitCode::Usage,
                _ => ExitCode::Failure,
            };
            anyhow::Error::new(error).context("failed to begin").context(crate::exit::Failed { code })
        })
    }
}
