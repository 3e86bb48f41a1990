//! What has to hold of every page, whatever its document says.

use serde_json::Value;

use crate::cell::Cell;
use crate::document::Document;
use crate::page::{Block, Page, Table};

/// The page of one document.
pub(super) fn page_of(value: Value) -> (Document, Page) {
    let document = Document::new("a document", value).expect("a document of a known kind");
    let page = super::page(std::slice::from_ref(&document), None).expect("a page");
    (document, page)
}

fn each_cell<'p>(blocks: &'p [Block], see: &mut dyn FnMut(&'p Cell)) {
    fn table<'p>(table: &'p Table, see: &mut dyn FnMut(&'p Cell)) {
        for row in &table.rows {
            assert_eq!(row.len(), table.heads.len(), "{}", table.caption);
            row.iter().for_each(&mut *see);
        }
    }
    for block in blocks {
        match block {
            Block::Headline(figures) => figures.iter().for_each(|(_, cell)| see(cell)),
            Block::Table(one) => table(one, see),
            Block::Picture(picture) => {
                assert!(!picture.words.is_empty() && !picture.title.is_empty());
                picture.table.iter().for_each(|one| table(one, see));
            }
            Block::Folded { blocks, .. } => each_cell(blocks, see),
            _ => {}
        }
    }
}

/// Figures of the page that stand in the document, each of which has been looked up there.
pub(super) fn figures(document: &Document, page: &Page) -> usize {
    let mut count = 0;
    let mut see = |cell: &Cell| {
        if let Some((pointer, number)) = &cell.source {
            let pointer = pointer.strip_prefix("0:").expect("the place of the only document");
            assert_eq!(document.value().pointer(pointer), Some(&Value::Number(number.clone())), "{pointer}");
            count += 1;
        }
    };
    page.sections.iter().for_each(|section| each_cell(&section.blocks, &mut see));
    count
}

/// Holds a page against its document, and reads both languages. Gives the HTML.
pub(super) fn check(value: Value) -> String {
    let (document, page) = page_of(value);
    figures(&document, &page);
    let (html, markdown) = (page.html(), page.markdown());
    let body = &html[html.find("<main").expect("a main part")..html.rfind("</main>").expect("its end")];
    for text in [body, &markdown] {
        for odd in ["NaN", "inf<", "\"inf", "inf ", "-inf", "not a number"] {
            assert!(!text.contains(odd), "{odd} in {}", &text[text.find(odd).unwrap_or(0).saturating_sub(200)..]);
        }
    }
    assert!(page.sections.iter().all(|section| !section.blocks.is_empty()), "no section is empty");
    html
}

/// A document in which every text is one that would break a page that does not escape it.
pub(super) fn hostile(value: &Value) -> Value {
    const TEXT: &str = "</script><img src=x onerror=alert(1)>\"'`|\u{202e}\u{1b}[2J";
    match value {
        Value::String(_) => Value::String(TEXT.to_owned()),
        Value::Array(all) => Value::Array(all.iter().map(hostile).collect()),
        Value::Object(all) => {
            let mut all: serde_json::Map<String, Value> =
                all.iter().map(|(key, value)| (key.clone(), hostile(value))).collect();
            // Names that documents take from elsewhere are as foreign as texts.
            for key in ["settings", "fixed", "failures"] {
                if let Some(Value::Object(names)) = all.get_mut(key) {
                    let value = names.values().next().cloned().unwrap_or_else(|| Value::from(1));
                    names.insert(TEXT.to_owned(), value);
                }
            }
            Value::Object(all)
        }
        other => other.clone(),
    }
}

/// The document without each of its members in turn, two levels deep in the objects and in the first of each list.
pub(super) fn without_each(value: &Value, keep: &[&str], see: &mut dyn FnMut(Value)) {
    let mut paths = Vec::new();
    walk(value, String::new(), 0, &mut paths);
    for path in paths {
        let (parent, key) = path.rsplit_once('/').expect("a pointer");
        if keep.contains(&key) {
            continue;
        }
        let mut copy = value.clone();
        if let Some(object) = copy.pointer_mut(parent).and_then(Value::as_object_mut) {
            object.remove(&key.replace("~1", "/").replace("~0", "~"));
            see(copy);
        }
    }
}

fn walk(value: &Value, at: String, depth: usize, paths: &mut Vec<String>) {
    match value {
        Value::Object(all) if depth < 5 => {
            for (key, value) in all {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                paths.push(at.clone());
                walk(value, at, depth + 1, paths);
            }
        }
        Value::Array(all) => {
            if let Some(first) = all.first() {
                walk(first, format!("{at}/0"), depth + 1, paths);
            }
        }
        _ => {}
    }
}

/// Every law for a document as it is, hostile, and with parts of it missing.
pub(super) fn laws(value: &Value, keep: &[&str]) {
    let (document, page) = page_of(value.clone());
    assert!(figures(&document, &page) > 0, "the page has figures of its document");
    check(value.clone());
    let html = check(hostile(value));
    assert!(!html.contains("<img") && !html.contains('\u{202e}') && !html.contains('\u{1b}'));
    without_each(value, keep, &mut |less| {
        check(less);
    });
}

/// A document among the fixtures.
pub(super) fn fixture(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

mod tests {
    use super::*;

    #[test]
    fn pages_of_comparisons_keep_the_laws() {
        for (text, kind) in [
            (include_str!("../../tests/data/comparison.json"), "vramscope_comparison"),
            (include_str!("../../tests/data/against.json"), "vramscope_against"),
            (include_str!("../../tests/data/repeat.json"), "vramscope_repeat"),
            (include_str!("../../tests/data/experiment.json"), "vramscope_experiment"),
        ] {
            laws(&fixture(text), &[kind]);
            check(serde_json::json!({ kind: 1 }));
        }
    }

    #[test]
    fn what_exceeds_its_limit_comes_first_and_better_and_worse_are_words() {
        let mut value = fixture(include_str!("../../tests/data/comparison.json"));
        value["exceeded"] = serde_json::json!([{"figure": "mean_latency_ms", "worse_by": 0.25, "limit": 0.05}]);
        let html = check(value);
        let at = |words: &str| html.find(words).unwrap_or_else(|| panic!("{words} on the page"));
        assert!(
            at("mean latency became worse by 25 %, which is more than its limit of 5 %") < at("class=\"headline\"")
        );
        assert!(html.contains(">worse</td>") && html.contains(">better</td>"));
    }

    #[test]
    fn different_models_are_neither_better_nor_worse() {
        let mut value = fixture(include_str!("../../tests/data/comparison.json"));
        value["settings"] = serde_json::json!([{"name": "model", "before": "a", "after": "b"}]);
        let html = check(value);
        assert!(html.contains("better and worse do not apply"));
        assert!(!html.contains(">worse</td>") && !html.contains(">better</td>"));
        assert!(!html.contains("dd class=\"good\"") && !html.contains("dd class=\"bad\""));
    }
}
