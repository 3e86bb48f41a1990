//! From arguments to what is to be run.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use jiff::Zoned;
use vramscope_core::{Architecture, Bytes, ElementType, EngineKind, secrets_in};
use vramscope_estimate::{COMMAND_LINE, CommandLine, EngineArgs, EngineVersion, Usage};
use vramscope_host::{Command, EngineHost};
use vramscope_live::{
    Asked, DeviceNow, PROBE, Preflight, RunSpec, Secrets, Times, Work, Workload, own_benchmark, probe, server,
};
use vramscope_load::{Arrival, Client, LoadPlan, Spacing};
use vramscope_runs::Shape;
use vramscope_schema::v3::{Generator, HostInfo, WorkloadInfo};
use vramscope_schema::{Amount, ExitCode};

use super::Args;
use super::args::WorkKind;
use super::devices::Devices;
use super::engine::Found;
use super::host;
use super::paths::{Paths, RESULTS};
use crate::exit::OrExit as _;

/// What is said of work that does not go with a host.
const NOT_THERE: &str = "a server that runs can only be sent requests: give --workload serve, or leave it out";
const NO_TEXT: &str =
    "vLLM's own latency benchmark takes lengths and no --prompt: give --input-len, or --workload serve or transformers";
/// Where a server listens that is started here: nobody else is to reach it.
const HERE: &str = "127.0.0.1";
/// So much of a model's name is a part of a file's name, in characters; no file system takes more than 255 in all.
const LONGEST_NAME: usize = 100;

/// What is to be run, as far as the arguments alone decide it.
pub(super) struct Plan {
    /// The model as the person named it.
    named: Option<String>,
    /// The model's folder, where it is one of this machine.
    folder: Option<PathBuf>,
    config: Option<Vec<u8>>,
    architecture: Option<Architecture>,
    /// Whether the arguments tell enough for a budget.
    budgeted: bool,
    engine_args: EngineArgs,
    /// When the run was asked for: the name of its files.
    pub(super) stamp: String,
    /// Where the engine runs.
    pub(super) host: EngineHost,
    /// Those of a server that runs.
    own_processes: Option<Vec<u32>>,
    secrets: Secrets,
}

impl Plan {
    pub(super) async fn make(args: &Args, devices: &[DeviceNow]) -> anyhow::Result<Self> {
        if args.host.url.is_some() && args.kind() != WorkKind::Serve {
            return Err(anyhow!(NOT_THERE)).or_exit(ExitCode::Usage);
        }
        if args.work.prompt.is_some() && args.kind() == WorkKind::Latency {
            return Err(anyhow!(NO_TEXT)).or_exit(ExitCode::Usage);
        }
        let words = args.engine.words();
        if let Some(word) = words.first().filter(|word| !word.starts_with('-')) {
            let wrong = anyhow!("after -- come flags of the engine, and {word:?} is none; the model goes to --model");
            return Err(wrong).or_exit(ExitCode::Usage);
        }
        if let Some(flag) = told_by_us(words) {
            let wrong =
                anyhow!("--{flag} is given to the engine by vramscope: give it before -- if it is a flag of profile");
            return Err(wrong).or_exit(ExitCode::Usage);
        }
        if let Some(name) = given_twice(&args.engine.flags(), words) {
            let twice = anyhow!("--{name} is given before -- and behind it: give it once");
            return Err(twice).or_exit(ExitCode::Usage);
        }
        let (flags, chosen_length) = args.engine.without_automatic_length();
        let line = flags.read()?;
        if args.kind() == WorkKind::Serve {
            load(args, None)?;
        }
        let container = host::container(args).await?;
        let told = container.as_ref().and_then(|container| container.model.clone());
        let named = args.model.name().map(str::to_owned).or(told);
        if named.is_none() && args.host.url.is_none() {
            let asked = match &container {
                Some(container) => {
                    format!("; neither the arguments nor the environment of {} name one", container.name)
                }
                None => String::new(),
            };
            return Err(anyhow!("no model: give --model DIR or --hf-model-id ID{asked}")).or_exit(ExitCode::Usage);
        }
        let here = args.host.container.is_none();
        let folder = named.as_deref().map(PathBuf::from).filter(|path| here && path.is_dir());
        let folder = folder.map(std::path::absolute).transpose().context("could not tell the model's folder")?;
        let stamp = Zoned::now().strftime("%Y%m%d_%H%M%S").to_string();
        let host = host::of(args, devices, folder.as_deref(), &stamp)?;
        let (architecture, config) = match (&named, here) {
            // In a container the model's folder is one of the container.
            (Some(name), false) if Path::new(name).is_absolute() => inside(args, &host, Path::new(name)).await?,
            _ => model(args, named.as_deref(), folder.as_deref())?,
        };
        Ok(Self {
            engine_args: engine_args(args, &line),
            named,
            folder,
            config,
            // How long requests may be then, nobody knows before the engine does, nor what fits.
            budgeted: !chosen_length,
            architecture,
            stamp,
            own_processes: host::processes(args, &host).await?,
            host,
            secrets: secrets(args),
        })
    }

    /// The engine's program with its leading arguments.
    pub(super) fn program(&self, args: &Args) -> Vec<String> {
        let usual = if args.kind() == WorkKind::Transformers { "python3" } else { "vllm" };
        let named = args.host.engine.as_deref().unwrap_or(usual);
        // A path may have a space in it; else words are arguments.
        if Path::new(named).exists() {
            return vec![named.to_owned()];
        }
        named.split_whitespace().map(str::to_owned).collect()
    }

    /// A text without the secrets of this run.
    pub(super) fn hide(&self, text: &str) -> String {
        self.secrets.hide(text)
    }

    /// The server that is asked, at this address.
    pub(super) fn client(args: &Args, url: &str) -> anyhow::Result<Client> {
        // A server that is started here with a key of its own is asked with that.
        let own = told(args.engine.words(), |name| name == "api-key").into_iter().next();
        Client::new(url, own.or_else(|| args.host.api_key.clone())).or_exit(ExitCode::Usage)
    }

    /// What the checks before the start look at, of an engine of this release once it is known.
    pub(super) fn preflight<'p>(
        &'p self,
        args: &Args,
        version: Option<&str>,
        devices: &'p [DeviceNow],
    ) -> Preflight<'p> {
        let mut engine = self.engine_args.clone();
        if let Some(version) = version.and_then(|version| version.parse::<EngineVersion>().ok()) {
            engine.version = version;
        }
        let started = args.host.url.is_none() && args.kind() != WorkKind::Transformers;
        Preflight {
            devices,
            architecture: self.architecture.as_ref().filter(|_| started && self.budgeted),
            dummy_weights: args.engine.words().windows(2).any(|pair| pair[0] == "--load-format" && pair[1] == "dummy")
                || args.engine.words().iter().any(|word| word == "--load-format=dummy"),
            args: engine,
            disk_free: free_beside(args.output.as_deref().unwrap_or(Path::new(RESULTS))),
            // A server that runs has read its weights, wherever they are.
            model_folder: self.folder.as_deref().or(self.absent_folder(args)).filter(|_| args.host.url.is_none()),
            request_tokens: Some(&args.work)
                .filter(|work| started && work.prompt.is_none())
                .and_then(|work| work.input_len.checked_add(work.output_len)),
            own_processes: self.own_processes.clone(),
        }
    }

    /// What was named as a folder of this machine and is none.
    fn absent_folder(&self, args: &Args) -> Option<&Path> {
        let named = self.named.as_deref().filter(|_| host_kind(args) == "process")?;
        // A hub id is NAME or OWNER/NAME.
        let local = ["/", "./", "../", "~"].iter().any(|lead| named.starts_with(lead))
            || named.matches('/').count() > 1
            || Path::new(named).exists();
        Some(Path::new(named)).filter(|_| local)
    }

    /// The run.
    pub(super) fn spec(&self, args: &Args, found: &Found, devices: &Devices, paths: &Paths) -> anyhow::Result<RunSpec> {
        let kind = args.kind();
        let folder = std::path::absolute(&paths.folder).context("could not tell the recording's folder")?;
        let (mut command, workload) = self.work(args, found, &folder)?;
        command.env.extend(devices.confinement.iter().cloned());
        command.env.extend(variables(args)?);
        let limits = &args.limits;
        Ok(RunSpec {
            model: self.named.is_some().then(|| self.short_model()),
            config: self.config.clone(),
            shape: Some(args.model.shape()).filter(|shape| *shape != Shape::default()),
            engine: if kind == WorkKind::Transformers { EngineKind::Transformers } else { EngineKind::Vllm },
            engine_version: found.version.clone(),
            command,
            workload,
            workload_info: workload_info(args),
            host: HostInfo {
                kind: host_kind(args).to_owned(),
                device_kind: Some(devices.kind().to_owned()),
                container: args.host.container.clone(),
                image: args.host.image.clone(),
                ..HostInfo::default()
            },
            times: Times {
                baseline: limits.baseline,
                ready: limits.timeout_start,
                work: limits.timeout,
                grace: limits.grace,
                settle: limits.settle,
                ..Times::default()
            },
            secrets: self.secrets.clone(),
            processes: devices.tree.clone(),
            generator: Generator { name: "vramscope".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        })
    }

    /// The command, and what is asked of it.
    fn work(&self, args: &Args, found: &Found, folder: &Path) -> anyhow::Result<(Command, Workload)> {
        let asked = self.asked(args);
        let work = Work {
            input_len: args.work.input_len,
            output_len: args.work.output_len,
            batch_size: args.work.batch_size,
            warmup_iterations: args.work.num_iters_warmup,
            iterations: args.work.num_iters,
        };
        match (args.kind(), &found.flags) {
            (WorkKind::Latency, Some(flags)) => {
                let result = self.place(args, folder, "bench.json");
                let command = own_benchmark(&asked, work, &result, flags).or_exit(ExitCode::Usage)?;
                Ok((command, Workload::OwnBenchmark { result, keep_as: "bench.json" }))
            }
            (WorkKind::Serve, flags) => {
                let (command, url) = match (flags, &args.host.url) {
                    (Some(flags), None) => {
                        let port = free_port()?;
                        let command = server(&asked, HERE, port, flags).or_exit(ExitCode::Usage)?;
                        (command, format!("http://{HERE}:{port}"))
                    }
                    // How a server that runs was started, its log may say.
                    (_, url) => (Command::default(), url.clone().unwrap_or_default()),
                };
                let (client, plan) = (Self::client(args, &url)?, Box::new(load(args, self.architecture.as_ref())?));
                Ok((command, Workload::Served { client, plan, ask_model: true }))
            }
            (WorkKind::Latency, None) => Err(anyhow!(NOT_THERE)).or_exit(ExitCode::Usage),
            (WorkKind::Transformers, _) => {
                let (script, result) = (self.place(args, folder, "probe.py"), self.place(args, folder, "probe.json"));
                let mut command = probe(&asked, work, args.work.prompt.as_deref(), &script, &result);
                // The recording has the script, as what ran is part of what happened; a container does not see that.
                if host_kind(args) == "docker" {
                    command = command.file(script, PROBE);
                }
                Ok((command, Workload::OwnBenchmark { result, keep_as: "probe.json" }))
            }
        }
    }

    /// Where a file lies that the engine reads or writes, as it sees files.
    fn place(&self, args: &Args, folder: &Path, name: &str) -> PathBuf {
        if host_kind(args) == "docker" {
            return format!("/tmp/vramscope-{}-{name}", self.stamp).into();
        }
        folder.join(name)
    }

    fn asked(&self, args: &Args) -> Asked {
        let mut flags = args.engine.flags();
        if args.trust_remote_code {
            flags.push(("trust-remote-code".to_owned(), None));
        }
        let local = self.folder.as_ref().map(|path| path.to_string_lossy().into_owned());
        let model = local.or_else(|| self.named.clone());
        Asked {
            program: self.program(args),
            model: model.unwrap_or_default(),
            flags,
            words: args.engine.words().to_vec(),
        }
    }

    /// The model's name: a hub id as it is, of a folder its last part.
    fn short_model(&self) -> String {
        let named = self.named.clone().unwrap_or_else(|| "server".to_owned());
        let path = self.folder.clone().or_else(|| Some(PathBuf::from(&named)).filter(|path| path.is_absolute()));
        let Some(path) = path else { return named };
        path.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The same as a part of a file's name.
    pub(super) fn short_name(&self) -> String {
        let model = self.short_model();
        let last = model.rsplit('/').next().unwrap_or(&model);
        let plain = last.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' });
        plain.take(LONGEST_NAME).collect()
    }
}

/// The requests that are sent to a server of this model.
fn load(args: &Args, model: Option<&Architecture>) -> anyhow::Result<LoadPlan> {
    let work = &args.work;
    let requests = work.num_prompts.unwrap_or(work.batch_size.saturating_mul(10));
    let arrival = match work.request_rate {
        Some(per_s) => Arrival::Rate { per_s, spacing: Spacing::Poisson },
        None => Arrival::Concurrency(work.batch_size),
    };
    // Token ids below the vocabulary of any model that is served in earnest, or of this one where it is smaller.
    let vocabulary = model.map_or(10_000, |model| model.vocab_size.min(10_000));
    let plan = LoadPlan {
        arrival,
        warmup_requests: work.batch_size.min(requests),
        seed: work.seed,
        text: work.prompt.clone(),
        token_ids: 0..u32::try_from(vocabulary).unwrap_or(10_000),
        ..LoadPlan::new("asked of the server", work.input_len, work.output_len, requests)
    };
    plan.check().or_exit(ExitCode::Usage)?;
    Ok(plan)
}

/// A port that nobody listens on now. It is found for each run on its own, shortly before its server starts.
fn free_port() -> anyhow::Result<u16> {
    let bound = TcpListener::bind((HERE, 0)).and_then(|listener| listener.local_addr());
    Ok(bound.context("could not find a free port")?.port())
}

pub(super) fn host_kind(args: &Args) -> &'static str {
    if args.host.url.is_some() {
        "attach"
    } else if args.host.container.is_some() || args.host.image.is_some() {
        "docker"
    } else {
        "process"
    }
}

/// The model's shape and config. A hub id that the database does not have is the engine's business alone.
fn model(
    args: &Args,
    named: Option<&str>,
    folder: Option<&Path>,
) -> anyhow::Result<(Option<Architecture>, Option<Vec<u8>>)> {
    if named.is_none() && args.model.shape() == Shape::default() {
        return Ok((None, None));
    }
    let config = match folder {
        Some(folder) => std::fs::read(folder.join("config.json")).ok(),
        None => named.and_then(|name| vramscope_models::find_model(name).ok()).map(|known| known.config_json()),
    };
    match args.model.read(None) {
        Ok(model) => Ok((Some(model.architecture), config)),
        // The engine may know what we do not; a folder that cannot be read is wrong for both.
        Err(_) if folder.is_none() => Ok((None, config)),
        Err(error) if folder.is_some_and(|folder| folder.join("config.json").is_file()) => Err(error),
        Err(_) => Ok((None, config)),
    }
}

/// The same of a folder inside the container. What cannot be read there is not known; the engine will say why.
async fn inside(
    args: &Args,
    host: &EngineHost,
    folder: &Path,
) -> anyhow::Result<(Option<Architecture>, Option<Vec<u8>>)> {
    let limit = u64::try_from(vramscope_models::MOST_CONFIG_BYTES).unwrap_or(u64::MAX);
    let Ok(config) = host.read_file(&folder.join("config.json"), limit).await else { return Ok((None, None)) };
    let read = args.model.shape().overrides().on_config(&config);
    let (architecture, _) =
        read.context("could not use the model's config.json in the container").or_exit(ExitCode::BadInput)?;
    Ok((Some(architecture), Some(config)))
}

/// The engine's arguments as the budget takes them.
fn engine_args(args: &Args, line: &CommandLine) -> EngineArgs {
    let usage = if args.kind() == WorkKind::Serve { Usage::Server } else { Usage::Offline };
    let dtype: Option<ElementType> = line.args.dtype;
    EngineArgs { usage, dtype, ..line.args.clone() }
}

fn workload_info(args: &Args) -> WorkloadInfo {
    let work = &args.work;
    let batches = args.kind() != WorkKind::Serve;
    WorkloadInfo {
        // How many tokens a text is, its tokenizer tells.
        input_len: work.prompt.is_none().then_some(work.input_len),
        output_len: Some(work.output_len),
        batch_size: Some(work.batch_size),
        num_iters_warmup: batches.then_some(work.num_iters_warmup),
        num_iters: batches.then_some(work.num_iters),
        num_prompts: (!batches).then(|| work.num_prompts.unwrap_or(work.batch_size.saturating_mul(10))),
        request_rate: work.request_rate.and_then(Amount::new),
        seed: (!batches).then_some(work.seed),
    }
}

/// Secrets that the engine inherits or is told: by the names of variables and flags that hold such, and within their
/// values (an address with a password, a field of a JSON object).
fn secrets(args: &Args) -> Secrets {
    let inherited =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let given = args.host.env.iter().filter_map(|text| text.split_once('='));
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let held = inherited
        .chain(given)
        .flat_map(|(name, value)| if vramscope_core::is_secret_name(&name) { vec![value] } else { secrets_in(&value) });
    let words = args.engine.words();
    let told =
        told(words, vramscope_core::is_secret_name).into_iter().chain(words.iter().flat_map(|word| secrets_in(word)));
    Secrets::new(held.chain(args.host.api_key.clone()).chain(told))
}

/// The variables that the engine is given beside those that it inherits.
pub(super) fn variables(args: &Args) -> anyhow::Result<Vec<(String, String)>> {
    let read = |text: &String| match text.split_once('=') {
        Some(("", _)) => bail!("use --env {text}: it has no name; give NAME=VALUE"),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match std::env::var(text) {
            Ok(value) => Ok((text.clone(), value)),
            Err(_) => bail!("use --env {text}: there is no variable of that name here; give {text}=VALUE"),
        },
    };
    args.host.env.iter().map(read).collect::<anyhow::Result<_>>().or_exit(ExitCode::Usage)
}

/// The first of those flags that would take the run away from what is measured: another model, another address, another
/// place for the result.
fn told_by_us(words: &[String]) -> Option<&'static str> {
    const OURS: [&str; 10] = [
        "model",
        "prompt",
        "host",
        "port",
        "output-json",
        "input-len",
        "output-len",
        "batch-size",
        "num-iters",
        "num-iters-warmup",
    ];
    let names = words.iter().filter_map(|word| word.strip_prefix("--"));
    let mut names = names.map(|flag| flag.split_once('=').map_or(flag, |(name, _)| name).replace('_', "-"));
    names.find_map(|name| OURS.into_iter().find(|ours| *ours == name))
}

/// The first flag that stands in front of `--` and behind it: the engine would take the one, and the budget the other.
fn given_twice(flags: &[(String, Option<String>)], words: &[String]) -> Option<String> {
    let behind: Vec<String> = COMMAND_LINE.flags(words).into_iter().map(|flag| flag.name).collect();
    flags.iter().map(|(name, _)| name).find(|name| behind.contains(name)).cloned()
}

/// The values of those flags among the engine's words whose name is wanted.
fn told(words: &[String], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut values = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let Some(flag) = word.strip_prefix("--") else { continue };
        let (name, inline) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
        if wanted(&name.replace('_', "-")) {
            // A server may be given several keys.
            let behind = words[place + 1..].iter().take_while(|word| inline.is_none() && !word.starts_with('-'));
            values.extend(behind.cloned());
            values.extend(inline);
        }
    }
    values
}

/// Room on the disk that a file would lie on.
fn free_beside(path: &Path) -> Option<Bytes> {
    let existing = std::path::absolute(path).ok()?.ancestors().find(|folder| folder.is_dir())?.to_owned();
    let stat = rustix::fs::statvfs(existing.as_path()).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize).map(Bytes::new)
}
