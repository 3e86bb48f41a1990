//! The command line of the engine, as whoever recorded the run wrote it down.

use vramscope_core::{EngineKind, EngineLine, Part, REDACTED, Workload, is_secret_name, redact};
use vramscope_estimate::{COMMAND_LINE, human_readable_int, is_command};
use vramscope_runs::{ArgsFile, JsonError, read_json};

use crate::llama_cpp;

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Args {
    /// The engine, where the words name its program.
    pub engine: Option<EngineKind>,
    /// The flags with their values, secrets taken out.
    pub flags: Vec<Flag>,
    /// The subcommand (`serve`, `bench latency`).
    pub subcommand: String,
    /// The engine's version, if written beside the command line.
    pub engine_version: Option<String>,
    /// A name of the model, if written beside the command line.
    pub model: Option<String>,
}

/// One flag of a command line: `--max-model-len 8192`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flag {
    /// The name without dashes in front, with dashes inside.
    pub name: String,
    /// The value; `None` for a switch.
    pub value: Option<String>,
}

/// A command-line record that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("read the engine's command line: expected a JSON object with \"argv\", a list of strings")]
pub struct ArgsError {
    /// Why.
    #[from]
    source: JsonError,
}

/// Reads `args.json`. `engine` is the one that whoever recorded the run knew it to be, for a program of another name.
///
/// # Errors
/// [`ArgsError`] if it is not an object with a list of strings under `argv`.
pub fn read(json: &[u8], engine: Option<EngineKind>) -> Result<Args, ArgsError> {
    let file: ArgsFile = read_json(json)?;
    let mut args = parse(&file.argv, engine);
    if file.engine_version.is_some() {
        args.engine.get_or_insert(EngineKind::Vllm);
    }
    args.engine_version = file.engine_version;
    args.model = file.model;
    Ok(args)
}

/// Takes a command line apart. A switch has no value.
pub(crate) fn parse(argv: &[String], recorded: Option<EngineKind>) -> Args {
    let of_other = llama_cpp::grammar_of(argv, recorded).map(|grammar| (EngineKind::LlamaCpp, grammar));
    let (engine, grammar) = match of_other {
        Some((engine, grammar)) => (Some(engine), grammar),
        None => (is_command(argv).then_some(EngineKind::Vllm), COMMAND_LINE),
    };
    // What stands in front of the program is not the engine's: `taskset -c 3 …`.
    let lead = EngineLine::of(argv).map_or(0, |line| line.lead.saturating_sub(1));
    let argv = argv.get(lead..).unwrap_or(argv);
    let mut args = Args { engine, ..Args::default() };
    let mut subcommand = Vec::new();
    for (place, part) in grammar.read(argv).into_iter().enumerate() {
        match part {
            Part::Flag(flag) => {
                let secret = is_secret_name(&flag.name);
                let value = flag.value.map(|value| if secret { REDACTED.to_owned() } else { redact(value) });
                args.flags.push(Flag { name: flag.full_name(), value });
            }
            Part::Word(word) if place > 0 && place == subcommand.len() + 1 => {
                if word.chars().all(|c| c.is_ascii_alphabetic()) {
                    subcommand.push(word);
                }
            }
            Part::Word(_) => {}
        }
    }
    args.subcommand = subcommand.join(" ");
    args
}

impl Args {
    /// The flags as words again.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = |flag: &Flag| [Some(format!("--{}", flag.name)), flag.value.clone()];
        self.flags.iter().flat_map(words).flatten().collect()
    }

    /// The last value given for a flag.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|flag| flag.name == name)?.value.as_deref()
    }

    /// Whether a switch is set.
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag.name == name)
    }

    /// A flag's value as a whole number, `32k` and `8G` as vLLM reads them; `None` if absent or not one.
    pub fn number(&self, name: &str) -> Option<u64> {
        human_readable_int(self.value(name)?)
    }

    /// What a benchmark sends, with the defaults of `vllm bench latency` where that is the command.
    pub fn workload(&self) -> Workload {
        let default = |n: u64| self.subcommand.ends_with("latency").then_some(n);
        Workload {
            input_len: self.number("input-len").or(default(32)),
            output_len: self.number("output-len").or(default(128)),
            batch_size: self.number("batch-size").or(default(8)),
            warmup_iterations: self.number("num-iters-warmup").or(default(10)),
            iterations: self.number("num-iters").or(default(30)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_switches_and_both_spellings() {
        let json =
            br#"{"argv": ["vllm", "bench", "latency", "--enforce-eager", "--batch_size=4", "--input-len", "256"]}"#;
        let args = read(json, None).unwrap();
        assert_eq!(args.subcommand, "bench latency");
        assert!(args.has("enforce-eager"));
        let workload = args.workload();
        assert_eq!((workload.batch_size, workload.input_len, workload.output_len), (Some(4), Some(256), Some(128)));
    }

    #[test]
    fn words_in_front_of_the_program_are_not_the_engines() {
        let read = |line: &str| parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), None);
        let args = read("taskset -c 0-3 llama-server -m x.gguf -ngl 9");
        assert_eq!((args.value("ctx-size"), args.value("gpu-layers")), (None, Some("9")));
        let words = ["/opt/my-wrapper", "-m", "x.gguf", "-c", "4096"].map(str::to_owned);
        let args = parse(&words, Some(EngineKind::LlamaCpp));
        assert_eq!((args.value("model"), args.value("ctx-size")), (Some("x.gguf"), Some("4096")));
        let args = read("numactl -N 0 vllm bench latency --batch-size 4");
        assert_eq!((args.subcommand.as_str(), args.workload().input_len), ("bench latency", Some(32)));
        let args = read("python3 -m vllm.entrypoints.openai.api_server --model m");
        assert_eq!((args.engine, args.value("model")), (Some(EngineKind::Vllm), Some("m")));
    }

    #[test]
    fn short_flags_are_their_long_ones() {
        let argv =
            ["vllm", "serve", "m", "--enforce-eager", "-tp", "2", "-q=fp8", "--seed", "-1", "-O3", "--dtype", "half"];
        let args = parse(&argv.map(str::to_owned), None);
        assert_eq!((args.number("tensor-parallel-size"), args.value("quantization")), (Some(2), Some("fp8")));
        assert_eq!(args.number("optimization-level"), Some(3));
        assert_eq!(
            (args.value("enforce-eager"), args.value("seed"), args.value("dtype")),
            (None, Some("-1"), Some("half"))
        );
    }

    #[test]
    fn numbers_are_as_the_engine_reads_them() {
        let short = ["vllm", "serve", "m", "--max-model-len", "32k", "--kv-cache-memory-bytes=8G", "--seed", "x"];
        let args = parse(&short.map(str::to_owned), None);
        assert_eq!((args.number("max-model-len"), args.number("seed")), (Some(32_000), None));
        assert_eq!(args.number("kv-cache-memory-bytes"), Some(8 << 30));
    }

    #[test]
    fn secrets_do_not_get_in() {
        let argv = ["vllm", "serve", "m", "--api-key", "sk-1", "--hf-token=hf_2", "--max-num-batched-tokens", "2048"];
        let args = parse(&argv.map(str::to_owned), None);
        let shown = format!("{args:?}");
        assert!(!shown.contains("sk-1") && !shown.contains("hf_2"), "{shown}");
        assert_eq!(args.number("max-num-batched-tokens"), Some(2048));
    }

    #[test]
    fn what_is_no_command_line_is_refused() {
        for bad in [&b"{}"[..], br#"{"argv": "vllm"}"#, br#"{"argv": [1]}"#, b"\xff"] {
            assert!(read(bad, None).is_err());
        }
    }
}
