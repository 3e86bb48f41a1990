//! `vramscope campaign`.

mod damaged;
mod ends;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use standin_vllm::{Device, SCRIPT_VARIABLE, Script};

use crate::{root, stderr, stdout, vramscope};

fn written(folder: &Path, text: &str) -> String {
    let path = folder.join("models.yaml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A model's folder, the stand-in engine and device: what a campaign needs to be carried out.
struct Machine {
    home: tempfile::TempDir,
    library: String,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let used = home.path().join("used");
        fs::write(&used, "0").unwrap();
        let device = json!({"name": "NVIDIA H200", "total": 150_754_820_096_u64, "used_file": used});
        let nvml = json!({ "devices": [device] });
        let library = crate::gpus::stand_in(home.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &nvml);
        let model = home.path().join("llama-3.2-1b");
        fs::create_dir(&model).unwrap();
        fs::copy(root().join("examples/noisy-neighbour/config.json"), model.join("config.json")).unwrap();
        let machine = Self { home, library };
        machine.script(&machine.healthy());
        machine
    }

    /// What an engine does with which nothing is wrong.
    fn healthy(&self) -> Script {
        let devices = vec![Device { used_file: self.home.path().join("used"), rest_bytes: 0, left_bytes: 0 }];
        Script { devices, speed: 60.0, ..Script::default() }
    }

    fn campaign(&self, more: &[&str]) -> Output {
        self.campaign_with(more, &[])
    }

    /// With these arguments for each run.
    fn campaign_with(&self, more: &[&str], words: &[&str]) -> Output {
        self.command(more, words).output().unwrap()
    }

    fn command(&self, more: &[&str], words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        command.current_dir(self.home.path()).arg("campaign").args(more).args(["--output", "out", "--"]);
        command.arg("--engine").arg(standin_vllm::executable()).args(["--nvml-lib", &self.library]);
        command.args(["--backend", "nvml", "--interval", "20ms", "--baseline", "100ms", "--settle", "1s"]);
        command.args(["--num-iters", "1", "--num-iters-warmup", "0"]).args(words).args([
            "--",
            "--load-format",
            "dummy",
        ]);
        command.env(SCRIPT_VARIABLE, self.home.path().join("script.json"));
        command
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_slice(&fs::read(self.home.path().join("out").join(file)).unwrap()).unwrap()
    }
}

const TWO: [&str; 8] = ["--model", "./llama-3.2-1b", "--input-len", "16", "--output-len", "8", "--batch-size", "1"];

/// Rows of `campaign.csv`, each with its fields by name.
fn rows(machine: &Machine) -> Vec<std::collections::BTreeMap<String, String>> {
    let path = machine.home.path().join("out/campaign.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    let heads = reader.headers().unwrap().clone();
    let fields = |row: csv::StringRecord| heads.iter().zip(&row).map(|(h, f)| (h.to_owned(), f.to_owned())).collect();
    reader.records().map(|row| fields(row.unwrap())).collect()
}

/// The states of all runs, in the order of the table.
fn states(machine: &Machine) -> Vec<String> {
    rows(machine).iter().map(|row| row["state"].clone()).collect()
}

#[test]
fn a_campaign_leaves_a_profile_for_each_run_and_the_table_of_all() {
    let machine = Machine::new();
    let output = machine.campaign(&[&TWO[..], &["4"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = stdout(&output);
    assert!(table.starts_with("2 runs\n") && table.contains("Along batch size"), "{table}");
    assert!(!table.contains("What to know"), "the report of a single run is no part of it: {table}");
    assert!(stderr(&output).contains("2 complete of 2 runs"), "{}", stderr(&output));
    let runs = machine.json("campaign.runs.json");
    let batches: Vec<_> = runs["runs"].as_array().unwrap().iter().map(|run| &run["settings"]["batch_size"]).collect();
    assert_eq!(batches, ["1", "4"]);
    assert_eq!(states(&machine), ["complete", "complete"]);
    for (row, name) in rows(&machine).iter().zip(["llama-3.2-1b_in16_out8_bs1", "llama-3.2-1b_in16_out8_bs4"]) {
        assert_eq!(row["run"], name);
        let (key, attempt) = (&row["key"], &row["attempt"]);
        assert_eq!(machine.json(&format!("profiles/{key}.json"))["metadata"]["status"], "complete");
        let log = format!("attempts/{key}/{attempt}/{key}/engine.log");
        assert!(machine.home.path().join("out").join(log).is_file());
    }
    let leases = fs::read_dir(machine.home.path().join("out/leases")).unwrap().count();
    assert_eq!(leases, 0, "nobody works there any more");

    let again = machine.campaign(&[&TWO[..], &["4", "2", "--report"]].concat());
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let page = fs::read_to_string(machine.home.path().join("out/campaign.html")).unwrap();
    assert!(page.contains("data-figure=\"0:/runs/2/figures/"), "the page has all runs");
    assert_eq!(stderr(&again).matches("is complete already").count(), 2, "{}", stderr(&again));
    assert_eq!(machine.json("campaign.runs.json")["runs"].as_array().unwrap().len(), 3);
    let listed = vramscope(&["runs", machine.home.path().join("out").to_str().unwrap(), "--format", "csv"]);
    assert_eq!((stdout(&listed).lines().count(), stderr(&listed).as_str()), (4, ""), "the table is no run");
}

#[test]
fn runs_of_other_arguments_stand_beside_and_no_row_goes() {
    let machine = Machine::new();
    let output = machine.campaign(&TWO);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let other = ["--dtype", "float16", "--env", "HF_TOKEN=plainsecretofthehub"];
    let more = machine.campaign_with(&TWO, &other);
    assert_eq!(more.status.code(), Some(0), "{}", stderr(&more));
    assert_eq!(states(&machine), ["complete", "complete"], "the first campaign's run is in the table still");
    let plan = machine.json("campaign.plan.json").to_string();
    assert!(plan.contains("float16") && !plan.contains("plainsecret"), "{plan}");
    // How long is waited changes nothing of what is measured, and the form of an argument does not either.
    let longer = machine.campaign_with(&TWO, &["--timeout=55m", "--grace", "9s", "--quiet"]);
    assert!(stderr(&longer).contains("is complete already"), "{}", stderr(&longer));
    let listed = vramscope(&["runs", machine.home.path().join("out").to_str().unwrap(), "--format", "csv"]);
    assert_eq!((stdout(&listed).lines().count(), stderr(&listed).as_str()), (3, ""), "the plan is no run");
}

#[test]
fn a_run_that_cannot_start_is_told_and_the_next_one_begins() {
    let machine = Machine::new();
    let text = "models:\n- {model_id: ./llama-3.2-1b, batch_sizes: [1], input_lengths: [16], output_lengths: [8], \
                engine_args: [--no-such-flag]}\n- {model_id: ./llama-3.2-1b, batch_sizes: [2], input_lengths: [16], \
                output_lengths: [8]}\n";
    let file = written(machine.home.path(), text);
    let output = machine.campaign(&[&file]);
    assert_eq!(output.status.code(), Some(2), "the first failure's code: {}", stderr(&output));
    assert!(stderr(&output).contains("--no-such-flag"), "{}", stderr(&output));
    assert_eq!(states(&machine), ["failed", "complete"]);
    assert!(rows(&machine)[0]["failure"].contains("--no-such-flag"));
    let stopped = machine.campaign(&[&file, "--stop-on-failure"]);
    assert!(stderr(&stopped).contains("open from run 1 of 2 on"), "{}", stderr(&stopped));
}

#[test]
fn an_engine_is_asked_once_for_all_runs() {
    let machine = Machine::new();
    let asked = machine.home.path().join("asked");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n",
        asked.display(),
        standin_vllm::executable().display()
    );
    let engine = machine.home.path().join("vllm");
    fs::write(&engine, text).unwrap();
    fs::set_permissions(&engine, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = machine.campaign_with(&[&TWO[..], &["2", "4"]].concat(), &["--engine", engine.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let asked = fs::read_to_string(asked).unwrap();
    let count = |word: &str| asked.lines().filter(|line| line.contains(word)).count();
    assert_eq!((count("--version"), count("--help"), count("--batch-size")), (1, 1, 3), "{asked}");
}

/// A program whose first line names an interpreter of Python is asked for no release: its package's record says it.
#[test]
fn the_release_of_a_python_program_is_read_from_its_package() {
    let machine = Machine::new();
    let write = |name: &str, text: String| {
        let path = machine.home.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    let asked = machine.home.path().join("asked");
    let interpreter = write(
        "python3",
        format!(
            "#!/bin/sh\nif [ \"$1\" = -c ]; then echo 0.33.0+record; exit; fi\nshift\necho \"$@\" >> {}\nexec {} \"$@\"\n",
            asked.display(),
            standin_vllm::executable().display()
        ),
    );
    let engine = write("vllm", format!("#!{}\n", interpreter.display()));
    let output = machine.campaign_with(&[&TWO[..], &["2"]].concat(), &["--engine", engine.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let asked = fs::read_to_string(asked).unwrap();
    assert!(!asked.contains("--version") && asked.contains("--help"), "{asked}");
    let args = fs::read_dir(machine.home.path().join("out/attempts")).unwrap().map(|key| key.unwrap().path());
    let told: Vec<String> = args
        .flat_map(|key| walk(&key))
        .filter(|path| path.ends_with("args.json"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert!(told.len() == 2 && told.iter().all(|told| told.contains("0.33.0+record")), "{told:?}");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_shape_stands_beside_the_lists() {
    let folder = tempfile::tempdir().unwrap();
    let given = ["--model-params", "6.7e9", "--num-layers", "32", "--num-heads", "32", "--hidden-size", "4096"];
    let work = ["campaign", "--model", "org/M", "--batch-size", "1", "8", "--dry-run", "--format", "json"];
    let output = vramscope(&[&work[..], &given].concat());
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let words = plan["runs"][1]["arguments"].to_string();
    for word in ["--model-params=6700000000", "--num-layers=32", "--num-heads=32", "--hidden-size=4096"] {
        assert!(words.contains(word), "{words}");
    }
    let file = written(folder.path(), "models: [{model: m}]");
    assert_eq!(vramscope(&["campaign", &file, "--num-layers", "3"]).status.code(), Some(2));
}

#[test]
fn a_dry_run_shows_each_run_as_arguments_of_profile() {
    let folder = tempfile::tempdir().unwrap();
    let text = "models:\n- hf_model_id: org/M\n  container_name: c\n  tensor_parallel_size: 2\n  kv_cache_dtype: fp8\n  \
                batch_sizes: [1, 8]\n  input_lengths: [256]\n  output_lengths: [64]\n  trust_remote_code: true\n";
    let file = written(folder.path(), text);
    let output =
        vramscope(&["campaign", &file, "--dry-run", "--format", "json", "--", "--num-iters", "5", "--", "--x=1"]);
    assert_eq!(output.status.code(), Some(8), "there is no such container: {}", stderr(&output));
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(plan["runs"].as_array().unwrap().len(), 2);
    assert_eq!(plan["runs"][1]["checks"][0]["refuses"], true, "{plan}");
    let words: Vec<&str> = plan["runs"][1]["arguments"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let expected = ["--model=org/M", "--container=c", "--batch-size=8", "--tensor-parallel-size=2"];
    assert!(expected.iter().all(|word| words.contains(word)), "{words:?}");
    assert!(words.ends_with(&["--trust-remote-code", "--num-iters", "5", "--", "--x=1"]), "{words:?}");
    let bare = stdout(&vramscope(&["campaign", &file, "--dry-run", "--no-containers", "--format", "json"]));
    assert!(!bare.contains("--container"), "{bare}");
    let table = stdout(&vramscope(&["campaign", &file, "--dry-run", "--output", "there"]));
    assert!(table.starts_with("2 runs, to there\n") && table.contains("org/M in c"), "{table}");
    assert!(table.contains("2 certain to fail"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn a_dry_run_makes_the_checks_of_each_run() {
    let machine = Machine::new();
    let model = "./llama-3.2-1b";
    let entry = |more: &str| format!("- {{model_id: {model}, input_lengths: [16], output_lengths: [8], {more}}}\n");
    let absent = "- {model_id: ./none}\n".to_owned();
    let text = [
        "models:\n".to_owned(),
        entry("batch_sizes: [1]"),
        entry("batch_sizes: [1], max_model_len: 4000000"),
        entry("batch_sizes: [1], tensor_parallel_size: 2"),
        absent,
        entry("batch_sizes: [1], engine_args: [--kv-cache-memory-bytes, 1M]"),
    ];
    let file = written(machine.home.path(), &text.concat());
    let output = machine.campaign(&[&file, "--dry-run", "--format", "json"]);
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let codes = |run: usize| -> Vec<&str> {
        plan["runs"][run]["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|check| check["code"].as_str())
            .collect()
    };
    assert_eq!(codes(0), Vec::<&str>::new());
    assert_eq!(codes(1), ["max_model_len_too_long"]);
    assert_eq!(codes(2), ["too_few_devices"]);
    assert_eq!(codes(3), ["no_model_folder"]);
    assert_eq!(codes(4), ["does_not_fit"]);
    assert!(plan["runs"][4]["checks"][0]["message"].as_str().unwrap().contains("are missing on each device"), "{plan}");
    assert!(!machine.home.path().join("out").exists(), "a dry run leaves nothing");
    let skipped = machine.campaign(&[&file, "--skip-unfit"]);
    assert_eq!(states(&machine)[4], "unfit", "{}", stderr(&skipped));
}

/// A copy of the model's folder whose weights are such files, with more in its config.
fn model_with(machine: &Machine, name: &str, weights: &str, more: &Value) {
    let folder = machine.home.path().join(name);
    fs::create_dir(&folder).unwrap();
    let path = machine.home.path().join("llama-3.2-1b/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join(weights), "").unwrap();
}

#[test]
fn arguments_that_contradict_the_folder_are_found_by_a_dry_run_and_refused_by_a_profile() {
    let machine = Machine::new();
    let awq = json!({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true}});
    let gemma = json!({"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "query_pre_attn_scalar": 64});
    model_with(&machine, "awq", "pytorch_model.bin", &awq);
    model_with(&machine, "bin", "pytorch_model.bin", &json!({}));
    model_with(&machine, "gemma", "pytorch_model.bin", &gemma);
    let cases = [
        ("./awq", "[--quantization, gptq]", Some(("other_quantization", true))),
        ("./awq", "[--quantization, awq_marlin]", None),
        ("./awq", "[--dtype, float32]", Some(("dtype_not_supported", true))),
        ("./bin", "[--load-format, safetensors]", Some(("load_format_without_files", true))),
        ("./bin", "[--load-format, auto]", None),
        ("./gemma", "[--dtype, float16]", Some(("dtype_not_supported", true))),
        ("./gemma", "[--dtype=bfloat16]", None),
        ("./bin", "[--dtype, half]", Some(("dtype_is_cast", false))),
    ];
    let mut text = "models:\n".to_owned();
    for (model, args, _) in cases {
        use std::fmt::Write as _;
        let _ = writeln!(
            text,
            "- {{model_id: {model}, input_lengths: [16], output_lengths: [8], batch_sizes: [1], engine_args: {args}}}"
        );
    }
    let file = written(machine.home.path(), &text);
    let mut command = machine.command(&[&file, "--dry-run", "--format", "json"], &[]);
    // Behind the last -- stands that weights are made up, and here they are not.
    let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = Command::new(command.get_program());
    command.args(&words[..words.len() - 3]).current_dir(machine.home.path());
    command.env(SCRIPT_VARIABLE, machine.home.path().join("script.json"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    for (at, (model, args, found)) in cases.into_iter().enumerate() {
        let checks = &plan["runs"][at]["checks"];
        let told = found.map(|(code, refuses)| json!([{"code": code, "refuses": refuses}]));
        let seen: Vec<Value> = checks
            .as_array()
            .into_iter()
            .flatten()
            .map(|check| json!({"code": check["code"], "refuses": check["refuses"]}))
            .collect();
        assert_eq!(Value::from(seen), told.unwrap_or(json!([])), "{model} {args}: {checks}");
        // `profile` finds the same before it starts anything.
        let mut profile = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        let engine = args.trim_matches(['[', ']']).replace(',', "");
        profile.current_dir(machine.home.path()).args(["profile", "--model", model, "--dry-run", "--engine"]);
        profile.arg(standin_vllm::executable()).args(["--backend", "nvml", "--nvml-lib", &machine.library, "--"]);
        let output = profile.args(engine.split_whitespace()).output().unwrap();
        let code = if found.is_some_and(|(_, refuses)| refuses) { 8 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{model} {args}: {}", stderr(&output));
        let word = found.map_or(String::new(), |(code, refuses)| {
            format!("{} {code}: ", if refuses { "refused" } else { "warning" })
        });
        assert!(stderr(&output).contains(&word), "{model} {args}: {}", stderr(&output));
    }
    assert!(!machine.home.path().join("out").exists(), "nothing was started");
}

#[test]
fn a_dry_run_holds_the_room_of_all_runs_against_the_disk() {
    let machine = Machine::new();
    let roomy = machine.campaign(&[&TWO[..], &["2", "4", "--dry-run"]].concat());
    assert!(stdout(&roomy).contains("together they may leave 0.19 GiB"), "{}", stdout(&roomy));
    let document = machine.campaign(&[&TWO[..], &["2", "4", "--dry-run", "--format", "json"]].concat());
    let document: Value = serde_json::from_str(&stdout(&document)).unwrap();
    assert_eq!(document["room"]["needed_bytes"], 3 * (64 << 20), "{document}");
    assert_eq!(document["room"]["suffices"], true, "{document}");
    assert!(document["room"]["free_bytes"].as_u64().unwrap() > 3 * (64 << 20), "{document}");
    let allowed = Command::new("unshare").args(["-Urm", "true"]).output().is_ok_and(|tried| tried.status.success());
    if !allowed {
        println!("skipped: this system does not let a user mount a file system of his own (unshare -Urm)");
        return;
    }
    // Room for one run, and not for three.
    let command = machine.command(&[&TWO[..], &["2", "4", "--dry-run"]].concat(), &[]);
    let script = "mkdir -p out && mount -t tmpfs -o size=100m none out && \"$@\"";
    let mut apart = Command::new("unshare");
    apart.args(["-Urm", "sh", "-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    apart.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(machine.home.path());
    let output = apart.output().unwrap();
    let table = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(0), "{table}{}", stderr(&output));
    assert!(table.contains("leave 0.19 GiB, and warning: only 0.10 GiB are free there"), "{table}");
}

#[test]
fn what_is_wrong_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let said = |text: &str, more: &[&str]| {
        let file = written(folder.path(), text);
        let output = vramscope(&[&["campaign", &file, "--output", "/proc/no"], more].concat());
        (output.status.code(), stderr(&output))
    };
    let (code, words) = said("models:\n- {model: m, batch_sizes: [0]}\n", &[]);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("run 1 of 1, m_bs0:") && words.contains("--batch-size"), "{words}");
    let (code, words) = said("models:\n- {model: m, dtype: no-such}\n", &[]);
    assert_eq!(code, Some(2), "{words}");
    let (code, words) = said("models:\n- {model: m, colour: red}\n", &[]);
    assert!(code == Some(3) && words.contains("colour") && words.contains("line 2"), "{words}");
    assert_eq!(said("models:\n- {model: m}\n", &["--", "--no-such-option"]).0, Some(2));
    assert_eq!(vramscope(&["campaign", "no/such.yaml"]).status.code(), Some(3));
    assert_eq!(vramscope(&["campaign"]).status.code(), Some(2));
    assert_eq!(vramscope(&["campaign", "x.yaml", "--model", "m"]).status.code(), Some(2));
}

#[test]
fn a_tables_prompts_are_sent_where_the_workload_takes_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "model_id,batch_size,max_tokens,prompt\na/b,1,8,-Explain this\n");
    let plan = |more: &[&str]| stdout(&vramscope(&[&["campaign", &file, "--dry-run"][..], more].concat()));
    let latency = plan(&[]);
    assert!(latency.contains("its prompt is not sent") && latency.contains("512"), "{latency}");
    let probed = plan(&["--format", "json", "--", "--workload", "transformers"]);
    assert!(probed.contains("\"--prompt=-Explain this\"") && !probed.contains("is not sent"), "{probed}");
}
