//! The load document.

use serde::{Deserialize, Serialize};

use super::{
    DatasetDocument, EngineDocument, FindingDocument, LevelDocument, MeteredDocument, PriceDocument, Severity,
};
use crate::plan::{LoadPlan, Prompts, Until, WordTokens};
use crate::prompt::PromptForm;
use crate::search::{Point, knee, saturation};
use crate::trust::Transport;

/// A load: what was sent at which levels, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LoadDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_load: u32,
    /// The program that wrote it, with its version.
    pub generator: String,
    /// The server, as host and port, or as `unix:` with the path of its socket.
    pub server: String,
    /// By what it is reached: `tcp`, `tls`, `tls_unverified` (anybody may have answered in its place) or `unix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// The server's version, if it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// The engine that was started for it; absent for a server that ran already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineDocument>,
    /// What all levels have in common.
    pub workload: WorkloadDocument,
    /// Whose energy was read; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metered: Option<MeteredDocument>,
    /// What the server costs; absent where nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceDocument>,
    /// The levels in the order of measuring.
    pub levels: Vec<LevelDocument>,
    /// What a search over levels found; absent where levels were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchDocument>,
    /// Whether the load was stopped before its end.
    pub stopped: bool,
    /// What is to be known beside the findings of levels.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<FindingDocument>,
}

/// What all levels have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WorkloadDocument {
    /// The model asked for; the first one of a mix.
    pub model: String,
    /// The models of a mix, each with its weight as on the command line: `lora-a=0.3`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub mix: Vec<String>,
    /// The question asked: `completions` or `chat`.
    pub endpoint: String,
    /// The form of prompts: `token_ids`, `text` (words made from the seed) or `given`, as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<String>,
    /// Prompt lengths as on the command line: `512`, `200..2000`, `normal:500,100`; words where prompts are text and
    /// `tokens_per_word` is absent. Absent
    /// for a given text and a data set. Unit: tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_len: Option<String>,
    /// Tokens of a word, as the server counted them for prompts of words: `input_len` is then in tokens, met on the mean.
    /// Absent where lengths count words, or prompts are token ids. Unit: tokens per word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_word: Option<f64>,
    /// Tokens that the chat's template adds, which count as a part of `input_len`. Unit: tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_tokens: Option<u64>,
    /// Generated lengths, likewise; `data` where each record of a data set has its own. Unit: tokens.
    pub output_len: String,
    /// Where prompts and lengths come from, if not from the seed alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetDocument>,
    /// Requests of each level, where they are counted. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// For how long each level sends, where that ends it. Unit: seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// How long each level rises to what it is. Unit: seconds.
    pub ramp_up_s: f64,
    /// Names prompts, lengths and arrivals, together with a level's stream. Unit: none, a number.
    pub seed: u64,
    /// The bounds of a good request, as on the command line; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<String>,
    /// The names of extra fields of each body. Their values are not kept: they may be secrets.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub extra_body: Vec<String>,
}

/// What a search over levels found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SearchDocument {
    /// What was varied: `concurrency` (unit: count) or `rate` (unit: requests per second).
    pub by: String,
    /// The part of requests that must be good for a level to hold; absent without bounds. Unit: none, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The highest level that holds. Unit: as `by` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<f64>,
    /// The lowest level that does not. Unit: as `by` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails: Option<f64>,
    /// The level with the most throughput for its latency. Unit: as `by` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knee: Option<f64>,
    /// The lowest level that has the server's highest throughput, to 5 %; absent where no higher level shows that it is the
    /// highest. Unit: as `by` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
}

impl LoadDocument {
    /// The version that is written.
    pub const VERSION: u32 = 1;

    /// A document without levels.
    pub fn new(generator: String, server: String, server_version: Option<String>, plan: &LoadPlan) -> Self {
        Self {
            vramscope_load: Self::VERSION,
            generator,
            server,
            transport: None,
            server_version,
            engine: None,
            workload: WorkloadDocument::of(plan),
            metered: None,
            price: None,
            levels: Vec::new(),
            search: None,
            stopped: false,
            findings: Vec::new(),
        }
    }

    /// Notes by what the server is reached, and warns where nobody knows who answers.
    pub fn reached_by(&mut self, transport: Transport) {
        self.transport = Some(transport.name().to_owned());
        if transport == (Transport::Tls { verified: false }) {
            let message = "the server's certificate was not looked at: anybody on the way may have answered in its place, and \
                           read the API key; give its authority's certificate instead";
            self.findings.push(FindingDocument {
                code: "tls_unverified".to_owned(),
                severity: Severity::Warning,
                message: message.to_owned(),
            });
        }
    }

    /// The points of a search: the mean over the repeats of each level.
    pub fn points(&self) -> Vec<Point> {
        points(&self.levels)
    }

    /// The shape of the levels that were measured.
    pub fn shape(&self) -> (Option<f64>, Option<f64>) {
        let points = self.points();
        if points.len() < 2 { (None, None) } else { (knee(&points), saturation(&points)) }
    }

    /// Requests that failed, or were not sent though nobody stopped the load, over all levels.
    pub fn failed(&self) -> u64 {
        self.levels.iter().map(LevelDocument::failed).sum()
    }
}

/// The points of some levels: the mean over the repeats of each.
pub(crate) fn points<'a>(levels: impl IntoIterator<Item = &'a LevelDocument>) -> Vec<Point> {
    let mut points: Vec<(f64, Vec<(f64, f64)>)> = Vec::new();
    for level in levels {
        let asked = level.asked.concurrency.map(float).or(level.asked.rate_per_s);
        let (Some(asked), Some(throughput), Some(e2e)) = (asked, level.output_tokens_per_s, level.e2e) else {
            continue;
        };
        let one = (throughput, e2e.mean_ms / 1e3);
        match points.iter_mut().find(|(level, _)| level.total_cmp(&asked).is_eq()) {
            Some((_, all)) => all.push(one),
            None => points.push((asked, vec![one])),
        }
    }
    let mut points: Vec<Point> = points
        .into_iter()
        .map(|(level, all)| {
            let n = float(all.len() as u64);
            let (throughput, latency) = all.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            Point { level, throughput: throughput / n, latency: latency / n }
        })
        .collect();
    points.sort_by(|a, b| a.level.total_cmp(&b.level));
    points
}

impl WorkloadDocument {
    fn of(plan: &LoadPlan) -> Self {
        let (requests, duration_s) = match plan.until {
            Until::Requests(requests) => (Some(requests), None),
            Until::Elapsed(time) => (None, Some(time.as_secs_f64())),
        };
        Self {
            model: plan.model.clone(),
            mix: plan.mix.shares().iter().map(ToString::to_string).collect(),
            endpoint: plan.endpoint.name().to_owned(),
            prompts: None,
            input_len: plan.prompts.are_of_lengths().then(|| plan.input_len.to_string()),
            tokens_per_word: (plan.words != WordTokens::default()).then_some(plan.words.per_word),
            template_tokens: (plan.words.template > 0).then_some(plan.words.template),
            output_len: match &plan.prompts {
                Prompts::Data(data) if data.own_output && data.set.has_lengths() => "data".to_owned(),
                _ => plan.output_len.to_string(),
            },
            dataset: DatasetDocument::of(&plan.prompts),
            requests,
            duration_s,
            ramp_up_s: plan.ramp_up.as_secs_f64(),
            seed: plan.seed,
            slo: plan.slo.is_some().then(|| plan.slo.to_string()),
            extra_body: plan.extra_body.keys().cloned().collect(),
        }
    }

    /// Notes in which form prompts were sent.
    pub fn sent_as(&mut self, form: PromptForm) {
        self.prompts = Some(form.name().to_owned());
    }
}

impl SearchDocument {
    /// What is known of a search.
    pub fn new(by: &str, share: Option<f64>, holds: Option<f64>, fails: Option<f64>) -> Self {
        Self { by: by.to_owned(), share, holds, fails, knee: None, saturation: None }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests in flight")]
fn float(count: u64) -> f64 {
    count as f64
}
