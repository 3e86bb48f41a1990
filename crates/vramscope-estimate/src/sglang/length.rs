//! The longest request, as each release takes it from the config, and what it refuses (`model_config.py`).
//!
//! Until 0.3.4 any length that is asked for is taken. Since then one above the config's is refused unless a variable is set;
//! 0.4.4 to 0.5.0 take it unasked and warn. Read in 0.2.15, 0.3.0 to 0.3.6, 0.4.0 to 0.4.4, 0.4.7, 0.4.9, 0.4.10,
//! 0.5.0rc2, 0.5.1 to 0.5.3, 0.5.12, 0.5.20 and 0.5.23.

use vramscope_core::Architecture;

use super::args::SgLangArgs;
use super::error::SgLangError;

/// The variable by which the server takes a length above the config's.
pub const SGLANG_ALLOWS_LONG: &str = "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN";

/// The length that the config states: stretched by a factor, but not where the section names the original length, as YaRN's
/// does (`get_context_length`).
pub(super) fn own(model: &Architecture) -> Option<u64> {
    model.lengths.map(|lengths| lengths.stretched_but_for_yarn).or(model.max_positions)
}

/// The longest request: as asked, else as the config states it.
///
/// # Errors
/// [`SgLangError::LongerThanModel`] for a length that the release refuses; none is asked for and the config states none.
pub(super) fn context(model: &Architecture, args: &SgLangArgs) -> Result<u64, SgLangError> {
    match (args.context_length, own(model)) {
        (Some(asked), Some(most)) if asked > most && !takes_longer(args) => {
            Err(SgLangError::LongerThanModel { version: args.version.to_string(), asked, most })
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(own)) => Ok(own),
        (None, None) => Err(SgLangError::Missing {
            what: "the table of requests",
            missing: "the config states no length: give --context-length after `--`",
        }),
    }
}

/// Whether the release takes a length above the config's, as the line sets its variable.
pub(super) fn takes_longer(args: &SgLangArgs) -> bool {
    let set = args.allow_longer_context.as_deref();
    let is = |words: &[&str]| set.is_some_and(|set| words.contains(&set.to_ascii_lowercase().as_str()));
    match args.version {
        version if !version.from(3, 5) => true,
        // Any word will do, `0` too.
        version if !version.from(4, 0) => set.is_some_and(|set| !set.is_empty()),
        version if version.from(4, 4) && !version.from(5, 1) => set.is_none() || is(&["true", "1"]),
        version if !version.from(5, 3) => is(&["true", "1"]),
        _ => is(&["true", "1", "yes", "y"]),
    }
}

/// What to know of a length above the config's that is taken.
pub(super) fn note(model: &Architecture, args: &SgLangArgs) -> Option<String> {
    let (asked, own) = (args.context_length?, own(model)?);
    (asked > own).then(|| {
        format!("the config states {own} tokens: the server warns of {asked}, and answers beyond them may be wrong")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests_support::llama_8b;

    fn found(version: &str, set: Option<&str>) -> Result<u64, SgLangError> {
        let args = SgLangArgs {
            version: version.parse().unwrap(),
            context_length: Some(200_000),
            allow_longer_context: set.map(str::to_owned),
            ..SgLangArgs::default()
        };
        context(&llama_8b(), &args)
    }

    #[test]
    fn each_release_refuses_a_length_above_the_config_as_its_source_says() {
        for version in ["0.2.15", "0.3.4", "0.4.4", "0.4.10", "0.5.0"] {
            assert_eq!(found(version, None), Ok(200_000), "{version}");
        }
        for version in ["0.3.5", "0.4.3.post4", "0.5.1", "0.5.12", "0.5.23"] {
            assert!(matches!(found(version, None), Err(SgLangError::LongerThanModel { .. })), "{version}");
            assert_eq!(found(version, Some("1")), Ok(200_000), "{version}");
        }
        assert!(found("0.3.6", Some("0")).is_ok() && found("0.4.0", Some("0")).is_err());
        assert!(found("0.4.4", Some("false")).is_err());
        assert!(found("0.5.2", Some("yes")).is_err() && found("0.5.3", Some("yes")).is_ok());
    }

    #[test]
    fn a_refusal_says_what_the_config_states_and_how_it_is_overruled() {
        let text = found("0.5.12", None).unwrap_err().to_string();
        assert!(text.contains("131072") && text.contains(&format!("{SGLANG_ALLOWS_LONG}=1")), "{text}");
    }

    #[test]
    fn without_a_wish_the_length_is_the_configs() {
        assert_eq!(context(&llama_8b(), &SgLangArgs::default()), Ok(131_072));
        let shorter = SgLangArgs { context_length: Some(4096), ..SgLangArgs::default() };
        assert_eq!((context(&llama_8b(), &shorter), note(&llama_8b(), &shorter)), (Ok(4096), None));
    }
}
