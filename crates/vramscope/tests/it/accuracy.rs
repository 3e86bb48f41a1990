//! `vramscope accuracy` on recordings that are not what they should be.

use std::fs::{self, File};
use std::path::Path;

use crate::{root, stderr, stdout, vramscope};

/// A folder with one recording, of an engine that left no log.
fn recordings(folder: &Path) -> (String, std::path::PathBuf) {
    let run = folder.join("run");
    fs::create_dir(&run).unwrap();
    fs::copy(root().join("examples/llama-3.1-8b/config.json"), run.join("config.json")).unwrap();
    fs::write(run.join("args.json"), r#"{"argv": ["--max-model-len", "2048"], "vllm": "0.25.1", "model": "m"}"#)
        .unwrap();
    (folder.display().to_string(), run)
}

#[test]
fn a_recording_without_a_log_is_predicted_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, _) = recordings(folder.path());
    let ran = vramscope(&["accuracy", &folder]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert!(stdout(&ran).contains("run"), "{}", stdout(&ran));
}

#[test]
fn a_file_larger_than_its_kind_is_refused_before_it_is_read() {
    for name in ["args.json", "config.json", "truth.json"] {
        let folder = tempfile::tempdir().unwrap();
        let (recordings, run) = recordings(folder.path());
        // Sparse: it takes no room on the disk, and would take that much memory.
        File::create(run.join(name)).unwrap().set_len(8 << 30).unwrap();
        let ran = vramscope(&["accuracy", &recordings]);
        let said = stderr(&ran);
        assert_eq!(ran.status.code(), Some(3), "{name}: {said}");
        assert!(said.contains(name) && (said.contains("larger than") || said.contains("more than")), "{name}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn a_log_without_an_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (recordings, run) = recordings(folder.path());
    std::os::unix::fs::symlink("/dev/zero", run.join("vllm.log")).unwrap();
    let ran = vramscope(&["accuracy", &recordings]);
    assert_eq!(ran.status.code(), Some(3), "{}", stderr(&ran));
    assert!(stderr(&ran).contains("device"), "{}", stderr(&ran));
}
