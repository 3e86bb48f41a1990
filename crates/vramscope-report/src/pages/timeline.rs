//! A recording's statistics.

use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Section, Table, Weight};
use crate::time;
use crate::unit::{Unit, digits};

/// A column of a recording: its name, what it is called, and its unit.
struct Figure {
    column: &'static str,
    name: &'static str,
    unit: Unit,
}

const FIGURES: &[Figure] = &[
    Figure { column: "used_bytes", name: "memory in use", unit: Unit::Memory },
    Figure { column: "power_mw", name: "power", unit: Unit::Milliwatts },
    Figure { column: "power_avg_mw", name: "power, mean over a second", unit: Unit::Milliwatts },
    Figure { column: "util_gpu_pct", name: "utilisation", unit: Unit::Percent },
    Figure { column: "util_mem_pct", name: "memory traffic", unit: Unit::Percent },
    Figure { column: "temp_c", name: "temperature", unit: Unit::Celsius },
    Figure { column: "mem_temp_c", name: "temperature of the memory", unit: Unit::Celsius },
    Figure { column: "sm_clock_mhz", name: "shader clock", unit: Unit::Megahertz },
    Figure { column: "mem_clock_mhz", name: "memory clock", unit: Unit::Megahertz },
];

/// What a column is called, and its unit; one that is not known has its own name.
fn called(column: &str) -> (String, Unit) {
    let known = FIGURES.iter().find(|figure| figure.column == column);
    known.map_or_else(|| (column.replace('_', " "), Unit::Plain), |figure| (figure.name.to_owned(), figure.unit))
}

/// More rows are cut, with a sentence that says so.
const MOST_ROWS: usize = 100;
/// More pairs of figures are, too: eight GPUs have fewer.
const MOST_PAIRS: usize = 300;
/// More tables of one GPU each are, too.
const MOST_TABLES: usize = 64;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let devices = root.at("devices").items();
    let mut sections = vec![answer(&root, &devices)];
    let over_time = time::section(document, 0);
    let is_drawn = over_time.is_some();
    sections.extend(over_time);
    if !devices.is_empty() {
        let mut blocks: Vec<Block> =
            devices.iter().take(MOST_TABLES).map(|device| Block::Table(statistics(device))).collect();
        if devices.len() > MOST_TABLES {
            let count = devices.len();
            blocks.push(Block::Text(format!("The first {MOST_TABLES} of {count} GPUs; all are in the document.")));
        }
        sections.push(Section::new("Statistics", blocks));
    }
    // The chart over time has the phases as its figures.
    sections.extend(phases(&root).filter(|_| !is_drawn));
    sections.extend(idle(&devices));
    sections.extend(energy(&devices));
    sections.extend(correlations(&devices));
    sections.extend(gaps(&root));
    sections.extend(cost(&root));
    let count = devices.len();
    Page {
        title: "A recording of GPU readings".to_owned(),
        about: format!(
            "{}: {} {} over {}.",
            document.name(),
            count,
            if count == 1 { "GPU" } else { "GPUs" },
            root.at("seconds").number().map_or_else(|| "an unknown time".to_owned(), |time| Unit::Seconds.show(time))
        ),
        sections,
    }
}

fn name(device: &Node<'_>) -> String {
    let index = index(device);
    match device.at("name").text() {
        Some(name) => format!("{index}, {name}"),
        None => index,
    }
}

fn index(device: &Node<'_>) -> String {
    format!("GPU {}", device.at("gpu_index").words().unwrap_or_default())
}

fn metric<'d>(device: &Node<'d>, column: &str) -> Option<Node<'d>> {
    device.at("metrics").items().into_iter().find(|metric| metric.at("metric").text() == Some(column))
}

/// What a reader asks first: how long, how much, how busy, and whether it may be trusted.
fn answer(root: &Node<'_>, devices: &[Node<'_>]) -> Section {
    let mut headline = vec![("Recorded".to_owned(), root.at("seconds").figure(Unit::Seconds))];
    if let [device] = devices {
        let peak = metric(device, "used_bytes").map_or_else(Cell::absent, |used| used.at("max").figure(Unit::Memory));
        headline.push(("Peak memory".to_owned(), peak));
        headline.push(("Of".to_owned(), device.at("total_bytes").figure(Unit::Memory)));
        headline.push(("Energy".to_owned(), device.path("energy/counter_j").figure(Unit::Joules)));
        headline.push(("Idle".to_owned(), device.path("idle/share").figure(Unit::Share)));
    } else if let Some((gpu, peak)) = by_peak(devices).last() {
        let of = if are_equal(&by_peak(devices)) { "each GPU".to_owned() } else { index(gpu) };
        headline.push((format!("Highest peak, {of}"), peak.figure(Unit::Memory)));
    }
    headline.push(("Ticks".to_owned(), root.at("ticks").figure(Unit::Count)));
    headline.push(("Missing samples".to_owned(), root.at("missing").figure(Unit::Count)));
    headline.retain(|(_, cell)| !cell.is_absent());
    let mut blocks = vec![Block::Headline(headline)];
    let words = sentences(root, devices);
    if !words.is_empty() {
        blocks.push(Block::Text(words));
    }
    if devices.len() > 1 {
        blocks.push(Block::Table(each(devices)));
    }
    let mut findings = Vec::new();
    let mut finding = |weight, text: String| findings.push(Finding { weight, text, advice: None, code: None });
    if root.at("complete").is_there() && !root.at("complete").is_true() {
        finding(
            Weight::Warning,
            "The recording did not come to its end: what was behind its last whole line is not known.".to_owned(),
        );
    }
    for note in root.at("notes").items() {
        finding(Weight::Note, note.text().unwrap_or_default().to_owned());
    }
    if !findings.is_empty() {
        blocks.push(Block::Findings(findings));
    }
    Section::new("In short", blocks)
}

/// The GPUs whose memory is known with their peaks, from the least to the most.
fn by_peak<'d>(devices: &[Node<'d>]) -> Vec<(Node<'d>, Node<'d>)> {
    let peak = |device: &Node<'d>| Some((device.clone(), metric(device, "used_bytes")?.at("max")));
    let mut all: Vec<_> = devices.iter().filter_map(peak).filter(|(_, peak)| peak.number().is_some()).collect();
    let bytes = |peak: &Node<'_>| peak.number().unwrap_or(0.0);
    all.sort_by(|(_, one), (_, other)| bytes(one).total_cmp(&bytes(other)));
    all
}

/// Whether there are several, and all of them are written alike.
fn are_equal(peaks: &[(Node<'_>, Node<'_>)]) -> bool {
    let shown = |peak: &Node<'_>| peak.figure(Unit::Memory).text;
    peaks.len() > 1 && peaks.windows(2).all(|pair| shown(&pair[0].1) == shown(&pair[1].1))
}

/// What all GPUs have in common is said once; what each of several has is in their table.
fn sentences(root: &Node<'_>, devices: &[Node<'_>]) -> String {
    let mut words = Vec::new();
    if let Some(period) = root.at("period_ms").number() {
        words.push(format!("One reading each {} ms.", digits(period)));
    }
    let peaks = by_peak(devices);
    let show = |node: &Node<'_>| node.number().map_or_else(|| "–".to_owned(), |bytes| Unit::Memory.show(bytes));
    if let [device] = devices {
        words.extend(metric(device, "used_bytes").map(|used| one(device, &used)));
    } else if let (true, Some((_, peak))) = (are_equal(&peaks), peaks.first()) {
        words.push(format!("Each of {} GPUs has {} in use at its peak.", peaks.len(), show(peak)));
    } else if let [(least, low), .., (most, high)] = &peaks[..] {
        words.push(format!(
            "The peaks of {} GPUs go from {} ({}) to {} ({}).",
            peaks.len(),
            show(low),
            index(least),
            show(high),
            index(most)
        ));
    }
    words.join(" ")
}

/// The memory and the idle time of the only GPU.
fn one(device: &Node<'_>, used: &Node<'_>) -> String {
    let show = |key: &str| used.at(key).number().map_or_else(|| "–".to_owned(), |value| Unit::Memory.show(value));
    let mut words =
        format!("{} has {} in use at its peak and {} in the median", name(device), show("max"), show("median"));
    if let Some(share) = device.path("idle/share").number() {
        let threshold = device.path("idle/threshold_pct").number().unwrap_or(0.0);
        let (threshold, share) = (digits(threshold), Unit::Share.show(share));
        words += &format!(", and is idle (utilisation up to {threshold} %) in {share} of the time");
    }
    words + "."
}

/// A row for each GPU.
fn each(devices: &[Node<'_>]) -> Table {
    let heads = ["GPU", "#peak", "#median", "#of", "#idle", "#at utilisation up to", "#energy"];
    let mut table = Table::new("Each GPU: memory in use, and how much of the time it was idle", &heads);
    for device in devices {
        let used = |key: &str| {
            metric(device, "used_bytes").map_or_else(Cell::absent, |used| used.at(key).figure(Unit::Memory))
        };
        table.row([
            Cell::text(name(device)),
            used("max"),
            used("median"),
            device.at("total_bytes").figure(Unit::Memory),
            device.path("idle/share").figure(Unit::Share),
            device.path("idle/threshold_pct").figure(Unit::Percent),
            device.path("energy/counter_j").figure(Unit::Joules),
        ]);
    }
    table.without_empty_columns().at_most(MOST_ROWS)
}

fn statistics(device: &Node<'_>) -> Table {
    let samples = device
        .at("samples")
        .number()
        .map_or_else(String::new, |count| format!(", {} samples", Unit::Count.show(count)));
    let metrics = device.at("metrics").items();
    let inexact = metrics.iter().any(|metric| metric.at("exact").is_there() && !metric.at("exact").is_true());
    let quantiles = if inexact { "; quantiles are within 0.1 %" } else { "" };
    let mut table = Table::new(
        format!("{}{samples}{quantiles}", name(device)),
        &["figure", "#smallest", "#mean", "#median", "#95 % quantile", "#largest", "#samples"],
    );
    for metric in metrics {
        let (name, unit) = called(metric.at("metric").text().unwrap_or_default());
        let figure = |key: &str| metric.at(key).figure(unit);
        let cells = [figure("min"), figure("mean"), figure("median"), figure("p95"), figure("max")];
        table.row([Cell::text(name)].into_iter().chain(cells).chain([metric.at("n").figure(Unit::Count)]));
    }
    table
}

fn phases(root: &Node<'_>) -> Option<Section> {
    time::phases(root).map(|table| Section::new("Phases", [Block::Table(table)]))
}

fn idle(devices: &[Node<'_>]) -> Option<Section> {
    let mut all = Table::new(
        "Times in which a GPU had nothing to do",
        &["GPU", "#share of the time", "#of observed", "#counts as idle up to", "#periods", "#each at least"],
    );
    let mut longest = Table::new("The longest idle periods, longest first on each GPU", &["GPU", "#begins", "#lasts"]);
    for device in devices {
        let idle = device.at("idle");
        if !idle.is_there() {
            continue;
        }
        all.row([
            Cell::text(name(device)),
            idle.at("share").figure(Unit::Share),
            idle.at("observed_seconds").figure(Unit::Seconds),
            idle.at("threshold_pct").figure(Unit::Percent),
            idle.at("periods").figure(Unit::Count),
            idle.at("least_seconds").figure(Unit::Seconds),
        ]);
        for period in idle.at("longest").items() {
            longest.row([
                Cell::text(name(device)),
                period.at("start_s").figure(Unit::Seconds),
                period.at("seconds").figure(Unit::Seconds),
            ]);
        }
    }
    if all.rows.is_empty() {
        return None;
    }
    let mut blocks = vec![Block::Table(all.at_most(MOST_ROWS))];
    if !longest.rows.is_empty() {
        let within = vec![Block::Table(longest.at_most(MOST_ROWS))];
        blocks.push(Block::Folded { title: "The longest idle periods".to_owned(), blocks: within });
    }
    Some(Section::new("Idle", blocks))
}

fn energy(devices: &[Node<'_>]) -> Option<Section> {
    let mut table = Table::new(
        "Energy: by the GPU's own counter, and by its power added up over time without gaps",
        &["GPU", "#counter", "#over", "#added up", "#over"],
    );
    for device in devices {
        let energy = device.at("energy");
        if energy.is_there() {
            table.row([
                Cell::text(name(device)),
                energy.at("counter_j").figure(Unit::Joules),
                energy.at("counter_seconds").figure(Unit::Seconds),
                energy.at("integrated_j").figure(Unit::Joules),
                energy.at("integrated_seconds").figure(Unit::Seconds),
            ]);
        }
    }
    (!table.rows.is_empty())
        .then(|| Section::new("Energy", [Block::Table(table.without_empty_columns().at_most(MOST_ROWS))]))
}

fn correlations(devices: &[Node<'_>]) -> Option<Section> {
    let mut table = Table::new(
        "How figures go together, from -1 to 1, with 95 % intervals from resampled blocks of time",
        &["GPU", "one", "other", "#linear", "#from", "#to", "#by rank", "#from", "#to", "#points", "#worth", "remark"],
    );
    for device in devices {
        for pair in device.at("correlations").items() {
            let figures = ["pearson", "spearman"].into_iter().flat_map(|kind| {
                let kind = pair.at(kind);
                ["value", "low", "high"].map(|key| kind.at(key).figure(Unit::Plain))
            });
            let remark = if pair.at("not_enough").is_there() { pair.at("not_enough") } else { pair.at("caution") };
            let remark = if remark.is_there() { remark.cell().tone(Tone::Warning) } else { Cell::text("") };
            let names = ["x", "y"].map(|key| Cell::text(called(pair.at(key).text().unwrap_or_default()).0));
            let counts = [pair.at("n").figure(Unit::Count), pair.at("effective_n").figure(Unit::Count)];
            table.row([Cell::text(name(device))].into_iter().chain(names).chain(figures).chain(counts).chain([remark]));
        }
    }
    (!table.rows.is_empty())
        .then(|| Section::new("What goes together", [Block::Table(table.without_empty_columns().at_most(MOST_PAIRS))]))
}

fn gaps(root: &Node<'_>) -> Option<Section> {
    let mut table =
        Table::new("Spans without samples, by cause", &["cause", "of", "#spans", "#samples missing", "#longest"]);
    for gap in root.at("gaps").items() {
        let of = gap.at("gpu_index").count().map_or_else(|| "all GPUs".to_owned(), |gpu| format!("GPU {gpu}"));
        table.row([
            Cell::text(gap.at("cause").text().unwrap_or_default().replace('_', " ")),
            Cell::text(of),
            gap.at("spans").figure(Unit::Count),
            gap.at("missed").figure(Unit::Count),
            gap.at("longest_s").figure(Unit::Seconds),
        ]);
    }
    (!table.rows.is_empty()).then(|| Section::new("Gaps", [Block::Table(table.at_most(MOST_ROWS))]))
}

fn cost(root: &Node<'_>) -> Option<Section> {
    let cost = root.at("cost");
    if !cost.is_there() {
        return None;
    }
    let mut table = Table::new("What sampling cost, as far as the recording states it", &["what", "#figure"]);
    for (key, name, unit) in [
        ("cpu_ms", "processor time", Unit::Milliseconds),
        ("wall_ms", "time since the recording began", Unit::Milliseconds),
        ("ticks", "ticks taken", Unit::Count),
        ("missed", "ticks left out since they came too late", Unit::Count),
        ("failed", "readings that failed", Unit::Count),
        ("dropped", "readings that could not be kept", Unit::Count),
    ] {
        table.row([Cell::text(name), cost.at(key).figure(unit)]);
    }
    let mut times =
        Table::new("How long it took, in microseconds", &["what", "#times", "#median", "#99 % quantile", "#largest"]);
    for (key, name) in [("lateness", "a tick began late by"), ("tick_time", "a tick over all GPUs")] {
        let one = cost.at(key);
        if one.is_there() {
            let figures = ["p50_us", "p99_us", "max_us"].map(|key| one.at(key).figure(Unit::Plain));
            times.row([Cell::text(name), Cell::absent()].into_iter().chain(figures));
        }
    }
    for call in cost.at("calls").items() {
        let figures = ["p50_us", "p99_us", "max_us"].map(|key| call.at(key).figure(Unit::Plain));
        times.row([call.at("call").cell(), call.at("count").figure(Unit::Count)].into_iter().chain(figures));
    }
    let mut blocks = vec![Block::Table(table)];
    if !times.rows.is_empty() {
        blocks.push(Block::Table(times.without_empty_columns()));
    }
    Some(Section::new("What sampling cost", [Block::Folded { title: "Its figures".to_owned(), blocks }]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_several_gpus_each_has_a_row_and_nothing_is_said_of_some_alone() {
        let device = |index: u64| {
            json!({"gpu_index": index, "idle": {"share": 0.5, "threshold_pct": 5.0},
                "metrics": [{"metric": "used_bytes", "max": (index + 1) << 30, "median": 1 << 30}]})
        };
        let value = json!({"vramscope_timeline_report": 1, "devices": (0..8).map(device).collect::<Vec<_>>()});
        let html = crate::law::check(value);
        let answer = &html[html.find("In short</h2>").unwrap()..html.find("Statistics</h2>").unwrap()];
        for index in 0..8 {
            assert!(answer.contains(&format!("data-figure=\"0:/devices/{index}/metrics/0/max\"")), "{answer}");
        }
        assert!(answer.contains("The peaks of 8 GPUs go from 1.00 GiB (GPU 0) to 8.00 GiB (GPU 7)."), "{answer}");
        assert_eq!(answer.matches("<dt>").count(), 1, "{answer}");
    }

    #[test]
    fn a_page_is_made_of_what_is_there_and_says_so_where_a_recording_was_cut() {
        let value = json!({"vramscope_timeline_report": 1, "complete": false, "seconds": 2.0, "ticks": 3, "missing": 0,
            "devices": [{"gpu_index": 3, "samples": 3, "metrics": [{"metric": "strange_column", "n": 3, "max": 1.5}]}]});
        let html = crate::page(&[Document::new("a", value).unwrap()], None).unwrap().html();
        assert!(html.contains("did not come to its end") && html.contains("strange column"));
        assert!(html.contains("data-figure=\"0:/devices/0/metrics/0/max\" data-value=\"1.5\""));
        let empty = json!({"vramscope_timeline_report": 1});
        assert!(crate::page(&[Document::new("a", empty).unwrap()], None).unwrap().markdown().contains("0 GPUs"));
    }
}
