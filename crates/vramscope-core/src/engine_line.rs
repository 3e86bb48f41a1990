//! Which engine a command line starts, whatever stands in front of its program.

use crate::EngineKind;

/// Programs that start an engine, by their file names, with the subcommands without which the name may be another word.
const PROGRAMS: &[(&str, EngineKind, &[&str])] = &[
    ("vllm", EngineKind::Vllm, &["serve", "bench", "run-batch", "complete", "chat", "launch"]),
    ("llama-server", EngineKind::LlamaCpp, &[]),
    ("llama-cli", EngineKind::LlamaCpp, &[]),
    ("llama-bench", EngineKind::LlamaCpp, &[]),
    ("ollama", EngineKind::Ollama, &["serve", "run", "pull", "start"]),
    ("sglang", EngineKind::SgLang, &["serve", "generate"]),
    ("text-generation-launcher", EngineKind::Tgi, &[]),
    ("text-generation-server", EngineKind::Tgi, &[]),
];

/// Packages of Python that are run as modules (`python3 -m PACKAGE.…`).
const PACKAGES: &[(&str, EngineKind)] =
    &[("vllm", EngineKind::Vllm), ("sglang", EngineKind::SgLang), ("text_generation_server", EngineKind::Tgi)];

/// Names of container images, without registry and tag.
const IMAGES: &[(&str, EngineKind)] = &[
    ("vllm-openai", EngineKind::Vllm),
    ("vllm-openai-rocm", EngineKind::Vllm),
    ("vllm-tpu", EngineKind::Vllm),
    ("vllm-dev", EngineKind::Vllm),
    ("vllm", EngineKind::Vllm),
    ("sglang", EngineKind::SgLang),
    ("ollama", EngineKind::Ollama),
    ("text-generation-inference", EngineKind::Tgi),
    ("llama.cpp", EngineKind::LlamaCpp),
];

const CONTAINERS: &[&str] = &["docker", "podman", "nerdctl"];

/// Options of `docker run` whose value is the next word: a volume, a network or a name may be called as an image is.
const OF_CONTAINERS: &[&str] = &[
    "--add-host",
    "--annotation",
    "--cap-add",
    "--cap-drop",
    "--cgroup-parent",
    "--cidfile",
    "--cpus",
    "--cpuset-cpus",
    "--cpuset-mems",
    "--device",
    "--dns",
    "--entrypoint",
    "--env",
    "--env-file",
    "--expose",
    "--gpus",
    "--group-add",
    "--hostname",
    "--ip",
    "--ipc",
    "--label",
    "--label-file",
    "--link",
    "--log-driver",
    "--log-opt",
    "--mac-address",
    "--memory",
    "--memory-swap",
    "--mount",
    "--name",
    "--net",
    "--network",
    "--network-alias",
    "--pid",
    "--platform",
    "--publish",
    "--pull",
    "--restart",
    "--runtime",
    "--security-opt",
    "--shm-size",
    "--stop-signal",
    "--stop-timeout",
    "--sysctl",
    "--tmpfs",
    "--ulimit",
    "--user",
    "--userns",
    "--volume",
    "--volumes-from",
    "--workdir",
    "-a",
    "-c",
    "-e",
    "-h",
    "-l",
    "-m",
    "-p",
    "-u",
    "-v",
    "-w",
];

/// A command line whose engine is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineLine {
    /// The engine that it starts.
    pub kind: EngineKind,
    /// How many words stand before the engine's own: the program, and what stands in front of it.
    pub lead: usize,
}

impl EngineLine {
    /// The engine that words start: its program by name or path, a module of Python, or a container's image. Variables
    /// and other programs may stand in front (`env A=1 numactl -N 0 vllm serve …`). `None` where no engine is named.
    ///
    /// ```
    /// use vramscope_core::{EngineKind, EngineLine};
    /// let line = EngineLine::of(&["CUDA_VISIBLE_DEVICES=1", "vllm", "serve", "a/b"]).unwrap();
    /// assert_eq!((line.kind, line.lead), (EngineKind::Vllm, 2));
    /// assert_eq!(EngineLine::of(&["serve", "a/b", "--served-model-name", "vllm"]), None);
    /// ```
    pub fn of<S: AsRef<str>>(words: &[S]) -> Option<Self> {
        Self::found(words, true)
    }

    /// `images`: a container's image names an engine too. Behind an image none does.
    fn found<S: AsRef<str>>(words: &[S], images: bool) -> Option<Self> {
        let first = words.first()?.as_ref();
        // Words of an engine without its program: what looks like a program among them is a value.
        if first.starts_with('-') || PROGRAMS.iter().any(|(_, _, next)| next.contains(&first)) {
            return None;
        }
        let mut contained = false;
        for (at, word) in words.iter().map(AsRef::as_ref).enumerate() {
            let next = words.get(at + 1).map(AsRef::as_ref);
            let before = at.checked_sub(1).map(|before| words[before].as_ref());
            if contained && before.is_some_and(|before| OF_CONTAINERS.contains(&before)) {
                continue;
            }
            // An image may be started with the program's name again.
            if let Some(kind) = image(word).filter(|_| contained && images) {
                let again = words.get(at + 1..).and_then(|behind| Self::found(behind, false));
                let again = again.filter(|again| again.kind == kind);
                return Some(Self { kind, lead: at + 1 + again.map_or(0, |again| again.lead) });
            }
            let kind = match before {
                Some("-m") => packaged(word),
                _ => program(word, next, at == 0),
            };
            if let Some(kind) = kind {
                return Some(Self { kind, lead: at + 1 });
            }
            contained |= CONTAINERS.contains(&file_name(word));
        }
        None
    }

    /// The variables that are set in front of the program: `VLLM_USE_V1=1 vllm …`, `docker run -e A=b …`; the last of a
    /// name counts.
    pub fn variable<'w, S: AsRef<str>>(&self, words: &'w [S], name: &str) -> Option<&'w str> {
        let lead = words.get(..self.lead)?.iter().map(AsRef::as_ref);
        let set = |word: &'w str| word.strip_prefix("--env=").unwrap_or(word);
        lead.rev().find_map(|word| set(word).strip_prefix(name)?.strip_prefix('='))
    }

    /// The engine's release, where it starts from a container's image whose tag names one: `0.33.0` of
    /// `vllm/vllm-openai:v0.33.0`, `b10434` of `llama.cpp:server-cuda-b10434`. `None` for `latest` and the like.
    ///
    /// ```
    /// use vramscope_core::EngineLine;
    /// let words = ["docker", "run", "lmsysorg/sglang:v0.5.5.post3-cu129", "sglang", "serve"];
    /// assert_eq!(EngineLine::of(&words).unwrap().release(&words), Some("0.5.5.post3"));
    /// ```
    pub fn release<'w, S: AsRef<str>>(&self, words: &'w [S]) -> Option<&'w str> {
        let lead: Vec<&str> = words.get(..self.lead)?.iter().map(AsRef::as_ref).collect();
        let container = lead.iter().position(|word| CONTAINERS.contains(&file_name(word)))?;
        let behind = lead.get(container + 1..)?.iter().zip(lead.get(container..)?);
        let mut images =
            behind.filter(|(word, before)| image(word) == Some(self.kind) && !OF_CONTAINERS.contains(before));
        let name = images.next()?.0.split('@').next()?.rsplit('/').next()?;
        let mut pieces = name.split_once(':')?.1.split('-');
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if self.kind == EngineKind::LlamaCpp {
            return pieces.find(|piece| piece.strip_prefix('b').is_some_and(is_number));
        }
        let release = pieces.next()?;
        let release = release.strip_prefix('v').unwrap_or(release);
        let mut numbers = release.split('.');
        // Who packs engines for others numbers images by year and month.
        let first = numbers.next().and_then(|major| major.parse::<u64>().ok());
        let whole = first.is_some_and(|major| major < 20) && numbers.next().is_some_and(is_number);
        whole.then_some(release)
    }
}

fn file_name(word: &str) -> &str {
    let name = word.rsplit(['/', '\\']).next().unwrap_or_default();
    name.strip_suffix(".exe").unwrap_or(name)
}

/// A program that stands first needs no subcommand; `llama` is one with any.
fn program(word: &str, next: Option<&str>, first: bool) -> Option<EngineKind> {
    let name = file_name(word);
    if first && name == "llama" && next.is_some() {
        return Some(EngineKind::LlamaCpp);
    }
    // Packages call their builds of it `llama-server-vulkan` and the like.
    let name = if name.starts_with("llama-server-") { "llama-server" } else { name };
    let (_, kind, subcommands) = PROGRAMS.iter().find(|(its, ..)| *its == name)?;
    let named = subcommands.is_empty() || first || next.is_some_and(|next| subcommands.contains(&next));
    named.then_some(*kind)
}

fn packaged(module: &str) -> Option<EngineKind> {
    let package = module.split('.').next().unwrap_or(module);
    PACKAGES.iter().find(|(name, _)| *name == package).map(|(_, kind)| *kind)
}

/// An image by its name; a plain word is no image, for volumes and networks have names too.
fn image(word: &str) -> Option<EngineKind> {
    if word.contains('=') || word.starts_with(['-', '/', '.']) || !word.contains(['/', ':']) {
        return None;
    }
    let path = word.split('@').next().unwrap_or(word);
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.split(':').next().unwrap_or(name);
    IMAGES.iter().find(|(its, _)| *its == name).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Option<(EngineKind, usize)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        EngineLine::of(&words).map(|line| (line.kind, line.lead))
    }

    #[test]
    fn the_tag_of_an_image_names_the_release() {
        for (line, release) in [
            ("docker run --gpus all vllm/vllm-openai:v0.33.0 --model m", Some("0.33.0")),
            ("docker run -v a:/b --name x/vllm:1.2 vllm/vllm-openai:v0.32.1-x86_64 --model m", Some("0.32.1")),
            ("podman run reg.example:5000/x/vllm-openai:v0.31.0@sha256:ab --model m", Some("0.31.0")),
            ("docker run reg.example:5000/vllm/vllm-openai --model m", None),
            ("docker run vllm/vllm-openai:nightly-0123abc --model m", None),
            ("docker run lmsysorg/sglang:latest sglang serve", None),
            ("docker run -e OLLAMA_NUM_PARALLEL=2 ollama/ollama:0.32.1-rocm serve", Some("0.32.1")),
            ("docker run ghcr.io/ggml-org/llama.cpp:server-cuda-b10434 -m a.gguf", Some("b10434")),
            ("docker run ghcr.io/ggml-org/llama.cpp:server-cuda -m a.gguf", None),
            ("vllm serve vllm/vllm-openai:v0.33.0", None),
            ("docker run nvcr.io/nvidia/vllm:25.09-py3 vllm serve m", None),
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(EngineLine::of(&words).unwrap().release(&words), release, "{line}");
        }
    }

    #[test]
    fn programs_modules_and_images_are_told_behind_whatever_stands_in_front() {
        for (line, kind, lead) in [
            ("vllm serve m", EngineKind::Vllm, 1),
            ("vllm --version", EngineKind::Vllm, 1),
            ("/opt/v/bin/vllm serve m", EngineKind::Vllm, 1),
            ("python3 -u -m vllm.entrypoints.cli.main serve m", EngineKind::Vllm, 4),
            ("python -m vllm.entrypoints.openai.api_server --model m", EngineKind::Vllm, 3),
            ("A=1 B=2 vllm serve m", EngineKind::Vllm, 3),
            ("env A=1 vllm serve m", EngineKind::Vllm, 3),
            ("numactl -N 0 vllm serve m", EngineKind::Vllm, 4),
            ("srun -n1 --gres=gpu:1 uv run vllm serve m", EngineKind::Vllm, 6),
            ("nsys profile -o out python -m vllm.entrypoints.cli.main serve m", EngineKind::Vllm, 7),
            ("docker run --gpus all -v /a/vllm:/vllm -p 8:8 vllm/vllm-openai:v0.25.1 --model m", EngineKind::Vllm, 9),
            (
                "docker run -v vllm-cache:/root --name llama-server -v models:/opt/vllm --net x/vllm vllm/vllm-openai --model m",
                EngineKind::Vllm,
                11,
            ),
            ("podman run reg.example:5000/x/vllm-openai@sha256:ab --model m", EngineKind::Vllm, 3),
            ("llama-server -m a.gguf", EngineKind::LlamaCpp, 1),
            ("/opt/bin/llama-server-vulkan -m a.gguf", EngineKind::LlamaCpp, 1),
            ("docker run ghcr.example/ggml-org/llama.cpp:server-cuda -m a.gguf", EngineKind::LlamaCpp, 3),
            ("docker run rocm/vllm:latest vllm serve m", EngineKind::Vllm, 4),
            ("docker run rocm/vllm python -m vllm.entrypoints.openai.api_server --model m", EngineKind::Vllm, 6),
            ("ollama run llama3", EngineKind::Ollama, 1),
            ("python -m sglang.launch_server --model-path m", EngineKind::SgLang, 3),
            ("sglang serve --model-path m", EngineKind::SgLang, 1),
            ("text-generation-launcher --model-id m", EngineKind::Tgi, 1),
        ] {
            assert_eq!(read(line), Some((kind, lead)), "{line}");
        }
    }

    #[test]
    fn words_without_a_program_name_no_engine() {
        for line in [
            "",
            "serve m --served-model-name vllm",
            "--served-model-name vllm serve",
            "m --tokenizer vllm",
            "docker run -v vllm:/root --network vllm other/image:1",
            "python3 train.py --out vllm/x",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn variables_in_front_of_the_program_are_its_own() {
        let words = ["A=1", "A=2", "vllm", "serve", "m", "--x", "A=3"];
        let line = EngineLine::of(&words).unwrap();
        assert_eq!((line.variable(&words, "A"), line.variable(&words, "B")), (Some("2"), None));
        let words = ["docker", "run", "-v", "models:/opt/vllm", "-e", "A=1", "--env=B=2", "x/vllm:1", "--model", "m"];
        let line = EngineLine::of(&words).unwrap();
        assert_eq!((line.variable(&words, "A"), line.variable(&words, "B")), (Some("1"), Some("2")));
    }

    #[test]
    fn a_line_of_a_million_images_is_read() {
        let words: Vec<&str> = ["docker", "a/vllm"].into_iter().cycle().take(1_000_000).collect();
        assert_eq!(EngineLine::of(&words).map(|line| line.lead), Some(2));
    }

    proptest! {
        #[test]
        fn any_words_are_read_and_the_lead_lies_within_them(words in prop::collection::vec("[-a-z/.:=1 ]{0,8}|vllm|serve|docker|-m", 0..9)) {
            if let Some(line) = EngineLine::of(&words) {
                prop_assert!(line.lead >= 1 && line.lead <= words.len());
            }
        }
    }
}
