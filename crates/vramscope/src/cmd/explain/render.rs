//! An explanation, for people.

use std::fmt::Write as _;

use anstyle::Style;
use vramscope_compare::explain::{Account, Amount, Counting, Ledger, StartStep, Term};

use crate::table::{Align, Table, wrap};

const GIB: f64 = 1_073_741_824.0;

pub(super) fn explanation(
    runs: &[(String, Account)],
    ledger: Option<&Ledger>,
    start: &[StartStep],
    width: usize,
) -> String {
    let mut text = String::new();
    if let Some(ledger) = ledger {
        title(&mut text, "Why the KV caches differ, one rank");
        text.push_str(&difference(ledger, width));
    }
    for (name, account) in runs {
        let release = account.version.as_ref().map_or(String::new(), |version| format!(", vLLM {version}"));
        title(&mut text, &format!("From the card to one request: {name}{release}"));
        text.push_str(&chain(account, width));
    }
    if !start.is_empty() {
        title(&mut text, "The start, each step since the one before it");
        text.push_str(&steps(start, runs.len() > 1, width));
    }
    text
}

fn title(text: &mut String, title: &str) {
    let bold = Style::new().bold();
    let lead = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{lead}{bold}{title}{bold:#}");
}

/// Gibibytes of an amount, which may be negative.
fn gib(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two decimals of a gibibyte")]
    let gib = bytes as f64 / GIB;
    format!("{gib:+.2}")
}

fn plain(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two decimals of a gibibyte")]
    let gib = bytes as f64 / GIB;
    format!("{gib:.2}")
}

fn lines(lines: &[u64]) -> String {
    lines.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn term_name(name: &str) -> String {
    name.replace('_', " ")
}

fn difference(ledger: &Ledger, width: usize) -> String {
    let mut table = Table::new(&[
        ("term", Align::Left),
        ("GiB", Align::Right),
        ("tokens", Align::Right),
        ("cause", Align::Left),
        ("lines", Align::Right),
    ]);
    let tokens = |tokens: Option<i64>| tokens.map_or(String::new(), |tokens| format!("{tokens:+}"));
    for term in &ledger.terms {
        let both = [&term.lines_before, &term.lines_after].map(|list| lines(list));
        let both = if both.iter().all(String::is_empty) { String::new() } else { both.join(" / ") };
        table.row([term_name(term.name), gib(term.bytes), tokens(term.tokens), term.cause.name().to_owned(), both]);
    }
    table.row([
        "= difference".to_owned(),
        gib(ledger.bytes),
        tokens(ledger.tokens),
        "the sum, exactly".to_owned(),
        String::new(),
    ]);
    let mut text = table.render(width);
    for term in &ledger.terms {
        item(&mut text, &told(term), width);
    }
    for note in &ledger.notes {
        item(&mut text, note, width);
    }
    if let Some(restore) = &ledger.restore {
        item(&mut text, &format!("→ {restore} gives the second run as much as the first"), width);
    }
    text
}

fn told(term: &Term) -> String {
    let back = term.restore.as_ref().map_or(String::new(), |restore| format!(" → {restore} brings it back"));
    format!("{}: {}{back}", term_name(term.name), term.why)
}

fn item(text: &mut String, body: &str, width: usize) {
    for (place, line) in wrap(body, width.saturating_sub(4)).iter().enumerate() {
        let _ = writeln!(text, "{}{line}", if place == 0 { "  - " } else { "    " });
    }
}

/// Every subtraction of one run.
fn chain(account: &Account, width: usize) -> String {
    let mut table =
        Table::new(&[("", Align::Left), ("GiB", Align::Right), ("±", Align::Right), ("line", Align::Right)]);
    let mut row = |name: &str, sign: &str, amount: Option<&Amount>| {
        if let Some(amount) = amount {
            let within = if amount.within == 0 { String::new() } else { plain_width(amount.within) };
            table.row([name.to_owned(), format!("{sign}{}", plain(amount.bytes)), within, lines(&amount.lines)]);
        }
    };
    row("card", "", account.total.as_ref());
    let default = if account.utilization_stated { "" } else { ", the default" };
    let share = account.utilization.map_or(String::new(), |share| format!(" x {share}{default}"));
    row(&format!("asked for{share}"), "", account.requested.as_ref());
    row("weights", "-", account.weights.as_ref());
    let beside = match account.counting {
        Counting::Consumed => "kept beside the weights",
        Counting::Growth => "grown outside the allocator",
    };
    row(beside, "-", account.beside.as_ref());
    row("peak of the profile run", "-", account.peak.as_ref());
    if account.graphs.bytes > 0 {
        row("graphs, as estimated", "-", Some(&account.graphs));
    }
    if let Some(left) = account.unattributed().map(|delta| delta.get()).filter(|left| *left != 0 && !account.is_given())
    {
        table.row(["not stated apart".to_owned(), gib(left.saturating_neg()), String::new(), String::new()]);
    }
    let mut row = |name: &str, value: String, line: String| table.row([name.to_owned(), value, String::new(), line]);
    if let Some(available) = &account.available {
        // Without what was asked for the column is no sum.
        let known = account.requested.is_some() && account.weights.is_some();
        let name = if known { "= left for the KV cache" } else { "left for the KV cache" };
        row(name, plain(available.bytes), lines(&available.lines));
    }
    if let Some(pool) = account.pool {
        row("KV cache, in whole blocks", plain(pool), String::new());
    }
    let mut text = table.render(width);
    if let Some(failed) = account.failed() {
        item(&mut text, &failed, width);
    }
    if account.requested.is_none() && !account.is_given() {
        let told =
            "the run does not state what was asked for: a folder with a recording, or a profile, states the card";
        item(&mut text, told, width);
    }
    if let Some(tokens) = account.tokens {
        let requests = account
            .concurrency
            .map_or(String::new(), |(length, factor)| format!(", {factor:.2} requests of {length} tokens"));
        let each = account.pool.zip(account.concurrency).filter(|(_, (_, factor))| *factor > 0.0);
        #[expect(clippy::cast_precision_loss, reason = "two decimals of a gibibyte")]
        let each =
            each.map_or(String::new(), |(pool, (_, factor))| format!(", {:.2} GiB each", pool as f64 / GIB / factor));
        item(&mut text, &format!("{tokens} tokens{requests}{each}"), width);
    }
    text
}

fn plain_width(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "digits of a gibibyte")]
    let gib = bytes as f64 / GIB;
    format!("{gib:.3}")
}

fn steps(start: &[StartStep], two: bool, width: usize) -> String {
    let head = [("until", Align::Left), ("s", Align::Right), ("s, other", Align::Right), ("more", Align::Right)];
    let mut table = Table::new(if two { &head } else { &head[..2] });
    let seconds = |secs: Option<f64>| secs.map_or("-".to_owned(), |secs| format!("{secs:.1}"));
    let sum = |of: fn(&StartStep) -> Option<f64>| start.iter().filter_map(of).sum::<f64>();
    for step in start {
        let name = step.name.replace('_', " ");
        if two {
            let more = step
                .before_s
                .zip(step.after_s)
                .map_or(String::new(), |(before, after)| format!("{:+.1}", after - before));
            table.row([name, seconds(step.before_s), seconds(step.after_s), more]);
        } else {
            table.row([name, seconds(step.before_s)]);
        }
    }
    let (first, second) = (sum(|step| step.before_s), sum(|step| step.after_s));
    if two {
        table.row([
            "= start".to_owned(),
            seconds(Some(first)),
            seconds(Some(second)),
            format!("{:+.1}", second - first),
        ]);
    } else {
        table.row(["= start".to_owned(), seconds(Some(first))]);
    }
    let mut text = table.render(width);
    for step in start.iter().filter(|step| step.before_s.is_some() != step.after_s.is_some() || !two) {
        if let Some(why) = step.why {
            item(&mut text, &format!("{}: {why}", step.name.replace('_', " ")), width);
        }
    }
    text
}
