//! Engines in real containers. They need a Docker daemon and a static busybox (Debian's `busybox-static`), from which
//! an image is made; nothing is downloaded.

use std::path::Path;
use std::process::{Child, Command as StdCommand, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use std::{fs, thread};

use vramscope_core::Bytes;
use vramscope_host::{
    BindMount, Command, ContainerNetwork, ContainerSpec, DockerHost, DockerPlace, Engine, EngineError, EngineEvent,
    EngineHost, LogStart, LogStream, docker_socket,
};

use crate::{LONG, alive, line, rest, sh, wait_until, with_text};

/// What `docker` prints; it must succeed.
fn docker(args: &[&str]) -> String {
    let output = StdCommand::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An image with a shell and nothing else, made once and kept.
fn image() -> &'static str {
    const NAME: &str = "vramscope-test:busybox-1";
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        if !docker(&["images", "-q", NAME]).is_empty() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(root.path().join("tmp")).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).expect("install busybox-static");
        for applet in ["sh", "sleep", "grep", "rm", "cat", "setsid", "env", "yes", "true", "id", "df"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let mut tar =
            StdCommand::new("tar").arg("-C").arg(root.path()).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
        let pipe = tar.stdout.take().unwrap();
        let import = ["import", "--change", r#"ENTRYPOINT ["/bin/sh", "-c"]"#, "-", NAME];
        let status = StdCommand::new("docker").args(import).stdin(pipe).stdout(Stdio::null()).status();
        assert!(tar.wait().unwrap().success() && status.unwrap().success());
    });
    NAME
}

/// The daemon that `docker` speaks to.
fn at_daemon(place: DockerPlace) -> DockerHost {
    DockerHost::new(docker_socket(std::env::var_os("DOCKER_HOST").as_deref()).unwrap(), place)
}

fn spec(run: &str) -> ContainerSpec {
    ContainerSpec { image: image().to_owned(), run: run.to_owned(), ..ContainerSpec::default() }
}

fn host(spec: ContainerSpec) -> EngineHost {
    EngineHost::Docker(at_daemon(DockerPlace::Run(Box::new(spec))))
}

/// The ids of a run's containers.
fn of_run(run: &str) -> String {
    docker(&["ps", "-aq", "--filter", &format!("label=vramscope.run={run}")])
}

/// A container that serves `script`, started by somebody else.
struct Server(String);

impl Server {
    fn start(options: &[&str], words: &[&str]) -> Self {
        Self(docker(&[&["run", "-d", "--init"], options, &[image()], words].concat()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.0]);
    }
}

#[tokio::test]
async fn a_container_gives_its_streams_its_exit_code_and_is_removed() {
    let host = host(spec("streams"));
    let mut engine = host.start(&sh("echo out $X; echo err >&2; exit 7").env("X", "1")).await.unwrap();
    let mut lines = Vec::new();
    let exit = loop {
        match engine.next().await {
            EngineEvent::Line(line) => lines.push((line.stream, String::from_utf8(line.bytes).unwrap())),
            EngineEvent::LogLost { reason } => panic!("{reason}"),
            EngineEvent::Exited(exit) => break exit,
        }
    };
    lines.sort_by_key(|line| line.1.clone());
    assert_eq!(lines, [(LogStream::Stderr, "err".to_owned()), (LogStream::Stdout, "out 1".to_owned())]);
    assert_eq!((exit.code, exit.oom_killed), (Some(7), false));
    assert_ne!(of_run("streams"), "", "its files can still be read");
    assert_eq!(engine.stop(LONG).await.unwrap(), exit);
    assert_eq!(of_run("streams"), "");
}

#[tokio::test]
async fn it_is_asked_first_and_killed_last() {
    let host = host(spec("grace"));
    let mut engine =
        host.start(&sh("trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.1; done")).await.unwrap();
    assert_eq!(line(&mut engine).await, "up");
    assert_eq!(engine.stop(LONG).await.unwrap().code, Some(0));
    assert_eq!(rest(&mut engine).await.0, ["bye"]);

    let stubborn = "trap '' INT TERM HUP; echo up; while :; do sleep 901.25; done";
    let mut engine = host.start(&sh(stubborn)).await.unwrap();
    assert_eq!(line(&mut engine).await, "up");
    wait_until("sleep\x00901.25", 1);
    let pids = engine.pids();
    assert!(pids.iter().any(|pid| with_text("sleep\x00901.25").contains(pid)), "{pids:?}");
    assert_eq!(engine.stop(Duration::from_millis(300)).await.unwrap().code, Some(137));
    assert!(pids.iter().all(|pid| !alive(*pid)));
    assert_eq!(of_run("grace"), "");
}

#[tokio::test]
async fn to_drop_it_is_to_remove_it() {
    let mut engine =
        host(spec("drop")).start(&sh("trap '' INT TERM; echo up; while :; do sleep 1; done")).await.unwrap();
    line(&mut engine).await;
    drop(engine);
    assert_eq!(of_run("drop"), "");
}

#[tokio::test]
async fn the_container_is_made_as_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in"), "from outside").unwrap();
    let mount = BindMount { source: folder.path().to_owned(), target: "/data".into(), read_only: false };
    let shm = Some(Bytes::new(128 << 20));
    let network = ContainerNetwork::None;
    let host = host(ContainerSpec { mounts: vec![mount], shm, network, ..spec("made") });
    let mut command = sh("cat in; echo; df -k /dev/shm; echo result > /tmp/result; echo kept > out; sleep 902.25");
    command.directory = Some("/data".into());
    let mut engine = host.start(&command).await.unwrap();
    assert_eq!(line(&mut engine).await, "from outside");
    line(&mut engine).await;
    assert!(line(&mut engine).await.contains("131072"), "/dev/shm has 128 MiB");
    wait_until("sleep\x00902.25", 1);
    let container = engine.container().unwrap();
    assert!(container.running && !container.name.is_empty() && !container.host_network);
    assert_eq!(container.on_this_machine(Path::new("/data/in")), Some(folder.path().join("in")));
    assert_eq!(host.read_file(Path::new("/tmp/result"), 100).await.unwrap(), b"result\n");
    assert!(matches!(host.read_file(Path::new("/tmp/result"), 3).await, Err(EngineError::TooLarge { .. })));
    assert!(matches!(host.read_file(Path::new("/tmp/absent"), 3).await, Err(EngineError::Read { .. })));
    host.remove_file(Path::new("/tmp/result")).await.unwrap();
    assert!(matches!(host.remove_file(Path::new("/tmp/result")).await, Err(EngineError::Remove { .. })));
    host.remove_file(Path::new("/data/out")).await.unwrap();
    assert!(!folder.path().join("out").exists());
    engine.stop(LONG).await.unwrap();
}

#[tokio::test]
async fn a_file_is_brought_to_an_engine_that_may_only_read_it() {
    let path = Path::new("/tmp/brought.sh");
    let command =
        Command::new("/bin/sh").arg("/tmp/brought.sh").file(path, "id -u; (: >> $0) 2>/dev/null || echo kept");
    let new = host(ContainerSpec { user: Some("65534".to_owned()), ..spec("files") });
    let mut engine = new.start(&command).await.unwrap();
    assert_eq!(rest(&mut engine).await.0, ["65534", "kept"]);
    engine.stop(LONG).await.unwrap();
    let server = Server::start(&["--user", "65534"], &["sleep 913.25"]);
    let inside = EngineHost::Docker(at_daemon(DockerPlace::Exec { container: server.0.clone() }));
    let mut engine = inside.start(&command).await.unwrap();
    assert_eq!(rest(&mut engine).await.0, ["65534", "kept"]);
    engine.stop(LONG).await.unwrap();
    inside.remove_file(path).await.unwrap();
    assert!(matches!(inside.read_file(path, 100).await, Err(EngineError::Read { .. })));
    let nowhere = sh("true").file("/no/such/folder/x", "x");
    let error = inside.start(&nowhere).await.unwrap_err();
    assert!(matches!(error, EngineError::Write { .. }), "{error}");
    let error = new.start(&nowhere).await.unwrap_err();
    assert!(matches!(error, EngineError::Write { .. }), "{error}");
    assert_eq!(of_run("files"), "");
}

#[tokio::test]
async fn what_an_engine_writes_when_it_is_asked_to_stop_can_be_read_until_its_container_is_removed() {
    let host = host(spec("last-will"));
    let script = "trap 'echo seen > /tmp/will; exit 3' INT; echo up; while :; do sleep 0.1; done";
    let mut engine = host.start(&sh(script)).await.unwrap();
    assert_eq!(line(&mut engine).await, "up");
    let exit = engine.end(LONG).await.unwrap();
    assert_eq!(exit.code, Some(3));
    assert_eq!(host.read_file(Path::new("/tmp/will"), 100).await.unwrap(), b"seen\n");
    assert_eq!(engine.stop(LONG).await.unwrap(), exit);
    assert_eq!(of_run("last-will"), "");
    assert_eq!(engine.end(LONG).await.unwrap(), exit, "there is nothing to end any more");

    let mut engine = host.start(&sh("echo up; while :; do sleep 0.1; done")).await.unwrap();
    assert_eq!(line(&mut engine).await, "up");
    engine.end(LONG).await.unwrap();
    drop(engine);
    assert_eq!(of_run("last-will"), "", "to drop it is to remove it");
}

#[tokio::test]
async fn an_image_can_start_by_its_own_entry_point() {
    let mut engine = host(spec("entry")).start(&Command::default().arg("echo own entry point")).await.unwrap();
    assert_eq!(rest(&mut engine).await.0, ["own entry point"]);
    engine.stop(LONG).await.unwrap();
    let output = host(spec("entry")).output(&sh("echo 0.32.0"), LONG).await.unwrap();
    assert_eq!(output.stdout, b"0.32.0\n");
    assert_eq!(of_run("entry"), "");
}

#[tokio::test]
async fn a_container_that_somebody_removes_is_over_and_says_so() {
    let mut engine = host(spec("removed")).start(&sh("echo up; sleep 600")).await.unwrap();
    line(&mut engine).await;
    docker(&["rm", "-f", &of_run("removed")]);
    let (lines, exit) = rest(&mut engine).await;
    assert!(lines.iter().any(|line| line.contains("removed by somebody else")) || exit.code.is_some(), "{lines:?}");
    engine.stop(LONG).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_says_what_to_do() {
    let absent = ContainerSpec { image: "vramscope-test:absent".to_owned(), ..spec("errors") };
    let error = host(absent).start(&sh("true")).await.unwrap_err();
    assert!(matches!(error, EngineError::NoImage { .. }), "{error}");
    let exec = |container: &str| DockerPlace::Exec { container: container.to_owned() };
    let error = EngineHost::Docker(at_daemon(exec("absent"))).start(&sh("true")).await.unwrap_err();
    assert!(matches!(error, EngineError::NoContainer { .. }), "{error}");
    let error = EngineHost::Docker(DockerHost::new("/no/such.sock", exec("x"))).start(&sh("true")).await.unwrap_err();
    assert!(matches!(error, EngineError::NoDocker { .. }), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let error = EngineHost::Docker(DockerHost::new(dead, exec("x"))).start(&sh("true")).await.unwrap_err();
    assert!(matches!(error, EngineError::DockerDown { .. }), "{error}");
    let server = Server::start(&[], &["true"]);
    docker(&["wait", &server.0]);
    let error = EngineHost::Docker(at_daemon(exec(&server.0))).start(&sh("true")).await.unwrap_err();
    assert!(matches!(error, EngineError::ContainerStopped { .. }), "{error}");
    let program = host(spec("errors")).output(&Command::new("no-such-engine"), LONG).await.unwrap();
    assert_eq!(program.exit.code, Some(127));
    assert_eq!(of_run("errors"), "");
}

async fn exec(server: &Server, script: &str) -> Engine {
    let place = DockerPlace::Exec { container: server.0.clone() };
    EngineHost::Docker(at_daemon(place)).start(&sh(script)).await.unwrap()
}

#[tokio::test]
async fn an_engine_inside_a_running_container_ends_alone() {
    let server = Server::start(&[], &["sleep 903.25"]);
    let script = "trap '' INT TERM; (setsid sleep 904.25 &); sleep 904.25 & echo up; while :; do sleep 904.25; done";
    let mut engine = exec(&server, script).await;
    assert_eq!(line(&mut engine).await, "up");
    wait_until("sleep\x00904.25", 3);
    let (ours, pids) = (with_text("sleep\x00904.25"), engine.pids());
    assert!(ours.iter().all(|pid| pids.contains(pid)), "{ours:?} in {pids:?}");
    engine.stop(Duration::from_millis(300)).await.unwrap();
    assert_eq!(with_text("904.25"), [0; 0]);
    assert_eq!(with_text("sleep\x00903.25").len(), 1, "the container runs on");
}

#[tokio::test]
async fn its_exit_code_and_its_last_words_come_back() {
    let server = Server::start(&[], &["sleep 905.25"]);
    let mut engine = exec(&server, "trap 'echo bye; exit 3' INT; echo up; while :; do sleep 0.1; done").await;
    assert_eq!(line(&mut engine).await, "up");
    assert_eq!(engine.stop(LONG).await.unwrap().code, Some(3));
    assert_eq!(rest(&mut engine).await.0, ["bye"]);
    let mut engine = exec(&server, "sleep 906.25 & exit 4").await;
    assert_eq!(rest(&mut engine).await.1.code, Some(4));
    engine.stop(LONG).await.unwrap();
    assert_eq!(with_text("906.25"), [0; 0]);
}

#[tokio::test]
async fn to_drop_it_is_to_end_it_and_not_the_container() {
    let server = Server::start(&[], &["sleep 907.25"]);
    let mut engine = exec(&server, "trap '' INT TERM; echo up; while :; do sleep 908.25; done").await;
    line(&mut engine).await;
    drop(engine);
    // The guard inside does it; this thread gives the runtime a chance to close the connection.
    tokio::time::sleep(Duration::from_millis(10)).await;
    wait_until("908.25", 0);
    assert_eq!(with_text("sleep\x00907.25").len(), 1);
}

#[tokio::test]
async fn a_running_server_is_watched_and_left_alone() {
    let secret = "HF_TOKEN=hf_abcdefghijklmnopqrstuvwx";
    let options = ["-e", secret, "-e", "MODEL_ID=org/model", "-p", "127.0.0.1::8000", "--name", "vramscope-test-watch"];
    let server = Server::start(&options, &["echo one; sleep 3; echo two; sleep 909.25; echo three", "--api-key", "k"]);
    let place = DockerPlace::Watch { container: "vramscope-test-watch".to_owned(), from: LogStart::Beginning };
    let host = EngineHost::Docker(at_daemon(place));
    let mut engine = host.start(&Command::default()).await.unwrap();
    let container = engine.container().unwrap();
    assert_eq!((container.name.as_str(), container.model.as_deref()), ("vramscope-test-watch", Some("org/model")));
    assert_eq!(container.ports[0].container, 8000);
    assert!(!format!("{container:?}").contains("hf_abc") && container.args.contains(&"[redacted]".to_owned()));
    let mut times = Vec::new();
    while times.len() < 2 {
        let EngineEvent::Line(line) = engine.next().await else { panic!("the log ended") };
        times.push((String::from_utf8(line.bytes).unwrap(), line.at_unix_ns));
    }
    assert_eq!((times[0].0.as_str(), times[1].0.as_str()), ("one", "two"));
    // The daemon stamps a line when it reads it, on a busy machine late.
    assert!(times[1].1 - times[0].1 > 1_000_000_000, "the times are those of the log: {times:?}");
    wait_until("sleep\x00909.25", 1);
    assert!(engine.pids().contains(&with_text("sleep\x00909.25")[0]));
    let output = host.output(&sh("echo beside"), LONG).await.unwrap();
    assert_eq!(output.stdout, b"beside\n");
    engine.stop(LONG).await.unwrap();
    assert_eq!(with_text("sleep\x00909.25").len(), 1);
    let mut engine = host.start(&Command::default()).await.unwrap();
    docker(&["kill", &server.0]);
    assert_eq!(rest(&mut engine).await.1.code, Some(137));
}

/// The owner as a process of its own, to be killed: see `watch.rs` of the examples.
fn owner(args: &[&str]) -> Child {
    let test = std::env::current_exe().unwrap();
    let watch = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/watch");
    StdCommand::new(watch).args(args).stdout(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn a_container_ends_with_its_owner_and_the_next_run_removes_what_is_left() {
    let stubborn = "trap '' INT TERM HUP; while :; do sleep 910.25; done";
    let mut owner = owner(&["--image", image(), "sh", "-c", stubborn]);
    wait_until("sleep\x00910.25", 1);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("910.25", 0);
    // The daemon needs a moment to notice that the container has ended. Another test's run may be the one that removes it.
    let left = of_run("watch");
    let running = || {
        let inspected =
            StdCommand::new("docker").args(["inspect", "-f", "{{.State.Running}}", &left]).output().unwrap();
        inspected.stdout.starts_with(b"true")
    };
    while !left.is_empty() && running() {
        thread::sleep(Duration::from_millis(100));
    }
    host(spec("sweep")).output(&sh("true"), LONG).await.unwrap();
    assert_eq!(of_run("watch"), "");
}

#[tokio::test]
async fn an_engine_inside_a_running_container_ends_with_its_owner() {
    let server = Server::start(&[], &["sleep 911.25"]);
    let stubborn = "trap '' INT TERM HUP; while :; do sleep 912.25; done";
    let mut owner = owner(&["--container", &server.0, "sh", "-c", stubborn]);
    wait_until("sleep\x00912.25", 1);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("912.25", 0);
    assert_eq!(with_text("sleep\x00911.25").len(), 1);
}
