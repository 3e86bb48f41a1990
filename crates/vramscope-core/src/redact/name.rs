//! Which names stand for secrets: by the words that they are made of.

/// Parts of such names, by which they are found in a text.
pub(super) const PARTS: &[&str] =
    &["token", "key", "secret", "pass", "pwd", "credential", "auth", "bearer", "cookie", "sig"];

/// Parts that make any name one of a secret, also inside a longer word.
const ALWAYS: &[&str] = &[
    "secret",
    "password",
    "passwd",
    "passphrase",
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

/// Words beside `token` of which a name speaks of tokens of text, or of a place where a token lies.
#[rustfmt::skip]
const OF_TEXT: &[&str] = &[
    "added", "all", "and", "audio", "avg", "batch", "batched", "begin", "bias", "block", "bos", "budget", "cached",
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
    "access", "account", "admin", "anthropic", "api", "auth", "aws", "azure", "bearer", "client", "deploy",
    "encryption", "google", "hf", "hub", "license", "master", "openai", "private", "refresh", "rsa",
    "secret", "service", "session", "shared", "signing", "ssh", "storage", "subscription", "user", "wandb", "webhook",
];

/// How a name stands to secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// It has none for its value.
    Plain,
    /// A word of prose and of tables too: its value has to look like a secret.
    Doubtful,
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
        Name::Secret | Name::Header | Name::Doubtful => true,
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
    let joined: String = words.concat();
    // A variable of the environment: nothing but tables and tokens of text has a name in capitals beside secrets.
    let variable = words.len() > 1 && !name.bytes().any(|b| b.is_ascii_lowercase());
    let place = ["file", "path", "dir", "name", "type"].contains(&last);
    if last == "cookie" {
        return Name::Header;
    }
    if !place && ALWAYS.iter().any(|part| joined.contains(part)) {
        return Name::Secret;
    }
    if is("bearer") {
        return Name::Secret;
    }
    if is("token") && !any(&words, OF_TEXT) {
        return if words.len() == 1 { Name::Doubtful } else { Name::Secret };
    }
    if is("tokens") && any(&words, OF_SECRET) && !any(&words, OF_TEXT) {
        return Name::Secret;
    }
    if (is("key") || is("keys"))
        && !place
        && (any(&words, OF_SECRET) || (variable && is("key")))
        && !any(&words, OF_TABLE)
    {
        return Name::Secret;
    }
    if variable && ["pass", "pwd", "auth"].contains(&last) && !is("old") {
        return Name::Secret;
    }
    if joined.contains("amzsignature") || joined.contains("googsignature") {
        return Name::Secret;
    }
    if ["sig", "signature", "key"].contains(&joined.as_str()) { Name::Parameter } else { Name::Plain }
}

fn any(words: &[String], known: &[&str]) -> bool {
    words.iter().any(|word| known.contains(&word.as_str()))
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
