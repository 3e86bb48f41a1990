//! Starts, watches and stops an inference engine, and streams its log.
//!
//! An [`EngineHost`] says where the engine runs; [`EngineHost::start`] gives an [`Engine`], whose log and end come as
//! [`EngineEvent`]s. An engine that was started here leaves no process behind: not when it is stopped, not when the
//! [`Engine`] is dropped, not when this process is killed.
//!
//! ```
//! use std::time::Duration;
//! use vramscope_host::{Command, EngineEvent, EngineHost};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), vramscope_host::EngineError> {
//! let host = EngineHost::process();
//! let mut engine = host.start(&Command::new("sh").arg("-c").arg("echo ready; exec sleep 60")).await?;
//! if let EngineEvent::Line(line) = engine.next().await {
//!     assert_eq!(line.bytes, b"ready");
//! }
//! let exit = engine.stop(Duration::from_secs(5)).await?;
//! assert!(exit.signal.is_some() && engine.pids().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Containers come with the feature `docker`. Linux only: processes are known by `/proc`. The calls need a tokio runtime
//! with its timer, and Docker's with its I/O. This crate reads no environment variables and prints nothing.

mod engine;
mod error;
mod feed;
mod host;
mod lines;
mod timed;

pub use engine::{Engine, EngineEvent, Exit, LogLine, LogStream};
pub use error::EngineError;
pub use host::{
    AttachHost, Command, EngineHost, LogFile, LogStart, Output, ProcessHost, ReplayHost, docker_socket,
    is_signal_ignored,
};
#[cfg(feature = "docker")]
pub use host::{
    BindMount, ContainerGpus, ContainerInfo, ContainerMount, ContainerNetwork, ContainerSpec, DockerDaemon, DockerHost,
    DockerPlace, NvidiaAccess, PublishedPort,
};
pub use timed::{TimedLogError, read_timed_log, write_timed_line};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
