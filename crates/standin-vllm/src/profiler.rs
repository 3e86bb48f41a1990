//! The profiler: a small trace where it is asked for, and the trace of python functions that grows beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

/// What is written at a time.
const PIECE: usize = 1 << 20;
const PAUSE: Duration = Duration::from_millis(10);
/// Pieces that are written after the file was cut.
const MORE: u32 = 3;

pub(crate) struct Profiler {
    folder: PathBuf,
    functions: Mutex<Option<JoinHandle<io::Result<String>>>>,
}

impl Profiler {
    /// As `--profiler-config` says; the functions are traced from now on.
    pub(crate) fn of(config: &str, most: u64) -> Option<Self> {
        let config: serde_json::Value = serde_json::from_str(config).ok()?;
        let folder = config["torch_profiler_dir"].as_str()?.into();
        let traces = std::env::var("VLLM_TRACE_FUNCTION").is_ok_and(|set| set == "1");
        let functions = traces.then(|| std::thread::spawn(move || trace_functions(most)));
        Some(Self { folder, functions: Mutex::new(functions) })
    }

    /// Writes the trace; what there is to tell of it.
    pub(crate) fn write(&self) -> io::Result<String> {
        let functions = self.functions.lock().ok().and_then(|mut functions| functions.take());
        let told = functions.map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))));
        let event = r#"{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":1,"dur":2}"#;
        fs::write(self.folder.join("rank0.pt.trace.json"), format!(r#"{{"traceEvents":[{event}]}}"#))?;
        told.unwrap_or_else(|| Ok("no trace of functions".into()))
    }
}

/// Appends to the trace as vLLM does, which opens it for each line: until it was cut and a little more, or is full.
fn trace_functions(most: u64) -> io::Result<String> {
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    let folder = std::env::temp_dir().join(user).join("vllm/vllm-instance-00000");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("VLLM_TRACE_FUNCTION_for_process_{}_thread_1_at_now.log", std::process::id()));
    let (mut before, mut after_cut) = (0, None);
    for _ in 0..most / PIECE as u64 {
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        let found = file.metadata()?.len();
        if found < before {
            after_cut.get_or_insert(0);
        }
        if let Some(pieces) = &mut after_cut {
            *pieces += 1;
            if *pieces > MORE {
                break;
            }
        }
        file.write_all(&vec![b'x'; PIECE])?;
        before = found + PIECE as u64;
        std::thread::sleep(PAUSE);
    }
    let cut = if after_cut.is_some() { "was cut" } else { "was left to grow" };
    Ok(format!("the trace of functions {cut}"))
}
