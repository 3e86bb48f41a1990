//! A campaign goes on after every kind of end, in its first, a middle and its last run: none is lost, none is doubled.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use standin_vllm::{Fail, How, Phase, Script};

use super::{Machine, TWO, states};

/// How a run's attempt ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The engine finds no memory.
    EngineFails,
    /// The engine is killed.
    EngineKilled,
    /// A signal to vramscope, so often.
    Signal(Signal, usize),
}

/// Long enough for anything, also where many tests share few cores.
const PATIENCE: Duration = Duration::from_secs(120);

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Three runs.
const THREE: [&str; 2] = ["2", "4"];

impl Machine {
    /// The keys of the three runs.
    fn keys(&self) -> Vec<String> {
        let output = self.campaign(&[&TWO[..], &THREE, &["--dry-run", "--format", "json"]].concat());
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        plan["runs"].as_array().unwrap().iter().map(|run| run["key"].as_str().unwrap().to_owned()).collect()
    }

    fn attempts(&self, key: &str) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.home.path().join("out/attempts").join(key));
        listed.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    fn starts(&self) -> Child {
        let command = self.command(&[&TWO[..], &THREE].concat(), &[]);
        let mut command = crate::profile::bench::hearing_hangups(&command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What engines that start from now on do.
    pub(super) fn script(&self, script: &Script) {
        let next = self.home.path().join("next.json");
        fs::write(&next, serde_json::to_vec(script).unwrap()).unwrap();
        fs::rename(next, self.home.path().join("script.json")).unwrap();
    }

    /// A campaign of which one run ends like this, and the same again.
    fn ends(&self, end: End, run: usize) {
        let keys = self.keys();
        let mut child = self.starts();
        until("the run", || !self.attempts(&keys[run]).is_empty());
        let healthy = self.healthy();
        match end {
            End::EngineFails | End::EngineKilled => {
                let how = if matches!(end, End::EngineFails) { How::OutOfMemory } else { How::Signal(9) };
                self.script(&Script { fail: vec![Fail { at: Phase::Load, how }], ..healthy.clone() });
                until("the failure", || {
                    self.home.path().join(format!("out/profiles/{}.failed-1.json", keys[run])).is_file()
                });
                self.script(&healthy);
            }
            End::Signal(signal, times) => {
                let log = || fs::metadata(self.attempts(&keys[run])[0].join(&keys[run]).join("engine.log"));
                until("the engine", || log().is_ok_and(|about| about.len() > 0));
                for _ in 0..times {
                    // It may be gone after the first.
                    let _ = rustix::process::kill_process(Pid::from_child(&child), signal);
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        let first = child.wait().unwrap();
        assert_ne!(first.code(), Some(0), "{end:?} in run {run}");
        let again = self.campaign(&[&TWO[..], &THREE].concat());
        let said = crate::stderr(&again);
        assert_eq!(again.status.code(), Some(0), "{end:?} in run {run}: {said}");
        assert_eq!(states(self), ["complete"; 3], "{end:?} in run {run}: {said}");
        let published = |ending: &str| {
            let names = fs::read_dir(self.home.path().join("out/profiles")).unwrap();
            names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().ends_with(ending)).count()
        };
        let failed = usize::from(matches!(end, End::EngineFails | End::EngineKilled));
        assert_eq!(published(".json"), 3 + failed, "{end:?} in run {run}");
        let attempts: Vec<usize> = keys.iter().map(|key| self.attempts(key).len()).collect();
        let expected: Vec<usize> = (0..3).map(|at| if at == run { 2 } else { 1 }).collect();
        assert_eq!(attempts, expected, "{end:?} in run {run}: the unfinished one is kept, no other is repeated");
        assert_eq!(fs::read_dir(self.home.path().join("out/leases")).unwrap().count(), 0, "{end:?} in run {run}");
        println!(
            "{end:?} in run {} of 3: {} rows, {} attempts",
            run + 1,
            states(self).len(),
            attempts.iter().sum::<usize>()
        );
    }
}

#[test]
fn a_campaign_goes_on_after_every_end() {
    let ends = [
        End::EngineFails,
        End::EngineKilled,
        End::Signal(Signal::INT, 1),
        End::Signal(Signal::INT, 2),
        End::Signal(Signal::TERM, 1),
        End::Signal(Signal::HUP, 1),
        End::Signal(Signal::KILL, 1),
    ];
    let cases = ends.into_iter().flat_map(|end| (0..3).map(move |run| (end, run))).collect();
    crate::profile::bench::in_parallel(cases, |&(end, run)| Machine::new().ends(end, run));
}

/// A disk that is really full while one run goes on: a file system in memory, in a namespace of its own.
#[test]
fn a_campaign_goes_on_after_a_full_disk() {
    let allowed = Command::new("unshare").args(["-Urm", "true"]).output().is_ok_and(|tried| tried.status.success());
    if !allowed {
        println!("skipped: this system does not let a user mount a file system of his own (unshare -Urm)");
        return;
    }
    crate::profile::bench::in_parallel((0..3).collect(), |&run: &usize| {
        let machine = Machine::new();
        let keys = machine.keys();
        // However busy the machine is, a run lasts long enough for the disk to be filled meanwhile.
        let slow = Fail { at: Phase::Load, how: How::SlowS(1.0) };
        machine.script(&Script { fail: vec![slow], ..machine.healthy() });
        let command = machine.command(&[&TWO[..], &THREE].concat(), &["--force"]);
        let script = format!(
            "set -u; mkdir -p out; mount -t tmpfs -o size=16m none out || exit 99
             \"$@\" >/dev/null 2>first & campaign=$!
             begun() {{ for found in out/attempts/{key}/*; do [ -e \"$found\" ] && return; done; return 1; }}
             n=0; until begun; do sleep 0.01; n=$((n+1)); [ $n -lt 9000 ] || exit 98; done
             kill -STOP $campaign; dd if=/dev/zero of=out/filler bs=4k 2>/dev/null; kill -CONT $campaign
             wait $campaign; echo first $?; cp out/campaign.csv full.csv
             rm out/filler; \"$@\" >/dev/null 2>second; echo second $?
             cp -a out kept",
            key = keys[run]
        );
        let mut apart = Command::new("unshare");
        apart.args(["-Urm", "sh", "-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
        apart
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(machine.home.path());
        let output = apart.stdin(Stdio::null()).output().unwrap();
        let said = crate::stdout(&output);
        let home = machine.home.path();
        let second = fs::read_to_string(home.join("second")).unwrap_or_default();
        assert_eq!(said, "first 4\nsecond 0\n", "run {run}: {second}{}", crate::stderr(&output));
        // Before its first row was written there was a table of all runs already.
        assert_eq!(fs::read_to_string(home.join("full.csv")).unwrap().lines().count(), 4, "run {run}");
        fs::remove_dir(home.join("out")).unwrap();
        fs::rename(home.join("kept"), home.join("out")).unwrap();
        assert_eq!(states(&machine), ["complete"; 3], "run {run}: {second}");
        println!("a full disk in run {} of 3: {} rows", run + 1, states(&machine).len());
    });
}

#[test]
fn a_second_campaign_in_the_folder_is_refused_by_the_name_of_the_process() {
    let machine = Machine::new();
    let keys = machine.keys();
    // The first one is at it however long the second takes to come.
    machine.script(&Script { fail: vec![Fail { at: Phase::Load, how: How::Hang }], ..machine.healthy() });
    let mut child = machine.starts();
    until("the run", || !machine.attempts(&keys[0]).is_empty());
    let second = machine.campaign(&[&TWO[..], &THREE].concat());
    let said = crate::stderr(&second);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("by process {} of this machine", child.id())), "{said}");
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Stopped before its engine was begun, the first run is still to be made.
    let left = states(&machine);
    assert!(["interrupted", "pending"].contains(&left[0].as_str()), "{left:?}");
    assert_eq!(left[1..], ["pending", "pending"], "the second one changed nothing");
}

#[test]
fn the_table_has_a_line_for_each_failure_and_names_the_engines_log() {
    let machine = Machine::new();
    machine.script(&Script { fail: vec![Fail { at: Phase::Load, how: How::OutOfMemory }], ..machine.healthy() });
    let output = machine.campaign(&[&TWO[..], &["2"]].concat());
    assert_eq!(output.status.code(), Some(6), "{}", crate::stderr(&output));
    let (table, rows) = (crate::stdout(&output), super::rows(&machine));
    for row in &rows {
        let failure = format!("  {}: out_of_memory: ", row["run"]);
        let mut lines = table.lines().skip_while(|line| !line.starts_with(&failure));
        let (told, log) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(told.chars().count() <= 80 && told.ends_with('…'), "{table}");
        assert_eq!(log, format!("    the engine's log: {}", row["log"]), "{table}");
        let text = fs::read_to_string(machine.home.path().join(&row["log"])).unwrap();
        assert!(text.contains("CUDA out of memory"), "{text}");
    }
    machine.script(&machine.healthy());
    let again = machine.campaign(&[&TWO[..], &["2"]].concat());
    assert!(!crate::stdout(&again).contains("out_of_memory"), "{}", crate::stdout(&again));
    assert!(super::rows(&machine).iter().all(|row| row["log"].is_empty() && row["failure"].is_empty()));
}

#[test]
fn what_is_not_to_be_tried_anew_is_left_as_it_is() {
    let machine = Machine::new();
    machine.script(&Script { fail: vec![Fail { at: Phase::Load, how: How::OutOfMemory }], ..machine.healthy() });
    let first = machine.campaign(&TWO);
    assert_eq!(first.status.code(), Some(6), "{}", crate::stderr(&first));
    machine.script(&machine.healthy());
    let left = machine.campaign(&[&TWO[..], &["2", "--retry", "none"]].concat());
    assert!(crate::stderr(&left).contains("is left as it is: failed"), "{}", crate::stderr(&left));
    assert_eq!(states(&machine), ["failed", "complete"]);
    let interrupted = machine.campaign(&[&TWO[..], &["2", "--retry", "interrupted"]].concat());
    assert_eq!(states(&machine), ["failed", "complete"], "{}", crate::stderr(&interrupted));
    let again = machine.campaign(&[&TWO[..], &["2"]].concat());
    assert_eq!(again.status.code(), Some(0), "{}", crate::stderr(&again));
    assert_eq!(states(&machine), ["complete", "complete"]);
}
