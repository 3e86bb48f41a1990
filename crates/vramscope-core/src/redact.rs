//! Keeps secrets out of every text, command line and environment that leaves the program.

/// What stands for a secret.
pub const REDACTED: &str = "[redacted]";

/// Prefixes by which well-known services mark their tokens, with the fewest characters that must follow.
const TOKENS: &[(&str, usize)] = &[
    ("hf_", 16),
    ("sk-", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("nvapi-", 16),
    ("xoxb-", 16),
    ("AKIA", 16),
    ("AIza", 30),
    ("eyJ", 40),
];

/// Names whose value is a secret, in any case, also as the end of a longer name: `api_key=…`, `'hf_token': …`,
/// `Authorization: Bearer …`, `--api-key …`.
const NAMES: &[&str] = &[
    "api_key",
    "api-key",
    "apikey",
    "access_key",
    "access-key",
    "private_key",
    "private-key",
    "_token",
    "-token",
    "secret",
    "password",
    "passwd",
    "credentials",
    "authorization",
    "bearer",
];

/// Words behind `Authorization:` that name the kind of secret and are none.
const SCHEMES: &[&str] = &["basic", "bearer", "digest", "token"];

/// Variables that say how an engine was set up. The values of all others stay hidden.
const SHOWN_VARIABLES: &[&str] = &[
    "VLLM_",
    "CUDA_",
    "NVIDIA_",
    "NCCL_",
    "HIP_",
    "ROCR_",
    "ROCM_",
    "HSA_",
    "GPU_",
    "PYTORCH_",
    "TORCH_",
    "OMP_",
    "RAY_",
    "HF_HOME",
    "HF_HUB_",
    "HF_MODEL_ID",
    "MODEL",
    "SERVED_MODEL",
];

/// The text without secrets.
pub fn redact(text: &str) -> String {
    hide(text, &mut |_| {})
}

/// The secrets that [`redact`] takes out of a text, for whoever must find them in other texts, where nothing tells that
/// they are secrets.
pub fn secrets_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    hide(text, &mut |secret| found.push(secret.to_owned()));
    found
}

/// The text without secrets, each of which is told.
fn hide(text: &str, tell: &mut dyn FnMut(&str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if let Some(len) = token_at(text, at) {
            tell(&text[at..at + len]);
            out.push_str(REDACTED);
            at += len;
        } else if let Some((shown, hidden)) = named_at(text, at) {
            tell(&text[at + shown..at + shown + hidden]);
            out.push_str(&text[at..at + shown]);
            out.push_str(REDACTED);
            at += shown + hidden;
        } else {
            let len = text[at..].chars().next().map_or(1, char::len_utf8);
            out.push_str(&text[at..at + len]);
            at += len;
        }
    }
    credentials(&out, tell)
}

/// The words of a command line without secrets: every word behind a secret's flag up to the next flag, and whatever
/// [`redact`] finds in the others.
pub fn redact_args<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut hiding = false;
    let mut shown = Vec::new();
    for word in words {
        if let Some(flag) = word.strip_prefix('-').filter(|flag| !flag.is_empty()) {
            let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let secret = is_secret_name(name.trim_start_matches('-'));
            hiding = secret && value.is_none();
            let hidden = secret && value.is_some_and(|value| !value.is_empty());
            shown.push(if hidden { format!("-{name}={REDACTED}") } else { redact(word) });
        } else {
            shown.push(if hiding { REDACTED.to_owned() } else { redact(word) });
        }
    }
    shown
}

/// Whether the value of a flag, variable or key of this name is a secret. Flags that only count tokens are none.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|secret| name.ends_with(secret))
        || ["token", "key", "auth"].contains(&name.as_str())
        || ["_key", "_auth", "_pass", "_pwd"].iter().any(|end| name.ends_with(end))
        || ["secret", "password", "authorization"].iter().any(|part| name.contains(part))
}

/// The value of an environment variable if it may be shown: only one that is known to set up an engine, and that holds
/// no secret.
pub fn shown_env<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    let known = SHOWN_VARIABLES.iter().any(|start| name.starts_with(start));
    (known && !is_secret_name(name) && redact(value) == value).then_some(value)
}

/// The length of a token that begins at `at`.
fn token_at(text: &str, at: usize) -> Option<usize> {
    let tail = &text[at..];
    if text[..at].chars().next_back().is_some_and(char::is_alphanumeric) {
        return None;
    }
    TOKENS.iter().find_map(|(prefix, least)| {
        let body = tail.strip_prefix(prefix)?;
        let len = body.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
        (len >= *least).then_some(prefix.len() + len)
    })
}

/// The length of a name with its separator at `at`, and that of the value behind it.
fn named_at(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let begins = |name: &&&str| {
        bytes.len() >= at + name.len() && bytes[at..at + name.len()].eq_ignore_ascii_case(name.as_bytes())
    };
    let (name, bare) = match NAMES.iter().find(begins) {
        Some(name) => (*name, false),
        None => (*[&"token"].into_iter().find(begins)?, true),
    };
    let end = at + name.len();
    // `max_tokens` and `token_ids` are no secrets: the name must end here.
    if bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-') {
        return None;
    }
    let mut place = separator(bytes, end);
    let mut hidden = value(bytes, place);
    if name == "authorization" && SCHEMES.contains(&text[place..place + hidden].to_ascii_lowercase().as_str()) {
        let next = separator(bytes, place + hidden);
        let behind = value(bytes, next);
        if behind > 0 {
            (place, hidden) = (next, behind);
        }
    }
    // What was hidden before stays as it is; its bracket looks like that of a list.
    if text[..place].ends_with('[') && text[place - 1..].starts_with(REDACTED) {
        return None;
    }
    let separators = &text[end..place];
    let hides = &text[place..place + hidden];
    if bare {
        // The word alone is also one of prose and of counts.
        let begun = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        let long = hides.len() >= 8 && !hides.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        return (!begun && long && separators.contains(['=', ':'])).then_some((place - at, hidden));
    }
    let harmless = matches!(hides, "" | "None" | "True" | "False" | "null" | "true" | "false" | "Bearer" | "bearer");
    let separated = separators.contains(['=', ':', ' ']);
    (separated && !harmless).then_some((place - at, hidden))
}

/// Where the value begins behind a name that ends at `at`.
fn separator(bytes: &[u8], at: usize) -> usize {
    let is = |b: &&u8| matches!(b, b'\'' | b'"' | b'\\' | b'=' | b':' | b' ' | b'[' | b'(');
    at + bytes[at..].iter().take_while(is).count()
}

/// The length of the value that begins at `at`: up to its closing quote if it has one, else one word.
fn value(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[..at].last().copied().filter(|b| matches!(b, b'\'' | b'"'));
    if let Some(end) = quote.and_then(|quote| bytes[at..].iter().position(|b| *b == quote)) {
        return end - usize::from(end > 0 && bytes[at + end - 1] == b'\\');
    }
    let ends = |b: &u8| b.is_ascii_whitespace() || b"'\"\\,;&)]}".contains(b);
    bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at)
}

/// `scheme://user:password@host`.
fn credentials(text: &str, tell: &mut dyn FnMut(&str)) -> String {
    let Some(scheme) = text.find("://") else { return text.to_owned() };
    let start = scheme + 3;
    let host_end = text[start..].find(['/', ' ', '\'', '"']).map_or(text.len(), |e| start + e);
    let at = text[start..host_end].rfind('@').map(|at| start + at);
    match at.and_then(|at| Some((at, text[start..at].split_once(':')?))) {
        Some((at, (_, password))) => {
            if password != REDACTED {
                // Both: a program may print the one without the other.
                tell(&text[start..at]);
                tell(password);
            }
            format!("{}{REDACTED}{}", &text[..start], credentials(&text[at..], tell))
        }
        None => format!("{}{}", &text[..start], credentials(&text[start..], tell)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_figures_stay() {
        for (text, shown) in [
            ("Namespace(api_key='abc123', port=8000)", "Namespace(api_key='[redacted]', port=8000)"),
            ("--api-key abc123 --port 1", "--api-key [redacted] --port 1"),
            ("'api_key': ['k1']", "'api_key': ['[redacted]']"),
            ("HF_TOKEN=whatever x", "HF_TOKEN=[redacted] x"),
            ("bad hf_abcdefghijklmnopqrstuvwx in a path", "bad [redacted] in a path"),
            ("http://user:pw@host/x", "http://[redacted]@host/x"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
            ("Authorization: Basic dXNlcjpwdw== end", "Authorization: Basic [redacted] end"),
            (r#"{\"password\": \"two words\", \"n\": 1}"#, r#"{\"password\": \"[redacted]\", \"n\": 1}"#),
            ("password='two words' n=1", "password='[redacted]' n=1"),
            ("http://h/?token=abcdefgh1&n=1", "http://h/?token=[redacted]&n=1"),
            ("AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ] {
            assert_eq!(redact(text), shown);
            assert_eq!(redact(shown), shown, "what was redacted stays as it is");
        }
        for harmless in [
            "max_tokens=128",
            "skip_special_tokens=True",
            "api_key=None",
            "meta-llama/Llama-3.1-8B",
            "a://b:1/c@d",
            "time per token: 12.345678 ms",
            "num_key_value_heads=8",
        ] {
            assert_eq!(redact(harmless), harmless);
        }
    }

    #[test]
    fn what_is_hidden_is_told() {
        for (text, secrets) in [
            ("--otlp http://user:pa55word@host:1/x", &["user:pa55word", "pa55word"][..]),
            (r#"{"token": "abcdefgh", "n": 1}"#, &["abcdefgh"]),
            ("Authorization: Bearer abc.def", &["abc.def"]),
            ("at hf_abcdefghijklmnopqrstuvwx", &["hf_abcdefghijklmnopqrstuvwx"]),
            ("http://host:8000/x max_tokens=128", &[]),
            ("http://[redacted]@host and user:[redacted]", &[]),
        ] {
            assert_eq!(secrets_in(text), secrets, "{text}");
        }
    }

    #[test]
    fn every_value_of_a_secret_flag_is_hidden_and_no_other() {
        let words = ["vllm", "serve", "m", "--api-key", "k1", "k2", "--hf-token=t", "--max-num-batched-tokens", "2048"];
        let shown = redact_args(words.iter().copied().chain(["--header", "Authorization: Bearer x", "--token="]));
        let expected = "vllm serve m --api-key [redacted] [redacted] --hf-token=[redacted] \
            --max-num-batched-tokens 2048 --header Authorization: Bearer [redacted] --token=";
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn a_variable_is_shown_only_if_it_is_known_and_holds_no_secret() {
        assert_eq!(shown_env("VLLM_USE_V1", "1"), Some("1"));
        assert_eq!(shown_env("CUDA_VISIBLE_DEVICES", "0,1"), Some("0,1"));
        for (name, value) in [
            ("VLLM_API_KEY", "abc"),
            ("HF_TOKEN", "abc"),
            ("MY_SETTING", "abc"),
            ("MODEL", "http://u:p@h/m"),
            ("VLLM_NOTE", "hf_abcdefghijklmnopqrstuvwx"),
        ] {
            assert_eq!(shown_env(name, value), None, "{name}");
        }
    }
}
