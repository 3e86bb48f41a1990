//! What a person asks for, before anything is looked at.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use vramscope_analysis::{ModelError, NamedModel};
use vramscope_core::{EngineKind, secrets_in};
use vramscope_runs::Shape;
use vramscope_schema::v3::Generator;

use crate::vllm::words::told;
use crate::{AskedSnapshots, EngineWords, Secrets, Times, Work};
use crate::{llama_cpp, ollama, sglang, vllm};

/// One run as it is asked for. A [`Plan`](crate::Plan) is made of it.
///
/// Its `Debug` shows neither variables nor the API key.
#[derive(Clone)]
pub struct Request {
    /// Of which model.
    pub model: AskedModel,
    /// What is asked of the engine.
    pub work: AskedWork,
    /// Where the engine runs.
    pub place: Place,
    /// The engine.
    pub engine: AskedEngine,
    /// Snapshots of PyTorch's allocator, where they are wanted.
    pub snapshots: Option<AskedSnapshots>,
    /// How long to wait for what.
    pub times: Times,
    /// What is around the run.
    pub environment: Environment,
    /// The profile document, where somebody named one.
    pub output: Option<PathBuf>,
    /// How many runs. Unit: count.
    pub repeat: u32,
    /// When it was asked for, as a part of a file's name.
    pub stamp: String,
    /// The program that asks.
    pub generator: Generator,
}

/// A model as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AskedModel {
    /// A folder, a file or a hub id; where nobody says it, a container or a server may.
    pub name: Option<String>,
    /// Its shape, as far as it is given by hand.
    pub shape: Shape,
}

/// What kind of work the engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// The engine's own `bench latency`.
    Latency,
    /// A server, and requests to it.
    Serve,
    /// Hugging Face transformers in plain Python, without vLLM.
    Transformers,
}

/// The work.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedWork {
    /// Its kind.
    pub kind: WorkKind,
    /// Its lengths and counts.
    pub sizes: Work,
    /// The prompt of every request, in place of as many random tokens as are asked for.
    pub prompt: Option<String>,
    /// Measured requests to a server; ten times those in flight together where nobody says. Unit: count.
    pub num_prompts: Option<u64>,
    /// Requests to a server each second, at random times, in place of a constant number in flight.
    pub request_rate: Option<f64>,
    /// Names the prompts and arrivals.
    pub seed: u64,
}

/// Where the engine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// As a process of this machine.
    Process,
    /// In a container that runs, and runs on.
    Container {
        /// Its name or id.
        name: String,
    },
    /// In a new container, which is removed afterwards.
    Image {
        /// The image.
        image: String,
        /// Folders of this machine for it, each as `HOST` or `HOST:CONTAINER`.
        mounts: Vec<String>,
    },
    /// It runs already; nothing is started or stopped.
    Server {
        /// Its address.
        url: String,
        /// What is watched of it.
        watched: Watched,
    },
}

/// What is watched of a server that runs already.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watched {
    /// What runs in the container of this name.
    Container(String),
    /// On this machine.
    Here {
        /// Its first process.
        pid: Option<u32>,
        /// Its log.
        log_file: Option<PathBuf>,
    },
}

/// The engine, and what is said to it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct AskedEngine {
    /// Which engine it is, where somebody says so; it counts more than what a server answers.
    pub kind: Option<EngineKind>,
    /// Its program, with leading arguments; the usual one where nobody says.
    pub program: Option<String>,
    /// Flags and words for it.
    pub words: EngineWords,
    /// Whether it may run code that comes with the model.
    pub trust_remote_code: bool,
    /// The key that its server wants.
    pub api_key: Option<String>,
}

/// What is around a run. The library reads no variables itself.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// Variables for the engine beside those that it inherits.
    pub given: Vec<(String, String)>,
    /// Those that it inherits, which may hold secrets.
    pub inherited: Vec<(String, String)>,
    /// The value of `DOCKER_HOST`.
    pub docker_host: Option<OsString>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Request");
        shown.field("model", &self.model).field("work", &self.work).field("place", &self.place);
        shown.field("output", &self.output).field("repeat", &self.repeat).finish_non_exhaustive()
    }
}

impl WorkKind {
    /// The engine that does it.
    pub fn engine(self) -> EngineKind {
        match self {
            Self::Latency | Self::Serve => EngineKind::Vllm,
            Self::Transformers => EngineKind::Transformers,
        }
    }
}

impl AskedModel {
    /// Reads the model.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn read(&self) -> Result<NamedModel, ModelError> {
        NamedModel::read(self.name.as_deref(), &self.shape)
    }
}

impl AskedWork {
    /// Measured requests to a server. Unit: count.
    pub(crate) fn requests(&self) -> u64 {
        self.num_prompts.unwrap_or(self.sizes.batch_size.saturating_mul(10))
    }
}

impl Place {
    /// The address of a server that runs already.
    pub fn url(&self) -> Option<&str> {
        if let Self::Server { url, .. } = self { Some(url) } else { None }
    }

    /// The container that is named.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Container { name } | Self::Server { watched: Watched::Container(name), .. } => Some(name),
            _ => None,
        }
    }

    /// The image of a new container.
    pub fn image(&self) -> Option<&str> {
        if let Self::Image { image, .. } = self { Some(image) } else { None }
    }

    /// The word of the profile for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container { .. } | Self::Image { .. } => "docker",
            Self::Server { .. } => "attach",
        }
    }
}

impl Request {
    /// The engine that is started; `None` for a server that runs.
    pub fn started(&self) -> Option<EngineKind> {
        let kind = self.engine.kind.unwrap_or(self.work.kind.engine());
        self.place.url().is_none().then_some(kind)
    }

    /// The engine's program with its leading arguments.
    pub fn program(&self) -> Vec<String> {
        let usual = match self.engine.kind.unwrap_or(self.work.kind.engine()) {
            EngineKind::Vllm => vllm::command::PROGRAM,
            EngineKind::LlamaCpp => llama_cpp::PROGRAM,
            EngineKind::SgLang => sglang::PROGRAM,
            EngineKind::Ollama => ollama::PROGRAM,
            _ => "python3",
        };
        let named = self.engine.program.as_deref().unwrap_or(usual);
        // A path may have a space in it; else words are arguments.
        if Path::new(named).exists() {
            return vec![named.to_owned()];
        }
        named.split_whitespace().map(str::to_owned).collect()
    }

    /// What was asked for and belongs to another kind of work: the flag without dashes, and whose it is.
    pub fn unused(&self) -> Vec<(String, &'static str)> {
        let mut unused: Vec<(String, &str)> = Vec::new();
        if self.work.kind != WorkKind::Serve {
            let of_serve =
                [("num-prompts", self.work.num_prompts.is_some()), ("request-rate", self.work.request_rate.is_some())];
            let given = of_serve.into_iter().filter(|(_, given)| *given);
            unused.extend(given.map(|(name, _)| (name.to_owned(), "--workload serve")));
        }
        let engines = self.engine.words.flags.iter().map(|(name, _)| name.clone());
        if self.place.url().is_some() {
            unused.extend(engines.map(|name| (name, "an engine that is started here")));
        } else if self.work.kind == WorkKind::Transformers {
            unused.extend(engines.filter(|name| name != "dtype").map(|name| (name, EngineKind::Vllm.title())));
        }
        unused
    }

    /// Secrets that the engine inherits or is told: by the names of variables and flags that hold such, and within their
    /// values (an address with a password, a field of a JSON object).
    pub(crate) fn secrets(&self) -> Secrets {
        let held = self.environment.inherited.iter().chain(&self.environment.given).flat_map(|(name, value)| {
            if vramscope_core::is_secret_name(name) { vec![value.clone()] } else { secrets_in(value) }
        });
        let words = self.engine.words.all();
        let told = told(&words, vramscope_core::is_secret_name)
            .into_iter()
            .chain(words.iter().flat_map(|word| secrets_in(word)));
        Secrets::new(held.chain(self.engine.api_key.clone()).chain(told))
    }
}
