//! Servers that are started by their own words: SGLang and Ollama. A stand-in answers as they do and prints lines in the
//! form of their logs; neither is there, and neither is needed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use standin_openai::{Engine, Line, Play, SCRIPT_VARIABLE, Script};

use super::bench::{adds_up, part, phases};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// Hundredths of a GiB.
fn hundredths(n: u64) -> u64 {
    n * GIB / 100
}

/// A folder with the stand-in under the names of programs, its script, and a device of the stand-in library.
struct Stage {
    home: tempfile::TempDir,
    library: String,
}

impl Stage {
    fn new(mut script: Script) -> Self {
        let home = tempfile::tempdir().unwrap();
        let used = home.path().join("used");
        fs::write(&used, "0").unwrap();
        let device = json!({
            "name": "NVIDIA H200", "total": 150_754_820_096_u64, "reserved": 644_939_776_u64, "used_file": used,
        });
        let library = crate::gpus::stand_in(
            home.path(),
            "libstandin_nvml.so",
            "libnvidia-ml.so.1",
            &json!({ "devices": [device] }),
        );
        script.play.used_file = Some(used);
        fs::write(home.path().join("script.json"), serde_json::to_vec(&script).unwrap()).unwrap();
        fs::create_dir(home.path().join("bin")).unwrap();
        for name in ["sglang", "python3", "ollama"] {
            symlink(standin_openai::executable(), home.path().join("bin").join(name)).unwrap();
        }
        Self { home, library }
    }

    fn program(&self, name: &str) -> String {
        self.home.path().join("bin").join(name).display().to_string()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A run with these words at its end.
    fn profile(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        command.arg("profile").arg("--output").arg(self.file("profile.json"));
        command.args(["--backend", "nvml", "--nvml-lib", &self.library, "--interval", "20ms", "--baseline", "300ms"]);
        command.args(["--settle", "3s", "--input-len", "16", "--output-len", "8", "--num-prompts", "8"]);
        command.args(["--batch-size", "2"]).args(words);
        command.env(SCRIPT_VARIABLE, self.file("script.json")).stdin(Stdio::null()).output().unwrap()
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file("profile.json")).unwrap()).unwrap()
    }

    fn kept(&self, name: &str) -> String {
        fs::read_to_string(self.file("profile").join(name)).unwrap()
    }

    /// `analyze` of the recording gives the same profile.
    fn is_derived_again(&self) {
        let again = self.file("again.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        let output = command.arg("analyze").arg(self.file("profile")).arg("--output").arg(&again).output().unwrap();
        assert!(output.status.success(), "{}", crate::stderr(&output));
        assert_eq!(fs::read_to_string(self.file("profile.json")).unwrap(), fs::read_to_string(again).unwrap());
    }
}

fn line(after_ms: u64, text: &str, used_bytes: Option<u64>) -> Line {
    Line { after_ms, text: text.to_owned(), used_bytes }
}

/// Plays 15.28 GiB of weights, a pool of 44 with a table of 0.62, workspaces of 1.10 and graphs of 0.60, of 139.80 GiB.
fn sglang() -> Script {
    let used = |n: u64| Some(hundredths(n));
    let start = vec![
        line(
            100,
            "[{local}] server_args=ServerArgs(model_path='some/model', mem_fraction_static=0.43, tp_size=1, pp_size=1, dp_size=1, api_key='plainservedsecret', disable_cuda_graph=False)",
            used(100),
        ),
        line(1500, "[{local}] Init torch distributed ends. elapsed=0.27 s, mem usage=0.10 GB", None),
        line(200, "[{local}] Load weight begin. avail mem=138.80 GB", None),
        line(
            200,
            "[{local}] Load weight end. elapsed=0.20 s, type=Qwen3ForCausalLM, avail mem=123.52 GB, mem usage=15.28 GB.",
            used(1628),
        ),
        line(200, "[{local}] KV Cache is allocated. #tokens: 300000, K size: 22.00 GB, V size: 22.00 GB", used(6090)),
        line(0, "[{local}] Memory pool end. avail mem=78.90 GB", None),
        line(
            100,
            "[{local}] Capture cuda graph begin. This can take up to several minutes. avail mem=77.80 GB",
            used(6200),
        ),
        line(
            200,
            "[{local}] Capture cuda graph end. Time elapsed: 0.20 s. mem usage=0.60 GB. avail mem=77.20 GB.",
            used(6260),
        ),
        line(
            50,
            "[{local}] max_total_num_tokens=300000, chunked_prefill_size=8192, max_prefill_tokens=16384, max_running_requests=4096, context_len=40960, available_gpu_mem=77.20 GB",
            None,
        ),
        line(100, "[{local}] The server is fired up and ready to roll!", None),
    ];
    let work = vec![line(
        0,
        "[{local}] Prefill batch. #new-seq: 1, #new-token: 16, #cached-token: 0, token usage: 0.00, #running-req: 0, #queue-req: 0",
        used(6410),
    )];
    Script {
        engine: Engine::SgLang,
        model: "some/model".to_owned(),
        version: "0.5.12".to_owned(),
        max_model_len: 40_960,
        gap_ms: vec![5.0],
        play: Play { start, load: Vec::new(), work, used_file: None },
        ..Script::default()
    }
}

/// Plays a runner of 0.50 GiB that holds 4.1 GiB of weights, 1.8 of cache and 0.9 to compute in, once a model is asked for.
fn ollama() -> Script {
    let used = |n: u64| Some(hundredths(n));
    let record = |text: &str| format!("time={{rfc3339}} level=INFO {text}");
    let start = vec![
        line(100, &record("source=routes.go:1200 msg=\"Listening on 127.0.0.1:11434 (version 0.13.5)\""), None),
        line(
            50,
            &record(
                "source=types.go:42 msg=\"inference compute\" id=GPU-1111 library=CUDA compute=9.0 name=CUDA0 description=\"NVIDIA H200\" total=\"139.8 GiB\" available=\"139.8 GiB\"",
            ),
            None,
        ),
    ];
    let load = vec![
        line(
            50,
            &record(
                "source=server.go:392 msg=\"starting runner\" cmd=\"/usr/bin/ollama runner --ollama-engine --model /models/blobs/sha256-aa --port 41000\"",
            ),
            None,
        ),
        line(
            50,
            &record(
                "source=sched.go:450 msg=\"gpu memory\" id=GPU-1111 library=CUDA available=\"139.3 GiB\" free=\"139.8 GiB\" minimum=\"457.0 MiB\" overhead=\"0 B\"",
            ),
            None,
        ),
        line(50, "", used(50)),
        line(
            2000,
            &record(
                "source=runner.go:1271 msg=load request=\"{Operation:commit LoraPath:[] Parallel:1 BatchSize:512 FlashAttention:Enabled KvSize:8192 KvCacheType: NumThreads:8 GPULayers:29[ID:GPU-1111 Layers:29(0..28)]}\"",
            ),
            used(50 + 680),
        ),
        line(0, &record("source=ggml.go:494 msg=\"offloaded 29/29 layers to GPU\""), None),
        line(0, &record("source=device.go:240 msg=\"model weights\" device=CUDA0 size=\"4.1 GiB\""), None),
        line(0, &record("source=device.go:251 msg=\"kv cache\" device=CUDA0 size=\"1.8 GiB\""), None),
        line(0, &record("source=device.go:262 msg=\"compute graph\" device=CUDA0 size=\"921.6 MiB\""), None),
        line(200, &record("source=server.go:1289 msg=\"llama runner started in 0.70 seconds\""), None),
    ];
    Script {
        engine: Engine::Ollama,
        model: "small:1b".to_owned(),
        version: "0.13.5".to_owned(),
        refuses_token_ids: true,
        gap_ms: vec![5.0],
        play: Play { start, load, work: Vec::new(), used_file: None },
        ..Script::default()
    }
}

#[track_caller]
fn near(found: u64, expected: u64, within: u64) {
    assert!(found.abs_diff(expected) <= within, "{} MiB is not {} MiB", found / MIB, expected / MIB);
}

#[test]
fn a_stand_in_for_sglang_is_started_by_either_of_its_programs_and_its_memory_explained() {
    for words in [&["sglang", "serve"][..], &["python3", "-m", "sglang.launch_server"]] {
        let stage = Stage::new(sglang());
        let program = stage.program(words[0]);
        let ran = stage.profile(&[&["--", &program][..], &words[1..], &["--model-path", "some/model"]].concat());
        assert_eq!(ran.status.code(), Some(0), "{words:?}: {}", crate::stderr(&ran));
        let document = stage.document();
        assert_eq!(document["engine_metadata"]["engine_type"], "sglang");
        assert_eq!(document["engine_metadata"]["engine_version"], "0.5.12", "as the server says it");
        assert_eq!(document["model_info"]["name"], "some/model");
        let command = document["host"]["command"].to_string();
        assert!(command.contains("--enable-metrics") && command.contains("127.0.0.1"), "{command}");
        let notes = document["metadata"]["notes"].to_string();
        assert!(notes.contains("added to the server's command: --host 127.0.0.1 --port"), "{notes}");
        let breakdown = &document["memory_breakdown"];
        adds_up(breakdown);
        near(part(breakdown, "model_weights"), hundredths(1528), MIB);
        near(part(breakdown, "kv_cache"), hundredths(4400), MIB);
        near(part(breakdown, "held"), hundredths(172), MIB);
        near(part(breakdown, "cuda_graphs"), hundredths(60), MIB);
        near(part(breakdown, "runtime_context"), hundredths(100), MIB);
        near(part(breakdown, "activations"), hundredths(150), 8 * MIB);
        let info: Value = serde_json::from_str(&stage.kept("server_info.json")).unwrap();
        assert_eq!(info["max_total_num_tokens"], 300_000);
        assert!(!stage.kept("engine.log").contains("plainservedsecret"), "a key is in the log");
        assert!(stage.kept("metrics.jsonl").contains("running"), "its metrics are read beside the run");
        assert_eq!(document["served_stats"]["completed_requests"], 8);
        assert_eq!(
            phases(&document),
            ["baseline", "launch", "load", "ready", "warmup", "measure", "shutdown", "settle"]
        );
        stage.is_derived_again();
    }
}

#[test]
fn a_stand_in_for_ollama_is_started_has_its_model_loaded_first_and_is_explained() {
    let stage = Stage::new(ollama());
    let ran = stage.profile(&["--model", "small:1b", "--", &stage.program("ollama"), "serve"]);
    assert_eq!(ran.status.code(), Some(0), "{}", crate::stderr(&ran));
    let document = stage.document();
    assert_eq!(document["engine_metadata"]["engine_type"], "ollama");
    assert_eq!(document["engine_metadata"]["engine_version"], "0.13.5");
    assert_eq!(document["model_info"]["name"], "small:1b");
    let notes = document["metadata"]["notes"].to_string();
    assert!(notes.contains("added to the server's variables: OLLAMA_HOST=127.0.0.1:"), "{notes}");
    let breakdown = &document["memory_breakdown"];
    adds_up(breakdown);
    near(part(breakdown, "model_weights"), hundredths(410), MIB);
    near(part(breakdown, "kv_cache"), hundredths(180), MIB);
    near(part(breakdown, "compute_buffers"), hundredths(90), MIB);
    near(part(breakdown, "runtime_context"), hundredths(50), MIB);
    assert_eq!(breakdown["places"][0]["gpu"], 0);
    let loaded: Value = serde_json::from_str(&stage.kept("loaded_models.json")).unwrap();
    assert_eq!(loaded["models"][0]["name"], "small:1b");
    assert_eq!(document["served_stats"]["completed_requests"], 8);
    let order = phases(&document);
    let at = |name: &str| order.iter().position(|phase| phase == name);
    assert!(at("load").is_some() && at("load") < at("ready"), "it is ready when its model is there: {order:?}");
    stage.is_derived_again();
}

#[test]
fn what_a_server_answers_counts_more_than_the_program_that_was_started() {
    let stage = Stage::new(Script { engine: Engine::Vllm, ..sglang() });
    let ran = stage.profile(&["--", &stage.program("sglang"), "serve", "--model-path", "some/model"]);
    assert_eq!(ran.status.code(), Some(0), "{}", crate::stderr(&ran));
    let document = stage.document();
    assert_eq!(document["engine_metadata"]["engine_type"], "vllm");
    let notes = document["metadata"]["notes"].to_string();
    assert!(notes.contains("the engine is vLLM, as the server answers; the command is one of SGLang"), "{notes}");
}

#[test]
fn what_cannot_be_started_so_is_refused_with_what_is_expected() {
    let stage = Stage::new(ollama());
    let (sglang, ollama) = (stage.program("sglang"), stage.program("ollama"));
    for (words, said) in [
        (&["--", &sglang, "serve", "--model-path", "m", "--port", "80"][..], "--port is given to the engine"),
        (&["--", &sglang, "serve"], "the words of SGLang after -- name none"),
        (&["--", &sglang, "serve", "--model-path", "m", "--tp", "no"], "a whole number"),
        (&["--max-model-len", "9", "--", &sglang, "serve", "--model-path", "m"], "give SGLang's own after"),
        (&["--", "A=1", &sglang, "serve", "--model-path", "m"], "give variables with --env"),
        (&["--", &ollama, "serve"], "give --model NAME, as Ollama calls it"),
        (&["--model", "m", "--", &ollama, "run", "m"], "expected `ollama serve`"),
        (&["--model", "m", "--env", "OLLAMA_HOST=a", "--", &ollama, "serve"], "leave out --env OLLAMA_HOST"),
        (&["--workload", "latency", "--model", "m", "--", &ollama, "serve"], "give --workload serve"),
    ] {
        let ran = stage.profile(words);
        let text = crate::stderr(&ran);
        assert!(!ran.status.success() && text.contains(said), "{words:?}: {text}");
        assert!(!stage.file("profile.json").exists(), "{words:?}: nothing was measured");
    }
    let dry = stage.profile(&["--dry-run", "--model", "small:1b", "--", &ollama, "serve"]);
    assert!(crate::stderr(&dry).contains("OLLAMA_HOST=127.0.0.1:"), "{}", crate::stderr(&dry));
}

#[test]
fn a_model_that_a_server_does_not_have_ends_the_run_with_its_words() {
    let stage = Stage::new(ollama());
    let ran = stage.profile(&["--model", "absent", "--", &stage.program("ollama"), "serve"]);
    let text = crate::stderr(&ran);
    assert!(!ran.status.success() && text.contains("model 'absent' not found"), "{text}");
    assert_eq!(stage.document()["failure"]["kind"], "server_refused");
}

/// A stand-in that runs already, ended when it is dropped.
struct Runs(Child, u16);

impl Runs {
    fn start(stage: &Stage, words: &[&str]) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let log = fs::File::create(stage.file("server.log")).unwrap();
        let mut command = Command::new(stage.program(words[0]));
        command.args(&words[1..]).args(["--port", &port.to_string()]);
        command.env(SCRIPT_VARIABLE, stage.file("script.json")).stdin(Stdio::null()).stderr(log);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self(child, port)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn stand_ins_that_run_already_are_told_by_their_answers_and_taken_apart_by_their_logs() {
    for (script, words, engine, kept, weights) in [
        (sglang(), ["sglang", "serve"], "sglang", "server_info.json", 1528),
        (ollama(), ["ollama", "serve"], "ollama", "loaded_models.json", 410),
    ] {
        let stage = Stage::new(script);
        let server = Runs::start(&stage, &words);
        let (url, log) = (format!("http://127.0.0.1:{}", server.1), stage.file("server.log").display().to_string());
        let ran = stage.profile(&["--url", &url, "--log-file", &log, "--pid", &server.0.id().to_string()]);
        assert_eq!(ran.status.code(), Some(0), "{engine}: {}", crate::stderr(&ran));
        let document = stage.document();
        assert_eq!(document["engine_metadata"]["engine_type"], engine);
        assert_eq!(document["host"]["kind"], "attach");
        let breakdown = &document["memory_breakdown"];
        adds_up(breakdown);
        near(part(breakdown, "model_weights"), hundredths(weights), MIB);
        assert!(!stage.kept(kept).is_empty());
        stage.is_derived_again();
        // Without its log there is what the server answers.
        fs::remove_dir_all(stage.file("profile")).unwrap();
        fs::remove_file(stage.file("profile.json")).unwrap();
        let ran = stage.profile(&["--url", &url, "--pid", &server.0.id().to_string()]);
        assert_eq!(ran.status.code(), Some(0), "{engine}: {}", crate::stderr(&ran));
        let document = stage.document();
        let sources = document["metadata"]["sources"].as_array().unwrap();
        assert!(sources.iter().any(|source| source["kind"] == "engine_answer"), "{sources:?}");
        let notes = document["metadata"]["notes"].to_string();
        if engine == "sglang" {
            let breakdown = &document["memory_breakdown"];
            adds_up(breakdown);
            assert_eq!(breakdown["components"][0]["method"], "server_answer", "{breakdown}");
            near(part(breakdown, "model_weights"), hundredths(1528), MIB);
            near(part(breakdown, "kv_cache"), hundredths(4400), MIB);
        } else {
            assert!(notes.contains("of them on devices"), "{notes}");
        }
        stage.is_derived_again();
    }
}
