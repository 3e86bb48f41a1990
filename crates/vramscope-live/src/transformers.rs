//! The bundled probe: a Python script that loads a model with Hugging Face transformers and measures it from inside.

use std::path::Path;

use vramscope_core::Phase;
use vramscope_host::Command;

use crate::vllm::command::{Asked, Work};

/// The script.
pub const PROBE: &str = include_str!("transformers/probe.py");

/// What stands before a phase on the probe's stderr.
const MARK: &str = "vramscope-probe: ";

/// The command that runs the probe, whose script lies at `script` and which writes its result to `result`.
///
/// A prompt stands in place of as many random tokens as are asked for.
pub fn probe(asked: &Asked, work: Work, prompt: Option<&str>, script: &Path, result: &Path) -> Command {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut command = Command::new(asked.program.first().cloned().unwrap_or_default());
    command.args = asked.program.iter().skip(1).cloned().collect();
    command.args.extend(["-u".to_owned(), text(script), "--output".to_owned(), text(result)]);
    command.args.extend(["--model".to_owned(), asked.model.clone()]);
    let numbers = [
        ("--input-len", work.input_len),
        ("--output-len", work.output_len),
        ("--batch-size", work.batch_size),
        ("--num-iters", work.iterations),
        ("--num-iters-warmup", work.warmup_iterations),
    ];
    command.args.extend(numbers.iter().flat_map(|(flag, n)| [(*flag).to_owned(), n.to_string()]));
    // With `=`, a text that begins with a dash is a text all the same.
    command.args.extend(prompt.map(|prompt| format!("--prompt={prompt}")));
    for (name, value) in asked.flags.iter().filter(|(name, _)| matches!(name.as_str(), "dtype" | "trust-remote-code")) {
        command.args.push(format!("--{name}"));
        command.args.extend(value.clone());
    }
    command.args.extend(asked.words.iter().cloned());
    command
}

/// The phase that a line of the probe begins.
pub(super) fn phase_of(line: &str) -> Option<Phase> {
    match line.strip_prefix(MARK)?.split_whitespace().next()? {
        "load" => Some(Phase::Load),
        "warmup" => Some(Phase::Warmup),
        "measure" => Some(Phase::Measure),
        "end" => Some(Phase::Shutdown),
        _ => None,
    }
}

/// Why the probe failed, from its line that says so.
pub(super) fn failure_of(line: &str) -> Option<&str> {
    line.strip_prefix(MARK)?.strip_prefix("failed during ")?.split_once(": ").map(|(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_told_what_was_asked_and_its_marks_are_phases() {
        let asked = Asked {
            program: vec!["python3".to_owned()],
            model: "m".to_owned(),
            flags: vec![("dtype".to_owned(), Some("float16".to_owned())), ("max-model-len".to_owned(), None)],
            words: vec!["--device-map".to_owned(), "auto".to_owned()],
        };
        let work = Work { input_len: 1, output_len: 2, batch_size: 3, warmup_iterations: 4, iterations: 5 };
        let command = probe(&asked, work, None, Path::new("p.py"), Path::new("r.json"));
        assert_eq!(
            command.args.join(" "),
            "-u p.py --output r.json --model m --input-len 1 --output-len 2 --batch-size 3 --num-iters 5 \
             --num-iters-warmup 4 --dtype float16 --device-map auto"
        );
        let told = probe(&asked, work, Some("-x y"), Path::new("p.py"), Path::new("r.json"));
        assert!(told.args.contains(&"--prompt=-x y".to_owned()), "{:?}", told.args);
        assert_eq!(phase_of("vramscope-probe: measure 1795000000000000000"), Some(Phase::Measure));
        assert_eq!(phase_of("vramscope-probe: import 1"), None);
        assert_eq!(phase_of("measure"), None);
        let failed = "vramscope-probe: failed during import: No module named 'torch'; install it";
        assert_eq!((failure_of(failed), phase_of(failed)), (Some("No module named 'torch'; install it"), None));
        assert!(PROBE.contains(MARK.trim_end()));
    }
}
