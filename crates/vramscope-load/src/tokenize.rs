//! How many tokens the server makes of a text.

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::completion::Endpoint;
use crate::error::LoadError;
use crate::plan::{LoadPlan, WordTokens};
use crate::prompt::{Build, Prompt, PromptForm, Said};

const PATH: &str = "/tokenize";
/// So many words are counted to learn how many tokens one has.
const WORDS: u64 = 1000;
/// The number of the prompt that they are.
const PROMPT: u64 = (1 << 33) + 1;

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    #[serde(flatten)]
    text: Text<'a>,
    add_special_tokens: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Text<'a> {
    Prompt(&'a str),
    Messages([Said; 1]),
}

#[derive(Deserialize)]
struct Count {
    /// Some servers write a whole number as 12.0.
    count: f64,
}

impl Client {
    /// Asks `/tokenize`, an addition of some engines to the API, how many tokens a text has; `None` where the server does
    /// not tell.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn count_tokens(&self, model: &str, text: &str) -> Result<Option<u64>, LoadError> {
        self.count(model, Text::Prompt(text)).await
    }

    /// Learns how many tokens the words of a plan's prompts have, for a chat with its template; `None` where the server
    /// does not tell.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn word_tokens(&self, plan: &LoadPlan) -> Result<Option<WordTokens>, LoadError> {
        let words = LoadPlan { words: WordTokens::default(), ..plan.clone() };
        let mut build = Build::new(&words, PromptForm::Text);
        build.own(PROMPT, WORDS);
        let Prompt::Text(text) = build.end() else { return Ok(None) };
        let Some(plain) = self.count(&plan.model, Text::Prompt(&text)).await? else { return Ok(None) };
        let whole = match plan.endpoint {
            Endpoint::Completions => plain,
            Endpoint::Chat => {
                let said = Said { role: "user", content: text };
                let Some(whole) = self.count(&plan.model, Text::Messages([said])).await? else { return Ok(None) };
                whole
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "tokens of one text")]
        let per_word = plain as f64 / WORDS as f64;
        let learnt = WordTokens { per_word, template: whole.saturating_sub(plain) };
        Ok((0.1..=100.0).contains(&per_word).then_some(learnt))
    }

    async fn count(&self, model: &str, text: Text<'_>) -> Result<Option<u64>, LoadError> {
        // A chat's template has its own, and a text alone is to be counted.
        let question = Question { model, text, add_special_tokens: false };
        let body = serde_json::to_vec(&question).map_err(|source| LoadError::Json { path: PATH, source })?;
        let reply = self.post(PATH, body).await?;
        let counted = if reply.status == 200 { serde_json::from_slice::<Count>(&reply.body).ok() } else { None };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
        let counted = counted.filter(|one| (1.0..=1e9).contains(&one.count)).map(|one| one.count as u64);
        Ok(counted)
    }
}
