//! Which data set is asked for, as it is written on a command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where prompts and lengths come from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DatasetSpec {
    /// Prompts from the seed, no two alike.
    Random,
    /// A JSON list of conversations.
    ShareGpt {
        /// The file.
        path: PathBuf,
        /// Turns of a conversation that are sent, each with what was said before it; 1 sends only the first.
        turns: u32,
    },
    /// A line of JSON for each request.
    Jsonl {
        /// The file.
        path: PathBuf,
    },
    /// Prompts from the seed, of which a part begins alike.
    Prefix {
        /// The part of the requests, 0 to 1.
        share: f64,
        /// The tokens with which they begin.
        len: u64,
    },
    /// The lengths and times of requests that somebody recorded.
    Trace {
        /// The file.
        path: PathBuf,
    },
}

const EXPECTED: &str =
    "write random, sharegpt:FILE, sharegpt:FILE,turns=N, jsonl:FILE, prefix:SHARE,LENGTH or trace:FILE";
/// Conversations of more turns than this are cut there anyhow.
const MOST_TURNS: u32 = 1000;

impl FromStr for DatasetSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; {EXPECTED}");
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        if kind != "random" && rest.is_empty() {
            return Err(wrong(&format!("`{text}` names no data set")));
        }
        match kind {
            "random" if rest.is_empty() => Ok(Self::Random),
            "sharegpt" => {
                let (path, turns) = match rest.rsplit_once(",turns=") {
                    None => (rest, 1),
                    Some((path, turns)) => {
                        let turns = turns.parse().ok().filter(|turns| (1..=MOST_TURNS).contains(turns));
                        (path, turns.ok_or_else(|| wrong(&format!("turns is a number from 1 to {MOST_TURNS}")))?)
                    }
                };
                Ok(Self::ShareGpt { path: path.into(), turns })
            }
            "jsonl" => Ok(Self::Jsonl { path: rest.into() }),
            "trace" => Ok(Self::Trace { path: rest.into() }),
            "prefix" => {
                let (share, len) = rest.split_once(',').ok_or_else(|| wrong("a prefix has a share and a length"))?;
                let share = match share.trim().strip_suffix('%') {
                    Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
                    None => share.trim().parse(),
                };
                let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
                let share = share.ok_or_else(|| wrong("the share is a number from 0 to 1, or up to 100 %"))?;
                let len = len.trim().parse().ok().filter(|len| *len > 0);
                Ok(Self::Prefix { share, len: len.ok_or_else(|| wrong("the length is a number of tokens"))? })
            }
            _ => Err(wrong(&format!("there is no data set `{kind}`"))),
        }
    }
}

impl fmt::Display for DatasetSpec {
    /// As it is written on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("random"),
            Self::ShareGpt { path, turns: 1 } => write!(f, "sharegpt:{}", path.display()),
            Self::ShareGpt { path, turns } => write!(f, "sharegpt:{},turns={turns}", path.display()),
            Self::Jsonl { path } => write!(f, "jsonl:{}", path.display()),
            Self::Prefix { share, len } => write!(f, "prefix:{share},{len}"),
            Self::Trace { path } => write!(f, "trace:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_told_what_there_is() {
        for text in
            ["random", "sharegpt:a,b.json", "sharegpt:a.json,turns=3", "jsonl:x:y", "prefix:0.5,256", "trace:t.csv"]
        {
            assert_eq!(text.parse::<DatasetSpec>().unwrap().to_string(), text);
        }
        assert_eq!("prefix:25%,16".parse(), Ok(DatasetSpec::Prefix { share: 0.25, len: 16 }));
        for text in [
            "",
            "x",
            "sharegpt:",
            "trace",
            "random:x",
            "prefix:0.5",
            "prefix:2,8",
            "prefix:nan,8",
            "prefix:0.5,0",
            "sharegpt:a,turns=0",
            "sharegpt:a,turns=x",
        ] {
            assert!(text.parse::<DatasetSpec>().unwrap_err().contains("trace:FILE"), "{text}");
        }
    }
}
