//! The figures of a sample by name.

use vramscope_core::Reading;

/// A figure of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Metric {
    /// Memory in use, in bytes.
    Used,
    /// Power, in milliwatts.
    Power,
    /// Share of time with a kernel running, in percent.
    Utilization,
    /// Share of time with memory traffic, in percent.
    MemoryUtilization,
    /// Core temperature, in degrees Celsius.
    Temperature,
    /// Memory temperature, in degrees Celsius.
    MemoryTemperature,
    /// Shader clock, in MHz.
    SmClock,
    /// Memory clock, in MHz.
    MemoryClock,
}

impl Metric {
    /// All figures, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Used,
        Self::Power,
        Self::Utilization,
        Self::MemoryUtilization,
        Self::Temperature,
        Self::MemoryTemperature,
        Self::SmClock,
        Self::MemoryClock,
    ];

    /// The name in documents: that of the timeline file's column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Used => "used_bytes",
            Self::Power => "power_mw",
            Self::Utilization => "util_gpu_pct",
            Self::MemoryUtilization => "util_mem_pct",
            Self::Temperature => "temp_c",
            Self::MemoryTemperature => "temp_mem_c",
            Self::SmClock => "sm_clock_mhz",
            Self::MemoryClock => "mem_clock_mhz",
        }
    }

    /// Its place in [`Self::ALL`].
    pub const fn place(self) -> usize {
        match self {
            Self::Used => 0,
            Self::Power => 1,
            Self::Utilization => 2,
            Self::MemoryUtilization => 3,
            Self::Temperature => 4,
            Self::MemoryTemperature => 5,
            Self::SmClock => 6,
            Self::MemoryClock => 7,
        }
    }

    /// The largest value that can be real, which bounds a sketch's memory.
    pub(crate) const fn most(self) -> u64 {
        match self {
            Self::Used => 1 << 44,
            Self::Power => 100_000_000,
            Self::Utilization | Self::MemoryUtilization => 1_000,
            Self::Temperature | Self::MemoryTemperature => 1_000,
            Self::SmClock | Self::MemoryClock => 100_000,
        }
    }

    /// The figure of a reading, if it has it.
    pub fn of(self, reading: &Reading) -> Option<u64> {
        match self {
            Self::Used => Some(reading.used.get()),
            Self::Power => reading.power_mw.map(u64::from),
            Self::Utilization => reading.utilization_pct.map(u64::from),
            Self::MemoryUtilization => reading.memory_utilization_pct.map(u64::from),
            Self::Temperature => reading.temperature_c.map(u64::from),
            Self::MemoryTemperature => reading.memory_temperature_c.map(u64::from),
            Self::SmClock => reading.sm_clock_mhz.map(u64::from),
            Self::MemoryClock => reading.memory_clock_mhz.map(u64::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_list() {
        for (place, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric.place(), place, "{metric:?}");
        }
    }
}
