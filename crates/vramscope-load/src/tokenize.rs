//! How many tokens the server makes of a text.

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::LoadError;

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    prompt: &'a str,
    add_special_tokens: bool,
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
        let question = Question { model, prompt: text, add_special_tokens: false };
        let body = serde_json::to_vec(&question).map_err(|source| LoadError::Json { path: PATH, source })?;
        let reply = self.post(PATH, body).await?;
        let counted = if reply.status == 200 { serde_json::from_slice::<Count>(&reply.body).ok() } else { None };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
        let counted = counted.filter(|one| (1.0..=1e9).contains(&one.count)).map(|one| one.count as u64);
        Ok(counted)
    }
}

const PATH: &str = "/tokenize";
