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

/// Longer texts are cut: a name of a megabyte tells nobody more, and would be the page.
const LONGEST_TEXT: usize = 2000;

/// Longer texts of a cell are sentences.
const SENTENCE: usize = 40;

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
    let _ = writeln!(out, "<p class=\"about\">{}</p>", escaped(&page.about));
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
    if page.sections.iter().any(|section| has_time(&section.blocks)) { vec![PLOT, SCRIPT, TIME] } else { vec![SCRIPT] }
}

fn has_time(blocks: &[Block]) -> bool {
    blocks.iter().any(|block| match block {
        Block::Time(_) => true,
        Block::Folded { blocks, .. } => has_time(blocks),
        _ => false,
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
        let _ = writeln!(out, "<li><a href=\"#s{place}\">{}</a></li>", escaped(&section.title));
    }
    out.push_str("</ul></nav>\n");
}

fn section(out: &mut String, place: usize, section: &Section, ids: &mut Ids) {
    let _ = writeln!(out, "<section id=\"s{place}\" aria-labelledby=\"s{place}h\">");
    let _ = writeln!(out, "<h2 id=\"s{place}h\">{}</h2>", escaped(&section.title));
    section.blocks.iter().for_each(|one| block(out, one, ids));
    out.push_str("</section>\n");
}

fn block(out: &mut String, block: &Block, ids: &mut Ids) {
    match block {
        Block::Text(text) => {
            let _ = writeln!(out, "<p>{}</p>", escaped(text));
        }
        Block::Sentence(cells) => sentence(out, cells),
        Block::Headline(figures) => headline(out, figures),
        Block::Table(one) => table(out, one, ids),
        Block::Findings(all) => findings(out, all),
        Block::Picture(one) => picture(out, one, ids),
        Block::Time(one) => time(out, one, ids),
        Block::Folded { title, blocks } => {
            let _ = writeln!(out, "<details>\n<summary>{}</summary>", escaped(title));
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
            (None, Tone::Plain) => out.push_str(&escaped(&cell.text)),
            _ => {
                let _ = write!(out, "<b{}>{}</b>", attributes(cell, false), escaped(&cell.text));
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
            escaped(name),
            attributes(figure, false),
            escaped(&figure.text)
        );
    }
    out.push_str("</dl>\n");
}

pub(crate) fn table(out: &mut String, table: &Table, ids: &mut Ids) {
    let id = ids.next();
    let _ = writeln!(out, "<div class=\"scroll\" role=\"region\" aria-labelledby=\"{id}\" tabindex=\"0\">\n<table>");
    let _ = writeln!(out, "<caption id=\"{id}\">{}</caption>\n<thead><tr>", escaped(&table.caption));
    for (head, number) in &table.heads {
        let class = if *number { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escaped(head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let number = table.heads.get(place).is_some_and(|(_, number)| *number);
            let text = escaped(&cell.text);
            if place == 0 && !number {
                let _ = write!(out, "<th scope=\"row\"{}>{text}</th>", attributes(cell, false));
            } else {
                let _ = write!(out, "<td{}>{text}</td>", attributes(cell, number));
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

/// A cell's classes, and where its figure is from.
fn attributes(cell: &Cell, number: bool) -> String {
    let mut classes = Vec::new();
    if number {
        classes.push("n");
    }
    // A sentence in a narrow column would be a tower of words.
    if !number && cell.text.len() > SENTENCE {
        classes.push("long");
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
        let _ = write!(out, "<li class=\"{class}\"><p><strong>{word}:</strong> {}", escaped(&finding.text));
        if let Some(code) = &finding.code {
            let _ = write!(out, " <code>{}</code>", escaped(code));
        }
        out.push_str("</p>");
        if let Some(advice) = &finding.advice {
            let _ = write!(out, "<p class=\"advice\">{}</p>", escaped(advice));
        }
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
}

fn picture(out: &mut String, picture: &Picture, ids: &mut Ids) {
    let id = ids.next();
    let _ = writeln!(
        out,
        "<figure>\n<figcaption id=\"{id}\"><strong>{}.</strong> {}</figcaption>",
        escaped(&picture.title),
        escaped(&picture.words)
    );
    let _ = writeln!(
        out,
        "<div class=\"plot scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}\">{}</div>",
        picture.svg.element(&id)
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
        escaped(&chart.title),
        escaped(&chart.words)
    );
    let _ = writeln!(
        out,
        "<div class=\"plot scroll still\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}\">{}</div>\n<div class=\"live\"></div>",
        chart.svg.element(&id)
    );
    let _ = writeln!(out, "<script type=\"application/json\">{}</script>", chart.data);
    if !chart.rule.is_empty() {
        let _ = writeln!(
            out,
            "<details>\n<summary>How parts are placed in time</summary>\n<p>{}</p>\n</details>",
            escaped(&chart.rule)
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
    fn nothing_foreign_becomes_markup_and_nothing_is_endless() {
        assert_eq!(
            escaped("</script><b a='1' c=\"2\">&"),
            "&lt;/script&gt;&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;"
        );
        assert_eq!(escaped("a\u{202e}b\u{1b}[2Jc"), "ab[2Jc");
        assert_eq!(escaped(&"x".repeat(1 << 20)).chars().count(), LONGEST_TEXT + 1);
    }
}
