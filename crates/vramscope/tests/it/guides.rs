use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};

use crate::{stdout, vramscope};

/// The `jq` lines of the earlier profilers' guides, with a blank line between them.
const LINES: &str = include_str!("../../../vramscope-schema/tests/it/guide_lines.txt");

#[test]
fn the_first_profilers_fields_of_the_work_are_there() {
    let document = stdout(&vramscope(&["analyze", "examples/llama-3.1-8b", "--format", "json"]));
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let info = &document["model_info"];
    let lengths = ["prompt_length", "generated_length", "total_sequence_length", "batch_size"];
    assert_eq!(lengths.map(|name| info[name].as_u64()), [Some(256), Some(384), Some(384), Some(8)]);
}

#[test]
fn the_guides_jq_lines_work_on_what_analyze_prints() {
    let document = stdout(&vramscope(&["analyze", "examples/llama-3.1-8b", "--format", "json"]));
    for line in LINES.split("\n\n") {
        let arena = Arena::default();
        let modules = Loader::new(jaq_core::defs()).load(&arena, File { code: line, path: () });
        let modules = modules.unwrap_or_else(|_| panic!("parse {line}"));
        let filter = Compiler::default().with_funs(jaq_core::funs()).compile(modules);
        let filter = filter.unwrap_or_else(|_| panic!("compile {line}"));
        let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
        let input = read::parse_single(document.as_bytes()).unwrap();
        let outputs: Vec<String> =
            filter.id.run((context, input)).map(|out| unwrap_valr(out).unwrap().to_string()).collect();
        assert!(!outputs.is_empty() && !outputs.iter().any(|out| out.contains("null")), "{line}: {outputs:?}");
    }
}
