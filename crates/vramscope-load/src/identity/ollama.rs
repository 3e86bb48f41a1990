//! By what Ollama is told (`server/routes.go`). Others answer `/api/version` for programs that look for Ollama; the
//! sentence on its first page is its own.

use super::{Identity, Pages};

const SENTENCE: &str = "Ollama is running";

pub(super) fn signs(pages: &Pages) -> Vec<(&'static str, &'static str)> {
    let speaks = pages.text("/").is_some_and(|text| text.trim() == SENTENCE);
    let has_version = pages.release("/api/version", "version").is_some();
    if speaks && has_version { vec![("/", SENTENCE), ("/api/version", "version")] } else { Vec::new() }
}

pub(super) fn tell(pages: &Pages, told: &mut Identity) {
    told.version = pages.release("/api/version", "version");
}
