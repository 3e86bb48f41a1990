//! `vramscope doctor`: on machines made of a folder, stand-in libraries and scripts.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, thread};

use serde_json::{Value, json};

use crate::gpus::stand_in;
use crate::stdout;

/// A machine: a root folder with `bin` as its PATH.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("etc/group", "root:x:0:\nrender:x:993:\n");
        machine
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.write(&format!("bin/{name}"), text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn doctor(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        let root = self.root().to_str().unwrap();
        command.args(["doctor", "--sys-root", root, "--results", root]).args(args);
        command.env_clear().env("PATH", self.root().join("bin")).env("LD_LIBRARY_PATH", self.root());
        command
    }

    fn report(&self, args: &[&str]) -> (Option<i32>, Value) {
        let output = self.doctor(&[args, &["--format", "json"]].concat());
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    }
}

fn check<'r>(report: &'r Value, name: &str) -> &'r Value {
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name} in {report:#}"))
}

#[test]
fn a_machine_with_a_gpu_and_vllm_can_profile() {
    let machine = Machine::new();
    machine.program("vllm", "#!/bin/sh\necho 0.25.1\n");
    machine.write(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (x)\n",
    );
    machine.write("dev/nvidia0", "");
    let nvml = stand_in(machine.root(), "libstandin_nvml.so", "libnvidia-ml.so.1", &json!({}));
    let (code, report) = machine.report(&["--nvml-lib", &nvml]);
    assert_eq!((code, &report["can_profile"], &report["missing"]), (Some(0), &json!(true), &json!([])));
    assert_eq!(check(&report, "nvml")["status"], "ok");
    assert!(check(&report, "nvml")["found"].as_str().unwrap().contains("GiB in use"));
    assert_eq!(check(&report, "NVIDIA kernel driver")["version"], "580.159.04");
    assert_eq!(check(&report, "vLLM")["version"], "0.25.1");
    assert_eq!(check(&report, "/dev/nvidia*")["status"], "ok");
    assert_eq!(check(&report, "rocm")["status"], "absent");
    assert_eq!(check(&report, "container")["status"], "ok");
    let table = stdout(&machine.doctor(&["--nvml-lib", &nvml]));
    assert!(table.ends_with("Profiling can run here.\n"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80 || line.contains("/")), "{table}");
}

#[test]
fn a_machine_without_a_gpu_cannot_and_says_why_and_what_to_do() {
    let machine = Machine::new();
    machine.program("vllm", "#!/bin/sh\necho 0.25.1\n");
    machine.write(".dockerenv", "");
    let (code, report) = machine.report(&[]);
    assert_eq!((code, &report["can_profile"]), (Some(7), &json!(false)));
    assert_eq!(report["missing"], json!(["no GPU can be read"]));
    let nvml = check(&report, "nvml")["found"].as_str().unwrap().to_owned();
    assert!(nvml.contains("libnvidia-ml.so.1") && nvml.contains("install"), "{nvml}");
    assert_eq!(check(&report, "container")["found"], "inside one of Docker");
    assert!(check(&report, "container")["advice"].as_str().unwrap().contains("--gpus all"));
    let table = stdout(&machine.doctor(&[]));
    assert!(table.ends_with("Profiling cannot run here:\n  - no GPU can be read\n"), "{table}");
}

#[test]
fn a_machine_without_a_gpu_whose_processes_can_be_measured_is_told_from_one_that_cannot_profile() {
    let machine = Machine::new();
    machine.program("vllm", "#!/bin/sh\necho 0.25.1\n");
    machine.write("proc/meminfo", "MemTotal:       24000000 kB\n");
    let (code, report) = machine.report(&[]);
    assert_eq!((code, &report["can_profile"], &report["missing"]), (Some(0), &json!(true), &json!([])));
    assert!(check(&report, "process memory")["found"].as_str().unwrap().contains("processes is measured instead"));
    let table = stdout(&machine.doctor(&[]));
    assert!(table.ends_with("Profiling can run here on the memory of processes; no GPU can be read.\n"), "{table}");
    // Who asks for a GPU gets no other thing.
    let (code, report) = machine.report(&["--backend", "nvml"]);
    assert_eq!((code, &report["can_profile"]), (Some(7), &json!(false)));
}

#[test]
fn a_driver_that_opens_and_denies_its_readings_is_not_enough() {
    let machine = Machine::new();
    machine.program("vllm", "#!/bin/sh\necho 0.25.1\n");
    let denied = json!({"codes": {"nvmlDeviceGetMemoryInfo_v2": 4, "nvmlDeviceGetMemoryInfo": 4}});
    let nvml = stand_in(machine.root(), "libstandin_nvml.so", "libnvidia-ml.so.1", &denied);
    let (code, report) = machine.report(&["--nvml-lib", &nvml]);
    assert_eq!((code, &check(&report, "nvml")["status"]), (Some(7), &json!("failed")), "{report:#}");
}

#[test]
fn without_an_engine_it_says_what_could_run_one() {
    let machine = Machine::new();
    let nvml = stand_in(machine.root(), "libstandin_nvml.so", "libnvidia-ml.so.1", &json!({}));
    let (code, report) = machine.report(&["--nvml-lib", &nvml]);
    assert_eq!(code, Some(8));
    assert!(report["missing"][0].as_str().unwrap().contains("neither vLLM nor a Docker"), "{report:#}");
    assert_eq!(check(&report, "Docker")["status"], "absent");
}

/// Answers each connection with the same document, as a daemon does.
fn daemon(socket: PathBuf, document: Value) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever goes away before the question has come whole breaks the pipe under it.
            let (mut asked, mut byte) = (Vec::new(), [0]);
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                asked.push(byte[0]);
            }
            write!(stream, "HTTP/1.0 200 OK\r\n\r\n{document}").unwrap();
        }
    });
}

#[test]
fn the_daemon_that_docker_host_names_is_asked() {
    let machine = Machine::new();
    fs::create_dir_all(machine.root().join("run")).unwrap();
    daemon(machine.root().join("run/mine.sock"), json!({"Version": "28.2.2"}));
    let nvml = stand_in(machine.root(), "libstandin_nvml.so", "libnvidia-ml.so.1", &json!({}));
    let report = |address: &str| -> (Option<i32>, Value) {
        let mut command = machine.command(&["--nvml-lib", &nvml, "--format", "json"]);
        let output = command.env("DOCKER_HOST", address).output().unwrap();
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    };
    let (code, found) = report("unix:///run/mine.sock");
    let docker = check(&found, "Docker");
    assert_eq!((code, &docker["status"], &docker["version"]), (Some(0), &json!("ok"), &json!("28.2.2")), "{found:#}");
    let (code, far) = report("tcp://127.0.0.1:2375");
    let docker = check(&far, "Docker");
    assert_eq!((code, &docker["status"]), (Some(8), &json!("failed")), "{far:#}");
    assert!(docker["advice"].as_str().unwrap().starts_with("unset DOCKER_HOST"), "{far:#}");
}

#[test]
fn a_vllm_that_does_not_answer_is_given_up() {
    let machine = Machine::new();
    machine.program("vllm", "#!/bin/sh\nexec /bin/sleep 600\n");
    let nvml = stand_in(machine.root(), "libstandin_nvml.so", "libnvidia-ml.so.1", &json!({}));
    let (code, report) = machine.report(&["--nvml-lib", &nvml, "--patience", "1"]);
    assert_eq!((code, &check(&report, "vLLM")["status"]), (Some(8), &json!("failed")));
    assert!(check(&report, "vLLM")["found"].as_str().unwrap().contains("no answer within 1 s"));
}

#[test]
fn a_folder_that_takes_no_files_is_named() {
    let machine = Machine::new();
    machine.program("vllm", "#!/bin/sh\necho 0.25.1\n");
    let nvml = stand_in(machine.root(), "libstandin_nvml.so", "libnvidia-ml.so.1", &json!({}));
    let output = Command::new(env!("CARGO_BIN_EXE_vramscope"))
        .args(["doctor", "--nvml-lib", &nvml, "--results", "/proc/results", "--format", "json", "--sys-root"])
        .arg(machine.root())
        .env("PATH", machine.root().join("bin"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(8));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(check(&report, "results in /proc/results")["status"], "failed");
}
