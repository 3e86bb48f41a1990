//! What is read about once a second: processes, errors, and the driver's buffer of power; and, more rarely, what takes
//! milliseconds a call: the energy counter (3 to 6 ms on an H100, 2 to 16 on an H200), the byte counters of links (2 ms
//! on an H100), and the buffer of utilisation (1.4 to 2.6 ms on an H100).

use std::collections::BTreeMap;

use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, PcieUtilCounter};
use vramscope_core::{Bytes, DeviceIndex, GpuProcess, ProcessKind, SlowReading};
use vramscope_gpu::GpuError;

use crate::backend::{NvmlBackend, call};
use crate::ffi::{self, Field, List, Listed};
use crate::support::Support;

/// `NVML_FI_DEV_PCIE_COUNT_TX_BYTES`, `…_RX_BYTES`, `NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX`, `…_RX` (nvml.h).
const PCIE_TX: u32 = 197;
const PCIE_RX: u32 = 198;
const LINK_TX: u32 = 138;
const LINK_RX: u32 = 139;
/// The scope that means all links together.
const ALL_LINKS: u32 = u32::MAX;
/// Link counters count KiB.
const LINK_UNIT: u64 = 1024;
/// `NVML_TOTAL_POWER_SAMPLES`, `NVML_GPU_UTILIZATION_SAMPLES` (nvml.h).
const POWER_SAMPLES: u32 = 0;
const UTILIZATION_SAMPLES: u32 = 1;
/// The longest program name that is asked for.
const NAME_LENGTH: usize = 256;

impl NvmlBackend {
    pub(crate) fn read_rest(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        let place = self.place(device)?;
        let mut reading = SlowReading { processes: self.list_processes(place)?, ..SlowReading::default() };
        self.power_limit(place, &mut reading)?;
        self.errors(place, &mut reading)?;
        self.buffered_power(place, &mut reading)?;
        Ok(reading)
    }

    pub(crate) fn read_dear(&mut self, device: DeviceIndex, into: &mut SlowReading) -> Result<(), GpuError> {
        let place = self.place(device)?;
        self.energy(place, into)?;
        self.links(place, into)?;
        self.pcie(place, into)?;
        self.buffered_utilization(place, into)
    }

    /// The processes, each once, or `None` where the device does not list them.
    pub(crate) fn list_processes(&mut self, place: usize) -> Result<Option<Vec<GpuProcess>>, GpuError> {
        let Self { nvml, cards, meter, buffer, .. } = self;
        let card = &mut cards[place];
        let figures = &mut card.support;
        let lists = [
            (List::Compute, ProcessKind::Compute, &mut figures.compute_processes),
            (List::Mps, ProcessKind::Compute, &mut figures.mps_processes),
            (List::Graphics, ProcessKind::Graphics, &mut figures.graphics_processes),
        ];
        let mut found: BTreeMap<u32, GpuProcess> = BTreeMap::new();
        let mut any = false;
        for (list, kind, support) in lists {
            if *support == Support::Never {
                continue;
            }
            let answer = meter.time(call::PROCESSES, || buffer.list(nvml, card.handle, list));
            let Some(listed) = support.take(card.index, "processes", answer)? else { continue };
            plausible(card.index, card.total, &listed)?;
            any = true;
            listed.into_iter().for_each(|one| join(&mut found, one, kind));
        }
        if !any {
            return Ok(None);
        }
        self.name(&mut found);
        Ok(Some(found.into_values().collect()))
    }

    /// Names are asked for once a process; those of processes that ended are forgotten.
    fn name(&mut self, found: &mut BTreeMap<u32, GpuProcess>) {
        let Self { nvml, meter, names, .. } = self;
        names.retain(|pid, _| found.contains_key(pid));
        for process in found.values_mut() {
            let name = names.entry(process.pid).or_insert_with(|| {
                let answer = meter.time(call::PROCESS_NAME, || nvml.sys_process_name(process.pid, NAME_LENGTH));
                answer.ok().filter(|name| !name.is_empty())
            });
            process.name.clone_from(name);
        }
    }

    fn energy(&mut self, place: usize, reading: &mut SlowReading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        if card.support.energy == Support::Open {
            let device = ffi::device(nvml, card.handle);
            let answer = meter.time(call::ENERGY, || device.total_energy_consumption());
            reading.energy_mj = card.support.energy.take(card.index, "energy", answer)?;
        }
        Ok(())
    }

    fn power_limit(&mut self, place: usize, reading: &mut SlowReading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        let device = ffi::device(nvml, card.handle);
        if card.support.power_limit == Support::Open {
            let answer = meter.time(call::POWER_LIMIT, || device.enforced_power_limit());
            reading.power_limit_mw = card.support.power_limit.take(card.index, "power limit", answer)?;
        }
        Ok(())
    }

    /// Byte counters of PCIe and NVLink, in one call.
    fn links(&mut self, place: usize, reading: &mut SlowReading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        let figures = &mut card.support;
        if figures.pcie_counters == Support::Never && figures.link_counters == Support::Never {
            return Ok(());
        }
        let asked = [
            Field { id: PCIE_TX, scope: 0 },
            Field { id: PCIE_RX, scope: 0 },
            Field { id: LINK_TX, scope: ALL_LINKS },
            Field { id: LINK_RX, scope: ALL_LINKS },
        ];
        let answer = meter.time(call::COUNTER_FIELDS, || ffi::fields(nvml, card.handle, asked));
        match answer {
            Ok([pcie_tx, pcie_rx, link_tx, link_rx]) => {
                reading.pcie_tx_bytes = figures.pcie_counters.take(card.index, "PCIe counters", pcie_tx)?;
                reading.pcie_rx_bytes = figures.pcie_counters.take(card.index, "PCIe counters", pcie_rx)?;
                let kib = |count: Option<u64>| count.and_then(|count| count.checked_mul(LINK_UNIT));
                reading.link_tx_bytes = kib(figures.link_counters.take(card.index, "NVLink counters", link_tx)?);
                reading.link_rx_bytes = kib(figures.link_counters.take(card.index, "NVLink counters", link_rx)?);
            }
            Err(error) => {
                figures.pcie_counters.take::<()>(card.index, "PCIe counters", Err(error))?;
                if figures.pcie_counters == Support::Never {
                    figures.link_counters = Support::Never;
                }
            }
        }
        Ok(())
    }

    /// The PCIe rate that the driver samples for 20 ms a call, where that was asked for and there are no counters.
    fn pcie(&mut self, place: usize, reading: &mut SlowReading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        let wanted = self.pcie_rate && card.support.pcie_counters == Support::Never;
        if !wanted || card.support.pcie_rate == Support::Never {
            return Ok(());
        }
        let device = ffi::device(nvml, card.handle);
        let mut rate = |counter| {
            let answer = meter.time(call::PCIE_RATE, || device.pcie_throughput(counter));
            let kib = card.support.pcie_rate.take(card.index, "PCIe rate", answer)?;
            Ok(kib.map(|kib| u64::from(kib) * 1024))
        };
        reading.pcie_tx_bytes_per_s = rate(PcieUtilCounter::Send)?;
        reading.pcie_rx_bytes_per_s = rate(PcieUtilCounter::Receive)?;
        Ok(())
    }

    fn errors(&mut self, place: usize, reading: &mut SlowReading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        if card.support.ecc == Support::Never {
            return Ok(());
        }
        let device = ffi::device(nvml, card.handle);
        let mut count = |kind| {
            let answer = meter.time(call::ECC, || device.total_ecc_errors(kind, EccCounter::Volatile));
            card.support.ecc.take(card.index, "memory errors", answer)
        };
        reading.ecc_corrected = count(MemoryError::Corrected)?;
        reading.ecc_uncorrected = count(MemoryError::Uncorrected)?;
        Ok(())
    }

    /// What the driver's own buffer held since it was read last: finer than polling. Its clock is the driver's and is
    /// compared with itself only. An idle device's buffer runs dry, which is no failure.
    fn buffered_utilization(&mut self, place: usize, reading: &mut SlowReading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        let figures = &mut card.support;
        if figures.buffered_utilization == Support::Open {
            let since = card.buffered_utilization.unwrap_or(0);
            let answer =
                meter.time(call::BUFFERED_UTILIZATION, || ffi::buffered(nvml, card.handle, UTILIZATION_SAMPLES, since));
            let new = figures.buffered_utilization.take(card.index, "buffered utilisation", answer)?.flatten();
            // The first answer reaches back before the recording.
            if let (Some(_), Some(new)) = (card.buffered_utilization, new) {
                reading.buffered_utilization_max_pct = u8::try_from(new.max).ok();
            }
            card.buffered_utilization = new.map(|new| new.newest).or(card.buffered_utilization);
        }
        Ok(())
    }

    /// As for utilisation.
    fn buffered_power(&mut self, place: usize, reading: &mut SlowReading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        let figures = &mut card.support;
        if figures.buffered_power == Support::Open {
            let since = card.buffered_power.unwrap_or(0);
            let answer = meter.time(call::BUFFERED_POWER, || ffi::buffered(nvml, card.handle, POWER_SAMPLES, since));
            let new = figures.buffered_power.take(card.index, "buffered power", answer)?.flatten();
            if let (Some(_), Some(new)) = (card.buffered_power, new) {
                reading.buffered_power_max_mw = u32::try_from(new.max).ok();
                reading.buffered_power_mean_mw = new.sum.checked_div(new.count).and_then(|mw| u32::try_from(mw).ok());
            }
            card.buffered_power = new.map(|new| new.newest).or(card.buffered_power);
        }
        Ok(())
    }
}

/// Early drivers 535 changed the entries' size without a new version of the call; the lists were then nonsense. A list
/// with a process 0 or with more memory than the device has is dropped.
fn plausible(device: DeviceIndex, total: Option<Bytes>, listed: &[Listed]) -> Result<(), GpuError> {
    let most = total.map_or(u64::MAX, Bytes::get);
    let odd = listed.iter().any(|process| process.pid == 0 || process.used.is_some_and(|used| used > most));
    if odd {
        let detail = "a list of processes that cannot be (driver 535.43 to 535.86 do; update the driver)".into();
        return Err(GpuError::Driver { device, what: "processes", detail });
    }
    Ok(())
}

fn join(found: &mut BTreeMap<u32, GpuProcess>, one: Listed, kind: ProcessKind) {
    let used = one.used.map(Bytes::new);
    let entry =
        found.entry(one.pid).or_insert_with(|| GpuProcess { used, kind: Some(kind), ..GpuProcess::unnamed(one.pid) });
    if entry.kind != Some(kind) {
        entry.kind = Some(ProcessKind::Both);
    }
    // Both lists state the whole process.
    entry.used = entry.used.max(used);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(pid: u32, used: Option<u64>) -> Listed {
        Listed { pid, used }
    }

    #[test]
    fn a_process_in_two_lists_is_one_process_that_does_both() {
        let mut found = BTreeMap::new();
        join(&mut found, listed(7, Some(5)), ProcessKind::Compute);
        join(&mut found, listed(7, Some(5)), ProcessKind::Graphics);
        join(&mut found, listed(8, None), ProcessKind::Graphics);
        assert_eq!(found[&7].kind, Some(ProcessKind::Both));
        assert_eq!(found[&7].used, Some(Bytes::new(5)));
        assert_eq!((found[&8].kind, found[&8].used), (Some(ProcessKind::Graphics), None));
    }

    #[test]
    fn a_list_that_cannot_be_is_dropped() {
        let total = Some(Bytes::new(100));
        assert!(plausible(DeviceIndex(0), total, &[listed(1, Some(100)), listed(2, None)]).is_ok());
        assert!(plausible(DeviceIndex(0), total, &[listed(0, Some(1))]).is_err());
        assert!(plausible(DeviceIndex(0), total, &[listed(1, Some(101))]).is_err());
    }
}
