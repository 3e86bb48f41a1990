//! What is known of a container.

use std::path::{Path, PathBuf};

use bollard::models::{ContainerInspectResponse, MountPoint};
use vramscope_core::{redact_args, shown_env};

/// A container, as the daemon tells it. Secrets of its arguments are taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ContainerInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image, as it was named when the container was made.
    pub image: String,
    /// The command line of its first process.
    pub args: Vec<String>,
    /// The names of its variables, with the values of those that set up an engine and hold no secret.
    pub env: Vec<(String, Option<String>)>,
    /// The model, by the command line or the environment.
    pub model: Option<String>,
    /// Folders of this machine that it sees.
    pub mounts: Vec<ContainerMount>,
    /// Its ports that can be reached from this machine.
    pub ports: Vec<PublishedPort>,
    /// Whether it has this machine's network, where each of its ports is one of this machine.
    pub host_network: bool,
    /// Whether it runs.
    pub running: bool,
    /// Its first process, as this machine numbers it; `None` if it does not run.
    pub pid: Option<u32>,
}

/// A folder of this machine inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerMount {
    /// On this machine.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
}

/// A port of a container that can be reached from this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedPort {
    /// In the container.
    pub container: u16,
    /// On this machine.
    pub host: u16,
}

/// Variables that name the model, as the usual images read them.
const MODEL_VARIABLES: &[&str] = &["MODEL", "MODEL_ID", "HF_MODEL_ID", "VLLM_MODEL", "MODEL_NAME", "MODEL_PATH"];

/// Options that do.
const MODEL_OPTIONS: &[&str] = &["--model", "--model-id", "--model-path"];

impl ContainerInfo {
    pub(super) fn new(answer: ContainerInspectResponse) -> Self {
        let config = answer.config.unwrap_or_default();
        let state = answer.state.unwrap_or_default();
        let words: Vec<String> = answer.path.into_iter().chain(answer.args.unwrap_or_default()).collect();
        let env: Vec<(String, String)> = config.env.unwrap_or_default().iter().filter_map(|e| split(e)).collect();
        let mode = answer.host_config.and_then(|host| host.network_mode);
        let ports = answer.network_settings.and_then(|network| network.ports).unwrap_or_default();
        let mut ports: Vec<PublishedPort> = ports
            .iter()
            .filter_map(|(port, bound)| {
                let host = bound.as_ref()?.iter().find_map(|binding| binding.host_port.as_ref()?.parse().ok())?;
                Some(PublishedPort { container: port.split('/').next()?.parse().ok()?, host })
            })
            .collect();
        ports.sort_by_key(|port| port.container);
        let shown = |(name, value): (String, String)| {
            let value = shown_env(&name, &value).map(str::to_owned);
            (name, value)
        };
        let running = state.running == Some(true);
        Self {
            id: answer.id.unwrap_or_default(),
            name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            image: config.image.unwrap_or_default(),
            model: model(&words, &env),
            args: redact_args(words.iter().map(String::as_str)),
            env: env.into_iter().map(shown).collect(),
            mounts: answer.mounts.unwrap_or_default().into_iter().filter_map(mount).collect(),
            ports,
            host_network: mode.as_deref() == Some("host"),
            running,
            pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| running && *pid > 0),
        }
    }

    /// Where a path of the container lies on this machine, if it lies in one of its mounts.
    pub fn on_this_machine(&self, path: &Path) -> Option<PathBuf> {
        let covers = |mount: &&ContainerMount| path.starts_with(&mount.target);
        let mount = self.mounts.iter().filter(covers).max_by_key(|mount| mount.target.components().count())?;
        Some(mount.source.join(path.strip_prefix(&mount.target).ok()?))
    }
}

fn split(entry: &str) -> Option<(String, String)> {
    entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn mount(point: MountPoint) -> Option<ContainerMount> {
    Some(ContainerMount { source: point.source?.into(), target: point.destination?.into() })
}

/// The model that a command line or an environment names: `vllm serve X`, `--model X`, `--model=X`, `MODEL=X`.
fn model(words: &[String], env: &[(String, String)]) -> Option<String> {
    // `sh -c "vllm serve X"` is one word.
    let split = |word: &String| -> Vec<String> {
        let parts =
            if words.iter().any(|word| word == "-c") { word.split_whitespace() } else { return vec![word.clone()] };
        parts.map(|part| part.trim_matches(['"', '\'']).to_owned()).collect()
    };
    let words: Vec<String> = words.iter().flat_map(split).collect();
    let mut named = None;
    for (at, word) in words.iter().enumerate() {
        let (name, inline) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        if MODEL_OPTIONS.contains(&name) {
            named = inline.map(str::to_owned).or_else(|| words.get(at + 1).cloned()).or(named);
        } else if word == "serve" {
            named = words.get(at + 1).filter(|next| !next.starts_with('-')).cloned().or(named);
        }
    }
    let variable = |name: &&str| env.iter().find(|(key, value)| key == name && !value.is_empty());
    named.or_else(|| MODEL_VARIABLES.iter().find_map(variable).map(|(_, value)| value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str], env: &[(&str, &str)]) -> Option<String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        model(&words, &env)
    }

    #[test]
    fn the_model_is_found_where_people_write_it() {
        let expected = Some("org/m".to_owned());
        assert_eq!(found(&["vllm", "serve", "org/m", "--port", "1"], &[]), expected);
        assert_eq!(found(&["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "org/m"], &[]), expected);
        assert_eq!(found(&["vllm", "serve", "--model=org/m"], &[]), expected);
        assert_eq!(found(&["/bin/sh", "-c", "cd /x && exec vllm serve 'org/m' --port 1"], &[]), expected);
        assert_eq!(found(&["text-generation-launcher"], &[("MODEL_ID", "org/m")]), expected);
        assert_eq!(found(&["vllm", "serve", "org/m"], &[("MODEL", "other")]), expected, "the command line wins");
        assert_eq!(found(&["vllm", "serve", "--port", "1"], &[("MODEL", "")]), None);
    }

    #[test]
    fn a_path_of_the_container_is_found_on_this_machine() {
        let mount = |source: &str, target: &str| ContainerMount { source: source.into(), target: target.into() };
        let mounts = vec![mount("/data", "/models"), mount("/fast", "/models/llama")];
        let info = ContainerInfo { mounts, ..ContainerInfo::default() };
        assert_eq!(info.on_this_machine(Path::new("/models/llama/config.json")), Some("/fast/config.json".into()));
        assert_eq!(info.on_this_machine(Path::new("/models/qwen")), Some("/data/qwen".into()));
        assert_eq!(info.on_this_machine(Path::new("/modelsother")), None);
    }
}
