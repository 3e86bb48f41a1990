//! The columns of a GPU log: those of our own recordings, beside those of nvidia-smi, which `vramscope-gpu` names.

use vramscope_core::on_one_line;
use vramscope_gpu::smi_csv::{Head, What};

use crate::evidence::gpu_log::{Clock, GpuLogError, Note};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Timestamp,
    Index,
    Used,
    Total,
    Reserved,
    Power,
    PowerAverage,
    Temperature,
    MemoryTemperature,
    Utilization,
    MemoryUtilization,
    SmClock,
    MemoryClock,
    Energy,
    Throttle,
    Uuid,
    Name,
    PciBusId,
    Processes,
    Other,
}

/// A column with its name and the unit that its header states.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    pub(super) kind: Column,
    name: String,
    what: Option<What>,
    unit: Option<String>,
}

impl Heading {
    /// As the readers of cells take it.
    pub(super) fn head(&self) -> Head<'_> {
        Head { name: &self.name, what: self.what, unit: self.unit.as_deref() }
    }
}

/// The columns of our own recordings, with their units; those of nvidia-smi are in `vramscope-gpu`.
const OURS: &[(&str, Column, Option<&str>)] = &[
    ("timestamp_ns", Column::Timestamp, Some("ns")),
    ("gpu_index", Column::Index, None),
    ("used_bytes", Column::Used, Some("B")),
    ("total_bytes", Column::Total, Some("B")),
    ("reserved_bytes", Column::Reserved, Some("B")),
    ("power_mw", Column::Power, Some("mW")),
    ("power_avg_mw", Column::PowerAverage, Some("mW")),
    ("temp_c", Column::Temperature, None),
    ("temp_mem_c", Column::MemoryTemperature, None),
    ("mem_temp_c", Column::MemoryTemperature, None),
    ("util_gpu_pct", Column::Utilization, Some("%")),
    ("util_mem_pct", Column::MemoryUtilization, Some("%")),
    ("sm_clock_mhz", Column::SmClock, Some("MHz")),
    ("mem_clock_mhz", Column::MemoryClock, Some("MHz")),
    ("energy_mj", Column::Energy, Some("mJ")),
    ("throttle", Column::Throttle, None),
    ("processes", Column::Processes, None),
];

impl From<What> for Column {
    fn from(what: What) -> Self {
        match what {
            What::Timestamp => Self::Timestamp,
            What::Index => Self::Index,
            What::MemoryUsed => Self::Used,
            What::MemoryTotal => Self::Total,
            What::MemoryReserved => Self::Reserved,
            What::PowerInstant => Self::Power,
            What::PowerDraw | What::PowerAverage => Self::PowerAverage,
            What::Temperature => Self::Temperature,
            What::MemoryTemperature => Self::MemoryTemperature,
            What::Utilization => Self::Utilization,
            What::MemoryUtilization => Self::MemoryUtilization,
            What::SmClock => Self::SmClock,
            What::MemoryClock => Self::MemoryClock,
            What::Uuid => Self::Uuid,
            What::Name => Self::Name,
            What::BusId => Self::PciBusId,
            _ => Self::Other,
        }
    }
}

/// The header of a log.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    heads: Vec<Heading>,
    /// Where what is asked of each row stands, so that no row looks for it.
    has_both_powers: bool,
    processes: Option<usize>,
    name_in_place_of_index: Option<usize>,
}

impl Columns {
    /// Reads the header line.
    pub(super) fn of_header(record: &csv::ByteRecord) -> Result<Self, GpuLogError> {
        let heads: Vec<Heading> = record.iter().map(heading).collect();
        let place = |kind| heads.iter().position(|head| head.kind == kind);
        let columns = Self {
            has_both_powers: place(Column::Power).is_some() && place(Column::PowerAverage).is_some(),
            processes: place(Column::Processes),
            name_in_place_of_index: match place(Column::Index) {
                Some(_) => None,
                None => place(Column::Uuid).or_else(|| place(Column::PciBusId)),
            },
            heads,
        };
        let missing = |kind, what| if columns.has(kind) { None } else { Some(what) };
        let wanted = [
            missing(
                Column::Timestamp,
                "a time (timestamp_ns, timestamp as nvidia-smi prints it, or both of nvidia-smi dmon -o DT)",
            ),
            missing(Column::Used, "the memory in use (used_bytes, memory.used, or fb of nvidia-smi dmon -s m)"),
        ];
        match wanted.into_iter().flatten().next() {
            None => Ok(columns),
            Some(what) => {
                // The file may be anything, and a terminal obeys what it is shown.
                let shown = |name: &str| on_one_line(&name.chars().take(40).collect::<String>());
                let found = columns.heads.iter().take(12).map(|h| shown(&h.name)).collect();
                Err(GpuLogError::MissingColumn { what, found })
            }
        }
    }

    fn has(&self, kind: Column) -> bool {
        self.heads.iter().any(|h| h.kind == kind)
    }

    /// Whether both kinds of power have their columns, so that neither stands for the other.
    pub(super) fn has_both_powers(&self) -> bool {
        self.has_both_powers
    }

    /// How many cells a row has.
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The columns in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Heading> {
        self.heads.iter()
    }

    /// Whether a row is the header once more.
    pub(super) fn repeats(&self, record: &csv::ByteRecord) -> bool {
        record.len() == self.heads.len()
            && record.iter().zip(&self.heads).all(|(cell, head)| {
                let name = head.name.as_bytes();
                cell.trim_ascii().get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
    }

    /// Which clock the times are of.
    pub(super) fn clock(&self) -> Clock {
        let unit = self.heads.iter().find(|h| h.kind == Column::Timestamp).and_then(|h| h.unit.as_deref());
        if unit == Some("ns") { Clock::Utc } else { Clock::LocalUnknown }
    }

    /// What a reader of the log should know of its columns.
    pub(super) fn notes(&self) -> Vec<Note> {
        let names = self.has(Column::Index) || self.name_in_place_of_index().is_some();
        if names { Vec::new() } else { vec![Note::NoIndexColumn] }
    }

    /// The column that tells devices apart where no index does: the UUID, else the bus address.
    pub(super) fn name_in_place_of_index(&self) -> Option<usize> {
        self.name_in_place_of_index
    }

    /// The column of what processes hold.
    pub(super) fn processes(&self) -> Option<usize> {
        self.processes
    }
}

/// Reads a header cell: `memory.used [MiB]`.
fn heading(cell: &[u8]) -> Heading {
    let cell = cell.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(cell);
    let text = String::from_utf8_lossy(cell);
    let Head { name, what, unit } = Head::parse(&text);
    let ours = OURS.iter().find(|row| row.0.eq_ignore_ascii_case(name));
    let kind = ours.map_or_else(|| what.map_or(Column::Other, Column::from), |row| row.1);
    let unit = unit.or(ours.and_then(|row| row.2)).map(str::to_owned);
    Heading { kind, name: name.to_owned(), what, unit }
}
