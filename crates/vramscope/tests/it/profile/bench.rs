//! A folder with everything a run needs: the stand-in engine with its script, the stand-in library, a model.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use standin_vllm::{Device, Phase, SCRIPT_VARIABLE, Script};

/// Secrets in the environment of every run: by name, by look, and in a variable for us.
pub(super) const SECRETS: [(&str, &str); 3] = [
    ("HF_TOKEN", "plainhubsecret99"),
    ("OPENAI_API_KEY", "sk-abcdefghijklmnopqrstuvwx1234"),
    ("VRAMSCOPE_API_KEY", "oursecretkey123"),
];

/// Which workload.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Latency,
    Serve,
    Transformers,
}

pub(super) struct Bench {
    home: tempfile::TempDir,
    library: String,
}

impl Bench {
    pub(super) fn new(script: &Script) -> Self {
        Self::with_nvml(script, |_| {})
    }

    /// The device of the stand-in library as the caller changes it.
    pub(super) fn with_nvml(script: &Script, change: impl FnOnce(&mut Value)) -> Self {
        Self::with_library(script, |nvml| change(&mut nvml["devices"][0]))
    }

    /// The whole script of the stand-in library as the caller changes it.
    pub(super) fn with_library(script: &Script, change: impl FnOnce(&mut Value)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let used = home.path().join("used");
        fs::write(&used, "0").unwrap();
        let device = json!({
            "name": "NVIDIA H200", "total": 150_754_820_096_u64, "reserved": 644_939_776_u64, "used_file": used,
        });
        let mut nvml = json!({ "devices": [device] });
        change(&mut nvml);
        let library = crate::gpus::stand_in(home.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &nvml);
        // A script that has a device says what its memory is beside the engine's.
        let mut devices = script.devices.clone();
        devices.resize(1, Device { used_file: PathBuf::new(), rest_bytes: 0, left_bytes: 0 });
        devices.iter_mut().for_each(|device| device.used_file.clone_from(&used));
        let script = Script { devices, ..script.clone() };
        fs::write(home.path().join("script.json"), serde_json::to_vec(&script).unwrap()).unwrap();
        let model = home.path().join("llama-3.2-1b");
        fs::create_dir(&model).unwrap();
        fs::copy(crate::root().join("examples/noisy-neighbour/config.json"), model.join("config.json")).unwrap();
        fs::write(model.join("model.safetensors.index.none"), "").unwrap();
        Self { home, library }
    }

    /// From the engine's end on, memory stays in use that was not there before.
    pub(super) fn leaves_memory(&self) {
        let path = self.home.path().join("script.json");
        let mut script: Script = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        script.devices.iter_mut().for_each(|device| device.left_bytes = 5 << 30);
        fs::write(path, serde_json::to_vec(&script).unwrap()).unwrap();
    }

    /// Adds a device that does nothing and holds 5 GiB.
    pub(super) fn add_an_idle_device(&self) {
        let path = format!("{}.json", self.library);
        let mut script: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let idle =
            json!({"name": "NVIDIA H200", "uuid": "GPU-idle", "total": 150_754_820_096_u64, "used": [5_u64 << 30]});
        script["devices"].as_array_mut().unwrap().push(idle);
        fs::write(path, script.to_string()).unwrap();
    }

    /// A program `amd-smi` of one device in front of the PATH of this command.
    pub(super) fn with_amd_smi(&self, mut command: Command) -> Command {
        let path = self.home.path().join("bin");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("amd-smi"), crate::monitor::tools::AMD_SMI).unwrap();
        fs::set_permissions(path.join("amd-smi"), fs::Permissions::from_mode(0o755)).unwrap();
        command.env("PATH", format!("{}:{}", path.display(), std::env::var("PATH").unwrap()));
        command
    }

    /// The profile document.
    pub(super) fn file(&self) -> PathBuf {
        self.home.path().join("profile.json")
    }

    /// The recording folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.home.path().join("profile")
    }

    /// A run that must leave a profile.
    pub(super) fn profile(&self, kind: Kind, more: &[&str]) -> (Output, Value) {
        let (output, document) = self.run(kind, more);
        let said = crate::stderr(&output);
        (output, document.unwrap_or_else(|| panic!("no profile was left: {said}")))
    }

    pub(super) fn run(&self, kind: Kind, more: &[&str]) -> (Output, Option<Value>) {
        self.run_to(&self.file(), kind, more)
    }

    pub(super) fn run_to(&self, file: &Path, kind: Kind, more: &[&str]) -> (Output, Option<Value>) {
        let output = self.command(file, kind, more).output().unwrap();
        let document = fs::read(file).ok().map(|text| serde_json::from_slice(&text).unwrap());
        (output, document)
    }

    /// A run to which something is done as soon as it is in a phase.
    pub(super) fn disturbed(
        &self,
        kind: Kind,
        more: &[&str],
        phase: &str,
        disturb: impl FnOnce(&Child),
    ) -> (Output, Value) {
        self.disturb(self.command(&self.file(), kind, more), phase, disturb)
    }

    /// The same of this command.
    pub(super) fn disturb(&self, mut command: Command, phase: &str, disturb: impl FnOnce(&Child)) -> (Output, Value) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        // Without a terminal each phase is a line of its own.
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        while !said.lines().any(|line| line.ends_with(&format!(" s  {phase}"))) {
            assert!(lines.read_line(&mut said).unwrap() > 0, "it ended before the phase {phase}: {said}");
        }
        disturb(&child);
        lines.read_to_string(&mut said).unwrap();
        let output = child.wait_with_output().unwrap();
        let document = fs::read(self.file()).unwrap_or_else(|_| panic!("no profile was left: {said}"));
        let output = Output { stderr: said.into_bytes(), ..output };
        (output, serde_json::from_slice(&document).unwrap())
    }

    /// What the device says of its memory from now on, in place of what the engine has it say.
    pub(super) fn device_says(&self, text: &str) {
        // Renamed, as the engine's own levels are, so that a reader sees the one or the other.
        let draft = self.home.path().join("said");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.home.path().join("used")).unwrap();
    }

    pub(super) fn command(&self, file: &Path, kind: Kind, more: &[&str]) -> Command {
        let given = |flag: &str| more.iter().take_while(|word| **word != "--").any(|word| *word == flag);
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        command.arg("profile").arg("--output").arg(file);
        if !given("--engine") {
            command.arg("--engine").arg(standin_vllm::executable());
        }
        if !given("--model") {
            command.arg("--model").arg(self.home.path().join("llama-3.2-1b"));
        }
        // Another source is read as often as it can be.
        if !given("--backend") {
            command.args(["--backend", "nvml", "--nvml-lib", &self.library]);
            if !given("--interval") {
                command.args(["--interval", "20ms"]);
            }
        }
        for (flag, usual) in [("--baseline", "300ms"), ("--settle", "3s")] {
            if !given(flag) {
                command.args([flag, usual]);
            }
        }
        command.args(["--input-len", "16", "--output-len", "8", "--num-iters", "3", "--num-iters-warmup", "1"]);
        command.args(["--max-model-len", "8192", "--workload"]);
        command.arg(match kind {
            Kind::Latency => "latency",
            Kind::Serve => "serve",
            Kind::Transformers => "transformers",
        });
        // Words after -- must stay last, and the weights are made up.
        let dummy = ["--load-format", "dummy"];
        match more.iter().position(|word| *word == "--") {
            Some(place) => {
                command.args(&more[..place]).arg("--").args(dummy).args(&more[place + 1..]);
            }
            None => {
                command.args(more).arg("--").args(dummy);
            }
        }
        command.env(SCRIPT_VARIABLE, self.home.path().join("script.json")).envs(SECRETS).stdin(Stdio::null());
        command
    }

    /// No process of the engine lives on: all of them have the script's path in their environment.
    pub(super) fn nothing_is_left(&self) {
        let mark = self.home.path().join("script.json").display().to_string();
        let left: Vec<String> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let path = entry.unwrap().path();
                let mut environment = String::new();
                let mut file = fs::File::open(path.join("environ")).ok()?;
                file.read_to_string(&mut environment).ok()?;
                let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
                environment.contains(&mark).then(|| format!("{} {}", path.display(), name.trim()))
            })
            .collect();
        assert!(left.is_empty(), "these live on: {left:?}");
    }

    /// `analyze` gives the same profile, byte for byte.
    pub(super) fn is_derived_again(&self) {
        let again = self.analyzed();
        assert!(fs::read(self.file()).unwrap() == fs::read(again).unwrap(), "the profile differs from its recording's");
    }

    /// `analyze` gives a profile with this status.
    pub(super) fn is_analyzed(&self, status: &str) {
        let document: Value = serde_json::from_slice(&fs::read(self.analyzed()).unwrap()).unwrap();
        assert_eq!(document["metadata"]["status"], status);
    }

    fn analyzed(&self) -> PathBuf {
        let again = self.home.path().join("again.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        let output = command.arg("analyze").arg(self.folder()).arg("--output").arg(&again).output().unwrap();
        assert!(again.is_file(), "{}", crate::stderr(&output));
        again
    }

    /// The recording has an end, and every tick of it is a sample or stands in a gap.
    pub(super) fn no_sample_is_lost(&self) {
        let text = fs::read_to_string(self.folder().join("timeline.jsonl")).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.last().unwrap()["t"], "end", "the recording has no end");
        let of = |kind: &'static str| lines.iter().filter(move |line| line["t"] == kind);
        let ticks: Vec<u64> = of("sample").map(|line| line["tick"].as_u64().unwrap()).collect();
        let missed: u64 = of("gap").filter_map(|gap| gap["missed"].as_u64()).sum();
        // A run that is stopped at once may end before its first sample.
        let expected = ticks.last().map_or(0, |last| last - ticks[0] + 1);
        let taken = u64::try_from(ticks.len()).unwrap();
        assert!(taken + missed >= expected, "{taken} samples and {missed} missed ticks of {expected}");
    }
}

/// The phases of a profile, in order.
pub(super) fn phases(document: &Value) -> Vec<String> {
    let phases = document["phases"].as_array().unwrap();
    phases.iter().map(|phase| phase["phase"].as_str().unwrap().to_owned()).collect()
}

/// Where a failure at the beginning of a phase of the engine may be seen: the phase before it has not ended for the
/// watcher until the engine says so.
pub(super) fn phases_of_failure(at: Phase) -> &'static [&'static str] {
    match at {
        Phase::Launch => &["launch"],
        Phase::Load => &["launch", "load"],
        Phase::Ready => &["load", "ready", "warmup"],
        Phase::Warmup => &["ready", "warmup"],
        Phase::Measure => &["warmup", "measure"],
        Phase::Shutdown => &["measure", "shutdown"],
    }
}

/// The bytes of a part.
pub(super) fn part(breakdown: &Value, kind: &str) -> u64 {
    let parts = breakdown["components"].as_array().unwrap();
    parts.iter().find(|part| part["kind"] == kind).map_or(0, |part| part["size_bytes"].as_u64().unwrap())
}

/// peak = baseline + parts + residual.
pub(super) fn adds_up(breakdown: &Value) {
    let amount = |value: &Value| value.as_i64().unwrap_or(0);
    let parts: i64 = breakdown["components"].as_array().unwrap().iter().map(|part| amount(&part["size_bytes"])).sum();
    let sum = amount(&breakdown["baseline_bytes"]) + parts + amount(&breakdown["residual_bytes"]);
    assert_eq!(sum, amount(&breakdown["total_measured_bytes"]), "{breakdown}");
}

/// Runs each case, a few at a time; the first that fails fails the test.
pub(crate) fn in_parallel<T: Sync>(cases: Vec<T>, run: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    run(case);
                }
            });
        }
    });
}

/// The same command at the end of a shell script, as `"$@"`.
pub(super) fn under(command: &Command, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::null());
    shell
}

/// This command, to which a hangup is a signal again: whoever started the tests may have told all their children to
/// ignore it, as `nohup` does.
pub(crate) fn hearing_hangups(command: &Command) -> Command {
    let mut reset = under(command, "exec env --default-signal=HUP \"$@\"");
    if let Some(folder) = command.get_current_dir() {
        reset.current_dir(folder);
    }
    reset
}

/// Sends a signal.
pub(super) fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// The codes of what a profile found.
pub(super) fn found(document: &Value) -> Vec<&str> {
    document["diagnostics"].as_array().unwrap().iter().map(|found| found["code"].as_str().unwrap()).collect()
}
