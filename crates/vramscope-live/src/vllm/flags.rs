//! Which flags an engine takes, by its own help, and what to call them.

use std::collections::BTreeSet;

/// Flags whose name changed between releases: each row is one flag, by all its names.
const RENAMED: &[&[&str]] = &[
    // Request logging was on until 0.10 and has to be asked for since.
    &["disable-log-requests", "no-enable-log-requests"],
    &["enable-chunked-context", "enable-chunked-prefill"],
    &["use-tqdm-on-load", "enable-tqdm-on-load"],
];

/// Names that come close enough to be suggested.
const SIMILAR: f64 = 0.84;

/// The flags that a help text lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags(BTreeSet<String>);

/// A flag that the engine does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use {dashes}{name}: this engine's help does not list it{}", suggest(.similar))]
#[non_exhaustive]
pub struct FlagError {
    /// The flag without dashes in front.
    pub name: String,
    /// The dashes: one before a short name.
    pub dashes: String,
    /// Flags of the engine with similar names.
    pub similar: Vec<String>,
}

fn suggest(similar: &[String]) -> String {
    if similar.is_empty() {
        return "; look at its --help".to_owned();
    }
    format!("; did you mean {}?", similar.iter().map(|name| format!("--{name}")).collect::<Vec<_>>().join(" or "))
}

impl Flags {
    /// Finds the flags in a help text, long ones and short ones.
    pub fn read(help: &str) -> Self {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let words = help.split(|c: char| !word(c)).filter(|word| word.len() > 1 && word.starts_with('-'));
        let names = words.map(|word| word.trim_start_matches('-').replace('_', "-"));
        let mut names: BTreeSet<String> =
            names.filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic())).collect();
        // vLLM's parser makes one of these of `-O`, `-O3` and `-O.mode=3` before it looks at its list.
        if ["optimization-level", "compilation-config"].iter().any(|name| names.contains(*name)) {
            names.insert("O".to_owned());
        }
        Self(names)
    }

    /// Whether there are none: the text was no help.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name under which the engine takes a flag, which may be that of another release.
    ///
    /// # Errors
    /// [`FlagError`] if it takes it under no name.
    pub fn name(&self, wanted: &str) -> Result<String, FlagError> {
        // `--compilation-config.cudagraph_mode` sets a field of `--compilation-config`; a field is a key of JSON and stays
        // as it is spelled.
        let (base, field) = wanted.split_once('.').map_or((wanted, None), |(base, field)| (base, Some(field)));
        let base = &base.replace('_', "-");
        let whole = |base: &str| field.map_or(base.to_owned(), |field| format!("{base}.{field}"));
        // A switch of argparse's boolean kind is listed with and without `no-`; older ones only without.
        if self.0.contains(base) {
            return Ok(whole(base));
        }
        let other = RENAMED.iter().filter(|row| row.contains(&base.as_str())).flat_map(|row| row.iter());
        if let Some(known) = other.copied().find(|known| self.0.contains(*known)) {
            return Ok(whole(known));
        }
        Err(FlagError { similar: self.similar(base), dashes: "--".to_owned(), name: whole(base) })
    }

    fn similar(&self, name: &str) -> Vec<String> {
        let mut near: Vec<(f64, &String)> =
            self.0.iter().map(|known| (strsim::jaro_winkler(name, known), known)).filter(|n| n.0 >= SIMILAR).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        near.into_iter().take(2).map(|(_, known)| known.clone()).collect()
    }

    /// The words of a command line with each flag under the engine's name.
    ///
    /// # Errors
    /// [`FlagError`] for the first flag that the engine does not take.
    pub fn translate(&self, words: &[String]) -> Result<Vec<String>, FlagError> {
        words
            .iter()
            .map(|word| {
                let Some(flag) = word.strip_prefix('-').filter(|rest| !is_number(rest)) else {
                    return Ok(word.clone());
                };
                let name = flag.trim_start_matches('-');
                let dashes = &word[..word.len() - name.len()];
                let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
                // `-O3`: a short flag with its value behind it.
                if dashes == "-" && !self.0.contains(name) && self.0.iter().any(|f| f.len() == 1 && name.starts_with(f))
                {
                    return Ok(word.clone());
                }
                let name = self.name(name).map_err(|error| FlagError { dashes: dashes.to_owned(), ..error })?;
                Ok(value.map_or(format!("{dashes}{name}"), |value| format!("{dashes}{name}={value}")))
            })
            .collect()
    }
}

/// A negative number is a value.
fn is_number(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "\
options:
  -h, --help            show this help message and exit
  --input-len INPUT_LEN
  --max-model-len MAX_MODEL_LEN
  --enable-prefix-caching, --no-enable-prefix-caching
  --tensor-parallel-size, -tp INT
  --compilation-config, -O JSON
  --no-enable-log-requests
";

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn flags_are_taken_under_the_engines_names() {
        let flags = Flags::read(HELP);
        let line =
            words("--max_model_len=32 -tp 2 --no-enable-prefix-caching --disable-log-requests -O3 --input-len -1");
        let expected =
            words("--max-model-len=32 -tp 2 --no-enable-prefix-caching --no-enable-log-requests -O3 --input-len -1");
        assert_eq!(flags.translate(&line).unwrap(), expected);
        let levels = words("-O3 -O 2 -O.mode=3 -tp=2");
        assert_eq!(Flags::read("--optimization-level N, as -O1, -tp").translate(&levels).unwrap(), levels);
        assert_eq!(flags.name("compilation-config.mode").unwrap(), "compilation-config.mode");
        // A field is a key of JSON: dashes in the place of its underscores make another key of it.
        let field = words("--compilation_config.cudagraph_mode=NONE -O.max_cudagraph_capture_size=8");
        let whole = words("--compilation-config.cudagraph_mode=NONE -O.max_cudagraph_capture_size=8");
        assert_eq!(flags.translate(&field).unwrap(), whole);
        assert!(Flags::read("nothing here").is_empty());
    }

    #[test]
    fn an_unknown_flag_is_refused_with_what_comes_close() {
        let error = Flags::read(HELP).translate(&words("--max-model-length 5")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "use --max-model-length: this engine's help does not list it; did you mean --max-model-len?"
        );
        let short = Flags::read(HELP).translate(&words("-zz 5")).unwrap_err();
        assert_eq!(short.to_string(), "use -zz: this engine's help does not list it; look at its --help");
        assert!(Flags::read(HELP).name("zebra").unwrap_err().similar.is_empty());
    }
}
