//! `vramscope trace capture`: let vLLM record a trace, and analyse it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use vramscope_core::Bytes;
use vramscope_live::{AskedSnapshots, Capture, CaptureEvent, CaptureMode, Captured, CapturedMemory};
use vramscope_schema::ExitCode;
use vramscope_trace::{Source, Summary, summarize};

use super::figures::size;
use super::render::Section;
use super::{Format, base_options, sections};
use crate::exit::{self, Failed, OrExit as _};
use crate::output;
use crate::progress::Progress;
use crate::signals::Signals;

/// Let vLLM record a trace of a few requests, and analyse it
///
/// Starts the engine with the profiler set up as its version wants it, or takes one that runs; warms it up, starts the
/// profiler, sends requests, stops the profiler, waits for the files, and analyses them. Only an engine on this machine
/// can be used, because the traces are files on its disk.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope trace capture --mode light -- vllm serve ./model --enforce-eager
  vramscope trace capture --mode detailed --requests 8 --dir traces -- vllm serve ./model --port 8124
  vramscope trace capture --url http://127.0.0.1:8000 --dir /path/that/the/server/writes/to
  vramscope trace capture --memory --dir traces -- vllm serve ./model
  vramscope trace capture --mode light --scopes attention,model_forward -- vllm serve ./model

Modes, with the overhead class of each:
  light     operators, calls and kernels                  about 2 to 5 %, for continuous monitoring
  detailed  and shapes, memory and python stacks          about 10 to 20 %, for analysis
  deep      and a trace of every python function          about 50 to 100 %, for debugging only

The trace of python functions grows by megabytes a second, from the engine's start on. Its beginning is kept in the
folder of the traces, up to --keep-functions, and the rest is cut off while the engine runs; deep mode gives the
engine a folder of its own for temporary files (TMPDIR), which is removed at the end.

Exit codes: 0 recorded and analysed, 2 wrong command line, 3 no trace was found, 6 the engine failed, 130 stopped by \
Ctrl-C.")]
pub(super) struct Args {
    /// How much to record
    #[arg(long, value_enum, default_value = "light")]
    mode: Mode,
    /// Show these parts by name, and ask the engine to mark its own: attention, model_forward, sampling, or any text
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    scopes: Vec<String>,
    /// An engine that runs on this machine with its profiler set up, instead of starting one
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    url: Option<String>,
    /// Requests to record
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    requests: u32,
    /// Tokens that each request generates
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_tokens: u32,
    /// Where the engine writes its traces [default: vramscope-trace]
    #[arg(long, value_name = "DIR", required_unless_present = "command")]
    dir: Option<PathBuf>,
    /// vLLM's version, where `vllm --version` cannot be asked
    #[arg(long, value_name = "VERSION")]
    vllm_version: Option<String>,
    /// With --mode deep: how much of the trace of python functions is kept, all files together; 0 keeps none
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = crate::cmd::estimate::input::size)]
    keep_functions: Bytes,
    /// Also have the engine's processes record PyTorch's allocator, and take a snapshot when the requests are recorded: who
    /// holds the memory, beside who takes the time. Of an engine that is started here
    #[arg(long)]
    memory: bool,
    /// With --memory: the last events of the allocator that a snapshot holds
    #[arg(long, value_name = "N", requires = "memory", default_value_t = AskedSnapshots::USUAL_ENTRIES, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    snapshot_entries: u32,
    /// Seconds to wait for the engine to be ready, and for the profiler to write
    #[arg(long, value_name = "S", default_value = "600")]
    timeout: u64,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The engine's command line
    #[arg(last = true, required_unless_present = "url", value_name = "COMMAND")]
    command: Vec<String>,
}

/// How much to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Operators, calls and kernels
    Light,
    /// And shapes, memory and python stacks
    Detailed,
    /// And every python function
    Deep,
}

impl Mode {
    /// What recording costs.
    fn overhead(self) -> &'static str {
        match self {
            Self::Light => "about 2 to 5 % slower: fit for continuous monitoring",
            Self::Detailed => "about 10 to 20 % slower: for analysis, not for production",
            Self::Deep => "about 50 to 100 % slower: for debugging only",
        }
    }
}

/// Files that are named one by one.
const SHOWN_FILES: usize = 8;
/// Above this, a viewer in a browser gives up and requests should be fewer.
const LARGE: u64 = 500 << 20;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(url) = args.url.as_ref().filter(|_| args.memory) {
        let error = anyhow!(
            "--memory needs an engine that is started here: what records its allocator has to be loaded when it starts, and {url} \
             runs already; start it with `vramscope trace capture --memory -- vllm serve MODEL …`"
        );
        return Err(error).or_exit(ExitCode::Usage);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("could not make a runtime")?;
    let capture = asked(args);
    let mut progress = Progress::new();
    let mut observe = |event: CaptureEvent| match event {
        CaptureEvent::Waiting { since } => progress.waiting("waiting for the engine", since),
        event => {
            progress.end();
            tell(args, &event);
        }
    };
    let traces = runtime.block_on(async {
        let signals = Signals::listen(|| output::say("stopping the engine; once more to leave at once"));
        signals.until_stopped(capture.execute(&mut observe)).await
    });
    progress.end();
    // With the runtime everything ends that was begun in it: an engine that was started too.
    drop(runtime);
    let stopped =
        || anyhow!("stopped before a trace was recorded; what the engine wrote is in {}", capture.dir.display());
    let traces = traces.ok_or_else(stopped).or_exit(ExitCode::Interrupted)?;
    let traces = traces.map_err(|error| {
        let code = exit::of_capture(&error);
        anyhow::Error::new(error).context(Failed { code })
    })?;
    analyse(args, &traces)
}

/// The trace that the arguments ask for.
fn asked(args: &Args) -> Capture {
    let started = || Captured::Started {
        command: args.command.clone(),
        version: args.vllm_version.clone(),
        mode: match args.mode {
            Mode::Light => CaptureMode::Light,
            Mode::Detailed => CaptureMode::Detailed,
            Mode::Deep => CaptureMode::Deep { keep: args.keep_functions.get() },
        },
        scopes: !args.scopes.is_empty(),
        memory: args.memory.then(|| CapturedMemory {
            entries: args.snapshot_entries,
            searched: std::env::var(AskedSnapshots::VARIABLE).ok(),
        }),
    };
    Capture {
        engine: args.url.clone().map_or_else(started, |url| Captured::Running { url }),
        dir: args.dir.clone().unwrap_or_else(|| PathBuf::from("vramscope-trace")),
        requests: args.requests,
        max_tokens: args.max_tokens,
        timeout: Duration::from_secs(args.timeout),
    }
}

/// Says how far it is.
fn tell(args: &Args, event: &CaptureEvent) {
    match event {
        CaptureEvent::Found => output::say(
            "the running engine keeps the mode that it was started with; requests are recorded as they come",
        ),
        CaptureEvent::Starting { version, setup } => {
            output::say(&format!("mode {}: {}", name(args.mode), args.mode.overhead()));
            output::say(&format!("vLLM {version}: {setup}"));
        }
        CaptureEvent::Recorded { requests, model } => {
            output::say(&format!("recorded {requests} requests of model {model}"));
        }
        CaptureEvent::Memory { files, notes } => {
            for note in notes {
                output::say(&format!("note: {note}"));
            }
            for path in files {
                let bytes = std::fs::metadata(path).map_or(0, |about| about.len());
                output::say(&format!("allocator snapshot {} ({})", path.display(), size(bytes)));
            }
            if let Some(path) = files.first() {
                let path = vramscope_core::shell_quoted(&path.to_string_lossy());
                output::say(&format!("who holds the memory: vramscope snapshot {path}"));
            }
        }
        CaptureEvent::Functions { files, cut } => {
            let all = files.iter().map(|(_, bytes)| bytes).fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
            let limit = size(args.keep_functions.get());
            let cut = if *cut { format!(", cut off at {limit} (--keep-functions)") } else { String::new() };
            output::say(&format!("the trace of every python function takes {}{cut}:", size(all)));
            for (path, bytes) in files.iter().take(SHOWN_FILES) {
                output::say(&format!("  {} ({})", path.display(), size(*bytes)));
            }
            if files.len() > SHOWN_FILES {
                output::say(&format!("  and {} more beside them", files.len() - SHOWN_FILES));
            }
        }
        _ => {}
    }
}

fn name(mode: Mode) -> String {
    mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn analyse(args: &Args, traces: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let options = base_options(None)?;
    let mut analysed = Vec::new();
    for path in traces {
        let source = Source::file(path);
        let summary = super::in_file(summarize(&source, &options), &source)?;
        let bytes = std::fs::metadata(path).map_or(0, |about| about.len());
        output::say(&format!("trace {} ({})", path.display(), size(bytes)));
        if bytes > LARGE {
            output::say(
                "  that is too large for a viewer: record fewer requests, or cut it with `vramscope trace slice`",
            );
        }
        // The front end's trace holds its own steps only; what the workers did is in theirs.
        if summary.operators.is_empty() && summary.kernels.is_empty() {
            output::say("  it holds no operators and no kernels: the front end's, not analysed");
        } else {
            analysed.push((summary, None));
        }
    }
    output::say(
        "to look at a trace: open it in https://ui.perfetto.dev or chrome://tracing; again here: vramscope trace FILE",
    );
    if analysed.is_empty() {
        let none = || anyhow!("no trace holds any work: did the requests reach the engine that was profiled?");
        return Err(none()).or_exit(ExitCode::BadInput);
    }
    let mut text = super::text_of(args.format, None, None, &analysed)?;
    if !args.scopes.is_empty() && matches!(args.format, Format::Table | Format::Markdown) {
        let asked: Vec<Section> =
            analysed.iter().map(|(summary, _): &(Summary, _)| sections::asked(summary, &args.scopes)).collect();
        text.push('\n');
        text.push_str(&super::show(args.format, &asked));
    }
    output::print(&text)?;
    Ok(ExitCode::Success)
}
