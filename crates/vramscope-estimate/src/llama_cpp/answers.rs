//! The inverse questions: which settings of a server fit a device.
//!
//! Memory alone is judged. Each question changes the one setting that it asks for; all others stay as they were given.

use vramscope_core::PackedModel;

use super::args::LlamaCppArgs;
use super::budget::{LlamaCppBudget, LlamaCppSetting, llama_cpp_budget};
use super::cache::{CELLS, Context};
use super::error::LlamaCppError;
use super::grammar::LlamaCppLine;
use super::shape::Shape;
use super::split::{LlamaCppShare, MOST_DEVICES, Split};
use crate::Wish;
use crate::figure::Figure;
use crate::search::largest;

/// The types of cache that are tried where none was given: keys and values alike.
const CACHES: [&str; 2] = ["f16", "q8_0"];

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LlamaCppQuestion {
    /// Whether what was asked for fits, with all layers on the device where nobody said how many.
    AsAsked,
    /// The most layers on the device (`-ngl`).
    MostLayers,
    /// The fewest layers whose experts stay on the host (`--n-cpu-moe`).
    FewestExpertLayersOnHost,
    /// The longest context (`-c`).
    LongestContext,
    /// The fewest equal devices, each with the same share of the layers (`-ts`).
    FewestDevices,
}

impl LlamaCppQuestion {
    /// All questions, in the order in which they are answered.
    pub const ALL: [Self; 5] =
        [Self::AsAsked, Self::MostLayers, Self::FewestExpertLayersOnHost, Self::LongestContext, Self::FewestDevices];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsAsked => "as_asked",
            Self::MostLayers => "most_layers",
            Self::FewestExpertLayersOnHost => "fewest_expert_layers_on_host",
            Self::LongestContext => "longest_context",
            Self::FewestDevices => "fewest_devices",
        }
    }
}

/// Settings that fit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlamaCppWay {
    /// The server's arguments.
    pub args: LlamaCppArgs,
    /// Its memory, as on one device.
    pub budget: LlamaCppBudget,
    /// What each device holds.
    pub shares: Vec<LlamaCppShare>,
}

impl LlamaCppWay {
    /// What the fullest device holds, in bytes.
    pub fn fullest(&self) -> &Figure {
        let fullest = self.shares.iter().map(|share| &share.total).max_by_key(|total| total.value);
        fullest.unwrap_or(&self.budget.device_total)
    }

    /// Whether it fits so many bytes of each device; over the whole interval, if that is asked.
    fn fits(&self, available: u64, surely: bool) -> bool {
        if surely && self.args.is_unbounded() {
            return false;
        }
        self.shares.iter().all(|share| if surely { share.total.high } else { share.total.value } <= available)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlamaCppAnswer {
    /// To what.
    pub question: LlamaCppQuestion,
    /// The type of cached keys.
    pub cache_k: String,
    /// The type of cached values.
    pub cache_v: String,
    /// The settings; `None`: none that were tried fit.
    pub way: Option<LlamaCppWay>,
    /// They fit over the whole interval of the prediction.
    pub certain: bool,
    /// The number that was asked for, with which everything fits over the whole interval: layers, layers with experts on the
    /// host, tokens of all slots, devices; `None` where there is none, and as asked.
    pub for_certain: Option<u64>,
    /// What a device lacks for the least that was tried, in bytes; `None` where something fits, and of several devices.
    pub missing: Option<u64>,
}

/// What was asked for, and what could not be tried.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlamaCppAnswers {
    /// Tokens of all slots together.
    pub context: u64,
    /// Most tokens of one request.
    pub context_of_slot: u64,
    /// Requests at once.
    pub slots: u64,
    /// All requests share one pool.
    pub unified: bool,
    /// Tokens for which the model was trained.
    pub trained_context: u64,
    /// What each device has for the server, in bytes.
    pub available: u64,
    /// All answers, by type of cache.
    pub answers: Vec<LlamaCppAnswer>,
    /// What was taken for granted, one sentence each.
    pub notes: Vec<String>,
}

/// All questions for one kind of device, with a cache as given, else with each that is tried.
///
/// # Errors
/// As [`llama_cpp_budget`]; arguments that contradict the wish, and a setting without a device.
pub fn llama_cpp_answers(
    model: &PackedModel,
    line: &LlamaCppLine,
    setting: LlamaCppSetting<'_>,
    wish: Wish,
) -> Result<LlamaCppAnswers, LlamaCppError> {
    let asking = Asking { questions: &LlamaCppQuestion::ALL, caches: &CACHES, follows: &|_| {} };
    answers(model, line, setting, wish, &asking)
}

/// The questions by which kinds of devices are compared: the most layers on one, and the fewest that hold all. With a cache
/// as given, else of `f16`.
///
/// # Errors
/// As [`llama_cpp_answers`].
pub fn llama_cpp_answers_in_short(
    model: &PackedModel,
    line: &LlamaCppLine,
    setting: LlamaCppSetting<'_>,
    wish: Wish,
) -> Result<LlamaCppAnswers, LlamaCppError> {
    let questions = [LlamaCppQuestion::MostLayers, LlamaCppQuestion::FewestDevices];
    let asking = Asking { questions: &questions, caches: &CACHES[..1], follows: &|_| {} };
    answers(model, line, setting, wish, &asking)
}

/// What is asked, and of whom.
pub(crate) struct Asking<'a> {
    /// The questions.
    pub(crate) questions: &'a [LlamaCppQuestion],
    /// The types of cache that are tried where none was given.
    pub(crate) caches: &'a [&'a str],
    /// Sets what follows from the other arguments, where another engine starts the server.
    pub(crate) follows: &'a dyn Fn(&mut LlamaCppArgs),
}

impl Asking<'_> {
    /// The types of cache that are tried where none was given.
    pub(crate) const CACHES: &'static [&'static str] = &CACHES;
}

pub(crate) fn answers(
    model: &PackedModel,
    line: &LlamaCppLine,
    setting: LlamaCppSetting<'_>,
    wish: Wish,
    asking: &Asking<'_>,
) -> Result<LlamaCppAnswers, LlamaCppError> {
    if line.args.without_device {
        let (what, advice) = ("every device, by `-dev none`", "leave that out");
        return Err(LlamaCppError::Refused { what, advice });
    }
    let Some(device) = setting.device.filter(|_| setting.backend.has_device()) else {
        let (what, advice) = ("to say what fits without a device", "name a device");
        return Err(LlamaCppError::Refused { what, advice });
    };
    let shape = Shape::read(model)?;
    let asked = asked(&shape, &line.args, wish)?;
    let first = llama_cpp_budget(model, &asked, setting)?;
    let available = device.total.get().saturating_sub(setting.others.get());
    let asks = Asks { model, setting, shape: &shape, available, follows: asking.follows };
    let mut notes = first.notes.clone();
    let mut answers = Vec::new();
    let told = line.states(&["cache-type-k", "cache-type-v"]);
    for cache in asking.caches.iter().take(if told { 1 } else { asking.caches.len() }) {
        let mut args = asked.clone();
        if !told {
            (args.cache_k, args.cache_v) = ((*cache).to_owned(), (*cache).to_owned());
        }
        match llama_cpp_budget(model, &args, setting) {
            Ok(_) => {}
            Err(LlamaCppError::Refused { what, .. }) if !told => {
                notes.push(format!("no cache of {cache}: the server refuses {what}"));
                continue;
            }
            Err(error) => return Err(error),
        }
        for question in asking.questions.iter().copied() {
            let experts = shape.experts > 0 && first.layers > 1;
            if question != LlamaCppQuestion::FewestExpertLayersOnHost || experts {
                answers.push(asks.answer(question, &args)?);
            }
        }
    }
    if first.context_of_slot > shape.trained_context.next_multiple_of(CELLS) {
        let trained = shape.trained_context;
        notes.push(format!(
            "the model was trained for {trained} tokens: a request beyond them may be cut or answered badly"
        ));
    }
    if answers.iter().any(|answer| answer.way.as_ref().is_some_and(|way| way.shares.len() > 1)) {
        notes.push("several devices: what each needs to compute is assumed, and was compared with no run".to_owned());
    }
    notes.push(
        "memory alone is judged: layers and experts on the host make answers slower, by how much is not said".into(),
    );
    Ok(LlamaCppAnswers {
        context: first.context,
        context_of_slot: first.context_of_slot,
        slots: first.slots,
        unified: first.unified,
        trained_context: shape.trained_context,
        available,
        answers,
        notes,
    })
}

/// The arguments with the wish, and without fitting: an answer says itself what fitting would change.
fn asked(shape: &Shape, given: &LlamaCppArgs, wish: Wish) -> Result<LlamaCppArgs, LlamaCppError> {
    let mut args = given.clone();
    let differs = |name: &str, value: u64, expected| {
        Err(LlamaCppError::BadArgument { name: name.to_owned(), value: value.to_string(), expected })
    };
    args.slots = wish.requests.or(given.slots).or(wish.request_tokens.map(|_| 1));
    if let Some(given) = given.slots.filter(|given| args.slots != Some(*given)) {
        return differs("parallel", given, "as many as the requests that are asked for, or one of the two");
    }
    // Requests of no said length are the longest, unless the line says how long they are.
    let longest = wish.requests.filter(|_| given.context.is_none()).map(|_| shape.trained_context);
    if let Some(tokens) = wish.request_tokens.or(longest) {
        let all = tokens.saturating_mul(args.slots_or_auto());
        if let Some(given) = given.context.filter(|given| *given != all) {
            return differs(
                "ctx-size",
                given,
                "the tokens of all requests that are asked for together, or one of the two",
            );
        }
        args.context = Some(all);
    }
    // What the server would take by itself is stated, so that each answer says it.
    if args.context.is_none() {
        args.context = Some(Context::of(shape, &args)?.tokens);
    }
    args.fit = false;
    Ok(args)
}

struct Asks<'m> {
    model: &'m PackedModel,
    setting: LlamaCppSetting<'m>,
    shape: &'m Shape,
    available: u64,
    follows: &'m dyn Fn(&mut LlamaCppArgs),
}

impl Asks<'_> {
    fn answer(&self, question: LlamaCppQuestion, args: &LlamaCppArgs) -> Result<LlamaCppAnswer, LlamaCppError> {
        let layers = u64::try_from(self.shape.layers.len()).unwrap_or(0);
        let (least, most) = match question {
            LlamaCppQuestion::AsAsked => (0, 0),
            LlamaCppQuestion::MostLayers => (0, layers + 1),
            // Counted from the other end, so that more is better in each.
            LlamaCppQuestion::FewestExpertLayersOnHost => (0, layers),
            LlamaCppQuestion::LongestContext => (1, self.most_steps(args)),
            LlamaCppQuestion::FewestDevices => return self.devices(args),
        };
        let set = |number: u64| {
            let mut args = args.clone();
            match question {
                LlamaCppQuestion::MostLayers => args.gpu_layers = Some(number),
                LlamaCppQuestion::FewestExpertLayersOnHost => args.cpu_moe_layers = layers - number,
                LlamaCppQuestion::LongestContext => args.context = Some(self.tokens(&args, number)),
                _ => {}
            }
            args
        };
        let way = |number: u64| self.alone(set(number));
        // More need more, but for the last: with everything on the device no weights are copied there for a large batch, so
        // it may fit where the one before does not.
        let number = |surely: bool| largest(least, most, |number| Ok(way(number)?.fits(self.available, surely)));
        let found = number(false)?.map(way).transpose()?;
        let missing = match &found {
            Some(_) => None,
            None => Some(way(least)?.fullest().value.saturating_sub(self.available)),
        };
        let certain = found.as_ref().is_some_and(|way| way.fits(self.available, true));
        let for_certain = match question {
            LlamaCppQuestion::AsAsked => None,
            _ if found.is_none() => None,
            _ => number(true)?.map(set).map(|args| match question {
                LlamaCppQuestion::MostLayers => args.gpu_layers.unwrap_or(0),
                LlamaCppQuestion::LongestContext => args.context.unwrap_or(0),
                _ => args.cpu_moe_layers,
            }),
        };
        Ok(Self::answered(question, args, found, certain, for_certain, missing))
    }

    fn answered(
        question: LlamaCppQuestion,
        args: &LlamaCppArgs,
        way: Option<LlamaCppWay>,
        certain: bool,
        for_certain: Option<u64>,
        missing: Option<u64>,
    ) -> LlamaCppAnswer {
        let (cache_k, cache_v) = (args.cache_k.clone(), args.cache_v.clone());
        LlamaCppAnswer { question, cache_k, cache_v, way, certain, for_certain, missing }
    }

    fn alone(&self, mut args: LlamaCppArgs) -> Result<LlamaCppWay, LlamaCppError> {
        (self.follows)(&mut args);
        let budget = llama_cpp_budget(self.model, &args, self.setting)?;
        let shares = vec![LlamaCppShare::alone(&budget)];
        Ok(LlamaCppWay { args, budget, shares })
    }

    /// The fewest devices.
    fn devices(&self, args: &LlamaCppArgs) -> Result<LlamaCppAnswer, LlamaCppError> {
        let budget = llama_cpp_budget(self.model, args, self.setting)?;
        let split = Split::of(self.model, &budget, self.setting)?;
        let (mut found, mut for_certain) = (None, None);
        for devices in 1..=MOST_DEVICES {
            let shares = split.over(devices)?;
            let way = LlamaCppWay { args: args.clone(), budget: budget.clone(), shares };
            let surely = way.fits(self.available, true);
            if found.is_none() && way.fits(self.available, false) {
                found = Some((way, surely));
            }
            if surely {
                for_certain = Some(devices);
                break;
            }
        }
        let certain = found.as_ref().is_some_and(|(_, surely)| *surely);
        let way = found.map(|(way, _)| way);
        Ok(Self::answered(LlamaCppQuestion::FewestDevices, args, way, certain, for_certain, None))
    }

    /// Pools of the context.
    fn pools(args: &LlamaCppArgs) -> u64 {
        if args.is_unified() { 1 } else { args.slots_or_auto() }
    }

    /// The longest context of a pool that is tried: what the model was trained for, or what was asked where that is more.
    fn longest(&self, args: &LlamaCppArgs) -> u64 {
        let asked = args.context.map_or(0, |context| context / Self::pools(args));
        self.shape.trained_context.max(asked)
    }

    fn most_steps(&self, args: &LlamaCppArgs) -> u64 {
        self.longest(args).div_ceil(CELLS).max(1)
    }

    fn tokens(&self, args: &LlamaCppArgs, steps: u64) -> u64 {
        let of_pool = steps.saturating_mul(CELLS).min(self.longest(args).max(1));
        of_pool.saturating_mul(Self::pools(args))
    }
}
