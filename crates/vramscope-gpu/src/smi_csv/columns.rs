//! Which column holds what, and in which unit.

use crate::Figure;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum What {
    /// When the row was written.
    Timestamp,
    /// The GPU's place in the driver's list.
    Index,
    /// The marketing name.
    Name,
    /// The identity, as the driver prints it.
    Uuid,
    /// The PCI bus id.
    BusId,
    /// The version of the kernel driver.
    DriverVersion,
    /// The same as driver 610 names it.
    KmdVersion,
    /// All memory.
    MemoryTotal,
    /// Memory in use.
    MemoryUsed,
    /// Free memory.
    MemoryFree,
    /// Memory that the driver holds.
    MemoryReserved,
    /// Power of which the driver does not say what it is: an average since Ampere, before it the draw at the moment.
    PowerDraw,
    /// The draw at the moment.
    PowerInstant,
    /// Power averaged over the driver's window.
    PowerAverage,
    /// The power limit that is set.
    PowerLimit,
    /// The power limit in force.
    EnforcedPowerLimit,
    /// Core temperature, in degrees Celsius.
    Temperature,
    /// How far below its limit the GPU is, in degrees Celsius.
    TemperatureMargin,
    /// Memory temperature, in degrees Celsius.
    MemoryTemperature,
    /// Share of the driver's window with a kernel running.
    Utilization,
    /// Share of the driver's window with memory traffic.
    MemoryUtilization,
    /// Graphics clock.
    GraphicsClock,
    /// Shader clock.
    SmClock,
    /// Memory clock.
    MemoryClock,
    /// Video clock.
    VideoClock,
    /// What holds the clocks back, as the driver's bit mask.
    ClockReasons,
    /// Whether the GPU is in MIG mode.
    MigMode,
    /// The process id as the driver sees it.
    Pid,
    /// The program.
    ProcessName,
    /// Memory that a process holds.
    ProcessMemory,
}

const MIB: Option<&str> = Some("MiB");
const WATT: Option<&str> = Some("W");
const PERCENT: Option<&str> = Some("%");
const MHZ: Option<&str> = Some("MHz");

/// Names with the unit that nvidia-smi prints in the header or the cell. The first name of each column is the present
/// one; those behind it are older spellings and aliases.
const COLUMNS: &[(&str, What, Option<&str>)] = &[
    ("timestamp", What::Timestamp, None),
    ("index", What::Index, None),
    ("name", What::Name, None),
    ("gpu_name", What::Name, None),
    ("uuid", What::Uuid, None),
    ("gpu_uuid", What::Uuid, None),
    ("pci.bus_id", What::BusId, None),
    ("gpu_bus_id", What::BusId, None),
    ("driver_version", What::DriverVersion, None),
    ("kmd_version", What::KmdVersion, None),
    ("memory.total", What::MemoryTotal, MIB),
    ("memory.used", What::MemoryUsed, MIB),
    ("memory.free", What::MemoryFree, MIB),
    ("memory.reserved", What::MemoryReserved, MIB),
    ("power.draw", What::PowerDraw, WATT),
    ("power.draw.instant", What::PowerInstant, WATT),
    ("power.draw.average", What::PowerAverage, WATT),
    ("power.limit", What::PowerLimit, WATT),
    ("enforced.power.limit", What::EnforcedPowerLimit, WATT),
    ("temperature.gpu", What::Temperature, None),
    ("temperature.gpu.tlimit", What::TemperatureMargin, None),
    ("temperature.memory", What::MemoryTemperature, None),
    ("utilization.gpu", What::Utilization, PERCENT),
    ("utilization.memory", What::MemoryUtilization, PERCENT),
    ("clocks.current.graphics", What::GraphicsClock, MHZ),
    ("clocks.gr", What::GraphicsClock, MHZ),
    ("clocks.current.sm", What::SmClock, MHZ),
    ("clocks.sm", What::SmClock, MHZ),
    ("clocks.current.memory", What::MemoryClock, MHZ),
    ("clocks.mem", What::MemoryClock, MHZ),
    ("clocks.current.video", What::VideoClock, MHZ),
    ("clocks.video", What::VideoClock, MHZ),
    ("clocks_event_reasons.active", What::ClockReasons, None),
    ("clocks_throttle_reasons.active", What::ClockReasons, None),
    ("mig.mode.current", What::MigMode, None),
    ("pid", What::Pid, None),
    ("process_name", What::ProcessName, None),
    ("used_gpu_memory", What::ProcessMemory, MIB),
    ("used_memory", What::ProcessMemory, MIB),
];

impl What {
    /// The column of this name, in whatever case: a table that went through other tools may have another one.
    pub fn of(name: &str) -> Option<Self> {
        COLUMNS.iter().find(|column| column.0.eq_ignore_ascii_case(name)).map(|column| column.1)
    }

    fn row(self) -> Option<&'static (&'static str, Self, Option<&'static str>)> {
        COLUMNS.iter().find(|column| column.1 == self)
    }

    /// The present name.
    pub fn name(self) -> &'static str {
        self.row().map_or("", |column| column.0)
    }

    /// The unit that nvidia-smi prints: `MiB`, `W`, `%`, `MHz`.
    pub fn unit(self) -> Option<&'static str> {
        self.row().and_then(|column| column.2)
    }
}

/// A cell of the header: `memory.used [MiB]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'t> {
    /// The name as printed, without the unit.
    pub name: &'t str,
    /// What the column holds, if it is known.
    pub what: Option<What>,
    /// The unit that the header states.
    pub unit: Option<&'t str>,
}

impl<'t> Head<'t> {
    /// Reads a cell of the header.
    pub fn parse(cell: &'t str) -> Self {
        let cell = cell.trim();
        let (name, unit) = match cell.split_once('[') {
            Some((name, unit)) => (name.trim(), Some(unit.trim_end_matches(']').trim())),
            None => (cell, None),
        };
        Self { name, what: What::of(name), unit }
    }
}

/// Columns that nobody reads here, and by which a header line is known too.
const UNREAD: [&str; 2] = ["pstate", "compute_cap"];

/// What such a column may begin with instead.
const STARTS: [&str; 9] =
    ["pci.", "memory.", "utilization.", "power.", "enforced.", "temperature.", "clocks", "fan.speed", "mig.mode."];

/// Whether a line, of which nothing else says what it is, names columns of nvidia-smi: only known spellings, and no cell
/// that is a figure. A column `gpu` is amd-smi's.
pub fn is_header(line: &str) -> bool {
    let cells: Vec<&str> = line.split(',').map(|cell| Head::parse(cell).name).collect();
    let spelled = |cell: &&str| cell.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) && !cell.is_empty();
    let known = |cell: &&str| {
        let listed = COLUMNS.iter().map(|column| column.0).chain(UNREAD).any(|name| name == *cell);
        listed || STARTS.iter().any(|start| cell.starts_with(start))
    };
    let figure = cells.first().is_some_and(|cell| Figure::parse(cell).is_some());
    cells.iter().all(spelled) && cells.iter().any(known) && !figure && !cells.contains(&"gpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_column_in_any_case_and_old_spellings_to_the_present_one() {
        for (name, what, unit) in COLUMNS {
            assert_eq!((What::of(name), What::of(&name.to_uppercase())), (Some(*what), Some(*what)), "{name}");
            assert_eq!((What::of(what.name()), what.unit()), (Some(*what), *unit), "{name}");
        }
        assert_eq!(What::of("clocks.sm").map(What::name), Some("clocks.current.sm"));
        assert_eq!(What::of("ecc.mode.current"), None);
    }

    #[test]
    fn a_header_states_its_unit_and_rows_are_no_header() {
        let head = Head::parse(" utilization.gpu [%]");
        assert_eq!((head.name, head.what, head.unit), ("utilization.gpu", Some(What::Utilization), Some("%")));
        assert!(is_header("index, ecc.mode.current, memory.used [MiB]"));
        for other in ["0, Tesla T4, 3 MiB", "gpu, power.draw", "a, b", "index, some words", ""] {
            assert!(!is_header(other), "{other:?}");
        }
    }
}
