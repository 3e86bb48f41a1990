//! Which files of a folder are evidence, and how they are opened.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use vramscope_unpack::{Unpacked, open_file};

use crate::layout;
use crate::utf16::{Order, Utf16};

/// Files that speak of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvidenceFiles {
    /// What the engine printed; several files are read as one, in this order.
    pub engine_logs: Vec<PathBuf>,
    /// What a GPU tool or our sampler recorded; several files of one format are read as one, in this order.
    pub gpu_logs: Vec<PathBuf>,
    /// The model's `config.json`, or the folder that holds it.
    pub model: Option<PathBuf>,
    /// The header of the model's file, where the model is one file: the file itself, or what a recording kept of it.
    pub packed: Option<PathBuf>,
    /// What the benchmark wrote.
    pub bench: Option<PathBuf>,
    /// The engine's command line.
    pub args: Option<PathBuf>,
    /// Instants that the host wrote down.
    pub marks: Option<PathBuf>,
    /// How the run ended, as its conductor wrote it down.
    pub record: Option<PathBuf>,
    /// Readings of the engine's metrics.
    pub metrics: Option<PathBuf>,
    /// What the transformers probe wrote.
    pub probe: Option<PathBuf>,
    /// What the server said of its settings and memory, of an engine whose server says it.
    pub answered: Option<PathBuf>,
    /// What PyTorch's allocator said of itself, in the order of the names.
    pub snapshots: Vec<PathBuf>,
    /// The folder is of a run that was conducted and has no record: who conducted it was killed, or is still at it.
    pub unfinished: bool,
    /// The log is one that was found and not named so: it may be of anything.
    pub log_is_guessed: bool,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file or folder cannot be opened or read.
    #[error("read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder without anything to analyze.
    #[error(
        "find evidence in {}: expected {}, gpu.csv or a .jsonl timeline, config.json, bench.json",
        .path.display(),
        layout::ENGINE_LOGS.join(" or ")
    )]
    NothingFound {
        /// The folder.
        path: PathBuf,
    },
    /// A folder of nothing but snapshots of PyTorch's allocator.
    #[error(
        "find evidence in {}: it has no engine's log and no readings of GPUs, only snapshots of PyTorch's allocator; \
         `vramscope snapshot` and `vramscope report` take such files by their names",
        .path.display()
    )]
    SnapshotsAlone {
        /// The folder.
        path: PathBuf,
    },
    /// A file larger than its kind can be.
    #[error("read {}: it is larger than {limit} bytes, more than a file of its kind can have", .path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}

impl EvidenceFiles {
    /// Every file.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let single = [
            &self.model,
            &self.packed,
            &self.bench,
            &self.args,
            &self.marks,
            &self.record,
            &self.metrics,
            &self.probe,
            &self.answered,
        ];
        let lists = self.engine_logs.iter().chain(&self.gpu_logs).chain(&self.snapshots);
        lists.chain(single.into_iter().flatten()).map(PathBuf::as_path)
    }

    /// Looks for the parts of a recording in a folder. A compressed log has `.gz` or `.zst` behind its name.
    ///
    /// # Errors
    /// [`FileError::Read`] if the folder cannot be listed, [`FileError::NothingFound`] or [`FileError::SnapshotsAlone`]
    /// if it holds neither an engine log nor a GPU log.
    pub fn find(folder: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Read { path: folder.to_owned(), source };
        let mut names: Vec<String> = Vec::new();
        for entry in folder.read_dir().map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        names.sort_unstable();
        let plain = |name: &str| names.iter().any(|n| n == name).then(|| folder.join(name));
        let packed = |name: &str| {
            let compressed = || [".gz", ".zst"].iter().find_map(|end| plain(&format!("{name}{end}")));
            plain(name).or_else(compressed)
        };
        let timeline = |name: &&String| name.ends_with(".jsonl") && *name != layout::METRICS;
        let any_timeline = || names.iter().find(timeline).map(|n| folder.join(n));
        // Who conducts a run begins these before the engine is started, and writes its end last. Logs by another name are
        // somebody's own.
        let begun = [layout::ARGS, layout::TIMELINE].iter().all(|name| plain(name).is_some());
        let log = layout::ENGINE_LOGS.iter().find(|name| packed(name).is_some());
        let is_conducted = begun && log.is_none_or(|name| *name == layout::ENGINE_LOG);
        let gpu_log = layout::GPU_LOGS.iter().find_map(|name| packed(name)).or_else(any_timeline);
        // Beside readings of devices the only log there is is the engine's, whatever somebody called it.
        let any_log = || {
            let is_log =
                |name: &&String| layout::LOG_ENDS.iter().any(|end| name.ends_with(end)) && folder.join(name).is_file();
            let mut logs = names.iter().filter(is_log);
            logs.next().filter(|_| logs.next().is_none() && gpu_log.is_some() && !begun).map(|name| folder.join(name))
        };
        let ends = || layout::ALLOCATOR_SNAPSHOT_ENDS.iter().chain(&layout::ALLOCATOR_SNAPSHOT_JSON_ENDS);
        let is_snapshot = |name: &&String| ends().any(|end| name.ends_with(end)) && folder.join(name).is_file();
        let named_log = layout::ENGINE_LOGS.iter().find_map(|name| packed(name));
        let guessed_log = if named_log.is_none() { any_log() } else { None };
        let found = Self {
            log_is_guessed: guessed_log.is_some(),
            engine_logs: named_log.or(guessed_log).into_iter().collect(),
            gpu_logs: gpu_log.clone().into_iter().collect(),
            model: plain(layout::MODEL_CONFIG),
            packed: plain(layout::PACKED_MODEL),
            bench: plain(layout::BENCH),
            args: plain(layout::ARGS),
            marks: plain(layout::MARKS),
            record: plain(layout::RECORD),
            metrics: plain(layout::METRICS),
            probe: plain(layout::PROBE),
            answered: plain(layout::SERVER_INFO).or_else(|| plain(layout::LOADED_MODELS)),
            snapshots: names.iter().filter(is_snapshot).map(|name| folder.join(name)).collect(),
            unfinished: is_conducted && plain(layout::RECORD).is_none(),
        };
        if found.engine_logs.is_empty() && found.gpu_logs.is_empty() {
            let path = folder.to_owned();
            let alone = !found.snapshots.is_empty();
            return Err(if alone { FileError::SnapshotsAlone { path } } else { FileError::NothingFound { path } });
        }
        Ok(found)
    }
}

/// Opens a file for streaming; gzip, zstd and UTF-16 are recognised by their first bytes and turned into plain UTF-8 on
/// the way.
///
/// # Errors
/// [`FileError::Read`].
pub fn open(path: &Path) -> Result<Box<dyn Read>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let mut file = open_file(path).map_err(failed)?;
    let mut magic = [0; 4];
    let mut got = 0;
    while got < magic.len() {
        match file.read(&mut magic[got..]).map_err(failed)? {
            0 => break,
            n => got += n,
        }
    }
    if let Some(order) = Order::of_mark([magic[0], magic[1]]) {
        let rest = io::Cursor::new(magic[2..].to_vec()).take(u64::try_from(got - 2).unwrap_or(0)).chain(file);
        return Ok(Box::new(Utf16::new(rest, order)));
    }
    let whole = io::Cursor::new(magic).take(u64::try_from(got).unwrap_or(0)).chain(file);
    Ok(Box::new(Unpacked::new(whole).map_err(failed)?))
}

/// A source that says how much was read from it.
pub struct Observed<R, F> {
    source: R,
    observe: F,
}

impl<R, F: FnMut(u64)> Observed<R, F> {
    /// `observe` is told how many bytes came with each read.
    pub fn new(source: R, observe: F) -> Self {
        Self { source, observe }
    }
}

impl<R: Read, F: FnMut(u64)> Read for Observed<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        (self.observe)(u64::try_from(n).unwrap_or(0));
        Ok(n)
    }
}

/// Reads a small file whole.
///
/// # Errors
/// [`FileError::Read`], or [`FileError::TooLarge`] past `limit` bytes.
pub fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let mut bounded = open(path)?.take(limit.saturating_add(1));
    bounded.read_to_end(&mut bytes).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write as _;

    #[test]
    fn a_folder_is_searched_by_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(EvidenceFiles::find(folder.path()), Err(FileError::NothingFound { .. })));
        File::create(folder.path().join("oom.pickle.gz")).unwrap();
        let alone = EvidenceFiles::find(folder.path()).unwrap_err();
        assert!(matches!(alone, FileError::SnapshotsAlone { .. }) && alone.to_string().contains("vramscope snapshot"));
        for name in ["vllm.log.gz", "gpu.csv", "config.json", "notes.txt", "oom.pickle.gz", "a.snapshot.json"] {
            File::create(folder.path().join(name)).unwrap();
        }
        let found = EvidenceFiles::find(folder.path()).unwrap();
        assert_eq!(found.engine_logs, [folder.path().join("vllm.log.gz")]);
        assert_eq!(found.model, Some(folder.path().join("config.json")));
        assert_eq!(found.bench, None);
        assert_eq!(found.snapshots, ["a.snapshot.json", "oom.pickle.gz"].map(|name| folder.path().join(name)));
        assert!(matches!(EvidenceFiles::find(&folder.path().join("none")), Err(FileError::Read { .. })));
    }

    #[test]
    fn beside_readings_the_only_log_is_the_engines_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let add = |name: &str| File::create(folder.path().join(name)).unwrap();
        add("server.log");
        assert!(EvidenceFiles::find(folder.path()).is_err(), "a log alone is no run");
        add("gpu.csv");
        let found = || EvidenceFiles::find(folder.path()).unwrap().engine_logs;
        assert_eq!(found(), [folder.path().join("server.log")]);
        add("other.log.gz");
        assert_eq!(found(), [""; 0].map(PathBuf::from), "of two nobody knows which");
        add("engine.log");
        assert_eq!(found(), [folder.path().join("engine.log")]);
    }

    #[test]
    fn compressed_files_are_recognised_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut gz = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        gz.write_all(b"hello").unwrap();
        gz.finish().unwrap();
        assert_eq!(read_whole(&path, 5).unwrap(), b"hello");
        std::fs::write(&path, zstd::encode_all(&b"hello"[..], 1).unwrap()).unwrap();
        assert_eq!(read_whole(&path, 5).unwrap(), b"hello");
        std::fs::write(&path, [0xFF, 0xFE, b'h', 0, b'e', 0, b'y', 0]).unwrap();
        assert_eq!(read_whole(&path, 5).unwrap(), b"hey");
        std::fs::write(&path, [0xFE, 0xFF]).unwrap();
        assert_eq!(read_whole(&path, 5).unwrap(), b"");
        std::fs::write(&path, b"h").unwrap();
        assert_eq!(read_whole(&path, 5).unwrap(), b"h");
        assert!(matches!(read_whole(&path, 0), Err(FileError::TooLarge { limit: 0, .. })));
    }

    /// Its window is what its header says; nothing that follows decides.
    #[test]
    fn a_window_that_is_too_long_is_no_damage() {
        let path = tempfile::NamedTempFile::new().unwrap();
        // The magic, no content size and no checksum, a window of 2^31 bytes, one raw block of one byte, the last one.
        let packed = [0x28, 0xB5, 0x2F, 0xFD, 0x00, (31 - 10) << 3, 0x09, 0x00, 0x00, b'h'];
        std::fs::write(path.path(), packed).unwrap();
        let Err(FileError::Read { source, .. }) = read_whole(path.path(), 5) else { panic!("it is refused") };
        assert!(source.to_string().contains("zstd -d --long=31"), "{source}");
        let usual = [&packed[..5], &[10 << 3], &packed[6..]].concat();
        std::fs::write(path.path(), usual).unwrap();
        assert_eq!(read_whole(path.path(), 5).unwrap(), b"h");
    }

    #[test]
    fn a_damaged_file_is_told_by_what_happened_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let text: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&text).unwrap();
        let gz = gz.finish().unwrap();
        let bad = |packed: &[u8]| [&packed[..6], &[0xFF; 200][..], &packed[206..]].concat();
        for (packed, says) in [
            (zstd[..zstd.len() / 2].to_vec(), "zstd stream is cut short"),
            (gz[..gz.len() / 2].to_vec(), "gzip stream is cut short"),
            (bad(&zstd), "zstd stream is damaged"),
            (bad(&gz), "gzip stream is damaged"),
        ] {
            std::fs::write(&path, packed).unwrap();
            let Err(FileError::Read { source, .. }) = read_whole(&path, 1 << 20) else { panic!("{says}") };
            assert!(source.to_string().contains(says), "{source}: {says}");
        }
    }
}
