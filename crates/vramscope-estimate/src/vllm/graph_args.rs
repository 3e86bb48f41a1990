//! What a command line says of graphs: the fields of `--compilation-config` that decide which are captured.

use serde_json::{Map, Value};

use crate::EstimateError;

/// What is captured of a step (`cudagraph_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GraphMode {
    /// Nothing.
    None,
    /// The pieces between mixers.
    Piecewise,
    /// Whole steps of all kinds.
    Full,
    /// Whole steps in which each request has as many tokens.
    FullDecodeOnly,
    /// Both: those whole, all others in pieces. What engines take by themselves.
    FullAndPiecewise,
}

/// Arguments of graphs; `None` is what the engine takes when nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GraphArgs {
    /// What is captured.
    pub mode: Option<GraphMode>,
    /// For which sizes, in tokens.
    pub sizes: Option<Vec<u64>>,
    /// The largest of the usual sizes.
    pub largest: Option<u64>,
}

/// The most sizes that are taken from a command line.
const MOST_SIZES: usize = 4096;

impl GraphArgs {
    /// Reads an object of JSON or single fields of one; what is not read is named.
    ///
    /// # Errors
    /// [`EstimateError::BadArgument`] for a value that the engine would not accept.
    pub(crate) fn read(&mut self, fields: &Map<String, Value>, unread: &mut Vec<String>) -> Result<(), EstimateError> {
        for (name, value) in fields {
            match name.as_str() {
                "cudagraph_mode" => self.mode = mode(value)?,
                "cudagraph_capture_sizes" => self.sizes = sizes(value)?,
                "max_cudagraph_capture_size" => self.largest = size("max_cudagraph_capture_size", value)?,
                // What engines take by themselves.
                "mode" | "level" if matches!(value.as_u64(), Some(3)) || value == "VLLM_COMPILE" => {}
                _ => unread.push(format!("--compilation-config.{name}")),
            }
        }
        Ok(())
    }
}

fn bad(name: &'static str, value: &Value, expected: &'static str) -> EstimateError {
    EstimateError::BadArgument { name, value: value.to_string().chars().take(40).collect(), expected }
}

fn mode(value: &Value) -> Result<Option<GraphMode>, EstimateError> {
    let expected = "NONE, PIECEWISE, FULL, FULL_DECODE_ONLY or FULL_AND_PIECEWISE";
    let word = match value {
        Value::Null => return Ok(None),
        Value::String(word) => word.to_ascii_uppercase(),
        _ => return Err(bad("cudagraph_mode", value, expected)),
    };
    Ok(Some(match word.as_str() {
        "NONE" => GraphMode::None,
        "PIECEWISE" => GraphMode::Piecewise,
        "FULL" => GraphMode::Full,
        "FULL_DECODE_ONLY" => GraphMode::FullDecodeOnly,
        "FULL_AND_PIECEWISE" => GraphMode::FullAndPiecewise,
        _ => return Err(bad("cudagraph_mode", value, expected)),
    }))
}

fn sizes(value: &Value) -> Result<Option<Vec<u64>>, EstimateError> {
    let wrong = || bad("cudagraph_capture_sizes", value, "a list of numbers of tokens");
    match value {
        Value::Null => Ok(None),
        Value::Array(all) if all.len() <= MOST_SIZES => {
            let sizes: Option<Vec<u64>> = all.iter().map(|one| one.as_u64().filter(|size| *size > 0)).collect();
            sizes.map(Some).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

fn size(name: &'static str, value: &Value) -> Result<Option<u64>, EstimateError> {
    match value {
        Value::Null => Ok(None),
        _ => value.as_u64().map(Some).ok_or_else(|| bad(name, value, "a number of tokens")),
    }
}
