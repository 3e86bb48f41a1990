//! The run that a plan and an engine make.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use vramscope_core::EngineKind;
use vramscope_host::Command;
use vramscope_load::{Arrival, LoadPlan, Prompts, Spacing};
use vramscope_runs::{Shape, layout};
use vramscope_schema::Amount;
use vramscope_schema::v3::{HostInfo, WorkloadInfo};

use super::{Plan, PlanError};
use crate::request::AskedWork;
use crate::{Asked, Found, Measured, PROBE, RunPaths, RunSpec, WorkKind, Workload, own_benchmark, probe, server};
use crate::{AskedSnapshots, llama_cpp, ollama, sglang, snapshots};

/// Where a server listens that is started here: nobody else is to reach it.
const HERE: &str = "127.0.0.1";
/// Token ids below the vocabulary of any model that is served in earnest.
const TOKEN_IDS: u32 = 10_000;

impl Plan {
    /// The run.
    ///
    /// # Errors
    /// [`PlanError::Flag`] for a flag that the engine does not take; [`PlanError::NoPort`], [`PlanError::Load`].
    pub fn spec(&self, found: &Found, measured: &Measured, paths: &RunPaths) -> Result<RunSpec, PlanError> {
        let request = &self.request;
        let folder = std::path::absolute(&paths.folder).map_err(PlanError::RecordingFolder)?;
        let (mut command, mut workload) = self.work(found, &folder)?;
        let (engine, note) = match request.place.url() {
            Some(_) => found.engine(request.engine.kind),
            None => (request.started(), self.added_note(&command)),
        };
        if let Workload::Served { plan, ask_model, .. } = &mut workload {
            plan.stream = u64::from(paths.run);
            // A server that has many models is asked for the one that somebody names.
            if engine == Some(EngineKind::Ollama)
                && let Some(name) = &request.model.name
            {
                plan.model.clone_from(name);
                *ask_model = false;
            }
        }
        command.env.extend(measured.confinement.iter().cloned());
        command.env.extend(request.environment.given.iter().cloned());
        let mut notes: Vec<String> = note.into_iter().collect();
        if request.snapshots.is_some() {
            snapshots::check_folder(&folder).map_err(PlanError::RecordingFolder)?;
            let variables = &request.environment;
            let before = snapshots::searched(&variables.given, &variables.inherited);
            // Behind what was given, which it holds and takes the place of.
            command.env.push(AskedSnapshots::variable(&folder, before));
            notes.push(AskedSnapshots::note());
        }
        Ok(RunSpec {
            model: self.named.is_some().then(|| self.short_model()),
            config: self.config.clone(),
            packed: self.packed.clone(),
            shape: Some(request.model.shape).filter(|shape| *shape != Shape::default()),
            engine,
            notes,
            engine_version: found.version.clone(),
            engine_config: request.engine.words.config.clone(),
            command,
            snapshots: request.snapshots.clone(),
            workload,
            workload_info: workload_info(&request.work),
            host: HostInfo {
                kind: request.place.kind().to_owned(),
                device_kind: Some(measured.kind().to_owned()),
                container: request.place.container().map(str::to_owned),
                image: request.place.image().map(str::to_owned),
                ..HostInfo::default()
            },
            times: request.times,
            secrets: self.secrets.clone(),
            processes: measured.processes.clone(),
            generator: request.generator.clone(),
        })
    }

    /// The command, and what is asked of it.
    fn work(&self, found: &Found, folder: &Path) -> Result<(Command, Workload), PlanError> {
        let asked = self.asked();
        let work = &self.request.work;
        if let Some(engine) = self.request.started().filter(|engine| *engine != work.kind.engine()) {
            return self.work_by_own_words(engine);
        }
        match (work.kind, &found.flags) {
            (WorkKind::Latency, Some(flags)) => {
                let result = self.place(folder, layout::BENCH);
                let command = own_benchmark(&asked, work.sizes, &result, flags)?;
                Ok((command, Workload::OwnBenchmark { result, keep_as: layout::BENCH }))
            }
            (WorkKind::Serve, flags) => {
                let (command, url) = match (flags, self.request.place.url()) {
                    (Some(flags), None) => {
                        let port = free_port()?;
                        (server(&asked, HERE, port, flags)?, format!("http://{HERE}:{port}"))
                    }
                    // How a server that runs was started, its log may say.
                    (_, url) => (Command::default(), url.unwrap_or_default().to_owned()),
                };
                let vocabulary = self.architecture.as_ref().map(|model| model.vocab_size).or(found.vocabulary);
                let (client, plan) = (self.client(&url)?, Box::new(load(work, vocabulary)?));
                Ok((command, Workload::Served { client, plan, ask_model: true }))
            }
            (WorkKind::Latency, None) => Err(PlanError::OnlyRequests),
            (WorkKind::Transformers, _) => {
                let (script, result) = (self.place(folder, layout::PROBE_SCRIPT), self.place(folder, layout::PROBE));
                let mut command = probe(&asked, work.sizes, work.prompt.as_deref(), &script, &result);
                // The recording has the script, as what ran is part of what happened; a container does not see that.
                if self.request.place.kind() == "docker" {
                    command = command.file(script, PROBE);
                }
                Ok((command, Workload::OwnBenchmark { result, keep_as: layout::PROBE }))
            }
        }
    }

    /// The server of an engine that is started by its own words, and the requests to it.
    fn work_by_own_words(&self, engine: EngineKind) -> Result<(Command, Workload), PlanError> {
        let request = &self.request;
        let (given, port) = (&request.engine.words.words, free_port()?);
        let (words, added, variable) = match engine {
            EngineKind::LlamaCpp => {
                let added = llama_cpp::added(given, &request.environment.given, HERE, port);
                (given.clone(), added, None)
            }
            EngineKind::SgLang => (given.clone(), sglang::added(given, HERE, port), None),
            EngineKind::Ollama => {
                let words = ollama::words(given, &request.environment.given)?;
                (words, Vec::new(), Some(ollama::added(HERE, port)))
            }
            _ => return Err(PlanError::NotStarted { engine }),
        };
        let mut command = llama_cpp::server(&request.program(), &words, &added);
        command.env.extend(variable);
        let of_file = self.packed.as_ref().and_then(|model| model.length("tokenizer.ggml.tokens"));
        let vocabulary = of_file.or_else(|| sglang::vocabulary(self.config.as_deref()?));
        let client = self.client(&format!("http://{HERE}:{port}"))?;
        let plan = Box::new(load(&request.work, vocabulary)?);
        Ok((command, Workload::Served { client, plan, ask_model: true }))
    }

    /// What stands in the command that nobody asked for, so that nobody wonders.
    fn added_note(&self, command: &Command) -> Option<String> {
        let engine = self.request.started().filter(|engine| *engine != self.request.work.kind.engine())?;
        let told = "where it listens, and what makes it say what it allocates and does";
        if engine == EngineKind::Ollama {
            let (name, value) = command.env.last()?;
            return Some(format!("added to the server's variables: {name}={value} (where it listens)"));
        }
        let own = self.request.program().len() - 1 + self.request.engine.words.words.len();
        let added = command.args.get(own..).filter(|added| !added.is_empty())?;
        Some(format!("added to the server's command: {} ({told})", added.join(" ")))
    }

    /// Where a file lies that the engine reads or writes, as it sees files.
    fn place(&self, folder: &Path, name: &str) -> PathBuf {
        if self.request.place.kind() == "docker" {
            return format!("/tmp/vramscope-{}-{name}", self.request.stamp).into();
        }
        folder.join(name)
    }

    fn asked(&self) -> Asked {
        let engine = &self.request.engine;
        let mut flags = engine.words.flags.clone();
        if engine.trust_remote_code {
            flags.push(("trust-remote-code".to_owned(), None));
        }
        let local = self.folder.as_ref().map(|path| path.to_string_lossy().into_owned());
        let model = local.or_else(|| self.named.clone()).unwrap_or_default();
        Asked { program: self.request.program(), model, flags, words: engine.words.words.clone() }
    }
}

/// The requests that are sent to a server whose model has so many token ids.
pub(super) fn load(work: &AskedWork, vocabulary: Option<u64>) -> Result<LoadPlan, PlanError> {
    let (requests, sizes) = (work.requests(), work.sizes);
    let arrival = match work.request_rate {
        Some(per_s) => Arrival::Rate { per_s, spacing: Spacing::Poisson, max_in_flight: None },
        None => Arrival::Concurrency(sizes.batch_size),
    };
    // Those of this model where it has fewer.
    let vocabulary = vocabulary.and_then(|ids| u32::try_from(ids).ok()).unwrap_or(TOKEN_IDS);
    let plan = LoadPlan {
        arrival,
        warmup_requests: sizes.batch_size.min(requests),
        seed: work.seed,
        prompts: work.prompt.clone().map_or(Prompts::Random, Prompts::Text),
        token_ids: 0..vocabulary.min(TOKEN_IDS),
        ..LoadPlan::new("asked of the server", sizes.input_len, sizes.output_len, requests)
    };
    plan.check().map_err(PlanError::Load)?;
    Ok(plan)
}

/// A port that nobody listens on now. It is found for each run on its own, shortly before its server starts.
fn free_port() -> Result<u16, PlanError> {
    let bound = TcpListener::bind((HERE, 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(PlanError::NoPort)?.port())
}

fn workload_info(work: &AskedWork) -> WorkloadInfo {
    let sizes = work.sizes;
    let batches = work.kind != WorkKind::Serve;
    WorkloadInfo {
        // How many tokens a text is, its tokenizer tells.
        input_len: work.prompt.is_none().then_some(sizes.input_len),
        output_len: Some(sizes.output_len),
        batch_size: Some(sizes.batch_size),
        num_iters_warmup: batches.then_some(sizes.warmup_iterations),
        num_iters: batches.then_some(sizes.iterations),
        num_prompts: (!batches).then(|| work.requests()),
        request_rate: work.request_rate.and_then(Amount::new),
        seed: (!batches).then_some(work.seed),
    }
}
