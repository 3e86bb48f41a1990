//! Which column holds what, and in which unit.

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
pub(super) struct Head {
    pub(super) kind: Column,
    pub(super) name: String,
    pub(super) unit: Option<String>,
}

/// Names of columns: ours first, then those of `nvidia-smi --help-query-gpu`. The units are ours; nvidia-smi prints
/// its own in the header.
const NAMES: &[(&str, Column, Option<&str>)] = &[
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
    ("timestamp", Column::Timestamp, None),
    ("index", Column::Index, None),
    ("memory.used", Column::Used, None),
    ("memory.total", Column::Total, None),
    ("memory.reserved", Column::Reserved, None),
    ("power.draw", Column::PowerAverage, None),
    ("power.draw.instant", Column::Power, None),
    ("power.draw.average", Column::PowerAverage, None),
    ("temperature.gpu", Column::Temperature, None),
    ("temperature.memory", Column::MemoryTemperature, None),
    ("utilization.gpu", Column::Utilization, None),
    ("utilization.memory", Column::MemoryUtilization, None),
    ("clocks.sm", Column::SmClock, None),
    ("clocks.current.sm", Column::SmClock, None),
    ("clocks.mem", Column::MemoryClock, None),
    ("clocks.current.memory", Column::MemoryClock, None),
    ("uuid", Column::Uuid, None),
    ("gpu_uuid", Column::Uuid, None),
    ("name", Column::Name, None),
    ("gpu_name", Column::Name, None),
    ("pci.bus_id", Column::PciBusId, None),
    ("gpu_bus_id", Column::PciBusId, None),
];

/// The header of a log.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    heads: Vec<Head>,
}

impl Columns {
    /// Reads the header line.
    pub(super) fn of_header(record: &csv::ByteRecord) -> Result<Self, GpuLogError> {
        let columns = Self { heads: record.iter().map(head).collect() };
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
                let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
                let found =
                    columns.heads.iter().take(12).map(|h| h.name.chars().take(40).map(shown).collect()).collect();
                Err(GpuLogError::MissingColumn { what, found })
            }
        }
    }

    fn has(&self, kind: Column) -> bool {
        self.heads.iter().any(|h| h.kind == kind)
    }

    /// Whether both kinds of power have their columns, so that neither stands for the other.
    pub(super) fn has_both_powers(&self) -> bool {
        self.has(Column::Power) && self.has(Column::PowerAverage)
    }

    /// How many cells a row has.
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The columns in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Head> {
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
        if self.has(Column::Index) { Vec::new() } else { vec![Note::NoIndexColumn] }
    }
}

/// Reads a header cell: `memory.used [MiB]`.
fn head(cell: &[u8]) -> Head {
    let cell = cell.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(cell);
    let text = String::from_utf8_lossy(cell.trim_ascii()).into_owned();
    let (name, printed) = match text.split_once('[') {
        Some((name, unit)) => (name.trim().to_owned(), Some(unit.trim_end_matches(']').trim().to_owned())),
        None => (text, None),
    };
    let known = NAMES.iter().find(|row| row.0.eq_ignore_ascii_case(&name));
    let (kind, unit) = known.map_or((Column::Other, None), |row| (row.1, row.2));
    Head { kind, unit: printed.or_else(|| unit.map(str::to_owned)), name }
}
