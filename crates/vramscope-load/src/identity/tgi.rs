//! By what Text Generation Inference is told (`router/src/server.rs`).

use super::{Identity, Pages};

pub(super) fn signs(pages: &Pages) -> Vec<(&'static str, &'static str)> {
    let mut signs = Vec::new();
    if pages.has_metric(&["tgi_"]) {
        signs.push(("/metrics", "names that begin with tgi_"));
    }
    let has = |key: &str| pages.json("/info").is_some_and(|info| info.get(key).is_some());
    if has("model_id") && has("max_total_tokens") {
        signs.push(("/info", "model_id and max_total_tokens"));
    }
    signs
}

pub(super) fn tell(pages: &Pages, told: &mut Identity) {
    told.version = pages.release("/info", "version");
    told.max_model_len = pages.json("/info").and_then(|info| info["max_total_tokens"].as_u64());
}
