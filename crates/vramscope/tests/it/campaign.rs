//! `vramscope campaign`.

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
        let devices = vec![Device { used_file: used, rest_bytes: 0, left_bytes: 0 }];
        let script = Script { devices, speed: 60.0, ..Script::default() };
        fs::write(home.path().join("script.json"), serde_json::to_vec(&script).unwrap()).unwrap();
        let model = home.path().join("llama-3.2-1b");
        fs::create_dir(&model).unwrap();
        fs::copy(root().join("examples/noisy-neighbour/config.json"), model.join("config.json")).unwrap();
        Self { home, library }
    }

    fn campaign(&self, more: &[&str]) -> Output {
        self.campaign_with(more, &[])
    }

    /// With these arguments for each run.
    fn campaign_with(&self, more: &[&str], words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        command.current_dir(self.home.path()).arg("campaign").args(more).args(["--output", "out", "--"]);
        command.arg("--engine").arg(standin_vllm::executable()).args(["--nvml-lib", &self.library]);
        command.args(["--backend", "nvml", "--interval", "20ms", "--baseline", "300ms", "--settle", "3s"]);
        command.args(["--num-iters", "2", "--num-iters-warmup", "1"]).args(words).args([
            "--",
            "--load-format",
            "dummy",
        ]);
        command.env(SCRIPT_VARIABLE, self.home.path().join("script.json"));
        command.output().unwrap()
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_slice(&fs::read(self.home.path().join("out").join(file)).unwrap()).unwrap()
    }
}

const TWO: [&str; 8] = ["--model", "./llama-3.2-1b", "--input-len", "16", "--output-len", "8", "--batch-size", "1"];

#[test]
fn a_campaign_leaves_a_profile_for_each_run_and_the_table_of_all() {
    let machine = Machine::new();
    let output = machine.campaign(&[&TWO[..], &["4"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = stdout(&output);
    assert!(table.starts_with("2 runs in out\n") && table.contains("Along batch size"), "{table}");
    assert!(!table.contains("What to know"), "the report of a single run is no part of it: {table}");
    let runs = machine.json("campaign.runs.json");
    let batches: Vec<_> = runs["runs"].as_array().unwrap().iter().map(|run| &run["settings"]["batch_size"]).collect();
    assert_eq!(batches, ["1", "4"]);
    let csv = fs::read_to_string(machine.home.path().join("out/campaign.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    for name in ["llama-3.2-1b_in16_out8_bs1", "llama-3.2-1b_in16_out8_bs4"] {
        assert_eq!(machine.json(&format!("{name}.json"))["metadata"]["status"], "complete");
        assert!(machine.home.path().join("out").join(name).join("engine.log").is_file());
    }

    let again = machine.campaign(&[&TWO[..], &["4", "2"]].concat());
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(stderr(&again).matches("is complete already").count(), 2, "{}", stderr(&again));
    assert_eq!(machine.json("campaign.runs.json")["runs"].as_array().unwrap().len(), 3);
    let listed = vramscope(&["runs", machine.home.path().join("out").to_str().unwrap(), "--format", "csv"]);
    assert_eq!((stdout(&listed).lines().count(), stderr(&listed).as_str()), (4, ""), "the table is no run");
}

#[test]
fn a_profile_of_other_arguments_does_not_stand_for_a_run() {
    let machine = Machine::new();
    let output = machine.campaign(&TWO);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let other = ["--dtype", "float16", "--env", "HF_TOKEN=plainsecretofthehub"];
    let refused = machine.campaign_with(&TWO, &other);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("nothing more then, --dtype float16"), "{}", stderr(&refused));
    assert!(!stderr(&refused).contains("run 1 of 1"), "nothing is started: {}", stderr(&refused));
    fs::remove_file(machine.home.path().join("out/llama-3.2-1b_in16_out8_bs1.json")).unwrap();
    fs::remove_dir_all(machine.home.path().join("out/llama-3.2-1b_in16_out8_bs1")).unwrap();
    let anew = machine.campaign_with(&TWO, &other);
    assert_eq!(anew.status.code(), Some(0), "{}", stderr(&anew));
    let plan = machine.json("campaign.plan.json").to_string();
    assert!(plan.contains("float16") && !plan.contains("plainsecret"), "{plan}");
    let listed = vramscope(&["runs", machine.home.path().join("out").to_str().unwrap(), "--format", "csv"]);
    assert_eq!((stdout(&listed).lines().count(), stderr(&listed).as_str()), (2, ""), "the plan is no run");
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
    assert_eq!(machine.json("campaign.runs.json")["runs"].as_array().unwrap().len(), 1);
    let stopped = machine.campaign(&[&file, "--stop-on-failure"]);
    assert!(stderr(&stopped).contains("ended after 1 of 2 runs"), "{}", stderr(&stopped));
}

#[test]
fn a_dry_run_shows_each_run_as_arguments_of_profile() {
    let folder = tempfile::tempdir().unwrap();
    let text = "models:\n- hf_model_id: org/M\n  container_name: c\n  tensor_parallel_size: 2\n  kv_cache_dtype: fp8\n  \
                batch_sizes: [1, 8]\n  input_lengths: [256]\n  output_lengths: [64]\n  trust_remote_code: true\n";
    let file = written(folder.path(), text);
    let output =
        vramscope(&["campaign", &file, "--dry-run", "--format", "json", "--", "--num-iters", "5", "--", "--x=1"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(plan["runs"].as_array().unwrap().len(), 2);
    let words: Vec<&str> = plan["runs"][1]["arguments"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let expected = ["--model=org/M", "--container=c", "--batch-size=8", "--tensor-parallel-size=2"];
    assert!(expected.iter().all(|word| words.contains(word)), "{words:?}");
    assert!(words.ends_with(&["--trust-remote-code", "--num-iters", "5", "--", "--x=1"]), "{words:?}");
    let bare = stdout(&vramscope(&["campaign", &file, "--dry-run", "--no-containers", "--format", "json"]));
    assert!(!bare.contains("--container"), "{bare}");
    let table = stdout(&vramscope(&["campaign", &file, "--dry-run", "--output", "there"]));
    assert!(table.starts_with("2 runs, to there\n") && table.contains("org/M in c"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
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
