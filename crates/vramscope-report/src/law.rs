//! Laws that every page keeps, for the tests of each room.

use serde_json::{Map, Value, json};

use crate::cell::Cell;
use crate::document::Document;
use crate::page::{Block, Page, Table};
use crate::pages::page;
use crate::time::exact;
use crate::unit::Unit;

/// A page of few documents is no larger than this, whatever they hold.
const LARGEST: usize = 3 << 20;

/// More places than this are not damaged one by one: of each list, the first alone.
const MOST_PLACES: usize = 400;

/// Everything that a block holds, wherever it is folded.
fn blocks(page: &Page) -> Vec<&Block> {
    fn of<'p>(blocks: &'p [Block], all: &mut Vec<&'p Block>) {
        for block in blocks {
            all.push(block);
            if let Block::Folded { blocks, .. } = block {
                of(blocks, all);
            }
        }
    }
    let mut all = Vec::new();
    page.sections.iter().for_each(|section| of(&section.blocks, &mut all));
    all
}

/// The table of a block: its own, or that of its picture.
fn table(block: &Block) -> Option<&Table> {
    match block {
        Block::Table(table) => Some(table),
        Block::Picture(picture) => picture.table.as_ref(),
        Block::Time(chart) => chart.table.as_ref(),
        _ => None,
    }
}

/// Every cell of a page, wherever it stands.
fn cells(page: &Page) -> Vec<&Cell> {
    let mut all = Vec::new();
    for block in blocks(page) {
        match block {
            Block::Sentence(cells) => all.extend(cells),
            Block::Headline(figures) => all.extend(figures.iter().map(|(_, cell)| cell)),
            other => all.extend(table(other).into_iter().flat_map(|table| table.rows.iter().flatten())),
        }
    }
    all
}

/// Every figure stands in its document where it says; what is written is of a bounded size, and nothing foreign is
/// markup. Returns how many figures there are.
pub(crate) fn holds(documents: &[Document]) -> usize {
    let page = page(documents, None).unwrap();
    let mut figures = 0;
    for cell in cells(&page) {
        let Some((pointer, number)) = &cell.source else { continue };
        let (place, pointer) = pointer.split_once(':').unwrap();
        let found = documents[place.parse::<usize>().unwrap()].value().pointer(pointer);
        assert_eq!(found, Some(&Value::Number(number.clone())), "{pointer} ({})", cell.text);
        figures += 1;
    }
    for block in blocks(&page) {
        if let Some(table) = table(block) {
            assert!(table.rows.iter().all(|row| row.len() == table.heads.len()), "{}", table.caption);
        }
        if let Block::Picture(picture) = block {
            assert!(!picture.words.is_empty() && !picture.title.is_empty(), "a picture that is not told in words");
        }
    }
    assert!(page.sections.iter().all(|section| !section.blocks.is_empty()), "a section with nothing in it");
    if let [document] = documents {
        let charts = page.sections.iter().flat_map(|section| &section.blocks);
        charts.for_each(|block| {
            if let Block::Time(chart) = block {
                tells_the_peak(document, &chart.words)
            }
        });
    }
    let (html, markdown) = (page.html(), page.markdown());
    assert!(html.len() < LARGEST && markdown.len() < LARGEST, "{} and {} bytes", html.len(), markdown.len());
    assert!(!html.contains("NaN") && !html.contains("=\"inf"), "a place that is no number");
    // Lines of code are no markup in Markdown.
    let markdown: String = markdown.lines().filter(|line| !line.starts_with("    ")).collect();
    for text in ["<img", "<b onclick", "\u{202e}", "\u{1b}", "</script><script>alert"] {
        assert!(!html.contains(text) && !markdown.contains(text), "{text}");
    }
    assert_eq!(html.matches("<script").count(), html.matches("</script>").count());
    figures
}

/// The page of one document as HTML with plain spaces, which has no figure that is none.
pub(crate) fn check(value: Value) -> String {
    let document = Document::new("runs/a.json", value).unwrap();
    holds(std::slice::from_ref(&document));
    let page = page(&[document], None).unwrap();
    let (html, markdown) = (page.html(), page.markdown());
    let body = &html[html.find("<main").unwrap()..html.rfind("</main>").unwrap()];
    for text in [body, &markdown] {
        for odd in ["NaN", "inf<", "\"inf", "inf ", "-inf", "not a number"] {
            assert!(!text.contains(odd), "{odd} in {}", text.split(odd).next().unwrap_or_default());
        }
    }
    html.replace('\u{a0}', " ")
}

/// A document among the fixtures.
pub(crate) fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The words of a chart have the most memory of the points that a document without a recording has.
fn tells_the_peak(document: &Document, words: &str) {
    let timeline = document.value().pointer("/memory_timeline/timeline").and_then(Value::as_array);
    let Some(points) = timeline.filter(|points| !points.is_empty() && document.recording().is_none()) else { return };
    let used = |point: &Value| {
        point.get("at_ns")?.as_u64()?;
        point.get("memory_bytes")?.as_u64().filter(|used| i64::try_from(*used).is_ok())
    };
    match points.iter().filter_map(used).max() {
        Some(most) => {
            let said = format!("most memory in use is {},", Unit::Memory.show(exact(most)));
            assert!(words.contains(&said), "{said} {words}");
        }
        None => assert!(!words.contains("most memory"), "{words}"),
    }
}

/// Objects whose members a document names as others do: their names are as foreign as texts.
const NAMED_BY_OTHERS: [&str; 3] = ["settings", "fixed", "failures"];

/// The document with every text replaced, and with a member of that name where names are foreign.
pub(crate) fn with_texts(value: &Value, text: &str) -> Value {
    match value {
        Value::String(_) => json!(text),
        Value::Array(list) => list.iter().map(|one| with_texts(one, text)).collect(),
        Value::Object(object) => {
            let members = object.iter().map(|(key, value)| (key.clone(), with_texts(value, text)));
            let mut members = members.collect::<Map<_, _>>();
            for key in NAMED_BY_OTHERS {
                if let Some(Value::Object(names)) = members.get_mut(key) {
                    let value = names.values().next().cloned().unwrap_or_else(|| json!(1));
                    names.insert(text.to_owned(), value);
                }
            }
            Value::Object(members)
        }
        other => other.clone(),
    }
}

/// The document with every number replaced.
pub(crate) fn with_numbers(value: &Value, number: &Value) -> Value {
    match value {
        Value::Number(_) => number.clone(),
        Value::Array(list) => list.iter().map(|one| with_numbers(one, number)).collect(),
        Value::Object(object) => {
            // A version is none of a document's figures.
            let member = |(key, value): (&String, &Value)| match key.starts_with("vramscope_") {
                true => (key.clone(), value.clone()),
                false => (key.clone(), with_numbers(value, number)),
            };
            Value::Object(object.iter().map(member).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// The pointers of all members and elements but for those of the root that tell the kind.
fn places(value: &Value, at: &str, of_list: usize, out: &mut Vec<String>) {
    let mut below = |name: String, value: &Value| {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        out.push(pointer.clone());
        places(value, &pointer, of_list, out);
    };
    match value {
        Value::Array(list) => {
            list.iter().enumerate().take(of_list).for_each(|(place, one)| below(place.to_string(), one))
        }
        Value::Object(object) => object.iter().for_each(|(key, one)| below(key.clone(), one)),
        _ => {}
    }
}

/// The document once for each of its places with nothing there, and once with something that nobody expects.
pub(crate) fn damaged(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    places(value, "", usize::MAX, &mut all);
    if all.len() > MOST_PLACES {
        all.clear();
        places(value, "", 1, &mut all);
    }
    let mut out = Vec::new();
    let odd = [json!("odd"), json!(-1), json!([[]]), json!({"odd": {}})];
    for (place, pointer) in all.into_iter().enumerate() {
        for odd in [Value::Null, odd[place % odd.len()].clone()] {
            let mut copy = value.clone();
            *copy.pointer_mut(&pointer).unwrap() = odd;
            out.push(copy);
        }
    }
    out
}

/// All that is asked of a kind's page, of one document of the kind.
pub(crate) fn of_kind(value: &Value) {
    let one = |value: Value| Document::new("runs/a.json", value).unwrap();
    assert!(holds(&[one(value.clone())]) > 0, "a page without a figure");
    check(value.clone());
    for text in [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"'`|<b onclick=alert(1)>",
        "a\u{202e}b\u{0}\u{1b}[2J",
        "",
        "#x",
        "2026",
    ] {
        holds(&[one(with_texts(value, text))]);
    }
    holds(&[one(with_texts(value, &"x".repeat(1 << 16)))]);
    for number in [json!(u64::MAX), json!(i64::MIN), json!(0), json!(1e308), json!(-1e-308), json!(0.5)] {
        holds(&[one(with_numbers(value, &number))]);
    }
    for damaged in damaged(value) {
        if let Ok(document) = Document::new("runs/a.json", damaged) {
            holds(&[document]);
        }
    }
    // What tells the kind, and nothing else.
    for (key, value) in value.as_object().unwrap() {
        let mut least = Map::new();
        least.insert(key.clone(), value.clone());
        if let Ok(document) = Document::new("a", Value::Object(least)) {
            holds(&[document]);
        }
    }
}

mod tests {
    use super::*;

    #[test]
    fn pages_of_stored_documents_keep_the_laws() {
        for text in [
            include_str!("../tests/data/comparison.json"),
            include_str!("../tests/data/against.json"),
            include_str!("../tests/data/repeat.json"),
            include_str!("../tests/data/experiment.json"),
            include_str!("../tests/data/load.json"),
            include_str!("../tests/data/load-rate.json"),
            include_str!("../tests/data/runs.json"),
        ] {
            of_kind(&fixture(text));
        }
    }
}
