//! Keeps secrets out of every text, command line and environment that leaves the program.
//!
//! A text is passed through once: an automaton finds the few places where a secret may begin, and each place is looked
//! at alone. What was looked at is not looked at again, so time is linear in the text, whatever it is made of.

mod address;
mod name;
mod named;
mod token;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

pub use name::is_secret_name;

/// What stands for a secret.
pub const REDACTED: &str = "[redacted]";

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

/// What an anchor may be the beginning, or a part, of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    /// `://`, behind which a user and a password may stand.
    Address,
    /// A token that is told by how it begins.
    Token,
    /// A part of a name whose value may be a secret.
    Name,
    /// A private key in PEM armour.
    PrivateKey,
    /// The word before keys of Weights & Biases, which have no mark of their own.
    Wandb,
}

/// The anchors in any case, and what each is.
static ANCHORS: LazyLock<(Option<AhoCorasick>, Vec<Anchor>)> = LazyLock::new(|| {
    let mut anchors = vec![("://", Anchor::Address), ("-----BEGIN ", Anchor::PrivateKey), ("wandb", Anchor::Wandb)];
    anchors.extend(token::beginnings().map(|beginning| (beginning, Anchor::Token)));
    anchors.extend(name::PARTS.iter().map(|part| (*part, Anchor::Name)));
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(anchors.iter().map(|(text, _)| text));
    // Building fails for millions of patterns alone.
    (automaton.ok(), anchors.into_iter().map(|(_, anchor)| anchor).collect())
});

/// The text without secrets.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut shown = 0;
    secrets(text, &mut |secret| {
        out.push_str(&text[shown..secret.start]);
        out.push_str(REDACTED);
        shown = secret.end;
    });
    out.push_str(&text[shown..]);
    out
}

/// The secrets that [`redact`] takes out of a text, for whoever must find them in other texts, where nothing tells that
/// they are secrets.
pub fn secrets_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    secrets(text, &mut |secret| {
        let hidden = &text[secret.clone()];
        found.push(hidden.to_owned());
        // Both: a program may print the password without its user.
        if text[..secret.start].ends_with("://")
            && let Some((_, password)) = hidden.split_once(':')
        {
            found.push(password.to_owned());
        }
    });
    found
}

/// Tells where the secrets of a text are, in their order; none touches another one.
fn secrets(text: &str, tell: &mut dyn FnMut(Range<usize>)) {
    let (Some(automaton), anchors) = &*ANCHORS else { return };
    let mut address = address::Addresses::new(text);
    // Up to where secrets were found, and up to where names were looked at.
    let (mut hidden, mut named) = (0, 0);
    for found in automaton.find_overlapping_iter(text) {
        let at = found.start();
        if at < hidden {
            continue;
        }
        let anchor = anchors.get(found.pattern().as_usize()).copied().unwrap_or(Anchor::Name);
        let mut hide = |secret: Range<usize>| {
            hidden = secret.end;
            tell(secret);
        };
        match anchor {
            Anchor::Address => address.user_at(found.end()).into_iter().for_each(&mut hide),
            Anchor::PrivateKey => address.private_key_at(found.end()).into_iter().for_each(&mut hide),
            Anchor::Wandb => token::wandb_key(text, found.end()).into_iter().for_each(&mut hide),
            Anchor::Token => token::token_at(text, at).into_iter().for_each(|end| hide(at..end)),
            Anchor::Name if at >= named => named = named::values(text, at, &mut hide),
            Anchor::Name => {}
        }
    }
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

/// The value of an environment variable if it may be shown: only one that is known to set up an engine, and that holds
/// no secret.
pub fn shown_env<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    let known = SHOWN_VARIABLES.iter().any(|start| name.starts_with(start));
    (known && !is_secret_name(name) && redact(value) == value).then_some(value)
}

#[cfg(test)]
#[path = "redact/tests.rs"]
mod tests;
