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
use vramscope_gpu::document::{Gpu, MAX_GPUS, Snapshot};

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
    /// The output lists more GPUs than any machine has.
    #[error("find one machine's GPUs: the output lists more than {MAX_GPUS}")]
    TooManyGpus,
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
        let begin = |tool| move || Snapshot::from_source(format!("{tool} {form}"));
        if amd_smi::is_output(document) {
            amd_smi::add(snapshot.get_or_insert_with(begin("amd-smi")), document)?;
        } else if rocm_smi::is_output(document) {
            rocm_smi::add(snapshot.get_or_insert_with(begin("rocm-smi")), document)?;
        }
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
fn entry(snapshot: &mut Snapshot, index: u32) -> Result<&mut Gpu, ReadError> {
    let known = snapshot.gpus.iter().position(|gpu| gpu.index == index);
    let place = match known {
        Some(place) => place,
        None if snapshot.gpus.len() == MAX_GPUS => return Err(ReadError::TooManyGpus),
        None => {
            snapshot.gpus.push(Gpu { index, vendor: Some("amd".to_owned()), ..Gpu::default() });
            snapshot.gpus.len() - 1
        }
    };
    Ok(&mut snapshot.gpus[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_gpus_than_a_machine_has_are_refused_in_every_form() {
        let list =
            |n: usize, one: &dyn Fn(usize) -> String, between: &str| (0..n).map(one).collect::<Vec<_>>().join(between);
        let forms: [&dyn Fn(usize) -> String; 4] = [
            &|n| format!("[{}]", list(n, &|i| format!("{{\"gpu\": {i}}}"), ",")),
            &|n| format!("{{{}}}", list(n, &|i| format!("\"card{i}\": {{}}"), ",")),
            &|n| list(n, &|i| format!("GPU: {i}\n    POWER:\n        SOCKET_POWER: 2 W"), "\n"),
            &|n| list(n, &|i| format!("GPU[{i}] : GPU use (%): 3"), "\n"),
        ];
        for form in forms {
            assert_eq!(read(&form(MAX_GPUS)).unwrap().gpu_count, MAX_GPUS);
            assert!(matches!(read(&form(MAX_GPUS + 9)), Err(ReadError::TooManyGpus)), "{:.40}", form(2));
        }
    }
}
