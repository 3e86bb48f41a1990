//! The command line: flags as argparse takes them, and their list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A command's flags, one a line of `--help=all`.
pub(crate) struct Flags {
    lines: Vec<String>,
}

/// What was given.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Given {
    pub(crate) positional: Vec<String>,
    /// Each flag with its last value; a flag without one has an empty value.
    pub(crate) flags: BTreeMap<String, String>,
}

impl Flags {
    pub(crate) fn of(command: &str, file: Option<&Path>) -> Result<Self, String> {
        let text = match file {
            Some(path) => fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?,
            None if command == "serve" => include_str!("../data/flags-serve.txt").into(),
            None => include_str!("../data/flags-bench-latency.txt").into(),
        };
        Ok(Self { lines: text.lines().map(str::to_owned).collect() })
    }

    pub(crate) fn help(&self, command: &str) -> String {
        let mut help = format!("usage: vllm {command} [options]\n\noptions:\n");
        for line in &self.lines {
            help.extend(["  ", line, "\n"]);
        }
        help
    }

    /// A flag with whether it takes a value.
    fn known(&self, flag: &str) -> Option<bool> {
        self.lines.iter().find_map(|line| {
            let mut forms =
                line.split(", ").map(|form| form.split_once(' ').map_or((form, false), |(name, _)| (name, true)));
            forms.find(|(name, _)| *name == flag).map(|(_, value)| value)
        })
    }

    /// Reads arguments; an error is argparse's own.
    pub(crate) fn parse(&self, arguments: &[String]) -> Result<Given, String> {
        let mut given = Given::default();
        let mut unknown = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            if !argument.starts_with('-') {
                given.positional.push(argument.clone());
                continue;
            }
            let (name, value) = argument.split_once('=').map_or((argument.as_str(), None), |(n, v)| (n, Some(v)));
            let name = name.replace('_', "-");
            // `--profiler-config.profiler` sets a field of a flag that takes JSON.
            match self.known(name.split('.').next().unwrap_or(&name)) {
                None => unknown.push(argument.clone()),
                Some(false) => drop(given.flags.insert(name, value.unwrap_or_default().to_owned())),
                Some(true) => {
                    let value = value.map(str::to_owned).or_else(|| rest.next().cloned());
                    let value = value.ok_or_else(|| format!("argument {name}: expected one argument"))?;
                    given.flags.insert(name, value);
                }
            }
        }
        if unknown.is_empty() { Ok(given) } else { Err(format!("unrecognized arguments: {}", unknown.join(" "))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_as_argparse_reads_them() {
        let flags = Flags::of("serve", None).unwrap();
        let read = |line: &str| flags.parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let given =
            read("m --port 1 --max_model_len=2048 --enforce-eager --profiler-config.profiler torch -tp 2").unwrap();
        assert_eq!(given.positional, ["m"]);
        assert_eq!((given.flags["--port"].as_str(), given.flags["--max-model-len"].as_str()), ("1", "2048"));
        assert_eq!((given.flags["--enforce-eager"].as_str(), given.flags["-tp"].as_str()), ("", "2"));
        assert_eq!(read("m --frobnicate"), Err("unrecognized arguments: --frobnicate".into()));
        assert!(read("m --port").is_err());
    }
}
