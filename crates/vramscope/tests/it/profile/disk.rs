//! The disk of a recording fills up: the engine ends all the same, what was written stays, and a profile says so.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use standin_vllm::Script;

use super::bench::{self, Bench, Kind};

/// A limit on the size of any file, in the shell's blocks of 512 bytes, stands for a disk of that size: each file fails
/// in its turn, and the others are written.
fn limited(bench: &Bench, blocks: u32, interval: &str) -> (std::process::Output, Option<Value>) {
    let command = bench.command(&bench.file(), Kind::Latency, &["--interval", interval]);
    let output = bench::under(&command, &format!("ulimit -f {blocks}; exec \"$@\"")).output().unwrap();
    let document = fs::read(bench.file()).ok().map(|text| serde_json::from_slice(&text).unwrap());
    (output, document)
}

fn record(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("run.json")).unwrap()).unwrap()
}

#[test]
fn a_log_a_timeline_and_a_profile_that_cannot_be_written_are_named() {
    // The log of the stand-in has twelve thousand bytes, its timeline grows by two hundred with each sample.
    let cases = vec![("engine.log", 10, "1s"), ("timeline.jsonl", 40, "5ms"), ("profile.json", 70, "100ms")];
    bench::in_parallel(cases, |&(name, blocks, interval)| {
        let bench = Bench::new(&Script { speed: 12.0, workers: 2, ..Script::default() });
        let (output, document) = limited(&bench, blocks, interval);
        let said = crate::stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{name}: {said}");
        assert!(said.contains(name) && said.contains("File too large"), "{name}: {said}");
        assert!(said.contains("the recording is kept"), "{name}: {said}");
        bench.nothing_is_left();
        assert!(document.is_none(), "{name}: a part of a profile was left");
        let record = record(&bench.folder());
        let screen = crate::stdout(&output);
        if name == "profile.json" {
            assert_eq!(record["status"], "complete", "{record}");
            assert!(screen.contains("run complete"), "what cannot be written is shown: {screen}");
        } else {
            assert_eq!(record["status"], "failed", "{record}");
            assert_eq!(record["failure"]["kind"], "recording_not_written", "{record}");
            assert!(record["host"]["exit_code"].is_i64() || record["host"]["exit_signal"].is_i64(), "{record}");
            assert!(screen.contains("run failed"), "{screen}");
            let kept = fs::metadata(bench.folder().join(name)).unwrap().len();
            assert_eq!(kept, u64::from(blocks) * 512, "what was written before stays");
        }
        // Elsewhere, where there is room, the recording gives its profile.
        bench.is_analyzed(if name == "profile.json" { "complete" } else { "failed" });
    });
}

/// A disk that is really full: a file system in memory of that size, in a namespace of its own.
#[test]
fn a_full_disk_has_room_left_for_the_outcome_and_the_profile() {
    let allowed = Command::new("unshare").args(["-Urm", "true"]).output().is_ok_and(|tried| tried.status.success());
    if !allowed {
        println!("skipped: this system does not let a user mount a file system of his own (unshare -Urm)");
        return;
    }
    // The log grows by a variable that the stand-in prints, the timeline by many samples.
    let cases = vec![("engine.log", "1s", 120_000), ("timeline.jsonl", "5ms", 100)];
    bench::in_parallel(cases, |&(name, interval, length)| {
        let script = Script { speed: 12.0, echo: true, workers: 2, ..Script::default() };
        let bench = Bench::new(&script);
        let place = bench.file().with_file_name("disk");
        fs::create_dir(&place).unwrap();
        let mut command =
            bench.command(&place.join("profile.json"), Kind::Latency, &["--interval", interval, "--force"]);
        command.env("FLOOD", "x".repeat(length));
        let here = place.display();
        let script = format!(
            "mount -t tmpfs -o size=600k none '{here}' && \"$@\"; code=$?; cp -a '{here}' '{here}.kept'; exit $code"
        );
        let shell = bench::under(&command, &script);
        let mut apart = Command::new("unshare");
        apart.args(["-Urm", "sh"]).args(shell.get_args());
        apart.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = apart.stdin(std::process::Stdio::null()).output().unwrap();
        let said = crate::stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{name}: {said}");
        // On a machine that is busy with other things the engine's few lines may come to the end of the room first.
        let names = |file: &str| said.contains(file);
        assert!(names("engine.log") || names(name), "{name}: {said}");
        assert!(said.contains("No space left on device"), "{name}: {said}");
        bench.nothing_is_left();
        let kept = place.with_file_name("disk.kept");
        let document: Value = serde_json::from_slice(&fs::read(kept.join("profile.json")).unwrap()).unwrap();
        assert_eq!(document["metadata"]["status"], "failed", "{name}");
        assert_eq!(document["failure"]["kind"], "recording_not_written", "{name}");
        assert_eq!(record(&kept.join("profile"))["status"], "failed", "{name}");
        assert!(
            fs::metadata(kept.join("profile").join(name)).unwrap().len() > 4096,
            "{name}: what was written is kept"
        );
    });
}
