//! A recorded run: the lines of its log and the levels of its memory, in the order of time.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use standin_vllm::Phase;

/// What happened, when and in which phase.
pub(crate) struct Event {
    /// Seconds from the start of the process.
    pub(crate) at_s: f64,
    pub(crate) phase: Phase,
    pub(crate) what: What,
}

pub(crate) enum What {
    Line(String),
    /// The device's memory in use, in bytes.
    Level(u64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Levels {
    /// When the process began, in seconds of the day of the log's times.
    started_s_of_day: f64,
    used_bytes: Vec<(f64, u64)>,
}

/// A recording with its benchmark's iterations, in seconds.
pub(crate) struct Recording {
    pub(crate) events: Vec<Event>,
    pub(crate) latencies_s: Vec<f64>,
}

/// Reads one that is built in, or a folder.
pub(crate) fn read(name: &str) -> Result<Recording, String> {
    match name {
        "serve-l1b" => {
            made(include_str!("../data/serve-l1b/vllm.log"), include_str!("../data/serve-l1b/levels.json"), None)
        }
        "latency-l1b" => made(
            include_str!("../data/latency-l1b/vllm.log"),
            include_str!("../data/latency-l1b/levels.json"),
            Some(include_str!("../data/latency-l1b/bench.json")),
        ),
        "fail-kv-too-small" => made(
            include_str!("../data/fail-kv-too-small/vllm.log"),
            include_str!("../data/fail-kv-too-small/levels.json"),
            None,
        ),
        folder => {
            let text = |file: &str| {
                let path = Path::new(folder).join(file);
                fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
            };
            made(&text("vllm.log")?, &text("levels.json")?, text("bench.json").ok().as_deref())
        }
    }
}

fn made(log: &str, levels: &str, bench: Option<&str>) -> Result<Recording, String> {
    #[derive(Deserialize)]
    struct Bench {
        latencies: Vec<f64>,
    }
    let levels: Levels = serde_json::from_str(levels).map_err(|error| format!("levels.json: {error}"))?;
    let mut events = lines(log, levels.started_s_of_day);
    let mut phases = events.iter().map(|event| (event.at_s, event.phase)).collect::<Vec<_>>().into_iter().peekable();
    let mut phase = Phase::Launch;
    for (at_s, used) in levels.used_bytes {
        while let Some((_, next)) = phases.next_if(|(line, _)| *line <= at_s) {
            phase = next;
        }
        events.push(Event { at_s, phase, what: What::Level(used) });
    }
    events.sort_by(|a, b| a.phase.cmp(&b.phase).then(a.at_s.total_cmp(&b.at_s)));
    let bench: Option<Bench> =
        bench.map(serde_json::from_str).transpose().map_err(|error| format!("bench.json: {error}"))?;
    Ok(Recording { events, latencies_s: bench.map(|bench| bench.latencies).unwrap_or_default() })
}

/// The lines with their times. Those of one second are spread over it, as they have no finer time.
fn lines(log: &str, started_s: f64) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let (mut phase, mut at_s) = (Phase::Launch, 0.0f64);
    for line in log.lines() {
        phase = phase.max(begins(line).unwrap_or(Phase::Launch));
        if let Some(s) = clock(line).map(|(_, s)| s - started_s) {
            at_s = at_s.max(s);
        }
        if !is_made_anew(line) {
            events.push(Event { at_s, phase, what: What::Line(line.to_owned()) });
        }
    }
    let mut first = 0;
    while first < events.len() {
        let at_s = events[first].at_s;
        let count = events[first..].iter().take_while(|event| event.at_s <= at_s).count();
        let mut spread = 0.0;
        for event in &mut events[first..first + count] {
            event.at_s += spread;
            spread += 0.9 / f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        }
        first += count;
    }
    events
}

/// What this run answers and measures is its own: requests, and the benchmark's figures.
fn is_made_anew(line: &str) -> bool {
    line.contains(" HTTP/1.1\"") || line.starts_with("Avg latency") || line.contains("% percentile latency")
}

/// The phase that a line begins.
fn begins(line: &str) -> Option<Phase> {
    let marks = [
        ("Initializing a V1 LLM engine", Phase::Load),
        ("Started server process", Phase::Ready),
        ("Warming up...", Phase::Warmup),
        ("Bench iterations", Phase::Measure),
        ("\"POST /v1/completions", Phase::Measure),
        ("[shutdown]", Phase::Shutdown),
    ];
    marks.into_iter().find(|(mark, _)| line.contains(mark)).map(|(_, phase)| phase)
}

/// Where a line's time of the form `11-22 05:13:38` begins, and its second of the day.
pub(crate) fn clock(line: &str) -> Option<(usize, f64)> {
    const LENGTH: usize = "11-22 05:13:38".len();
    let place = line.as_bytes().windows(LENGTH).take(80).position(|window| {
        window.iter().zip(b"00-00 00:00:00").all(|(have, want)| match want {
            b'0' => have.is_ascii_digit(),
            other => have == other,
        })
    })?;
    let number = |from: usize| line.get(place + from..place + from + 2)?.parse::<u32>().ok();
    let (hour, minute, second) = (number(6)?, number(9)?, number(12)?);
    Some((place, f64::from(hour * 3600 + minute * 60 + second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_ascend_through_their_phases() {
        for (name, last) in
            [("serve-l1b", Phase::Shutdown), ("latency-l1b", Phase::Shutdown), ("fail-kv-too-small", Phase::Load)]
        {
            let events = read(name).unwrap().events;
            assert!(events.windows(2).all(|pair| pair[0].phase <= pair[1].phase), "{name}");
            assert_eq!(events.last().unwrap().phase, last, "{name}");
            assert!(events.iter().any(|event| matches!(event.what, What::Level(used) if used > 1 << 30)), "{name}");
        }
    }

    #[test]
    fn a_time_is_found_behind_any_prefix() {
        assert_eq!(clock("(EngineCore pid=1) INFO 11-22 05:13:38 [x"), Some((24, 18818.0)));
        assert_eq!(clock("INFO:     Waiting for application startup."), None);
    }
}
