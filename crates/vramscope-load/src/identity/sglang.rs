//! By what SGLang is told (`srt/entrypoints/http_server.py`). Releases since 0.5.4 call the pages `/server_info` and
//! `/model_info`, and keep the earlier names.

use super::{Identity, Pages};

const INFO: [&str; 2] = ["/get_server_info", "/server_info"];

pub(super) fn signs(pages: &Pages) -> Vec<(&'static str, &'static str)> {
    let mut signs = Vec::new();
    if pages.owned_by("sglang") {
        signs.push(("/v1/models", "owned_by sglang"));
    }
    if pages.has_metric(&["sglang:"]) {
        signs.push(("/metrics", "names that begin with sglang:"));
    }
    for path in INFO {
        let has = |key: &str| pages.json(path).is_some_and(|info| info.get(key).is_some());
        if has("mem_fraction_static") && has("model_path") {
            signs.push((path, "mem_fraction_static and model_path"));
        }
    }
    let has = |key: &str| pages.json("/get_model_info").is_some_and(|info| info.get(key).is_some());
    if has("is_generation") && has("model_path") {
        signs.push(("/get_model_info", "is_generation and model_path"));
    }
    signs
}

pub(super) fn tell(pages: &Pages, told: &mut Identity) {
    told.version = INFO.iter().find_map(|path| pages.release(path, "version"));
    let models = pages.json("/v1/models").unwrap_or_default();
    told.max_model_len =
        models["data"].as_array().into_iter().flatten().find_map(|model| model["max_model_len"].as_u64());
}
