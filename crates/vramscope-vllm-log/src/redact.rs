//! Keeps secrets out of every text that leaves the crate.

/// What stands for a secret.
const MASK: &str = "[redacted]";

/// Prefixes by which well-known services mark their tokens, with the fewest characters that must follow.
const TOKENS: &[(&str, usize)] = &[
    ("hf_", 16),
    ("sk-", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxb-", 16),
    ("AKIA", 16),
    ("AIza", 30),
    ("eyJ", 40),
];

/// Names whose value is a secret, in any case: `api_key=…`, `'token': …`, `Authorization: Bearer …`, `--api-key …`.
const NAMES: &[&str] =
    &["api_key", "api-key", "apikey", "_token", "-token", "secret", "password", "passwd", "authorization", "bearer"];

/// The text without secrets.
pub(crate) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if let Some(len) = token_at(text, at) {
            out.push_str(MASK);
            at += len;
        } else if let Some((shown, hidden)) = named_at(text, at) {
            out.push_str(&text[at..at + shown]);
            out.push_str(MASK);
            at += shown + hidden;
        } else {
            let len = text[at..].chars().next().map_or(1, char::len_utf8);
            out.push_str(&text[at..at + len]);
            at += len;
        }
    }
    credentials(&out)
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
    let name = NAMES.iter().find(|name| {
        bytes.len() >= at + name.len() && bytes[at..at + name.len()].eq_ignore_ascii_case(name.as_bytes())
    })?;
    let mut place = at + name.len();
    // `max_tokens` and `token_ids` are no secrets: the name must end here.
    if bytes.get(place).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-') {
        return None;
    }
    let value = place;
    while matches!(bytes.get(place), Some(b'\'' | b'"' | b'=' | b':' | b' ' | b'[' | b'(')) {
        place += 1;
    }
    let separated = text[value..place].contains(['=', ':', ' ']);
    let hidden =
        bytes[place..].iter().take_while(|b| !matches!(b, b'\'' | b'"' | b',' | b' ' | b')' | b']' | b'}')).count();
    let value = &text[place..place + hidden];
    let harmless = matches!(value, "" | "None" | "True" | "False" | "Bearer" | "bearer");
    (separated && !harmless).then_some((place - at, hidden))
}

/// `scheme://user:password@host`.
fn credentials(text: &str) -> String {
    let Some(scheme) = text.find("://") else { return text.to_owned() };
    let start = scheme + 3;
    let host_end = text[start..].find(['/', ' ', '\'', '"']).map_or(text.len(), |e| start + e);
    match text[start..host_end].rfind('@') {
        Some(at) if text[start..start + at].contains(':') => {
            format!("{}{MASK}{}", &text[..start], credentials(&text[start + at..]))
        }
        _ => format!("{}{}", &text[..start], credentials(&text[start..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_figures_stay() {
        assert_eq!(redact("Namespace(api_key='abc123', port=8000)"), "Namespace(api_key='[redacted]', port=8000)");
        assert_eq!(redact("--api-key abc123 --port 1"), "--api-key [redacted] --port 1");
        assert_eq!(redact("'api_key': ['k1']"), "'api_key': ['[redacted]']");
        assert_eq!(redact("HF_TOKEN=whatever x"), "HF_TOKEN=[redacted] x");
        assert_eq!(redact("bad hf_abcdefghijklmnopqrstuvwx in a path"), "bad [redacted] in a path");
        assert_eq!(redact("http://user:pw@host/x"), "http://[redacted]@host/x");
        assert_eq!(redact("Authorization: Bearer abc.def"), "Authorization: Bearer [redacted]");
        for harmless in
            ["max_tokens=128", "skip_special_tokens=True", "api_key=None", "meta-llama/Llama-3.1-8B", "a://b:1/c@d"]
        {
            assert_eq!(redact(harmless), harmless);
        }
    }
}
