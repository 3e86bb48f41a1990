//! The runs of a campaign as command lines of `vramscope profile`, and the document that says them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vramscope_core::redact_args;

use super::PlannedRun;

/// The version of the document.
const VERSION: u32 = 1;

/// What a campaign would run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlanDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_campaign_plan: u32,
    /// The runs, in their order.
    pub runs: Vec<PlannedDocument>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlannedDocument {
    /// The name of its files.
    pub name: String,
    /// Where its profile goes.
    pub profile: String,
    /// The arguments of `vramscope profile`, secrets replaced.
    pub arguments: Vec<String>,
    /// What a person should know of how the file was read.
    pub notes: Vec<String>,
}

/// The JSON Schema of [`PlanDocument`].
#[cfg(feature = "json-schema")]
pub fn campaign_plan_json_schema() -> schemars::Schema {
    schemars::schema_for!(PlanDocument)
}

impl PlanDocument {
    /// The plan of these runs.
    pub fn new(runs: Vec<PlannedDocument>) -> Self {
        Self { vramscope_campaign_plan: VERSION, runs }
    }
}

impl PlannedDocument {
    /// A run with these arguments, whose secrets are replaced.
    pub fn new(run: &PlannedRun, profile: &Path, arguments: &[String]) -> Self {
        Self {
            name: run.name.clone(),
            profile: profile.display().to_string(),
            arguments: redact_args(arguments.iter().map(String::as_str)),
            notes: run.notes.clone(),
        }
    }

    /// The arguments, but for where the profile goes: the same folder may be named otherwise.
    pub fn asked(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).filter(|word| !word.starts_with("--output=")).collect()
    }
}

impl PlannedRun {
    /// The run as arguments of `vramscope profile`, whose profile goes there. `further` ones stand behind those of the file,
    /// the engine's own among them behind a further `--`. Without `containers`, whatever container the file names is none.
    pub fn arguments(&self, profile: &Path, containers: bool, further: &[String]) -> Vec<String> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let host = |value: &Option<String>| value.clone().filter(|_| containers);
        let values = [
            ("model", Some(self.model.clone())),
            ("output", Some(profile.display().to_string())),
            ("container", host(&self.container).filter(|_| self.image.is_none())),
            ("image", host(&self.image)),
            ("input-len", number(self.input_len)),
            ("output-len", number(self.output_len)),
            ("batch-size", number(self.batch_size)),
            ("num-iters", number(self.num_iters)),
            ("num-iters-warmup", number(self.num_iters_warmup)),
            ("model-params", number(self.shape.parameters)),
            ("num-layers", number(self.shape.layers)),
            ("num-heads", number(self.shape.heads)),
            ("num-kv-heads", number(self.shape.kv_heads)),
            ("head-dim", number(self.shape.head_dim)),
            ("hidden-size", number(self.shape.hidden_size)),
        ];
        let values = values.into_iter().filter_map(|(name, value)| Some((name, Some(value?))));
        let switches = self.trust_remote_code.then_some(("trust-remote-code", None));
        let flags = self.flags.iter().map(|(name, value)| (*name, value.clone()));
        // With `=`, a value that begins with a dash is a value all the same.
        let word = |(name, value): (&str, Option<String>)| match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        };
        let mut words: Vec<String> = values.chain(flags).chain(switches).map(word).collect();
        // The engine's own words stand last, behind a further `--`.
        let (ours, engine) = match further.iter().position(|word| word == "--") {
            Some(at) => (&further[..at], &further[at + 1..]),
            None => (further, &[][..]),
        };
        words.extend(ours.iter().cloned());
        if !self.engine_args.is_empty() || !engine.is_empty() {
            words.push("--".to_owned());
            words.extend(self.engine_args.iter().chain(engine).cloned());
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{expand_campaign, read_campaign};

    #[test]
    fn a_run_is_a_command_line_with_the_persons_words_behind_the_files() {
        let text = "models: [{model: m, container_name: c, batch_sizes: [8], engine_args: [--max-num-seqs, '4']}]";
        let run = expand_campaign(&read_campaign(text).unwrap()).unwrap().remove(0);
        let further = ["--batch-size=1", "--", "--api-key=hunter2hunter2"].map(str::to_owned);
        let words = run.arguments(Path::new("o/m.json"), true, &further);
        let expected = [
            "--model=m",
            "--output=o/m.json",
            "--container=c",
            "--batch-size=8",
            "--batch-size=1",
            "--",
            "--max-num-seqs",
            "4",
            "--api-key=hunter2hunter2",
        ];
        assert_eq!(words, expected);
        let document = PlannedDocument::new(&run, Path::new("o/m.json"), &words);
        assert!(!format!("{document:?}").contains("hunter2"), "{document:?}");
        assert!(!document.asked().iter().any(|word| word.contains("m.json")), "{document:?}");
        assert!(!run.arguments(Path::new("p"), false, &[]).iter().any(|word| word.starts_with("--container")));
    }
}
