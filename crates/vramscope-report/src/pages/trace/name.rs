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

/// What of a name tells a kernel from others, for a picture: no return type, arguments, template arguments, and no more
/// than the last two parts of its path.
pub(crate) fn title(name: &str) -> String {
    // What follows the first thousands of characters is no part of any name's head.
    let head: String = name.chars().take(4096).collect();
    let head = head.replace("(anonymous namespace)::", "");
    let head = head.strip_prefix("void ").unwrap_or(&head);
    let mut depth = 0_usize;
    let mut plain = String::new();
    for c in head.chars() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let parts: Vec<&str> = plain.trim().split("::").filter(|part| !part.trim().is_empty()).collect();
    let last = parts[parts.len().saturating_sub(2)..].join("::");
    if last.is_empty() { shown(name) } else { last }
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
                "void at::native::vectorized_elementwise_kernel<4, f<(x)>>(int, T)",
                "native::vectorized_elementwise_kernel",
            ),
            ("void (anonymous namespace)::resolve_kernel<long>(long*)", "resolve_kernel"),
            ("nvjet_sm90_tst_128x8_64x12_2x1_v_bz_TNT", "nvjet_sm90_tst_128x8_64x12_2x1_v_bz_TNT"),
            ("<lambda>", "<lambda>"),
            ("", ""),
        ] {
            assert_eq!(title(name), expected);
        }
        assert_eq!(file_name("/a/b/rank0.json.gz"), "rank0.json.gz");
        assert!(title(&"x".repeat(1 << 20)).len() <= 4096 && shown(&"é".repeat(1 << 20)).chars().count() <= LONGEST);
    }
}
