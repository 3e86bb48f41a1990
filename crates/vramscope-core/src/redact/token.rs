//! Tokens that are told by how they begin.

use std::ops::Range;

/// What a token is made of behind its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Letters and digits: an underscore behind them makes it a name.
    Letters,
    /// Letters, digits, `_`, `-` and `.`.
    Words,
    /// Lower-case hexadecimal digits.
    Hex,
    /// As many lower-case hexadecimal digits, in no longer name: the beginning is that of many names.
    Digest,
    /// Capital letters and digits.
    Capitals,
    /// The rest of an address: letters, digits, `_`, `-`, `/` and `:`.
    Address,
}

/// Beginnings by which services mark their tokens, what follows them, and of that the fewest characters.
const TOKENS: &[(&str, Of, usize)] = &[
    // Hugging Face
    ("hf_", Of::Letters, 16),
    ("api_org_", Of::Letters, 16),
    // OpenAI, Anthropic, OpenRouter and those who copy them
    ("sk-", Of::Words, 16),
    // GitHub, GitLab
    ("ghp_", Of::Letters, 20),
    ("gho_", Of::Letters, 20),
    ("ghu_", Of::Letters, 20),
    ("ghs_", Of::Letters, 20),
    ("ghr_", Of::Letters, 20),
    ("github_pat_", Of::Words, 20),
    ("glpat-", Of::Words, 16),
    ("gldt-", Of::Words, 16),
    ("glrt-", Of::Words, 16),
    ("glptt-", Of::Words, 16),
    ("glcbt-", Of::Words, 16),
    // NVIDIA, Replicate, Groq, xAI, Perplexity, Cerebras, Together, RunPod, LangSmith, Pinecone
    ("nvapi-", Of::Words, 16),
    ("r8_", Of::Letters, 20),
    ("gsk_", Of::Letters, 20),
    ("xai-", Of::Letters, 20),
    ("pplx-", Of::Letters, 20),
    ("csk-", Of::Letters, 20),
    ("tgp_v1_", Of::Words, 20),
    ("rpa_", Of::Letters, 20),
    ("lsv2_pt_", Of::Words, 20),
    ("lsv2_sk_", Of::Words, 20),
    ("pcsk_", Of::Words, 20),
    ("wandb_v1_", Of::Words, 20),
    // npm, PyPI (every one of its tokens begins with the same version and address)
    ("npm_", Of::Letters, 20),
    ("pypi-AgE", Of::Words, 10),
    // Slack
    ("xoxa-", Of::Words, 16),
    ("xoxb-", Of::Words, 16),
    ("xoxc-", Of::Words, 16),
    ("xoxd-", Of::Words, 16),
    ("xoxe-", Of::Words, 16),
    ("xoxe.", Of::Words, 16),
    ("xoxo-", Of::Words, 16),
    ("xoxp-", Of::Words, 16),
    ("xoxr-", Of::Words, 16),
    ("xoxs-", Of::Words, 16),
    ("xapp-", Of::Words, 16),
    // Amazon, Google, DigitalOcean
    ("AKIA", Of::Capitals, 16),
    ("ASIA", Of::Capitals, 16),
    ("AIza", Of::Words, 30),
    ("ya29.", Of::Words, 20),
    ("GOCSPX-", Of::Words, 20),
    ("dop_v1_", Of::Hex, 32),
    ("doo_v1_", Of::Hex, 32),
    ("dor_v1_", Of::Hex, 32),
    // Alibaba, Tencent
    ("LTAI", Of::Letters, 16),
    ("AKID", Of::Letters, 28),
    // Databricks, Vault, Stripe, Twilio, SendGrid, Shopify, Atlassian
    ("dapi", Of::Hex, 32),
    ("hvs.", Of::Words, 20),
    ("sk_live_", Of::Letters, 16),
    ("sk_test_", Of::Letters, 16),
    ("rk_live_", Of::Letters, 16),
    ("rk_test_", Of::Letters, 16),
    ("whsec_", Of::Letters, 16),
    ("SK", Of::Hex, 32),
    ("SG.", Of::Words, 40),
    ("shpat_", Of::Hex, 32),
    ("ATATT3", Of::Words, 20),
    // Mailgun, Square, Postman, New Relic, Doppler, Sentry, RubyGems, Figma, Bitbucket, PlanetScale, Jina, E2B
    ("key-", Of::Digest, 32),
    ("sq0atp-", Of::Words, 20),
    ("sq0csp-", Of::Words, 20),
    ("PMAK-", Of::Words, 30),
    ("NRAK-", Of::Capitals, 27),
    ("dp.st.", Of::Words, 30),
    ("dp.pt.", Of::Words, 30),
    ("sntrys_", Of::Words, 30),
    ("sntryu_", Of::Hex, 32),
    ("rubygems_", Of::Hex, 32),
    ("figd_", Of::Words, 30),
    ("ATBB", Of::Letters, 24),
    ("pscale_tkn_", Of::Words, 30),
    ("pscale_pw_", Of::Words, 30),
    ("jina_", Of::Words, 40),
    ("e2b_", Of::Hex, 32),
    ("shpss_", Of::Hex, 32),
    ("shpca_", Of::Hex, 32),
    ("hvb.", Of::Words, 30),
    // Grafana, Docker, Tailscale, Linear, Notion, Tavily, Fireworks, Supabase, Pulumi, age
    ("glsa_", Of::Words, 20),
    ("dckr_pat_", Of::Words, 20),
    ("tskey-", Of::Words, 16),
    ("lin_api_", Of::Letters, 20),
    ("ntn_", Of::Letters, 20),
    ("tvly-", Of::Words, 16),
    ("fw_", Of::Letters, 20),
    ("sbp_", Of::Hex, 32),
    ("pul-", Of::Hex, 32),
    ("AGE-SECRET-KEY-1", Of::Capitals, 58),
    // Addresses that whoever knows them may write to, or speak as
    ("hooks.slack.com/services/", Of::Address, 20),
    ("discord.com/api/webhooks/", Of::Address, 20),
    ("discordapp.com/api/webhooks/", Of::Address, 20),
    ("api.telegram.org/bot", Of::Address, 20),
    // A JSON web token: `{"` in base64
    ("eyJ", Of::Words, 40),
];

/// What stands behind `sk-` in names of packages.
const PACKAGES: &[&str] = &["learn", "image", "video"];

/// A token inside a longer name has more characters than parts of names have.
const LEAST_INSIDE: usize = 30;

/// The beginnings.
pub(super) fn beginnings() -> impl Iterator<Item = &'static str> {
    TOKENS.iter().map(|(beginning, ..)| *beginning)
}

/// The end of a token that begins at `at`.
pub(super) fn token_at(text: &str, at: usize) -> Option<usize> {
    let before = text[..at].chars().next_back();
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let inside = before.is_some_and(|c| c == '_' || c == '-');
    let tail = &text.as_bytes()[at..];
    TOKENS.iter().find_map(|(beginning, of, least)| {
        let behind = tail.strip_prefix(beginning.as_bytes())?;
        if *beginning == "sk-" && !is_key(behind) {
            return None;
        }
        let run = &behind[..behind.iter().take_while(|b| of.has(**b)).count()];
        let ends = !behind.get(run.len()).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        // A full stop behind a token is the sentence's.
        let body = run.strip_suffix(b".").unwrap_or(run);
        let is_token = match of {
            Of::Words | Of::Address => true,
            Of::Letters | Of::Hex => ends,
            Of::Digest => ends && body.len() == *least && !inside && behind.get(run.len()) != Some(&b'-'),
            Of::Capitals => ends && body.len() == *least,
        };
        let least = if inside { LEAST_INSIDE.max(*least) } else { *least };
        (is_token && (body.len() >= least || *of == Of::Capitals)).then_some(at + beginning.len() + body.len())
    })
}

impl Of {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Letters => byte.is_ascii_alphanumeric(),
            Self::Words => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Hex | Self::Digest => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            Self::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Address => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b':'),
        }
    }
}

/// Where the random part of a key ends at the latest.
const RANDOM_BEGINS: usize = 128;

/// Whether this follows `sk-` in a key: words of a name are short, the random part of a key is long or mixed.
fn is_key(behind: &[u8]) -> bool {
    let body = &behind[..behind.iter().take(RANDOM_BEGINS).take_while(|b| Of::Words.has(**b)).count()];
    let mut parts = body.split(|b| !b.is_ascii_alphanumeric());
    if body.split(|b| *b == b'-').next().is_some_and(|first| PACKAGES.iter().any(|name| name.as_bytes() == first)) {
        return false;
    }
    parts.any(|part| {
        let has = |of: fn(&u8) -> bool| part.iter().any(of);
        let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        part.len() >= 16 || (part.len() >= 8 && mixed)
    })
}

/// A key of Weights & Biases behind its name, where `from` is behind that: forty digits, with nothing but words of a
/// login between.
pub(super) fn wandb_key(text: &str, from: usize) -> Option<Range<usize>> {
    const BETWEEN: &[&str] = &["", "login", "api", "key", "token", "relogin", "is", "your"];
    const LENGTH: usize = 40;
    let bytes = text.as_bytes();
    let mut at = from;
    for _ in 0..6 {
        let rest = &bytes[at..];
        let gap = rest.iter().take(8).take_while(|b| !b.is_ascii_alphanumeric() && **b != b'\n').count();
        let word = rest[gap..].iter().take(LENGTH + 1).take_while(|b| b.is_ascii_alphanumeric()).count();
        let (begins, ends) = (at + gap, at + gap + word);
        if word == LENGTH && gap > 0 && bytes[begins..ends].iter().all(|b| Of::Hex.has(*b)) {
            return Some(begins..ends);
        }
        let between = text.get(begins..ends)?;
        if gap == 0 || !BETWEEN.iter().any(|known| known.eq_ignore_ascii_case(between)) {
            return None;
        }
        at = ends;
    }
    None
}
