//! How SGLang's server is started for a run: what is added to its command line, and what it says of itself.

use std::path::{Path, PathBuf};

use vramscope_estimate::{SGLANG_LINE, SgLangLine};

use crate::plan::PlanError;

/// The usual program: every release has the module, `sglang serve` only later ones.
pub(crate) const PROGRAM: &str = "python3 -m sglang.launch_server";
/// Where it listens unless it is told.
pub(crate) const USUAL_PORT: u16 = 30_000;
/// Flags that would take the run away from what is measured: where the server listens, and how it is reached.
const OURS: [&str; 4] = ["host", "port", "ssl-keyfile", "ssl-certfile"];
/// Where it says how it is set and what it holds; later releases have the second name, and keep the first for a while.
pub(crate) const SETTINGS: [&str; 2] = ["/get_server_info", "/server_info"];

/// The first flag that must not be given.
pub(crate) fn told_by_us(words: &[String]) -> Option<&'static str> {
    let given = SGLANG_LINE.flags(words);
    given.iter().find_map(|flag| OURS.into_iter().find(|ours| *ours == flag.name))
}

/// The model, as the words name it: an id, or a folder.
pub(crate) fn model(program: &[String], words: &[String]) -> Result<Option<String>, PlanError> {
    let line = [program, words].concat();
    Ok(SgLangLine::read(&line).map_err(|error| PlanError::OfOther(Box::new(error)))?.model)
}

/// The config of a model that is a folder of this machine.
pub(crate) fn config(model: &str) -> Option<Vec<u8>> {
    let folder: PathBuf = Some(Path::new(model)).filter(|path| path.is_dir())?.to_owned();
    vramscope_analysis::read_config_text(&folder.join("config.json")).ok()
}

/// Token ids that a model has, by its config. Unit: count.
pub(crate) fn vocabulary(config: &[u8]) -> Option<u64> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    config.get("vocab_size").or_else(|| config.get("text_config")?.get("vocab_size"))?.as_u64()
}

/// What is added to the words of a person: where it listens, and its metrics. At its usual level it prints all that it
/// allocates; who sets another one gets what that says.
pub(crate) fn added(words: &[String], host: &str, port: u16) -> Vec<String> {
    let mut added = vec!["--host".to_owned(), host.to_owned(), "--port".to_owned(), port.to_string()];
    if !SGLANG_LINE.flags(words).iter().any(|flag| flag.name == "enable-metrics") {
        added.push("--enable-metrics".to_owned());
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn where_it_listens_and_its_metrics_are_added_and_nothing_that_was_said() {
        assert_eq!(added(&words("serve --model-path a/b"), "h", 7).join(" "), "--host h --port 7 --enable-metrics");
        assert_eq!(added(&words("serve --model-path a/b --enable-metrics"), "h", 7).join(" "), "--host h --port 7");
        assert_eq!(told_by_us(&words("-m sglang.launch_server --model-path a/b --port=80")), Some("port"));
        assert_eq!(told_by_us(&words("serve --model-path a/b --tp 2")), None);
    }

    #[test]
    fn a_config_tells_how_many_token_ids_there_are() {
        assert_eq!(vocabulary(br#"{"vocab_size": 512}"#), Some(512));
        assert_eq!(vocabulary(br#"{"text_config": {"vocab_size": 77}}"#), Some(77));
        assert_eq!((vocabulary(b"{}"), vocabulary(b"no json")), (None, None));
    }

    #[test]
    fn the_model_is_read_behind_either_program() {
        for (program, own) in [
            ("sglang", "serve --model-path a/b --tp 2"),
            ("python3", "-m sglang.launch_server --model a/b"),
            ("python3 -m sglang.launch_server", "--model-path a/b"),
        ] {
            assert_eq!(model(&words(program), &words(own)).unwrap().as_deref(), Some("a/b"), "{program} {own}");
        }
        assert!(model(&words("sglang"), &words("serve --model-path a/b --tp none")).is_err());
    }
}
