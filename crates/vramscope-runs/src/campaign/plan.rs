//! The runs of a campaign as command lines of `vramscope profile`, and the document that says them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vramscope_core::redact_args;
use vramscope_schema::RunState;

use super::PlannedRun;
use super::key::RunKey;
use crate::json::{JsonError, read_json};

/// The version of the document.
const VERSION: u32 = 2;

/// What a campaign would run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlanDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_campaign_plan: u32,
    /// The runs, in their order.
    pub runs: Vec<PlannedDocument>,
    /// Room on the disk of the campaign's folder, where it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomDocument>,
}

/// Room on a disk, beside what the runs that are not complete may leave there together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct RoomDocument {
    /// What the runs may leave together, by the rule by which a single run is refused. Unit: bytes.
    pub needed_bytes: u64,
    /// What this user may still write there. Unit: bytes.
    pub free_bytes: u64,
    /// Whether that is enough.
    pub suffices: bool,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlannedDocument {
    /// What people call it.
    pub name: String,
    /// What its attempts and its profile are called in the campaign's folder.
    pub key: String,
    /// Where its profile is published once it is complete.
    pub profile: String,
    /// The arguments of `vramscope profile`, secrets replaced.
    pub arguments: Vec<String>,
    /// What a person should know of how the file was read.
    pub notes: Vec<String>,
    /// How far it is, where that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// What the checks before a start found, where they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckDocument>,
}

/// Something that a check before a start found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct CheckDocument {
    /// A stable name.
    pub code: String,
    /// The run certainly fails, or must not start.
    pub refuses: bool,
    /// What is the case.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// A plan that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanReadError {
    /// It is no plan.
    #[error("read the campaign's plan: expected the JSON object that vramscope campaign writes as campaign.plan.json")]
    Json(#[from] JsonError),
    /// Another release wrote it.
    #[error("read the campaign's plan: it is of version {found}, and this program reads version {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
}

/// The JSON Schema of [`PlanDocument`].
#[cfg(feature = "json-schema")]
pub fn campaign_plan_json_schema() -> schemars::Schema {
    schemars::schema_for!(PlanDocument)
}

impl PlanDocument {
    /// Reads `campaign.plan.json`, by its version first.
    ///
    /// # Errors
    /// [`PlanReadError`].
    pub fn read(json: &[u8]) -> Result<Self, PlanReadError> {
        #[derive(Deserialize)]
        struct Version {
            vramscope_campaign_plan: u32,
        }
        let Version { vramscope_campaign_plan: found } = read_json(json)?;
        if found != VERSION {
            return Err(PlanReadError::Version { found });
        }
        Ok(read_json(json)?)
    }

    /// The plan of these runs.
    pub fn new(runs: Vec<PlannedDocument>) -> Self {
        Self { vramscope_campaign_plan: VERSION, runs, room: None }
    }
}

impl PlannedDocument {
    /// A run with these arguments, whose secrets are replaced.
    pub fn new(run: &PlannedRun, key: &RunKey, profile: &Path, arguments: &[String]) -> Self {
        Self {
            name: run.name.clone(),
            key: key.to_string(),
            profile: profile.display().to_string(),
            arguments: redact_args(arguments.iter().map(String::as_str)),
            notes: run.notes.clone(),
            state: None,
            checks: Vec::new(),
        }
    }
}

impl PlannedRun {
    /// The run as arguments of `vramscope profile`. `further` ones stand behind those of the file,
    /// the engine's own among them behind a further `--`. Without `containers`, whatever container the file names is none.
    pub fn arguments(&self, containers: bool, further: &[String]) -> Vec<String> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let host = |value: &Option<String>| value.clone().filter(|_| containers);
        let values = [
            ("model", Some(self.model.clone())),
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
            ("intermediate-size", number(self.shape.intermediate_size)),
            ("vocab-size", number(self.shape.vocab_size)),
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

    #[test]
    fn a_plan_is_read_by_its_version_first() {
        let mut plan = PlanDocument::new(Vec::new());
        plan.room = Some(RoomDocument { needed_bytes: 2, free_bytes: 1, suffices: false });
        assert_eq!(PlanDocument::read(&serde_json::to_vec(&plan).unwrap()).unwrap(), plan);
        let before = br#"{"vramscope_campaign_plan": 1, "runs": "another form"}"#;
        assert!(matches!(PlanDocument::read(before), Err(PlanReadError::Version { found: 1 })));
        assert!(matches!(PlanDocument::read(b"{}"), Err(PlanReadError::Json(JsonError::Field { .. }))));
    }
    use crate::{expand_campaign, read_campaign};

    #[test]
    fn a_run_is_a_command_line_with_the_persons_words_behind_the_files() {
        let text = "models: [{model: m, container_name: c, batch_sizes: [8], engine_args: [--max-num-seqs, '4']}]";
        let run = expand_campaign(&read_campaign(text).unwrap()).unwrap().remove(0);
        let further = ["--batch-size=1", "--", "--api-key=hunter2hunter2"].map(str::to_owned);
        let words = run.arguments(true, &further);
        let expected = [
            "--model=m",
            "--container=c",
            "--batch-size=8",
            "--batch-size=1",
            "--",
            "--max-num-seqs",
            "4",
            "--api-key=hunter2hunter2",
        ];
        assert_eq!(words, expected);
        let document = PlannedDocument::new(&run, &RunKey::new("m", &words), Path::new("o/m.json"), &words);
        assert!(!format!("{document:?}").contains("hunter2"), "{document:?}");
        assert!(!run.arguments(false, &[]).iter().any(|word| word.starts_with("--container")));
    }
}
