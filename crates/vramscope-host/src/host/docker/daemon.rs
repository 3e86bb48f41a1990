//! Questions to the daemon of this machine that no engine is needed for.

use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;

use super::client::{connect, refused};
use crate::error::EngineError;

/// A daemon that has not answered within this time is taken not to.
const PATIENCE: Duration = Duration::from_secs(1);

/// The Docker daemon of this machine, asked about itself. Each question takes a second at most.
#[derive(Debug, Clone)]
pub struct DockerDaemon {
    socket: PathBuf,
}

/// How the daemon passes NVIDIA's GPUs into containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NvidiaAccess {
    /// Not at all.
    None,
    /// By NVIDIA's own runtime.
    Runtime,
    /// As devices that a CDI specification names.
    Cdi,
}

impl DockerDaemon {
    /// The daemon of this socket, which [`docker_socket`](crate::docker_socket) finds.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Its release.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn version(&self) -> Result<Option<String>, EngineError> {
        let asked = |docker: Docker| async move { docker.version().await };
        Ok(self.ask("ask for its version", asked).await?.version)
    }

    /// How it passes NVIDIA's GPUs into containers.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn nvidia(&self) -> Result<NvidiaAccess, EngineError> {
        let info = self.ask("ask what it can", |docker: Docker| async move { docker.info().await }).await?;
        if info.runtimes.is_some_and(|runtimes| runtimes.contains_key("nvidia")) {
            return Ok(NvidiaAccess::Runtime);
        }
        let names = info.discovered_devices.unwrap_or_default().into_iter().filter_map(|device| device.id);
        Ok(if names.into_iter().any(|id| id.contains("/gpu")) { NvidiaAccess::Cdi } else { NvidiaAccess::None })
    }

    /// The name of a container.
    ///
    /// # Errors
    /// [`EngineError::NoContainer`] if there is none of that id; otherwise if the daemon cannot be asked.
    pub async fn container_name(&self, id: &str) -> Result<String, EngineError> {
        let docker = connect(&self.socket)?;
        let asked = tokio::time::timeout(PATIENCE, super::inspect(&docker, &self.socket, id)).await;
        Ok(asked.unwrap_or_else(|_| Err(self.silent("inspect the container")))?.name)
    }

    async fn ask<T, F>(&self, what: &'static str, question: impl FnOnce(Docker) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let docker = connect(&self.socket)?;
        match tokio::time::timeout(PATIENCE, question(docker)).await {
            Ok(answer) => answer.map_err(|error| refused(&self.socket, what, error)),
            Err(_) => Err(self.silent(what)),
        }
    }

    fn silent(&self, what: &'static str) -> EngineError {
        let source = format!("no answer within {} s", PATIENCE.as_secs()).into();
        EngineError::DockerDown { what, socket: self.socket.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_hangs_is_not_waited_for_as_long_as_its_work_takes() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        daemon(&socket, None);
        let begun = tokio::time::Instant::now();
        let error = super::super::client::reach(&socket).await.unwrap_err();
        assert!(error.to_string().contains("whether it is there"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    /// A daemon that answers everything with this document, or nothing at all.
    fn daemon(socket: &std::path::Path, document: Option<&'static str>) {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut asked, mut byte) = (Vec::new(), [0]);
                while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                    asked.push(byte[0]);
                }
                match document {
                    Some(document) => write!(stream, "HTTP/1.0 200 OK\r\n\r\n{document}").unwrap(),
                    // Until the other side goes away.
                    None => drop(stream.read(&mut byte)),
                }
            }
        });
    }

    #[tokio::test]
    async fn a_daemon_says_what_it_is_and_a_silent_one_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (says, silent) = (at("says.sock"), at("silent.sock"));
        let devices = r#"{"Version": "28.2.2", "Name": "/c", "DiscoveredDevices": [{"ID": "nvidia.com/gpu=0"}]}"#;
        daemon(&says, Some(devices));
        daemon(&silent, None);
        let docker = DockerDaemon::new(&says);
        assert_eq!(docker.version().await.unwrap().as_deref(), Some("28.2.2"));
        assert_eq!(docker.nvidia().await.unwrap(), NvidiaAccess::Cdi);
        assert_eq!(docker.container_name("x").await.unwrap(), "c");
        let down = DockerDaemon::new(silent).version().await.unwrap_err();
        assert!(matches!(down, EngineError::DockerDown { .. }), "{down:?}");
        let none = DockerDaemon::new(at("none.sock")).version().await.unwrap_err();
        assert!(matches!(none, EngineError::NoDocker { .. }), "{none:?}");
    }
}
