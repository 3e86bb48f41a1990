//! `nvidia-smi --query-gpu=… --format=csv` and `--query-compute-apps=… --format=csv`.

mod apps;

use std::collections::BTreeMap;

use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, MAX_GPUS, Mig, Snapshot};
use vramscope_gpu::smi_csv::{Cell, Head, What, is_column, is_header, present};

use super::query::without_remark;
use super::{ReadError, is_date, throttle};

/// Of what nvidia-smi says between the lines, so much is repeated.
const MAX_NOTES: usize = 100;

/// Whether a line is no row: what a terminal, a mail or nvidia-smi itself puts between the lines of an output.
fn is_talk(line: &str) -> bool {
    const STARTS: [&str; 14] = [
        "```",
        "~~~",
        "$ ",
        "# ",
        "> ",
        "PS ",
        "+-",
        "|",
        "==",
        "Unable to ",
        "Failed to ",
        "WARNING",
        "NVIDIA-SMI ",
        "No devices",
    ];
    let line = line.trim_start();
    STARTS.iter().any(|start| line.starts_with(start))
        || line.contains("nvidia-smi -")
        || is_prompt(line)
        || is_date(line)
}

/// `user@host:/path$ …`, `root@host#`.
fn is_prompt(line: &str) -> bool {
    let before = line.split(['$', '#']).next().unwrap_or("");
    before.len() < line.len() && before.split_whitespace().next().is_some_and(|word| word.contains('@'))
}

/// A column: one that is known, whatever its name was in its time, or another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Column<'t> {
    Known(What),
    Other(&'t str),
}

impl<'t> Column<'t> {
    fn of(head: &Head<'t>) -> Self {
        head.what.map_or(Self::Other(head.name), Self::Known)
    }

    /// Whether it changes with time.
    fn is_figure(self) -> bool {
        let name = match self {
            Self::Known(what) => what.name(),
            Self::Other(name) => name,
        };
        ["memory.", "utilization.", "power.draw", "temperature.", "clocks"].iter().any(|start| name.starts_with(start))
    }
}

/// One row of cells under their columns.
type Row<'t> = BTreeMap<Column<'t>, (Head<'t>, Cell<'t>)>;

fn has(row: &Row<'_>, what: What) -> bool {
    row.contains_key(&Column::Known(what))
}

fn has_other(row: &Row<'_>, name: &str) -> bool {
    row.contains_key(&Column::Other(name))
}

/// Reads one output or several after another (a query of GPUs and a query of processes, two queries of different
/// figures). Of a log with many rows for one GPU, the last one counts.
///
/// # Errors
/// [`ReadError::NoHeader`], [`ReadError::Cells`] or [`ReadError::TooManyGpus`].
pub fn read_csv(text: &str) -> Result<Snapshot, ReadError> {
    let mut reader = Reader::default();
    for (number, line) in (1..).zip(text.lines()) {
        reader.line(number, line)?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader<'t> {
    heads: Option<Vec<Head<'t>>>,
    /// How many rows there have been since the header.
    rows: usize,
    gpus: Vec<Listed<'t>>,
    /// Where the GPU of such a row was found, so that a log's rows are not each compared with all GPUs.
    places: BTreeMap<Identity<'t>, usize>,
    /// With their lines.
    apps: Vec<(usize, Row<'t>)>,
    driver: Option<&'t str>,
    taken_at: Option<&'t str>,
    /// In the order in which they are said.
    notes: Vec<String>,
}

/// A GPU with all that has been said of it.
struct Listed<'t> {
    row: Row<'t>,
    gpu: Gpu,
}

impl<'t> Reader<'t> {
    fn line(&mut self, number: usize, line: &'t str) -> Result<(), ReadError> {
        if line.trim().is_empty() {
            return Ok(());
        }
        if is_header(line) {
            let heads: Vec<Head<'t>> = line.split(',').map(Head::parse).collect();
            for head in heads.iter().filter(|head| !is_column(head.name)) {
                self.note(format!("the column `{}` is not known to be nvidia-smi's and is not read", head.name));
            }
            self.heads = Some(heads);
            self.rows = 0;
            return Ok(());
        }
        let Some(heads) = &self.heads else { return Ok(()) };
        if is_talk(line) {
            let said = line.trim();
            if ["Unable to ", "Failed to ", "NVIDIA-SMI has failed"].iter().any(|start| said.starts_with(start)) {
                self.note(format!("nvidia-smi says: {said}"));
            }
            return Ok(());
        }
        let row = row(heads, line, number)?;
        self.rows += 1;
        // Only a figure that has a unit can lack it.
        for (head, cell) in row.values().filter(|(head, _)| head.what.is_some_and(|what| what.unit().is_some())) {
            if let Err(error) = cell.figure(head) {
                self.note(format!("the figure is left out: {error}"));
            }
        }
        if has_other(&row, "retired_pages.address") {
            self.note("a list of retired memory pages is passed over".to_owned());
        } else if has(&row, What::Pid) {
            let is_past = has_other(&row, "max_memory_usage") || has_other(&row, "mem_utilization");
            if is_past && !has(&row, What::ProcessMemory) {
                self.note("accounted processes are passed over: they need not run any more".to_owned());
            } else {
                self.apps.push((number, row));
            }
        } else {
            self.gpu(row);
        }
        if self.gpus.len() > MAX_GPUS { Err(ReadError::TooManyGpus { line: number }) } else { Ok(()) }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() <= MAX_NOTES && !self.notes.contains(&note) {
            let last = self.notes.len() == MAX_NOTES;
            self.notes.push(if last { "more that nvidia-smi says is left out".to_owned() } else { note });
        }
    }

    fn gpu(&mut self, row: Row<'t>) {
        let driver = cell(&row, What::DriverVersion).or_else(|| cell(&row, What::KmdVersion));
        self.driver = driver.map(|version| without_remark("driver_version", version)).or(self.driver);
        self.taken_at = cell(&row, What::Timestamp).or(self.taken_at);
        let read = gpu(&row, self.gpus.len());
        let has_index = has(&row, What::Index);
        let identity = identity(&row);
        let found = || self.gpus.iter().position(|known| same(&known.gpu, &read, has_index));
        let named = self.places.get(&identity).copied().or_else(found);
        // An index that cannot be read is taken from the row's place, which is not the same the next time.
        if let Some(place) = named.filter(|_| !has_index || figure(&row, What::Index).is_some()) {
            self.places.insert(identity, place);
        }
        // Two queries without a GPU's identity: nvidia-smi lists the GPUs in the same order each time.
        let by_place = || {
            let known = self.gpus.get(self.rows - 1)?;
            let apart = !known.row.keys().eq(row.keys());
            (apart && !shares_identity(&known.gpu, &read, has_index)).then_some(self.rows - 1)
        };
        match named.or_else(by_place) {
            Some(place) => {
                let known = &mut self.gpus[place];
                let again = row.keys().any(|column| column.is_figure() && known.row.contains_key(column));
                let before = self::identity(&known.row);
                known.row.extend(row);
                if self::identity(&known.row) != before {
                    self.places.clear();
                }
                known.gpu = Gpu { index: known.gpu.index, ..gpu(&known.row, place) };
                if again {
                    self.note("the output has several rows for one GPU; the last one counts".to_owned());
                }
            }
            None => self.gpus.push(Listed { row, gpu: read }),
        }
    }

    fn finish(self) -> Result<Snapshot, ReadError> {
        if self.heads.is_none() {
            return Err(ReadError::NoHeader);
        }
        let mut snapshot = Snapshot::from_source("nvidia-smi csv");
        snapshot.driver_version = self.driver.map(str::to_owned);
        snapshot.taken_at = self.taken_at.map(str::to_owned);
        snapshot.notes = self.notes;
        snapshot.gpus = self.gpus.into_iter().map(|listed| listed.gpu).collect();
        let mut places = BTreeMap::new();
        for (line, app) in &self.apps {
            apps::add(&mut snapshot, app, &mut places);
            if snapshot.gpus.len() > MAX_GPUS {
                return Err(ReadError::TooManyGpus { line: *line });
            }
        }
        if snapshot.host_processes.is_some() {
            snapshot.notes.push("some processes are listed without their GPU".into());
        } else if snapshot.gpus.is_empty() {
            snapshot.notes.push("the output has a header and no row".into());
        }
        snapshot.gpus.sort_by_key(|gpu| gpu.index);
        snapshot.gpu_count = snapshot.gpus.len();
        Ok(snapshot)
    }
}

/// Cells under their heads. A process name may hold commas: nvidia-smi does not quote.
fn row<'t>(heads: &[Head<'t>], line: &'t str, number: usize) -> Result<Row<'t>, ReadError> {
    let mut cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let (found, expected) = (cells.len(), heads.len());
    if found > expected
        && let Some(place) = heads.iter().position(|head| head.what == Some(What::ProcessName))
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
    let cells = cells.into_iter().map(Cell::new);
    Ok(heads.iter().zip(cells).map(|(head, cell)| (Column::of(head), (*head, cell))).collect())
}

/// Where a part of a line begins in it.
fn offset(line: &str, part: &str) -> usize {
    part.as_ptr().addr() - line.as_ptr().addr()
}

fn cell<'t>(row: &Row<'t>, what: What) -> Option<&'t str> {
    row.get(&Column::Known(what)).and_then(|(_, cell)| present(cell.text()))
}

/// A figure in the unit of its column. One without a unit is absent; [`Reader::line`] has said so.
fn figure(row: &Row<'_>, what: What) -> Option<Figure> {
    let (head, cell) = row.get(&Column::Known(what))?;
    cell.figure(head).ok().flatten()
}

/// What a row says of which GPU it speaks: its place on the bus, its UUID, its index.
type Identity<'t> = [Option<&'t str>; 3];

fn identity<'t>(row: &Row<'t>) -> Identity<'t> {
    let index = row.get(&Column::Known(What::Index)).map(|(_, cell)| cell.text());
    [cell(row, What::BusId), cell(row, What::Uuid), index]
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

/// Whether both rows say which GPU they speak of in the same way, so that they can be told apart.
fn shares_identity(known: &Gpu, read: &Gpu, has_index: bool) -> bool {
    has_index
        || (known.pci_bus_id.is_some() && read.pci_bus_id.is_some())
        || (known.uuid.is_some() && read.uuid.is_some())
}

fn gpu(row: &Row<'_>, place: usize) -> Gpu {
    let index = figure(row, What::Index).and_then(Figure::as_u64).and_then(|n| u32::try_from(n).ok());
    let mut gpu = Gpu {
        index: index.or_else(|| u32::try_from(place).ok()).unwrap_or(0),
        name: cell(row, What::Name).map(str::to_owned),
        uuid: cell(row, What::Uuid).map(str::to_owned),
        pci_bus_id: cell(row, What::BusId).map(str::to_owned),
        vendor: Some("nvidia".into()),
        mem_total_mib: figure(row, What::MemoryTotal),
        mem_used_mib: figure(row, What::MemoryUsed),
        mem_free_mib: figure(row, What::MemoryFree),
        mem_reserved_mib: figure(row, What::MemoryReserved),
        power_cap_w: figure(row, What::PowerLimit).or_else(|| figure(row, What::EnforcedPowerLimit)),
        tlimit_margin_c: figure(row, What::TemperatureMargin),
        util_gpu_pct: figure(row, What::Utilization),
        util_mem_pct: figure(row, What::MemoryUtilization),
        ..Gpu::default()
    };
    let power = (figure(row, What::PowerAverage), figure(row, What::PowerDraw), figure(row, What::PowerInstant));
    (gpu.power_w, gpu.power_kind) = super::xml::power(power.0, power.1, power.2);
    // A GPU that states no average, where averages are asked for, draws at the moment (before Ampere).
    if power.0.is_none() && has(row, What::PowerAverage) && power.1.is_some() && power.1 == power.2 {
        gpu.power_kind = Some("instant".into());
    }
    gpu.instant_power_w = power.2;
    let put = |map: &mut BTreeMap<String, Figure>, key: &str, what: What| {
        if let Some(figure) = figure(row, what) {
            map.insert(key.to_owned(), figure);
        }
    };
    put(&mut gpu.temps_c, "gpu", What::Temperature);
    put(&mut gpu.temps_c, "memory", What::MemoryTemperature);
    put(&mut gpu.clocks_mhz, "graphics", What::GraphicsClock);
    put(&mut gpu.clocks_mhz, "sm", What::SmClock);
    put(&mut gpu.clocks_mhz, "mem", What::MemoryClock);
    put(&mut gpu.clocks_mhz, "video", What::VideoClock);
    let reasons = cell(row, What::ClockReasons).and_then(|text| text.strip_prefix("0x"));
    gpu.throttle = reasons.and_then(|hex| u64::from_str_radix(hex, 16).ok()).map(throttle);
    gpu.mig = (cell(row, What::MigMode) == Some("Enabled")).then_some(Mig { enabled: true, devices: None });
    gpu
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
    fn a_figure_in_another_unit_is_converted_and_one_without_a_unit_is_left_out_with_a_note() {
        let text = "index, memory.total [GiB], memory.used, Power.Draw\n0, 80, 83886080, 26780 mW\n";
        let snapshot = read_csv(text).unwrap();
        let gpu = &snapshot.gpus[0];
        assert_eq!((gpu.mem_total_mib, gpu.mem_used_mib), (Some(Figure::Whole(81_920)), None));
        assert_eq!(gpu.power_w, Some(Figure::Real(26.78)));
        assert_eq!(snapshot.notes.len(), 1);
        assert!(
            snapshot.notes[0].contains("memory.used is \"83886080\", without a known unit"),
            "{:?}",
            snapshot.notes
        );
    }

    #[test]
    fn a_column_that_nvidia_smi_is_not_known_to_have_is_named_and_a_remark_is_no_part_of_a_version() {
        let text =
            "index, fabric.state, flux.capacity, driver_version\n0, Completed, 12, 610.57.04 [Deprecated; use KMD]\n";
        let snapshot = read_csv(text).unwrap();
        assert_eq!(snapshot.driver_version.as_deref(), Some("610.57.04"));
        assert_eq!(snapshot.notes, ["the column `flux.capacity` is not known to be nvidia-smi's and is not read"]);
    }

    #[test]
    fn two_queries_of_different_figures_join_by_identity_or_by_place() {
        let by_index = "index, memory.used [MiB], memory.total [MiB]\n0, 10 MiB, 100 MiB\n1, 20 MiB, 100 MiB\n\
                        index, power.draw [W]\n1, 70.00 W\n0, [N/A]\n";
        let snapshot = read_csv(by_index).unwrap();
        assert_eq!(snapshot.gpu_count, 2);
        assert_eq!(
            (snapshot.gpus[1].mem_used_mib, snapshot.gpus[1].power_w),
            (Some(Figure::Whole(20)), Some(Figure::Real(70.0)))
        );
        assert_eq!((snapshot.gpus[0].mem_used_mib, snapshot.gpus[0].power_w), (Some(Figure::Whole(10)), None));
        assert!(snapshot.notes.is_empty(), "{:?}", snapshot.notes);
        let by_place =
            "memory.used [MiB]\n10 MiB\n20 MiB\nutilization.gpu [%], clocks.mem [MHz]\n1 %, 405 MHz\n2 %, 9501 MHz\n";
        let snapshot = read_csv(by_place).unwrap();
        let figures: Vec<_> = snapshot.gpus.iter().map(|gpu| (gpu.mem_used_mib, gpu.util_gpu_pct)).collect();
        let whole = |n| Some(Figure::Whole(n));
        assert_eq!(figures, [(whole(10), whole(1)), (whole(20), whole(2))]);
        assert_eq!(snapshot.gpus[1].clocks_mhz["mem"], Figure::Whole(9501));
    }

    #[test]
    fn what_a_terminal_puts_between_the_lines_is_passed_over() {
        let text = "user@node-7:~$ nvidia-smi --query-gpu=index,name --format=csv\nMon Nov 23 21:04:05 2026\n```csv\n\
                    index, name\n0, Tesla T4\n```\nUnable to determine the device handle for GPU1: 0000:05:00.0: Unknown Error\n\
                    $ nvidia-smi --query-compute-apps=pid,used_memory --format=csv\npid, used_gpu_memory [MiB]\n\
                    7, 12 MiB\nroot@node-7:/# \n";
        let snapshot = read_csv(text).unwrap();
        assert_eq!((snapshot.gpu_count, snapshot.gpus[0].name.as_deref()), (1, Some("Tesla T4")));
        assert_eq!(snapshot.gpus[0].processes.as_ref().unwrap()[0].pid, 7);
        assert!(snapshot.notes[0].contains("Unknown Error"), "{:?}", snapshot.notes);
    }

    #[test]
    fn lists_of_what_was_are_no_processes_and_no_gpus() {
        let past = "gpu_uuid, pid, gpu_utilization [%], mem_utilization [%], max_memory_usage [MiB], time [ms]\n\
                    GPU-1, 7, 3 %, 1 %, 300 MiB, 5 ms\n";
        let snapshot = read_csv(&format!("index, uuid\n0, GPU-1\n{past}")).unwrap();
        assert_eq!((snapshot.gpu_count, &snapshot.gpus[0].processes), (1, &None));
        assert!(snapshot.notes[0].contains("need not run"));
        let pages = "gpu_uuid, retired_pages.address, retired_pages.cause\nGPU-1, 0x1, Double Bit ECC\n";
        assert_eq!(read_csv(pages).unwrap().gpu_count, 0);
        assert!(read_csv("pid, used_gpu_memory [MiB]\n").unwrap().notes[0].contains("no row"));
    }

    #[test]
    fn more_gpus_than_a_machine_has_are_refused_before_each_is_compared_with_all() {
        let listed =
            |n: usize, head: &str| format!("{head}\n{}", (0..n).map(|i| format!("{i}, G{i}\n")).collect::<String>());
        assert_eq!(read_csv(&listed(MAX_GPUS, "index, uuid")).unwrap().gpu_count, MAX_GPUS);
        assert!(matches!(read_csv(&listed(MAX_GPUS + 1, "index, uuid")), Err(ReadError::TooManyGpus { line: 1026 })));
        let apps = read_csv(&listed(MAX_GPUS + 1, "pid, gpu_uuid"));
        assert!(matches!(apps, Err(ReadError::TooManyGpus { line: 1026 })));
        let said: String = (0..9 * MAX_NOTES).map(|n| format!("Failed to do {n}\n")).collect();
        let notes = read_csv(&format!("index\n0\n{said}")).unwrap().notes;
        assert_eq!((notes.len(), notes[MAX_NOTES].contains("left out")), (MAX_NOTES + 1, true));
    }

    #[test]
    fn rows_that_do_not_fit_the_header_are_an_error_with_their_line() {
        let torn = read_csv("index, memory.used [MiB]\n0, 1 MiB\n1\n");
        assert!(matches!(torn, Err(ReadError::Cells { line: 3, found: 1, expected: 2 })));
        assert!(matches!(read_csv("0, Tesla T4, 3 MiB\n"), Err(ReadError::NoHeader)));
    }
}
