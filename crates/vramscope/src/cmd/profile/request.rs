//! The request that the arguments make.

use std::path::Path;

use anyhow::{anyhow, bail};
use jiff::Zoned;
use vramscope_core::EngineLine;
use vramscope_live::{
    AskedEngine, AskedModel, AskedSnapshots, AskedWork, Environment, Place, Request, SnapshotMoment, Times, Watched,
    Work, WorkKind as Kind,
};
use vramscope_schema::ExitCode;
use vramscope_schema::v3::Generator;

use super::Args;
use super::args::{BY_OWN_WORDS, HostArgs, LimitArgs, Moment, SnapshotArgs, WorkKind};
use crate::exit::OrExit as _;

/// The run that is asked for, with its profile at `output`.
pub(super) fn of(args: &Args, output: Option<&Path>) -> anyhow::Result<Request> {
    let work = &args.work;
    let engine = engine(args)?;
    Ok(Request {
        model: AskedModel { name: args.model.name().map(str::to_owned), shape: args.model.shape() },
        work: AskedWork {
            kind: match args.kind() {
                WorkKind::Latency => Kind::Latency,
                WorkKind::Serve => Kind::Serve,
                WorkKind::Transformers => Kind::Transformers,
            },
            sizes: Work {
                input_len: work.input_len,
                output_len: work.output_len,
                batch_size: work.batch_size,
                warmup_iterations: work.num_iters_warmup,
                iterations: work.num_iters,
            },
            prompt: work.prompt.clone(),
            num_prompts: work.num_prompts,
            request_rate: work.request_rate,
            seed: work.seed.unwrap_or_else(crate::cmd::load::drawn_seed),
        },
        place: place(&args.host),
        engine,
        snapshots: snapshots(&args.snapshots),
        times: times(&args.limits),
        environment: environment(&args.host)?,
        output: output.map(Path::to_owned),
        repeat: args.repeat,
        stamp: Zoned::now().strftime("%Y%m%d_%H%M%S").to_string(),
        generator: Generator { name: "vramscope".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
    })
}

/// The engine as it is asked for. A line that begins with a server's name is that server's own.
fn engine(args: &Args) -> anyhow::Result<AskedEngine> {
    let mut words = args.engine.given();
    let mut program = args.host.engine.clone();
    let starts = args.host.url.is_none();
    let kind = if starts { args.started() } else { args.host.engine_kind };
    if let Some(kind) = kind.filter(|kind| starts && BY_OWN_WORDS.contains(kind)) {
        let foreign = args.engine.of_vllm();
        if !foreign.is_empty() {
            let options = foreign.join(", ");
            let error = anyhow!("{options} is an option of vLLM: give {}'s own after `--`", kind.title());
            return Err(error).or_exit(ExitCode::Usage);
        }
        let line = EngineLine::of(&words.words);
        if line.is_some_and(|line| !is_program(&words.words, line.lead)) {
            let error = anyhow!(
                "the words after `--` begin with the server's program or with its own words: give variables with --env, a \
                 container's image with --image"
            );
            return Err(error).or_exit(ExitCode::Usage);
        }
        if line.is_some() {
            let named = words.words.remove(0);
            if program.as_ref().is_some_and(|program| *program != named) {
                bail!("the server is named twice: with --engine, and as {named:?} after `--`; give it once");
            }
            program = Some(named);
        }
    }
    Ok(AskedEngine {
        kind,
        program,
        words,
        trust_remote_code: args.trust_remote_code,
        api_key: args.host.api_key.clone(),
    })
}

/// Whether so many words are one program: its name, or an interpreter with a module (`python3 -u -m package.module`).
fn is_program(words: &[String], lead: usize) -> bool {
    let options = words.get(1..lead.saturating_sub(1)).unwrap_or_default();
    lead == 1 || (lead > 2 && options.iter().all(|word| word.starts_with('-')))
}

/// Each moment once, in the order of their names in the help.
fn snapshots(args: &SnapshotArgs) -> Option<AskedSnapshots> {
    let named = args.snapshot.as_ref()?;
    let all =
        [(Moment::Peak, SnapshotMoment::Peak), (Moment::End, SnapshotMoment::End), (Moment::Oom, SnapshotMoment::Oom)];
    let moments = all.into_iter().filter(|(moment, _)| named.contains(moment)).map(|(_, moment)| moment).collect();
    Some(AskedSnapshots { moments, entries: args.snapshot_entries })
}

fn place(host: &HostArgs) -> Place {
    if let Some(url) = host.url.clone() {
        let here = || Watched::Here { pid: host.pid, log_file: host.log_file.clone() };
        return Place::Server { url, watched: host.container.clone().map_or_else(here, Watched::Container) };
    }
    match (&host.container, &host.image) {
        (Some(name), _) => Place::Container { name: name.clone() },
        (None, Some(image)) => Place::Image { image: image.clone(), mounts: host.mount.clone() },
        (None, None) => Place::Process,
    }
}

fn times(limits: &LimitArgs) -> Times {
    Times {
        baseline: limits.baseline,
        ready: limits.timeout_start,
        work: limits.timeout,
        grace: limits.grace,
        settle: limits.settle,
        ..Times::default()
    }
}

/// Our variables, and those that the engine is given beside them.
fn environment(host: &HostArgs) -> anyhow::Result<Environment> {
    let read = |text: &String| match text.split_once('=') {
        Some(("", _)) => bail!("use --env {text}: it has no name; give NAME=VALUE"),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match std::env::var(text) {
            Ok(value) => Ok((text.clone(), value)),
            Err(_) => bail!("use --env {text}: there is no variable of that name here; give {text}=VALUE"),
        },
    };
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Ok(Environment {
        given: host.env.iter().map(read).collect::<anyhow::Result<_>>().or_exit(ExitCode::Usage)?,
        inherited: std::env::vars_os().filter_map(text).collect(),
        docker_host: std::env::var_os("DOCKER_HOST"),
    })
}
