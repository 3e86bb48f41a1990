//! Energy by the device's counter, and money by a price.

use serde_json::{Value, json};
use standin_openai::{Linear, Script, Server};

use crate::gpus::stand_in;
use crate::{stderr, stdout, vramscope};

fn slow() -> Server {
    let linear = Linear { ttft_ms: 20.0, gap_ms: 20.0, ..Linear::default() };
    Server::start(Script { linear: Some(linear), ..Script::default() }).unwrap()
}

fn load(url: &str, library: &str, words: &[&str]) -> (Value, String) {
    let all = ["load", url, "--format", "json", "--backend", "nvml", "--nvml-lib", library, "--output-len", "16"];
    let output = vramscope(&[&all[..], &["--input-len", "16", "--num-prompts", "4"], words].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    (serde_json::from_str(&stdout(&output)).unwrap(), stderr(&output))
}

#[test]
fn joules_and_money_a_token_follow_from_the_counter_the_price_and_the_time() {
    let server = slow();
    let folder = tempfile::tempdir().unwrap();
    let script = json!({"devices": [{"name": "NVIDIA H200", "uuid": "GPU-1", "energy_mj": [1_000_000, 1_640_000]}]});
    let library = stand_in(folder.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &script);
    let (document, _) = load(&server.url(), &library, &["--price", "3.6/gpu"]);
    let level = &document["levels"][0];
    // 640 J for four answers of 16 tokens.
    assert_eq!(level["tokens"]["output"], 64);
    assert_eq!(
        (&level["energy"]["joules"], &level["energy"]["joules_per_output_token"]),
        (&640.0.into(), &10.0.into())
    );
    assert_eq!(level["energy"]["joules_per_token"], 5.0, "prompts of as many tokens halve it");
    let (seconds, duration) = (level["energy"]["seconds"].as_f64().unwrap(), level["duration_s"].as_f64().unwrap());
    assert!((seconds - duration).abs() < 0.25 * duration, "{seconds} {duration}");
    let cost = level["cost"]["per_million_output_tokens"].as_f64().unwrap();
    assert!((cost / (duration * 1e3 / 64.0) - 1.0).abs() < 1e-9, "{cost}");
    assert_eq!(document["metered"]["devices"], json!([{"index": 0, "uuid": "GPU-1", "name": "NVIDIA H200"}]));
    assert_eq!(document["metered"]["because"], "the only device of this machine");
    assert_eq!(document["price"], json!({"per_hour": 3.6, "devices": 1}));
    let words = ["load", &server.url(), "--backend", "nvml", "--nvml-lib", &library, "--num-prompts", "4", "-q"];
    let table =
        stdout(&vramscope(&[&words[..], &["--output-len", "16", "--input-len", "16", "--price", "2"]].concat()));
    assert!(table.contains("J/tok") && table.contains("cost/M") && table.contains("whole devices"), "{table}");
}

#[test]
fn of_several_devices_none_is_taken_for_the_servers_unless_somebody_says_so() {
    let server = slow();
    let folder = tempfile::tempdir().unwrap();
    let device = |uuid: &str, energy: [u64; 2]| json!({"uuid": uuid, "energy_mj": energy});
    let script = json!({"devices": [device("GPU-1", [0, 1_000]), device("GPU-2", [5_000, 133_000])]});
    let library = stand_in(folder.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &script);
    let (document, said) = load(&server.url(), &library, &[]);
    assert!(document.get("metered").is_none() && document["levels"][0].get("energy").is_none());
    assert!(said.contains("which of 2 devices are the server's is not known"), "{said}");
    let (document, _) = load(&server.url(), &library, &["--gpu", "1"]);
    assert_eq!(document["levels"][0]["energy"]["joules"], 128.0);
    assert_eq!(document["metered"]["because"], "named by --gpu");
}

#[test]
fn a_device_without_a_counter_has_no_energy_and_that_is_said() {
    let server = slow();
    let folder = tempfile::tempdir().unwrap();
    // 3 is NVML's word for what a device does not support.
    let script = json!({"devices": [{"codes": {"nvmlDeviceGetTotalEnergyConsumption": 3}}]});
    let library = stand_in(folder.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &script);
    let (document, said) = load(&server.url(), &library, &["--concurrency", "1,2"]);
    assert!(document["levels"].as_array().unwrap().iter().all(|level| level.get("energy").is_none()));
    assert_eq!(said.matches("there is no energy").count(), 1, "{said}");
}
