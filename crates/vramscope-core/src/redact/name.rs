//! Which names stand for secrets: by the words that they are made of.

/// Parts of such names, by which they are found in a text.
#[rustfmt::skip]
pub(super) const PARTS: &[&str] = &[
    "token", "key", "secret", "pass", "pwd", "credential", "creds", "auth", "bearer", "cookie", "sig", "sess", "jwt",
    "sas", "_pat=", "_pat:", "_pat'", "_pat\"",
];

/// Parts that make any name one of a secret, also inside a longer word.
const ALWAYS: &[&str] = &[
    "secret",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passkey",
    "credential",
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
    "accountkey",
    "authkey",
    "accesstoken",
    "authtoken",
    "sharedaccesssignature",
];

/// Beginnings of words of language that hold one of these, and speak of none.
const OF_LANGUAGE: &[&str] = &["secretar", "secretion", "secretive", "secretory", "passwordless", "credentialed"];

/// Words beside those of which a name speaks of a rule for secrets.
#[rustfmt::skip]
const OF_RULES: &[&str] = &[
    "algorithm", "algorithms", "attempts", "audience", "count", "enabled", "endpoint", "expiration", "expires", "expiry",
    "issuer", "len", "length", "lifetime", "num", "policy", "required", "rotation", "ttl", "url",
];

/// Words of language that end in `key`.
#[rustfmt::skip]
const ENDING_IN_KEY: &[&str] = &[
    "donkey", "flunkey", "hockey", "hotkey", "hotkeys", "jockey", "key", "keys", "lackey", "monkey", "monkeys", "shortkey",
    "turkey", "turnkey", "whiskey",
];

/// What stands behind `key` in words of language, and in names of programs.
#[rustfmt::skip]
const BEHIND_KEY: &[&str] = &[
    "board", "boards", "chain", "cloak", "db", "ed", "error", "frame", "frames", "hole", "map", "note", "pad", "point",
    "points", "ring", "s", "space", "stone", "store", "stroke", "strokes", "word", "words",
];

/// Words beside `token` of which a name speaks of tokens of text, or of a place where a token lies.
#[rustfmt::skip]
const OF_TEXT: &[&str] = &[
    "added", "all", "and", "audio", "avg", "batch", "batched", "begin", "bias", "block", "bos", "bucket", "buckets",
    "budget", "cached",
    "chat", "chunk", "cls", "compression", "count", "cross", "decode", "decoder", "dim", "dispatch", "draft", "drop",
    "dtype", "emb", "embd", "embed", "embedding", "embeddings", "encoder", "end", "eos", "eot", "every", "expert",
    "experts", "file", "fim", "first", "forced", "generated", "group", "healing", "id", "ids", "idx", "ignore",
    "image", "img", "index", "indices", "input", "kv", "last", "latency", "layer", "layers", "len", "length", "level",
    "limit", "logits", "logprob", "logprobs", "map", "mapping", "mask", "masks", "max", "mean", "median", "merge",
    "merging", "middle", "min", "mm", "mode", "model", "mtp", "ms", "new", "next", "ngram", "norm", "num", "number",
    "observed", "offset", "offsets", "output", "p", "pad", "padding", "parallel", "path", "penalty", "per",
    "permutation", "placeholder", "pool", "pooling", "pos", "position", "positions", "prefill", "prefix", "prompt",
    "prune", "pruning", "quant", "rate", "ratio", "reasoning", "repeat", "reserved", "role", "s", "sampled", "scale",
    "scales", "second", "select", "selection", "sep", "seq", "sequence", "shift", "size", "skip", "sorted", "sos",
    "special", "spec", "speculative", "start", "std", "step", "stop", "suffix", "switch", "target", "text", "think",
    "thinking", "throughput", "time", "times", "tool", "total", "tpot", "tree", "ttft", "type", "types", "unk",
    "usage", "valid", "video", "vision", "vocab", "weight", "weights", "window", "wise",
];

/// Words beside `key` of which a name speaks of attention, of a table, or of a place where a key lies.
#[rustfmt::skip]
const OF_TABLE: &[&str] = &[
    "block", "bytes", "cache", "cached", "column", "count", "dict", "dim", "dtype", "error", "file", "foreign", "func",
    "function", "group", "hash", "head", "heads", "index", "json", "kv", "layer", "layers", "len", "length", "mapping",
    "mask", "metric", "name", "norm", "num", "order", "padding", "path", "prefix", "primary", "proj", "public", "qk",
    "query", "ranges", "scale", "size", "sort", "states", "tensor", "type", "value", "values", "weight",
];

/// Words beside `key` or `tokens` of which a name in small letters speaks of a secret in a text.
#[rustfmt::skip]
const OF_SECRET: &[&str] = &[
    "access", "account", "admin", "aes", "anthropic", "api", "app", "application", "auth", "aws", "azure", "bearer", "bot",
    "client", "cohere", "comet", "consumer", "datadog", "decryption", "deepseek", "deploy", "encryption", "gemini",
    "github", "gitlab", "google", "gpg", "groq", "hf", "hmac", "hub", "huggingface", "ingest", "ingestion", "integration",
    "langsmith", "license", "mailgun", "master", "mistral", "ngc", "nim", "openai", "pgp", "pinecone", "private",
    "refresh", "replicate", "rsa", "secret", "sendgrid", "sentry", "service", "session", "shared", "signing", "slack",
    "ssh", "storage", "stripe", "subscription", "together", "unseal", "user", "vault", "wandb", "webhook",
];

/// How a name stands to secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// It has none for its value.
    Plain,
    /// Mostly that of something else: its value has to be one word of letters and digits, as no setting is.
    Guess,
    /// A word of prose and of tables too: its value has to look like a secret.
    Doubtful,
    /// The folder that a shell is in, or a password: a path is none.
    Folder,
    /// A parameter of a signed address: a secret where it stands behind `?` or `&`.
    Parameter,
    /// Whatever it is set to is a secret.
    Secret,
    /// A header whose value goes to the end of its line.
    Header,
}

/// Whether the value of a flag, variable or key of this name is a secret. Names that only count tokens are none.
pub fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    let is = |word: &str| words.iter().any(|own| own == word);
    let last = words.last().map(String::as_str).unwrap_or_default();
    match kind(name) {
        Name::Secret | Name::Header | Name::Doubtful | Name::Guess => true,
        Name::Folder => words.len() > 1,
        Name::Parameter | Name::Plain => {
            (is("key") && !any(&words, OF_TABLE))
                || last == "auth"
                || (words.len() > 1 && ["pass", "pwd"].contains(&last) && !is("forward") && !is("old"))
        }
    }
}

/// How a name in a text stands to secrets.
pub(super) fn kind(name: &str) -> Name {
    let words = words(name);
    let is = |word: &str| words.iter().any(|own| own == word);
    let last = words.last().map(String::as_str).unwrap_or_default();
    let joined: String = words.iter().filter(|word| !is_of_language(word)).map(String::as_str).collect();
    // A variable of the environment: nothing but tables and tokens of text has a name in capitals beside secrets.
    let capitals = !name.bytes().any(|b| b.is_ascii_lowercase());
    let variable = words.len() > 1 && capitals;
    let place = ["file", "path", "dir", "name", "type"].contains(&last);
    let rule = any(&words, OF_RULES);
    if last == "cookie" {
        return Name::Header;
    }
    if place {
        return Name::Plain;
    }
    if ALWAYS.iter().any(|part| joined.contains(part)) {
        return if rule { Name::Plain } else { Name::Secret };
    }
    if last == "jwt" || (is("creds") && !rule) || (last == "pat" && words.len() > 1) {
        return Name::Secret;
    }
    if last == "sas" {
        return if words.len() > 1 { Name::Secret } else { Name::Doubtful };
    }
    if ["sessionid", "sessid"].iter().any(|part| joined.ends_with(part)) {
        return Name::Doubtful;
    }
    if last == "pwd" {
        return Name::Folder;
    }
    if last == "pass" && !is("forward") {
        return if variable && !is("old") { Name::Secret } else { Name::Guess };
    }
    if joined == "auth" {
        return Name::Guess;
    }
    if is("bearer") {
        return Name::Secret;
    }
    let of_text = rule || any(&words, OF_TEXT);
    if is("token") && !of_text {
        return if words.len() == 1 { Name::Doubtful } else { Name::Secret };
    }
    if is("tokens") && !of_text && (capitals || any(&words, OF_SECRET)) {
        return if any(&words, OF_SECRET) { Name::Secret } else { Name::Doubtful };
    }
    let of_table = rule || any(&words, OF_TABLE);
    if (is("key") || is("keys")) && !of_table && (any(&words, OF_SECRET) || variable) {
        return Name::Secret;
    }
    if variable && last == "auth" && !is("old") {
        return Name::Secret;
    }
    // In capitals they are rare, and what they hold tells.
    if capitals && (is("token") || is("key")) && !any(&words, &["public", "cache", "hash"]) {
        return Name::Guess;
    }
    match words.iter().find_map(|word| glued(word)) {
        Some(Glued::Surely) if !of_text && !of_table => return Name::Secret,
        Some(_) if !of_text && !of_table => return if capitals { Name::Doubtful } else { Name::Guess },
        _ => {}
    }
    if joined.contains("amzsignature") || joined.contains("googsignature") {
        return Name::Secret;
    }
    if ["sig", "signature", "key"].contains(&joined.as_str()) { Name::Parameter } else { Name::Plain }
}

fn any(words: &[String], known: &[&str]) -> bool {
    words.iter().any(|word| known.contains(&word.as_str()))
}

fn is_of_language(word: &str) -> bool {
    OF_LANGUAGE.iter().any(|begins| word.starts_with(begins))
}

/// How far a word that is written together with `key` or `token` tells of a secret.
enum Glued {
    /// `openaikey`, `hftoken`.
    Surely,
    /// `mykey`, `tokenfor`.
    Perhaps,
}

/// Of a word that is none of language and speaks of no tokens of text: `tokenizer`, `monkey` and `subtokens` are none.
fn glued(word: &str) -> Option<Glued> {
    let of = |rest: &str| if OF_SECRET.contains(&rest) { Glued::Surely } else { Glued::Perhaps };
    let single = word.strip_suffix('s').unwrap_or(word);
    if let Some(rest) = single.strip_suffix("token").filter(|rest| !rest.is_empty()) {
        let prefixes = ["de", "multi", "non", "per", "pre", "re", "sub", "un"];
        return (!OF_TEXT.contains(&rest) && !prefixes.contains(&rest)).then(|| of(rest));
    }
    if let Some(rest) = word.strip_prefix("token").filter(|rest| rest.len() > 1) {
        let harmless = ["iz", "is", "wise", "ids"].iter().any(|begins| rest.starts_with(begins));
        return (!harmless && !OF_TEXT.contains(&rest)).then_some(Glued::Perhaps);
    }
    if let Some(rest) = single.strip_suffix("key").filter(|rest| !rest.is_empty()) {
        return (!ENDING_IN_KEY.contains(&word) && !OF_TABLE.contains(&rest)).then(|| of(rest));
    }
    let rest = word.strip_prefix("key").filter(|rest| !rest.is_empty())?;
    (!BEHIND_KEY.contains(&rest) && !OF_TABLE.contains(&rest) && !rest.starts_with("word")).then_some(Glued::Perhaps)
}

/// The words of a name in small letters: `HF_TOKEN_READ`, `X-Amz-Signature`, `accessToken`. Digits behind a word are
/// left out.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = name.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let hump = c.is_uppercase()
            && (before.is_lowercase()
                || (before.is_uppercase() && chars.peek().is_some_and(|next| next.is_lowercase())));
        if (!c.is_alphanumeric() || hump) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    for word in &mut words {
        word.truncate(word.trim_end_matches(|c: char| c.is_ascii_digit()).len());
    }
    words.retain(|word| !word.is_empty());
    words
}
