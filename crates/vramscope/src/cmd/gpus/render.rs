//! A snapshot for people.

use std::fmt::Write as _;

use vramscope_core::{ByteUnit, Bytes};
use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, HostProcess, Process, Snapshot};

use crate::table::{Align, Table, wrap};

/// The whole text.
pub(super) fn table(document: &Snapshot, width: usize) -> String {
    let mut text = headline(document);
    if !document.gpus.is_empty() {
        let _ = write!(text, "\n{}", gpus(document).render(width));
    }
    for gpu in &document.gpus {
        slices(&mut text, gpu);
    }
    text.push_str(&processes(document, width));
    for note in &document.notes {
        let lines = wrap(note, width.saturating_sub(8));
        let _ = writeln!(text, "note: {}", lines.join("\n      "));
    }
    text
}

fn headline(document: &Snapshot) -> String {
    let mut text = format!("{} GPU{} from {}", document.gpu_count, plural(document.gpu_count), document.source);
    if let Some(driver) = &document.driver_version {
        // Some tools print a whole kernel banner here.
        let short: String = driver.chars().take(40).collect();
        let _ = write!(text, ", driver {short}");
    }
    if let Some(at) = &document.taken_at {
        let _ = write!(text, ", taken {at}");
    }
    text.push('\n');
    text
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn gpus(document: &Snapshot) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("GPU", right),
        ("used GiB", right),
        ("total GiB", right),
        ("util %", right),
        ("power W", right),
        ("temp C", right),
        ("name", Align::Left),
    ]);
    for gpu in &document.gpus {
        let name = gpu.name.clone().unwrap_or_else(|| "(not stated)".into());
        let cut = gpu.partition.as_ref().map(|partition| format!(" [{partition}]")).unwrap_or_default();
        let mig = if gpu.mig.as_ref().is_some_and(|mig| mig.enabled) { " [MIG]" } else { "" };
        table.row([
            gpu.index.to_string(),
            gib(gpu.mem_used_mib),
            gib(gpu.mem_total_mib),
            plain(gpu.util_gpu_pct),
            power(gpu),
            plain(core_temperature(gpu)),
            format!("{name}{cut}{mig}"),
        ]);
    }
    table
}

/// A figure that is not stated is a dash, never a zero.
fn plain(figure: Option<Figure>) -> String {
    match figure {
        None => "-".into(),
        Some(Figure::Whole(whole)) => whole.to_string(),
        Some(Figure::Real(real)) => format!("{real:.0}"),
    }
}

fn power(gpu: &Gpu) -> String {
    let watts = |figure: Option<Figure>| figure.map_or_else(|| "-".into(), |figure| format!("{:.0}", figure.as_f64()));
    match gpu.power_cap_w {
        Some(cap) => format!("{}/{:.0}", watts(gpu.power_w), cap.as_f64()),
        None => watts(gpu.power_w),
    }
}

fn core_temperature(gpu: &Gpu) -> Option<Figure> {
    ["gpu", "edge", "junction", "hotspot"].iter().find_map(|sensor| gpu.temps_c.get(*sensor).copied())
}

fn gib(mib: Option<Figure>) -> String {
    let bytes = mib.and_then(|mib| Bytes::from_unit(mib.as_f64(), ByteUnit::MiB));
    bytes.map_or_else(|| "-".into(), |bytes| format!("{:.2}", bytes.in_unit(ByteUnit::GiB)))
}

fn slices(text: &mut String, gpu: &Gpu) {
    let listed = gpu.mig.as_ref().and_then(|mig| mig.devices.as_deref()).unwrap_or_default();
    if !listed.is_empty() {
        let _ = writeln!(text, "\n  MIG slices of GPU {}:", gpu.index);
    }
    for (place, slice) in listed.iter().enumerate() {
        let uuid = slice.uuid.as_deref().unwrap_or("");
        let name = format!("{}:{place}", gpu.index);
        let line = format!("  {name:>5}  {:>6} of {:>6} GiB  {uuid}", gib(slice.used), gib(slice.total));
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn processes(document: &Snapshot, width: usize) -> String {
    let left = Align::Left;
    let heads =
        [("GPU", Align::Right), ("PID", Align::Right), ("GiB", Align::Right), ("container", left), ("program", left)];
    let mut table = Table::new(&heads);
    let mut any = false;
    for gpu in &document.gpus {
        for process in gpu.processes.iter().flatten() {
            any = true;
            table.row([
                gpu.index.to_string(),
                process.pid.to_string(),
                gib(held(process)),
                process.container.clone().unwrap_or_else(|| "-".into()),
                process.name.clone().unwrap_or_else(|| "-".into()),
            ]);
        }
    }
    for process in elsewhere(document) {
        any = true;
        table.row([
            "-".into(),
            process.pid.to_string(),
            gib(process.vram_bytes.map(|bytes| Figure::mib(Bytes::new(bytes)))),
            "-".into(),
            process.name.clone().unwrap_or_else(|| "-".into()),
        ]);
    }
    let listed = document.gpus.iter().any(|gpu| gpu.processes.is_some());
    if any {
        return format!("\n{}", table.render(width));
    }
    let said = if listed { "no processes" } else { "processes: not stated by this source" };
    format!("\n  {said}\n")
}

/// The processes that are listed for the whole machine and under no GPU, and are on some.
fn elsewhere(document: &Snapshot) -> impl Iterator<Item = &HostProcess> {
    let placed = |pid: u32| document.gpus.iter().flat_map(|gpu| gpu.processes.iter().flatten()).any(|p| p.pid == pid);
    let listed = document.host_processes.iter().flatten();
    listed.filter(move |process| process.gpus != Some(0) && !placed(process.pid))
}

fn held(process: &Process) -> Option<Figure> {
    process.used_mib.or_else(|| process.vram_bytes.map(|bytes| Figure::mib(Bytes::new(bytes))))
}
