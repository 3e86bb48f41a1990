//! What memory is for, as far as the frames of its stack tell: a table of functions for each engine, in its room.

use crate::place::short_path;
use crate::{Names, StackId, transformers, vllm};

/// Memory with one of these frames in its stack is of a part.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The part's name.
    pub(crate) part: &'static str,
    /// What the frame's path begins with, from its package on.
    pub(crate) path: &'static str,
    /// The function's names; none for any.
    pub(crate) functions: &'static [&'static str],
}

/// What holds of any program of PyTorch.
const ANY: &[Rule] = &[Rule { part: "optimizer", path: "torch/optim/", functions: &[] }];

/// The part of a stack: that of the first rule that one of its frames fits. Memory of none is of no part.
pub(crate) fn part(names: &Names, stack: StackId) -> Option<&'static str> {
    let frames = names.stack(stack);
    let fits = |rule: &&Rule| {
        frames.iter().any(|id| {
            let frame = names.frame(*id);
            is_in(names.text(frame.file), rule.path)
                && (rule.functions.is_empty() || rule.functions.contains(&names.text(frame.name)))
        })
    };
    vllm::RULES.iter().chain(transformers::RULES).chain(ANY).find(fits).map(|rule| rule.part)
}

/// The part of stacks that no rule knows.
const OTHER: &str = "other";

/// The part of a stack; `other` where no rule knows it.
pub(crate) fn part_or_other(names: &Names, stack: StackId) -> &'static str {
    part(names, stack).unwrap_or(OTHER)
}

/// Whether a file is of a package's folder: below where packages are installed, or below whatever folder the package lies
/// in, as one that was installed from its sources does.
fn is_in(file: &str, folder: &str) -> bool {
    let short = short_path(file);
    let elsewhere = || short.match_indices(folder).any(|(at, _)| short[..at].ends_with('/'));
    short.starts_with(folder) || (short.len() == file.len() && elsewhere())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Frame;

    #[test]
    fn a_stack_is_of_the_first_part_that_one_of_its_frames_fits() {
        let mut names = Names::default();
        let mut stack = |frames: &[(&str, &str)]| {
            let ids: Vec<_> = frames
                .iter()
                .map(|(file, name)| {
                    let file = names.add_text(&format!("/v/site-packages/{file}")).unwrap();
                    let name = names.add_text(name).unwrap();
                    names.add_frame(Frame { file, name, line: 1 }).unwrap()
                })
                .collect();
            names.add_stack(&ids).unwrap()
        };
        let worker = "vllm/v1/worker/gpu_worker.py";
        let cases = [
            (
                stack(&[("vllm/model_executor/layers/linear.py", "create_weights"), (worker, "load_model")]),
                Some("weights"),
            ),
            (
                stack(&[("vllm/model_executor/layers/rotary_embedding/base.py", "x"), (worker, "load_model")]),
                Some("rotary tables"),
            ),
            (
                stack(&[("torch/x.py", "zeros"), ("vllm/v1/worker/gpu/attn_utils.py", "init_kv_cache")]),
                Some("KV cache"),
            ),
            (stack(&[("vllm/v1/worker/gpu_model_runner.py", "capture_model")]), Some("graphs")),
            (stack(&[("vllm/v1/worker/gpu/sample/penalties.py", "__init__"), (worker, "load_model")]), Some("sampler")),
            (stack(&[("transformers/cache_utils.py", "update")]), Some("KV cache")),
            (stack(&[("torch/optim/adamw.py", "step")]), Some("optimizer")),
            (stack(&[("mine/load.py", "load_model")]), None),
        ];
        assert!(is_in("/home/me/vllm/vllm/v1/worker/x.py", "vllm/v1/worker/"), "installed from its sources");
        assert!(!is_in("/home/me/myvllm/v1/worker/x.py", "vllm/v1/worker/"));
        for (stack, found) in cases {
            assert_eq!(part(&names, stack), found);
        }
    }
}
