//! The engine's own words on a command line: what a person says to it beside what is said for him.

use vramscope_estimate::{CommandLine, EngineArgs, EstimateError};

/// What is said to the engine by a person: flags that have a name here, and further words as the engine spells them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineWords {
    /// The release that is assumed, in place of the newest one that is known.
    pub version: Option<String>,
    /// Flags by the engine's names, without dashes; `None` for a switch.
    pub flags: Vec<(String, Option<String>)>,
    /// Further words.
    pub words: Vec<String>,
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
        let first = CommandLine::read(&self.words, base)?;
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

    /// The same without a length that the engine is to choose by itself (`--max-model-len auto`), and whether it is.
    pub fn without_automatic_length(&self) -> (Self, bool) {
        let automatic = |value: &str| matches!(value, "auto" | "-1");
        let is_flag = |word: &str| word.replace('_', "-") == "--max-model-len";
        let mut kept = Self { version: self.version.clone(), flags: Vec::new(), words: Vec::new() };
        let chooses = |(name, value): &(String, Option<String>)| {
            name == "max-model-len" && value.as_deref().is_some_and(automatic)
        };
        let mut chosen = self.flags.iter().any(chooses);
        kept.flags.extend(self.flags.iter().filter(|flag| !chooses(flag)).cloned());
        let mut words = self.words.iter().peekable();
        while let Some(word) = words.next() {
            let inline = word.split_once('=').is_some_and(|(name, value)| is_flag(name) && automatic(value));
            if inline || is_flag(word) && words.next_if(|value| automatic(value)).is_some() {
                chosen = true;
            } else {
                kept.words.push(word.clone());
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
    let names = words.iter().filter_map(|word| word.strip_prefix("--"));
    let mut names = names.map(|flag| flag.split_once('=').map_or(flag, |(name, _)| name).replace('_', "-"));
    names.find_map(|name| OURS.into_iter().find(|ours| *ours == name))
}

/// The first flag that stands in front of `--` and behind it: the engine would take the one, and the budget the other.
pub(crate) fn given_twice(flags: &[(String, Option<String>)], words: &[String]) -> Option<String> {
    let behind: Vec<String> = vramscope_analysis::flag_names(words);
    flags.iter().map(|(name, _)| name).find(|name| behind.contains(name)).cloned()
}

/// The values of those flags among the engine's words whose name is wanted.
pub(crate) fn told(words: &[String], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut values = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let Some(flag) = word.strip_prefix("--") else { continue };
        let (name, inline) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
        if wanted(&name.replace('_', "-")) {
            // A server may be given several keys.
            let behind = words[place + 1..].iter().take_while(|word| inline.is_none() && !word.starts_with('-'));
            values.extend(behind.cloned());
            values.extend(inline);
        }
    }
    values
}

/// Whether weights are made up in place of being loaded.
pub(crate) fn dummy_weights(words: &[String]) -> bool {
    words.windows(2).any(|pair| pair[0] == "--load-format" && pair[1] == "dummy")
        || words.iter().any(|word| word == "--load-format=dummy")
}
