//! The text of a saved output, and what to say of one that is none of those that are read.

/// What is understood.
pub(super) const UNDERSTOOD: &str = "it is neither nvidia-smi's CSV (with its header line), XML (-q -x), text (-q) or \
                                     table, nor the JSON (--json) or text of amd-smi or rocm-smi";

/// Text in UTF-8 or, as PowerShell writes it, UTF-16, without a terminal's colours. What is not valid is replaced: a
/// process may have any name.
pub(super) fn decode(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], order: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| order([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        // Without the mark, the outputs' own characters tell: all of them are ASCII.
        [1..=127, 0, 1..=127, 0, ..] => wide(bytes, u16::from_le_bytes),
        [0, 1..=127, 0, 1..=127, ..] => wide(bytes, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    if text.contains('\u{1b}') { without_colours(&text) } else { text }
}

/// Without control sequences (ECMA-48, section 5.4): escape, `[`, parameters, one final letter.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('\u{1b}');
    out.push_str(parts.next().unwrap_or(""));
    for part in parts {
        let rest = match part.strip_prefix('[') {
            Some(sequence) => {
                let end = sequence.find(|c: char| ('@'..='~').contains(&c));
                end.and_then(|end| sequence.get(end + 1..)).unwrap_or("")
            }
            // A sequence of one letter, or of two where it chooses a character set.
            None => part.trim_start_matches(['(', ')']).get(1..).unwrap_or(""),
        };
        out.push_str(rest);
    }
    out
}

/// What to do with a known output of these tools that is not read, or with their word that something failed.
pub(super) fn told(text: &str) -> Option<&'static str> {
    const NO_DRIVER: &str = "nvidia-smi could not reach the NVIDIA driver there: nothing in it can be read";
    const ROCM: &str = "it is the table of rocm-smi: save the output of rocm-smi --showallinfo --json";
    const AMD: &str =
        "it is the table of amd-smi: save the outputs of amd-smi static --json, metric --json and process --json";
    const CSV: &str = "it is the CSV of amd-smi or rocm-smi: save the same output with --json in place of --csv";
    const MONITOR: &str = "it is the table of amd-smi monitor: save the output of amd-smi monitor --json";
    const KNOWN: [(&str, &str); 15] = [
        ("NVIDIA-SMI has failed", NO_DRIVER),
        ("Failed to initialize NVML", NO_DRIVER),
        ("No devices were found", "nvidia-smi found no GPU there"),
        ("(UUID: GPU-", "it is the output of nvidia-smi -L, which has no figures: save that of nvidia-smi -q -x"),
        ("# gpu ", "it is the output of nvidia-smi dmon or pmon: save that of nvidia-smi -q -x"),
        ("device,", CSV),
        ("gpu,", CSV),
        ("GFX_CLK", MONITOR),
        ("gpu_data", "amd-smi lists no GPU in it"),
        ("command not found", "the tool was not found there: nothing in it can be read"),
        ("ROCm System Management Interface", ROCM),
        ("ROCm SMI Log", ROCM),
        ("AMDSMI Tool:", AMD),
        ("AMD-SMI ", AMD),
        (" MiB, ", "it is nvidia-smi's CSV without its header line: save it again without noheader"),
    ];
    if text.trim().is_empty() {
        return Some("it is empty");
    }
    KNOWN.iter().find(|(sign, _)| text.contains(sign)).map(|(_, told)| *told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_powershell_is_text_with_and_without_its_mark() {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let marked: Vec<u8> = "\u{feff}a, b".encode_utf16().flat_map(order).collect();
            assert_eq!(decode(&marked), "a, b");
            assert_eq!(decode(&marked[2..]), "a, b");
        }
        assert_eq!(decode(b"\xef\xbb\xbfa, b"), "a, b");
        assert_eq!(decode(b"a"), "a");
    }

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(decode(b"\x1b[1;32mname\x1b[0m, uuid\x1b[K\nT4\x1b(B\x1b=, 1"), "name, uuid\nT4, 1");
        assert_eq!(decode("\u{1b}[\u{1b}\u{e9}\u{1b}[31".as_bytes()), "");
    }
}
