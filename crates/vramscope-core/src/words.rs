//! The words of a command line, taken apart as a program's own parser does it.

use crate::redact_args;

/// What a program's options are called. Names are without dashes in front, with dashes inside.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Short names, and the whole name of each.
    pub short: &'static [(&'static str, &'static str)],
    /// Options that take no value, by their whole name. Each may have `no-` in front.
    pub switches: &'static [&'static str],
    /// A short name whose value may follow without a space, and the option that it sets then (`-O3`).
    pub glued: &'static [(&'static str, &'static str)],
    /// Options that take all the words behind them that are no options, by their whole name. Any other takes one.
    pub several: &'static [&'static str],
}

/// An option with what was given for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flag<'w> {
    /// The whole name, without dashes in front, with dashes inside.
    pub name: String,
    /// The part of the value that is set, of `--compilation-config.mode 3`.
    pub field: Option<&'w str>,
    /// The value; `None` for a switch, and where it is absent.
    pub value: Option<&'w str>,
    /// Further words behind the value, of an option that takes several.
    pub more: Vec<&'w str>,
    /// Which word of the command line it is.
    pub place: usize,
}

/// A part of a command line: there is no third kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'w> {
    /// A word that belongs to no option: a subcommand, a model.
    Word(&'w str),
    /// An option.
    Flag(Flag<'w>),
}

impl Flag<'_> {
    /// The option as it may be shown to anybody: in the engine's spelling, with secrets hidden.
    pub fn shown(&self) -> String {
        let name = format!("--{}", self.full_name());
        let words = std::iter::once(name.as_str()).chain(self.value).chain(self.more.iter().copied());
        redact_args(words).join(" ")
    }

    /// The name with the part of the value that is set: `compilation-config.mode`.
    pub fn full_name(&self) -> String {
        self.field.map_or_else(|| self.name.clone(), |field| format!("{}.{field}", self.name))
    }
}

impl Grammar {
    /// The parts of a command line in their order. Underscores in names are dashes, a value stands behind its option or
    /// behind `=`, a switch takes none, and behind `--` there are words alone.
    pub fn read<'w, S: AsRef<str>>(&self, words: &'w [S]) -> Vec<Part<'w>> {
        let mut parts = Vec::new();
        let mut words = words.iter().map(AsRef::as_ref).enumerate().peekable();
        while let Some((place, word)) = words.next() {
            if word == "--" {
                parts.extend(words.by_ref().map(|(_, word)| Part::Word(word)));
                break;
            }
            let Some(mut flag) = self.flag(word, place) else {
                parts.push(Part::Word(word));
                continue;
            };
            let inline = flag.value.is_some();
            if !inline && !self.is_switch(&flag.name) {
                let mut behind = std::iter::from_fn(|| words.next_if(|(_, word)| !is_flag(word)).map(|(_, word)| word));
                flag.value = behind.next();
                if self.several.contains(&flag.name.as_str()) {
                    flag.more = behind.collect();
                }
            }
            parts.push(Part::Flag(flag));
        }
        parts
    }

    /// The options of a command line, in their order.
    pub fn flags<'w, S: AsRef<str>>(&self, words: &'w [S]) -> Vec<Flag<'w>> {
        let flag = |part| if let Part::Flag(flag) = part { Some(flag) } else { None };
        self.read(words).into_iter().filter_map(flag).collect()
    }

    /// The words of a command line but for the options whose whole names are dropped, and what was given for those.
    pub fn without<'w, S: AsRef<str>>(&self, words: &'w [S], dropped: impl Fn(&str) -> bool) -> Vec<&'w str> {
        let mut left = vec![true; words.len()];
        for flag in self.flags(words).iter().filter(|flag| dropped(&flag.name)) {
            // The value may stand in the same word, with `=` or glued to the name.
            let next = words.get(flag.place + 1).map(AsRef::as_ref);
            let apart = flag.value.zip(next).is_some_and(|(value, next)| std::ptr::eq(value, next));
            left[flag.place..=flag.place + usize::from(apart) + flag.more.len()].fill(false);
        }
        words.iter().zip(&left).filter(|(_, left)| **left).map(|(word, _)| word.as_ref()).collect()
    }

    /// The option that a word is, with the value in the same word; `None` for a word that is none.
    pub fn flag<'w>(&self, word: &'w str, place: usize) -> Option<Flag<'w>> {
        if !is_flag(word) {
            return None;
        }
        let of = |name: String, field, value| Some(Flag { name, field, value, more: Vec::new(), place });
        let Some(long) = word.strip_prefix("--") else {
            return self.short_flag(&word[1..], of);
        };
        let (name, value) = split(long);
        let (name, field) = name.split_once('.').map_or((name, None), |(name, field)| (name, Some(field)));
        of(name.replace('_', "-"), field, value)
    }

    fn short_flag<'w>(
        &self,
        word: &'w str,
        of: impl Fn(String, Option<&'w str>, Option<&'w str>) -> Option<Flag<'w>>,
    ) -> Option<Flag<'w>> {
        let (name, value) = split(word);
        let (base, field) = name.split_once('.').map_or((name, None), |(name, field)| (name, Some(field)));
        if let Some((_, whole)) = self.short.iter().find(|(short, _)| *short == base) {
            return of((*whole).to_owned(), field, value);
        }
        let glued = self.glued.iter().find_map(|(short, whole)| Some((whole, word.strip_prefix(short)?)));
        if let Some((whole, behind)) = glued.filter(|(_, behind)| !behind.starts_with('.')) {
            let value = behind.strip_prefix('=').unwrap_or(behind);
            return of((*whole).to_owned(), None, Some(value).filter(|value| !value.is_empty()));
        }
        of(base.replace('_', "-"), field, value)
    }

    /// Whether an option of this whole name takes no value.
    pub fn is_switch(&self, name: &str) -> bool {
        self.switches.contains(&name) || name.strip_prefix("no-").is_some_and(|bare| self.switches.contains(&bare))
    }
}

/// A word as a shell of Unix takes it.
///
/// ```
/// use vramscope_core::shell_quoted;
/// assert_eq!(shell_quoted("--max-model-len=4096"), "--max-model-len=4096");
/// assert_eq!(shell_quoted(r#"{"a": "it's"}"#), r#"'{"a": "it'\''s"}'"#);
/// ```
pub fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The name and the value of one word.
fn split(word: &str) -> (&str, Option<&str>) {
    word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)))
}

/// Whether a word is an option, and not a value such as `-1` or `-`.
fn is_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRAMMAR: Grammar = Grammar {
        short: &[("tp", "tensor-parallel-size"), ("cc", "compilation-config")],
        switches: &["enforce-eager", "prefix-caching"],
        glued: &[("O", "optimization-level")],
        several: &["api-key"],
    };

    fn read(line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let shown = |part: Part<'_>| match part {
            Part::Word(word) => word.to_owned(),
            Part::Flag(flag) => {
                let field = flag.field.map_or(String::new(), |field| format!(".{field}"));
                format!("{}{field}={:?}{:?}@{}", flag.name, flag.value.unwrap_or("-"), flag.more, flag.place)
            }
        };
        GRAMMAR.read(&words).into_iter().map(shown).collect()
    }

    #[test]
    fn words_are_left_out_with_what_was_given_for_them() {
        let without = |line: &str, name: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            GRAMMAR.without(&words, |its| its == name).join(" ")
        };
        let line = "serve m -tp 2 --api-key a b --enforce-eager --x=1 -O3";
        assert_eq!(without(line, "tensor-parallel-size"), "serve m --api-key a b --enforce-eager --x=1 -O3");
        assert_eq!(without(line, "api-key"), "serve m -tp 2 --enforce-eager --x=1 -O3");
        assert_eq!(without(line, "enforce-eager"), "serve m -tp 2 --api-key a b --x=1 -O3");
        assert_eq!(without(line, "x"), "serve m -tp 2 --api-key a b --enforce-eager -O3");
        assert_eq!(without(line, "optimization-level"), "serve m -tp 2 --api-key a b --enforce-eager --x=1");
        assert_eq!(without("serve -tp", "tensor-parallel-size"), "serve");
    }

    #[test]
    fn both_spellings_short_names_and_values_in_the_word_or_behind_it() {
        assert_eq!(
            read("serve m --max_model_len 8 -tp=2"),
            ["serve", "m", "max-model-len=\"8\"[]@2", "tensor-parallel-size=\"2\"[]@4"]
        );
        assert_eq!(
            read("-O3 -O=2 -O 1 -Odecode"),
            [
                "optimization-level=\"3\"[]@0",
                "optimization-level=\"2\"[]@1",
                "optimization-level=\"1\"[]@2",
                "optimization-level=\"decode\"[]@4"
            ]
        );
        assert_eq!(
            read("-cc.mode=3 --compilation_config.pass_config 1"),
            ["compilation-config.mode=\"3\"[]@0", "compilation-config.pass_config=\"1\"[]@1"]
        );
    }

    #[test]
    fn what_is_shown_of_an_option_has_no_secret() {
        let words = ["--api_key", "s3cr3tA", "--admin-api-key=s3cr3tB", "--hf-token", "s3cr3tC", "--seed", "7"];
        let shown: Vec<String> = GRAMMAR.flags(&words).iter().map(Flag::shown).collect();
        assert_eq!(shown.last().unwrap(), "--seed 7");
        assert!(!shown.join(" ").contains("s3cr3t"), "{shown:?}");
    }

    #[test]
    fn a_switch_takes_no_value_and_several_words_may_be_one() {
        assert_eq!(
            read("--enforce-eager m --no-prefix-caching n"),
            ["enforce-eager=\"-\"[]@0", "m", "no-prefix-caching=\"-\"[]@2", "n"]
        );
        assert_eq!(read("--api-key a b --seed -1 - -- --x"), ["api-key=\"a\"[\"b\"]@0", "seed=\"-1\"[]@3", "-", "--x"]);
        assert_eq!(
            read("serve --seed 8 m"),
            ["serve", "seed=\"8\"[]@1", "m"],
            "a word behind a value is no second one"
        );
    }

    proptest! {
        #[test]
        fn any_words_are_taken_apart_and_none_is_lost(words in prop::collection::vec("[-a-zO=.1_ é]{0,6}", 0..8)) {
            let parts = GRAMMAR.read(&words);
            let marks = words.iter().filter(|word| *word == "--").count().min(1);
            let counted: usize = parts
                .iter()
                .map(|part| match part {
                    Part::Word(_) => 1,
                    Part::Flag(flag) => {
                        let own = GRAMMAR.flag(&words[flag.place], 0).unwrap().value.is_some();
                        1 + usize::from(!own && flag.value.is_some()) + flag.more.len()
                    }
                })
                .sum();
            prop_assert_eq!(counted + marks, words.len());
        }
    }
}
