//! From a request to what is to be run.

mod error;
mod model;
mod names;
mod spec;

use std::path::{Path, PathBuf};

use vramscope_core::{Architecture, EngineKind, PackedModel};
use vramscope_estimate::{ALLOWS_LONG, CommandLine, EngineArgs, EngineVersion, Usage, model_lengths};
use vramscope_host::EngineHost;
use vramscope_load::Client;
use vramscope_runs::{MOST_ENGINE_CONFIG_BYTES, engine_config_words};

use crate::paths::{RESULTS, free_beside};
use crate::vllm::words::{dummy_weights, given_twice, load_format, told, told_by_us};
use crate::{DeviceNow, Found, Longest, Measured, Place, Preflight, Request, Secrets, WorkKind};
use crate::{llama_cpp, ollama, place, sglang, snapshots};

pub use error::PlanError;

/// What is to be run, as far as the request alone decides it. What the engine says of itself ([`Found`](crate::Found))
/// makes a [`RunSpec`](crate::RunSpec) of it.
#[derive(Debug)]
pub struct Plan {
    request: Request,
    /// The model as the person named it.
    named: Option<String>,
    /// The model's folder, where it is one of this machine.
    folder: Option<PathBuf>,
    config: Option<Vec<u8>>,
    architecture: Option<Architecture>,
    /// Whether the arguments tell enough for a budget.
    budgeted: bool,
    engine_args: EngineArgs,
    /// Where the engine runs.
    pub host: EngineHost,
    /// Those of a server that runs.
    own_processes: Option<Vec<u32>>,
    secrets: Secrets,
    /// The header of the model's file, where the model is one file of this machine.
    packed: Option<PackedModel>,
}

impl Plan {
    /// Looks at what was asked for, at the container and the model that it names, and at the processes of a server that
    /// runs. Nothing is started.
    ///
    /// # Errors
    /// [`PlanError`].
    pub async fn make(request: Request, measured: &Measured) -> Result<Self, PlanError> {
        snapshots::check(&request)?;
        if let Some(engine) = request.started().filter(|engine| *engine != request.work.kind.engine()) {
            return Self::of_other(request, engine, measured);
        }
        check(&request)?;
        let (words, chosen_length) = request.engine.words.without_automatic_length();
        let line = words.read().map_err(PlanError::Words)?;
        if request.work.kind == WorkKind::Serve {
            spec::load(&request.work, None)?;
        }
        let container = place::container(&request).await?;
        let told = container.as_ref().and_then(|container| container.model.clone());
        let named = request.model.name.clone().or(told);
        if named.is_none() && request.place.url().is_none() {
            return Err(PlanError::NoModel { container: container.map(|container| container.name) });
        }
        let here = request.place.container().is_none();
        let folder = named.as_deref().map(PathBuf::from).filter(|path| here && path.is_dir());
        let folder = folder.map(std::path::absolute).transpose().map_err(PlanError::ModelFolder)?;
        let host = place::of(&request, measured, folder.as_deref())?;
        let mut request = request;
        let (mut line, mut chosen_length) = (line, chosen_length);
        if let Some(file) = request.engine.words.config_file().map(PathBuf::from) {
            request.engine.words.config = config_words(&host, &file).await?;
            let (words, chooses) = request.engine.words.without_automatic_length();
            (line, chosen_length) = (words.read().map_err(PlanError::Words)?, chooses);
        }
        let (architecture, config) = match (&named, here) {
            // In a container the model's folder is one of the container.
            (Some(name), false) if Path::new(name).is_absolute() => {
                model::inside(&request, &host, Path::new(name)).await?
            }
            _ => model::here(&request, named.as_deref(), folder.as_deref())?,
        };
        Ok(Self {
            engine_args: engine_args(&request, &line),
            named,
            folder,
            config,
            // How long requests may be then, nobody knows before the engine does, nor what fits.
            budgeted: !chosen_length,
            architecture,
            own_processes: place::processes(&request, &host).await?,
            host,
            secrets: request.secrets(),
            packed: None,
            request,
        })
    }

    /// The run of an engine that is started by its own words, and asked for nothing before.
    fn of_other(request: Request, engine: EngineKind, measured: &Measured) -> Result<Self, PlanError> {
        let OfOther { named, config, packed } = OfOther::of(&request, engine)?;
        spec::load(&request.work, None)?;
        Ok(Self {
            engine_args: EngineArgs::default(),
            named: named.or_else(|| request.model.name.clone()),
            folder: None,
            config,
            architecture: None,
            budgeted: false,
            own_processes: Some(Vec::new()),
            host: place::of(&request, measured, None)?,
            secrets: request.secrets(),
            packed,
            request,
        })
    }

    /// What was asked for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// A text without the secrets of this run.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.secrets.hide(text)
    }

    /// The server that is asked, at this address.
    pub(crate) fn client(&self, url: &str) -> Result<Client, PlanError> {
        let engine = &self.request.engine;
        // A server that is started here with a key of its own is asked with that.
        let own = told(&engine.words.all(), |name| name == "api-key").into_iter().next();
        Client::new(url, own.or_else(|| engine.api_key.clone())).map_err(PlanError::Load)
    }

    /// What the checks before the start look at, of an engine of this release once it is known.
    pub fn preflight<'p>(&'p self, found: Option<&Found>, devices: &'p [DeviceNow]) -> Preflight<'p> {
        let request = &self.request;
        let mut engine = self.engine_args.clone();
        engine.allow_long_max_model_len = self.allows_long();
        let version = found.and_then(|found| found.version.as_deref());
        if let Some(version) = version.and_then(|version| version.parse::<EngineVersion>().ok()) {
            engine.version = version;
        }
        let starts = request.place.url().is_none();
        let started = starts && request.work.kind != WorkKind::Transformers;
        // Words of other engines are not checked; a probe is told of made-up weights as vLLM is.
        let is_known = matches!(request.started(), Some(EngineKind::Vllm | EngineKind::Transformers));
        let sizes = request.work.sizes;
        Preflight {
            devices,
            architecture: self.architecture.as_ref().filter(|_| started && self.budgeted),
            dummy_weights: is_known && dummy_weights(&request.engine.words.all()),
            load_format: load_format(&request.engine.words.all()).filter(|_| is_known).map(str::to_owned),
            disk_free: free_beside(request.output.as_deref().unwrap_or(Path::new(RESULTS))),
            // A server that runs has read its weights, wherever they are.
            model_folder: self.folder.as_deref().or(self.absent_folder()).filter(|_| starts),
            request_tokens: Some(sizes)
                .filter(|_| request.work.kind != WorkKind::Transformers && request.work.prompt.is_none())
                .and_then(|sizes| sizes.input_len.checked_add(sizes.output_len)),
            own_processes: self.own_processes.clone(),
            longest: self.longest(found, &engine).filter(|_| request.work.kind != WorkKind::Transformers),
            args: engine,
        }
    }

    /// The longest sequence, once it is known who is asked: a server says it, an engine's release derives it.
    fn longest(&self, found: Option<&Found>, engine: &EngineArgs) -> Option<Longest> {
        if self.request.place.url().is_some() {
            return found?.max_model_len.map(Longest::Served);
        }
        let model = self.architecture.as_ref().filter(|_| found.is_some() && self.budgeted)?;
        let lengths = model_lengths(model, engine.version)?;
        let most = if engine.allow_long_max_model_len { lengths.usual } else { lengths.longest };
        Some(Longest::Derived { tokens: most, sure: lengths.checked })
    }

    /// Whether the engine's environment lets it take more than it derives.
    fn allows_long(&self) -> bool {
        let variables = &self.request.environment;
        let inherited = variables.inherited.iter().filter(|_| self.request.place == Place::Process);
        let set = |(name, value): &(String, String)| name == ALLOWS_LONG && !["", "0"].contains(&value.as_str());
        variables.given.iter().chain(inherited).any(set)
    }

    /// What was named as a folder of this machine and is none.
    fn absent_folder(&self) -> Option<&Path> {
        // A name that a server has for a model may look like a path.
        let by_server = self.request.started() == Some(EngineKind::Ollama);
        let is_here = self.request.place == Place::Process && self.packed.is_none() && !by_server;
        let named = self.named.as_deref().filter(|_| is_here)?;
        // A hub id is NAME or OWNER/NAME.
        let local = ["/", "./", "../", "~"].iter().any(|lead| named.starts_with(lead))
            || named.matches('/').count() > 1
            || Path::new(named).exists();
        Some(Path::new(named)).filter(|_| local)
    }
}

/// What the words of an engine that is started by them say of its model.
#[derive(Default)]
struct OfOther {
    /// The model: its id, or the name of its file or folder; `None` where the words do not name it.
    named: Option<String>,
    /// Its `config.json`, where it is a folder of this machine.
    config: Option<Vec<u8>>,
    /// The header of its file, where it is one of this machine.
    packed: Option<PackedModel>,
}

impl OfOther {
    fn of(request: &Request, engine: EngineKind) -> Result<Self, PlanError> {
        let words = &request.engine.words.words;
        let is_ours: fn(&[String]) -> Option<&'static str> = match engine {
            EngineKind::LlamaCpp => llama_cpp::told_by_us,
            EngineKind::SgLang => sglang::told_by_us,
            EngineKind::Ollama => |_| None,
            _ => return Err(PlanError::NotStarted { engine }),
        };
        if request.work.kind != WorkKind::Serve {
            return Err(PlanError::OnlyServes { engine });
        }
        if let Some(flag) = is_ours(words) {
            return Err(PlanError::OurFlag { flag });
        }
        let here = request.place == Place::Process;
        let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        match engine {
            EngineKind::LlamaCpp => {
                let file = llama_cpp::model(words)?;
                let packed = file.as_deref().filter(|_| here).and_then(llama_cpp::header);
                Ok(Self { named: file.as_deref().and_then(last), packed, config: None })
            }
            EngineKind::SgLang => {
                let model = sglang::model(&request.program(), words)?.ok_or(PlanError::NoModelWord { engine })?;
                let config = Some(&*model).filter(|_| here).and_then(sglang::config);
                let path = Path::new(&model);
                let named = if path.is_absolute() { last(path) } else { Some(model.clone()) };
                Ok(Self { named, config, packed: None })
            }
            _ => {
                ollama::words(words, &request.environment.given)?;
                if request.model.name.is_none() {
                    return Err(PlanError::NoModelName { engine });
                }
                Ok(Self::default())
            }
        }
    }
}

/// What contradicts itself, whatever the machine is like.
fn check(request: &Request) -> Result<(), PlanError> {
    if request.place.url().is_some() && request.work.kind != WorkKind::Serve {
        return Err(PlanError::OnlyRequests);
    }
    if request.work.prompt.is_some() && request.work.kind == WorkKind::Latency {
        return Err(PlanError::NoPrompt);
    }
    let engine = &request.engine.words;
    if let Some(word) = engine.words.first().filter(|word| !word.starts_with('-')) {
        return Err(PlanError::NoFlag { word: word.clone() });
    }
    if let Some(flag) = told_by_us(&engine.words) {
        return Err(PlanError::OurFlag { flag });
    }
    match given_twice(&engine.flags, &engine.words) {
        Some(flag) => Err(PlanError::GivenTwice { flag }),
        None => Ok(()),
    }
}

/// The words of the engine's configuration file, which lies where the engine runs.
pub(crate) async fn config_words(host: &EngineHost, file: &Path) -> Result<Vec<String>, PlanError> {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let most = u64::try_from(MOST_ENGINE_CONFIG_BYTES).unwrap_or(u64::MAX);
    let bytes = host.read_file(&path, most).await.map_err(PlanError::Host)?;
    let wrong = |source| PlanError::EngineConfig { file: file.to_owned(), source };
    engine_config_words(&String::from_utf8_lossy(&bytes)).map_err(wrong)
}

/// The engine's arguments as the budget takes them.
fn engine_args(request: &Request, line: &CommandLine) -> EngineArgs {
    let usage = if request.work.kind == WorkKind::Serve { Usage::Server } else { Usage::Offline };
    EngineArgs { usage, ..line.args.clone() }
}

#[cfg(test)]
mod tests {
    use vramscope_schema::v3::Generator;

    use super::*;
    use crate::{AskedEngine, AskedModel, AskedWork, EngineWords, Environment, Times, Watched, Work};

    fn request(name: Option<&str>) -> Request {
        let sizes = Work { input_len: 8, output_len: 8, batch_size: 1, warmup_iterations: 0, iterations: 1 };
        Request {
            model: AskedModel { name: name.map(str::to_owned), ..AskedModel::default() },
            work: AskedWork {
                kind: WorkKind::Latency,
                sizes,
                prompt: None,
                num_prompts: None,
                request_rate: None,
                seed: 0,
            },
            place: Place::Process,
            engine: AskedEngine::default(),
            snapshots: None,
            times: Times::default(),
            environment: Environment::default(),
            output: None,
            repeat: 1,
            stamp: "20260102_030405".to_owned(),
            generator: Generator { name: "test".to_owned(), version: "0".to_owned() },
        }
    }

    async fn refused(request: Request) -> PlanError {
        Plan::make(request, &Measured::default()).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_contradicts_itself_is_refused_before_anything_is_looked_at() {
        let words = |words: &[&str]| EngineWords {
            flags: vec![("dtype".to_owned(), Some("float16".to_owned()))],
            words: words.iter().map(|&word| word.to_owned()).collect(),
            ..EngineWords::default()
        };
        let said = |given: &[&str]| {
            let engine = AskedEngine { words: words(given), ..AskedEngine::default() };
            Request { engine, ..request(Some("org/m")) }
        };
        assert!(matches!(refused(said(&["m"])).await, PlanError::NoFlag { word } if word == "m"));
        assert!(matches!(refused(said(&["--port=1"])).await, PlanError::OurFlag { flag: "port" }));
        assert!(matches!(refused(said(&["--dtype", "auto"])).await, PlanError::GivenTwice { flag } if flag == "dtype"));
        assert!(matches!(refused(request(None)).await, PlanError::NoModel { container: None }));
        let here = Watched::Here { pid: None, log_file: None };
        let server = Place::Server { url: "http://127.0.0.1:1".to_owned(), watched: here };
        assert!(matches!(refused(Request { place: server, ..request(None) }).await, PlanError::OnlyRequests));
    }

    #[tokio::test]
    async fn files_are_named_by_the_model_and_the_time() {
        let plan = Plan::make(request(Some("org/m:x")), &Measured::default()).await.unwrap();
        let paths = crate::RunPaths::new(&plan, 1).unwrap();
        assert_eq!(paths.profile, Path::new("results/memory-profiles/m-x_20260102_030405.json"));
        assert_eq!(paths.folder, Path::new("results/memory-profiles/m-x_20260102_030405"));
        let summary = crate::RunPaths::new(&plan, 0).unwrap();
        assert_eq!(summary.profile, Path::new("results/memory-profiles/m-x_20260102_030405.repeat.json"));
    }
}
