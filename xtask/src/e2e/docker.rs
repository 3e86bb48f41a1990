//! The container host's own tests, and `vramscope profile` with the engine in a container: a root file system of empty
//! folders made on the spot, into which this machine's libraries, the environment with vLLM and the model are mounted.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::profile::{
    FAST, INTERVAL, SEED, check_engine, check_phases, check_probe, check_requests, derived_again, engine_environment,
    free_port, no_secret_in, wait_for,
};
use super::{Bench, VLLM, done, read_json};
use crate::built::{self, DOCKER_TESTS};
use crate::debian;

/// The image that is made.
const IMAGE: &str = "vramscope-e2e:empty";
/// The container into which engines are started.
const HOST: &str = "vramscope-e2e-host";
/// The container whose own program is the server.
const SERVER: &str = "vramscope-e2e-server";
/// The package that brings the daemon, by Debian's name.
const PACKAGE: &str = "docker.io";
/// A program that is a shell and needs no library: what the containers of the host's own tests hold.
const SHELL: (&str, &str) = ("/bin/busybox", "busybox-static");
/// Folders of the root file system; what a Debian has as links is made as links, but for `sbin`: there the daemon puts its
/// own first process, which a mount over `usr` would hide.
const FOLDERS: &[&str] = &["usr", "etc", "tmp", "proc", "sys", "dev", "root", "sbin", "var", "run"];
const LINKS: &[(&str, &str)] = &[("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];

/// A new container, a container that runs already, one that is killed in the middle, and one that serves.
pub(super) fn run(bench: &Bench) -> anyhow::Result<()> {
    let daemon = Daemon::find(bench)?;
    engine_tests(bench, &daemon)?;
    make_image(&daemon)?;
    let result = in_a_new_container(bench, &daemon)
        .context("in a new container")
        .and_then(|()| in_a_running_container(bench, &daemon).context("in a running container"))
        .and_then(|()| served_by_a_container(bench, &daemon).context("served by a container"));
    // Whatever came of it, the container and the image go.
    for name in [HOST, SERVER] {
        let _ = daemon.docker().args(["rm", "--force", name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    let _ = daemon.docker().args(["rmi", "--force", IMAGE]).stdout(Stdio::null()).status();
    result
}

/// The tests of the container host that need a daemon.
fn engine_tests(bench: &Bench, daemon: &Daemon) -> anyhow::Result<()> {
    if !Path::new(SHELL.0).exists() {
        debian::install(&[SHELL.1])?;
    }
    let programs = built::programs(&bench.root)?;
    let tests: Vec<_> = programs.iter().filter(|p| p.test && p.kind == "test" && p.docker_tests).collect();
    ensure!(!tests.is_empty(), "no crate has the feature {}", DOCKER_TESTS.0);
    for program in tests {
        let mut test = program.command();
        if let Some(host) = daemon.host() {
            test.env("DOCKER_HOST", host);
        }
        done(test.arg(DOCKER_TESTS.1), &format!("test the containers of {}", program.package))?;
    }
    Ok(())
}

fn in_a_new_container(bench: &Bench, daemon: &Daemon) -> anyhow::Result<()> {
    let file = bench.work.join("docker-image.json");
    let mut command = profile(bench, daemon, &file);
    command.args(["--image", IMAGE, "--workload", "serve", "--num-prompts", "4", "--batch-size", "2"]).args(SEED);
    for path in mounts(bench)? {
        command.arg("--mount").arg(path);
    }
    for (name, _) in engine_environment() {
        command.args(["--env", name]);
    }
    let document = complete(command, &file)?;
    check_phases(&document, &["ready"])?;
    check_engine(&document)?;
    check_requests(&document, 4, 4 * 16)?;
    ensure!(document["host"]["image"] == IMAGE, "image {}", document["host"]["image"]);
    nothing_left(daemon)?;
    derived_again(bench, &file)?;

    let file = bench.work.join("docker-image-probe.json");
    let mut command = probe(bench, daemon, &file, &bench.python().to_string_lossy());
    command.arg("--model").arg(&bench.model).args(["--image", IMAGE]);
    for path in mounts(bench)? {
        command.arg("--mount").arg(path);
    }
    let document = complete(command, &file)?;
    check_probe(&document)?;
    ensure!(file.with_extension("").join("probe.py").is_file(), "the recording has no probe");
    nothing_left(daemon)?;
    derived_again(bench, &file)?;
    interrupted_in_the_middle(bench, daemon)
}

/// Ctrl-C while the bundled script generates in a new container: what it has measured by then is in the profile.
fn interrupted_in_the_middle(bench: &Bench, daemon: &Daemon) -> anyhow::Result<()> {
    let file = bench.work.join("docker-image-interrupted.json");
    let mut command = short(bench, daemon, &file);
    command.args(["--workload", "transformers", "--image", IMAGE, "--num-iters", "1000000"]);
    command.arg("--engine").arg(bench.python()).arg("--model").arg(&bench.model);
    for path in mounts(bench)? {
        command.arg("--mount").arg(path);
    }
    let mut child = command.stdout(Stdio::null()).spawn().context("run vramscope profile")?;
    let folder = file.with_extension("");
    let measures =
        || std::fs::read_to_string(folder.join("engine.log")).is_ok_and(|log| log.contains("vramscope-probe: measure"));
    wait(&mut child, "the probe's measurement", measures)?;
    done(Command::new("kill").args(["-INT", &child.id().to_string()]), "interrupt vramscope profile")?;
    let status = child.wait().context("wait for vramscope profile")?;
    ensure!(status.code() == Some(130), "interrupted: exit code {:?} instead of 130", status.code());
    let document = read_json(&file)?;
    ensure!(document["metadata"]["status"] == "interrupted", "status {}", document["metadata"]);
    let result = read_json(&folder.join("probe.json")).context("the interrupted probe's result")?;
    ensure!(result["error"]["kind"] == "interrupted", "the probe says {}", result["error"]);
    check_probe(&document)?;
    nothing_left(daemon)?;
    derived_again(bench, &file)
}

fn in_a_running_container(bench: &Bench, daemon: &Daemon) -> anyhow::Result<()> {
    let mut start = container(bench, daemon, HOST)?;
    done(start.args(["--detach", IMAGE, "sleep", "infinity"]).stdout(Stdio::null()), "start a container")?;
    let file = bench.work.join("docker-exec.json");
    let mut command = profile(bench, daemon, &file);
    command.args(["--container", HOST, "--num-iters", "60", "--num-iters-warmup", "1", "--batch-size", "2"]);
    let document = complete(command, &file)?;
    check_phases(&document, &["ready"])?;
    check_engine(&document)?;
    ensure!(document["latency_stats"]["num_iterations"] == 60, "iterations {}", document["latency_stats"]);
    ensure!(document["host"]["container"] == HOST, "container {}", document["host"]["container"]);
    derived_again(bench, &file)?;
    the_probe_in_a_running_container(bench, daemon)?;

    let command = profile(bench, daemon, &bench.work.join("docker-gone.json"));
    killed_in_the_middle(daemon, command, &bench.work.join("docker-gone.json"))?;
    done(daemon.docker().args(["start", HOST]).stdout(Stdio::null()), "start the container again")?;
    let file = bench.work.join("docker-gone-probe.json");
    let mut command = probe(bench, daemon, &file, &bench.python().to_string_lossy());
    command.arg("--model").arg(&bench.model);
    killed_in_the_middle(daemon, command, &file)
}

/// A server that somebody else started as a container of its own: its log and its processes are found by its name, and it
/// runs on.
fn served_by_a_container(bench: &Bench, daemon: &Daemon) -> anyhow::Result<()> {
    let port = free_port()?;
    let mut start = container(bench, daemon, SERVER)?;
    start.arg(IMAGE).arg(bench.vllm()).arg("serve").arg(&bench.model).args(FAST);
    start.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    let mut server = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start a server's container")?;
    wait_for(port, &mut server)?;
    let file = bench.work.join("docker-server.json");
    let mut command = short(bench, daemon, &file);
    command.args(["--url", &format!("http://127.0.0.1:{port}"), "--container", SERVER]);
    command.args(["--num-prompts", "4", "--batch-size", "2"]).args(SEED);
    let status = command.stdout(Stdio::null()).status().context("run vramscope profile")?;
    ensure!(status.success(), "vramscope profile: {status}");
    let document = read_json(&file)?;
    check_phases(&document, &["warmup", "measure"])?;
    check_requests(&document, 4, 4 * 16)?;
    check_engine(&document)?;
    ensure!(document["host"]["container"] == SERVER, "container {}", document["host"]);
    no_secret_in(&file.with_extension(""))?;
    ensure!(server.try_wait()?.is_none(), "the server was stopped");
    done(daemon.docker().args(["stop", SERVER]).stdout(Stdio::null()), "stop the server's container")?;
    server.wait().context("wait for the server's container")?;
    derived_again(bench, &file)
}

/// `docker run` with what an engine needs of this machine.
fn container(bench: &Bench, daemon: &Daemon, name: &str) -> anyhow::Result<Command> {
    // A stage that was ended in the middle of it left its container behind.
    let _ = daemon.docker().args(["rm", "--force", name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let mut start = daemon.docker();
    start.args(["run", "--name", name, "--network", "host", "--ipc", "host"]);
    for (name, value) in engine_environment() {
        start.arg("--env").arg(format!("{name}={value}"));
    }
    for path in mounts(bench)? {
        start.arg("--volume").arg(format!("{0}:{0}", path.display()));
    }
    Ok(start)
}

/// The bundled script with a torch of the container, without one, without the model, without a Python.
fn the_probe_in_a_running_container(bench: &Bench, daemon: &Daemon) -> anyhow::Result<()> {
    let python = bench.python().to_string_lossy().into_owned();
    let file = bench.work.join("docker-exec-probe.json");
    let mut command = probe(bench, daemon, &file, &python);
    command.arg("--model").arg(&bench.model).args(["--container", HOST]);
    check_probe(&complete(command, &file)?)?;
    derived_again(bench, &file)?;

    let absent = PathBuf::from("/no/such/model");
    // Without `site`, Python does not see what is installed in its environment.
    let bare = format!("{python} -S");
    let cases = [
        ("torch", &*bare, &bench.model, 6, "install torch and transformers into this Python"),
        ("model", &python, &absent, 6, "/no/such/model is no folder"),
        ("python", "no-such-python", &bench.model, 9, "in the container no-such-python is not there"),
    ];
    for (name, python, model, code, cause) in cases {
        let file = bench.work.join(format!("docker-no-{name}.json"));
        let mut command = probe(bench, daemon, &file, python);
        command.arg("--model").arg(model).args(["--container", HOST]);
        let status = command.stdout(Stdio::null()).status().context("run vramscope profile")?;
        ensure!(status.code() == Some(code), "without {name}: exit code {:?} instead of {code}", status.code());
        let document = read_json(&file)?;
        ensure!(document["metadata"]["status"] == "failed", "without {name}: status {}", document["metadata"]);
        let message = document["failure"]["message"].as_str().unwrap_or_default();
        ensure!(message.contains(cause), "without {name}: {message}");
        let result = file.with_extension("").join("probe.json");
        ensure!(result.exists() == (code == 6), "without {name}: the probe's result is there: {}", result.exists());
    }
    let listed = daemon.docker().args(["exec", HOST, "ls", "/tmp"]).output().context("list the container's /tmp")?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(!listed.contains("vramscope-"), "files are left in the container: {listed}");
    Ok(())
}

/// A run whose container somebody kills.
fn killed_in_the_middle(daemon: &Daemon, mut command: Command, file: &Path) -> anyhow::Result<()> {
    let mut child = command.args(["--container", HOST]).spawn().context("run vramscope profile")?;
    let folder = file.with_extension("");
    let log = folder.join("engine.log");
    wait(&mut child, "the engine's first line", || log.metadata().is_ok_and(|file| file.len() > 0))?;
    done(daemon.docker().args(["kill", HOST]).stdout(Stdio::null()), "kill the container")?;
    let status = child.wait().context("wait for vramscope profile")?;
    ensure!(status.code() == Some(9), "a container that is gone: exit code {:?} instead of 9", status.code());
    let document = read_json(file)?;
    ensure!(document["failure"]["kind"] == "container_gone", "failure {}", document["failure"]);
    nothing_left(daemon)
}

/// vLLM with the model and what keeps a run short.
fn profile(bench: &Bench, daemon: &Daemon, file: &Path) -> Command {
    let mut command = short(bench, daemon, file);
    command.arg("--engine").arg(bench.vllm()).arg("--model").arg(&bench.model);
    command.args(FAST);
    command
}

/// The bundled script in this Python of the container.
fn probe(bench: &Bench, daemon: &Daemon, file: &Path, python: &str) -> Command {
    let mut command = short(bench, daemon, file);
    command.args(["--workload", "transformers", "--engine", python, "--batch-size", "2"]);
    command.args(["--num-iters", "2", "--num-iters-warmup", "1"]);
    command
}

fn short(bench: &Bench, daemon: &Daemon, file: &Path) -> Command {
    let mut command = Command::new(&bench.vramscope);
    command.arg("profile").arg("--output").arg(file).args(["--input-len", "32", "--output-len", "16"]);
    command.args(["--baseline", "1s", "--interval", INTERVAL]);
    command.envs(engine_environment()).stdin(Stdio::null());
    if let Some(host) = daemon.host() {
        command.env("DOCKER_HOST", host);
    }
    command
}

fn complete(mut command: Command, file: &Path) -> anyhow::Result<Value> {
    let status = command.stdout(Stdio::null()).status().context("run vramscope profile")?;
    ensure!(status.success(), "vramscope profile: {status}");
    let document = read_json(file)?;
    ensure!(document["metadata"]["status"] == "complete", "status {}: {}", document["metadata"], document["failure"]);
    ensure!(document["host"]["kind"] == "docker", "host {}", document["host"]);
    ensure!(document["host"]["device_kind"] == "process_memory", "device {}", document["host"]);
    check_phases(&document, &["baseline", "launch", "load", "warmup", "measure", "settle"])?;
    no_secret_in(&file.with_extension(""))?;
    Ok(document)
}

/// No container that vramscope made is left.
fn nothing_left(daemon: &Daemon) -> anyhow::Result<()> {
    let listed = daemon.docker().args(["ps", "--all", "--quiet", "--filter", "label=vramscope.run"]).output();
    let listed = listed.context("list containers")?;
    ensure!(
        listed.status.success() && listed.stdout.is_empty(),
        "containers are left: {:?}",
        String::from_utf8_lossy(&listed.stdout)
    );
    Ok(())
}

/// What the container needs of this machine: libraries, Python, the environment, the model.
fn mounts(bench: &Bench) -> anyhow::Result<Vec<PathBuf>> {
    let asked = Command::new(bench.python()).args(["-c", "import sys; print(sys.base_prefix)"]).output();
    let prefix =
        String::from_utf8(asked.context("ask Python for its folder")?.stdout).context("read Python's folder")?;
    let mut paths: Vec<PathBuf> = vec!["/usr".into(), "/etc".into(), bench.venv.clone(), bench.model.clone()];
    let prefix = PathBuf::from(prefix.trim());
    if !prefix.starts_with("/usr") {
        paths.push(prefix);
    }
    paths.iter().map(|path| path.canonicalize().with_context(|| format!("find {}", path.display()))).collect()
}

/// An image of empty folders, from a tar archive made here.
fn make_image(daemon: &Daemon) -> anyhow::Result<()> {
    let mut import = daemon.docker();
    import.args(["import", "-", IMAGE]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = import.spawn().context("run docker import")?;
    let mut archive = Vec::new();
    for folder in FOLDERS {
        archive.extend(entry(&format!("{folder}/"), b'5', ""));
    }
    for (name, target) in LINKS {
        archive.extend(entry(name, b'2', target));
    }
    archive.extend([0; 1024]);
    child.stdin.take().context("write the image")?.write_all(&archive).context("write the image")?;
    ensure!(child.wait()?.success(), "docker import failed");
    Ok(())
}

/// A header of a tar archive (ustar): a folder or a link, which have no content.
fn entry(name: &str, kind: u8, target: &str) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, "00000000000");
    put(136, "00000000000");
    put(148, "        ");
    put(157, target);
    put(257, "ustar");
    put(263, "00");
    header[156] = kind;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

/// The daemon that is used: the machine's own if it answers, else one that is started for this.
struct Daemon {
    started: Option<Child>,
    /// Its socket, if it is not the usual one.
    socket: Option<PathBuf>,
}

impl Daemon {
    fn find(bench: &Bench) -> anyhow::Result<Self> {
        let usual = Self { started: None, socket: None };
        if usual.answers() {
            return Ok(usual);
        }
        if !has_daemon() {
            debian::install(&[PACKAGE])?;
        }
        let home = bench.root.join(".local/docker");
        std::fs::create_dir_all(&home).context("make .local/docker")?;
        let socket = home.join("docker.sock");
        let log = std::fs::File::create(home.join("dockerd.log")).context("make dockerd.log")?;
        let mut start = Command::new("dockerd");
        start.arg("--host").arg(format!("unix://{}", socket.display())).arg("--data-root").arg(home.join("data"));
        start.arg("--exec-root").arg(home.join("exec")).arg("--pidfile").arg(home.join("dockerd.pid"));
        start.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let daemon = Self { started: Some(start.spawn().context("start dockerd")?), socket: Some(socket) };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !daemon.answers() {
            ensure!(Instant::now() < deadline, "dockerd does not answer; see {}", home.join("dockerd.log").display());
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(daemon)
    }

    /// Where it listens, if that is not the usual place.
    fn host(&self) -> Option<String> {
        self.socket.as_ref().map(|socket| format!("unix://{}", socket.display()))
    }

    /// The client, told where the daemon is.
    fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        if let Some(host) = self.host() {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    fn answers(&self) -> bool {
        let mut asked = self.docker();
        asked.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.started {
            // It ends its own helpers when it is asked to.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
            // The daemon leaves its network's name mounted, and a folder with a mount in it cannot be removed.
            if let Some(home) = self.socket.as_deref().and_then(Path::parent) {
                let mut unmount = Command::new("umount");
                let _ = unmount.arg(home.join("exec/netns/default")).stderr(Stdio::null()).status();
            }
        }
    }
}

/// Packages that this stage needs and that are not there.
pub(super) fn missing_packages() -> Vec<&'static str> {
    let answers = Daemon { started: None, socket: None }.answers();
    let mut missing = Vec::new();
    if !answers && !has_daemon() {
        missing.push(PACKAGE);
    }
    if !Path::new(SHELL.0).exists() {
        missing.push(SHELL.1);
    }
    missing
}

fn has_daemon() -> bool {
    let there = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    there("dockerd") && there("docker")
}

/// Waits until something is so, as long as the child lives, five minutes at most.
fn wait(child: &mut Child, what: &str, so: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(300);
    while !so() {
        if let Some(status) = child.try_wait()? {
            bail!("vramscope profile ended before {what}: {status}");
        }
        ensure!(Instant::now() < deadline, "waited five minutes for {what} of vLLM {VLLM}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
