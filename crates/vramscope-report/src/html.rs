//! A page as one HTML file.
//!
//! The file's policy lets nothing be loaded and no script run but those that it brings, which are named by their hashes:
//! where a foreign text came through all the same, it would be text.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use vramscope_core::without_controls;

use crate::cell::{Cell, Tone};
use crate::page::{Block, Finding, Page, Picture, Section, Table, TimeChart, Weight};

const STYLE: &str = concat!(include_str!("html/page.css"), include_str!("../assets/uPlot.min.css"));
/// The plotting library, with its licence in the file.
const PLOT: &str =
    concat!("/*\n", include_str!("../assets/uPlot.LICENSE"), "*/\n", include_str!("../assets/uPlot.iife.min.js"));
const SCRIPT: &str = include_str!("html/page.js");
/// What makes a chart of [`TimeChart`]'s data.
const TIME: &str =
    concat!(include_str!("html/time-data.js"), include_str!("html/time-paint.js"), include_str!("html/time.js"));

/// What makes a flame graph one to look around in.
const FLAME: &str = include_str!("html/flame.js");

/// Longer texts are cut: a name of a megabyte tells nobody more, and would be the page.
const LONGEST_TEXT: usize = 2000;

/// Longer texts of a cell are sentences.
const SENTENCE: usize = 40;

/// Texts of a cell that stay on one line.
const BRIEF: usize = 20;

/// A longer word of a cell is broken where its column ends: a column as wide as it would push out all others.
const LONGEST_WORD: usize = 24;

/// What may follow a number: both stay on one line.
const UNITS: [&str; 20] = [
    "GiB", "MiB", "KiB", "B", "GB", "GB/s", "MB", "ms", "s", "µs", "ns", "min", "h", "%", "W", "J", "°C", "MHz", "×",
    "TFLOPS",
];

/// Text as it may stand between tags and in attributes: without what steers a viewer, shortened, escaped.
pub(crate) fn escaped(text: &str) -> String {
    let shown = without_controls(text);
    let mut out = String::with_capacity(shown.len() + 16);
    for (count, c) in shown.chars().enumerate() {
        if count == LONGEST_TEXT {
            out.push('…');
            break;
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text between tags: a number and its unit stay on one line, and so does an option of a command with its dashes.
fn inline(text: &str) -> String {
    /// Longer ones may be broken.
    const LONGEST_OPTION: usize = 40;
    let text = escaped(text);
    let mut out = String::with_capacity(text.len() + 16);
    let mut ends_with_digit = false;
    for (place, word) in text.split(' ').enumerate() {
        let bare = word.trim_start_matches(['(', '`']);
        let is_unit = || UNITS.contains(&word.trim_end_matches([',', '.', ';', ':', ')']));
        if place > 0 {
            out.push(if ends_with_digit && is_unit() { '\u{a0}' } else { ' ' });
        }
        if bare.starts_with("--") && (4..=LONGEST_OPTION).contains(&bare.len()) {
            let _ = write!(out, "<span class=\"whole\">{word}</span>");
        } else {
            out.push_str(word);
        }
        ends_with_digit = word.ends_with(|last: char| last.is_ascii_digit());
    }
    out
}

pub(crate) fn write(page: &Page) -> String {
    let scripts = scripts(page);
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let hashes: Vec<String> = scripts.iter().map(|script| hash(script)).collect();
    let _ = writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src {}; style-src {}; \
         img-src data:; base-uri 'none'; form-action 'none'\">",
        hashes.join(" "),
        hash(STYLE)
    );
    let title = escaped(&page.title);
    let _ = writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    let _ = writeln!(out, "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>");
    let _ = writeln!(out, "<link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>");
    let _ = writeln!(out, "<a class=\"skip\" href=\"#main\">To the content</a>\n<header>\n<h1>{title}</h1>");
    let _ = writeln!(out, "<p class=\"about\">{}</p>", inline(&page.about));
    out.push_str("<button type=\"button\" id=\"theme\" hidden>Dark</button>\n</header>\n");
    contents(&mut out, &page.sections);
    out.push_str("<main id=\"main\" tabindex=\"-1\">\n");
    let mut ids = Ids::default();
    for (place, one) in page.sections.iter().enumerate() {
        section(&mut out, place, one, &mut ids);
    }
    out.push_str(
        "</main>\n<footer><p>Made by vramscope. The page is whole: it loads nothing and sends nothing.</p></footer>\n",
    );
    for script in scripts {
        let _ = writeln!(out, "<script>{script}</script>");
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn scripts(page: &Page) -> Vec<&'static str> {
    let has = |wanted: fn(&Block) -> bool| page.sections.iter().any(|section| any(&section.blocks, wanted));
    let mut scripts = vec![SCRIPT];
    if has(|block| matches!(block, Block::Time(_))) {
        scripts = vec![PLOT, SCRIPT, TIME];
    }
    if has(|block| matches!(block, Block::Picture(picture) if picture.svg.as_flame().is_some())) {
        scripts.push(FLAME);
    }
    scripts
}

/// Whether there is such a block, wherever it is folded.
fn any(blocks: &[Block], wanted: fn(&Block) -> bool) -> bool {
    blocks.iter().any(|block| match block {
        Block::Folded { blocks, .. } => any(blocks, wanted),
        other => wanted(other),
    })
}

/// How a policy names a script or a style.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(Sha256::digest(text.as_bytes())))
}

/// Names of elements, which are unique on a page.
#[derive(Default)]
pub(crate) struct Ids(usize);

impl Ids {
    pub(crate) fn next(&mut self) -> String {
        self.0 += 1;
        format!("e{}", self.0)
    }
}

fn contents(out: &mut String, sections: &[Section]) {
    if sections.len() < 3 {
        return;
    }
    out.push_str("<nav aria-label=\"On this page\"><ul>\n");
    for (place, section) in sections.iter().enumerate() {
        let _ = writeln!(out, "<li><a href=\"#s{place}\">{}</a></li>", inline(&section.title));
    }
    out.push_str("</ul></nav>\n");
}

fn section(out: &mut String, place: usize, section: &Section, ids: &mut Ids) {
    let _ = writeln!(out, "<section id=\"s{place}\" aria-labelledby=\"s{place}h\">");
    let _ = writeln!(out, "<h2 id=\"s{place}h\">{}</h2>", inline(&section.title));
    section.blocks.iter().for_each(|one| block(out, one, ids));
    out.push_str("</section>\n");
}

fn block(out: &mut String, block: &Block, ids: &mut Ids) {
    match block {
        Block::Text(text) => {
            let _ = writeln!(out, "<p>{}</p>", inline(text));
        }
        Block::Sentence(cells) => sentence(out, cells),
        Block::Headline(figures) => headline(out, figures),
        Block::Table(one) => table(out, one, ids),
        Block::Findings(all) => findings(out, all),
        Block::Picture(one) => picture(out, one, ids),
        Block::Time(one) => time(out, one, ids),
        Block::Folded { title, blocks } => {
            let _ = writeln!(out, "<details>\n<summary>{}</summary>", inline(title));
            blocks.iter().for_each(|one| self::block(out, one, ids));
            out.push_str("</details>\n");
        }
        Block::Quote(text) => {
            let _ = writeln!(out, "<pre tabindex=\"0\">{}</pre>", escaped(text));
        }
    }
}

fn sentence(out: &mut String, cells: &[Cell]) {
    out.push_str("<p>");
    for cell in cells {
        match (&cell.source, cell.tone) {
            (None, Tone::Plain) => out.push_str(&inline(&cell.text)),
            _ => {
                let _ = write!(out, "<b{}>{}</b>", attributes(cell, Column::None), inline(&cell.text));
            }
        }
    }
    out.push_str("</p>\n");
}

fn headline(out: &mut String, figures: &[(String, Cell)]) {
    out.push_str("<dl class=\"headline\">\n");
    for (name, figure) in figures {
        let _ = writeln!(
            out,
            "<div><dt>{}</dt><dd{}>{}</dd></div>",
            inline(name),
            attributes(figure, Column::None),
            inline(&figure.text)
        );
    }
    out.push_str("</dl>\n");
}

pub(crate) fn table(out: &mut String, table: &Table, ids: &mut Ids) {
    let id = ids.next();
    // The caption is no part of what scrolls sideways.
    let _ = writeln!(out, "<p class=\"caption\" id=\"{id}\">{}</p>", inline(&table.caption));
    let _ = writeln!(out, "<div class=\"scroll\" role=\"region\" aria-labelledby=\"{id}\" tabindex=\"0\">");
    let _ = writeln!(out, "<table aria-labelledby=\"{id}\">\n<thead><tr>");
    for (head, number) in &table.heads {
        let class = if *number { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", inline(head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let number = table.heads.get(place).is_some_and(|(_, number)| *number);
            let (text, column) = (inline(&cell.text), if number { Column::Numbers } else { Column::Words });
            // A row may go on below that which names it.
            if place == 0 && !number && !text.is_empty() {
                let _ = write!(out, "<th scope=\"row\"{}>{text}</th>", attributes(cell, column));
            } else {
                let _ = write!(out, "<td{}>{text}</td>", attributes(cell, column));
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

/// In which column of a table a cell stands, if in any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    None,
    Words,
    Numbers,
}

/// A cell's classes, and where its figure is from.
fn attributes(cell: &Cell, column: Column) -> String {
    let mut classes = Vec::new();
    if column == Column::Numbers {
        classes.push("n");
    }
    if column == Column::Words {
        // A sentence in a narrow column would be a tower of words.
        if cell.text.len() > SENTENCE {
            classes.push("long");
        }
        if cell.text.chars().count() <= BRIEF {
            classes.push("brief");
        }
    }
    if column != Column::None && cell.text.split([' ', '-', '/']).any(|word| word.len() > LONGEST_WORD) {
        classes.push("broken");
    }
    match cell.tone {
        Tone::Plain => {}
        Tone::Good => classes.push("good"),
        Tone::Bad => classes.push("bad"),
        Tone::Warning => classes.push("warning"),
        Tone::Faint => classes.push("faint"),
    }
    let mut out = String::new();
    if !classes.is_empty() {
        let _ = write!(out, " class=\"{}\"", classes.join(" "));
    }
    if let Some((pointer, number)) = &cell.source {
        let _ = write!(out, " data-figure=\"{}\" data-value=\"{number}\"", escaped(pointer));
    }
    out
}

fn findings(out: &mut String, findings: &[Finding]) {
    out.push_str("<ul class=\"findings\">\n");
    for finding in findings {
        let (class, word) = match finding.weight {
            Weight::Error => ("bad", "Error"),
            Weight::Warning => ("warning", "Warning"),
            Weight::Note => ("note", "Note"),
            Weight::Good => ("good", "Good"),
        };
        let _ = write!(out, "<li class=\"{class}\"><p><strong>{word}:</strong> {}", inline(&finding.text));
        if let Some(code) = &finding.code {
            let _ = write!(out, " <code>{}</code>", inline(code));
        }
        out.push_str("</p>");
        if let Some(advice) = &finding.advice {
            let _ = write!(out, "<p class=\"advice\">{}</p>", inline(advice));
        }
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
}

fn picture(out: &mut String, picture: &Picture, ids: &mut Ids) {
    let id = ids.next();
    let figure = match picture.svg.as_flame() {
        Some((whole, unit)) => format!("<figure class=\"flame\" data-whole=\"{whole}\" data-unit=\"{unit}\">"),
        None => "<figure>".to_owned(),
    };
    let _ = writeln!(
        out,
        "{figure}\n<figcaption id=\"{id}\"><strong>{}.</strong> {}</figcaption>",
        inline(&picture.title),
        inline(&picture.words)
    );
    let _ = writeln!(
        out,
        "<div class=\"plot scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}\">{}</div>",
        picture.svg.elements(&id)
    );
    if let Some(one) = &picture.table {
        out.push_str("<details class=\"figures\">\n<summary>Its figures</summary>\n");
        table(out, one, ids);
        out.push_str("</details>\n");
    }
    out.push_str("</figure>\n");
}

/// A still picture, which the script replaces on screens by one made of the data beside it.
fn time(out: &mut String, chart: &TimeChart, ids: &mut Ids) {
    let id = ids.next();
    let _ = writeln!(
        out,
        "<figure class=\"time\">\n<figcaption id=\"{id}\"><strong>{}.</strong> {}</figcaption>",
        inline(&chart.title),
        inline(&chart.words)
    );
    let _ = writeln!(
        out,
        "<div class=\"plot scroll still\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}\">{}</div>\n<div class=\"live\"></div>",
        chart.svg.elements(&id)
    );
    let _ = writeln!(out, "<script type=\"application/json\">{}</script>", chart.data);
    if !chart.rule.is_empty() {
        let _ = writeln!(
            out,
            "<details>\n<summary>How parts are placed in time</summary>\n<p>{}</p>\n</details>",
            inline(&chart.rule)
        );
    }
    if let Some(one) = &chart.table {
        out.push_str("<details class=\"figures\">\n<summary>Its figures</summary>\n");
        table(out, one, ids);
        out.push_str("</details>\n");
    }
    out.push_str("</figure>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_with_its_unit_and_an_option_with_its_dashes() {
        assert_eq!(inline("5 % of 20.00 GiB, in 3 ms."), "5\u{a0}% of 20.00\u{a0}GiB, in 3\u{a0}ms.");
        assert_eq!(inline("2 GPUs, GPU 1 s"), "2 GPUs, GPU 1\u{a0}s");
        assert_eq!(
            inline("lower --max-model-len (--a<b) -- x"),
            "lower <span class=\"whole\">--max-model-len</span> <span class=\"whole\">(--a&lt;b)</span> -- x"
        );
        assert_eq!(inline(&format!("--{}", "x".repeat(50))), format!("--{}", "x".repeat(50)));
    }

    #[test]
    fn a_caption_stands_still_where_its_table_scrolls() {
        let mut out = String::new();
        table(&mut out, &Table::new("what it is", &["a", "#b"]), &mut Ids::default());
        let (caption, scroll) = (out.find("what it is").unwrap(), out.find("class=\"scroll\"").unwrap());
        assert!(caption < scroll && out.contains("<table aria-labelledby=\"e1\">"), "{out}");
    }

    #[test]
    fn nothing_foreign_becomes_markup_and_nothing_is_endless() {
        assert_eq!(
            escaped("</script><b a='1' c=\"2\">&"),
            "&lt;/script&gt;&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;"
        );
        assert_eq!(escaped("a\u{202e}b\u{1b}[2Jc"), "ab[2Jc");
        assert_eq!(escaped(&"x".repeat(1 << 20)).chars().count(), LONGEST_TEXT + 1);
    }
}
