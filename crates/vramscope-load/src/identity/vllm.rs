//! By what vLLM is told. Its `/version` alone tells nothing: many servers have one.

use super::{Identity, Pages};

pub(super) fn signs(pages: &Pages) -> Vec<(&'static str, &'static str)> {
    let mut signs = Vec::new();
    if pages.owned_by("vllm") {
        signs.push(("/v1/models", "owned_by vllm"));
    }
    if pages.has_metric(&["vllm:", "ray_vllm_", "vllm_"]) {
        signs.push(("/metrics", "names that begin with vllm:"));
    }
    signs
}

pub(super) fn tell(pages: &Pages, told: &mut Identity) {
    told.version = pages.release("/version", "version");
    let models = pages.json("/v1/models").unwrap_or_default();
    told.max_model_len =
        models["data"].as_array().into_iter().flatten().find_map(|model| model["max_model_len"].as_u64());
}
