//! The server's command line of an answer.

use vramscope_core::{redact_args, shell_quoted};

use super::args::SgLangArgs;
use super::grammar::{SGLANG_LINE, behind_program};

/// What starts every release that is known here; `sglang serve` came later.
const PROGRAM: [&str; 3] = ["python3", "-m", "sglang.launch_server"];

/// The command line of an answer, each word as a shell takes it: what was given before and behind the server's name stays as
/// it was, with secrets hidden, but for the settings in which the answer differs from what was read of it.
pub fn sglang_command<S: AsRef<str>>(words: &[S], model: &str, given: &SgLangArgs, args: &SgLangArgs) -> Vec<String> {
    let own = behind_program(words);
    let program = &words[..words.len() - own.len()];
    let number = |now: Option<u64>, before: Option<u64>| now.filter(|_| now != before).map(|n| n.to_string());
    let kind = args.kv_cache_dtype.clone().filter(|_| args.kv_cache_dtype != given.kv_cache_dtype);
    let set: [(&[&str], Option<String>); 4] = [
        (&["tp-size", "tp", "tensor-parallel-size"], number(Some(args.tp_size), Some(given.tp_size))),
        (&["context-length"], number(args.context_length, given.context_length)),
        (&["max-running-requests"], number(args.max_running_requests, given.max_running_requests)),
        (&["kv-cache-dtype"], kind),
    ];
    let dropped = |name: &str| set.iter().any(|(names, value)| value.is_some() && names.contains(&name));
    let mut all: Vec<String> = redact_args(program.iter().map(AsRef::as_ref));
    let mut kept = SGLANG_LINE.without(own, dropped);
    if all.is_empty() {
        all.extend(PROGRAM.map(str::to_owned));
        // The subcommand of a name that is not there.
        kept.retain(|word| !matches!(*word, "serve" | "launch_server"));
    }
    all.extend(redact_args(kept));
    if !SGLANG_LINE.flags(own).iter().any(|flag| matches!(flag.name.as_str(), "model" | "model-path")) {
        all.extend(["--model-path".to_owned(), model.to_owned()]);
    }
    for (names, value) in set {
        all.extend(value.into_iter().flat_map(|value| [format!("--{}", names[0]), value]));
    }
    all.iter().map(|word| shell_quoted(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SgLangLine;

    fn line(words: &str, change: impl FnOnce(&mut SgLangArgs)) -> String {
        let words: Vec<&str> = words.split_whitespace().collect();
        let given = SgLangLine::read(&words).unwrap().args;
        let mut args = given.clone();
        change(&mut args);
        let line = sglang_command(&words, "a/b", &given, &args);
        // What is read of it is what the answer was computed with.
        assert_eq!(SgLangLine::read(&line).unwrap().args, args);
        line.join(" ")
    }

    #[test]
    fn a_line_stays_as_it_was_but_for_what_the_answer_changes() {
        assert_eq!(
            line("sglang serve --model-path a/b --tp=2 --context-length 8192 --port 30000", |args| args.tp_size = 4),
            "sglang serve --model-path a/b --context-length 8192 --port 30000 --tp-size 4"
        );
        assert_eq!(
            line("SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1 python3 -m sglang.launch_server --model a/b", |_| {}),
            "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1 python3 -m sglang.launch_server --model a/b"
        );
        let changed = line("--max-running-requests 4 --api-key secret --cuda-graph-bs 1 2 4", |args| {
            args.max_running_requests = Some(9);
            args.kv_cache_dtype = Some("fp8_e4m3".to_owned());
            args.context_length = Some(100);
        });
        assert!(!changed.contains("secret"), "{changed}");
        assert!(changed.starts_with("python3 -m sglang.launch_server --api-key"), "{changed}");
        assert!(
            changed.ends_with(
                "--cuda-graph-bs 1 2 4 --model-path a/b --context-length 100 --max-running-requests 9 --kv-cache-dtype fp8_e4m3"
            ),
            "{changed}"
        );
    }

    #[test]
    fn a_container_names_the_server_twice_and_both_stay() {
        let words =
            "docker run --gpus all lmsysorg/sglang:latest python3 -m sglang.launch_server --model-path a/b --tp 2";
        assert_eq!(line(words, |args| args.tp_size = 1), words.replace("--tp 2", "--tp-size 1"));
    }
}
