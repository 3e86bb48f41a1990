//! The inverse questions: which settings of a server serve requests on a device.
//!
//! Memory alone is judged. Each question changes the one setting that it asks for; all others stay as they were given. That
//! a server serves requests means that it starts and that its pool holds them whole at the same time.

use vramscope_core::{Architecture, Mixer, Span};

use super::args::SgLangArgs;
use super::budget::{SgLangBudget, SgLangSetting, predicted, sglang_budget};
use super::cell::{element_bits, sglang_cell};
use super::error::SgLangError;
use super::lack::{SgLangLack, lack};
use super::length;
use crate::Wish;
use crate::search::largest;

/// Ranks that split each layer, as they are tried; more of them no host has.
const TENSOR_SIZES: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];
/// The shortest context that is tried: the server keeps a few tokens of each for itself (`tp_worker.py`, `max_req_len`).
const SHORTEST: u64 = 16;
/// No server is asked for more requests.
const MOST_REQUESTS: u64 = 1 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SgLangQuestion {
    /// Whether what was asked for is served.
    AsAsked,
    /// The fewest devices (`--tp-size`).
    FewestDevices,
    /// The longest request (`--context-length`), up to what the model was trained for or was asked.
    LongestContext,
    /// The most requests of the asked length (`--max-running-requests`).
    MostRequests,
}

impl SgLangQuestion {
    /// All questions, in the order in which they are answered.
    pub const ALL: [Self; 4] = [Self::AsAsked, Self::FewestDevices, Self::LongestContext, Self::MostRequests];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsAsked => "as_asked",
            Self::FewestDevices => "fewest_devices",
            Self::LongestContext => "longest_context",
            Self::MostRequests => "most_requests",
        }
    }
}

/// Settings, and what they serve.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SgLangWay {
    /// The memory of a rank; its arguments are the settings.
    pub budget: SgLangBudget,
    /// Devices in all.
    pub devices: u64,
    /// Tokens of a request.
    pub tokens: u64,
    /// Requests at the same time, over all replicas.
    pub requests: u64,
}

impl SgLangWay {
    /// Requests of one pool: replicas share them.
    pub(super) fn each(&self) -> u64 {
        self.requests.div_ceil(self.budget.args.dp_size.max(1))
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SgLangAnswer {
    /// To what.
    pub question: SgLangQuestion,
    /// The type of the pool's elements as the server spells it.
    pub kv_cache_dtype: String,
    /// The settings; `None`: none that were tried serve it.
    pub way: Option<SgLangWay>,
    /// They do over all intervals.
    pub certain: bool,
    /// The number that was asked for, with which they do over all intervals: devices, tokens, requests; `None` where there is
    /// none, and as asked.
    pub for_certain: Option<u64>,
    /// What the most willing setting that was tried lacks; `None` where one serves.
    pub lack: Option<SgLangLack>,
}

/// What was asked for, and the answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SgLangAnswers {
    /// Longest request that the server takes, as asked.
    pub context_length: u64,
    /// Tokens of a request.
    pub request_tokens: u64,
    /// Requests at the same time.
    pub requests: u64,
    /// The length that the model's config states.
    pub model_length: Option<u64>,
    /// The arguments with which it was asked.
    pub asked: SgLangArgs,
    /// How well the release's rules are known.
    pub checked: super::release::SgLangChecked,
    /// All answers, by type of the pool's elements.
    pub answers: Vec<SgLangAnswer>,
    /// What was taken for granted, one sentence each.
    pub notes: Vec<String>,
}

/// All questions for one kind of device, with a type of the pool's elements as given, else with each that is tried: `auto` and
/// the one of 8 bits.
///
/// # Errors
/// As [`sglang_budget`]; arguments that contradict the wish, and a setting without a device.
pub fn sglang_answers(
    model: &Architecture,
    args: &SgLangArgs,
    setting: &SgLangSetting<'_>,
    wish: Wish,
) -> Result<SgLangAnswers, SgLangError> {
    answers(model, args, setting, wish, &SgLangQuestion::ALL, true)
}

/// The question by which kinds of devices are compared: the fewest that serve it. With a type of the pool's elements as given,
/// else `auto`.
///
/// # Errors
/// As [`sglang_answers`].
pub fn sglang_answers_in_short(
    model: &Architecture,
    args: &SgLangArgs,
    setting: &SgLangSetting<'_>,
    wish: Wish,
) -> Result<SgLangAnswers, SgLangError> {
    answers(model, args, setting, wish, &[SgLangQuestion::FewestDevices], false)
}

fn answers(
    model: &Architecture,
    given: &SgLangArgs,
    setting: &SgLangSetting<'_>,
    wish: Wish,
    questions: &[SgLangQuestion],
    both: bool,
) -> Result<SgLangAnswers, SgLangError> {
    if setting.device.is_none() {
        let missing = "name a device by --gpu NAME or --gpu-memory SIZE";
        return Err(SgLangError::Missing { what: "what a device serves", missing });
    }
    let asked = asked(given, wish)?;
    let context_length = length::context(model, &asked)?;
    let asks = Asks {
        model,
        setting,
        tokens: wish.request_tokens.unwrap_or(context_length),
        requests: wish.requests.unwrap_or(1),
    };
    let mut kinds = vec![asked.clone()];
    if both && asked.kv_cache_dtype.is_none() {
        let narrow = SgLangArgs { kv_cache_dtype: Some(eight_bits(&asked).to_owned()), ..asked.clone() };
        // A checkpoint may have 8 bits unasked.
        let bytes = |args| sglang_cell(model, args, setting.device).map(|cell| cell.shared_bytes());
        if bytes(&narrow)? < bytes(&asked)? {
            kinds.push(narrow);
        }
    }
    let mut answers = Vec::new();
    for args in &kinds {
        for question in questions.iter().copied() {
            answers.push(asks.answer(question, args)?);
        }
    }
    let first = sglang_budget(model, &asked, setting)?;
    let mut notes = first.notes;
    if first.cell.has_states {
        notes.push("for how many requests the pool of states suffices is not computed".to_owned());
    }
    let mut open = answers.iter().filter(|answer| !answer.certain).filter_map(|answer| answer.way.as_ref());
    if open.any(|way| way.budget.left.low == 0) {
        let most =
            "should graphs and workspace take the most that logs show, answers that are not certain run out of memory";
        notes.push(most.to_owned());
    }
    let bits = |args: &SgLangArgs| element_bits(model, args, setting.device);
    if kinds.iter().map(bits).collect::<Result<Vec<u64>, _>>()?.contains(&8) {
        notes.push(
            "whether kernels of the device read a pool of 8 bits, and what it does to answers, is not judged".into(),
        );
    }
    notes.push("activations have to fit what is left; the server sets nothing aside for them beforehand".to_owned());
    notes.push("memory alone is judged; how fast a setting is, `vramscope load` measures".to_owned());
    Ok(SgLangAnswers {
        context_length,
        request_tokens: asks.tokens,
        requests: asks.requests,
        model_length: length::own(model),
        checked: asked.version.checked(),
        asked,
        answers,
        notes,
    })
}

/// The 8-bit type that a release has: `fp8_e4m3` came with 0.4.2 (`server_args.py`, `--kv-cache-dtype`).
fn eight_bits(args: &SgLangArgs) -> &'static str {
    if args.version.from(4, 2) { "fp8_e4m3" } else { "fp8_e5m2" }
}

/// The arguments with the wish.
fn asked(given: &SgLangArgs, wish: Wish) -> Result<SgLangArgs, SgLangError> {
    let differs = |name: &str, value: u64, expected| {
        Err(SgLangError::BadArgument { name: name.to_owned(), value: value.to_string(), expected })
    };
    // Each replica takes so many, but those of attention alone share them.
    let each = |wished: u64| if given.dp_attention { wished } else { wished.div_ceil(given.dp_size.max(1)) };
    if let (Some(most), Some(wished)) = (given.max_running_requests, wish.requests)
        && most < each(wished)
    {
        return differs("max-running-requests", most, "at least the requests that are asked for, or one of the two");
    }
    if let (Some(longest), Some(tokens)) = (given.context_length, wish.request_tokens)
        && longest < tokens
    {
        return differs(
            "context-length",
            longest,
            "at least the tokens of a request that is asked for, or one of the two",
        );
    }
    let context_length = given.context_length.or(wish.request_tokens);
    Ok(SgLangArgs { context_length, ..given.clone() })
}

struct Asks<'m> {
    model: &'m Architecture,
    setting: &'m SgLangSetting<'m>,
    tokens: u64,
    requests: u64,
}

impl Asks<'_> {
    fn answer(&self, question: SgLangQuestion, args: &SgLangArgs) -> Result<SgLangAnswer, SgLangError> {
        if question == SgLangQuestion::FewestDevices {
            return self.devices(args);
        }
        // Weights depend on none of the settings that are searched for here.
        let free = match &self.setting.free {
            Some(free) => free.clone(),
            None => predicted(self.model, args, self.setting)?,
        };
        let setting = SgLangSetting { free: Some(free), ..self.setting.clone() };
        let way = |number: u64| {
            let (mut args, mut tokens, mut requests) = (args.clone(), self.tokens, self.requests);
            match question {
                SgLangQuestion::LongestContext => (args.context_length, tokens) = (Some(number), number),
                SgLangQuestion::MostRequests => {
                    args.max_running_requests = Some(number.saturating_mul(args.attention_replicas()));
                    requests = number.saturating_mul(args.dp_size);
                }
                _ => {}
            }
            self.way(&args, &setting, tokens, requests)
        };
        let (least, most) = match question {
            SgLangQuestion::LongestContext => {
                let own = length::own(self.model).unwrap_or(0);
                let most = own.max(args.context_length.unwrap_or(0)).max(1);
                (SHORTEST.min(most), most)
            }
            SgLangQuestion::MostRequests => {
                let held = way(1)?.budget.pool.tokens.high / self.tokens.max(1);
                (1, held.clamp(1, MOST_REQUESTS))
            }
            _ => (0, 0),
        };
        let number = |surely: bool| largest(least, most, |number| way(number).map(|way| self.serves(&way, surely)));
        let found = number(false)?.map(way).transpose()?;
        let lack = if found.is_some() { None } else { Some(lack(&way(least)?, self.widest_window())) };
        let certain = found.as_ref().is_some_and(|way| self.serves(way, true));
        let for_certain = match question {
            SgLangQuestion::AsAsked => None,
            _ if found.is_none() => None,
            _ => number(true)?.map(way).transpose()?.map(|way| match question {
                SgLangQuestion::LongestContext => way.tokens,
                _ => way.requests,
            }),
        };
        Ok(SgLangAnswer { question, kv_cache_dtype: kind_of(args), way: found, certain, for_certain, lack })
    }

    /// The fewest devices. Numbers into which heads, widths or blocks of weights cannot be split are passed over.
    fn devices(&self, args: &SgLangArgs) -> Result<SgLangAnswer, SgLangError> {
        let (mut found, mut for_certain, mut last, mut refused) = (None, None, None, None);
        for tp_size in TENSOR_SIZES {
            // Replicas of attention and groups of experts lie within the ranks.
            let whole = !args.dp_attention || tp_size.is_multiple_of(args.dp_size);
            if !whole || !tp_size.is_multiple_of(args.ep_size.max(1)) {
                continue;
            }
            let args = SgLangArgs { tp_size, ..args.clone() };
            let way = match self.way(&args, self.setting, self.tokens, self.requests) {
                Ok(way) => way,
                Err(error) => {
                    refused = refused.or(Some(error));
                    continue;
                }
            };
            if self.serves(&way, true) {
                for_certain = Some(way.devices);
            }
            if found.is_none() && self.serves(&way, false) {
                found = Some(way.clone());
            }
            last = Some(way);
            if for_certain.is_some() {
                break;
            }
        }
        let lack = match (&found, &last, refused) {
            (Some(_), ..) => None,
            (None, Some(last), _) => Some(lack(last, self.widest_window())),
            (None, None, Some(error)) => return Err(error),
            (None, None, None) => return Err(no_number_of_ranks(args)),
        };
        let certain = found.as_ref().is_some_and(|way| Some(way.devices) == for_certain);
        let question = SgLangQuestion::FewestDevices;
        Ok(SgLangAnswer { question, kv_cache_dtype: kind_of(args), way: found, certain, for_certain, lack })
    }

    fn way(
        &self,
        args: &SgLangArgs,
        setting: &SgLangSetting<'_>,
        tokens: u64,
        requests: u64,
    ) -> Result<SgLangWay, SgLangError> {
        let budget = sglang_budget(self.model, args, setting)?;
        let replicas = if args.dp_attention { 1 } else { args.dp_size.max(1) };
        Ok(SgLangWay { budget, devices: args.ranks().saturating_mul(replicas), tokens, requests })
    }

    /// Whether the server starts and its pool holds all requests whole; over all intervals, if that is asked.
    fn serves(&self, way: &SgLangWay, surely: bool) -> bool {
        let budget = &way.budget;
        let starts = budget.failure.is_none() && (budget.certain || !surely);
        let pool = if surely { budget.pool.tokens.low } else { budget.pool.tokens.value };
        let windows = budget.pool.window_tokens.as_ref().map(|own| if surely { own.low } else { own.value });
        let each = way.each();
        let in_window = each.saturating_mul(way.tokens.min(self.widest_window()));
        starts
            && each.saturating_mul(way.tokens) <= pool
            && windows.is_none_or(|windows| in_window <= windows)
            && each <= if surely { budget.max_running_requests_low } else { budget.max_running_requests }
    }

    /// The tokens of a request that a pool for windows holds at most.
    fn widest_window(&self) -> u64 {
        let window = |mixer: &Mixer| match mixer {
            Mixer::Attention(own) => match own.span {
                Span::Full => None,
                Span::Sliding(tokens) | Span::Chunked(tokens) => Some(tokens),
            },
            _ => None,
        };
        self.model.layers.iter().filter_map(|layer| window(&layer.mixer)).max().unwrap_or(0)
    }
}

/// Of the numbers of ranks that are tried none is a multiple of an argument.
fn no_number_of_ranks(args: &SgLangArgs) -> SgLangError {
    let none = |size: u64| !TENSOR_SIZES.iter().any(|ranks| ranks.is_multiple_of(size.max(1)));
    let (name, value) =
        if args.dp_attention && none(args.dp_size) { ("dp-size", args.dp_size) } else { ("ep-size", args.ep_size) };
    SgLangError::BadArgument { name: name.to_owned(), value: value.to_string(), expected: "a power of two up to 64" }
}

/// The type of the pool's elements as the server spells it.
fn kind_of(args: &SgLangArgs) -> String {
    args.kv_cache_dtype.clone().unwrap_or_else(|| "auto".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests_support::llama_8b;
    use crate::{Calibration, SgLangLine, find_device};
    use vramscope_core::Bytes;

    fn found(
        device: &str,
        line: &str,
        tokens: Option<u64>,
        requests: Option<u64>,
    ) -> Result<SgLangAnswers, SgLangError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut args = SgLangLine::read(&words).unwrap().args;
        args.version = "0.5.12".parse().unwrap();
        let setting = SgLangSetting {
            device: find_device(device),
            others: Bytes::ZERO,
            calibration: Calibration::embedded(),
            free: None,
        };
        sglang_answers(&llama_8b(), &args, &setting, Wish { request_tokens: tokens, requests })
    }

    fn of(answers: &SgLangAnswers, question: SgLangQuestion, kind: &str) -> SgLangAnswer {
        let mut all = answers.answers.iter();
        all.find(|answer| answer.question == question && answer.kv_cache_dtype == kind).unwrap().clone()
    }

    #[test]
    fn a_card_that_holds_little_gets_more_with_eight_bits_and_with_a_second_one() {
        let answers = found("l4", "sglang serve --model-path m", Some(32_768), Some(2)).unwrap();
        let (asked, fewest) = (SgLangQuestion::AsAsked, SgLangQuestion::FewestDevices);
        let lack = of(&answers, asked, "auto").lack.unwrap();
        assert_eq!((of(&answers, asked, "auto").way, lack.what), (None, "pool"));
        assert!(lack.bytes.unwrap() > 1 << 30, "{lack:?}");
        assert_eq!(of(&answers, fewest, "auto").way.unwrap().devices, 2);
        let longest = |kind| of(&answers, SgLangQuestion::LongestContext, kind).way.unwrap();
        assert!(longest("auto").tokens < 32_768 && longest("fp8_e4m3").tokens > longest("auto").tokens);
        assert_eq!(longest("auto").budget.args.context_length, Some(longest("auto").tokens));
        let most = of(&answers, SgLangQuestion::MostRequests, "fp8_e4m3");
        assert_eq!(most.way.unwrap().requests, 1, "two did not fit as asked");
    }

    #[test]
    fn what_the_line_states_is_kept_and_what_contradicts_it_is_refused() {
        let line = "--kv-cache-dtype fp8_e5m2 --context-length 8192 --mem-fraction-static 0.9 --max-running-requests 4";
        let answers = found("l4", line, None, None).unwrap();
        assert!(answers.answers.iter().all(|answer| answer.kv_cache_dtype == "fp8_e5m2"));
        assert_eq!((answers.request_tokens, answers.requests), (8192, 1));
        for answer in &answers.answers {
            let args = &answer.way.as_ref().unwrap().budget.args;
            assert_eq!(args.mem_fraction_static, Some(0.9), "{:?}", answer.question);
            assert_eq!(args.max_running_requests == Some(4), answer.question != SgLangQuestion::MostRequests);
        }
        let refused = |tokens, requests| found("l4", line, tokens, requests).unwrap_err().to_string();
        assert!(refused(Some(9000), None).contains("--context-length 8192"));
        assert!(refused(None, Some(5)).contains("--max-running-requests 4"));
        let longer = found("l4", "--tp 1", Some(200_000), None);
        assert!(matches!(longer, Err(SgLangError::LongerThanModel { .. })));
    }

    #[test]
    fn a_limit_on_tokens_is_no_lack_of_memory() {
        let answers = found("h100", "--max-total-tokens 4096", Some(8192), None).unwrap();
        let lack = of(&answers, SgLangQuestion::AsAsked, "auto").lack.unwrap();
        assert_eq!((lack.what, lack.bytes), ("limit", None));
        let longest = of(&answers, SgLangQuestion::LongestContext, "auto").way.unwrap();
        assert_eq!(longest.tokens, 4096);
    }

    #[test]
    fn replicas_share_the_requests() {
        let one = found("h100", "--tp 2", Some(8192), None).unwrap();
        let two = found("h100", "--tp 2 --dp 2", Some(8192), None).unwrap();
        let most = |answers: &SgLangAnswers| of(answers, SgLangQuestion::MostRequests, "auto").way.unwrap();
        assert_eq!((most(&two).requests, most(&two).devices), (2 * most(&one).requests, 4));
    }
}
