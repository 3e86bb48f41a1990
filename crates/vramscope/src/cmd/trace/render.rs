//! Sections as terminal tables or Markdown, and lists as CSV.

use vramscope_core::on_one_line;
use vramscope_trace::{Summary, Window};

use super::GroupBy;
use super::figures::{ratio, short};
use crate::table::{Align, Table, wrap};

/// A titled table with lines of text before or after it.
#[derive(Debug)]
pub(super) struct Section {
    title: String,
    heads: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
    lines: Vec<String>,
    /// The last column holds names that are cut to fit, not wrapped.
    cut: bool,
}

impl Section {
    pub(super) fn new(title: impl Into<String>, heads: &[(&'static str, Align)]) -> Self {
        Self { title: title.into(), heads: heads.to_vec(), rows: Vec::new(), lines: Vec::new(), cut: false }
    }

    /// Cuts the last column to fit.
    pub(super) fn with_names(mut self) -> Self {
        self.cut = true;
        self
    }

    /// The room that a terminal leaves for the last column.
    fn room(&self, width: usize) -> usize {
        let column = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
            cells.unwrap_or(0).max(self.heads[at].0.chars().count()) + 2
        };
        let others: usize = (0..self.heads.len().saturating_sub(1)).map(column).sum();
        width.saturating_sub(others + 2).max(12)
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a line below the table.
    pub(super) fn text(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.lines.is_empty()
    }
}

/// For a terminal.
pub(super) fn table(sections: &[Section], width: usize) -> String {
    let bold = anstyle::Style::new().bold();
    let mut text = String::new();
    for section in sections.iter().filter(|section| !section.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        for line in wrap(&section.title, width) {
            text.push_str(&format!("{bold}{line}{bold:#}\n"));
        }
        if !section.rows.is_empty() {
            let mut table = Table::new(&section.heads);
            let room = section.room(width);
            for row in &section.rows {
                let last = row.len().saturating_sub(1);
                let cell = |(at, cell): (usize, &String)| {
                    if section.cut && at == last { short(cell, room).replace(' ', "\u{a0}") } else { cell.clone() }
                };
                table.row(row.iter().enumerate().map(cell));
            }
            text.push_str(&table.render(width));
        }
        for line in &section.lines {
            let own = line.len() - line.trim_start().len();
            for (n, part) in wrap(line, width.saturating_sub(2 + own).max(20)).iter().enumerate() {
                let hang = if n > 0 && line.trim_start().starts_with("-> ") { 3 } else { 0 };
                text.push_str(&format!("  {}{part}\n", " ".repeat(own + hang)));
            }
        }
    }
    text
}

/// For issues and pull requests.
pub(super) fn markdown(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections.iter().filter(|section| !section.is_empty()) {
        text.push_str(&format!("### {}\n\n", section.title));
        if !section.rows.is_empty() {
            let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
            text.push_str(&line(section.heads.iter().map(|(head, _)| (*head).to_owned()).collect()));
            let rule = |align: &Align| if *align == Align::Right { "---:" } else { "---" }.to_owned();
            text.push_str(&line(section.heads.iter().map(|(_, align)| rule(align)).collect()));
            for row in &section.rows {
                text.push_str(&line(row.iter().map(|cell| escape(cell)).collect()));
            }
            text.push('\n');
        }
        for line in &section.lines {
            text.push_str(&format!("- {}\n", escape(line.trim_start().trim_start_matches("-> "))));
        }
        if !section.lines.is_empty() {
            text.push('\n');
        }
    }
    text
}

/// Text that Markdown shows as it is.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in on_one_line(text).chars() {
        if matches!(c, '|' | '<' | '>' | '*' | '_' | '`' | '\\' | '[' | ']' | '#' | '~') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// One list of all files, in nanoseconds.
pub(super) fn csv(
    analysed: &[(Summary, Option<Window>)],
    group: GroupBy,
    top: Option<usize>,
) -> anyhow::Result<String> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let heads: &[&str] = match group {
        GroupBy::Kernel => &[
            "file", "name", "category", "rule", "count", "total_ns", "min_ns", "mean_ns", "p50_ns", "p95_ns", "max_ns",
        ],
        GroupBy::Category => &["file", "category", "count", "total_ns", "share"],
        GroupBy::Op => &["file", "name", "count", "total_ns", "own_ns", "max_ns", "kernels", "kernel_time_ns"],
        GroupBy::Step => &[
            "file",
            "name",
            "kind",
            "context_requests",
            "context_tokens",
            "generation_requests",
            "generation_tokens",
            "start_ns",
            "cpu_ns",
            "gpu_span_ns",
            "gpu_busy_ns",
            "kernels",
            "kernel_time_ns",
        ],
    };
    out.write_record(heads)?;
    for (summary, _) in analysed {
        for row in csv_rows(summary, group).into_iter().take(top.unwrap_or(usize::MAX)) {
            out.write_record([vec![summary.file.name.clone()], row].concat())?;
        }
    }
    Ok(String::from_utf8(out.into_inner()?)?)
}

fn csv_rows(summary: &Summary, group: GroupBy) -> Vec<Vec<String>> {
    let or_empty = |value: Option<u64>| value.map(|v| v.to_string()).unwrap_or_default();
    match group {
        GroupBy::Kernel => summary
            .kernels
            .iter()
            .map(|k| {
                let mean = ratio(k.total_ns, k.count);
                let rule = k.rule.clone().unwrap_or_default();
                let (name, category) = (k.name.clone(), k.category.name().to_owned());
                let numbers = [k.count.to_string(), k.total_ns.to_string(), k.min_ns.to_string(), mean.to_string()];
                let ends = [k.p50_ns.to_string(), k.p95_ns.to_string(), k.max_ns.to_string()];
                [vec![name, category, rule], numbers.to_vec(), ends.to_vec()].concat()
            })
            .collect(),
        GroupBy::Category => summary
            .categories
            .iter()
            .map(|c| {
                let share = ratio(c.total_ns, summary.kernel_totals.time_ns);
                vec![c.category.name().to_owned(), c.count.to_string(), c.total_ns.to_string(), share.to_string()]
            })
            .collect(),
        GroupBy::Op => summary
            .operators
            .iter()
            .map(|o| {
                let numbers = [o.count, o.total_ns, o.own_ns, o.max_ns, o.gpu.kernels, o.gpu.time_ns];
                [vec![o.name.clone()], numbers.map(|n| n.to_string()).to_vec()].concat()
            })
            .collect(),
        GroupBy::Step => summary
            .steps
            .list
            .iter()
            .map(|s| {
                let said = [s.context_requests, s.context_tokens, s.generation_requests, s.generation_tokens];
                let gpu = [s.gpu.map(|g| g.span_ns), s.gpu.map(|g| g.busy_ns)];
                let kernels = [s.gpu.map_or(0, |g| g.kernels), s.gpu.map_or(0, |g| g.kernel_time_ns)];
                [
                    vec![s.name.clone().unwrap_or_default(), s.kind.name().to_owned()],
                    said.map(or_empty).to_vec(),
                    vec![s.start_ns.to_string(), or_empty(s.cpu_ns)],
                    gpu.map(or_empty).to_vec(),
                    kernels.map(|n| n.to_string()).to_vec(),
                ]
                .concat()
            })
            .collect(),
    }
}
