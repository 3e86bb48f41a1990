//! `nvidia-smi --query-gpu=… --format=csv` and `--query-compute-apps=… --format=csv`.

use std::collections::BTreeMap;

use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, Mig, Process, Snapshot};

use super::{ReadError, present, throttle};

/// Columns by which a header line is known. Each query prints at least one of them in practice.
const KNOWN: [&str; 22] = [
    "timestamp",
    "index",
    "name",
    "gpu_name",
    "uuid",
    "gpu_uuid",
    "pci.bus_id",
    "gpu_bus_id",
    "driver_version",
    "memory.total",
    "memory.used",
    "memory.free",
    "memory.reserved",
    "utilization.gpu",
    "utilization.memory",
    "power.draw",
    "power.draw.instant",
    "temperature.gpu",
    "clocks.current.sm",
    "pid",
    "used_gpu_memory",
    "used_memory",
];

/// A column's name without its unit and with its old aliases made new.
fn column(head: &str) -> &str {
    let name = head.split('[').next().unwrap_or(head).trim();
    match name {
        "gpu_name" => "name",
        "gpu_uuid" => "uuid",
        "gpu_bus_id" => "pci.bus_id",
        "used_memory" => "used_gpu_memory",
        "clocks.gr" => "clocks.current.graphics",
        "clocks.sm" => "clocks.current.sm",
        "clocks.mem" => "clocks.current.memory",
        "clocks.video" => "clocks.current.video",
        "clocks_throttle_reasons.active" => "clocks_event_reasons.active",
        other => other,
    }
}

/// Whether a line names columns of nvidia-smi: only known spellings, and no cell that is a figure.
pub(super) fn is_header(line: &str) -> bool {
    let cells: Vec<&str> = line.split(',').map(|cell| cell.split('[').next().unwrap_or(cell).trim()).collect();
    let spelled = |cell: &&str| cell.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) && !cell.is_empty();
    cells.iter().all(spelled) && cells.iter().any(|cell| KNOWN.contains(cell)) && Figure::parse(cells[0]).is_none()
}

/// One row of cells under their columns' names.
type Row<'t> = BTreeMap<&'t str, &'t str>;

/// Reads one output or several after another (a query of GPUs and a query of processes). Of a log with many rows for
/// one GPU, the last one counts.
///
/// # Errors
/// [`ReadError::NoHeader`] or [`ReadError::Cells`].
pub fn read_csv(text: &str) -> Result<Snapshot, ReadError> {
    let mut snapshot = Snapshot::from_source("nvidia-smi csv");
    let mut heads: Option<Vec<&str>> = None;
    let mut gpus: Vec<Gpu> = Vec::new();
    let mut apps: Vec<Row<'_>> = Vec::new();
    let mut repeated = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        if is_header(line) {
            heads = Some(line.split(',').map(column).collect());
            continue;
        }
        let Some(heads) = &heads else { continue };
        let row = row(heads, line, number)?;
        if row.contains_key("pid") {
            apps.push(row);
            continue;
        }
        let read = gpu(&row, gpus.len());
        snapshot.driver_version = cell(&row, "driver_version").map(str::to_owned).or(snapshot.driver_version);
        snapshot.taken_at = cell(&row, "timestamp").map(str::to_owned).or(snapshot.taken_at);
        match gpus.iter_mut().find(|known| same(known, &read, row.contains_key("index"))) {
            Some(known) => {
                repeated = true;
                *known = Gpu { index: known.index, ..read };
            }
            None => gpus.push(read),
        }
    }
    if heads.is_none() {
        return Err(ReadError::NoHeader);
    }
    if repeated {
        snapshot.notes.push("the output has several rows for one GPU; the last one counts".into());
    }
    snapshot.gpus = gpus;
    for app in &apps {
        add_process(&mut snapshot, app);
    }
    snapshot.gpus.sort_by_key(|gpu| gpu.index);
    snapshot.gpu_count = snapshot.gpus.len();
    Ok(snapshot)
}

/// Cells under their heads. A process name may hold commas: nvidia-smi does not quote.
fn row<'t>(heads: &[&'t str], line: &'t str, number: usize) -> Result<Row<'t>, ReadError> {
    let mut cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let (found, expected) = (cells.len(), heads.len());
    if found > expected
        && let Some(place) = heads.iter().position(|&head| head == "process_name")
    {
        let behind = expected - place - 1;
        let start = offset(line, cells[place]);
        let last = cells[found - behind - 1];
        let name = &line[start..offset(line, last) + last.len()];
        cells.splice(place..found - behind, [name]);
    }
    if cells.len() != expected {
        return Err(ReadError::Cells { line: number, found, expected });
    }
    Ok(heads.iter().copied().zip(cells).collect())
}

/// Where a part of a line begins in it.
fn offset(line: &str, part: &str) -> usize {
    part.as_ptr().addr() - line.as_ptr().addr()
}

fn cell<'t>(row: &Row<'t>, name: &str) -> Option<&'t str> {
    row.get(name).copied().and_then(present)
}

fn figure(row: &Row<'_>, name: &str) -> Option<Figure> {
    cell(row, name).and_then(Figure::parse)
}

/// Whether two rows speak of one GPU. Masked reports have equal UUIDs, so the place on the bus counts first.
fn same(known: &Gpu, read: &Gpu, has_index: bool) -> bool {
    if known.pci_bus_id.is_some() && read.pci_bus_id.is_some() {
        return known.pci_bus_id == read.pci_bus_id;
    }
    if has_index {
        return known.index == read.index;
    }
    known.uuid.is_some() && known.uuid == read.uuid
}

fn gpu(row: &Row<'_>, place: usize) -> Gpu {
    let index = figure(row, "index").and_then(Figure::as_u64).and_then(|n| u32::try_from(n).ok());
    let mut gpu = Gpu {
        index: index.or_else(|| u32::try_from(place).ok()).unwrap_or(0),
        name: cell(row, "name").map(str::to_owned),
        uuid: cell(row, "uuid").map(str::to_owned),
        pci_bus_id: cell(row, "pci.bus_id").map(str::to_owned),
        vendor: Some("nvidia".into()),
        mem_total_mib: figure(row, "memory.total"),
        mem_used_mib: figure(row, "memory.used"),
        mem_free_mib: figure(row, "memory.free"),
        mem_reserved_mib: figure(row, "memory.reserved"),
        power_cap_w: figure(row, "power.limit").or_else(|| figure(row, "enforced.power.limit")),
        tlimit_margin_c: figure(row, "temperature.gpu.tlimit"),
        util_gpu_pct: figure(row, "utilization.gpu"),
        util_mem_pct: figure(row, "utilization.memory"),
        ..Gpu::default()
    };
    let power = (figure(row, "power.draw.average"), figure(row, "power.draw"), figure(row, "power.draw.instant"));
    (gpu.power_w, gpu.power_kind) = super::xml::power(power.0, power.1, power.2);
    // A GPU that states no average, where averages are asked for, draws at the moment (before Ampere).
    if power.0.is_none() && row.contains_key("power.draw.average") && power.1.is_some() && power.1 == power.2 {
        gpu.power_kind = Some("instant".into());
    }
    gpu.instant_power_w = power.2;
    let put = |map: &mut BTreeMap<String, Figure>, key: &str, name: &str| {
        if let Some(figure) = figure(row, name) {
            map.insert(key.to_owned(), figure);
        }
    };
    put(&mut gpu.temps_c, "gpu", "temperature.gpu");
    put(&mut gpu.temps_c, "memory", "temperature.memory");
    put(&mut gpu.clocks_mhz, "graphics", "clocks.current.graphics");
    put(&mut gpu.clocks_mhz, "sm", "clocks.current.sm");
    put(&mut gpu.clocks_mhz, "mem", "clocks.current.memory");
    put(&mut gpu.clocks_mhz, "video", "clocks.current.video");
    let reasons = cell(row, "clocks_event_reasons.active").and_then(|text| text.strip_prefix("0x"));
    gpu.throttle = reasons.and_then(|hex| u64::from_str_radix(hex, 16).ok()).map(throttle);
    gpu.mig = (cell(row, "mig.mode.current") == Some("Enabled")).then_some(Mig { enabled: true, devices: None });
    gpu
}

/// Puts a row of `--query-compute-apps` under its GPU, which is listed if it was not.
fn add_process(snapshot: &mut Snapshot, row: &Row<'_>) {
    let Some(pid) = figure(row, "pid").and_then(Figure::as_u64).and_then(|pid| u32::try_from(pid).ok()) else {
        return;
    };
    let on = gpu(row, snapshot.gpus.len());
    let names_a_gpu = on.pci_bus_id.is_some() || on.uuid.is_some();
    let place = if names_a_gpu {
        snapshot.gpus.iter().position(|known| same(known, &on, false))
    } else {
        (snapshot.gpus.len() == 1).then_some(0)
    };
    let place = match place {
        Some(place) => place,
        None if names_a_gpu => {
            snapshot.gpus.push(on);
            snapshot.gpus.len() - 1
        }
        None => {
            snapshot.notes.push(format!("the process {pid} is listed without its GPU"));
            return;
        }
    };
    let process = Process {
        pid,
        name: cell(row, "process_name").map(str::to_owned),
        used_mib: figure(row, "used_gpu_memory"),
        ..Process::default()
    };
    snapshot.gpus[place].processes.get_or_insert_default().push(process);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_without_units_or_index_is_read_and_the_last_row_counts() {
        let text = "timestamp, name, memory.used [MiB], power.draw [W]\r\n\
                    2026/01/01 00:00:00.000, Tesla T4, 3, 26.78\r\n2026/01/01 00:00:01.000, Tesla T4, 4, [N/A]\r\n";
        let snapshot = read_csv(text).unwrap();
        assert_eq!(snapshot.gpu_count, 2, "nothing says that both rows are of one GPU");
        let with_index = text.replace("timestamp,", "index, timestamp,").replace("2026/", "0, 2026/");
        let snapshot = read_csv(&with_index).unwrap();
        assert_eq!(snapshot.gpu_count, 1);
        assert_eq!(snapshot.gpus[0].mem_used_mib, Some(Figure::Whole(4)));
        assert_eq!(snapshot.gpus[0].power_w, None);
        assert!(snapshot.notes[0].contains("several rows"));
    }

    #[test]
    fn every_way_of_saying_nothing_is_nothing_and_old_spellings_are_known() {
        let text = "gpu_name, gpu_uuid, gpu_bus_id, memory.used [MiB], utilization.gpu [%], power.draw [W], \
                    clocks_throttle_reasons.active, clocks.sm [MHz], mig.mode.current, temperature.memory\n\
                    NVIDIA GB10, GPU-1, 0000000F:01:00.0, [N/A], [Not Supported], [Unknown Error], \
                    0x0000000000000005, 208 MHz, [N/A], N/A\n";
        let gpu = read_csv(text).unwrap().gpus.remove(0);
        assert_eq!((gpu.name.as_deref(), gpu.uuid.as_deref()), (Some("NVIDIA GB10"), Some("GPU-1")));
        assert_eq!((gpu.mem_used_mib, gpu.util_gpu_pct, gpu.power_w, gpu.power_kind), (None, None, None, None));
        assert_eq!(gpu.throttle.unwrap(), ["idle", "power"]);
        assert_eq!(gpu.clocks_mhz["sm"], Figure::Whole(208));
        assert!(gpu.mig.is_none() && gpu.temps_c.is_empty());
        let bare = read_csv("index, memory.used [MiB], power.draw [W]\n0, 300, 26.78\n").unwrap().gpus.remove(0);
        assert_eq!((bare.mem_used_mib, bare.power_w), (Some(Figure::Whole(300)), Some(Figure::Real(26.78))));
    }

    #[test]
    fn a_process_name_may_hold_commas() {
        let text = "pid, process_name, gpu_uuid, used_gpu_memory [MiB]\n7, python a, b , GPU-1, 12 MiB\n";
        let processes = read_csv(text).unwrap().gpus[0].processes.clone().unwrap();
        assert_eq!(processes[0].name.as_deref(), Some("python a, b"));
        assert_eq!(processes[0].used_mib, Some(Figure::Whole(12)));
    }

    #[test]
    fn rows_that_do_not_fit_the_header_are_an_error_with_their_line() {
        let torn = read_csv("index, memory.used [MiB]\n0, 1 MiB\n1\n");
        assert!(matches!(torn, Err(ReadError::Cells { line: 3, found: 1, expected: 2 })));
        assert!(matches!(read_csv("0, Tesla T4, 3 MiB\n"), Err(ReadError::NoHeader)));
    }
}
