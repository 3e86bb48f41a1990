//! Where a stack is: which of its frames says most, and how its file is written shortly.

use crate::names::{Frame, FrameId};
use crate::{Names, StackId, transformers, vllm};

/// Folders below which a path names an installed package.
const PACKAGE_FOLDERS: [&str; 2] = ["/site-packages/", "/dist-packages/"];

/// PyTorch, and what lies directly in it.
const TORCH: (&str, &[&str]) = (
    "/torch/",
    &[
        "_dynamo/",
        "_functorch/",
        "_higher_order_ops/",
        "_inductor/",
        "_library/",
        "_ops.py",
        "_tensor.py",
        "autograd/",
        "cuda/",
        "distributed/",
        "functional.py",
        "fx/",
        "library.py",
        "nn/functional.py",
        "nn/init.py",
        "nn/modules/",
        "nn/parallel/",
        "nn/parameter.py",
        "nn/utils/",
        "optim/",
        "utils/_",
        "utils/checkpoint.py",
        "utils/data/",
        "utils/hooks.py",
    ],
);

/// Packages that also run from a checkout or from a folder of `PYTHONPATH`, each with what lies directly in it: their name
/// alone would make a package of any folder that is called so.
const KNOWN_PACKAGES: [(&str, &[&str]); 3] = [TORCH, transformers::PACKAGE, vllm::PACKAGE];

/// A path as it is told to people: from the package on, or from below Python's own folder on; else as it is.
pub fn short_path(path: &str) -> &str {
    let package = PACKAGE_FOLDERS.iter().filter_map(|folder| path.rfind(folder).map(|at| at + folder.len())).max();
    if let Some(at) = package {
        return &path[at..];
    }
    own_library(path).or_else(|| known_package(path)).unwrap_or(path)
}

/// The path from the innermost known package on.
fn known_package(path: &str) -> Option<&str> {
    let of = |name: &str, inside: &[&str]| {
        let at = path.rfind(name)?;
        let rest = &path[at + name.len()..];
        inside.iter().any(|entry| rest.starts_with(entry)).then_some(at + 1)
    };
    KNOWN_PACKAGES.iter().filter_map(|(name, inside)| of(name, inside)).max().map(|at| &path[at..])
}

/// What follows `lib/python3.N/`: Python's own library.
fn own_library(path: &str) -> Option<&str> {
    let at = path.rfind("/lib/python3.")? + "/lib/python3.".len();
    let rest = path[at..].trim_start_matches(|c: char| c.is_ascii_digit());
    rest.strip_prefix('/')
}

/// The package that holds a file: `vllm.model_executor.layers` of `…/vllm/model_executor/layers/linear.py`. Of a file
/// in no package, its folder.
pub fn package(path: &str) -> String {
    let short = short_path(path);
    let folder = short.rsplit_once('/').map_or("", |(folder, _)| folder);
    if short.len() == path.len() {
        return if folder.is_empty() { short.to_owned() } else { folder.to_owned() };
    }
    if folder.is_empty() { short.trim_end_matches(".py").to_owned() } else { folder.replace('/', ".") }
}

/// Whether a frame is of the machinery below a program: PyTorch, Python's own library, or compiled code.
fn is_machinery(path: &str) -> bool {
    let short = short_path(path);
    let installed = short.len() < path.len();
    (installed && (short.starts_with("torch/") || own_library(path).is_some_and(|own| own == short)))
        || path.starts_with('<')
        || !path.ends_with(".py")
}

/// The frame that tells most of a stack: the innermost that is no machinery of PyTorch or Python, else the innermost of
/// Python, else the innermost.
pub fn site(names: &Names, stack: StackId) -> Option<Frame> {
    let frames = names.stack(stack);
    let file = |id: &&FrameId| names.text(names.frame(**id).file);
    let own = frames.iter().find(|id| !is_machinery(file(id)));
    let python = || frames.iter().find(|id| file(id).ends_with(".py"));
    own.or_else(python).or_else(|| frames.first()).map(|id| names.frame(*id))
}

/// A frame as text: `vllm/worker.py:12 load`; without the line where there is none.
pub fn frame_text(names: &Names, frame: Frame) -> String {
    let (file, name) = (short_path(names.text(frame.file)), names.text(frame.name));
    match frame.line {
        0 => format!("{file} {name}"),
        line => format!("{file}:{line} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_their_package_on() {
        for (path, short, held) in [
            ("/opt/v/lib/python3.12/site-packages/vllm/a/b.py", "vllm/a/b.py", "vllm.a"),
            ("/usr/lib/python3/dist-packages/six.py", "six.py", "six"),
            ("/usr/lib/python3.12/contextlib.py", "contextlib.py", "contextlib"),
            ("/home/me/vllm/vllm/v1/worker/utils.py", "vllm/v1/worker/utils.py", "vllm.v1.worker"),
            ("/home/me/vllm/serve.py", "/home/me/vllm/serve.py", "/home/me/vllm"),
            ("/home/me/torch/utils/own.py", "/home/me/torch/utils/own.py", "/home/me/torch/utils"),
            ("/src/torch/utils/_device.py", "torch/utils/_device.py", "torch.utils"),
            ("/home/me/train.py", "/home/me/train.py", "/home/me"),
            ("train.py", "train.py", "train.py"),
            ("??", "??", "??"),
        ] {
            assert_eq!((short_path(path), package(path).as_str()), (short, held), "{path}");
        }
    }

    #[test]
    fn a_stack_is_where_the_program_is_not_where_torch_is() {
        let mut names = Names::default();
        let mut stack = |files: &[&str]| {
            let frames: Vec<FrameId> = files
                .iter()
                .map(|file| {
                    let (file, name) = (names.add_text(file).unwrap(), names.add_text("f").unwrap());
                    names.add_frame(Frame { file, name, line: 1 }).unwrap()
                })
                .collect();
            names.add_stack(&frames).unwrap()
        };
        let torch = "/x/site-packages/torch/nn/functional.py";
        let checkout = "/src/torch/utils/_device.py";
        let own = "/usr/lib/python3.12/contextlib.py";
        let (mixed, inner, compiled) = (
            stack(&["??", torch, checkout, own, "/x/site-packages/vllm/m.py", "a.py"]),
            stack(&["??", torch]),
            stack(&["??"]),
        );
        for (stack, file) in [(mixed, "/x/site-packages/vllm/m.py"), (inner, torch), (compiled, "??")] {
            assert_eq!(names.text(site(&names, stack).unwrap().file), file);
        }
    }
}
