//! `vramscope monitor` on stand-in libraries: views, files, metrics, exit codes, and all that can end a recording.

mod exposition;
mod metrics;
mod terminal;
pub(crate) mod tools;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};
use tempfile::TempDir;
use vramscope_timeline::document::{Ending, read, read_file};

use crate::gpus::stand_in;
use crate::{stderr, stdout};

/// A folder with a stand-in driver that follows a script.
struct Machine {
    folder: TempDir,
    library: String,
}

impl Machine {
    fn new(script: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = stand_in(folder.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", script);
        Self { folder, library }
    }

    /// One device that holds 3 GiB, 2 GiB of them for process 4711 in a container.
    fn steady() -> Self {
        let machine = Self::new(&json!({"names": {"4711": "/usr/bin/python3"}, "devices": [{
            "name": "Stand-in GPU", "used": [3_221_225_472u64], "utilization": [3], "power_mw": [250_000],
            "processes": [{"pid": 4711, "used": 2_147_483_648u64}]}]}));
        let id = "0123456789abcdef".repeat(4);
        machine.write("proc/4711/stat", "4711 (VLLM::Worker) S 4700 1 1 0");
        machine.write("proc/4700/stat", "4700 (vllm) S 1 1 1 0");
        machine.write("proc/1/stat", "1 (init) S 0 1 1 0");
        machine.write("proc/4711/cgroup", &format!("0::/system.slice/docker-{id}.scope\n"));
        machine.write(&format!("var/lib/docker/containers/{id}/config.v2.json"), "{\"Name\": \"/vllm-prod\"}");
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        let root = self.folder.path().to_str().unwrap();
        command.args(["monitor", "--backend", "nvml", "--nvml-lib", &self.library, "--sys-root", root]);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = crate::profile::bench::hearing_hangups(&self.command(args));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Waits for something that comes within a second or so on an idle machine.
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn has_samples(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"t\":\"sample\""))
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn lines_come_each_second_and_the_summary_follows() {
    let out = Machine::steady().run(&["--duration", "2200ms", "--format", "lines"]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert_eq!(stderr(&out), "");
    let text = stdout(&out);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_data_eq!(
        text,
        str![[r#"
 0:01 gpu 0    3.00 of 140.40 GiB  peak   3.00   250 W    3 %   36 C   345 MHz
 0:02 gpu 0    3.00 of 140.40 GiB  peak   3.00   250 W    3 %   36 C   345 MHz
[..] s recorded: [..] ticks, one each 100 ms, [..]

GPU 0  Stand-in GPU  [..] samples
                          min   mean  median    p95    max
  memory GiB             3.00   3.00    3.00   3.00   3.00
  power W               250.0  250.0   250.0  250.0  250.0
  utilisation %           3.0    3.0     3.0    3.0    3.0
  memory traffic %        0.0    0.0     0.0    0.0    0.0
  temperature C          36.0   36.0    36.0   36.0   36.0
  memory temperature C   40.0   40.0    40.0   40.0   40.0
  shader clock MHz        345    345     345    345    345
  memory clock MHz       3201   3201    3201   3201   3201
  idle: 100.0 % of [..] s at a utilisation of 5 % or less; one period of 1.0 s or
        more
    from 0:00 for [..] s
  energy: 0.0 J by the device's counter over [..] s ([..] J by integrating power
          over [..] s)

...
sampling: [..] ms of processor time ([..] % of one core), ticks began [..] ms
[..]
...
note: device 0: mean power by the energy counter is 0 W and by the samples 250
      W: they disagree by more than a tenth

"#]]
    );
}

#[test]
fn idle_below_moves_the_threshold() {
    let out = Machine::steady().run(&["--duration", "300ms", "--format", "lines", "--idle-below", "2"]);
    assert!(stdout(&out).contains("idle: 0.0 % of"), "{}", stdout(&out));
}

#[test]
fn json_is_a_timeline_with_its_summary_last() {
    let machine = Machine::steady();
    let file = machine.path("kept.jsonl");
    let out = machine.run(&["--duration", "500ms", "--format", "json", "-o", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let recorded = read(out.stdout.as_slice()).unwrap();
    assert!(recorded.is_complete() && recorded.notes.is_empty(), "{:?}", recorded.notes);
    let last: Value = serde_json::from_str(stdout(&out).lines().last().unwrap()).unwrap();
    assert_eq!((&last["t"], &last["vramscope_timeline_report"]), (&json!("summary"), &json!(1)));
    assert_eq!(last["devices"][0]["metrics"][0]["max"], 3_221_225_472.0);
    assert_eq!(last["ticks"], recorded.end.unwrap().ticks);
    let kept = read(std::fs::read(&file).unwrap().as_slice()).unwrap();
    assert_eq!(kept.timeline.samples(), recorded.timeline.samples(), "the file has what the stream has");
}

#[test]
fn every_form_of_file_has_the_samples() {
    let machine = Machine::steady();
    for name in ["a.jsonl", "a.parquet", "a.csv"] {
        let file = machine.path(name);
        let out = machine.run(&["--duration", "300ms", "-o", file.to_str().unwrap()]);
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        let samples = if name.ends_with(".csv") {
            std::fs::read_to_string(&file).unwrap().lines().count() - 1
        } else {
            let recorded = read_file(&file).unwrap();
            assert!(recorded.is_complete() && !recorded.timeline.slow_samples().is_empty(), "{name}");
            recorded.timeline.samples().len()
        };
        assert!(stdout(&out).contains(&format!("GPU 0  Stand-in GPU  {samples} samples")), "{name}: {samples}");
    }
    assert!(!machine.path("a.parquet.part.jsonl").exists(), "nothing is left over");
}

#[test]
fn a_commands_exit_code_and_streams_are_its_own() {
    let machine = Machine::steady();
    let code = |command: &[&str]| {
        let out = machine.run(&[&["--"], command].concat());
        (out.status.code().unwrap(), stdout(&out), stderr(&out))
    };
    let (number, said, summary) = code(&["sh", "-c", "echo mine; exit 3"]);
    assert_eq!((number, said.as_str()), (3, "mine\n"));
    assert!(summary.contains("GPU 0  Stand-in GPU"), "{summary}");
    assert_eq!(code(&["sh", "-c", "kill -KILL $$"]).0, 137);
    assert_eq!(code(&["sh", "-c", "kill -TERM $$"]).0, 143);
    assert_eq!(code(&["true"]).0, 0);
    let (number, _, said) = code(&["/nowhere/program"]);
    assert!(number == 127 && said.contains("could not start /nowhere/program"), "{said}");
    machine.write("kept.jsonl", "an earlier recording");
    let kept = machine.path("kept.jsonl");
    let typo = machine.run(&["-o", kept.to_str().unwrap(), "--", "no-such-program"]);
    assert_eq!(
        (typo.status.code(), std::fs::read_to_string(&kept).unwrap().as_str()),
        (Some(127), "an earlier recording")
    );
    machine.write("text", "no program");
    assert_eq!(code(&[machine.path("text").to_str().unwrap()]).0, 126);

    let mut child = machine.command(&["--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), "through");
}

#[test]
fn a_signal_to_the_monitor_reaches_the_command() {
    let machine = Machine::steady();
    let script = "trap 'echo got it; exit 9' TERM; touch \"$0\"; while :; do sleep 0.05; done";
    let ready = machine.path("ready");
    let file = machine.path("a.jsonl");
    let out = ["-o", file.to_str().unwrap(), "--", "sh", "-c", script, ready.to_str().unwrap()];
    let child = machine.start(&out);
    wait_for("the command", || ready.exists());
    send(&child, Signal::TERM);
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), stdout(&out).as_str()), (Some(9), "got it\n"));
    assert_eq!(read(std::fs::read(file).unwrap().as_slice()).unwrap().end.unwrap().ending, Ending::Finished);
}

#[test]
fn ctrl_c_and_termination_finish_the_file_and_print_the_summary() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let machine = Machine::steady();
        let file = machine.path("a.jsonl");
        let child = machine.start(&["-o", file.to_str().unwrap()]);
        wait_for("samples", || has_samples(&file));
        send(&child, signal);
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(130), "{}", stderr(&out));
        assert!(stdout(&out).contains("GPU 0  Stand-in GPU") && stdout(&out).contains("recorded in "));
        let recorded = read(std::fs::read(file).unwrap().as_slice()).unwrap();
        assert_eq!(recorded.end.unwrap().ending, Ending::Interrupted);
    }
}

#[test]
fn under_nohup_a_terminal_may_go_away() {
    let machine = Machine::steady();
    let file = machine.path("a.jsonl");
    let command = machine.command(&["-o", file.to_str().unwrap()]);
    let mut nohup = Command::new("nohup");
    nohup.arg(command.get_program()).args(command.get_args());
    nohup.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = nohup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("samples", || has_samples(&file));
    send(&child, Signal::HUP);
    let samples = || read(std::fs::read(&file).unwrap().as_slice()).unwrap().timeline.samples().len();
    let before = samples();
    // To end takes no second, which is what ten further samples take.
    wait_for("ten further samples", || samples() > before + 10);
    send(&child, Signal::TERM);
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", stderr(&out));
}

#[test]
fn a_lost_device_ends_the_recording_when_it_was_the_only_one() {
    let machine = Machine::new(&json!({"devices": [{"lost_after": 5}]}));
    let file = machine.path("a.jsonl");
    let out = machine.run(&["-o", file.to_str().unwrap(), "--interval", "20ms"]);
    assert_eq!(out.status.code(), Some(7));
    assert!(stderr(&out).contains("GPU 0 is lost"), "{}", stderr(&out));
    assert!(stdout(&out).contains("gap: GPU 0: the device was lost"), "{}", stdout(&out));
    let recorded = read(std::fs::read(file).unwrap().as_slice()).unwrap();
    assert_eq!(recorded.end.unwrap().ending, Ending::DevicesLost);
    assert!(!recorded.timeline.samples().is_empty(), "what came before is kept");
}

#[test]
fn a_lost_device_leaves_the_others_recorded_and_is_told_at_the_end() {
    let other = json!({"uuid": "GPU-11111111-0000", "bus": "00000000:02:00.0"});
    let machine = Machine::new(&json!({"devices": [{"lost_after": 5}, other]}));
    let out = machine.run(&["--interval", "20ms", "--duration", "1100ms"]);
    assert_eq!(out.status.code(), Some(7));
    let text = stdout(&out);
    assert!(text.contains("gpu 0  lost") && text.contains("gpu 1"), "{text}");
}

#[test]
fn a_full_disk_ends_the_recording_with_the_reason() {
    let machine = Machine::steady();
    let file = machine.path("full.jsonl");
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let file = file.to_str().unwrap();
    let out = machine.run(&["-o", file]);
    assert_eq!(out.status.code(), Some(4));
    let said = stderr(&out);
    assert!(said.contains("could not write") && said.contains("No space left"), "{said}");
    assert_eq!(said.matches("could not write").count(), 1, "it is said once: {said}");
    assert!(stdout(&out).contains("GPU 0  Stand-in GPU"), "what was read is summarised");
    let command = machine.run(&["-o", file, "--", "sh", "-c", "sleep 1; exit 5"]);
    assert_eq!(command.status.code(), Some(5), "the command is not ended by it");
    assert!(stderr(&command).contains("No space left"), "{}", stderr(&command));
}

#[test]
fn what_cannot_be_recorded_is_refused_before_it_begins() {
    let machine = Machine::steady();
    let refused = |args: &[&str]| {
        let out = machine.run(args);
        assert!(out.stdout.is_empty(), "{}", stdout(&out));
        (out.status.code().unwrap(), stderr(&out))
    };
    assert_eq!(refused(&["-o", "/nowhere/a.csv"]).0, 4);
    let (code, said) = refused(&["-o", "a.txt", "--", "touch", machine.path("ran").to_str().unwrap()]);
    assert!(code == 2 && said.contains(".jsonl") && !machine.path("ran").exists(), "{said}");
    for args in [
        ["--interval", "1ms"].as_slice(),
        &["--interval", "soon"],
        &["--format", "tui"],
        &["--duration", "1s", "--", "true"],
        &["--pid", "1", "--container", "a"],
        &["--listen", "example.org:1"],
        &["--idle-below", "101"],
    ] {
        assert_eq!(refused(args).0, 2, "{args:?}");
    }
}

#[test]
fn a_driver_that_hangs_is_told_and_does_not_hang_the_end() {
    let nvidia = Machine::new(&json!({"hangs_at": {"nvmlDeviceGetMemoryInfo_v2": 5}}));
    let amd = Machine::steady();
    let script = json!({"hangs_at": {"rsmi_dev_memory_usage_get": 20}});
    let rocm = stand_in(amd.folder.path(), "libstandin_rocm_smi.so", "librocm_smi64.so.1", &script);
    let root = amd.folder.path().to_str().unwrap();
    let mut of_amd = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    of_amd.args(["monitor", "--backend", "rocm-smi", "--rocm-lib", &rocm, "--sys-root", root]);
    for (machine, mut command) in [(&nvidia, nvidia.command(&[])), (&amd, of_amd)] {
        let file = machine.path("a.jsonl");
        command.args(["-o", file.to_str().unwrap(), "--interval", "20ms", "--duration", "2s"]);
        let out = command.output().unwrap();
        assert_eq!(out.status.code(), Some(7), "{}", stderr(&out));
        assert!(stderr(&out).contains("the driver has not answered for"), "{}", stderr(&out));
        let recorded = read(std::fs::read(file).unwrap().as_slice()).unwrap();
        assert!(!recorded.timeline.samples().is_empty(), "it answered at first");
        assert!(recorded.is_complete() && recorded.gaps.iter().any(|gap| gap.missed > 10), "{:?}", recorded.gaps);
    }
}

#[test]
fn a_process_or_container_chooses_its_devices_and_has_its_memory_told_apart() {
    let other = json!({"uuid": "GPU-11111111-0000", "bus": "00000000:02:00.0", "used": [7]});
    let machine = Machine::steady();
    let mut script: Value =
        serde_json::from_slice(&std::fs::read(machine.path("libnvidia-ml.so.1.json")).unwrap()).unwrap();
    script["devices"].as_array_mut().unwrap().push(other);
    machine.write("libnvidia-ml.so.1.json", &script.to_string());
    for target in [["--pid", "4700"], ["--pid", "4711"], ["--container", "vllm-prod"], ["--container", "0123456789ab"]]
    {
        let out = machine.run(&[&target[..], &["--duration", "1200ms"]].concat());
        let text = stdout(&out);
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        assert!(text.contains("own   2.00") && !text.contains("gpu 1"), "{text}");
        assert!(text.contains(": at most 2.00 GiB on GPU 0"), "{text}");
    }
    for (target, told) in
        [(["--pid", "1234"], "no process 1234"), (["--container", "none"], "container none uses no chosen device")]
    {
        let out = machine.run(&target);
        assert!(out.status.code() == Some(7) && stderr(&out).contains(told), "{}", stderr(&out));
    }
}
