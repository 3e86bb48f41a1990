//! A step, and its command while it runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// What a step takes of the machine, which bounds how many of its kind run at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// Waits for a network, or is done in a second.
    Light,
    /// Holds cargo's lock on the folder of build results: a second one would only wait for it.
    Cargo,
    /// Computes, on about one core.
    Run,
}

/// A step: its name, what must have passed before it, and its command.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) needs: Vec<String>,
    pub(crate) lane: Lane,
    /// `cargo` and `xtask` stand for the running toolchain and this program.
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

impl Step {
    /// A step whose command is these words.
    pub(crate) fn new(name: &str, lane: Lane, command: &[&str]) -> Self {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Self { name: name.to_owned(), needs: Vec::new(), lane, command, env: Vec::new() }
    }

    /// The same, after those of these names.
    pub(crate) fn after(mut self, needs: &[&str]) -> Self {
        self.needs.extend(needs.iter().map(|name| (*name).to_owned()));
        self
    }

    /// The same, with a variable in its environment.
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it. What it writes goes to a file in `logs`; `this` is this program.
    pub(super) fn start(&self, root: &Path, logs: &Path, this: &Path) -> anyhow::Result<Running> {
        let (first, rest) = self.command.split_first().context("a step without a command")?;
        let program = match first.as_str() {
            "cargo" => Path::new(env!("CARGO")),
            "xtask" => this,
            other => Path::new(other),
        };
        let log = logs.join(format!("{}.log", self.name));
        let out = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let mut command = Command::new(program);
        command.args(rest).envs(self.env.iter().map(|(name, value)| (name, value))).current_dir(root);
        command.stdin(Stdio::null()).stdout(out.try_clone().context("share the step's output")?).stderr(out);
        // A group of its own, so that a step can be ended with all that it has started.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("start {}", self.command.join(" ")))?;
        Ok(Running { name: self.name.clone(), lane: self.lane, child, log, begun: Instant::now() })
    }
}

/// A step that was started.
pub(super) struct Running {
    pub(super) name: String,
    pub(super) lane: Lane,
    pub(super) log: PathBuf,
    pub(super) begun: Instant,
    child: Child,
}

impl Running {
    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("wait for {}", self.name))
    }

    /// Sends a signal to it and to all that it has started; whether any of them is there.
    fn signal(&self, signal: &str) -> bool {
        let group = format!("-{}", self.child.id());
        let sent = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
        sent.is_ok_and(|status| status.success())
    }
}

/// How long steps have to end what they have started: an engine takes some seconds.
const PATIENCE: Duration = Duration::from_secs(40);

/// Ends these steps with all that they have started: asks first, then does not ask.
pub(super) fn stop(running: &mut [Running]) -> anyhow::Result<()> {
    running.iter().for_each(|step| {
        step.signal("-TERM");
    });
    let deadline = Instant::now() + PATIENCE;
    for step in running {
        // The step itself is waited for first: until then it would count as one of its group.
        while step.ended()?.is_none() || step.signal("-0") {
            if Instant::now() > deadline {
                step.signal("-KILL");
                step.child.wait().with_context(|| format!("end {}", step.name))?;
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}
