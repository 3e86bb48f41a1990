//! Saved outputs of the vendors' tools, recognised by their content.

mod text;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use vramscope_gpu::document::Snapshot;
use vramscope_runs::open_file;
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::output;

/// A larger file is no output of these tools: that of 16 GPUs has a megabyte. In memory JSON that is made for it takes
/// thirty times as much.
const MAX_BYTES: u64 = 32 << 20;

/// What a text is. A program built without a vendor's support does not know its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(feature = "nvml")]
    NvidiaCsv,
    #[cfg(feature = "nvml")]
    NvidiaXml,
    #[cfg(feature = "nvml")]
    NvidiaQuery,
    #[cfg(feature = "nvml")]
    NvidiaTable,
    #[cfg(feature = "rocm")]
    Amd,
}

impl Kind {
    /// Whether one text is a whole report, so that several are not one machine's.
    fn is_whole(self) -> bool {
        match self {
            #[cfg(feature = "nvml")]
            Self::NvidiaCsv => false,
            #[cfg(feature = "nvml")]
            Self::NvidiaXml | Self::NvidiaQuery | Self::NvidiaTable => true,
            #[cfg(feature = "rocm")]
            Self::Amd => false,
        }
    }
}

/// Reads the files as outputs of one machine.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Snapshot> {
    let attempt = || -> anyhow::Result<Snapshot> {
        let mut texts: Vec<(Kind, PathBuf, String)> = Vec::new();
        for path in paths {
            texts.extend(load(path)?);
        }
        let Some(kind) = texts.first().map(|(kind, _, _)| *kind) else {
            bail!("find an output of nvidia-smi, amd-smi or rocm-smi in {}", paths[0].display());
        };
        if let Some((_, other, _)) = texts.iter().find(|(other, _, _)| *other != kind) {
            bail!(
                "join {} with {}: they are of different tools or forms; read them one by one",
                texts[0].1.display(),
                other.display()
            );
        }
        if kind.is_whole() && texts.len() > 1 {
            bail!(
                "join {} with {}: each is a whole report; read them one by one",
                texts[0].1.display(),
                texts[1].1.display()
            );
        }
        let names: Vec<String> = texts.iter().map(|(_, path, _)| path.display().to_string()).collect();
        let whole = texts.into_iter().map(|(_, _, text)| text).collect::<Vec<_>>().join("\n");
        parse(kind, &whole).with_context(|| format!("failed to read {}", names.join(" and ")))
    };
    attempt().or_exit(ExitCode::BadInput)
}

/// The recognised texts of a path. A file that is none is an error; in a folder it is passed over.
fn load(path: &Path) -> anyhow::Result<Vec<(Kind, PathBuf, String)>> {
    if path == Path::new("-") {
        let text = text::decode(&limited(std::io::stdin().lock()).context("failed to read stdin")?);
        return Ok(vec![(known(path, &text)?, path.to_owned(), text)]);
    }
    let failed = || format!("failed to read {}", path.display());
    if path.is_dir() {
        let mut files: Vec<PathBuf> =
            path.read_dir().with_context(failed)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
        files.sort();
        let mut found = Vec::new();
        for file in files.into_iter().filter(|file| file.is_file()) {
            let Ok(bytes) = open_file(&file).map_err(anyhow::Error::from).and_then(limited) else { continue };
            let text = text::decode(&bytes);
            match recognise(&text) {
                Some(kind) => found.push((kind, file, text)),
                None => output::say(&format!("note: {} is passed over: no output of these tools", file.display())),
            }
        }
        return Ok(found);
    }
    let bytes = open_file(path).map_err(anyhow::Error::from).and_then(limited).with_context(failed)?;
    let text = text::decode(&bytes);
    Ok(vec![(known(path, &text)?, path.to_owned(), text)])
}

fn limited(source: impl std::io::Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        bail!("it is larger than {} MiB, which no output of these tools is", MAX_BYTES >> 20);
    }
    Ok(bytes)
}

fn known(path: &Path, text: &str) -> anyhow::Result<Kind> {
    recognise(text).with_context(|| {
        format!("failed to recognise {}: {}", path.display(), text::told(text).unwrap_or(text::UNDERSTOOD))
    })
}

fn recognise(text: &str) -> Option<Kind> {
    nvidia(text).or_else(|| amd(text))
}

#[cfg(feature = "nvml")]
fn nvidia(text: &str) -> Option<Kind> {
    use vramscope_nvml::tools;
    tools::recognise(text).map(|kind| match kind {
        tools::Kind::Csv => Kind::NvidiaCsv,
        tools::Kind::Xml => Kind::NvidiaXml,
        tools::Kind::Query => Kind::NvidiaQuery,
        tools::Kind::Table => Kind::NvidiaTable,
    })
}

#[cfg(not(feature = "nvml"))]
fn nvidia(_: &str) -> Option<Kind> {
    None
}

#[cfg(feature = "rocm")]
fn amd(text: &str) -> Option<Kind> {
    vramscope_rocm::tools::recognise(text).then_some(Kind::Amd)
}

#[cfg(not(feature = "rocm"))]
fn amd(_: &str) -> Option<Kind> {
    None
}

#[cfg_attr(
    not(any(feature = "nvml", feature = "rocm")),
    expect(unused_variables, reason = "without any vendor's support there is nothing to read")
)]
fn parse(kind: Kind, text: &str) -> anyhow::Result<Snapshot> {
    match kind {
        #[cfg(feature = "nvml")]
        Kind::NvidiaCsv => Ok(vramscope_nvml::tools::read_csv(text)?),
        #[cfg(feature = "nvml")]
        Kind::NvidiaXml => Ok(vramscope_nvml::tools::read_xml(text)?),
        #[cfg(feature = "nvml")]
        Kind::NvidiaQuery => Ok(vramscope_nvml::tools::read_query(text)?),
        #[cfg(feature = "nvml")]
        Kind::NvidiaTable => Ok(vramscope_nvml::tools::read_table(text)?),
        #[cfg(feature = "rocm")]
        Kind::Amd => Ok(vramscope_rocm::tools::read(text)?),
    }
}
