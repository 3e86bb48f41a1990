//! What is vLLM's alone in an explanation: its releases' rules, and its words.

/// What turns off that graphs are estimated and taken off the budget.
pub(crate) const GRAPHS_OFF: &str = "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0";

/// Why parts of two releases cannot be compared one by one.
pub(crate) const COUNTED: &str = "up to 0.26 vLLM takes off weights, growth and peak, since 0.27 all that is gone from the \
                                  device and the peak over it: only the sum is the same thing";

/// What else is counted as kept, since 0.27.
pub(crate) const ARRIVED: &str = "; no setting explains that: all that is gone from the device since the engine first looked \
                                  is counted here, so also what another process took of it meanwhile";

/// The words of the command line that give a setting this value.
pub(crate) fn words(name: &str, value: &str) -> String {
    match (name, value) {
        ("enforce_eager" | "enable_lora", "true") => format!("--{}", name.replace('_', "-")),
        ("enforce_eager" | "enable_lora", _) => format!("leaving --{} out", name.replace('_', "-")),
        ("enable_prefix_caching", "false") => "--no-enable-prefix-caching".to_owned(),
        ("enable_prefix_caching", _) => "--enable-prefix-caching".to_owned(),
        // It has no option of its own.
        ("cudagraph_mode", mode) => format!("--compilation-config '{{\"cudagraph_mode\": \"{mode}\"}}'"),
        _ => format!("--{} {value}", name.replace('_', "-")),
    }
}

/// Settings that follow from another one where that differs too.
pub(crate) fn follows(name: &str, differ: &[&str]) -> bool {
    name == "cudagraph_mode" && differ.contains(&"enforce_eager")
}

/// Whether a release counts what is consumed, by its name: since 0.27.
pub(crate) fn counts_consumed(version: Option<&str>) -> bool {
    minor(version).is_some_and(|minor| minor >= 27)
}

/// Whether a release counts tokens by requests of full length, and not by blocks: since 0.20.
pub(crate) fn counts_by_requests(version: Option<&str>) -> bool {
    minor(version).is_some_and(|minor| minor >= 20)
}

/// The share that a release takes when it is not told: 0.92 since 0.20, 0.9 before.
pub(crate) fn default_share(version: Option<&str>) -> Option<f64> {
    minor(version).map(|minor| if minor >= 20 { 0.92 } else { 0.9 })
}

/// The minor number of a release of the 0 line.
fn minor(version: Option<&str>) -> Option<u32> {
    let rest = version?.trim_start_matches('v').strip_prefix("0.")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}
