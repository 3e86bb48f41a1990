//! Prompts and lengths from a file: what is kept of it, and which record a request uses.

mod error;
mod input;
mod jsonl;
mod sharegpt;
mod spec;
mod trace;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::value::RawValue;

pub use error::DatasetError;
pub use spec::DatasetSpec;

use crate::plan::MAX_REQUESTS;
use crate::random::Random;
use input::{Input, Seen};

/// More text than this is not kept; what is beyond it is skipped, and counted.
const MAX_TEXT: usize = 512 << 20;
/// Bytes of text for a token, where no server counts: about that of English with any tokenizer of today.
const BYTES_PER_TOKEN: f64 = 4.0;
/// Tokens of one block of a Mooncake trace.
pub(crate) const BLOCK: u64 = 512;
/// The stream of random numbers that shuffles records.
const ORDER: u64 = 5;

/// `vllm bench serve` prunes a ShareGPT file by these: prompt and answer have at least so many tokens,
const LEAST_TOKENS: u64 = 4;
/// a prompt has at most so many,
const MOST_PROMPT: u64 = 1024;
/// and both together at most so many.
const MOST_TOTAL: u64 = 2048;
/// Of several turns, those are kept that end within so many tokens, all that was said before with them.
const MOST_TALK: u64 = 8192;

/// Which layout a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatasetKind {
    /// A JSON list of conversations.
    ShareGpt,
    /// A line of JSON for each request.
    Jsonl,
    /// A trace in Mooncake's layout.
    Mooncake,
    /// A trace in the layout of Azure's LLM inference data set.
    Azure,
    /// A trace in `BurstGPT`'s layout.
    BurstGpt,
}

impl DatasetKind {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShareGpt => "sharegpt",
            Self::Jsonl => "jsonl",
            Self::Mooncake => "trace_mooncake",
            Self::Azure => "trace_azure",
            Self::BurstGpt => "trace_burstgpt",
        }
    }

    /// Whether it tells when requests came.
    pub const fn is_trace(self) -> bool {
        matches!(self, Self::Mooncake | Self::Azure | Self::BurstGpt)
    }
}

/// Records that are not used, by the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Skipped(BTreeMap<&'static str, u64>);

impl Skipped {
    fn one(&mut self, reason: &'static str) {
        *self.0.entry(reason).or_default() += 1;
    }
}

/// A data set: what is kept of a file.
#[derive(Clone)]
pub struct Dataset {
    kind: DatasetKind,
    file: String,
    seen: Seen,
    read: u64,
    skipped: Skipped,
    records: Records,
    /// The records that are used, in their order; `None` for all as they are in the file.
    order: Option<Vec<u32>>,
    turns: u32,
    sample: String,
    bytes_per_token: f64,
    counted_by_server: bool,
}

#[derive(Clone)]
enum Records {
    Talks(Vec<Talk>),
    Given(Vec<Given>),
    Rows(Rows),
}

/// What a person said in a conversation, and how long the answers were. The answers themselves are the server's own.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    pub(crate) turns: Box<[TalkTurn]>,
}

#[derive(Debug, Clone)]
pub(crate) struct TalkTurn {
    pub(crate) text: Box<str>,
    answer_bytes: u32,
}

/// A prompt as it is given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) prompt: GivenPrompt,
    output: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) enum GivenPrompt {
    Text(Box<str>),
    Ids(Box<[u32]>),
    Messages(Box<RawValue>),
}

impl GivenPrompt {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Ids(ids) => ids.len() * size_of::<u32>(),
            Self::Messages(messages) => messages.get().len(),
        }
    }
}

/// The requests of a trace.
#[derive(Debug, Clone, Default)]
struct Rows {
    rows: Vec<Row>,
    /// The block ids of all rows, one row's after the other's.
    ids: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    at_ns: u64,
    input: u32,
    output: u32,
    first: u32,
    blocks: u32,
}

/// One record, as a request uses it.
pub(crate) enum Record<'a> {
    Talk(&'a Talk),
    Given(&'a GivenPrompt),
    /// So many tokens, of which whole blocks have ids.
    Row {
        input: u64,
        ids: &'a [u32],
    },
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Dataset");
        text.field("kind", &self.kind).field("file", &self.file).field("records", &self.len()).finish_non_exhaustive()
    }
}

impl PartialEq for Dataset {
    /// Whether both send the same: the same bytes, read and ordered in the same way.
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.seen, self.turns, &self.order) == (other.kind, &other.seen, other.turns, &other.order)
            && self.bytes_per_token.total_cmp(&other.bytes_per_token).is_eq()
    }
}

impl Dataset {
    /// Reads the file of a data set; `None` for one that has no file. Of a trace `most` requests are kept, a million
    /// at most.
    ///
    /// # Errors
    /// [`DatasetError`], naming file and line.
    pub fn read(spec: &DatasetSpec, most: Option<u64>) -> Result<Option<Self>, DatasetError> {
        let (path, kind): (&Path, _) = match spec {
            DatasetSpec::Random | DatasetSpec::Prefix { .. } => return Ok(None),
            DatasetSpec::ShareGpt { path, turns } => (path, Layout::ShareGpt { turns: *turns }),
            DatasetSpec::Jsonl { path } => (path, Layout::Jsonl),
            DatasetSpec::Trace { path } => (path, Layout::Trace { most: most.unwrap_or(MAX_REQUESTS) }),
        };
        from(Input::open(path)?, kind).map(Some)
    }

    /// Reads a data set of any source, which errors call `file`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_reader(spec: &DatasetSpec, file: &str, bytes: impl Read) -> Result<Option<Self>, DatasetError> {
        let layout = match spec {
            DatasetSpec::Random | DatasetSpec::Prefix { .. } => return Ok(None),
            DatasetSpec::ShareGpt { turns, .. } => Layout::ShareGpt { turns: *turns },
            DatasetSpec::Jsonl { .. } => Layout::Jsonl,
            DatasetSpec::Trace { .. } => Layout::Trace { most: MAX_REQUESTS },
        };
        from(Input::new(file.to_owned(), bytes), layout).map(Some)
    }

    /// Decides which records are used, and in which order: a trace's as they came, others shuffled by the seed. With the
    /// bytes of a token, as a server counts [`Self::sample`], lengths of ShareGPT are told; else 4 bytes are a token. Its
    /// conversations are pruned as `vllm bench serve` prunes them: prompt and answer of at least 4 tokens, the prompt of
    /// at most 1,024, both together of at most 2,048. Further turns are kept as far as all of them have 8,192.
    ///
    /// # Errors
    /// [`DatasetError::File`] if no record is left.
    pub fn arrange(mut self, bytes_per_token: Option<f64>, seed: u64) -> Result<Self, DatasetError> {
        let given = bytes_per_token.filter(|bytes| (0.1..=100.0).contains(bytes));
        self.counted_by_server = given.is_some();
        self.bytes_per_token = given.unwrap_or(BYTES_PER_TOKEN);
        let tokens = |bytes: usize| tokens(bytes, self.bytes_per_token);
        if let Records::Talks(talks) = &mut self.records {
            let skipped = &mut self.skipped;
            talks.retain_mut(|talk| {
                let reason = pruned(talk, &tokens);
                if let Some(reason) = reason {
                    skipped.one(reason);
                }
                reason.is_none()
            });
        }
        if self.is_empty() {
            let skipped = self.skipped().map(|(reason, count)| format!("{count} with {reason}")).collect::<Vec<_>>();
            let why = if skipped.is_empty() { String::new() } else { format!(" ({})", skipped.join(", ")) };
            let problem = format!("none of its {} records can be sent{why}", self.read);
            return Err(DatasetError::File { file: self.file, problem });
        }
        if !self.kind.is_trace() {
            let mut order: Vec<u32> = (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).collect();
            let mut random = Random::of(seed, &[ORDER]);
            for last in (1..order.len()).rev() {
                let other = random.below(u32::try_from(last + 1).unwrap_or(u32::MAX));
                order.swap(last, other as usize);
            }
            self.order = Some(order);
        }
        Ok(self)
    }

    /// The layout of the file.
    pub fn kind(&self) -> DatasetKind {
        self.kind
    }

    /// The file as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The SHA-256 of the whole file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.seen.sha256
    }

    /// The length of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.seen.bytes
    }

    /// The records in the file.
    pub fn records_read(&self) -> u64 {
        self.read
    }

    /// The records that can be sent.
    pub fn len(&self) -> usize {
        match &self.records {
            Records::Talks(talks) => talks.len(),
            Records::Given(given) => given.len(),
            Records::Rows(rows) => rows.rows.len(),
        }
    }

    /// Whether none can be sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records that cannot be sent, or are not wanted, by the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.skipped.0.iter().map(|(reason, count)| (*reason, *count))
    }

    /// How many turns of a conversation are sent.
    pub fn turns(&self) -> u32 {
        self.turns
    }

    /// Whether several turns of a conversation are sent.
    pub fn is_talk(&self) -> bool {
        self.turns > 1
    }

    /// Whether any record is a chat of messages: then only the chat endpoint takes it.
    pub fn is_chat(&self) -> bool {
        self.is_talk() || self.holds().0
    }

    /// Some of the file's answers, for a server to count; empty where lengths are given in tokens.
    pub fn sample(&self) -> &str {
        &self.sample
    }

    /// Bytes of a token by which lengths were told, and whether a server counted them; `None` where the file has lengths.
    pub fn bytes_per_token(&self) -> Option<(f64, bool)> {
        matches!(self.records, Records::Talks(_)).then_some((self.bytes_per_token, self.counted_by_server))
    }

    /// Which record of the file's usable ones a request of this number uses.
    pub(crate) fn place(&self, number: u64) -> usize {
        let len = self.len() as u64;
        let at = usize::try_from(number.checked_rem(len).unwrap_or(0)).unwrap_or(0);
        self.order.as_ref().and_then(|order| order.get(at)).map_or(at, |place| *place as usize)
    }

    /// The record at a place, and how long its answer is to be.
    pub(crate) fn record(&self, place: usize) -> Option<(Record<'_>, Option<u64>)> {
        match &self.records {
            Records::Talks(talks) => talks.get(place).map(|talk| (Record::Talk(talk), self.answer(talk, 0))),
            Records::Given(given) => given.get(place).map(|one| (Record::Given(&one.prompt), one.output)),
            Records::Rows(rows) => rows.rows.get(place).map(|row| {
                let record = Record::Row { input: row.input.into(), ids: rows.ids_of(row) };
                (record, Some(row.output.into()))
            }),
        }
    }

    /// How long the answer of a turn is to be.
    pub(crate) fn answer(&self, talk: &Talk, turn: usize) -> Option<u64> {
        talk.turns.get(turn).map(|turn| tokens(turn.answer_bytes as usize, self.bytes_per_token).max(1))
    }

    /// When a trace's requests from a place on came, from the first of them.
    pub(crate) fn times(&self, from: usize) -> impl Iterator<Item = Duration> + '_ {
        let rows =
            if let Records::Rows(rows) = &self.records { rows.rows.get(from..).unwrap_or_default() } else { &[] };
        let first = rows.first().map_or(0, |row| row.at_ns);
        rows.iter().map(move |row| Duration::from_nanos(row.at_ns.saturating_sub(first)))
    }

    /// Whether any record holds messages of a chat, and whether any holds token ids.
    pub(crate) fn holds(&self) -> (bool, bool) {
        let Records::Given(given) = &self.records else { return (false, false) };
        let has = |is: fn(&GivenPrompt) -> bool| given.iter().any(|one| is(&one.prompt));
        (has(|one| matches!(one, GivenPrompt::Messages(_))), has(|one| matches!(one, GivenPrompt::Ids(_))))
    }

    /// Whether prompts are sent as they are given, and not made of lengths.
    pub(crate) fn is_given(&self) -> bool {
        !self.kind.is_trace()
    }

    /// Whether each record says how long its answer is.
    pub(crate) fn has_lengths(&self) -> bool {
        if let Records::Given(given) = &self.records { given.iter().all(|one| one.output.is_some()) } else { true }
    }

    /// Bytes of the longest prompt, for what is made ahead.
    pub(crate) fn longest_prompt_bytes(&self) -> u64 {
        let bytes = match &self.records {
            Records::Talks(talks) => talks.iter().flat_map(|talk| &talk.turns).map(|turn| turn.text.len()).max(),
            // An id is longer in JSON than in memory.
            Records::Given(given) => given.iter().map(|one| one.prompt.bytes() * 2).max(),
            Records::Rows(rows) => rows.rows.iter().map(|row| row.input as usize * 7).max(),
        };
        bytes.unwrap_or(0) as u64
    }

    /// The tokens that the answers of `requests` requests have on the whole, from the mean of all records; `other` stands
    /// for a record that does not say.
    pub(crate) fn output_tokens(&self, requests: u64, other: u64) -> u64 {
        let sum = match &self.records {
            Records::Talks(talks) => talks.iter().filter_map(|talk| self.answer(talk, 0)).sum(),
            Records::Given(given) => given.iter().map(|one| one.output.unwrap_or(other)).fold(0, u64::saturating_add),
            Records::Rows(rows) => rows.rows.iter().map(|row| u64::from(row.output)).sum::<u64>(),
        };
        let all = u128::from(sum) * u128::from(requests) / (self.len() as u128).max(1);
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

impl Rows {
    fn ids_of(&self, row: &Row) -> &[u32] {
        let from = row.first as usize;
        self.ids.get(from..from.saturating_add(row.blocks as usize)).unwrap_or_default()
    }
}

enum Layout {
    ShareGpt { turns: u32 },
    Jsonl,
    Trace { most: u64 },
}

fn from<R: Read>(mut input: Input<R>, layout: Layout) -> Result<Dataset, DatasetError> {
    let (mut turns, mut sample) = (1, String::new());
    let (kind, records, read, skipped) = match layout {
        Layout::ShareGpt { turns: most } => {
            let talks = sharegpt::read(&mut input, most)?;
            (turns, sample) = (most, talks.sample);
            (DatasetKind::ShareGpt, Records::Talks(talks.talks), talks.read, talks.skipped)
        }
        Layout::Jsonl => {
            let lines = jsonl::read(&mut input)?;
            (DatasetKind::Jsonl, Records::Given(lines.given), lines.read, lines.skipped)
        }
        Layout::Trace { most } => {
            let trace = trace::read(&mut input, most)?;
            (trace.kind, Records::Rows(trace.rows), trace.read, trace.skipped)
        }
    };
    let file = input.file.clone();
    let seen = input.end()?;
    let (order, bytes_per_token, counted_by_server) = (None, BYTES_PER_TOKEN, false);
    Ok(Dataset { kind, file, seen, read, skipped, records, order, turns, sample, bytes_per_token, counted_by_server })
}

fn tokens(bytes: usize, bytes_per_token: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of one text, a few megabytes"
    )]
    let tokens = (bytes as f64 / bytes_per_token).round() as u64;
    tokens
}

/// Why a conversation is not sent. Later turns that would make it too long are cut off.
fn pruned(talk: &mut Talk, tokens: &impl Fn(usize) -> u64) -> Option<&'static str> {
    let of = |turn: &TalkTurn| (tokens(turn.text.len()), tokens(turn.answer_bytes as usize));
    let (prompt, answer) = talk.turns.first().map(of)?;
    if prompt < LEAST_TOKENS || answer < LEAST_TOKENS {
        return Some("a prompt or answer below 4 tokens");
    }
    if prompt > MOST_PROMPT {
        return Some("a prompt above 1024 tokens");
    }
    if prompt + answer > MOST_TOTAL {
        return Some("a prompt and answer above 2048 tokens");
    }
    let mut total = 0;
    let fits = |turn: &TalkTurn| {
        let (prompt, answer) = of(turn);
        total += prompt + answer;
        prompt > 0 && total <= MOST_TALK
    };
    let kept = talk.turns.iter().map(fits).take_while(|fits| *fits).count().max(1);
    if kept < talk.turns.len() {
        talk.turns = talk.turns[..kept].into();
    }
    None
}

#[cfg(test)]
mod tests;
