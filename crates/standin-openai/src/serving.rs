//! What is answered to whom, and when.

use std::cmp::Reverse;
use std::fmt;
use std::hash::Hasher as _;

use fnv::FnvHasher;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::answer::{Asked, refusal, served, whole};
use crate::connection::Request;
use crate::engine::Engine;
use crate::flight::{Flight, Next, Then, end};
use crate::realtime::now_ns;
use crate::script::{How, Script, ns};
use crate::server::{Loop, locked};
use crate::truth::RequestTruth;

#[derive(Deserialize)]
struct Completion {
    model: String,
    #[serde(default)]
    prompt: Prompt,
    #[serde(default)]
    messages: Vec<Value>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    stream: bool,
}

/// A prompt, of which only the kind and the length matter: to build a list of ids would keep the loop from its schedule.
#[derive(Default)]
enum Prompt {
    Text(String),
    Ids(u64),
    #[default]
    None,
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = Prompt;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of token ids")
            }
            fn visit_str<E>(self, text: &str) -> Result<Prompt, E> {
                Ok(Prompt::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<Prompt, A::Error> {
                let mut count = 0;
                while ids.next_element::<u32>()?.is_some() {
                    count += 1;
                }
                Ok(Prompt::Ids(count))
            }
        }
        deserializer.deserialize_any(Counts)
    }
}

/// Tokens that are generated where nobody says how many.
const MAX_TOKENS: u64 = 16;
/// A prefix is found in whole blocks.
const BLOCK: usize = 16;

impl Loop {
    /// Answers a request, or begins to.
    pub(crate) fn take(&mut self, slot: usize, request: &Request) {
        let arrived_ns = self.connections.get(slot).and_then(Option::as_ref).map_or_else(now_ns, |one| one.came_ns);
        let key = self.script.api_key.as_ref().map(|key| format!("Bearer {key}"));
        if request.path.starts_with("/v1") && key.is_some() && request.authorization != key {
            self.send(slot, &whole(401, "application/json", r#"{"error":"Unauthorized"}"#));
            return;
        }
        let json = |body: &str| whole(200, "application/json", body);
        let bytes = match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/completions") => return self.complete(slot, request, false, arrived_ns),
            ("POST", "/v1/chat/completions") => return self.complete(slot, request, true, arrived_ns),
            ("POST", "/tokenize") if self.script.bytes_per_token.is_some() => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let count = match body["prompt"].as_str() {
                    Some(text) => self.script.tokens(text),
                    None => self.script.chat_tokens(body["messages"].as_array().map_or(&[], Vec::as_slice)),
                };
                json(&serde_json::json!({"count": count, "max_model_len": self.script.max_model_len}).to_string())
            }
            ("POST", "/api/generate") if self.script.engine == Engine::Ollama => self.load(&request.body),
            ("GET", "/standin/truth") => json(&serde_json::to_string(&*locked(&self.truth)).unwrap_or_default()),
            ("POST", "/standin/forget") => {
                let mut truth = locked(&self.truth);
                truth.requests.clear();
                truth.latest_write_ns = 0;
                drop(truth);
                self.first_arrival_ns = None;
                json("{}")
            }
            ("POST", "/standin/script") => match serde_json::from_slice::<Script>(&request.body) {
                Ok(script) => match script.check() {
                    Ok(()) => {
                        self.script = script;
                        json("{}")
                    }
                    Err(wrong) => refusal(400, &wrong),
                },
                Err(error) => refusal(400, &error.to_string()),
            },
            ("GET", path) => match self.script.engine.page(path, &self.script, &self.counts) {
                Some((kind, body)) => served(200, kind, &body, self.script.engine.server()),
                None => served(404, "application/json", r#"{"detail":"Not Found"}"#, self.script.engine.server()),
            },
            _ => whole(404, "application/json", r#"{"detail":"Not Found"}"#),
        };
        self.send(slot, &bytes);
    }

    /// Loads the model, as a request without a prompt has Ollama do.
    fn load(&mut self, body: &[u8]) -> Vec<u8> {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = asked["model"].as_str().unwrap_or_default();
        if name != self.script.model {
            let said = serde_json::json!({"error": format!("model '{name}' not found")});
            return whole(404, "application/json", &said.to_string());
        }
        self.play_load();
        let said = serde_json::json!({"model": name, "response": "", "done": true, "done_reason": "load"});
        whole(200, "application/json", &said.to_string())
    }

    /// Plays the loading of the model, once.
    fn play_load(&mut self) {
        if !std::mem::replace(&mut self.played[0], true) {
            // Nobody reads the log any more where that fails.
            let _ = self.script.play.lines(&self.script.play.load);
        }
    }

    /// Plays the first work, once, and the loading before it.
    fn play_work(&mut self) {
        self.play_load();
        if !std::mem::replace(&mut self.played[1], true) {
            let _ = self.script.play.lines(&self.script.play.work);
        }
    }

    fn complete(&mut self, slot: usize, request: &Request, chat: bool, arrived_ns: u64) {
        let asked: Completion = match serde_json::from_slice(&request.body) {
            Ok(asked) => asked,
            Err(error) => return self.send(slot, &refusal(400, &error.to_string())),
        };
        if asked.model != self.script.model && !self.script.adapters.contains(&asked.model) {
            return self.send(slot, &refusal(404, &format!("The model `{}` does not exist.", asked.model)));
        }
        self.play_work();
        let input = match &asked.prompt {
            Prompt::Ids(_) if self.script.refuses_token_ids => {
                return self.send(slot, &refusal(400, "prompt must be a string"));
            }
            Prompt::Ids(count) => *count,
            Prompt::Text(text) => self.script.tokens(text),
            Prompt::None => self.script.chat_tokens(&asked.messages),
        };
        let most = asked.max_tokens.or(asked.max_completion_tokens).unwrap_or(MAX_TOKENS);
        if input.saturating_add(most) > self.script.max_model_len {
            let limit = self.script.max_model_len;
            return self.send(slot, &refusal(400, &format!("This model's maximum context length is {limit} tokens.")));
        }
        let output = most.saturating_sub(self.script.tokens_short).max(1);
        let (row, number) = {
            let mut truth = locked(&self.truth);
            let row = truth.requests.len();
            let number = row as u64;
            let model = asked.model.clone();
            let one = RequestTruth { number, arrived_ns, model, input_tokens: input, ..RequestTruth::default() };
            truth.requests.push(one);
            (row, number)
        };
        self.first_arrival_ns.get_or_insert(arrived_ns);
        self.look_up(&request.body);
        let failure = self.script.failure(number);
        if let Some(How::Status(status)) = failure {
            self.note(row, |one| one.status = status);
            return self.send(slot, &refusal(status, "the script refuses"));
        }
        let (stream, due_ns) = (asked.stream, arrived_ns);
        let asked = Asked { number, chat, input, output };
        let flight = Flight { asked, stream, failure, row, next: Next::Queued, due_ns, writes: 0, tokens: 0 };
        self.counts.prompt_tokens = self.counts.prompt_tokens.saturating_add(input);
        self.note(row, |one| one.status = 200);
        let first = flight.begin(&self.script);
        if let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) {
            connection.flight = Some(flight);
            connection.generation += 1;
        }
        if failure == Some(How::Silent) {
            self.plan(slot, Next::Nothing, u64::MAX);
            return;
        }
        self.counts.waiting += 1;
        self.queue.push_back(slot);
        self.fill_places(arrived_ns);
        if !first.is_empty() {
            self.send(slot, &first);
        }
    }

    /// Counts what a prefix cache would find: blocks that came before, up to the first that did not.
    fn look_up(&mut self, body: &[u8]) {
        if !self.script.prefix_cache {
            return;
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = |one: &Value| one["content"].as_str().map(str::to_owned);
        let tokens: Vec<String> = match &body["prompt"] {
            Value::Array(ids) => ids.iter().map(ToString::to_string).collect(),
            Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
            _ => {
                let texts = body["messages"].as_array().into_iter().flatten().filter_map(said);
                texts.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
            }
        };
        let (mut hasher, mut found) = (FnvHasher::default(), true);
        for block in tokens.chunks_exact(BLOCK) {
            for token in block {
                hasher.write(token.as_bytes());
                hasher.write_u8(0);
            }
            found &= !self.prompts.insert(hasher.finish());
            self.counts.prefix_hit_tokens += if found { BLOCK as u64 } else { 0 };
        }
    }

    /// Begins with requests that wait, as far as there is room.
    fn fill_places(&mut self, now_ns: u64) {
        let room = self.script.capacity.map_or(usize::MAX, |capacity| capacity.running);
        while usize::try_from(self.counts.running).unwrap_or(usize::MAX) < room {
            let Some(slot) = self.queue.pop_front() else { return };
            let Some(flight) = self.flight(slot) else { continue };
            let (asked, stream) = (flight.asked, flight.stream);
            self.counts.waiting = self.counts.waiting.saturating_sub(1);
            self.counts.running += 1;
            #[expect(clippy::cast_precision_loss, reason = "tokens of one prompt")]
            let first = match (self.script.capacity, self.script.linear) {
                (Some(capacity), _) => ns(capacity.prefill_ms_per_1000 * asked.input as f64 / 1e3) + self.step_ns(),
                (None, Some(linear)) => linear.first_ns(asked.input),
                (None, None) => Script::turn(&self.script.ttft_ms, asked.number),
            };
            // An answer in one piece is due with its last token.
            let steps = if stream { 0 } else { asked.output.saturating_sub(1) };
            let rest: u64 = (0..steps).map(|step| self.gap_ns(step, asked.input)).sum();
            self.plan(slot, Next::Tokens, now_ns.saturating_add(first).saturating_add(rest));
        }
    }

    fn step_ns(&self) -> u64 {
        let others = u32::try_from(self.counts.running.saturating_sub(1)).unwrap_or(u32::MAX);
        self.script.capacity.map_or(0, |capacity| ns(capacity.step_ms + f64::from(others) * capacity.step_ms_per_other))
    }

    /// From the write of this number (from 0) to the next, of a request with a prompt of so many tokens.
    fn gap_ns(&self, write: u64, input: u64) -> u64 {
        match (self.script.capacity, self.script.linear) {
            (Some(_), _) => self.step_ns(),
            // A token a write: before the next one stand the prompt and all that were written.
            (None, Some(linear)) => linear.gap_ns(input.saturating_add(write).saturating_add(1)),
            (None, None) => Script::turn(&self.script.gap_ms, write),
        }
    }

    fn flight(&mut self, slot: usize) -> Option<&mut Flight> {
        self.connections.get_mut(slot)?.as_mut()?.flight.as_mut()
    }

    fn plan(&mut self, slot: usize, next: Next, due_ns: u64) {
        let stalled = self.script.stall.zip(self.first_arrival_ns).and_then(|(stall, first)| {
            let from = first.saturating_add(ns(stall.after_ms));
            let to = from.saturating_add(ns(stall.for_ms));
            (from..to).contains(&due_ns).then_some(to)
        });
        let due_ns = stalled.unwrap_or(due_ns);
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(flight) = &mut connection.flight else { return };
        (flight.next, flight.due_ns) = (next, due_ns);
        if next != Next::Nothing {
            self.due.push(Reverse((due_ns, slot, connection.generation)));
        }
    }

    /// Does what is due on a connection.
    pub(crate) fn act(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(flight) = &mut connection.flight else { return };
        let (row, due_ns, input) = (flight.row, flight.due_ns, flight.asked.input);
        if flight.next == Next::End {
            let bytes = end(&self.script);
            self.note(row, |one| one.whole = true);
            self.send(slot, &bytes);
            return self.done(slot);
        }
        let written = flight.write(&self.script);
        let writes = flight.writes;
        let at_ns = now_ns();
        if written.tokens > 0 {
            self.note(row, |one| {
                one.written_ns.push(at_ns);
                one.tokens.push(written.tokens);
            });
            let mut truth = locked(&self.truth);
            truth.latest_write_ns = truth.latest_write_ns.max(at_ns.saturating_sub(due_ns));
            self.counts.generation_tokens = self.counts.generation_tokens.saturating_add(written.tokens);
        }
        // Before the write: who has read the answer may ask for the truth at once.
        self.note(row, |one| one.whole = written.then == Then::Whole);
        self.send(slot, &written.bytes);
        match written.then {
            Then::Tokens => {
                let gap = self.gap_ns(writes.saturating_sub(1), input);
                self.plan(slot, Next::Tokens, due_ns.saturating_add(gap));
            }
            Then::EndAfter(later) => self.plan(slot, Next::End, due_ns.saturating_add(later)),
            Then::Whole | Then::Failed => self.done(slot),
            Then::Cut => self.close(slot),
        }
    }

    fn done(&mut self, slot: usize) {
        self.counts.finished += 1;
        self.land(slot);
        self.requests(slot);
    }

    /// Takes a flight off its connection and gives its place to the next.
    pub(crate) fn land(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(flight) = connection.flight.take() else { return };
        connection.generation += 1;
        match flight.next {
            Next::Queued => {
                self.queue.retain(|waiting| *waiting != slot);
                self.counts.waiting = self.counts.waiting.saturating_sub(1);
            }
            Next::Nothing => {}
            Next::Tokens | Next::End => self.counts.running = self.counts.running.saturating_sub(1),
        }
        self.fill_places(now_ns());
    }

    fn note(&self, row: usize, change: impl FnOnce(&mut RequestTruth)) {
        if let Some(one) = locked(&self.truth).requests.get_mut(row) {
            change(one);
        }
    }
}

/// What the template of a chat adds where tokens are counted by bytes.
const TEMPLATE: u64 = 11;

impl Script {
    /// The tokens of a text: its words, unless it says how many bytes a token has.
    fn tokens(&self, text: &str) -> u64 {
        let Some(bytes_per_token) = self.bytes_per_token else { return text.split_whitespace().count() as u64 };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bytes of one text"
        )]
        let tokens = (text.len() as f64 / bytes_per_token).ceil() as u64;
        tokens
    }

    fn chat_tokens(&self, messages: &[Value]) -> u64 {
        let said: u64 = messages.iter().filter_map(|one| one["content"].as_str()).map(|text| self.tokens(text)).sum();
        said + if self.bytes_per_token.is_some() { TEMPLATE } else { 0 }
    }
}
