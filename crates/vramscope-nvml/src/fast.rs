//! What is read at each tick: seven to nine calls of some microseconds each.

use std::path::Path;

use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use vramscope_core::{Bytes, DeviceIndex, Reading};
use vramscope_gpu::{GpuError, machine_memory};

use crate::backend::{NvmlBackend, call, is_too_old};
use crate::ffi::{self, Field};
use crate::support::{self, Support};
use crate::throttle;

/// `NVML_FI_DEV_POWER_AVERAGE`, `NVML_FI_DEV_POWER_INSTANT`, `NVML_FI_DEV_MEMORY_TEMP` (nvml.h).
const POWER_AVERAGE: u32 = 185;
const POWER_INSTANT: u32 = 186;
const MEMORY_TEMPERATURE: u32 = 82;
/// `NVML_POWER_SCOPE_GPU`: the GPU alone, not its module.
const GPU_SCOPE: u32 = 0;
/// Words in the names of GPUs that have no memory of their own.
pub(crate) const INTEGRATED: [&str; 5] = ["GB10", "Orin", "Thor", "Xavier", "Tegra"];

impl NvmlBackend {
    pub(crate) fn read_fast(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        let place = self.place(device)?;
        let mut reading = self.memory(place)?;
        self.utilization(place, &mut reading)?;
        self.power(place, &mut reading)?;
        self.state(place, &mut reading)?;
        Ok(reading)
    }

    /// Memory in use, apart from what the driver holds where the driver tells them apart.
    fn memory(&mut self, place: usize) -> Result<Reading, GpuError> {
        if self.cards[place].support.memory == Support::Never {
            return self.shared_memory(place);
        }
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        if card.support.memory_v2 == Support::Open {
            let device = ffi::device(nvml, card.handle);
            match meter.time(call::MEMORY, || device.memory_info()) {
                Ok(memory) => {
                    return Ok(Reading {
                        used: Bytes::new(memory.used),
                        total: Some(Bytes::new(memory.total)),
                        reserved: Some(Bytes::new(memory.reserved)),
                        ..Reading::default()
                    });
                }
                Err(error) if is_too_old(&error) => card.support.memory_v2 = Support::Never,
                Err(error) => return Err(support::error(card.index, "memory", &error)),
            }
        }
        let (total, used) = match meter.time(call::MEMORY, || ffi::memory_v1(nvml, card.handle)) {
            Ok(memory) => memory,
            Err(NvmlError::NotSupported) => {
                // Integrated GPUs (GB10, Jetson) have none of their own.
                let reading = self.shared_memory(place)?;
                self.cards[place].support.memory = Support::Never;
                return Ok(reading);
            }
            Err(error) => return Err(support::error(card.index, "memory", &error)),
        };
        Ok(Reading { used: Bytes::new(used), total: Some(Bytes::new(total)), ..Reading::default() })
    }

    /// Memory of a device that shares the CPU's: what the driver lists of its processes, out of the machine's.
    fn shared_memory(&mut self, place: usize) -> Result<Reading, GpuError> {
        let device = self.cards[place].index;
        let unsupported = GpuError::Unsupported { device, what: "memory" };
        let Some(processes) = self.list_processes(place)? else { return Err(unsupported) };
        let used: Option<Vec<Bytes>> = processes.iter().map(|process| process.used).collect();
        let Some(used) = used.and_then(Bytes::checked_sum) else { return Err(unsupported) };
        // An idle device lists nothing, which is zero only where its memory is known to be the CPU's.
        if processes.is_empty() && !self.is_integrated(place) {
            return Err(unsupported);
        }
        Ok(Reading { used, total: machine_memory(Path::new("/")).ok(), ..Reading::default() })
    }

    fn utilization(&mut self, place: usize, reading: &mut Reading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        if card.support.utilization == Support::Open {
            let device = ffi::device(nvml, card.handle);
            let answer = meter.time(call::UTILIZATION, || device.utilization_rates());
            if let Some(rates) = card.support.utilization.take(card.index, "utilization", answer)? {
                reading.utilization_pct = u8::try_from(rates.gpu).ok();
                reading.memory_utilization_pct = u8::try_from(rates.memory).ok();
            }
        }
        Ok(())
    }

    /// Power, and the memory's temperature, which is a field as well. Devices without the fields have one power figure.
    fn power(&mut self, place: usize, reading: &mut Reading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        let figures = &mut card.support;
        if figures.instant_power == Support::Open || figures.memory_temperature == Support::Open {
            let asked = [POWER_INSTANT, POWER_AVERAGE, MEMORY_TEMPERATURE].map(|id| Field { id, scope: GPU_SCOPE });
            let answer = meter.time(call::POWER_FIELDS, || ffi::fields(nvml, card.handle, asked));
            match answer {
                Ok([instant, average, memory]) => {
                    let instant = figures.instant_power.take(card.index, "power", instant)?;
                    reading.power_mw = instant.and_then(milliwatts);
                    reading.power_average_mw = average.ok().and_then(milliwatts);
                    let memory = figures.memory_temperature.take(card.index, "memory temperature", memory)?;
                    // A device without the sensor answers 0 with some drivers; no memory in use is that cold.
                    reading.memory_temperature_c = memory.and_then(|c| u32::try_from(c).ok()).filter(|&c| c > 0);
                }
                Err(error) => {
                    figures.instant_power.take::<()>(card.index, "power", Err(clone(&error)))?;
                    figures.memory_temperature.take::<()>(card.index, "memory temperature", Err(error))?;
                }
            }
        }
        if reading.power_mw.is_none() && figures.instant_power == Support::Never && figures.power == Support::Open {
            let device = ffi::device(nvml, card.handle);
            let answer = meter.time(call::POWER, || device.power_usage());
            reading.power_mw = card.support.power.take(card.index, "power", answer)?;
        }
        Ok(())
    }

    /// Temperature, clocks, and what holds them back.
    fn state(&mut self, place: usize, reading: &mut Reading) -> Result<(), GpuError> {
        let Self { nvml, cards, meter, .. } = self;
        let card = &mut cards[place];
        let device = ffi::device(nvml, card.handle);
        let figures = &mut card.support;
        if figures.temperature == Support::Open {
            let answer = meter.time(call::TEMPERATURE, || device.temperature(TemperatureSensor::Gpu));
            reading.temperature_c = figures.temperature.take(card.index, "temperature", answer)?;
        }
        if figures.sm_clock == Support::Open {
            let answer = meter.time(call::SM_CLOCK, || device.clock_info(Clock::SM));
            reading.sm_clock_mhz = figures.sm_clock.take(card.index, "shader clock", answer)?;
        }
        if figures.memory_clock == Support::Open {
            let answer = meter.time(call::MEMORY_CLOCK, || device.clock_info(Clock::Memory));
            reading.memory_clock_mhz = figures.memory_clock.take(card.index, "memory clock", answer)?;
        }
        if figures.throttle == Support::Open {
            let answer = meter.time(call::THROTTLE, || ffi::throttle_mask(nvml, card.handle));
            let mask = figures.throttle.take(card.index, "throttle reasons", answer)?;
            reading.throttle = mask.map(throttle::from_mask);
        }
        Ok(())
    }
}

fn milliwatts(value: u64) -> Option<u32> {
    u32::try_from(value).ok()
}

/// `NvmlError` is not `Clone`; of those that a call of several fields answers, only these matter apart.
fn clone(error: &NvmlError) -> NvmlError {
    match error {
        error if is_too_old(error) => NvmlError::NotSupported,
        NvmlError::GpuLost => NvmlError::GpuLost,
        NvmlError::ResetRequired => NvmlError::ResetRequired,
        NvmlError::Uninitialized => NvmlError::Uninitialized,
        NvmlError::NoPermission => NvmlError::NoPermission,
        _ => NvmlError::Unknown,
    }
}
