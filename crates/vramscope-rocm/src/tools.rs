//! Saved outputs of `amd-smi` and `rocm-smi`, of any generation: their JSON, and the text that they print without
//! `--json`.
//!
//! What is common to them: text may stand before the JSON, several outputs may follow each other, numbers may be
//! strings, and what is not there is `"N/A"`. "MB" is MiB.

mod amd_smi;
mod json;
mod rocm_smi;
mod text;

use serde_json::Value;
use vramscope_gpu::document::Snapshot;

/// An output that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no JSON in it.
    #[error("find JSON in the output (save it again with --json)")]
    NoJson(#[source] Option<serde_json::Error>),
    /// An output begins and does not end.
    #[error("read the JSON that begins on line {line}: its end is missing (save the whole output)")]
    Torn {
        /// The line, from 1.
        line: usize,
    },
    /// The JSON is of another program.
    #[error(
        "find amd-smi's or rocm-smi's keys in the JSON (expected \"gpu\" in each entry, or \"card0\", \"card1\", …)"
    )]
    OtherJson,
}

/// Whether this text is an output of AMD's tools.
///
/// ```
/// assert!(vramscope_rocm::tools::recognise("WARNING: no group [render]\n[{\"gpu\": 0, \"usage\": \"N/A\"}]"));
/// assert!(!vramscope_rocm::tools::recognise("{\"cards\": 3}"));
/// ```
pub fn recognise(text: &str) -> bool {
    match json::documents(text) {
        Ok(found) if found.documents.iter().any(is_output) => true,
        Err(ReadError::Torn { .. }) => true,
        _ => !texts(text).is_empty(),
    }
}

fn is_output(document: &Value) -> bool {
    amd_smi::is_output(document) || rocm_smi::is_output(document)
}

/// The outputs that are no JSON.
fn texts(text: &str) -> Vec<Value> {
    [text::amd_smi(text), text::rocm_smi(text)].into_iter().flatten().filter(is_output).collect()
}

/// Reads one output, or several that follow each other and speak of the same GPUs. Text counts where there is no JSON.
///
/// # Errors
/// [`ReadError`].
pub fn read(text: &str) -> Result<Snapshot, ReadError> {
    let found = json::documents(text);
    let has_json = matches!(&found, Ok(found) if found.documents.iter().any(is_output));
    let written = if has_json { Vec::new() } else { texts(text) };
    let (documents, form, torn) = if written.is_empty() {
        let found = found?;
        (found.documents, "json", found.torn)
    } else {
        (written, "text", None)
    };
    let mut snapshot: Option<Snapshot> = None;
    for document in &documents {
        let (tool, add): (_, fn(&mut Snapshot, &Value)) = if amd_smi::is_output(document) {
            ("amd-smi", amd_smi::add)
        } else if rocm_smi::is_output(document) {
            ("rocm-smi", rocm_smi::add)
        } else {
            continue;
        };
        add(snapshot.get_or_insert_with(|| Snapshot::from_source(format!("{tool} {form}"))), document);
    }
    let mut snapshot = snapshot.ok_or(ReadError::OtherJson)?;
    if let Some(line) = torn {
        snapshot.notes.push(format!("the JSON that begins on line {line} has no end: only its whole parts are read"));
    }
    snapshot.gpus.sort_by_key(|gpu| gpu.index);
    snapshot.gpu_count = snapshot.gpus.len();
    Ok(snapshot)
}

/// The GPU of that index, listed if it was not.
fn entry(snapshot: &mut Snapshot, index: u32) -> &mut vramscope_gpu::document::Gpu {
    let place = snapshot.gpus.iter().position(|gpu| gpu.index == index).unwrap_or_else(|| {
        let vendor = Some("amd".to_owned());
        snapshot.gpus.push(vramscope_gpu::document::Gpu { index, vendor, ..Default::default() });
        snapshot.gpus.len() - 1
    });
    &mut snapshot.gpus[place]
}
