//! A recorded log, played in time.

use std::time::Duration;

use tokio::time::Instant;
use vramscope_host::{Command, EngineError, EngineEvent, EngineHost, Exit, LogLine, LogStream, ReplayHost};

use crate::rest;

fn recording(pace_permille: u32) -> EngineHost {
    let line = |at_s: i64, text: &str| LogLine {
        at_unix_ns: 1_764_000_000_000_000_000 + at_s * 1_000_000_000,
        stream: LogStream::Stderr,
        bytes: text.into(),
        ended: true,
    };
    let lines = vec![line(0, "start"), line(90, "loaded"), line(100, "ready")];
    EngineHost::Replay(ReplayHost { lines, exit: Exit { code: Some(1), ..Exit::default() }, pace_permille })
}

#[tokio::test(start_paused = true)]
async fn lines_come_in_their_time_and_keep_it() {
    for (pace_permille, seconds) in [(1000, 100), (100, 10), (0, 0)] {
        let begun = Instant::now();
        let mut engine = recording(pace_permille).start(&Command::default()).await.unwrap();
        let (lines, exit) = rest(&mut engine).await;
        assert_eq!(lines, ["start", "loaded", "ready"]);
        assert_eq!(exit.code, Some(1));
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    let mut engine = recording(0).start(&Command::default()).await.unwrap();
    let EngineEvent::Line(first) = engine.next().await else { panic!("no line") };
    assert_eq!(first.at_unix_ns, 1_764_000_000_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn it_stops_where_it_is() {
    let mut engine = recording(1000).start(&Command::default()).await.unwrap();
    engine.next().await;
    assert_eq!(engine.stop(Duration::ZERO).await.unwrap(), Exit::default());
    assert_eq!(rest(&mut engine).await, (vec![], Exit::default()));
}

#[tokio::test]
async fn it_runs_no_commands() {
    let refused = recording(0).output(&Command::new("true"), Duration::from_secs(1)).await;
    assert!(matches!(refused, Err(EngineError::Unsupported { .. })));
}
