//! What can go wrong with an engine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why an engine could not be started, asked or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The program is not there.
    #[error("start {program}: there is no such program; install it, activate its environment, or give its path")]
    NotFound {
        /// As it was given.
        program: String,
    },
    /// The program is there and may not be run.
    #[error("start {program}: it may not be executed; make it executable (chmod +x), or name the program inside it")]
    NotExecutable {
        /// As it was given.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// The program is a script whose interpreter is not there.
    #[error("start {program}: it is there, and what its first line asks for is not; was its environment moved?")]
    NoInterpreter {
        /// As it was given.
        program: String,
    },
    /// The folder to start in is not there.
    #[error("start {program}: there is no folder {}", directory.display())]
    NoDirectory {
        /// As it was given.
        program: String,
        /// The folder.
        directory: PathBuf,
    },
    /// The system refused to start it for another reason.
    #[error("start {program}")]
    Start {
        /// As it was given.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing would stop the engine if this process were killed, so it is not started.
    #[error("start the watchdog that stops the engine if vramscope is killed; it needs /bin/sh and /proc")]
    Watchdog(#[source] io::Error),
    /// No thread could be started to watch it.
    #[error("watch the engine")]
    Watch(#[source] io::Error),
    /// There is no such process.
    #[error("watch process {pid}: it is not there; give the id of the server's first process")]
    NoProcess {
        /// As it was given.
        pid: u32,
    },
    /// A short command took too long and was stopped.
    #[error("run {program}: it did not end within {} s", limit.as_secs_f64())]
    TooSlow {
        /// As it was given.
        program: String,
        /// How long it was given.
        limit: Duration,
    },
    /// Processes live on after they were killed. The driver holds them, and only it can let them go.
    #[error("stop the engine: processes {pids:?} were killed and do not end; the driver may hang (see dmesg)")]
    StillAlive {
        /// Their ids.
        pids: Vec<u32>,
    },
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// As the engine sees it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is longer than was allowed.
    #[error("read {}: it has more than {most_bytes} bytes", path.display())]
    TooLarge {
        /// As the engine sees it.
        path: PathBuf,
        /// The most that was allowed.
        most_bytes: u64,
    },
    /// A file could not be written.
    #[error("write {}", path.display())]
    Write {
        /// As the engine sees it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file could not be removed.
    #[error("remove {}", path.display())]
    Remove {
        /// As the engine sees it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// This host cannot do that.
    #[error("{what}: {host} cannot do that")]
    Unsupported {
        /// What was asked.
        what: &'static str,
        /// The host.
        host: &'static str,
    },
    /// `DOCKER_HOST` names a daemon that may be another machine's, where neither these GPUs nor these files are.
    #[error("DOCKER_HOST is {address}: engines are run on this machine's daemon, unix:///path/to/docker.sock")]
    FarDocker {
        /// As the variable has it.
        address: String,
    },
    /// There is no Docker daemon on this machine.
    #[error("reach Docker: there is no socket {}; is Docker installed and running?", socket.display())]
    NoDocker {
        /// Where its socket was expected.
        socket: PathBuf,
    },
    /// This user may not use Docker.
    #[error("reach Docker: this user may not use {}; join the group docker, or run as root", socket.display())]
    DockerDenied {
        /// The daemon's socket.
        socket: PathBuf,
    },
    /// The daemon does not answer, or stopped answering.
    #[error("{what}: the Docker daemon at {} does not answer; see `docker info`", socket.display())]
    DockerDown {
        /// What was asked.
        what: &'static str,
        /// The daemon's socket.
        socket: PathBuf,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon refused.
    #[error("{what}: Docker answers {status}: {message}")]
    DockerRefused {
        /// What was asked.
        what: &'static str,
        /// The status of its answer.
        status: u16,
        /// Its words, without secrets.
        message: String,
    },
    /// There is no such container.
    #[error("use container {container}: there is none of that name; `docker ps` lists those that run")]
    NoContainer {
        /// As it was named.
        container: String,
    },
    /// The container does not run.
    #[error("use container {container}: it does not run; start it with `docker start {container}`")]
    ContainerStopped {
        /// Its name.
        container: String,
    },
    /// There is no such image on this machine.
    #[error("use image {image}: it is not on this machine; fetch it with `docker pull {image}`")]
    NoImage {
        /// As it was named.
        image: String,
    },
}
