//! Names of kernels, operators and files as people can read them.

/// Longer names are cut in tables; the document has them whole.
const LONGEST: usize = 120;

/// A name as it stands in a table.
pub(crate) fn shown(name: &str) -> String {
    let mut short: String = name.chars().take(LONGEST + 1).collect();
    if short.chars().count() > LONGEST {
        short = name.chars().take(LONGEST - 1).chain(['…']).collect();
    }
    short
}

/// As much of a name as stands beside a bar: beginnings are often the same, so the middle is left out.
const LONGEST_TITLE: usize = 23;

/// What of a name tells a kernel from others, for a picture: the last part of its path without arguments; of those that
/// run any function over elements, the function.
pub(crate) fn title(name: &str) -> String {
    // What follows the first thousands of characters is no part of any name's head.
    let head: String = name.chars().take(4096).collect();
    let head = head.replace("(anonymous namespace)", "").replace("::::", "::");
    let head = head.strip_prefix("void ").unwrap_or(&head);
    let open = head.find('<').filter(|open| *open > 0).unwrap_or(head.len());
    let outer = last_part(head[..open].split('(').next().unwrap_or(""));
    let title = match head.get(open..).and_then(function).filter(|_| GENERIC.iter().any(|word| outer.contains(word))) {
        Some(function) => function,
        None => outer,
    };
    middle_left_out(if title.is_empty() { name } else { title })
}

/// Kernels that are of use for anything: what they do is said by what is given to them.
const GENERIC: [&str; 4] = ["elementwise_kernel", "reduce_kernel", "device_kernel", "Kernel2"];

/// The first argument that says something.
fn function(arguments: &str) -> Option<&str> {
    const TELLS: [&str; 5] = ["Functor", "_kernel_cuda", "enable_sm", "Op<", "Ops<"];
    let names = arguments.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let mut names = names.map(last_part).filter(|name| name.len() > 3);
    let tells = |name: &&str| TELLS.iter().any(|word| name.contains(word.trim_end_matches('<')));
    names.find(tells)
}

fn last_part(path: &str) -> &str {
    path.rsplit("::").find(|part| !part.trim().is_empty()).unwrap_or("").trim()
}

fn middle_left_out(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST_TITLE {
        return name.to_owned();
    }
    let tail = LONGEST_TITLE / 2 - 1;
    let head = name.chars().take(LONGEST_TITLE - 1 - tail);
    head.chain(['…']).chain(name.chars().skip(length - tail)).collect()
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> String {
    let last = path.rsplit(['/', '\\']).find(|part| !part.is_empty());
    shown(last.unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_short_titles() {
        for (name, expected) in [
            (
                "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>(int, T)",
                "CUDAFunctor_add",
            ),
            (
                "void at::native::elementwise_kernel<128, 4, at::gpu_impl<direct_copy_kernel_cuda(x)>>(int)",
                "direct_copy_kernel_cuda",
            ),
            ("void at::native::vectorized_elementwise_kernel<4, x>(int)", "vectorized_e…ise_kernel"),
            ("void (anonymous namespace)::resolve_kernel<long>(long*)", "resolve_kernel"),
            ("void vllm::rms_norm_kernel<c10::BFloat16, 8>(int)", "rms_norm_kernel"),
            ("nvjet_sm90_tst_128x8_64x12_2x1_v_bz_TNT", "nvjet_sm90_t…1_v_bz_TNT"),
            ("Memcpy HtoD (Pinned -> Device)", "Memcpy HtoD"),
            ("<lambda>", "<lambda>"),
            ("", ""),
        ] {
            assert_eq!(title(name), expected);
        }
        assert_eq!(file_name("/a/b/rank0.json.gz"), "rank0.json.gz");
        assert!(
            title(&"x".repeat(1 << 20)).chars().count() <= LONGEST_TITLE
                && shown(&"é".repeat(1 << 20)).chars().count() <= LONGEST
        );
    }
}
