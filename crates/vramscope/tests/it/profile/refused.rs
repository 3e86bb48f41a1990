//! What is refused before anything starts, and what is said of it.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use standin_vllm::{Fail, How, Phase, Script};

use super::bench::{Bench, Kind, SECRETS};

fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_model_that_is_no_folder_is_refused() {
    let bench = Bench::new(&Script::default());
    let config = bench.file().with_file_name("llama-3.2-1b/config.json");
    let absent = bench.file().with_file_name("absent");
    for (model, found) in [(config.as_path(), "model_is_a_file"), (&absent, "no_model_folder")] {
        let (output, _) = bench.run(Kind::Latency, &["--model", model.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(8), "{found}: {}", crate::stderr(&output));
        assert!(crate::stderr(&output).contains(&format!("refused {found}: ")), "{}", crate::stderr(&output));
        assert!(!bench.folder().exists());
    }
}

#[test]
fn what_stands_where_the_profile_goes_is_told_at_once_and_left_alone() {
    let bench = Bench::new(&Script::default());
    fs::create_dir(bench.file()).unwrap();
    let socket = bench.file().with_file_name("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for file in [bench.file(), socket] {
        let output = bench.command(&file, Kind::Latency, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", crate::stderr(&output));
        assert!(crate::stderr(&output).contains("is no regular file"), "{}", crate::stderr(&output));
    }
    fs::create_dir(bench.folder()).unwrap();
    fs::write(bench.folder().join("mine"), "").unwrap();
    let other = bench.file().with_file_name("profile.old.json");
    let at = |file: &Path| bench.command(file, Kind::Latency, &[]).output().unwrap();
    fs::rename(bench.folder(), other.with_extension("")).unwrap();
    let output = at(&other);
    assert_eq!(output.status.code(), Some(4), "{}", crate::stderr(&output));
    assert!(crate::stderr(&output).contains("the folder is not empty"), "{}", crate::stderr(&output));
}

/// What costs nothing to know is told first: asking an engine takes it seconds of imports.
#[test]
fn what_can_be_refused_without_the_engine_is_refused_before_it_is_asked() {
    let bench = Bench::new(&Script::default());
    let beside = |name: &str| bench.file().with_file_name(name).display().to_string();
    let (engine, asked) = (beside("engine"), beside("asked"));
    program(Path::new(&engine), &format!("#!/bin/sh\ntouch '{asked}'\nexit 1\n"));
    fs::write(beside("a-file"), "").unwrap();
    fs::create_dir(beside("repeated.repeat.json")).unwrap();
    let run = |output: &str, more: &[&str]| {
        let words = [&["--engine", &engine], more].concat();
        let kind = if more.contains(&"--num-prompts") { Kind::Serve } else { Kind::Latency };
        let output = bench.command(Path::new(output), kind, &words).output().unwrap();
        (output.status.code(), crate::stderr(&output))
    };
    let (good, absent) = (beside("good.json"), beside("absent"));
    let cases: [(&str, &[&str], i32, &str); 14] = [
        (&beside("a-file/profile.json"), &[], 4, "could not begin the recording"),
        ("/proc/no-place/profile.json", &[], 4, "could not begin the recording"),
        (&beside("repeated.json"), &["--repeat", "2"], 4, "repeated.repeat.json is there and is no regular file"),
        (&good, &["--model", &absent], 8, "refused no_model_folder"),
        (&good, &["--model", "models/llama/8b"], 8, "refused no_model_folder"),
        (&good, &["--model", ""], 2, "a value is required"),
        (&good, &["--", "--max-num-seqs=many"], 2, "expected a whole number"),
        (&good, &["--force", "--", "--max-model-len", "5"], 2, "before -- and behind it"),
        (&good, &["--tensor-parallel-size", "2"], 8, "refused too_few_devices"),
        (&good, &["--env", "=value"], 2, "use --env =value: it has no name"),
        (&beside("absent/"), &[], 2, "names a folder"),
        ("-", &[], 2, "name a file"),
        (&good, &["--env", "VRAMSCOPE_TEST_NO_SUCH_VARIABLE"], 2, "there is no variable of that name"),
        (&good, &["--num-prompts", "2000000", "--batch-size", "2000000"], 2, "requests"),
    ];
    for (output, more, code, said) in cases {
        let (ended, text) = run(output, more);
        assert_eq!((ended, text.contains(said)), (Some(code), true), "{more:?} {output}: {text}");
        assert!(!Path::new(&asked).exists(), "{more:?} {output}: the engine was asked: {text}");
    }
    // The memory of processes cannot be read so often; a GPU can.
    if crate::vramscope(&["gpus"]).status.code() == Some(7) {
        let words = ["profile", "--model", "m/x", "--engine", &engine, "--interval", "20ms"];
        let output = crate::vramscope(&words);
        assert_eq!(output.status.code(), Some(2), "{}", crate::stderr(&output));
        assert!(crate::stderr(&output).contains("for process-memory"), "{}", crate::stderr(&output));
        assert!(!Path::new(&asked).exists(), "the engine was asked: {}", crate::stderr(&output));
    }
    assert_eq!(run(&good, &[]).0, Some(9));
    assert!(Path::new(&asked).exists(), "the engine marks that it was asked");
    assert!(!Path::new(&good).with_extension("").exists(), "nothing is recorded");
}

#[test]
fn a_configuration_of_the_engine_that_is_no_file_is_refused_at_once() {
    let bench = Bench::new(&Script::default());
    let pipe = bench.file().with_file_name("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for config in [pipe.to_str().unwrap(), "/dev/zero"] {
        let (output, _) = bench.run(Kind::Latency, &["--dry-run", "--", "--config", config]);
        assert!(!output.status.success(), "{config}");
        assert!(crate::stderr(&output).contains("it is no regular file"), "{config}: {}", crate::stderr(&output));
    }
}

#[test]
fn an_engine_is_found_in_a_folder_with_a_space_and_quoted_when_it_is_none() {
    let bench = Bench::new(&Script::default());
    let folder = bench.file().with_file_name("with a space");
    fs::create_dir(&folder).unwrap();
    let engine = folder.join("vllm");
    program(&engine, &format!("#!/bin/sh\nexec '{}' \"$@\"\n", standin_vllm::executable().display()));
    let (output, _) = bench.run(Kind::Latency, &["--engine", engine.to_str().unwrap(), "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    assert!(crate::stdout(&output).starts_with('\''), "{}", crate::stdout(&output));

    program(&engine, &format!("#!/bin/sh\necho \"No module named 'vllm' {}\" >&2\nexit 1\n", SECRETS[0].1));
    let (output, _) = bench.run(Kind::Latency, &["--engine", engine.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(9), "{}", crate::stderr(&output));
    let said = crate::stderr(&output);
    assert!(said.contains("it said: No module named 'vllm' [redacted]"), "{said}");
}

#[test]
fn what_the_run_rests_on_cannot_be_changed_behind_its_back() {
    let bench = Bench::new(&Script::default());
    for words in [["--model", "other"], ["--output_json", "elsewhere.json"], ["--port", "1"]] {
        let (output, _) = bench.run(Kind::Serve, &[&["--dry-run", "--"][..], &words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", crate::stderr(&output));
        assert!(crate::stderr(&output).contains("given to the engine by vramscope"), "{}", crate::stderr(&output));
    }
    for words in [["--max_model_len", "4096"], ["-q=fp8", "--seed=1"]] {
        let flags = ["--quantization", "fp8", "--dry-run", "--"];
        let (output, _) = bench.run(Kind::Latency, &[&flags[..], &words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", crate::stderr(&output));
        assert!(crate::stderr(&output).contains("before -- and behind it"), "{}", crate::stderr(&output));
    }
    let (output, _) = bench.run(Kind::Latency, &["--dry-run", "--request-rate", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    assert!(crate::stderr(&output).contains("--request-rate is of --workload serve, and is not used"));
    let vllms = ["--dry-run", "--enforce-eager", "--block-size", "16"];
    let said = crate::stderr(&bench.run(Kind::Transformers, &vllms).0);
    for flag in ["--max-model-len", "--block-size", "--enforce-eager"] {
        assert!(said.contains(&format!("note: {flag} is of vLLM, and is not used")), "{said}");
    }
    for work in ["transformers", "latency"] {
        let attached = crate::vramscope(&["profile", "--url", "http://127.0.0.1:1", "--workload", work]);
        assert_eq!(attached.status.code(), Some(2), "{work}: {}", crate::stderr(&attached));
    }
    let (output, _) = bench.run(Kind::Latency, &["--prompt", "Hello"]);
    assert_eq!(output.status.code(), Some(2), "--input-len beside it: {}", crate::stderr(&output));
    let text = crate::vramscope(&["profile", "--model", "a/b", "--prompt", "Hello"]);
    assert_eq!(text.status.code(), Some(2), "{}", crate::stderr(&text));
    assert!(crate::stderr(&text).contains("takes lengths and no --prompt"), "{}", crate::stderr(&text));
    for rate in ["nan", "0", "inf"] {
        let (output, _) = bench.run(Kind::Serve, &["--request-rate", rate]);
        assert_eq!(output.status.code(), Some(2), "{rate}: {}", crate::stderr(&output));
    }
}

#[test]
fn the_probe_is_brought_into_a_container_and_a_daemon_that_is_not_there_is_a_failed_run() {
    let bench = Bench::new(&Script::default());
    let absent = bench.file().with_file_name("docker.sock");
    let run = |more: &[&str]| {
        let words = [&["--image", "python:3", "--engine", "python3 -B"][..], more].concat();
        let mut command = bench.command(&bench.file(), Kind::Transformers, &words);
        command.env("DOCKER_HOST", format!("unix://{}", absent.display())).output().unwrap()
    };
    let shown = crate::stdout(&run(&["--dry-run"]));
    let folder = bench.folder().display().to_string();
    assert!(
        shown.starts_with("python3 -B -u /tmp/vramscope-") && shown.contains("-probe.py --output /tmp/"),
        "{shown}"
    );
    assert!(!shown.contains(&folder), "a container does not see the recording: {shown}");
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(9), "{}", crate::stderr(&output));
    let document: serde_json::Value = serde_json::from_slice(&fs::read(bench.file()).unwrap()).unwrap();
    assert_eq!(
        (&document["metadata"]["status"], &document["failure"]["kind"]),
        (&"failed".into(), &"docker_unavailable".into())
    );
    assert!(bench.folder().join("probe.py").is_file());
    bench.is_derived_again();
}

#[test]
fn names_that_no_file_can_have_are_shortened_or_refused() {
    let bench = Bench::new(&Script { speed: 60.0, ..Script::default() });
    let long = format!("nobody/{}", "x".repeat(300));
    let mut command = bench.command(Path::new("unused"), Kind::Latency, &["--model", &long]);
    let words: Vec<_> =
        command.get_args().map(ToOwned::to_owned).filter(|word| word != "unused" && word != "--output").collect();
    command = std::process::Command::new(command.get_program());
    let home = bench.file().with_file_name("here");
    fs::create_dir(&home).unwrap();
    let script = bench.file().with_file_name("script.json");
    let output = command.args(words).current_dir(&home).env(standin_vllm::SCRIPT_VARIABLE, script).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let written = fs::read_dir(home.join("results/memory-profiles")).unwrap().count();
    assert_eq!(written, 2, "a profile and its recording");

    let name = std::ffi::OsStr::from_bytes(b"no\xfftext/profile.json");
    let output = bench.command(&bench.file().with_file_name(name), Kind::Latency, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", crate::stderr(&output));
    assert!(crate::stderr(&output).contains("is no text; record elsewhere"), "{}", crate::stderr(&output));
}

#[test]
fn a_benchmark_has_its_time_to_start_too() {
    let fail = vec![Fail { at: Phase::Load, how: How::Hang }];
    let bench = Bench::new(&Script { speed: 60.0, fail, ..Script::default() });
    let (output, document) = bench.profile(Kind::Latency, &["--timeout-start", "2s", "--grace", "1s"]);
    assert_eq!(output.status.code(), Some(10), "{}", crate::stderr(&output));
    assert_eq!(document["failure"]["message"], "the start of the engine took longer than 2 s");
    bench.nothing_is_left();
}

#[test]
fn a_python_without_what_the_probe_needs_fails_in_its_launch_and_says_what() {
    let bench = Bench::new(&Script::default());
    let python = bench.file().with_file_name("python");
    // As the probe does where torch is absent.
    let says =
        "import 1\nvramscope-probe: failed during import: No module named 'torch'; install it\nvramscope-probe: end 2";
    program(&python, &format!("#!/bin/sh\nprintf \"vramscope-probe: {says}\\n\" >&2\nexit 1\n"));
    let engine = python.to_str().unwrap();
    let (output, document) = bench.profile(Kind::Transformers, &["--engine", engine]);
    assert_eq!(output.status.code(), Some(6), "{}", crate::stderr(&output));
    assert_eq!(document["metadata"]["failing_phase"], "launch");
    let message = document["failure"]["message"].as_str().unwrap();
    assert!(message.ends_with("the first error in its log: No module named 'torch'; install it"), "{message}");
    bench.is_derived_again();
}

/// Underscores are dashes to the engine, and a file that it reads its options from is as good as a command line.
#[test]
fn options_of_the_engine_are_read_as_the_engine_reads_them() {
    let bench = Bench::new(&Script { speed: 100.0, ..Script::default() });
    let config = bench.file().with_file_name("serve.yaml");
    fs::write(&config, "load_format: dummy\nmax-num-seqs: 7\nhf-token: hiddenbythefile\n").unwrap();
    let config = config.display().to_string();
    let given = bench.command(&bench.file(), Kind::Serve, &["--num-prompts", "2"]);
    let words: Vec<String> = given.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
    let ours = words.split(|word| word == "--").next().unwrap();
    let run = |more: &[&str]| {
        let mut command = std::process::Command::new(given.get_program());
        command.args(ours).args(more);
        for (name, value) in given.get_envs() {
            command.env(name, value.unwrap());
        }
        command.output().unwrap()
    };
    let refused = run(&["--dry-run"]);
    assert_eq!(refused.status.code(), Some(8), "the model has no weights: {}", crate::stderr(&refused));
    for words in [&["--load_format", "dummy"][..], &["--load_format=dummy"], &["--config", &config]] {
        let output = run(&[&["--dry-run", "--"], words].concat());
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", crate::stderr(&output));
    }
    let output = run(&["--", "--config", &config]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let args = fs::read_to_string(bench.folder().join("args.json")).unwrap();
    assert!(args.contains("--max-num-seqs=7") && !args.contains("--config"), "{args}");
    assert!(!args.contains("hiddenbythefile"), "{args}");
    bench.is_derived_again();
}

#[test]
fn what_is_asked_of_an_engine_that_does_not_do_it_is_a_wrong_command_line() {
    for (args, said) in [
        (&["--", "text-generation-launcher", "--model-id", "x"][..], "is not started by profile"),
        (&["--workload", "latency", "--", "llama-server", "-m", "m.gguf"], "is sent requests"),
    ] {
        let output = crate::vramscope(&[&["profile", "--dry-run"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", crate::stderr(&output));
        assert!(crate::stderr(&output).contains(said), "{args:?}: {}", crate::stderr(&output));
    }
}
