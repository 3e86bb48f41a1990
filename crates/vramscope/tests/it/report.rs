//! `vramscope report`.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::{stderr, stdout, vramscope, vramscope_with_stdin};

/// Makes a page in a folder and gives its text.
fn page(folder: &Path, paths: &[&str]) -> (Output, String) {
    let out = folder.join("page.html");
    let output = vramscope(&[&["report", "-o", out.to_str().unwrap()], paths].concat());
    let text = fs::read_to_string(&out).unwrap_or_default();
    (output, text)
}

#[test]
fn a_recording_becomes_one_page_that_loads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (output, text) = page(folder.path(), &["examples/llama-3.1-8b"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "", "the page is the file");
    assert!(stderr(&output).starts_with("page written to "), "{}", stderr(&output));
    assert!(text.starts_with("<!doctype html>") && text.contains("default-src 'none'"));
    assert!(!text.contains("src=\"") && !text.contains("@import"), "it loads something");
    // The peak of the document, with where it stands there.
    let peak = "data-figure=\"0:/memory_breakdown/total_measured_bytes\" data-value=\"141426491392\"";
    assert!(text.contains(peak));
    // The engine's log on the readings' clock.
    assert!(text.contains("weights loaded (line "), "no milestone of the log is marked");
}

#[test]
fn markdown_goes_to_stdout_and_so_does_a_page_that_is_asked_for_there() {
    let markdown = vramscope(&["report", "examples/noisy-neighbour", "--format", "markdown", "--title", "Week | 48"]);
    assert_eq!(markdown.status.code(), Some(0), "{}", stderr(&markdown));
    assert!(stdout(&markdown).starts_with("# Week \\| 48\n"), "{}", &stdout(&markdown)[..200]);
    let html = vramscope(&["report", "examples/noisy-neighbour", "-o", "-"]);
    assert!(stdout(&html).starts_with("<!doctype html>"));
    let refused = vramscope(&["report", "examples/noisy-neighbour", "-o", "-", "--open"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
}

#[test]
fn what_another_command_printed_is_taken_from_stdin() {
    let compared = vramscope(&["compare", "examples/llama-3.1-8b", "examples/noisy-neighbour", "--format", "json"]);
    let output = vramscope_with_stdin(&["report", "-", "--format", "markdown"], stdout(&compared).as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("noisy-neighbour"));
    let none = vramscope_with_stdin(&["report", "-"], b"{\"a\": 1}");
    assert_eq!(none.status.code(), Some(3), "{}", stderr(&none));
}

#[test]
fn each_thing_that_is_read_elsewhere_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = folder.path().join("doctor.json");
    fs::write(&doctor, stdout(&vramscope(&["doctor", "--format", "json"]))).unwrap();
    let doctor = doctor.to_str().unwrap();
    for (paths, title) in [
        (&["examples/kv-cache-too-small"][..], "kv"),
        (&["examples/llama-3.1-8b", "examples/noisy-neighbour"], "side by side"),
        (&["examples"], "runs"),
        (&["examples/llama-3.1-8b/gpu.csv"], "readings"),
        (&["examples/llama-3.1-8b/vllm.log"], "log"),
        (&[doctor], "doctor"),
    ] {
        let (output, text) = page(folder.path(), paths);
        assert_eq!(output.status.code(), Some(0), "{title}: {}", stderr(&output));
        assert!(text.len() > 8000 && text.contains("</html>"), "{title}");
    }
}

#[test]
fn a_saved_output_is_a_page_and_a_models_folder_is_told_what_makes_one() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("devices.csv");
    let heads = "index, name, uuid, memory.total [MiB], memory.used [MiB], memory.free [MiB]";
    fs::write(&saved, format!("{heads}\n0, NVIDIA L4, GPU-1, 23034 MiB, 1 MiB, 22500 MiB\n")).unwrap();
    let (output, text) = page(folder.path(), &[saved.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(text.contains("NVIDIA L4"), "the device is not on the page");
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("config.json"), "{}").unwrap();
    let (output, _) = page(folder.path(), &[model.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("vramscope estimate --model "), "{}", stderr(&output));
}

#[test]
fn what_is_no_page_is_refused_by_its_name_and_nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let letter = file("letter.txt", "Dear all,\nno figures today.\n");
    let (output, text) = page(folder.path(), &[&letter]);
    assert_eq!((output.status.code(), text.as_str()), (Some(3), ""));
    assert!(stderr(&output).contains("letter.txt is nothing that a page is made of"), "{}", stderr(&output));
    let missing = vramscope(&["report", "nowhere.json"]);
    assert_eq!(missing.status.code(), Some(3));
    let runs = file("runs.json", &json!({"vramscope_runs": 1, "runs": [], "series": []}).to_string());
    let (mixed, _) = page(folder.path(), &[&runs, "examples/llama-3.1-8b"]);
    assert_eq!(mixed.status.code(), Some(3));
    assert!(stderr(&mixed).contains("a table of runs"), "{}", stderr(&mixed));
    let later = file("later.json", &json!({"vramscope_runs": 99, "runs": [], "series": []}).to_string());
    assert_eq!(vramscope(&["report", &later]).status.code(), Some(5));
    let recording = folder.path().join("recording");
    fs::create_dir(&recording).unwrap();
    for name in ["gpu.csv", "vllm.log"] {
        fs::copy(crate::root().join("examples/noisy-neighbour").join(name), recording.join(name)).unwrap();
    }
    let readings = recording.join("gpu.csv");
    let over = vramscope(&["report", recording.to_str().unwrap(), "-o", readings.to_str().unwrap()]);
    assert_eq!(over.status.code(), Some(2), "{}", stderr(&over));
    assert!(fs::read_to_string(&readings).unwrap().starts_with("timestamp"), "the evidence is gone");
    let over = vramscope(&["report", &runs, "-o", &runs]);
    assert_eq!(over.status.code(), Some(2));
    assert!(fs::read_to_string(&runs).unwrap().contains("vramscope_runs"));
}

#[test]
fn nothing_foreign_is_markup_or_steers() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "</script><img src=x onerror=alert(1)>\u{202e}\u{1b}[2J".repeat(40);
    let document = json!({"vramscope_runs": 1, "series": [], "runs": [
        {"name": evil, "settings": {"model": evil}, "figures": {"tokens_per_second": 3.5}, "cautions": [evil]},
    ]});
    let path = folder.path().join("runs.json");
    fs::write(&path, document.to_string()).unwrap();
    let (output, text) = page(folder.path(), &[path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!text.contains("<img") && !text.contains('\u{202e}') && !text.contains('\u{1b}'));
    assert_eq!(text.matches("</script>").count(), text.matches("<script").count());
}
