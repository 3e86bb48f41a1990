//! A server that somebody else started: watched, and left alone.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command as StdCommand};

use vramscope_host::{AttachHost, Command, Engine, EngineError, EngineEvent, EngineHost, Exit, LogFile, LogStart};

use crate::{LONG, alive, line, rest};

fn server(seconds: &str) -> Child {
    StdCommand::new("sleep").arg(seconds).spawn().unwrap()
}

async fn attach(pid: Option<u32>, log: Option<(&Path, LogStart)>) -> Result<Engine, EngineError> {
    let log = log.map(|(path, from)| LogFile { path: path.to_owned(), from });
    EngineHost::Attach(AttachHost { pid, log }).start(&Command::default()).await
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn to_stop_watching_does_not_stop_the_server() {
    let mut server = server("801.25");
    let mut engine = attach(Some(server.id()), None).await.unwrap();
    assert_eq!(engine.pids(), [server.id()]);
    assert_eq!(engine.stop(LONG).await.unwrap(), Exit::default());
    assert_eq!(engine.next().await, EngineEvent::Exited(Exit::default()));
    drop(engine);
    assert!(alive(server.id()));
    server.kill().unwrap();
    server.wait().unwrap();
}

#[tokio::test]
async fn the_end_of_the_server_is_seen() {
    let mut server = server("802.25");
    let mut engine = attach(Some(server.id()), None).await.unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(rest(&mut engine).await, (vec![], Exit::default()));
    assert!(engine.pids().is_empty());
    let gone = attach(Some(server.id()), None).await.unwrap_err();
    assert!(matches!(gone, EngineError::NoProcess { .. }), "{gone}");
}

#[tokio::test]
async fn a_log_is_followed_from_either_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.log");
    append(&path, "old\npart");
    let mut whole = attach(None, Some((&path, LogStart::Beginning))).await.unwrap();
    let mut new = attach(None, Some((&path, LogStart::End))).await.unwrap();
    append(&path, "ly\nnew\nlast");
    assert_eq!(line(&mut new).await, "ly");
    for expected in ["old", "partly", "new"] {
        assert_eq!(line(&mut whole).await, expected);
    }
    whole.stop(LONG).await.unwrap();
    assert_eq!(rest(&mut whole).await.0, ["last"]);
}

#[tokio::test]
async fn a_log_that_is_rotated_or_emptied_is_followed_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.log");
    append(&path, "one\n");
    let mut engine = attach(None, Some((&path, LogStart::Beginning))).await.unwrap();
    assert_eq!(line(&mut engine).await, "one");
    std::fs::rename(&path, folder.path().join("server.log.1")).unwrap();
    append(&folder.path().join("server.log.1"), "two\n");
    append(&path, "three is longer\n");
    assert_eq!(line(&mut engine).await, "two");
    assert_eq!(line(&mut engine).await, "three is longer");
    File::create(&path).unwrap();
    append(&path, "four\n");
    let EngineEvent::LogLost { reason } = engine.next().await else { panic!("the loss was not told") };
    assert!(reason.contains("emptied"), "{reason}");
    assert_eq!(line(&mut engine).await, "four");
}

#[tokio::test]
async fn a_log_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("absent"), folder.path().to_owned()] {
        assert!(matches!(attach(None, Some((&path, LogStart::End))).await, Err(EngineError::Read { .. })));
    }
}
