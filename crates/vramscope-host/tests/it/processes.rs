//! An engine as a process: its log, its end, and that nothing of it stays.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use vramscope_host::{Command, EngineError, EngineEvent, EngineHost, LogStream};

use crate::{LONG, alive, line, rest, sh, start, wait_until, with_text};

#[tokio::test]
async fn files_that_it_needs_are_there_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("brought.sh");
    let command = Command::new("/bin/sh").arg(path.to_string_lossy()).file(&path, "echo brought");
    let mut engine = EngineHost::process().start(&command).await.unwrap();
    assert_eq!(rest(&mut engine).await.0, ["brought"]);
    engine.stop(LONG).await.unwrap();
    let nowhere = command.file(folder.path().join("none/x"), "x");
    let error = EngineHost::process().start(&nowhere).await.unwrap_err();
    assert!(matches!(error, EngineError::Write { .. }), "{error}");
}

#[tokio::test]
async fn both_streams_and_the_exit_code_come_back() {
    let mut engine = start("echo out; echo err >&2; printf 'bar 1\\rbar 2\\nno newline'; exit 7").await;
    let mut lines = Vec::new();
    let exit = loop {
        match engine.next().await {
            EngineEvent::Line(line) => lines.push((line.stream, line.ended, String::from_utf8(line.bytes).unwrap())),
            EngineEvent::LogLost { reason } => panic!("{reason}"),
            EngineEvent::Exited(exit) => break exit,
        }
    };
    let out: Vec<_> = lines.iter().filter(|line| line.0 == LogStream::Stdout).map(|l| (l.1, l.2.as_str())).collect();
    assert_eq!(out, [(true, "out"), (true, "bar 1\rbar 2"), (false, "no newline")]);
    assert!(lines.contains(&(LogStream::Stderr, true, "err".to_owned())));
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (Some(7), None, false));
    assert_eq!(engine.stop(LONG).await.unwrap(), exit);
    assert_eq!(engine.stop(LONG).await.unwrap(), exit, "to stop again changes nothing");
    assert_eq!(engine.next().await, EngineEvent::Exited(exit));
}

#[tokio::test]
async fn a_signal_is_told_as_one() {
    let mut engine = start("kill -KILL $$").await;
    let (_, exit) = rest(&mut engine).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (None, Some(9), false));
}

#[tokio::test]
async fn it_is_interrupted_first_and_says_its_last_words() {
    let mut engine = start("trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.05; done").await;
    assert_eq!(line(&mut engine).await, "up");
    let exit = engine.stop(LONG).await.unwrap();
    assert_eq!(exit.code, Some(0));
    assert_eq!(rest(&mut engine).await.0, ["bye"]);
}

#[tokio::test]
async fn one_that_ignores_every_request_is_killed() {
    let mut engine = start("trap '' INT TERM HUP; echo up; while :; do sleep 0.05; done").await;
    line(&mut engine).await;
    let pids = engine.pids();
    assert!(!pids.is_empty());
    let exit = engine.stop(Duration::from_millis(300)).await.unwrap();
    assert_eq!(exit.signal, Some(9));
    assert!(!exit.oom_killed, "it was killed by us");
    assert!(pids.iter().all(|pid| !alive(*pid)));
}

/// Leaves the group, the session and the parent, as daemons do.
fn detached(seconds: &str) -> String {
    let daemon = format!("trap '' INT TERM; sleep {seconds} & wait; sleep {seconds}");
    format!("(setsid sh -c \"{daemon}\" &) ; echo up; sleep 600")
}

#[tokio::test]
async fn a_detached_process_is_found_and_ends_too() {
    let mut engine = start(&detached("601.25")).await;
    assert_eq!(line(&mut engine).await, "up");
    wait_until("sleep\x00601.25", 1);
    let detached = with_text("601.25");
    let pids = engine.pids();
    assert!(detached.iter().all(|pid| pids.contains(pid)), "{detached:?} in {pids:?}");
    engine.stop(Duration::from_millis(300)).await.unwrap();
    assert_eq!(with_text("601.25"), [0; 0]);
    assert_eq!(engine.pids(), [0; 0]);
}

#[tokio::test]
async fn to_drop_it_is_to_kill_it() {
    let mut engine = start(&detached("603.25")).await;
    line(&mut engine).await;
    wait_until("sleep\x00603.25", 1);
    drop(engine);
    assert_eq!(with_text("603.25"), [0; 0]);
}

#[tokio::test]
async fn one_that_dies_and_leaves_children_is_over_and_stop_ends_the_children() {
    let mut engine = start("sleep 604.25 & echo up; exit 3").await;
    assert_eq!(line(&mut engine).await, "up");
    let (_, exit) = rest(&mut engine).await;
    assert_eq!(exit.code, Some(3));
    // It holds the log open and lives.
    wait_until("604.25", 1);
    assert_eq!(engine.stop(LONG).await.unwrap(), exit);
    assert_eq!(with_text("604.25"), [0; 0]);
}

#[tokio::test]
async fn one_that_closes_its_output_lives_on() {
    let mut engine = start("echo up; exec >&- 2>&-; sleep 605.25").await;
    assert_eq!(line(&mut engine).await, "up");
    assert!(tokio::time::timeout(Duration::from_millis(300), engine.next()).await.is_err(), "it has not ended");
    assert!(!engine.pids().is_empty());
    assert!(engine.stop(LONG).await.unwrap().signal.is_some());
}

#[tokio::test]
async fn a_flood_comes_whole_and_in_order() {
    // 100 MB of numbered lines.
    let mut engine = start("seq -f '%099.0f' 1000000").await;
    let mut expected = 0_u64;
    loop {
        match engine.next().await {
            EngineEvent::Line(line) => {
                expected += 1;
                assert_eq!(String::from_utf8(line.bytes).unwrap().parse(), Ok(expected));
            }
            EngineEvent::LogLost { reason } => panic!("{reason}"),
            EngineEvent::Exited(exit) => break assert_eq!(exit.code, Some(0)),
        }
    }
    assert_eq!(expected, 1_000_000);
}

#[tokio::test]
async fn a_flood_that_nobody_reads_does_not_hold_up_the_stop() {
    let mut engine = start("yes nobody reads this").await;
    line(&mut engine).await;
    let exit = engine.stop(LONG).await.unwrap();
    assert!(exit.signal.is_some());
}

#[tokio::test]
async fn a_dropped_call_loses_no_line() {
    let mut engine = start("for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.01; done").await;
    let mut lines = Vec::new();
    loop {
        // Most of these calls are given up before anything has happened.
        match tokio::time::timeout(Duration::from_micros(200), engine.next()).await {
            Ok(EngineEvent::Line(line)) => lines.extend(line.bytes),
            Ok(EngineEvent::LogLost { reason }) => panic!("{reason}"),
            Ok(EngineEvent::Exited(_)) => break,
            Err(_) => {}
        }
    }
    assert_eq!(lines, b"123456789");
}

#[tokio::test]
async fn what_cannot_start_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("engine");
    let program = script.display().to_string();
    let host = EngineHost::process();
    let failed = async |command: Command| host.start(&command).await.unwrap_err();

    assert!(matches!(failed(Command::new("no-such-engine")).await, EngineError::NotFound { .. }));
    std::fs::write(&script, "#!/no/such/python\n").unwrap();
    assert!(matches!(failed(Command::new(&program)).await, EngineError::NotExecutable { .. }));
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(failed(Command::new(&program)).await, EngineError::NoInterpreter { .. }));
    let mut nowhere = sh("true");
    nowhere.directory = Some(folder.path().join("absent"));
    let error = failed(nowhere).await;
    assert!(error.to_string().ends_with("absent"), "{error}");
}

#[tokio::test]
async fn a_short_command_gives_its_output_or_is_ended() {
    let host = EngineHost::process();
    let output = host.output(&sh("echo 0.32.0; echo warning >&2; echo $X").env("X", "set"), LONG).await.unwrap();
    assert_eq!(
        (output.exit.code, output.stdout, output.stderr),
        (Some(0), b"0.32.0\nset\n".into(), b"warning\n".into())
    );
    let error = host.output(&sh("sleep 606.25; true"), Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, EngineError::TooSlow { .. }));
    assert_eq!(with_text("606.25"), [0; 0]);
}

#[tokio::test]
async fn files_are_read_up_to_a_bound_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    std::fs::write(&file, "12345").unwrap();
    let host = EngineHost::process();
    assert_eq!(host.read_file(&file, 5).await.unwrap(), b"12345");
    assert!(matches!(host.read_file(&file, 4).await, Err(EngineError::TooLarge { most_bytes: 4, .. })));
    host.remove_file(&file).await.unwrap();
    assert!(matches!(host.read_file(&file, 5).await, Err(EngineError::Read { .. })));
    assert!(matches!(host.remove_file(&file).await, Err(EngineError::Remove { .. })));
}

#[tokio::test]
async fn an_error_or_a_command_shows_no_secret() {
    let command = sh("exit 1").arg("--api-key").arg("verysecret").env("HF_TOKEN", "verysecret");
    assert!(!format!("{command:?}").contains("verysecret"));
}
