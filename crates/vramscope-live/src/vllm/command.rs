//! The engine's command line, from what a person asks for.

use std::path::Path;

use vramscope_core::redact_args;
use vramscope_host::Command;

use super::flags::{FlagError, Flags};

/// The usual name of the program.
pub(crate) const PROGRAM: &str = "vllm";

/// What a person asks of the engine, whatever its work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Asked {
    /// The engine's program with its leading arguments: `vllm`, or `python3 -m vllm.entrypoints.cli.main`.
    pub program: Vec<String>,
    /// The model as the engine finds it.
    pub model: String,
    /// Flags with their values, without dashes; `None` for a switch.
    pub flags: Vec<(String, Option<String>)>,
    /// Further words as the engine spells them; they come last, so that they win.
    pub words: Vec<String>,
}

/// The work of `vllm bench latency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Prompt tokens of one request.
    pub input_len: u64,
    /// Generated tokens of one request.
    pub output_len: u64,
    /// Requests in flight together.
    pub batch_size: u64,
    /// Iterations before the measured ones.
    pub warmup_iterations: u64,
    /// Measured iterations.
    pub iterations: u64,
}

impl Work {
    /// As flags of the benchmark.
    fn flags(&self) -> Vec<(String, Option<String>)> {
        let flag = |name: &str, value: u64| (name.to_owned(), Some(value.to_string()));
        vec![
            flag("input-len", self.input_len),
            flag("output-len", self.output_len),
            flag("batch-size", self.batch_size),
            flag("num-iters-warmup", self.warmup_iterations),
            flag("num-iters", self.iterations),
        ]
    }
}

/// `… bench latency`, which does its work and ends; it writes its result to `result`.
///
/// # Errors
/// [`FlagError`] for a flag that the engine's help does not list.
pub fn own_benchmark(asked: &Asked, work: Work, result: &Path, flags: &Flags) -> Result<Command, FlagError> {
    let mut wanted = vec![("model".to_owned(), Some(asked.model.clone()))];
    wanted.extend(work.flags());
    wanted.push(("output-json".to_owned(), Some(result.to_string_lossy().into_owned())));
    wanted.extend(asked.flags.iter().cloned());
    command(asked, &["bench", "latency"], &wanted, flags)
}

/// `… serve MODEL`, listening on this address.
///
/// # Errors
/// [`FlagError`] for a flag that the engine's help does not list.
pub fn server(asked: &Asked, host: &str, port: u16, flags: &Flags) -> Result<Command, FlagError> {
    let mut wanted = vec![("host".to_owned(), Some(host.to_owned())), ("port".to_owned(), Some(port.to_string()))];
    wanted.extend(asked.flags.iter().cloned());
    command(asked, &["serve", &asked.model], &wanted, flags)
}

/// Puts vLLM's own name in place of the words that name its program in a command line: a path, an interpreter with a
/// module. The subcommand follows them, however many they are.
pub(crate) fn name_program(words: &mut Vec<String>) {
    if !words.is_empty() {
        let lead = words.iter().position(|word| word == "bench" || word == "serve").unwrap_or(1);
        words.splice(..lead, ["vllm".to_owned()]);
    }
}

/// A command line with the words of its configuration file in the place of the file's name.
pub(crate) fn with_config(words: &[String], config: &[String]) -> Vec<String> {
    let shown = redact_args(config.iter().map(String::as_str));
    let read = |_: &str| Ok::<_, std::convert::Infallible>(shown);
    vramscope_estimate::with_config_file(words, read).unwrap_or_else(|never| match never {})
}

fn command(
    asked: &Asked,
    lead: &[&str],
    wanted: &[(String, Option<String>)],
    flags: &Flags,
) -> Result<Command, FlagError> {
    let mut words: Vec<String> = asked.program.iter().skip(1).cloned().collect();
    words.extend(lead.iter().map(|word| (*word).to_owned()));
    for (name, value) in wanted {
        words.push(format!("--{}", flags.name(name)?));
        words.extend(value.clone());
    }
    words.extend(flags.translate(&asked.words)?);
    let program = asked.program.first().cloned().unwrap_or_default();
    let mut command = Command::new(program);
    command.args = words;
    // What Python prints to a pipe waits in a buffer otherwise, and the phases of a run are told by what it prints.
    Ok(command.env("PYTHONUNBUFFERED", "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_persons_own_words_come_last() {
        let help = "--model --input-len --output-len --batch-size --num-iters --num-iters-warmup --output-json --dtype \
                    --max-model-len --host --port";
        let flags = Flags::read(help);
        let asked = Asked {
            program: vec!["python3".to_owned(), "-m".to_owned(), "vllm".to_owned()],
            model: "m".to_owned(),
            flags: vec![("dtype".to_owned(), Some("float16".to_owned()))],
            words: vec!["--max_model_len=64".to_owned()],
        };
        let work = Work { input_len: 1, output_len: 2, batch_size: 3, warmup_iterations: 4, iterations: 5 };
        let command = own_benchmark(&asked, work, Path::new("/r/bench.json"), &flags).unwrap();
        assert_eq!(
            command.args.join(" "),
            "-m vllm bench latency --model m --input-len 1 --output-len 2 --batch-size 3 --num-iters-warmup 4 \
             --num-iters 5 --output-json /r/bench.json --dtype float16 --max-model-len=64"
        );
        let served = server(&asked, "127.0.0.1", 8123, &flags).unwrap();
        assert_eq!(
            served.args.join(" "),
            "-m vllm serve m --host 127.0.0.1 --port 8123 --dtype float16 --max-model-len=64"
        );
        assert_eq!(own_benchmark(&asked, work, Path::new("r"), &Flags::read("--model")).unwrap_err().name, "input-len");
    }
}
