//! The hook in real Python processes, with a stand-in for torch in `tests/standin`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;

/// A folder with the hook, for processes that play an engine.
struct Bench {
    folder: tempfile::TempDir,
    hook: Hook,
}

fn standin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standin")
}

/// Whether there is a Python; where everything has to be tested there is.
fn has_python() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "python3 is absent");
    if !there {
        println!("skipped: python3 is absent");
    }
    there
}

impl Bench {
    fn new(moments: &[SnapshotMoment]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let asked = AskedSnapshots { moments: moments.to_vec(), entries: 1000 };
        let hook = Hook::write(folder.path(), &asked).unwrap();
        Self { folder, hook }
    }

    fn command(&self, more_searched: &[&Path], does: &str) -> Command {
        let standin = standin();
        let others: Vec<String> = more_searched.iter().map(|path| path.display().to_string()).collect();
        let before = [&[standin.display().to_string()], &others[..]].concat().join(":");
        let (name, value) = AskedSnapshots::variable(self.folder.path(), Some(&before));
        let mut command = Command::new("python3");
        command.arg(standin.join("program.py")).args(does.split_whitespace());
        for variable in ["RANK", "LOCAL_RANK"] {
            command.env_remove(variable);
        }
        command.env(name, value).stdin(Stdio::null());
        command
    }

    /// Runs it to its end, which must be a good one, and says what it printed.
    fn run(&self, does: &str) -> String {
        let output = self.command(&[], does).output().unwrap();
        assert!(output.status.success(), "{does}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{does}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn spawn(&self, does: &str) -> Child {
        self.command(&[], does).spawn().unwrap()
    }

    /// Names of the snapshots without the number of their process.
    fn made(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names
            .filter_map(|name| {
                let name = name.into_string().unwrap();
                let (begin, moment) = name.strip_prefix("allocator-")?.rsplit_once('-')?;
                let rank = begin.split_once('-').map_or(String::new(), |(rank, _)| format!("{rank} "));
                Some(format!("{rank}{moment}"))
            })
            .collect();
        names.sort_unstable();
        names
    }
}

#[test]
fn a_program_that_uses_no_gpu_is_left_as_it_is() {
    if !has_python() {
        return;
    }
    let bench = Bench::new(&[SnapshotMoment::Peak, SnapshotMoment::End]);
    bench.run("sleep 0");
    assert!(bench.hook.close()[0].contains("no process of the engine imported PyTorch"));
    let printed = bench.run("import hidden");
    assert_eq!(printed, "hidden: None loader: SourceFileLoader\n", "torch is loaded as ever");
    let notes = bench.hook.close();
    assert_eq!(bench.made(), [""; 0]);
    assert!(notes.len() == 1 && notes[0].contains("it used no GPU"), "{notes:?}");
}

#[test]
fn a_module_that_the_hook_hides_is_loaded_all_the_same() {
    if !has_python() {
        return;
    }
    let bench = Bench::new(&[SnapshotMoment::Peak]);
    let hidden = tempfile::tempdir().unwrap();
    fs::write(hidden.path().join("sitecustomize.py"), "HIDDEN = 7\n").unwrap();
    let output = bench.command(&[hidden.path()], "import hidden").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("hidden: 7 "), "{output:?}");
}

#[test]
fn the_peak_is_of_the_most_that_stayed_and_the_end_of_when_it_is_asked_for() {
    if !has_python() {
        return;
    }
    let bench = Bench::new(&[SnapshotMoment::Peak, SnapshotMoment::End, SnapshotMoment::Oom]);
    let ready = bench.folder.path().join("ready");
    let does = "import gpu reserve 64 sleep 0.8 reserve 200 sleep 0.8 reserve 100 touch";
    let mut child = bench.spawn(&format!("{does} {} sleep 20", ready.display()));
    let begun = std::time::Instant::now();
    while !ready.exists() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(STEP);
    }
    bench.hook.ask_for_end().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(bench.hook.answered());
    let states = state::all(&bench.hook.folder);
    child.kill().unwrap();
    child.wait().unwrap();
    let of = |moment: &str| states[0].made[moment].reserved_bytes >> 20;
    assert_eq!((states.len(), of("peak"), of("end")), (1, 200, 100), "{states:?}");
    assert_eq!(bench.made(), ["end.pickle", "peak.pickle"]);
    let notes = bench.hook.close();
    assert!(
        notes[0].contains("end 0.") && notes[0].contains("peak 0.") && notes[0].contains("looks took"),
        "{notes:?}"
    );
    assert!(notes[1].ends_with("that of oom was asked for, and not made, as no allocation failed"), "{notes:?}");
}

#[test]
fn a_spike_that_went_keeps_nothing_that_stays_from_being_the_peak() {
    if !has_python() {
        return;
    }
    let bench = Bench::new(&[SnapshotMoment::Peak]);
    bench.run("import gpu reserve 300 sleep 0.1 reserve 200 sleep 1.5");
    let states = state::all(&bench.hook.folder);
    assert_eq!(states[0].made["peak"].reserved_bytes >> 20, 200, "{states:?}");
    assert_eq!(states[0].highest_reserved_bytes.map(|bytes| bytes >> 20), Some(300));
}

#[test]
fn an_out_of_memory_has_its_snapshot_and_the_fifth_is_only_counted() {
    if !has_python() {
        return;
    }
    let bench = Bench::new(&[SnapshotMoment::Oom]);
    let output = bench.command(&[], "import gpu reserve 50 oom oom oom oom oom").env("RANK", "3").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(bench.made(), ["rank3 oom.pickle", "rank3 oom2.pickle", "rank3 oom3.pickle", "rank3 oom4.pickle"]);
    let notes = bench.hook.close();
    assert!(notes[1].contains("(rank 3): 5 allocations failed, and 4 of them have snapshots"), "{notes:?}");
}

#[test]
fn a_program_that_knows_of_the_hook_takes_what_was_asked_for_and_nothing_else() {
    if !has_python() {
        return;
    }
    let bench = Bench::new(&[SnapshotMoment::End]);
    bench.run("import gpu reserve 50 take end take end take peak");
    assert_eq!(bench.made(), ["end.pickle"]);
    assert_eq!(state::all(&bench.hook.folder)[0].made["end"].times, 1);
}

#[test]
fn a_worker_that_is_forked_before_it_uses_a_gpu_is_recorded_under_its_own_number() {
    if !has_python() {
        return;
    }
    let bench = Bench::new(&[SnapshotMoment::End]);
    bench.run("import fork gpu reserve 50 take end");
    let states = state::all(&bench.hook.folder);
    let recording: Vec<bool> = states.iter().map(|state| state.recording).collect();
    assert_eq!(recording.iter().filter(|recording| **recording).count(), 1, "{states:?}");
    assert_eq!((states.len(), bench.made().len()), (2, 1));
}

#[test]
fn what_fails_in_the_hook_is_told_and_the_program_goes_on() {
    if !has_python() {
        return;
    }
    let bench = Bench::new(&[SnapshotMoment::Peak]);
    let output = bench.command(&[], "import gpu reserve 50 hidden").env("STANDIN_NO_HISTORY", "1").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty(), "{output:?}");
    assert_eq!(
        bench.hook.close(),
        ["allocator snapshots were asked for, and none was made: RuntimeError: this allocator keeps no history"]
    );
    // A folder that takes no file is told of, whoever may write everywhere.
    let bench = Bench::new(&[SnapshotMoment::End]);
    let settings = fs::read_to_string(bench.hook.folder.join(SETTINGS)).unwrap();
    let gone = settings.replace(&bench.folder.path().display().to_string(), "/no/such/folder");
    fs::write(bench.hook.folder.join(SETTINGS), gone).unwrap();
    bench.run("import gpu reserve 50 take end");
    let notes = bench.hook.close();
    assert!(notes[0].contains("that of end was asked for, and not made, FileNotFoundError"), "{notes:?}");
    fs::write(bench.hook.folder.join(SETTINGS), "{").unwrap();
    assert!(bench.run("import hidden").starts_with("hidden"), "broken settings are not the program's matter");
}

#[test]
fn the_hooks_folder_comes_first_and_no_empty_part_is_added() {
    let variable = |before| AskedSnapshots::variable(Path::new("/r"), before).1;
    assert_eq!(variable(None), "/r/snapshot-hook");
    assert_eq!(variable(Some("")), "/r/snapshot-hook");
    assert_eq!(variable(Some("/a:/b")), "/r/snapshot-hook:/a:/b");
    let of = |value: &str| vec![(AskedSnapshots::VARIABLE.to_owned(), value.to_owned())];
    assert_eq!(searched(&of("/given"), &of("/inherited")), Some("/given"));
    assert_eq!(searched(&[], &of("/inherited")), Some("/inherited"));
    assert_eq!(searched(&[], &[]), None);
}

#[test]
fn what_was_not_finished_goes_and_what_was_stays() {
    let folder = tempfile::tempdir().unwrap();
    let asked = AskedSnapshots { moments: vec![SnapshotMoment::End], entries: 10 };
    let hook = Hook::write(folder.path(), &asked).unwrap();
    hook.ask_for_end().unwrap();
    let kept = ["allocator-1-end.pickle", ".other.unfinished", "snapshot-hook/end", "snapshot-hook/settings.json"];
    let gone = [".allocator-1-peak.pickle.unfinished", "snapshot-hook/state-1.json.7.unfinished"];
    for name in kept.iter().take(2).chain(&gone) {
        fs::write(folder.path().join(name), "").unwrap();
    }
    assert_eq!(hook.close().len(), 1, "nobody loaded it");
    assert!(kept.iter().all(|name| folder.path().join(name).exists()));
    assert!(!gone.iter().any(|name| folder.path().join(name).exists()));
}

#[test]
fn a_folder_that_python_cannot_be_told_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let asked = AskedSnapshots { moments: vec![SnapshotMoment::End], entries: 1000 };
    let Err(FolderError::Write { source, .. }) = Hook::write(&folder.path().join("a:b"), &asked) else {
        panic!("it is refused")
    };
    assert!(source.to_string().contains("without a colon"), "{source}");
    assert!(!folder.path().join("a:b").exists());
}
