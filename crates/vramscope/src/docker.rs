//! What the Docker daemon of this machine says of itself, asked without an engine.

#[cfg(not(feature = "docker"))]
use std::path::Path;

/// What became of asking Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "nobody is asked in a build without Docker"))]
pub(crate) enum Answer {
    /// It answers.
    Daemon {
        /// Its release.
        version: Option<String>,
        /// How it passes NVIDIA's GPUs into containers; `None` if it does not say.
        nvidia: Option<Passes>,
    },
    /// There is no socket.
    Absent,
    /// `DOCKER_HOST` names one that is not asked; why.
    Far(String),
    /// This user may not use it, or it does not answer; why.
    Refused(String),
    /// This build knows no Docker.
    #[cfg(not(feature = "docker"))]
    NotBuilt,
}

/// How GPUs come into containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "nobody is asked in a build without Docker"))]
pub(crate) enum Passes {
    /// Not at all.
    None,
    /// By the vendor's runtime.
    Runtime,
    /// As devices that a CDI specification names.
    Cdi,
}

#[cfg(feature = "docker")]
pub(crate) use with_docker::{ask, container_name};

#[cfg(feature = "docker")]
mod with_docker {
    use std::error::Error;
    use std::io;
    use std::path::Path;

    use vramscope_host::{DockerDaemon, EngineError, NvidiaAccess};

    use super::{Answer, Passes};

    /// Asks the daemon what it is.
    pub(crate) fn ask(root: &Path) -> Answer {
        let daemon = match daemon(root) {
            Ok(daemon) => daemon,
            Err(error) => return Answer::Far(error.to_string()),
        };
        let asked = wait(async {
            let version = daemon.version().await?;
            Ok((version, daemon.nvidia().await.ok()))
        });
        match asked {
            Ok((version, nvidia)) => Answer::Daemon { version, nvidia: nvidia.map(passes) },
            Err(EngineError::NoDocker { .. }) => Answer::Absent,
            Err(error) => Answer::Refused(why(&error)),
        }
    }

    /// The name of a container.
    pub(crate) fn container_name(root: &Path, id: &str) -> Option<String> {
        let daemon = daemon(root).ok()?;
        wait(daemon.container_name(id)).ok()
    }

    /// The daemon at the socket that `DOCKER_HOST` says, where the host's files are under `root`.
    fn daemon(root: &Path) -> Result<DockerDaemon, EngineError> {
        let socket = vramscope_host::docker_socket(std::env::var_os("DOCKER_HOST").as_deref())?;
        Ok(DockerDaemon::new(root.join(socket.strip_prefix("/").unwrap_or(&socket))))
    }

    fn passes(access: NvidiaAccess) -> Passes {
        match access {
            NvidiaAccess::Runtime => Passes::Runtime,
            NvidiaAccess::Cdi => Passes::Cdi,
            _ => Passes::None,
        }
    }

    /// Waits for an answer, on a thread of its own: who asks may be within a runtime already.
    fn wait<T: Send>(question: impl Future<Output = Result<T, EngineError>> + Send) -> Result<T, EngineError> {
        std::thread::scope(|scope| {
            let work = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map_err(EngineError::Watch)?.block_on(question)
            };
            scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What the system or the daemon says, without what was asked for.
    fn why(error: &EngineError) -> String {
        match error {
            EngineError::DockerDenied { .. } => io::Error::from(rustix::io::Errno::ACCESS).to_string(),
            EngineError::DockerRefused { status, message, .. } => format!("{status}: {message}"),
            error => {
                let mut deepest: &dyn Error = error;
                while let Some(source) = deepest.source() {
                    deepest = source;
                }
                deepest.to_string()
            }
        }
    }
}

/// Nobody is asked in a build without Docker.
#[cfg(not(feature = "docker"))]
pub(crate) fn ask(_: &Path) -> Answer {
    Answer::NotBuilt
}

/// The same.
#[cfg(not(feature = "docker"))]
pub(crate) fn container_name(_: &Path, _: &str) -> Option<String> {
    None
}
