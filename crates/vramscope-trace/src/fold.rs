//! Kernel names without what changes from build to build.

/// A kernel's name without return type, template arguments, parameters and numbers: what stays the same when a compiler,
/// a tile size or a shape changes.
///
/// ```
/// use vramscope_trace::fold_name;
/// let long = "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float> >(at::native::ReduceOp<float>)";
/// assert_eq!(fold_name(long), "at::native::reduce_kernel");
/// assert_eq!(fold_name("nvjet_tst_64x16_64x16_2x4_h_bz_TNT"), "nvjet_tst_#x#_#x#_#x#_h_bz_TNT");
/// ```
pub fn fold_name(name: &str) -> String {
    let plain = without_brackets(&name.replace("(anonymous namespace)::", ""));
    // A return type ends at the last blank outside brackets: `void `, `std::enable_if<…>::type `.
    let own = plain.trim().rsplit(' ').next().unwrap_or_default();
    let mut folded = String::with_capacity(own.len());
    for c in own.chars() {
        if !c.is_ascii_digit() {
            folded.push(c);
        } else if !folded.ends_with('#') {
            folded.push('#');
        }
    }
    if folded.is_empty() { name.to_owned() } else { folded }
}

/// A kernel's name as people tell kernels apart: without return type, parameters and anonymous namespaces, but with
/// template arguments.
///
/// ```
/// use vramscope_trace::plain_name;
/// let long = "std::enable_if<(8>0), void>::type vllm::rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long)";
/// assert_eq!(plain_name(long), "vllm::rms_norm_kernel<c10::BFloat16, 8>");
/// ```
pub fn plain_name(name: &str) -> String {
    let name = name.replace("(anonymous namespace)::", "");
    let (mut depth, mut start, mut end, mut last) = (0u32, 0, name.len(), ' ');
    for (at, c) in name.char_indices() {
        match c {
            '(' if depth == 0 => {
                end = at;
                break;
            }
            '<' | '(' | '{' | '[' => depth += 1,
            '>' if last == '-' => {}
            '>' | ')' | '}' | ']' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => start = at + 1,
            _ => {}
        }
        last = c;
    }
    let plain = name[start..end].trim();
    if plain.is_empty() { name } else { plain.to_owned() }
}

/// The text outside `<>`, `()`, `{}` and `[]`.
fn without_brackets(name: &str) -> String {
    let mut depth = 0u32;
    let mut last = ' ';
    let mut kept = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '<' | '(' | '{' | '[' => depth += 1,
            // `->` and `operator>` close nothing.
            '>' if last == '-' || depth == 0 => {}
            '>' | ')' | '}' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
        last = c;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn noise_is_folded_and_identity_stays() {
        for (name, folded) in [
            (
                "std::enable_if<(((8)>(0))), void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(long)",
                "vllm::fused_add_rms_norm_kernel",
            ),
            (
                "void at::native::(anonymous namespace)::cunn_SoftMaxForward<8, float>(float*, int)",
                "at::native::cunn_SoftMaxForward",
            ),
            ("triton_poi_fused_add_mul_silu_3", "triton_poi_fused_add_mul_silu_#"),
            ("_apply_write_kernel", "_apply_write_kernel"),
            ("<>", "<>"),
        ] {
            assert_eq!(fold_name(name), folded, "{name}");
        }
    }

    #[test]
    fn plain_names_lose_nothing_that_tells_kernels_apart() {
        for (name, plain) in [
            (
                "void (anonymous namespace)::multimem_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16*)",
                "multimem_all_reduce_kernel<c10::BFloat16, 16>",
            ),
            ("Memcpy HtoD (Pinned -> Device)", "Memcpy HtoD (Pinned -> Device)"),
            ("nvjet_tst", "nvjet_tst"),
            ("(x)", "(x)"),
        ] {
            assert_eq!(plain_name(name), plain);
        }
    }

    proptest! {
        #[test]
        fn a_folded_name_stays_as_it_is(name in "[a-zA-Z0-9_:<>(){} ,*&]{0,60}") {
            let once = fold_name(&name);
            prop_assert_eq!(fold_name(&once).is_empty(), once.is_empty());
        }
    }
}
