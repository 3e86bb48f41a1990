//! An engine that runs in a container already: watched, and never stopped.

use std::path::Path;
use std::sync::Mutex;

use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::client::Lines;
use super::facts::ContainerInfo;
use super::{Running as AnyRunning, log_lost, run};
use crate::engine::{Engine, Exit};
use crate::error::EngineError;
use crate::feed::{Source, feed};
use crate::host::process::tree::Tree;
use crate::host::{Held, LogStart};

/// A watched engine.
#[derive(Debug)]
pub(crate) struct Running {
    info: ContainerInfo,
    exit: watch::Sender<Option<Exit>>,
    reading: JoinHandle<()>,
    tree: Option<Mutex<Tree>>,
}

pub(super) async fn start(
    docker: Docker,
    socket: &Path,
    container: &str,
    from: LogStart,
) -> Result<Engine, EngineError> {
    let info = super::inspect(&docker, socket, container).await?;
    if !info.running {
        return Err(EngineError::ContainerStopped { container: info.name });
    }
    let tree = super::tree(info.pid, &info.id, None);
    let tail = if from == LogStart::Beginning { "all" } else { "0" };
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).timestamps(true).tail(tail).build();
    let lines = Lines::new(Box::pin(docker.logs(&info.id, Some(options))), true);
    let (source, feed) = feed();
    let exit = source.exit.clone();
    let reading = tokio::spawn(read(docker, info.id.clone(), lines, source));
    Ok(Engine { feed, held: Held::Docker(Box::new(AnyRunning::Watch(Running { info, exit, reading, tree }))) })
}

/// Passes the log on, and tells the end of the container.
async fn read(docker: Docker, id: String, mut lines: Lines, source: Source) {
    while let Some(passed) = lines.pass_on(&source).await {
        if let Err(error) = passed {
            // When nobody listens any more, the watching is being ended.
            let _ = source.events.send(log_lost(&error)).await;
            break;
        }
    }
    lines.finish(&source).await;
    run::tell_end(&docker, &id, &source).await;
}

impl Running {
    pub(super) fn container(&self) -> &ContainerInfo {
        &self.info
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        super::pids(self.tree.as_ref())
    }

    /// Ends the watching. The container runs on.
    pub(super) fn stop(&mut self) {
        self.reading.abort();
        self.exit.send_if_modified(|exit| {
            let open = exit.is_none();
            exit.get_or_insert_default();
            open
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
