//! What Prometheus is told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;

use rustix::process::Signal;
use serde_json::json;

use super::{Machine, exposition, has_samples, send, wait_for};
use crate::stderr;

/// The port that a monitor says it answers at.
fn port(child: &mut Child) -> u16 {
    let mut said = String::new();
    let pipe = child.stderr.as_mut().unwrap();
    while !said.ends_with('\n') {
        let mut letter = [0];
        pipe.read_exact(&mut letter).unwrap();
        said.push(char::from(letter[0]));
    }
    said.trim().strip_prefix("metrics at http://127.0.0.1:").unwrap().strip_suffix("/metrics").unwrap().parse().unwrap()
}

fn ask(port: u16, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn prometheus_gets_what_the_device_says_in_its_own_format() {
    let machine = Machine::steady();
    let file = machine.path("a.jsonl");
    let mut child = machine.start(&["--listen", "127.0.0.1:0", "-o", file.to_str().unwrap()]);
    let port = port(&mut child);
    wait_for("samples", || has_samples(&file));
    let (head, body) = ask(port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let metrics = exposition::parse(&body).unwrap();
    let one = |name: &str| {
        let found: Vec<_> = metrics.samples.iter().filter(|sample| sample.name == name).collect();
        assert_eq!(found.len(), 1, "{name} in {body}");
        (found[0].value, found[0].labels.clone())
    };
    let (used, labels) = one("vramscope_gpu_memory_used_bytes");
    assert_eq!(used, 3_221_225_472.0);
    let expected = [("gpu", "0"), ("name", "Stand-in GPU"), ("uuid", "GPU-00000000-0000-0000-0000-000000000000")];
    expected.iter().for_each(|(name, value)| assert_eq!(labels[*name], *value));
    assert_eq!(labels["vendor"], "nvidia");
    assert_eq!(one("vramscope_gpu_up").0, 1.0);
    assert_eq!(one("vramscope_gpu_power_watts").0, 250.0);
    assert_eq!(one("vramscope_gpu_utilization_ratio").0, 0.03);
    assert_eq!(one("vramscope_gpu_energy_joules_total").0, 1.0);
    let (held, labels) = one("vramscope_gpu_process_memory_bytes");
    assert_eq!((held, labels["pid"].as_str(), labels["container"].as_str()), (2_147_483_648.0, "4711", "vllm-prod"));
    assert!(one("vramscope_sampler_ticks_total").0 >= 1.0);
    assert_eq!(one("vramscope_build_info").1["version"], env!("CARGO_PKG_VERSION"));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
        (&format!("GET /metrics HTTP/1.1\r\nA: {}", "a".repeat(9000)), "431"),
    ] {
        assert!(ask(port, request).0.starts_with(&format!("HTTP/1.1 {status} ")), "{request}");
    }
    // One that says nothing is sent away, and the next is answered.
    let silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (head, body) = ask(port, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty());
    drop(silent);
    // However many say nothing: one after the other they would be waited for longer than anybody asks.
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    assert!(ask(port, "GET /metrics HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 200"));
    drop(silent);
    send(&child, Signal::INT);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn a_lost_device_has_no_figures_of_the_past() {
    let other = json!({"uuid": "GPU-11111111-0000", "bus": "00000000:02:00.0"});
    let machine = Machine::new(&json!({"devices": [{"lost_after": 3}, other]}));
    let mut child = machine.start(&["--listen", "127.0.0.1:0", "--interval", "20ms"]);
    let port = port(&mut child);
    let scrape = || exposition::parse(&ask(port, "GET /metrics HTTP/1.0\r\n\r\n").1).unwrap();
    let value = |name: &str, gpu: &str| {
        let samples = scrape().samples;
        samples.into_iter().find(|sample| sample.name == name && sample.labels["gpu"] == gpu).map(|sample| sample.value)
    };
    wait_for("the loss", || value("vramscope_gpu_up", "0") == Some(0.0) && value("vramscope_gpu_up", "1") == Some(1.0));
    assert_eq!(value("vramscope_gpu_memory_used_bytes", "0"), None);
    assert!(value("vramscope_gpu_failed_reads_total", "0").unwrap() >= 1.0);
    assert!(value("vramscope_gpu_memory_used_bytes", "1").is_some());
    send(&child, Signal::TERM);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(7), "a loss is told at the end");
}

#[test]
fn an_address_that_others_reach_is_warned_about() {
    let out = Machine::steady().run(&["--listen", "0.0.0.0:0", "--duration", "100ms"]);
    assert!(stderr(&out).contains("can be reached from other machines"), "{}", stderr(&out));
}
