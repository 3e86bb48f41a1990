//! The command line of a server that a person wrote, as far as it tells where to ask and with which key.

use std::net::{TcpListener, ToSocketAddrs as _};
use std::path::PathBuf;

use vramscope_core::{EngineKind, EngineLine, redact_args, secrets_in};
use vramscope_host::{Command, EngineHost};

use super::ServedError;
use crate::conduct::without_folders;
use crate::vllm::words::{HEARD_ELSEWHERE, KEY_VARIABLE, USUAL_PORT, told};
use crate::{EngineWords, Secrets, llama_cpp, ollama, sglang};

/// A server's command line.
#[derive(Clone)]
pub struct ServerLine {
    words: Vec<String>,
    host: String,
    port: u16,
    api_key: Option<String>,
    secrets: Secrets,
}

impl std::fmt::Debug for ServerLine {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerLine").field("words", &self.shown()).finish_non_exhaustive()
    }
}

impl ServerLine {
    /// Reads the words of a person, with the configuration file that they name. `inherited` are the variables that the
    /// engine inherits: they may hold its key, and secrets.
    ///
    /// # Errors
    /// [`ServedError`].
    pub async fn read(words: &[String], inherited: &[(String, String)]) -> Result<Self, ServedError> {
        if words.is_empty() {
            return Err(ServedError::NoCommand);
        }
        let mut read = EngineWords { words: words.to_vec(), ..EngineWords::default() };
        if let Some(file) = read.config_file().map(PathBuf::from) {
            let config = crate::plan::config_words(&EngineHost::process(), &file).await;
            read.config = config.map_err(|error| ServedError::Config(Box::new(error)))?;
        }
        let all = read.all();
        let last = |name: &str| told(&all, |flag| flag == name).pop();
        if let Some(flag) = HEARD_ELSEWHERE.iter().find(|flag| last(flag).is_some()) {
            return Err(ServedError::Listens { flag: (*flag).to_owned() });
        }
        let (usual_host, usual_port) = usual_place(words, inherited);
        let host = match last("host").or(usual_host).as_deref() {
            None | Some("0.0.0.0" | "localhost" | "") => "127.0.0.1".to_owned(),
            Some("::") => "::1".to_owned(),
            Some(host) => host.to_owned(),
        };
        let port = last("port").or(usual_port).map_or(Ok(USUAL_PORT), |text| {
            text.parse().ok().filter(|port| *port > 0).ok_or(ServedError::Port { text })
        })?;
        let of_variable = || inherited.iter().find(|(name, _)| name == KEY_VARIABLE).map(|(_, value)| value.clone());
        let api_key = told(&all, |flag| flag == "api-key").into_iter().next().or_else(of_variable);
        let held = inherited.iter().flat_map(|(name, value)| {
            if vramscope_core::is_secret_name(name) { vec![value.clone()] } else { secrets_in(value) }
        });
        let secret = told(&all, vramscope_core::is_secret_name);
        let within = all.iter().flat_map(|word| secrets_in(word));
        let secrets = Secrets::new(held.chain(secret).chain(within).chain(api_key.clone()));
        Ok(Self { words: words.to_vec(), host, port, api_key, secrets })
    }

    /// Where it will answer.
    pub fn url(&self) -> String {
        if self.host.contains(':') {
            return format!("http://[{}]:{}", self.host, self.port);
        }
        format!("http://{}:{}", self.host, self.port)
    }

    /// The key that it asks for, if it is told one.
    pub fn api_key(&self) -> Option<&str> {
        self.api_key.as_deref()
    }

    /// What must not be seen of it.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Its words, without secrets and of paths only the last part, which says nothing of the machine.
    pub fn shown(&self) -> Vec<String> {
        let hidden = self.secrets.hide_words(&redact_args(self.words.iter().map(String::as_str)));
        hidden.iter().map(|word| without_folders(word)).collect()
    }

    /// What is started. Its output is not held back by a buffer.
    ///
    /// # Errors
    /// [`ServedError::Taken`] where something listens already at its address: that would be asked in its place.
    pub fn command(&self) -> Result<Command, ServedError> {
        let place = (self.host.as_str(), self.port);
        // An address that is not this machine's, or a port that is not for everybody, is for the engine to complain of.
        let taken = |error: std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
        let mut addresses = place.to_socket_addrs().into_iter().flatten();
        if addresses.any(|address| TcpListener::bind(address).is_err_and(taken)) {
            return Err(ServedError::Taken { place: format!("{}:{}", self.host, self.port) });
        }
        let (program, arguments) = self.words.split_first().ok_or(ServedError::NoCommand)?;
        let command = arguments.iter().fold(Command::new(program), Command::arg);
        Ok(command.env("PYTHONUNBUFFERED", "1"))
    }
}

/// Where an engine listens whose line does not say it: host and port, as far as it is another place than the usual one.
fn usual_place(words: &[String], inherited: &[(String, String)]) -> (Option<String>, Option<String>) {
    let Some(line) = EngineLine::of(words) else { return (None, None) };
    match line.kind {
        EngineKind::LlamaCpp => (None, Some(llama_cpp::USUAL_PORT.to_string())),
        EngineKind::SgLang => (None, Some(sglang::USUAL_PORT.to_string())),
        EngineKind::Ollama => {
            let of_variable = || inherited.iter().find(|(name, _)| name == ollama::LISTENS).map(|(_, value)| &**value);
            let (host, port) = ollama::place(line.variable(words, ollama::LISTENS).or_else(of_variable));
            (Some(host), Some(port))
        }
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(line: &str, inherited: &[(&str, &str)]) -> Result<ServerLine, ServedError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let inherited: Vec<(String, String)> =
            inherited.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ServerLine::read(&words, &inherited).await
    }

    #[tokio::test]
    async fn address_and_key_are_those_of_the_command_line() {
        let line = read("vllm serve m --port 8124 --host=0.0.0.0 --api_key plainword", &[]).await.unwrap();
        assert_eq!((line.url().as_str(), line.api_key()), ("http://127.0.0.1:8124", Some("plainword")));
        let shown = format!("{:?} {line:?}", line.shown());
        assert!(!shown.contains("plainword") && shown.contains("8124"), "{shown}");
        let line = read("vllm serve m --host ::", &[("VLLM_API_KEY", "another-key")]).await.unwrap();
        assert_eq!((line.url().as_str(), line.api_key()), ("http://[::1]:8000", Some("another-key")));
        assert_eq!(line.secrets().hide("see another-key"), "see [redacted]");
    }

    #[tokio::test]
    async fn each_engine_listens_where_it_usually_does() {
        for (line, url) in [
            ("vllm serve m", "http://127.0.0.1:8000"),
            ("llama-server -m x.gguf", "http://127.0.0.1:8080"),
            ("sglang serve --model-path m", "http://127.0.0.1:30000"),
            ("python3 -m sglang.launch_server --model-path m --port 31000", "http://127.0.0.1:31000"),
            ("ollama serve", "http://127.0.0.1:11434"),
            ("env OLLAMA_HOST=0.0.0.0:12000 ollama serve", "http://127.0.0.1:12000"),
        ] {
            assert_eq!(read(line, &[]).await.unwrap().url(), url, "{line}");
        }
        let told = read("ollama serve", &[("OLLAMA_HOST", "http://[::1]:9")]).await.unwrap();
        assert_eq!(told.url(), "http://[::1]:9");
        let wrong = read("ollama serve", &[("OLLAMA_HOST", "a:b")]).await;
        assert!(matches!(wrong, Err(ServedError::Port { text }) if text == "b"));
    }

    #[tokio::test]
    async fn a_configuration_file_counts_as_the_words_that_it_holds() {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), "port: 8125\napi-key: of-the-file\n").unwrap();
        let line = read(&format!("vllm serve m --config {}", file.path().display()), &[]).await.unwrap();
        assert_eq!((line.url().as_str(), line.api_key()), ("http://127.0.0.1:8125", Some("of-the-file")));
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_refused_before_it_is_started() {
        assert!(matches!(read("", &[]).await, Err(ServedError::NoCommand)));
        assert!(matches!(read("vllm serve m --port x", &[]).await, Err(ServedError::Port { text }) if text == "x"));
        let error = read("vllm serve m --uds /tmp/s", &[]).await.unwrap_err();
        assert!(matches!(&error, ServedError::Listens { flag } if flag == "uds"), "{error}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = read(&format!("vllm serve m --port {port}"), &[]).await.unwrap();
        assert!(matches!(line.command(), Err(ServedError::Taken { .. })));
        drop(listener);
        // Tests beside this one take free ports too, and may have got this very one for a moment.
        let tries = || std::iter::repeat_with(|| line.command()).take(100);
        let free = tries().find_map(|command| match command {
            Err(ServedError::Taken { .. }) => {
                std::thread::sleep(std::time::Duration::from_millis(50));
                None
            }
            other => Some(other),
        });
        let command = free.unwrap().unwrap();
        assert_eq!((command.program.as_str(), command.args[0].as_str()), ("vllm", "serve"));
    }
}
