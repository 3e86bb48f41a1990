//! What is said of an engine is said in the room of its name: `src/vllm/`, `src/vllm.rs`. Elsewhere a library spells no
//! engine, so that another one is never taken for it.

/// Words by which engines are spelled, in lower case, and the name of their rooms.
const WORDS: &[(&str, &str)] = &[
    ("vllm", "vllm"),
    ("sglang", "sglang"),
    ("llamacpp", "llama_cpp"),
    ("llama_cpp", "llama_cpp"),
    ("llama.cpp", "llama_cpp"),
    ("ollama", "ollama"),
    ("text_generation", "tgi"),
];

/// Where an engine is spelled outside its rooms, and why.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("vramscope-estimate/src/lib.rs", "llamacpp", "the types of its room"),
    ("vramscope-estimate/src/lib.rs", "llama_cpp", "the functions of its room"),
    ("vramscope-estimate/src/lib.rs", "sglang", "the types and functions of another room"),
    ("vramscope-estimate/src/lib.rs", "ollama", "the same"),
    ("vramscope-estimate/src/ollama/", "llamacpp", "the types of the server that it starts"),
    ("vramscope-estimate/src/ollama/", "llama_cpp", "the functions of the same"),
    ("vramscope-estimate/src/ollama/", "llama.cpp", "its name"),
    ("vramscope-core/src/engine_kind.rs", "vllm", "the list of engines"),
    ("vramscope-core/src/engine_kind.rs", "llama.cpp", "the same"),
    ("vramscope-core/src/engine_kind.rs", "llamacpp", "the same"),
    ("vramscope-core/src/engine_kind.rs", "ollama", "the same"),
    ("vramscope-core/src/engine_kind.rs", "sglang", "the same"),
    ("vramscope-core/src/engine_line.rs", "vllm", "the programs, packages and images of engines"),
    ("vramscope-core/src/engine_line.rs", "llama.cpp", "the same"),
    ("vramscope-core/src/engine_line.rs", "llama_cpp", "the same"),
    ("vramscope-core/src/engine_line.rs", "ollama", "the same"),
    ("vramscope-core/src/engine_line.rs", "sglang", "the same"),
    ("vramscope-core/src/engine_line.rs", "text_generation", "the same"),
    ("vramscope-log/src/needles.rs", "text_generation_launcher", "a text by which an engine is told"),
    ("vramscope-runs/src/args_file.rs", "vllm", "a key of recordings"),
    ("vramscope-runs/src/layout.rs", "vllm", "a file name of recordings"),
    ("vramscope-schema/src/", "vllm_internal_metrics", "a compatibility key of the profile"),
    ("vramscope-schema/src/", "vllminternalmetrics", "its type"),
    ("vramscope-schema/src/", "vllm_reported_values_used", "a compatibility key of the profile"),
    ("vramscope-schema/src/migrate/basis.rs", "vllm", "why a figure of an earlier document has its unit"),
    ("vramscope-compare/src/", "vllm_internal_metrics", "reads the compatibility key"),
    ("vramscope-analysis/src/assemble", "vllm_internal_metrics", "writes the compatibility key"),
    ("vramscope-analysis/src/assemble", "vllminternalmetrics", "its type"),
    ("vramscope-core/src/redact.rs", "\"vllm_\"", "the beginning of names of variables"),
    ("vramscope-host/src/host/docker/facts.rs", "\"vllm_model\"", "the name of a variable"),
    ("vramscope-trace/src/", "vllm_version", "a key of trace files, which several engines write"),
];

/// Finds an engine's word in the code of a library outside its room. Comments, tests and the paths that lead into a
/// room do not count; the command speaks to people of engines and is not looked at.
pub(super) fn check(name: &str, text: &str, wrong: &mut Vec<String>) {
    let Some((library, inside)) = name.strip_prefix("crates/").and_then(|name| name.split_once("/src/")) else {
        return;
    };
    if library == "vramscope" || library.starts_with("standin-") || inside.contains("tests") {
        return;
    }
    let (mut announced, mut in_tests) = (false, false);
    for (number, line) in text.lines().enumerate() {
        // A module of tests ends with a brace of its own line; code may follow it.
        if in_tests {
            in_tests = line != "}";
            continue;
        }
        in_tests = announced && line.starts_with("mod ") && line.ends_with('{');
        announced = line == "#[cfg(test)]";
        let line = line.split("//").next().unwrap_or_default().to_lowercase();
        for (word, room) in WORDS {
            if line.contains(word) && !in_room(inside, room) && is_spelled(name, &line, word, room) {
                wrong.push(format!(
                    "{name}:{}: it spells an engine ({word}) outside the room of that name ({room}/); see \
                     CONTRIBUTING.md, \"An engine\"",
                    number + 1
                ));
            }
        }
    }
}

/// Whether a file below `src/` lies in a room.
fn in_room(inside: &str, room: &str) -> bool {
    inside.split('/').any(|part| part.strip_suffix(".rs").unwrap_or(part) == room)
}

/// Whether the word is still there without what leads into the room, the enum's own name, and what is allowed.
fn is_spelled(name: &str, line: &str, word: &str, room: &str) -> bool {
    let ways = [
        format!("enginekind::{}", room.replace('_', "")),
        format!("self::{}", room.replace('_', "")),
        format!("{room}::"),
        format!("mod {room};"),
        format!("::{room};"),
        format!("::{{{room}"),
        // One of several rooms: `use crate::{llama_cpp, ollama};`.
        format!(", {room}"),
    ];
    let mut rest = line.to_owned();
    for way in ways {
        rest = rest.replace(&way, "");
    }
    let place = name.trim_start_matches("crates/");
    for (_, allowed, _) in ALLOWED.iter().filter(|(at, ..)| place.starts_with(at)) {
        rest = rest.replace(allowed, "");
    }
    rest.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> usize {
        let mut wrong = Vec::new();
        check(name, text, &mut wrong);
        wrong.len()
    }

    #[test]
    fn an_engine_outside_its_room_is_found() {
        let place = "crates/vramscope-analysis/src/evidence.rs";
        assert_eq!(found(place, "if kind != \"vllm\" {\n    advise(\"vLLM does\")\n}"), 2);
        assert_eq!(found(place, "let metrics = sglang_pool();"), 1);
        assert_eq!(found("crates/vramscope-log/src/rows.rs", "const ROWS: &str = \"llama.cpp\";"), 1);
    }

    #[test]
    fn rooms_ways_into_them_comments_tests_and_the_command_may_spell_it() {
        let text = "const NAME: &str = \"vllm\";";
        for place in [
            "crates/vramscope-log/src/vllm/rows.rs",
            "crates/vramscope-load/src/metrics/vllm.rs",
            "crates/vramscope/src/cmd.rs",
        ] {
            assert_eq!(found(place, text), 0, "{place}");
        }
        let ways = "mod vllm;\nuse crate::vllm::rows;\nmatch kind { EngineKind::Vllm => vllm::advice() } // vLLM\n\
                    #[cfg(test)]\nmod tests {\n    fn t() { \"vllm\" }\n}\n";
        assert_eq!(found("crates/vramscope-log/src/advice.rs", ways), 0);
        let behind = format!("{ways}{text}");
        assert_eq!(found("crates/vramscope-log/src/advice.rs", &behind), 1, "code behind the tests counts");
    }
}
