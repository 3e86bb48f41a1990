//! Which of its two designs an engine is of.

use vramscope_core::Generation;

use crate::figure::Value;
use crate::key::Key;
use crate::pattern::Captured;
use crate::vllm::rows::Format;
use crate::vllm::worker::{V0_WORKER, Worker};

/// The generation that a line proves: by its words, by a process that only one has, or by a version that had only one.
pub(crate) fn generation(format: &Format, captured: &[Captured], tag: Option<&str>) -> Option<Generation> {
    let by_tag = || {
        let name = Worker::of(tag?).name;
        if name == V0_WORKER {
            return Some(Generation::V0);
        }
        name.starts_with("VllmWorker ").then_some(Generation::V1)
    };
    let by_version = || {
        let version = captured.iter().find(|c| c.key == Key::Version)?;
        let Value::Text(version) = &version.value else { return None };
        let number = |part: &str| -> Option<u32> {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            part[..digits].parse().ok()
        };
        let mut parts = version.split('.');
        let (major, minor) = (number(parts.next()?)?, number(parts.next()?)?);
        let patch = parts.next().and_then(number).unwrap_or(0);
        match (major, minor, patch) {
            (0, 0..=5, _) | (0, 6, 0..=3) => Some(Generation::V0),
            (0, 0..=10, _) => None,
            _ => Some(Generation::V1),
        }
    };
    format.row.says.or_else(by_tag).or_else(by_version)
}
