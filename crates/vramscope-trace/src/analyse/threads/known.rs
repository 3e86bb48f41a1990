//! Names with a meaning, looked up once each.

use std::collections::HashMap;
use std::sync::Arc;

use crate::names::NameId;
use crate::steps::StepName;

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// It marks a step.
    Step(StepName),
    /// It is a layer of the model.
    Layer,
    /// It is a call that returns when the GPU is done.
    Wait,
    /// It is a call that launches a whole graph.
    GraphLaunch,
    Plain,
}

/// The meanings of names, by number.
pub(crate) struct NameKinds {
    names: Arc<[Arc<[u8]>]>,
    known: HashMap<NameId, NameKind>,
}

impl NameKinds {
    pub(crate) fn new(names: Arc<[Arc<[u8]>]>) -> Self {
        Self { names, known: HashMap::new() }
    }

    pub(crate) fn of(&mut self, id: NameId) -> NameKind {
        if let Some(&kind) = self.known.get(&id) {
            return kind;
        }
        let name = usize::try_from(id).ok().and_then(|at| self.names.get(at));
        let kind = name.map_or(NameKind::Plain, |name| read(name));
        self.known.insert(id, kind);
        kind
    }
}

fn read(name: &[u8]) -> NameKind {
    if let Some(step) = StepName::parse(name) {
        return NameKind::Step(step);
    }
    if is_layer(name) {
        return NameKind::Layer;
    }
    if memchr::memmem::find(name, b"GraphLaunch").is_some() {
        return NameKind::GraphLaunch;
    }
    if is_wait(name) { NameKind::Wait } else { NameKind::Plain }
}

/// Calls that block: `…Synchronize` of runtime and driver, and copies that are not asynchronous.
fn is_wait(name: &[u8]) -> bool {
    const BLOCKING_COPIES: [&[u8]; 8] = [
        b"cudaMemcpy",
        b"hipMemcpy",
        b"hipMemcpyWithStream",
        b"cuMemcpyDtoH_v2",
        b"cuMemcpyHtoD_v2",
        b"hipMemcpyDtoH",
        b"hipMemcpyHtoD",
        b"cudaMemcpy2D",
    ];
    let runtime = name.starts_with(b"cuda") || name.starts_with(b"cu") || name.starts_with(b"hip");
    runtime && name.ends_with(b"Synchronize") || BLOCKING_COPIES.contains(&name)
}

/// A module whose class ends in `Layer` or `Block`, with its number: `nn.Module: LlamaDecoderLayer_12`; or an annotation
/// that names a numbered layer: `model.layers.12`.
fn is_layer(name: &[u8]) -> bool {
    if let Some(module) = name.strip_prefix(b"nn.Module: ") {
        let digits = module.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let class = module.get(..module.len() - digits).and_then(|class| class.strip_suffix(b"_"));
        return digits > 0 && class.is_some_and(|class| class.ends_with(b"Layer") || class.ends_with(b"Block"));
    }
    memchr::memmem::find(name, b"layers.").is_some_and(|at| name.get(at + 7).is_some_and(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_layers_and_waits() {
        for (name, layer) in [
            ("nn.Module: LlamaDecoderLayer_12", true),
            ("nn.Module: TransformerBlock_0", true),
            ("nn.Module: RMSNorm_0", false),
            ("nn.Module: LlamaDecoderLayer", false),
            ("model.layers.3.self_attn", true),
            ("layers.py(12): forward", false),
        ] {
            assert_eq!(is_layer(name.as_bytes()), layer, "{name}");
        }
        for (name, wait) in [
            ("cudaStreamSynchronize", true),
            ("hipMemcpyWithStream", true),
            ("cudaMemcpyAsync", false),
            ("cudaEventQuery", false),
            ("aten::synchronize", false),
        ] {
            assert_eq!(is_wait(name.as_bytes()), wait, "{name}");
        }
    }
}
