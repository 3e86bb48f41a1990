use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use standin_openai::{Capacity, Done, Fail, How, Said, Script, Server, Stall, UsageAt};

/// What the server answers to one request on a connection of its own, up to its end or the end of the connection.
fn ask(server: &Server, path: &str, body: &Value) -> String {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let n = stream.read(&mut buffer).unwrap_or(0);
        answer.extend_from_slice(&buffer[..n]);
        if n == 0 || (answer.starts_with(b"HTTP/1.1 4") && answer.ends_with(b"}")) {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

fn completion(tokens: u64) -> Value {
    json!({"model": "standin", "prompt": [1, 2, 3], "max_tokens": tokens, "stream": true})
}

/// The events of an answer.
fn events(answer: &str) -> Vec<Value> {
    let data = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn a_schedule_is_kept_and_written_down() {
    let script = Script { ttft_ms: vec![3.0, 9.0], gap_ms: vec![2.0, 4.0], tokens_per_chunk: 2, ..Script::default() };
    let server = Server::start(script).unwrap();
    for _ in 0..2 {
        let answer = ask(&server, "/v1/completions", &completion(7));
        let events = events(&answer);
        assert_eq!(events.len(), 5, "four chunks and the count: {answer}");
        assert_eq!(events[4]["usage"]["completion_tokens"], 7);
        assert!(answer.contains("data: [DONE]"));
    }
    let truth = server.truth();
    for (request, ttft) in truth.requests.iter().zip([3, 9]) {
        assert_eq!((request.tokens.as_slice(), request.whole), (&[2u64, 2, 2, 1][..], true));
        for (at, due_ms) in request.written_ns.iter().zip([ttft, ttft + 2, ttft + 6, ttft + 8]) {
            let after = at - request.arrived_ns;
            assert!(after >= due_ms * 1_000_000, "{after} ns for {due_ms} ms");
            assert!(after <= due_ms * 1_000_000 + truth.latest_write_ns, "{after} ns for {due_ms} ms");
        }
    }
}

#[test]
fn no_more_run_than_there_is_room_and_the_others_wait_in_order() {
    let capacity = Capacity { running: 2, prefill_ms_per_1000: 1000.0, step_ms: 2.0, step_ms_per_other: 1.0 };
    let server = Server::start(Script { capacity: Some(capacity), ..Script::default() }).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| ask(&server, "/v1/completions", &completion(4)));
        }
    });
    let requests = server.truth().requests;
    let mut turns: Vec<(u64, i32)> = Vec::new();
    for request in &requests {
        assert_eq!((request.output_tokens(), request.whole), (4, true));
        // From its first token on it surely runs; what begins when another ends is counted after it.
        turns.push((request.written_ns[0], 1));
        turns.push((*request.written_ns.last().unwrap(), -1));
    }
    turns.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in turns {
        now += change;
        most = most.max(now);
    }
    assert_eq!(most, 2);
    let firsts: Vec<u64> = requests.iter().map(|request| request.written_ns[0]).collect();
    assert!(firsts.is_sorted(), "{firsts:?}");
}

#[test]
fn failures_come_in_their_turn() {
    let fail = vec![
        Fail { every: 3, how: How::Status(429) },
        Fail { every: 4, how: How::InStream },
        Fail { every: 5, how: How::Cut },
    ];
    let server = Server::start(Script { fail, ..Script::default() }).unwrap();
    let answers: Vec<String> = (0..6).map(|_| ask(&server, "/v1/completions", &completion(8))).collect();
    let whole: Vec<bool> = server.truth().requests.iter().map(|request| request.whole).collect();
    assert_eq!(whole, [true, true, false, false, false, false]);
    assert!(answers[2].starts_with("HTTP/1.1 429") && answers[5].starts_with("HTTP/1.1 429"));
    assert_eq!(answers[3].matches("\"text\"").count(), 4, "half of it: {}", answers[3]);
    assert!(answers[3].contains("the script fails here") && !answers[4].contains("[DONE]"));
}

#[test]
fn defects_of_the_protocol_are_as_the_script_says() {
    let plain =
        Script { empty_first: true, empty_last: true, usage: UsageAt::None, done: Done::Never, ..Script::default() };
    let answer = ask(&Server::start(plain).unwrap(), "/v1/completions", &completion(3));
    let texts: Vec<String> = events(&answer).iter().map(|e| e["choices"][0]["text"].to_string()).collect();
    assert_eq!((texts.len(), texts[0].as_str(), texts[4].as_str()), (5, "\"\"", "\"\""));
    assert!(!answer.contains("completion_tokens") && !answer.contains("[DONE]"));
    for (said, field) in [
        (Said::Content, "/choices/0/delta/content"),
        (Said::ReasoningContent, "/choices/0/delta/reasoning_content"),
        (Said::Reasoning, "/choices/0/delta/reasoning"),
        (Said::ToolCalls, "/choices/0/delta/tool_calls/0/function/arguments"),
    ] {
        let server = Server::start(Script { said, usage: UsageAt::WithLast, ..Script::default() }).unwrap();
        let body = json!({"model": "standin", "messages": [{"role": "user", "content": "a b"}], "max_tokens": 2, "stream": true});
        let events = events(&ask(&server, "/v1/chat/completions", &body));
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        assert!(events[1..].iter().all(|event| event.pointer(field).is_some()), "{field}: {events:?}");
        assert_eq!(events.last().unwrap()["usage"]["prompt_tokens"], 2);
    }
}

#[test]
fn nothing_is_written_during_a_stall() {
    let stall = Some(Stall { after_ms: 5.0, for_ms: 60.0 });
    let server = Server::start(Script { stall, gap_ms: vec![4.0], ..Script::default() }).unwrap();
    ask(&server, "/v1/completions", &completion(6));
    let request = &server.truth().requests[0];
    let after: Vec<u64> = request.written_ns.iter().map(|at| (at - request.arrived_ns) / 1_000_000).collect();
    assert!(after[2] >= 65, "{after:?}");
}
