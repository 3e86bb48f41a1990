//! A server that somebody else started: what must be said of it, and what is learned from it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use standin_vllm::Script;

use super::bench::{Bench, Kind};

/// A server of the stand-in, ended when it is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(bench: &Bench) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let log = fs::File::create(bench.file().with_file_name("server.log")).unwrap();
        let mut command = Command::new(standin_vllm::executable());
        command.args(["serve", "Qwen/Qwen3-0.6B", "--port", &port.to_string()]);
        command.env(standin_vllm::SCRIPT_VARIABLE, bench.file().with_file_name("script.json"));
        let mut child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "the server ended");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self { child, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_to_be_watched_must_be_there() {
    let bench = Bench::new(&Script { speed: 100.0, ..Script::default() });
    let server = Server::start(&bench);
    let (url, home) = (server.url(), bench.file().with_file_name("."));
    let absent = bench.file().with_file_name("absent.log").display().to_string();
    let pipe = bench.file().with_file_name("pipe").display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let cases: [(&[&str], &str); 4] = [
        (&["--log-file", &pipe], "it is no regular file"),
        (&["--pid", "4194304"], "watch process 4194304: it is not there"),
        (&["--log-file", &absent], "absent.log"),
        (&["--log-file", home.to_str().unwrap()], "it is no regular file"),
    ];
    for (more, said) in cases {
        let (output, document) = bench.run(Kind::Serve, &[&["--url", &url], more].concat());
        let text = crate::stderr(&output);
        assert_eq!((output.status.code(), text.contains(said)), (Some(9), true), "{more:?}: {text}");
        assert!(document.is_none() && !bench.folder().exists(), "{more:?}: nothing was measured");
    }
    let (output, _) = bench.run(Kind::Serve, &["--url", &url, "--dry-run"]);
    assert_eq!((output.status.code(), crate::stdout(&output).as_str()), (Some(0), ""), "{}", crate::stderr(&output));
    assert!(crate::stderr(&output).contains("nothing would be started"), "{}", crate::stderr(&output));
}

/// Half of the answers are errors: that is no run to rely on, in the exit code, the profile and every table.
#[test]
fn a_run_of_which_half_failed_is_no_success_unless_that_is_allowed() {
    use standin_openai::{Fail, How, Script as Answers};
    let answers = Answers { fail: vec![Fail { every: 2, how: How::Status(500) }], ..Answers::default() };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let run = |name: &str, more: &[&str]| {
        // Of its own, so that the first request of either run is answered.
        let server = standin_openai::Server::start(answers.clone()).unwrap();
        let (url, file) = (server.url(), file(name));
        let run = ["profile", "--url", &url, "--output", &file, "--num-prompts", "20", "--input-len", "8"];
        let short = ["--output-len", "4", "--baseline", "0s", "--settle", "0s", "--interval", "100ms", "--force"];
        crate::vramscope(&[&run[..], &short, more].concat())
    };
    let ran = run("half.json", &[]);
    let said = crate::stderr(&ran);
    assert_eq!(ran.status.code(), Some(8), "{said}");
    assert!(said.contains("requests failed or were not sent; --max-failed allows 0"), "{said}");
    let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(file(name)).unwrap()).unwrap() };
    let profile = read("half.json");
    let failed = profile["served_stats"]["failed_requests"].as_u64().unwrap();
    assert!((9..=11).contains(&failed), "{failed}");
    let listed = crate::stdout(&crate::vramscope(&["runs", &file("half.json"), "--format", "csv"]));
    assert!(listed.contains("failed_requests") && listed.contains(&failed.to_string()), "{listed}");
    assert_eq!(run("allowed.json", &["--max-failed", "20"]).status.code(), Some(0));
    let seeds = |profile: &Value| profile["run_config"]["workload"]["seed"].as_u64().unwrap();
    assert_ne!(seeds(&profile), seeds(&read("allowed.json")), "two runs send no prompt twice");
}

/// Which engine a server is, its answers say, or a person; nothing else does.
#[test]
fn the_engine_of_a_server_that_runs_is_told_and_never_assumed() {
    use standin_openai::{Engine, Script as Answers};
    let folder = tempfile::tempdir().unwrap();
    for (engine, said, kind, note) in [
        (Engine::Vllm, None, "vllm", None),
        (Engine::LlamaCpp, None, "llama.cpp", Some("(Server: llama.cpp)")),
        (Engine::Ollama, None, "ollama", Some("Ollama is running")),
        (Engine::SgLang, None, "sglang", Some("owned_by sglang")),
        (Engine::Tgi, None, "tgi", Some("names that begin with tgi_")),
        (Engine::Other, None, "unknown", Some("nothing that it answers tells; --engine-kind says it")),
        (Engine::Mixed, None, "unknown", Some("its answers are of several")),
        (Engine::Other, Some("sglang"), "sglang", Some("as --engine-kind says; nothing that the server answers")),
        (Engine::LlamaCpp, Some("ollama"), "ollama", Some("the server answers otherwise: /metrics as llama.cpp")),
    ] {
        let answers = Answers { engine, version: "7.8.9".into(), max_model_len: 4096, ..Answers::default() };
        let server = standin_openai::Server::start(answers).unwrap();
        let file = folder.path().join("told.json");
        let (url, shown) = (server.url(), file.display().to_string());
        let mut run = vec!["profile", "--url", &url, "--output", &shown, "--num-prompts", "4", "--input-len", "8"];
        run.extend(["--output-len", "4", "--settle", "0s", "--interval", "100ms", "--force"]);
        run.extend(said.iter().flat_map(|kind| ["--engine-kind", kind]));
        let ran = crate::vramscope(&run);
        assert_eq!(ran.status.code(), Some(0), "{engine:?}: {}", crate::stderr(&ran));
        let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(document["engine_metadata"]["engine_type"], kind, "{engine:?}");
        let version = document["engine_metadata"]["engine_version"].as_str();
        assert_eq!(version, (engine != Engine::Mixed).then_some("7.8.9"), "{engine:?}");
        let notes = document["metadata"]["notes"].to_string();
        match note {
            Some(note) => assert!(notes.contains(note), "{engine:?}: {notes}"),
            None => assert!(!notes.contains("the engine is"), "{engine:?}: {notes}"),
        }
        fs::remove_dir_all(file.with_extension("")).unwrap();
        fs::remove_file(&file).unwrap();
    }
    let wrong = crate::vramscope(&["profile", "--url", "http://127.0.0.1:1", "--engine-kind", "lmdeploy"]);
    assert!(crate::stderr(&wrong).contains("expected vllm, llama.cpp, ollama, sglang or tgi"));
}

#[test]
fn memory_of_nothing_is_not_measured_without_a_word() {
    if crate::vramscope(&["gpus"]).status.code() != Some(7) {
        println!("skipped: this machine has a GPU");
        return;
    }
    let bench = Bench::new(&Script { speed: 100.0, ..Script::default() });
    let server = Server::start(&bench);
    let (url, file) = (server.url(), bench.file().display().to_string());
    let words = ["profile", "--url", &url, "--output", &file, "--input-len", "8", "--output-len", "8"];
    let run =
        |more: &[&str]| crate::vramscope(&[&words[..], &["--num-prompts", "2", "--batch-size", "1"], more].concat());
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(8), "{}", crate::stderr(&refused));
    assert!(crate::stderr(&refused).contains("refused no_processes"), "{}", crate::stderr(&refused));
    let forced = run(&["--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", crate::stderr(&forced));
    let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let notes = document["metadata"]["notes"].to_string();
    assert!(notes.contains("that of nothing"), "{notes}");
}

#[test]
fn the_server_is_asked_what_it_serves() {
    let bench = Bench::new(&Script { speed: 100.0, ..Script::default() });
    let server = Server::start(&bench);
    let (url, pid) = (server.url(), server.child.id().to_string());
    let load = ["--num-prompts", "4", "--batch-size", "2", "--pid", &pid, "--url", &url];
    // The folder tells the model's shape; the weights are the server's business.
    let bare = bench.file().with_file_name("bare/llama-3.2-1b");
    fs::create_dir_all(&bare).unwrap();
    fs::copy(bench.file().with_file_name("llama-3.2-1b/config.json"), bare.join("config.json")).unwrap();
    let load = [&load[..], &["--model", bare.to_str().unwrap()]].concat();
    let asked = bench.command(&bench.file(), Kind::Serve, &load);
    // What stands behind -- is of engines that are started here.
    let words: Vec<_> = asked.get_args().take_while(|word| *word != "--").map(ToOwned::to_owned).collect();
    let run = |words: &[std::ffi::OsString]| Command::new(asked.get_program()).args(words).output().unwrap();
    let output = run(&words);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let document: Value = serde_json::from_slice(&fs::read(bench.file()).unwrap()).unwrap();
    let notes = document["metadata"]["notes"].to_string();
    assert!(notes.contains("said to be llama-3.2-1b, and the server calls it Qwen/Qwen3-0.6B"), "{notes}");
    let found =
        document["diagnostics"].as_array().unwrap().iter().find(|found| found["code"] == "no_baseline").unwrap();
    assert!(found["advice"].as_str().unwrap().contains("let vramscope profile start the engine"), "{found}");
    fs::remove_dir_all(bench.folder()).unwrap();

    let model = words.iter().position(|word| word == "--model").unwrap();
    let output = run(&[&words[..model], &words[model + 2..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let document: Value = serde_json::from_slice(&fs::read(bench.file()).unwrap()).unwrap();
    assert_eq!(document["model_info"]["name"], "Qwen/Qwen3-0.6B");
    assert_eq!(document["host"]["kind"], "attach");
    assert!(document["host"].get("command").is_none(), "nobody knows how it was started: {}", document["host"]);
    bench.is_derived_again();
}

/// What a device of the library holds: bytes, the process whose they are, and what is nobody's.
fn holds(pid: u32, gib: u64) -> String {
    format!("{} {pid} 0\n", gib << 30)
}

#[test]
fn a_strangers_device_is_not_measured_beside_a_server_that_is_named_by_its_process() {
    let home = tempfile::tempdir().unwrap();
    let strangers = home.path().join("strangers");
    // The stranger's device comes first.
    let bench = Bench::with_library(&Script { speed: 100.0, ..Script::default() }, |nvml| {
        let mut other = nvml["devices"][0].clone();
        other["uuid"] = "GPU-stranger".into();
        other["used_file"] = strangers.display().to_string().into();
        nvml["devices"].as_array_mut().unwrap().insert(0, other);
    });
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(&strangers, holds(stranger.id(), 20)).unwrap();
    let server = Server::start(&bench);
    let (url, pid) = (server.url(), server.child.id().to_string());
    let load = ["--num-prompts", "4", "--batch-size", "2", "--pid", &pid, "--url", &url];
    let asked = bench.command(&bench.file(), Kind::Serve, &load);
    let words: Vec<_> = asked.get_args().take_while(|word| *word != "--").map(ToOwned::to_owned).collect();
    // The first requests of a server raise its memory, later ones do not.
    for served in ["before", "already"] {
        let output = Command::new(asked.get_program()).args(&words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{served}: {}", crate::stderr(&output));
        let document: Value = serde_json::from_slice(&fs::read(bench.file()).unwrap()).unwrap();
        let measured = document["memory_breakdown"]["total_measured_bytes"].as_u64().unwrap();
        let held: u64 = fs::read_to_string(bench.file().with_file_name("used"))
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(measured, held, "{served}: what the server's process holds");
        assert_eq!(document["gpu_info"]["num_gpus"], 1, "{served}");
        let notes = document["metadata"]["notes"].to_string();
        assert!(notes.contains("the engine had no process there: GPU 0"), "{served}: {notes}");
        bench.is_derived_again();
        fs::remove_dir_all(bench.folder()).unwrap();
        fs::remove_file(bench.file()).unwrap();
    }
    drop(server);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn an_engine_of_one_rank_may_start_beside_a_stranger_on_another_device() {
    let home = tempfile::tempdir().unwrap();
    let strangers = home.path().join("strangers");
    let bench = Bench::with_library(&Script { speed: 60.0, ..Script::default() }, |nvml| {
        let mut other = nvml["devices"][0].clone();
        other["uuid"] = "GPU-stranger".into();
        other["used_file"] = strangers.display().to_string().into();
        nvml["devices"].as_array_mut().unwrap().push(other);
    });
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(&strangers, holds(stranger.id(), 20)).unwrap();
    let (one, _) = bench.run(Kind::Latency, &[]);
    assert_eq!(one.status.code(), Some(0), "{}", crate::stderr(&one));
    for (more, why) in [
        (&["--tensor-parallel-size", "2"][..], "two ranks take both devices"),
        (&["--gpu", "1"], "the stranger's device is asked for"),
    ] {
        let file = bench.file().with_file_name("refused.json");
        let (output, _) = bench.run_to(&file, Kind::Latency, more);
        assert_eq!(output.status.code(), Some(8), "{why}: {}", crate::stderr(&output));
        let said = format!("process {} on device 1 with 20.00 GiB", stranger.id());
        assert!(crate::stderr(&output).contains(&said), "{why}: {}", crate::stderr(&output));
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Paths, and what a server answers there: status, type and body.
type Answers = &'static [(&'static str, &'static str)];

/// A server that answers each request with the first of these answers whose path it is, and 404 otherwise.
fn answering(answers: Answers) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            if reader.read_line(&mut first).is_err() {
                continue;
            }
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let path = first.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(of, _)| *of == path || *of == "*");
            let answer = found.map_or("404 Not Found|text/plain|no such page", |(_, answer)| *answer);
            let parts: Vec<&str> = answer.split('|').collect();
            let _ = write!(
                stream,
                "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                parts[0],
                parts[1],
                parts[2].len(),
                parts[2]
            );
        }
    });
    url
}

#[test]
fn what_answers_and_is_no_engine_is_not_waited_for() {
    let bench = Bench::new(&Script { speed: 100.0, ..Script::default() });
    let cases: [(Answers, &str, &str); 4] = [
        (&[("*", "200 OK|text/html|<html>hello</html>")], "not_an_engine", "web pages"),
        (&[], "not_an_engine", "404"),
        (&[("/version", "404 No|text/plain|"), ("*", "401 Unauthorized|application/json|{}")], "access_refused", "401"),
        (&[("/health", "200 OK|text/html|<p>"), ("*", "200 OK|application/json|{\"a\": 1}")], "not_an_engine", "web"),
    ];
    for (answers, kind, said) in cases {
        let url = answering(answers);
        let file = bench.file().display().to_string();
        let output = crate::vramscope(&["profile", "--url", &url, "--output", &file, "--force", "--num-prompts", "1"]);
        let text = crate::stderr(&output);
        assert_eq!(output.status.code(), Some(9), "{answers:?}: {text}");
        assert!(text.contains(kind) && text.contains(said), "{answers:?}: {text}");
        let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(document["failure"]["kind"], kind);
        fs::remove_dir_all(bench.folder()).unwrap();
        fs::remove_file(&file).unwrap();
    }
}
