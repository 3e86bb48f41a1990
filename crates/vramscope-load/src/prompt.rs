//! Prompts made from a seed: token ids, so that their length is exact without a tokenizer, or words.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::plan::{LoadPlan, Prompts, WordTokens};
use crate::random::Random;

/// A prompt as the API takes it: a list of token ids, a text, or the messages of a chat.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Prompt {
    Ids(Vec<u32>),
    Text(String),
    /// Messages as somebody wrote them.
    Messages(Box<RawValue>),
    /// What was said so far.
    Said(Vec<Said>),
}

/// A message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Said {
    pub(crate) role: &'static str,
    pub(crate) content: String,
}

/// In which form prompts were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptForm {
    /// Token ids: `input_len` is exact.
    TokenIds,
    /// Words, because the server refuses ids or it is a chat: `input_len` counts words, unless the plan
    /// knows how many tokens they have, and then it is met on the mean.
    Text,
    /// The plan's text, or a data set's, as it is: only the server knows its tokens.
    Given,
}

impl PromptForm {
    /// The name as the report spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenIds => "token_ids",
            Self::Text => "text",
            Self::Given => "given",
        }
    }
}

/// The stream of random numbers that prompts use.
const PROMPTS: u64 = 2;

/// Makes a prompt of `len` tokens or words. Each request number of each stream has its own prompt for each length,
/// whatever the order of sending, unless one is given: a longer one does not begin with a shorter one, so that a prefix
/// cache finds nothing of it.
pub(crate) fn prompt(plan: &LoadPlan, form: PromptForm, number: u64, len: u64) -> Prompt {
    match (form, &plan.prompts) {
        (PromptForm::Given, Prompts::Text(text)) => Prompt::Text(text.clone()),
        _ => {
            let mut build = Build::new(plan, form);
            build.own(number, len);
            build.end()
        }
    }
}

/// Puts a prompt together from parts, each of which has a stream of random numbers of its own.
pub(crate) struct Build<'a> {
    plan: &'a LoadPlan,
    ids: Option<Vec<u32>>,
    text: String,
    words: u64,
    len: u64,
}

impl<'a> Build<'a> {
    /// An empty prompt of ids, or of words for any other form.
    pub(crate) fn new(plan: &'a LoadPlan, form: PromptForm) -> Self {
        Self { plan, ids: (form == PromptForm::TokenIds).then(Vec::new), text: String::new(), words: 0, len: 0 }
    }

    /// So many tokens or words that are a request's own.
    pub(crate) fn own(&mut self, number: u64, len: u64) {
        self.add(&[PROMPTS, self.plan.stream, number, len], len);
    }

    /// The first `len` tokens or words of the stream that these words name.
    pub(crate) fn add(&mut self, stream: &[u64], len: u64) {
        let mut random = Random::of(self.plan.seed, stream);
        self.len += len;
        if let Some(ids) = &mut self.ids {
            let (first, end) = (self.plan.token_ids.start, self.plan.token_ids.end);
            let count = end.saturating_sub(first);
            ids.extend((0..len).map(|_| first.saturating_add(random.below(count))));
            return;
        }
        // Of all parts together, so that no part's rounding adds up.
        let words = self.words_of(self.len);
        for _ in self.words..words {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text.extend(word(&mut random));
        }
        self.words = self.words.max(words);
    }

    /// The words of a prompt of so many tokens, at least one.
    fn words_of(&self, len: u64) -> u64 {
        let WordTokens { per_word, template } = self.plan.words;
        let len = len.saturating_sub(template);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "tokens of one prompt, checked with the plan"
        )]
        let words = (len as f64 / per_word).round() as u64;
        words.max(1)
    }

    /// Its tokens or words so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn end(self) -> Prompt {
        match self.ids {
            Some(ids) => Prompt::Ids(ids),
            None => Prompt::Text(self.text),
        }
    }
}

/// A pronounceable word of two syllables.
fn word(random: &mut Random) -> [char; 4] {
    const CONSONANTS: [char; 16] = ['b', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't', 'v', 'z'];
    const VOWELS: [char; 5] = ['a', 'e', 'i', 'o', 'u'];
    let mut of = |letters: &[char]| {
        let count = u32::try_from(letters.len()).unwrap_or(u32::MAX);
        letters.get(random.below(count) as usize).copied().unwrap_or('a')
    };
    [of(&CONSONANTS), of(&VOWELS), of(&CONSONANTS), of(&VOWELS)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prompts_have_their_length_stay_in_range_and_repeat_with_their_seed(
            seed: u64, number in 0u64..1000, len in 1u64..200, first in 0u32..100, count in 1u32..200_000
        ) {
            let plan = LoadPlan { seed, token_ids: first..first + count, ..LoadPlan::new("m", 16, 16, 1) };
            let made = prompt(&plan, PromptForm::TokenIds, number, len);
            let Prompt::Ids(ids) = &made else { panic!("ids were asked for") };
            prop_assert_eq!(ids.len() as u64, len);
            prop_assert!(ids.iter().all(|id| plan.token_ids.contains(id)));
            let Prompt::Ids(again) = prompt(&plan, PromptForm::TokenIds, number, len) else { panic!("ids") };
            prop_assert_eq!(ids, &again);
            let Prompt::Text(text) = prompt(&plan, PromptForm::Text, number, len) else { panic!("text was asked for") };
            prop_assert_eq!(text.split(' ').count() as u64, len);
        }
    }

    #[test]
    fn no_two_prompts_begin_with_the_same_block_that_a_cache_could_find() {
        let mut firsts = std::collections::BTreeSet::new();
        for (stream, number, len) in (0..4).flat_map(|s| (0..100).flat_map(move |n| [16, 17, 64].map(|l| (s, n, l)))) {
            let plan = LoadPlan { token_ids: 0..30_000, stream, ..LoadPlan::new("m", 16, 16, 1) };
            let Prompt::Ids(ids) = prompt(&plan, PromptForm::TokenIds, number, len) else { panic!("ids") };
            firsts.insert(ids[..16].to_vec());
        }
        assert_eq!(firsts.len(), 1200);
    }
}
