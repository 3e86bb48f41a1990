//! The engine's own words on a command line: what a person says to it beside what is said for him.

use vramscope_core::Flag;
use vramscope_estimate::{COMMAND_LINE, CommandLine, EngineArgs, EstimateError, with_config_file};

/// What to do about a length above the one that the engine derives.
pub(crate) const LET_IT_BE_LONGER: &str =
    "lower --max-model-len; where the model can do more: --env VLLM_ALLOW_LONG_MAX_MODEL_LEN=1";

/// Where a server listens that nobody tells a port.
pub(crate) const USUAL_PORT: u16 = 8000;
/// The variable with the key that a server asks for.
pub(crate) const KEY_VARIABLE: &str = "VLLM_API_KEY";
/// Flags that make a server listen in another way than by HTTP at a port.
pub(crate) const HEARD_ELSEWHERE: [&str; 4] = ["uds", "grpc", "ssl-keyfile", "ssl-certfile"];

/// What is said to the engine by a person: flags that have a name here, and further words as the engine spells them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineWords {
    /// The release that is assumed, in place of the newest one that is known.
    pub version: Option<String>,
    /// Flags by the engine's names, without dashes; `None` for a switch.
    pub flags: Vec<(String, Option<String>)>,
    /// Further words.
    pub words: Vec<String>,
    /// The words of the configuration file that they name (`--config FILE`), once it was read.
    pub config: Vec<String>,
}

impl EngineWords {
    /// The arguments: further words first, flags on top of them.
    ///
    /// # Errors
    /// For a value that the engine would not accept.
    pub fn read(&self) -> Result<CommandLine, EstimateError> {
        let mut base = EngineArgs::default();
        if let Some(version) = &self.version {
            base.version = version.parse()?;
        }
        let first = CommandLine::read(&self.all(), base)?;
        let word = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        };
        let words: Vec<String> = self.flags.iter().map(word).collect();
        let mut second = CommandLine::read(&words, first.args)?;
        second.model = first.model;
        second.ignored = first.ignored;
        Ok(second)
    }

    /// The configuration file that further words name.
    pub fn config_file(&self) -> Option<&str> {
        COMMAND_LINE.flags(&self.words).into_iter().find(|flag| flag.name == "config")?.value
    }

    /// Further words with those of the configuration file in its place, as the engine reads them.
    pub fn all(&self) -> Vec<String> {
        let config = |_: &str| Ok::<_, std::convert::Infallible>(self.config.clone());
        with_config_file(&self.words, config).unwrap_or_else(|never| match never {})
    }

    /// The same without a length that the engine is to choose by itself (`--max-model-len auto`), and whether it is.
    pub fn without_automatic_length(&self) -> (Self, bool) {
        let automatic = |value: Option<&str>| value.is_some_and(|value| matches!(value, "auto" | "-1"));
        let chooses = |name: &str, value: Option<&str>| name == "max-model-len" && automatic(value);
        let mut kept = self.clone();
        kept.flags.retain(|(name, value)| !chooses(name, value.as_deref()));
        let mut chosen = kept.flags.len() < self.flags.len();
        for words in [&mut kept.words, &mut kept.config] {
            let places: Vec<(usize, usize)> = COMMAND_LINE
                .flags(words)
                .into_iter()
                .filter(|flag| chooses(&flag.name, flag.value))
                .map(|flag| (flag.place, if words[flag.place].contains('=') { 1 } else { 2 }))
                .collect();
            for (place, count) in places.into_iter().rev() {
                words.drain(place..place + count);
                chosen = true;
            }
        }
        (kept, chosen)
    }
}

/// The first of those flags that would take the run away from what is measured: another model, another address, another
/// place for the result.
pub(crate) fn told_by_us(words: &[String]) -> Option<&'static str> {
    const OURS: [&str; 10] = [
        "model",
        "prompt",
        "host",
        "port",
        "output-json",
        "input-len",
        "output-len",
        "batch-size",
        "num-iters",
        "num-iters-warmup",
    ];
    let given = COMMAND_LINE.flags(words);
    given.iter().find_map(|flag| OURS.into_iter().find(|ours| *ours == flag.name))
}

/// The first flag that stands in front of `--` and behind it: the engine would take the one, and the budget the other.
pub(crate) fn given_twice(flags: &[(String, Option<String>)], words: &[String]) -> Option<String> {
    let behind = COMMAND_LINE.flags(words);
    flags.iter().map(|(name, _)| name).find(|name| behind.iter().any(|flag| flag.name == **name)).cloned()
}

/// The values of those flags among the engine's words whose name is wanted. A server may be given several keys.
pub(crate) fn told(words: &[String], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let values = |flag: Flag<'_>| flag.value.into_iter().chain(flag.more).map(str::to_owned).collect::<Vec<String>>();
    COMMAND_LINE.flags(words).into_iter().filter(|flag| wanted(&flag.name)).flat_map(values).collect()
}

/// How weights are to be loaded: the last word on it counts.
pub(crate) fn load_format(words: &[String]) -> Option<&str> {
    COMMAND_LINE.flags(words).into_iter().rev().find(|flag| flag.name == "load-format")?.value
}

/// Whether weights are made up in place of being loaded.
pub(crate) fn dummy_weights(words: &[String]) -> bool {
    load_format(words) == Some("dummy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn one_spelling_is_as_good_as_another() {
        for line in ["--load-format dummy", "--load_format dummy", "--load-format=dummy", "--load_format=dummy"] {
            assert!(dummy_weights(&words(line)), "{line}");
        }
        assert!(!dummy_weights(&words("--load-format dummy --load_format auto")), "the last one counts");
        assert_eq!(told_by_us(&words("-tp 2 --output_json=x")), Some("output-json"));
        let tp = [("tensor-parallel-size".to_owned(), Some("2".to_owned()))];
        assert_eq!(given_twice(&tp, &words("--seed 1 -tp 4")).as_deref(), Some("tensor-parallel-size"));
        assert_eq!(told(&words("--enforce-eager --api_key a b --seed 1"), |name| name == "api-key"), ["a", "b"]);
    }

    #[test]
    fn a_length_that_the_engine_chooses_is_left_out_wherever_it_is_given() {
        let given = EngineWords {
            flags: vec![("max-model-len".to_owned(), Some("auto".to_owned())), ("dtype".to_owned(), None)],
            words: words("--seed -1 --max_model_len -1 -q fp8 --max-model-len=auto"),
            config: words("--max-model-len=auto --port=1"),
            ..EngineWords::default()
        };
        let (kept, chosen) = given.without_automatic_length();
        assert!(chosen && kept.flags.len() == 1);
        assert_eq!((kept.words, kept.config), (words("--seed -1 -q fp8"), words("--port=1")));
        assert!(
            !EngineWords { words: words("--max-model-len 8"), ..EngineWords::default() }.without_automatic_length().1
        );
    }

    #[test]
    fn what_a_configuration_file_says_counts_unless_the_command_line_says_otherwise() {
        let given = EngineWords {
            words: words("--config c.yaml --max-num-seqs 4"),
            config: words("--max-num-seqs=2 --max-model-len=8k --enforce-eager"),
            ..EngineWords::default()
        };
        assert_eq!(given.config_file(), Some("c.yaml"));
        let args = given.read().unwrap().args;
        assert_eq!((args.max_num_seqs, args.max_model_len, args.enforce_eager), (Some(4), Some(8000), true));
    }
}
