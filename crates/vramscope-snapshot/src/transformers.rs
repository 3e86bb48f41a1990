//! Which of Transformers' functions ask for what: read in 5.17.

use crate::parts::Rule;

/// In this order: the caches are filled inside of models.
pub(crate) const RULES: &[Rule] = &[
    Rule { part: "KV cache", path: "transformers/cache_utils.py", functions: &[] },
    Rule {
        part: "weights",
        path: "transformers/",
        functions: &["from_pretrained", "from_config", "_from_config", "__init__", "_init_weights"],
    },
    Rule { part: "activations", path: "transformers/models/", functions: &["forward"] },
    Rule { part: "activations", path: "transformers/generation/", functions: &[] },
];

/// The package, and what lies directly in it.
pub(crate) const PACKAGE: (&str, &[&str]) = (
    "/transformers/",
    &[
        "cache_utils.py",
        "core_model_loading.py",
        "generation/",
        "integrations/",
        "modeling_utils.py",
        "models/",
        "utils/",
    ],
);
