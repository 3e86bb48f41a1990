//! By what llama.cpp's server is told (`tools/server/server-http.cpp`, `server-context.cpp`).

use super::{Identity, Pages};

pub(super) fn signs(pages: &Pages) -> Vec<(&'static str, &'static str)> {
    let mut signs = Vec::new();
    if let Some(path) = pages.served_by("llama.cpp") {
        signs.push((path, "Server: llama.cpp"));
    }
    if pages.owned_by("llamacpp") {
        signs.push(("/v1/models", "owned_by llamacpp"));
    }
    if pages.has_metric(&["llamacpp:"]) {
        signs.push(("/metrics", "names that begin with llamacpp:"));
    }
    let has = |key: &str| pages.json("/props").is_some_and(|props| props.get(key).is_some());
    if has("default_generation_settings") && has("total_slots") {
        signs.push(("/props", "default_generation_settings and total_slots"));
    }
    signs
}

/// The release is the build's number, which `/props` states as `b10434-7e4c0a9`.
pub(super) fn tell(pages: &Pages, told: &mut Identity) {
    let build = pages.release("/props", "build_info");
    told.version = build.map(|build| build.split_once('-').map_or(build.clone(), |(number, _)| number.to_owned()));
    let props = pages.json("/props").unwrap_or_default();
    let models = pages.json("/v1/models").unwrap_or_default();
    let meta = models["data"].as_array().and_then(|all| all.first()).map(|model| &model["meta"]);
    // That of a slot, which may be a part of the whole.
    let of_slot = props["default_generation_settings"]["n_ctx"].as_u64();
    told.max_model_len = of_slot.or_else(|| meta?["n_ctx"].as_u64());
    told.vocabulary = meta.and_then(|meta| meta["n_vocab"].as_u64());
}
