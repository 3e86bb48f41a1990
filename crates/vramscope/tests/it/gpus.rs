//! `vramscope gpus`: labelled outputs of the vendors' tools, and live backends on stand-in libraries.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn gpus(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vramscope")).arg("gpus").args(args).output().unwrap()
}

fn document(args: &[&str]) -> Value {
    let out = gpus(&[args, &["--format", "json"]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// The folder of labelled outputs beside the workspace, or `None` with a word where it is allowed to be absent.
fn labelled() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/gpu-tools");
    let Ok(list) = folder.read_dir() else {
        assert!(std::env::var_os("CI").is_none(), "{} is absent", folder.display());
        println!("skipped: {} is absent", folder.display());
        return None;
    };
    let folders = list.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    Some(folders)
}

/// Labels that the annotator took from elsewhere, as the sample's own notes say: they are not in the file.
const NOT_IN_THE_FILE: [(&str, &str); 4] = [
    ("amd-smi-metric-rx6600", "name"),
    ("amd-smi-process-r9700x2", "name"),
    ("amd-smi-process-r9700x2", "mem_total_mib"),
    ("amd-smi-process-r9700x2", "mem_used_mib"),
];

#[test]
fn every_label_of_every_recorded_output_is_found() {
    let Some(folders) = labelled() else { return };
    let mut wrong = Vec::new();
    for folder in folders {
        let labels: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let sample = labels["sample"].as_str().unwrap();
        let files = ["file", "extra_file"].iter().filter_map(|key| labels[*key].as_str());
        let paths: Vec<String> = files.map(|file| folder.join(file).display().to_string()).collect();
        let args: Vec<&str> = paths.iter().flat_map(|path| ["--from", path.as_str()]).collect();
        let found = document(&args);
        let listed = found["gpus"].as_array().unwrap();
        for label in labels["gpus"].as_array().unwrap() {
            let gpu = listed.iter().find(|gpu| gpu["index"] == label["index"]).unwrap_or(&Value::Null);
            for (field, value) in label.as_object().unwrap() {
                if !NOT_IN_THE_FILE.contains(&(sample, field)) {
                    compare(&format!("{sample}: {field}"), value, &gpu[field], &mut wrong);
                }
            }
        }
        for field in ["gpu_count", "host_processes"] {
            if !labels[field].is_null() {
                compare(&format!("{sample}: {field}"), &labels[field], &found[field], &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Equal, where an object may say more than its label, except in maps from names to figures.
fn compare(place: &str, label: &Value, found: &Value, wrong: &mut Vec<String>) {
    let whole_map = place.ends_with("temps_c") || place.ends_with("clocks_mhz");
    match (label, found) {
        (Value::Object(label), Value::Object(found)) if !whole_map => {
            for (key, value) in label {
                compare(&format!("{place}.{key}"), value, found.get(key).unwrap_or(&Value::Null), wrong);
            }
        }
        (Value::Array(label), Value::Array(found)) if label.len() == found.len() => {
            for (n, (label, found)) in label.iter().zip(found).enumerate() {
                compare(&format!("{place}[{n}]"), label, found, wrong);
            }
        }
        _ if label != found => wrong.push(format!("{place}: labelled {label}, found {found}")),
        _ => {}
    }
}

#[test]
fn a_file_that_is_no_tools_output_is_refused_with_what_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "dear colleague, [GPU] 0 is full {again}\n").unwrap();
    let out = gpus(&["--from", path.to_str().unwrap()]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(3));
    assert!(out.stdout.is_empty() && said.contains("notes.txt") && said.contains("nvidia-smi's CSV"), "{said}");
}

/// The table of plain nvidia-smi as a report has it: two lines a GPU, one a process.
const TABLE: &str = "\
user@node-7:~$ nvidia-smi
Mon Nov 23 21:04:05 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 580.01                 Driver Version: 580.01         CUDA Version: 13.0     |
|=========================================+========================+======================|
|   0  NVIDIA L40S                    Off |   00000000:01:00.0 Off |                    0 |
| N/A   54C    P0            110W /  350W |    1235MiB /  46068MiB |      9%      Default |
|=========================================+========================+======================|
| Processes:                                                                              |
|    0   N/A  N/A           20037      C   VLLM::EngineCore                        538MiB |
+-----------------------------------------------------------------------------------------+
";

#[test]
fn a_table_is_understood_as_every_system_saves_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.txt");
    let wide: Vec<u8> = TABLE.replace('\n', "\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let coloured = format!("```\r\n\u{1b}[1m{TABLE}\u{1b}[0m```\n");
    for bytes in [TABLE.as_bytes(), &wide, &[&[0xff, 0xfe], &wide[..]].concat(), coloured.as_bytes()] {
        std::fs::write(&path, bytes).unwrap();
        let found = document(&["--from", path.to_str().unwrap()]);
        let gpu = &found["gpus"][0];
        assert_eq!((&found["source"], &found["driver_version"]), (&json!("nvidia-smi table"), &json!("580.01")));
        assert_eq!(
            (&gpu["name"], &gpu["mem_used_mib"], &gpu["power_w"]),
            (&json!("NVIDIA L40S"), &json!(1235), &json!(110))
        );
        assert_eq!((&gpu["mem_free_mib"], &gpu["util_gpu_pct"]), (&Value::Null, &json!(9)));
        let process = json!([{"pid": 20037, "name": "VLLM::EngineCore", "kind": "compute", "used_mib": 538}]);
        assert_eq!(gpu["processes"], process);
    }
}

#[test]
fn what_cannot_be_read_is_called_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output.txt");
    for (text, said) in [
        ("GPU 0: NVIDIA H200 (UUID: GPU-1)\n", "nvidia-smi -L"),
        ("# gpu    pwr  gtemp\n# Idx      W      C\n    0    438     55\n", "dmon"),
        ("0, NVIDIA H200, 3 MiB, 143771 MiB\n", "without noheader"),
        (
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
            "could not reach the NVIDIA driver",
        ),
        ("No devices were found\n", "found no GPU"),
        (" \n", "it is empty"),
        ("bash: nvidia-smi: command not found\n", "was not found there"),
        ("{\"gpu_data\": []}\n", "lists no GPU"),
        (
            "GPU  XCP  POWER   GPU_T   GFX_CLK   GFX%\n  0    0  138 W   44 C   132 MHz    0 %\n",
            "amd-smi monitor --json",
        ),
        ("gpu,name,pid,vram_mem\n0,python3,7,12\n", "--json in place of --csv"),
        ("device,GPU use (%),VRAM Total Memory (B)\ncard0,3,17163091968\n", "--json in place of --csv"),
        ("======= ROCm System Management Interface =======\n", "rocm-smi --showallinfo --json"),
        ("+----+\n| AMD-SMI 26.0.0  amdgpu version: 6.12  ROCm version: 7.0.0 |\n", "metric --json"),
        ("[\n    {\n        \"gpu\": 0,\n        \"usage\": {\n", "line 1"),
        ("\n{\"card0\": {\"GPU use (%)\": ", "line 2"),
        ("<?xml version=\"1.0\" ?>\n<nvidia_smi_log>\n<gpu id=\"1\">\n", "at line 3"),
        ("index, memory.used [MiB]\n0, 1 MiB\n1", "line 3"),
    ] {
        std::fs::write(&path, text).unwrap();
        let out = gpus(&["--from", path.to_str().unwrap()]);
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(3), "{text}");
        assert!(out.stdout.is_empty() && stderr.contains("output.txt") && stderr.contains(said), "{text}: {stderr}");
    }
}

#[test]
fn two_queries_of_one_machine_join_and_two_machines_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let query = write("query.csv", "index, uuid, memory.used [MiB]\n0, GPU-1, 300 MiB\n1, GPU-2, 0 MiB\n");
    let apps = write("apps.csv", "pid, gpu_uuid, used_gpu_memory [MiB]\n7, GPU-2, 12 MiB\n");
    let amd = write("amd.json", r#"[{"gpu": 0, "power": {"socket_power": "6 W"}}]"#);
    let joined = document(&["--from", &query, "--from", &apps]);
    assert_eq!(joined["gpus"][1]["processes"], json!([{"pid": 7, "used_mib": 12}]));
    assert_eq!(joined["gpus"][0]["processes"], Value::Null);
    let refused = gpus(&["--from", &query, "--from", &amd]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("one by one"));
}

#[test]
fn gpus_are_chosen_from_a_saved_output_too_and_what_is_of_this_machine_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("query.csv");
    std::fs::write(&path, "index, uuid, memory.used [MiB]\n0, GPU-1, 300 MiB\n1, GPU-2, 7 MiB\n").unwrap();
    let path = path.to_str().unwrap();
    for selector in ["1", "GPU-2"] {
        let found = document(&["--from", path, "--gpu", selector]);
        assert_eq!((&found["gpu_count"], &found["gpus"][0]["mem_used_mib"]), (&json!(1), &json!(7)));
    }
    let absent = gpus(&["--from", path, "--gpu", "2"]);
    assert_eq!(absent.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("find the device 2 (there are: 0 GPU-1, 1 GPU-2)"));
    for other in [&["--visible"][..], &["--backend", "rocm"], &["--nvml-lib", "x"]] {
        let refused = gpus(&[&["--from", path], other].concat());
        assert_eq!(refused.status.code(), Some(2), "{other:?}");
    }
}

#[test]
fn processes_of_the_whole_machine_are_shown_without_a_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rocm.json");
    let text = r#"{"card0": {"GPU use (%)": "3"}, "card1": {"GPU use (%)": "0"}, "system": {
        "PID7": "python3, 2, 4294967296, 0, 0", "PID8": "idle, 0, 0, 0, 0"}}"#;
    std::fs::write(&path, text).unwrap();
    let out = gpus(&["--from", path.to_str().unwrap()]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("  GPU  PID   GiB  container  program\n    -    7  4.00  -          python3\n"), "{text}");
    assert!(!text.contains("idle"), "{text}");
}

/// A copy of a stand-in library with its script.
pub(crate) fn stand_in(folder: &Path, built: &str, name: &str, script: &Value) -> String {
    let path = folder.join(name);
    // Cargo builds the dependency beside the test binary.
    std::fs::copy(std::env::current_exe().unwrap().with_file_name(built), &path).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), script.to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn a_gpu_that_shares_the_memory_of_the_cpu_is_read_by_its_processes_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let none = json!({"nvmlDeviceGetMemoryInfo_v2": 3, "nvmlDeviceGetMemoryInfo": 3});
    let script = json!({"devices": [{"name": "NVIDIA GB10", "codes": none,
        "processes": [{"pid": 4711, "used": 3_221_225_472u64}]}]});
    let nvml = stand_in(folder.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &script);
    let source = ["--backend", "nvml", "--nvml-lib", nvml.as_str()];
    let found = document(&source);
    assert_eq!(found["gpus"][0]["mem_used_mib"], 3072);
    let said = |words: &str| words.contains("/proc/meminfo") && words.contains("processes");
    assert!(said(&found["notes"].to_string()), "{}", found["notes"]);
    let run = |command: &str, more: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_vramscope")).arg(command).args(source).args(more).output().unwrap();
        let text = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let monitored = run("monitor", &["--duration", "300ms", "--format", "lines"]);
    assert!(said(&monitored) && monitored.contains("3.00"), "{monitored}");
    let looked_at = run("doctor", &["--format", "json"]);
    assert!(said(&looked_at) && looked_at.contains("3.00 of"), "{looked_at}");
}

#[test]
fn devices_of_two_vendors_are_counted_on_and_processes_have_their_container() {
    let folder = tempfile::tempdir().unwrap();
    let id = "0123456789abcdef".repeat(4);
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("proc/4711/cgroup", &format!("0::/system.slice/docker-{id}.scope\n"));
    write(&format!("var/lib/docker/containers/{id}/config.v2.json"), "{\"Name\": \"/vllm-prod\"}");
    let nvidia = json!({"names": {"4711": "/usr/bin/python3"}, "devices": [{"used": [3_221_225_472u64],
        "processes": [{"pid": 4711, "used": 3_221_225_472u64}]}]});
    let nvml = stand_in(folder.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &nvidia);
    let rocm = stand_in(folder.path(), "libstandin_rocm_smi.so", "librocm_smi64.so.1", &json!({}));
    let root = folder.path().to_str().unwrap();
    let args = ["--nvml-lib", &nvml, "--rocm-lib", &rocm, "--sys-root", root];
    let found = document(&args);
    let vendors: Vec<_> = found["gpus"].as_array().unwrap().iter().map(|g| (&g["index"], &g["vendor"])).collect();
    assert_eq!(vendors, [(&json!(0), &json!("nvidia")), (&json!(1), &json!("amd"))]);
    assert_eq!(found["gpus"][0]["mem_used_bytes"], 3_221_225_472u64);
    assert_eq!(found["gpus"][0]["processes"][0]["container"], "vllm-prod");
    assert_eq!(found["gpus"][0]["power_kind"], "average");
    let one = document(&[&args[..], &["--gpu", "1"]].concat());
    assert_eq!((&one["gpu_count"], &one["gpus"][0]["index"]), (&json!(1), &json!(1)));
    let table = String::from_utf8(gpus(&args).stdout).unwrap();
    assert!(table.contains("vllm-prod") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn without_a_gpu_it_says_what_was_tried_and_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let out = gpus(&["--nvml-lib", "/nowhere/libnvidia-ml.so.1", "--sys-root", empty.path().to_str().unwrap()]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(7));
    assert!(said.contains("/nowhere/libnvidia-ml.so.1") && said.contains("--gpus all"), "{said}");
    assert!(said.contains("no AMD card"), "{said}");
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let nvml = stand_in(folder.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &json!({}));
    let out = gpus(&["--nvml-lib", &nvml, "--backend", "nvml", "--gpu", "3"]);
    assert_eq!(out.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&out.stderr).contains("there are: 0 GPU-0000"));
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_to_and_a_device_are_no_saved_output() {
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, said) in [(pipe.to_str().unwrap(), "nobody writes to"), ("/dev/zero", "this is a device")] {
        let output = crate::vramscope(&["gpus", "--from", path]);
        assert_eq!(output.status.code(), Some(3), "{path}: {}", crate::stderr(&output));
        assert!(crate::stderr(&output).contains(said), "{path}: {}", crate::stderr(&output));
    }
}

#[test]
fn a_command_line_in_place_of_a_name_keeps_its_secrets() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("smi.csv");
    let rows = "pid, process_name, used_gpu_memory [MiB], gpu_uuid\n7, python --token hf_abcdefghijklmnopqrstuvwxyz, 5 MiB, GPU-1\n";
    std::fs::write(&file, format!("index, uuid\n0, GPU-1\n{rows}")).unwrap();
    for format in ["table", "json"] {
        let output = gpus(&["--from", file.to_str().unwrap(), "--format", format]);
        let text = crate::stdout(&output);
        assert!(!text.contains("hf_abcdefghij"), "{text}");
    }
}
