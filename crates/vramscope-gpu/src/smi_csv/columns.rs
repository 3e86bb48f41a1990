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

/// Names. The first one of each column is the present one; those behind it are older spellings and aliases.
const COLUMNS: &[(&str, What)] = &[
    ("timestamp", What::Timestamp),
    ("index", What::Index),
    ("name", What::Name),
    ("gpu_name", What::Name),
    ("uuid", What::Uuid),
    ("gpu_uuid", What::Uuid),
    ("pci.bus_id", What::BusId),
    ("gpu_bus_id", What::BusId),
    ("driver_version", What::DriverVersion),
    ("kmd_version", What::KmdVersion),
    ("memory.total", What::MemoryTotal),
    ("memory.used", What::MemoryUsed),
    ("memory.free", What::MemoryFree),
    ("memory.reserved", What::MemoryReserved),
    ("power.draw", What::PowerDraw),
    ("power.draw.instant", What::PowerInstant),
    ("power.draw.average", What::PowerAverage),
    ("power.limit", What::PowerLimit),
    ("enforced.power.limit", What::EnforcedPowerLimit),
    ("temperature.gpu", What::Temperature),
    ("temperature.gpu.tlimit", What::TemperatureMargin),
    ("temperature.memory", What::MemoryTemperature),
    ("utilization.gpu", What::Utilization),
    ("utilization.memory", What::MemoryUtilization),
    ("clocks.current.graphics", What::GraphicsClock),
    ("clocks.gr", What::GraphicsClock),
    ("clocks.current.sm", What::SmClock),
    ("clocks.sm", What::SmClock),
    ("clocks.current.memory", What::MemoryClock),
    ("clocks.mem", What::MemoryClock),
    ("clocks.current.video", What::VideoClock),
    ("clocks.video", What::VideoClock),
    ("clocks_event_reasons.active", What::ClockReasons),
    ("clocks_throttle_reasons.active", What::ClockReasons),
    ("mig.mode.current", What::MigMode),
    ("pid", What::Pid),
    ("process_name", What::ProcessName),
    ("used_gpu_memory", What::ProcessMemory),
    ("used_memory", What::ProcessMemory),
];

impl What {
    /// The column of this name, in whatever case: a table that went through other tools may have another one.
    pub fn of(name: &str) -> Option<Self> {
        COLUMNS.iter().find(|column| column.0.eq_ignore_ascii_case(name)).map(|column| column.1)
    }

    /// The present name.
    pub fn name(self) -> &'static str {
        COLUMNS.iter().find(|column| column.1 == self).map_or("", |column| column.0)
    }

    /// The unit that nvidia-smi prints in the header or the cell: `MiB`, `W`, `%`, `MHz`.
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::MemoryTotal | Self::MemoryUsed | Self::MemoryFree | Self::MemoryReserved | Self::ProcessMemory => {
                Some("MiB")
            }
            Self::PowerDraw | Self::PowerInstant | Self::PowerAverage | Self::PowerLimit | Self::EnforcedPowerLimit => {
                Some("W")
            }
            Self::Utilization | Self::MemoryUtilization => Some("%"),
            Self::GraphicsClock | Self::SmClock | Self::MemoryClock | Self::VideoClock => Some("MHz"),
            _ => None,
        }
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
const UNREAD: [&str; 7] =
    ["pstate", "compute_cap", "persistence_mode", "compute_mode", "display_active", "display_mode", "vbios_version"];

/// What such a column may begin with instead.
const STARTS: [&str; 17] = [
    "pci.",
    "pcie.",
    "memory.",
    "utilization.",
    "power.",
    "enforced.",
    "temperature.",
    "clocks",
    "fan.speed",
    "mig.mode.",
    "ecc.",
    "encoder.",
    "retired_pages",
    "remapped_rows",
    "inforom.",
    "driver_model.",
    "accounting.",
];

/// Columns that tables of anything have. A header of these alone is nvidia-smi's only if it has no other word.
const OF_ANY_TABLE: [&str; 5] = ["timestamp", "index", "name", "uuid", "pid"];

/// Further columns of `nvidia-smi --help-query-gpu`, `--help-query-accounted-apps` and their like, or what they begin
/// with, that do not tell a header from that of another table.
const OTHER: [&str; 21] = [
    "accounting.",
    "addressing_mode",
    "board_id",
    "c2c.mode",
    "count",
    "display_attached",
    "dramencryption.",
    "fabric.",
    "gom.",
    "gpu_serial",
    "gpu_utilization",
    "gsp.mode.",
    "hostname",
    "max_memory_usage",
    "mem_utilization",
    "module.",
    "platform.",
    "product_brand",
    "protected_memory.",
    "serial",
    "time",
];

/// Whether nvidia-smi is known to name a column so, whether or not it is read here.
///
/// ```
/// use vramscope_gpu::smi_csv::is_column;
/// assert!(is_column("memory.used") && is_column("fabric.state") && !is_column("timeline"));
/// ```
pub fn is_column(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is = |known: &str| name == known || (known.ends_with('.') && name.starts_with(known));
    let listed = COLUMNS.iter().map(|column| column.0).chain(UNREAD).chain(OTHER).any(is);
    listed || STARTS.iter().any(|start| name.starts_with(start))
}

/// Whether a line, of which nothing else says what it is, names columns of nvidia-smi: a word of its own, or none but
/// such as it uses too, and no cell that is a figure. A column `gpu` is amd-smi's.
pub fn is_header(line: &str) -> bool {
    let cells: Vec<&str> = line.split(',').map(|cell| Head::parse(cell).name).collect();
    let spelled = |cell: &&str| cell.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) && !cell.is_empty();
    let known = |cell: &&str| {
        let listed = COLUMNS.iter().map(|column| column.0).chain(UNREAD).any(|name| name == *cell);
        listed || STARTS.iter().any(|start| cell.starts_with(start))
    };
    let figure = cells.first().is_some_and(|cell| Figure::parse(cell).is_some());
    let own = |cell: &&str| known(cell) && !OF_ANY_TABLE.contains(cell);
    let named = cells.iter().any(own) || cells.iter().all(known);
    cells.iter().all(spelled) && named && !figure && !cells.contains(&"gpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_column_in_any_case_and_old_spellings_to_the_present_one() {
        for (name, what) in COLUMNS {
            assert_eq!((What::of(name), What::of(&name.to_uppercase())), (Some(*what), Some(*what)), "{name}");
            assert_eq!(What::of(what.name()), Some(*what), "{name}");
        }
        assert_eq!(What::of("clocks.sm").map(What::name), Some("clocks.current.sm"));
        assert_eq!(What::of("ecc.mode.current"), None);
        assert_eq!(
            (What::ProcessMemory.unit(), What::PowerLimit.unit(), What::Pid.unit()),
            (Some("MiB"), Some("W"), None)
        );
    }

    #[test]
    fn a_header_states_its_unit_and_rows_are_no_header() {
        let head = Head::parse(" utilization.gpu [%]");
        assert_eq!((head.name, head.what, head.unit), ("utilization.gpu", Some(What::Utilization), Some("%")));
        assert!(is_header("index, ecc.mode.current, memory.used [MiB]"));
        for ours in ["name", "index, name, uuid", "name, ecc.mode.current", "pid, used_memory"] {
            assert!(is_header(ours), "{ours:?}");
        }
        for of_anything in ["name,score", "index,name,age", "timestamp,value", "pid,user", "uuid,owner"] {
            assert!(!is_header(of_anything), "{of_anything:?}");
        }
        for other in ["0, Tesla T4, 3 MiB", "gpu, power.draw", "a, b", "index, some words", ""] {
            assert!(!is_header(other), "{other:?}");
        }
    }
}
