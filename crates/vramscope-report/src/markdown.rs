//! A page as Markdown, as GitHub and GitLab read it.

use std::fmt::Write as _;

use vramscope_core::{on_one_line, shortened};

use crate::cell::Cell;
use crate::page::{Block, Finding, Page, Table, Weight};

/// Longer texts are cut.
const LONGEST_TEXT: usize = 1000;

/// Longer quotes are cut in their middle.
const LONGEST_QUOTE: usize = 2000;

/// Text in which no character is markup.
fn escaped(text: &str) -> String {
    let line = on_one_line(text);
    let mut out = String::with_capacity(line.len() + 8);
    // A list, a rule or a heading begins a line.
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    for (count, c) in line.chars().enumerate() {
        if count == LONGEST_TEXT {
            out.push('…');
            break;
        }
        match c {
            '-' | '+' | '=' if count == 0 => {
                out.push('\\');
                out.push(c);
            }
            '.' | ')'
                if digits > 0
                    && count == digits
                    && line[digits + 1..].chars().next().is_none_or(|next| next == ' ') =>
            {
                out.push('\\');
                out.push(c);
            }
            // The colon of an address: it would become a link.
            ':' if line.chars().skip(count + 1).take(2).all(|next| next == '/') => out.push_str("\\:"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A mention would call people.
            '@' => out.push_str("&#64;"),
            c => out.push(c),
        }
    }
    out
}

pub(crate) fn write(page: &Page) -> String {
    let mut out = format!("# {}\n\n{}\n", escaped(&page.title), escaped(&page.about));
    for section in &page.sections {
        let _ = writeln!(out, "\n## {}", escaped(&section.title));
        section.blocks.iter().for_each(|one| block(&mut out, one));
    }
    out
}

fn block(out: &mut String, block: &Block) {
    out.push('\n');
    match block {
        Block::Text(text) => {
            let _ = writeln!(out, "{}", escaped(text));
        }
        Block::Sentence(cells) => {
            let text: String = cells.iter().map(|cell| cell.text.as_str()).collect();
            let _ = writeln!(out, "{}", escaped(&text));
        }
        Block::Headline(figures) => {
            for (name, figure) in figures {
                let _ = writeln!(out, "- {}: **{}**", escaped(name), escaped(&figure.text));
            }
        }
        Block::Table(one) => table(out, one),
        Block::Findings(all) => all.iter().for_each(|one| finding(out, one)),
        Block::Picture(one) => picture(out, (&one.title, &one.words), &one.sparks, one.table.as_ref()),
        Block::Time(one) => picture(out, (&one.title, &one.words), &one.sparks, one.table.as_ref()),
        Block::Folded { title, blocks } => {
            let _ = writeln!(out, "<details><summary>{}</summary>", escaped(title));
            blocks.iter().for_each(|one| self::block(out, one));
            out.push_str("\n</details>\n");
        }
        Block::Quote(text) => {
            for line in shortened(text, LONGEST_QUOTE).lines() {
                let _ = writeln!(out, "    {}", on_one_line(line));
            }
        }
    }
}

fn picture(out: &mut String, (title, words): (&str, &str), sparks: &[(String, Vec<f64>)], figures: Option<&Table>) {
    let _ = writeln!(out, "**{}.** {}", escaped(title), escaped(words));
    if !sparks.is_empty() {
        out.push('\n');
        for (name, values) in sparks {
            let _ = writeln!(out, "- {}: `{}`", escaped(name), spark(values));
        }
    }
    if let Some(one) = figures {
        out.push('\n');
        table(out, one);
    }
}

fn finding(out: &mut String, finding: &Finding) {
    let word = match finding.weight {
        Weight::Error => "Error",
        Weight::Warning => "Warning",
        Weight::Note => "Note",
        Weight::Good => "Good",
    };
    let _ = write!(out, "- **{word}:** {}", escaped(&finding.text));
    // Two spaces at the end of a line begin another within the item.
    let advice = finding.advice.as_ref().map_or_else(String::new, |advice| format!("  \n  → {}", escaped(advice)));
    let _ = writeln!(out, "{advice}");
}

fn table(out: &mut String, table: &Table) {
    let _ = writeln!(out, "{}\n", escaped(&table.caption));
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    out.push_str(&line(table.heads.iter().map(|(head, _)| escaped(head)).collect()));
    let rule = |(_, number): &(String, bool)| if *number { "--:" } else { "---" }.to_owned();
    out.push_str(&line(table.heads.iter().map(rule).collect()));
    for row in &table.rows {
        out.push_str(&line(row.iter().map(|cell: &Cell| escaped(&cell.text)).collect()));
    }
}

/// Values as small bars, from zero to the largest; the largest of each group where there are many.
fn spark(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const MOST: usize = 60;
    let group = values.len().div_ceil(MOST).max(1);
    let largest = values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let bar = |values: &[f64]| {
        let value = values.iter().copied().filter(|value| value.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        if !value.is_finite() {
            return ' ';
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
        let place = if largest > 0.0 { (value.max(0.0) / largest * 7.0).round() as usize } else { 0 };
        BARS[place.min(7)]
    };
    values.chunks(group).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_becomes_markup() {
        assert_eq!(escaped("a|b\n# c <img> @all `x` _y_"), "a\\|b \\# c &lt;img&gt; &#64;all \\`x\\` \\_y\\_");
    }

    #[test]
    fn no_line_begins_as_a_list_or_a_rule_and_no_address_is_a_link() {
        assert_eq!(escaped("- item"), "\\- item");
        assert_eq!(escaped("---"), "\\---");
        assert_eq!(escaped("12. one, 3.5"), "12\\. one, 3.5");
        assert_eq!(escaped("see https://evil.example $x$"), "see https\\://evil.example \\$x\\$");
        assert_eq!(escaped("at 9:30"), "at 9:30");
        assert_eq!(escaped("20.00 GiB"), "20.00 GiB");
    }

    #[test]
    fn what_to_do_stands_on_a_line_of_its_own_within_the_item() {
        let mut out = String::new();
        let advice = Some("do\n# this".to_owned());
        finding(&mut out, &Finding { weight: Weight::Note, text: "so".to_owned(), advice, code: None });
        assert_eq!(out, "- **Note:** so  \n  → do \\# this\n");
    }

    #[test]
    fn bars_are_as_high_as_values() {
        assert_eq!(spark(&[0.0, 1.0, 2.0, f64::NAN]), "▁▅█ ");
        assert_eq!(spark(&[]), "");
        assert_eq!(spark(&vec![1.0; 1000]).chars().count(), 59);
    }
}
