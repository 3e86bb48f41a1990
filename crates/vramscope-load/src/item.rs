//! The request of a number: which model it asks what, and how long the answer is to be.

use crate::client::Client;
use crate::completion::body;
use crate::dataset::{BLOCK, GivenPrompt, Record};
use crate::error::Failure;
use crate::plan::{DataPrompts, LoadPlan, Prompts};
use crate::prompt::{Build, Prompt, PromptForm, Said, prompt};
use crate::random::Random;
use crate::request::{Asked, Origin, Ready};

/// The stream of random numbers that lengths use.
const LENGTHS: u64 = 3;
/// Those that choose who begins with the common prefix,
const PREFIXED: u64 = 6;
/// that are the common prefix,
const PREFIX: u64 = 7;
/// and that are the blocks of a trace.
const BLOCKS: u64 = 8;
/// Bytes of one of the words that prompts are made of, with the space before it.
const WORD_BYTES: usize = 5;

/// A request that is made and not yet due.
pub(crate) struct Made {
    pub(crate) asked: Asked,
    /// All of its bytes.
    pub(crate) request: Result<Vec<u8>, Failure>,
    /// The conversation that goes on after it.
    pub(crate) talk: Option<Talking>,
}

/// A conversation under way.
pub(crate) struct Talking {
    place: usize,
    of: Origin,
    said: Vec<Said>,
}

/// Which request of a plan it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// A measured one.
    Measured(u64),
    /// One of the warm-up: as long as a measured one, but never its prompt.
    Warmup {
        /// The number of its prompt.
        number: u64,
        /// The measured one that it is as long as.
        like: u64,
    },
}

impl Which {
    fn number(self) -> u64 {
        match self {
            Self::Measured(number) | Self::Warmup { number, .. } => number,
        }
    }
}

/// Makes a request.
pub(crate) fn made(client: &Client, plan: &LoadPlan, form: PromptForm, which: Which) -> Made {
    let number = which.number();
    let mut random = Random::of(plan.seed, &[LENGTHS, plan.stream, number]);
    let input = plan.input_len.draw(&mut random);
    let output = plan.output_len.draw(&mut random);
    let mut of = Origin { model: plan.mix.draw(plan.seed, plan.stream, number), ..Origin::default() };
    let (prompt, input, output, talk) = match &plan.prompts {
        Prompts::Random => (prompt(plan, form, number, input), Some(input), output, None),
        Prompts::Text(_) => (prompt(plan, form, number, input), None, output, None),
        Prompts::Prefix { share, len } => {
            let mut build = Build::new(plan, form);
            if Random::of(plan.seed, &[PREFIXED, plan.stream, number]).unit() < *share {
                of.prefix = *len;
                build.add(&[PREFIX, plan.stream], *len);
            }
            build.own(number, input.saturating_sub(of.prefix));
            (build.end(), Some(input), output, None)
        }
        Prompts::Data(data) => {
            let like = if let Which::Warmup { like, .. } = which { like } else { number };
            let place = data.set.place(data.first.saturating_add(like));
            let warms = matches!(which, Which::Warmup { .. });
            if !warms {
                of.record = Some(place as u64);
            }
            match data.set.record(place) {
                Some((record, own)) => {
                    let output = own.filter(|_| data.own_output).unwrap_or(output);
                    let (prompt, input) = of_record(plan, form, number, &record, warms);
                    let talk = talking(data, place, of, &prompt, warms);
                    (prompt, input, output, talk)
                }
                // A place is always one of the records; an empty set is refused with the plan.
                None => (prompt(plan, form, number, 1), None, output, None),
            }
        }
    };
    let asked = Asked { input, output, of };
    Made { asked, request: bytes(client, plan, of, &prompt, output), talk }
}

fn bytes(client: &Client, plan: &LoadPlan, of: Origin, prompt: &Prompt, output: u64) -> Result<Vec<u8>, Failure> {
    let model = plan.mix.shares().get(of.model as usize).map_or(&plan.model, |share| &share.model);
    Ready::bytes(client, plan.endpoint, body(plan, model, prompt, output))
}

/// The prompt of a record, and its length where it is known. A warm-up's is made, and about as long.
fn of_record(
    plan: &LoadPlan,
    form: PromptForm,
    number: u64,
    record: &Record<'_>,
    warms: bool,
) -> (Prompt, Option<u64>) {
    let words = |bytes: usize| {
        let len = (bytes / WORD_BYTES).max(1) as u64;
        (prompt(plan, PromptForm::Text, number, len), None)
    };
    match record {
        Record::Row { input, ids } => {
            let mut build = Build::new(plan, form);
            for id in ids.iter().filter(|_| !warms) {
                build.add(&[BLOCKS, plan.stream, u64::from(*id)], BLOCK.min(input.saturating_sub(build.len())));
            }
            build.own(number, input.saturating_sub(build.len()));
            (build.end(), Some(*input))
        }
        Record::Talk(talk) => {
            let text = talk.turns.first().map_or("", |turn| &turn.text);
            match warms {
                true => words(text.len()),
                false if plan_talks(plan) => (Prompt::Said(vec![user(text)]), None),
                false => (Prompt::Text(text.to_owned()), None),
            }
        }
        Record::Given(GivenPrompt::Ids(ids)) => {
            let len = ids.len() as u64;
            let ids = if warms { prompt(plan, PromptForm::TokenIds, number, len) } else { Prompt::Ids(ids.to_vec()) };
            (ids, Some(len))
        }
        Record::Given(GivenPrompt::Text(text)) if warms => words(text.len()),
        Record::Given(GivenPrompt::Messages(messages)) if warms => words(messages.get().len()),
        Record::Given(GivenPrompt::Text(text)) => (Prompt::Text(text.to_string()), None),
        Record::Given(GivenPrompt::Messages(messages)) => (Prompt::Messages(messages.clone()), None),
    }
}

/// Whether conversations of several turns are sent.
pub(crate) fn plan_talks(plan: &LoadPlan) -> bool {
    matches!(&plan.prompts, Prompts::Data(data) if data.set.is_talk())
}

fn user(text: &str) -> Said {
    Said { role: "user", content: text.to_owned() }
}

fn talking(data: &DataPrompts, place: usize, of: Origin, prompt: &Prompt, warms: bool) -> Option<Talking> {
    let Some((Record::Talk(talk), _)) = data.set.record(place) else { return None };
    let Prompt::Said(said) = prompt else { return None };
    (!warms && talk.turns.len() > 1).then(|| Talking { place, of, said: said.clone() })
}

impl Talking {
    /// The next turn, asked with what the server answered so far.
    pub(crate) fn next(mut self, client: &Client, plan: &LoadPlan, answered: String) -> Option<Made> {
        let Prompts::Data(data) = &plan.prompts else { return None };
        let Some((Record::Talk(talk), _)) = data.set.record(self.place) else { return None };
        self.of.turn += 1;
        let turn = self.of.turn as usize;
        let text = &talk.turns.get(turn)?.text;
        self.said.push(Said { role: "assistant", content: answered });
        self.said.push(user(text));
        let output = data.set.answer(talk, turn).filter(|_| data.own_output);
        let output = output.unwrap_or_else(|| {
            let mut random = Random::of(plan.seed, &[LENGTHS, plan.stream, self.place as u64, u64::from(self.of.turn)]);
            plan.output_len.draw(&mut random)
        });
        let prompt = Prompt::Said(self.said);
        let asked = Asked { input: None, output, of: self.of };
        let request = bytes(client, plan, self.of, &prompt, output);
        let Prompt::Said(said) = prompt else { return None };
        let talk = (turn + 1 < talk.turns.len()).then_some(Talking { said, ..self });
        Some(Made { asked, request, talk })
    }
}
