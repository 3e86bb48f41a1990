//! What a person sees while a run goes on.

use std::process::{Command, Output, Stdio};

use standin_vllm::Script;

use super::bench::{Bench, Kind};

/// A run in a terminal of that kind, which `script` of util-linux makes, or `None` with a word where there is no `script`.
fn in_terminal(term: &str) -> Option<Output> {
    if Command::new("script").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "script (util-linux) is absent");
        println!("skipped: script (util-linux) is absent");
        return None;
    }
    let bench = Bench::new(&Script { speed: 12.0, ..Script::default() });
    let profiled = bench.command(&bench.file(), Kind::Latency, &[]);
    let words: Vec<String> = [profiled.get_program()]
        .into_iter()
        .chain(profiled.get_args())
        .map(|word| format!("'{}'", word.display()))
        .collect();
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &format!("{} >/dev/null", words.join(" ")), "/dev/null"]);
    command.envs(profiled.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", term);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", crate::stdout(&output));
    Some(output)
}

#[test]
fn a_terminal_has_a_line_with_the_phase_the_memory_and_the_engines_last_words() {
    let Some(output) = in_terminal("xterm") else { return };
    let screen = crate::stdout(&output);
    let load = screen.split('\r').find(|line| line.contains("load ") && line.contains("GiB")).unwrap_or_default();
    assert!(load.contains(" s · ") && load.contains(" GiB · "), "{screen:?}");
    assert!(screen.contains("asking the engine"), "{screen:?}");
    assert!(!screen.contains(" s  load"), "a line for each phase is for those who have none: {screen:?}");
}

#[test]
fn a_terminal_that_cannot_write_over_its_lines_has_one_for_each_phase() {
    let Some(output) = in_terminal("dumb") else { return };
    let screen = crate::stdout(&output);
    for phase in ["baseline", "load", "measure", "settle"] {
        assert!(screen.contains(&format!(" s  {phase}")), "{phase}: {screen:?}");
    }
    assert!(!screen.contains('\x1b'), "{screen:?}");
}

#[test]
fn what_goes_on_leaves_the_line_before_a_result_is_shown_though_the_engine_could_not_be_asked() {
    if Command::new("script").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "script (util-linux) is absent");
        println!("skipped: script (util-linux) is absent");
        return;
    }
    let line = format!(
        "'{}' campaign --dry-run --model m/x --output there -- --engine no-such-engine",
        env!("CARGO_BIN_EXE_vramscope")
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let screen = crate::stdout(&output);
    assert_eq!(output.status.code(), Some(8), "{screen}");
    assert!(screen.contains("asking the engine"), "{screen:?}");
    let head = screen.lines().find(|line| line.contains("1 run, to there")).unwrap();
    assert!(head.rsplit("\x1b[2K").next().unwrap().starts_with("1 run"), "{head:?}");
}
