//! How llama.cpp's server is started for a run: what is added to its command line, and what it says of itself.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vramscope_core::PackedModel;
use vramscope_estimate::{LLAMA_CPP_LINE, LlamaCppLine};
use vramscope_host::Command;
use vramscope_models::read_gguf;

use crate::plan::{Plan, PlanError};

/// The usual name of the program.
pub(crate) const PROGRAM: &str = "llama-server";
/// Where it listens unless it is told.
pub(crate) const USUAL_PORT: u16 = 8080;
/// The verbosity from which the server prints what it allocates.
const PRINTS_MEMORY: &str = "4";
/// The same as a variable of the server.
const VERBOSITY_VARIABLE: &str = "LLAMA_LOG_VERBOSITY";
/// It says its version at once; a driver may be slow to load.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags that would take the run away from what is measured: where the server listens.
const OURS: [&str; 2] = ["host", "port"];
/// Flags with which it serves in another way than by HTTP at a port.
const HEARD_ELSEWHERE: [&str; 2] = ["ssl-key-file", "ssl-cert-file"];

/// The first flag that must not be given.
pub(crate) fn told_by_us(words: &[String]) -> Option<&'static str> {
    let given = LLAMA_CPP_LINE.flags(words);
    given.iter().find_map(|flag| OURS.into_iter().chain(HEARD_ELSEWHERE).find(|ours| *ours == flag.name))
}

/// The model's file, as the words name it.
pub(crate) fn model(words: &[String]) -> Result<Option<PathBuf>, PlanError> {
    Ok(LlamaCppLine::read(words).map_err(|error| PlanError::OfOther(Box::new(error)))?.model.map(PathBuf::from))
}

/// The header of the model's file; `None` where it is none of this machine or cannot be read: the server will say why.
pub(crate) fn header(path: &Path) -> Option<PackedModel> {
    let file = vramscope_runs::open_file(path).ok()?;
    Some(read_gguf(BufReader::new(file)).ok()?.packed())
}

/// What is added to the words of a person: where it listens, the verbosity at which it says what it allocates, and its
/// metrics. What a person said of these counts.
pub(crate) fn added(words: &[String], variables: &[(String, String)], host: &str, port: u16) -> Vec<String> {
    let given = LLAMA_CPP_LINE.flags(words);
    let has = |names: &[&str]| given.iter().any(|flag| names.contains(&flag.name.as_str()));
    let mut added = vec!["--host".to_owned(), host.to_owned(), "--port".to_owned(), port.to_string()];
    let by_variable = variables.iter().any(|(name, _)| name == VERBOSITY_VARIABLE);
    if !by_variable && !has(&["verbosity", "log-verbosity", "verbose", "log-verbose"]) {
        added.extend(["-lv".to_owned(), PRINTS_MEMORY.to_owned()]);
    }
    if !has(&["metrics"]) {
        added.push("--metrics".to_owned());
    }
    added
}

/// The server's command: a person's own words, and what is added behind them.
pub(crate) fn server(program: &[String], words: &[String], added: &[String]) -> Command {
    let mut command = Command::new(program.first().cloned().unwrap_or_default());
    command.args = program.iter().skip(1).chain(words).chain(added).cloned().collect();
    command
}

/// The build, as the program says it: `version: 10434 (7e4c0a9)`, since 2026 `version: 0.1.0 (build 10434, commit 7e4c0a9)`.
pub(crate) async fn version(plan: &Plan) -> Result<Option<String>, PlanError> {
    let mut program = plan.request().program().into_iter();
    let mut command = Command::new(program.next().unwrap_or_default());
    command.args = program.chain(["--version".to_owned()]).collect();
    let output = plan.host.output(&command, PATIENCE).await.map_err(PlanError::Host)?;
    let said = [output.stderr, output.stdout].concat();
    Ok(build(&String::from_utf8_lossy(&said)))
}

fn build(said: &str) -> Option<String> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("version: "))?;
    let is_build = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let word = line.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_digit())).find(is_build)?;
    Some(format!("b{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_a_person_says_of_verbosity_and_metrics_counts() {
        let all = |line: &str, variables: &[(String, String)]| added(&words(line), variables, "h", 7).join(" ");
        assert_eq!(all("-m x.gguf -c 4096", &[]), "--host h --port 7 -lv 4 --metrics");
        assert_eq!(all("-m x.gguf -lv 5", &[]), "--host h --port 7 --metrics");
        assert_eq!(all("-m x.gguf --verbosity=3 --metrics", &[]), "--host h --port 7");
        assert_eq!(all("-v", &[(VERBOSITY_VARIABLE.to_owned(), "2".to_owned())]), "--host h --port 7 --metrics");
        assert_eq!(all("-m x.gguf", &[(VERBOSITY_VARIABLE.to_owned(), "2".to_owned())]), "--host h --port 7 --metrics");
        assert_eq!(told_by_us(&words("-m x --port 80")), Some("port"));
        assert_eq!(told_by_us(&words("-m x -c 80")), None);
        let command = server(&words("run llama-server"), &words("-m x"), &words("--port 7"));
        assert_eq!((command.program.as_str(), command.args), ("run", words("llama-server -m x --port 7")));
    }

    #[test]
    fn the_build_is_a_number_wherever_it_stands_in_the_line() {
        assert_eq!(build("ggml: found\nversion: 10434 (7e4c0a9)\nbuilt with GNU\n").as_deref(), Some("b10434"));
        assert_eq!(build("version: b1 (7e4c0a9)").as_deref(), Some("b1"));
        assert_eq!(build("version: 0.1.0-dev (build 10434, commit 7e4c0a9)").as_deref(), Some("b10434"));
        assert_eq!(build("version: unknown"), None);
        assert_eq!(build("no such option"), None);
    }
}
