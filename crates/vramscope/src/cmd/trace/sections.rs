//! What an analysis shows to people.

mod flops;
mod scopes;
mod steps;

use vramscope_core::Bytes;
use vramscope_trace::document::RanksDocument;
use vramscope_trace::{Cause, DeviceTime, Summary, plain_name};

use super::GroupBy;
use super::figures::{ms, percent, ratio, short, size, us};
use super::render::Section;
use crate::table::Align::{Left, Right};
use crate::table::grouped;

pub(super) use scopes::asked;
use scopes::{layers, operators, scopes};
use steps::{step_kinds, steps};

/// The sections of one trace: an overview, or one list.
pub(super) fn of(summary: &Summary, group: Option<GroupBy>, top: Option<usize>) -> Vec<Section> {
    let mut sections = vec![head(summary), verdict(summary)];
    let rows = top.unwrap_or(if group.is_some() { 30 } else { 10 });
    match group {
        Some(GroupBy::Kernel) => sections.push(kernels(summary, rows)),
        Some(GroupBy::Category) => sections.push(categories(summary)),
        Some(GroupBy::Op) => sections.push(operators(summary, rows)),
        Some(GroupBy::Step) => sections.extend([step_kinds(summary), steps(summary, rows)]),
        None => {
            sections.extend([devices(summary), idle(summary), overlap(summary)]);
            sections.push(categories(summary));
            sections.push(top_kernels(summary, rows));
            sections.push(flops::stated(summary, rows));
            sections.push(copies(summary));
            sections.push(step_kinds(summary));
            sections.push(operators(summary, rows));
            sections.push(scopes(summary, rows));
            sections.push(layers(summary, rows));
            sections.push(memory(summary));
        }
    }
    sections.push(notes(summary));
    sections
}

fn head(summary: &Summary) -> Section {
    let mut section = Section::new(summary.file.name.clone(), &[]);
    let file = &summary.file;
    let packed = if file.compression.name() == "plain" {
        String::new()
    } else {
        format!(", {} as {}", size(file.file_bytes), file.compression.name())
    };
    section.text(format!(
        "{} of JSON{packed}; {} events, {} kernels",
        size(file.json_bytes),
        grouped(summary.events),
        grouped(summary.kernel_totals.count)
    ));
    let info = &summary.info;
    let mut about = Vec::new();
    let named = |id: &str| info.gpus.iter().find(|gpu| gpu.id == id).and_then(|gpu| gpu.name.clone());
    about.extend(summary.devices.iter().filter_map(|device| named(&device.device)));
    about.dedup();
    about.extend(info.rank.map(|rank| match info.world_size {
        Some(size) => format!("rank {rank} of {size}"),
        None => format!("rank {rank}"),
    }));
    about.extend(info.vllm_version.as_ref().map(|version| format!("vLLM {version}")));
    if let Some((first, last)) = summary.extent_ns {
        about.push(format!("begins at ts {}.{:03}", first.div_euclid(1000), first.rem_euclid(1000)));
        about.push(format!("events over {} ms", ms(last.abs_diff(first))));
    }
    if !about.is_empty() {
        section.text(about.join(", "));
    }
    section
}

fn verdict(summary: &Summary) -> Section {
    let verdict = &summary.verdict;
    let scope = if verdict.within_steps {
        ", judged from the first to the last step"
    } else if summary.devices.is_empty() {
        ""
    } else {
        ", judged over all GPU work"
    };
    let title = format!("Verdict: {}{scope}", verdict.bound.name().replace('_', "-"));
    let mut section = Section::new(title, &[("share", Right), ("evidence", Left)]);
    for evidence in &verdict.evidence {
        // A share that is there is not shown as none.
        let digits = if evidence.share > 0.0 && evidence.share < 0.01 { 2 } else { 1 };
        section.row([format!("{:.digits$} %", evidence.share * 100.0), evidence.meaning.to_owned()]);
    }
    for advice in &verdict.advice {
        section.text(format!("-> {advice}"));
    }
    section
}

fn devices(summary: &Summary) -> Section {
    let heads = [
        ("device", Left),
        ("span ms", Right),
        ("busy ms", Right),
        ("busy", Right),
        ("idle ms", Right),
        ("kernels ms", Right),
        ("pauses", Right),
    ];
    let mut section = Section::new("GPU time", &heads);
    let mut row = |name: String, time: &DeviceTime| {
        section.row([
            name,
            ms(time.span_ns),
            ms(time.busy_ns),
            percent(time.busy_ns, time.span_ns),
            ms(time.idle_ns),
            ms(time.kernel_ns),
            grouped(time.gaps),
        ]);
    };
    for device in &summary.devices {
        row(device.device.clone(), &device.whole);
        if let Some(steps) = device.steps.as_ref().filter(|steps| **steps != device.whole) {
            row(format!("{} in steps", device.device), steps);
        }
    }
    if let Some(delay) = summary.launch_delay {
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let median = delay.median_ns as f64;
        section.text(format!(
            "kernels begin {} µs after their launch in the median, {} µs at the 95th percentile ({} of {} linked)",
            us(median),
            us(delay.p95_ns),
            grouped(summary.kernel_totals.with_launch),
            grouped(summary.kernel_totals.count)
        ));
    }
    if summary.graphs.launches > 0 {
        section.text(format!(
            "{} graph launches ran {} kernels in {} ms",
            grouped(summary.graphs.launches),
            grouped(summary.graphs.kernels),
            ms(summary.graphs.kernel_time_ns)
        ));
    }
    section
}

fn idle(summary: &Summary) -> Section {
    let mut section =
        Section::new("Idle time by cause", &[("cause", Left), ("ms", Right), ("share", Right), ("meaning", Left)]);
    let all: u64 = summary.devices.iter().map(|device| device.whole.idle_ns).sum();
    for cause in Cause::ALL {
        let time: u64 = summary.devices.iter().map(|device| device.whole.idle_of(cause)).sum();
        if time > 0 {
            section.row([cause.name().to_owned(), ms(time), percent(time, all), cause.meaning().to_owned()]);
        }
    }
    if let Some(gap) = summary.devices.iter().filter_map(|d| d.longest_gaps.first()).max_by_key(|gap| gap.length_ns) {
        section.text(format!(
            "longest pause: {} ms ({}), before {}",
            ms(gap.length_ns),
            gap.cause.name(),
            short(&plain_move_or_kernel(&gap.after), 50)
        ));
    }
    section
}

fn overlap(summary: &Summary) -> Section {
    let heads = [("work", Left), ("ms", Right), ("beside kernels", Right), ("alone ms", Right)];
    let mut section = Section::new("Overlap", &heads);
    let sum = |of: fn(&DeviceTime) -> u64| summary.devices.iter().map(|device| of(&device.whole)).sum::<u64>();
    let mut row = |name: &str, all: u64, hidden: u64, alone: u64| {
        if all > 0 {
            section.row([name.to_owned(), ms(all), percent(hidden, all), ms(alone)]);
        }
    };
    let communication = sum(DeviceTime::communication_overlap_ns);
    row("communication", sum(|t| t.communication_ns), communication, sum(DeviceTime::exposed_communication_ns));
    row("copies, fills", sum(|t| t.moves_ns), sum(DeviceTime::moves_overlap_ns), sum(DeviceTime::exposed_moves_ns));
    section
}

fn categories(summary: &Summary) -> Section {
    let heads = [("category", Left), ("ms", Right), ("share", Right), ("kernels", Right), ("rules", Left)];
    let mut section = Section::new("Kernel time by category", &heads);
    for category in &summary.categories {
        section.row([
            category.category.name().to_owned(),
            ms(category.total_ns),
            percent(category.total_ns, summary.kernel_totals.time_ns),
            grouped(category.count),
            category.rules.join(", "),
        ]);
    }
    section
}

/// What an operation is called: copies keep what they are between.
fn plain_move_or_kernel(name: &str) -> String {
    if name.starts_with("Mem") { name.to_owned() } else { plain_name(name) }
}

/// Kernels with what fits beside their names.
fn top_kernels(summary: &Summary, top: usize) -> Section {
    let heads =
        [("ms", Right), ("share", Right), ("count", Right), ("mean µs", Right), ("p95 µs", Right), ("kernel", Left)];
    let mut section = Section::new("Kernels", &heads).with_names();
    for kernel in summary.kernels.iter().take(top) {
        section.row([
            ms(kernel.total_ns),
            percent(kernel.total_ns, summary.kernel_totals.time_ns),
            grouped(kernel.count),
            us(ratio(kernel.total_ns, kernel.count)),
            us(kernel.p95_ns),
            plain_name(&kernel.name),
        ]);
    }
    more(&mut section, summary.kernels.len(), top);
    section
}

/// Kernels with everything.
fn kernels(summary: &Summary, top: usize) -> Section {
    let heads = [
        ("ms", Right),
        ("share", Right),
        ("count", Right),
        ("min", Right),
        ("mean", Right),
        ("p50", Right),
        ("p95", Right),
        ("max µs", Right),
        ("category", Left),
        ("kernel", Left),
    ];
    let mut section = Section::new("Kernels", &heads).with_names();
    for kernel in summary.kernels.iter().take(top) {
        section.row([
            ms(kernel.total_ns),
            percent(kernel.total_ns, summary.kernel_totals.time_ns),
            grouped(kernel.count),
            us(ratio(kernel.min_ns, 1)),
            us(ratio(kernel.total_ns, kernel.count)),
            us(kernel.p50_ns),
            us(kernel.p95_ns),
            us(ratio(kernel.max_ns, 1)),
            kernel.category.name().to_owned(),
            plain_name(&kernel.name),
        ]);
    }
    more(&mut section, summary.kernels.len(), top);
    section
}

fn more(section: &mut Section, all: usize, top: usize) {
    if all > top {
        section.text(format!("{} more", all - top));
    }
}

fn copies(summary: &Summary) -> Section {
    let heads =
        [("operation", Left), ("count", Right), ("ms", Right), ("size", Right), ("GB/s", Right), ("between", Left)];
    let mut section = Section::new("Copies and fills", &heads);
    for part in &summary.moves {
        let sized = part.sized > 0;
        section.row([
            part.operation.clone(),
            grouped(part.count),
            ms(part.total_ns),
            if sized { size(part.bytes.get()) } else { "unknown".into() },
            if part.sized_time_ns > 0 {
                format!("{:.2}", ratio(part.bytes.get(), part.sized_time_ns))
            } else {
                String::new()
            },
            part.kinds.clone().unwrap_or_default(),
        ]);
    }
    section
}

fn memory(summary: &Summary) -> Section {
    let heads = [("allocator", Left), ("peak", Right), ("held", Right), ("at ms", Right), ("events", Right)];
    let mut section = Section::new("Memory timeline", &heads);
    let begin = summary.extent_ns.map_or(0, |(first, _)| first);
    let named = |device: &str| match device.split_once(':') {
        Some(("0", _)) => "CPU".to_owned(),
        Some(("1", id)) => format!("CUDA {id}"),
        Some(("6", id)) => format!("HIP {id}"),
        _ => device.to_owned(),
    };
    for memory in &summary.memory {
        let bytes = |bytes: Option<Bytes>| bytes.map(|b| size(b.get())).unwrap_or_default();
        section.row([
            named(&memory.device),
            bytes(memory.peak_allocated.map(|(bytes, _)| bytes)),
            bytes(memory.peak_reserved),
            memory.peak_allocated.map(|(_, at)| ms(u64::try_from(at - begin).unwrap_or(0))).unwrap_or_default(),
            grouped(memory.events),
        ]);
    }
    section
}

fn notes(summary: &Summary) -> Section {
    let mut section = Section::new("Notes", &[("times", Right), ("what", Left)]);
    for (oddity, met) in summary.notes.iter() {
        section.row([grouped(met.count), oddity.meaning().to_owned()]);
    }
    section
}

/// The ranks of one run beside each other.
pub(super) fn ranks(document: &RanksDocument) -> Section {
    let heads = [
        ("rank", Left),
        ("span ms", Right),
        ("busy ms", Right),
        ("compute ms", Right),
        ("comm. ms", Right),
        ("comm. alone", Right),
        ("verdict", Left),
    ];
    let mut section = Section::new("Ranks", &heads);
    for rank in &document.ranks {
        section.row([
            rank.rank.map_or_else(|| rank.file.clone(), |rank| rank.to_string()),
            ms(rank.span_ns),
            ms(rank.busy_ns),
            ms(rank.compute_ns),
            ms(rank.communication_ns),
            ms(rank.exposed_communication_ns),
            rank.bound.replace('_', "-"),
        ]);
    }
    for spread in &document.spread {
        section.text(format!(
            "{}: {} to {} ms, {:.1} % apart",
            spread.name,
            ms(spread.min_ns),
            ms(spread.max_ns),
            spread.imbalance * 100.0
        ));
    }
    if let Some(straggler) = &document.straggler {
        section.text(format!("-> the others wait for {straggler}: it spends the least time in communication"));
    }
    section
}
