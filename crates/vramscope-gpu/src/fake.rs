//! A backend that follows a script.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use vramscope_core::{Bytes, Device, DeviceIndex, GpuProcess, Reading, SlowReading, Vendor};

use crate::{BackendInfo, GpuBackend, GpuError};

/// What a scripted device does at one reading.
#[derive(Debug, Clone)]
pub enum Step {
    /// It answers.
    Read(Reading),
    /// It answers the same so many times.
    Hold(Reading, u64),
    /// It fails once.
    Fail(GpuError),
    /// It is gone from here on.
    Lose,
    /// The call takes so long, then the next step happens.
    Delay(Duration),
}

/// How a scripted delay is spent: by sleeping, or by moving a simulated clock.
pub type Pause = Arc<dyn Fn(Duration) + Send + Sync>;

/// A scripted backend. After the last step of its script a device repeats its last answer.
///
/// ```
/// use std::time::Duration;
/// use vramscope_core::{Bytes, DeviceIndex, Reading};
/// use vramscope_gpu::{FakeGpu, GpuBackend as _, Step};
///
/// let full = Reading { used: Bytes::new(1 << 30), ..Reading::default() };
/// let mut gpu = FakeGpu::steady(1).script(DeviceIndex(0), [Step::Read(full), Step::Lose]);
/// assert_eq!(gpu.read(DeviceIndex(0)).unwrap().used, full.used);
/// assert!(gpu.read(DeviceIndex(0)).is_err());
/// ```
#[derive(Clone)]
pub struct FakeGpu {
    devices: Vec<Device>,
    scripts: Vec<Script>,
    pause: Pause,
    slow_apart: bool,
}

#[derive(Clone, Default)]
struct Script {
    steps: VecDeque<Step>,
    last: Reading,
    slow: SlowReading,
    slow_failure: Option<GpuError>,
    counts: VecDeque<Result<u64, GpuError>>,
    lost: bool,
}

impl std::fmt::Debug for FakeGpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeGpu").field("devices", &self.devices).finish_non_exhaustive()
    }
}

/// The memory of a scripted device unless told otherwise.
const TOTAL: Bytes = Bytes::new(80 << 30);

impl FakeGpu {
    /// So many idle devices of 80 GiB that answer zero everywhere.
    pub fn steady(devices: u32) -> Self {
        Self::of((0..devices).map(|n| Device {
            uuid: Some(format!("FAKE-{n:08}")),
            name: Some("Scripted GPU".into()),
            pci_bus_id: Some(format!("0000:{n:02x}:00.0")),
            vendor: Some(Vendor::Nvidia),
            total: Some(TOTAL),
            ..Device::unnamed(DeviceIndex(n))
        }))
    }

    /// These devices, idle.
    pub fn of(devices: impl IntoIterator<Item = Device>) -> Self {
        let devices: Vec<Device> = devices.into_iter().collect();
        let scripts = devices.iter().map(|device| Script { last: idle(device), ..Script::default() }).collect();
        Self { devices, scripts, pause: Arc::new(std::thread::sleep), slow_apart: false }
    }

    /// Adds steps to a device's script.
    #[must_use]
    pub fn script(mut self, device: DeviceIndex, steps: impl IntoIterator<Item = Step>) -> Self {
        if let Ok(place) = self.place(device) {
            self.scripts[place].steps.extend(steps);
        }
        self
    }

    /// Sets what slow readings of a device answer.
    #[must_use]
    pub fn slow(mut self, device: DeviceIndex, reading: SlowReading) -> Self {
        if let Ok(place) = self.place(device) {
            self.scripts[place].slow = reading;
        }
        self
    }

    /// Has every slow reading of a device fail.
    #[must_use]
    pub fn slow_fails(mut self, device: DeviceIndex, error: GpuError) -> Self {
        if let Ok(place) = self.place(device) {
            self.scripts[place].slow_failure = Some(error);
        }
        self
    }

    /// Sets what a device's energy counter, in millijoules, answers to one rare reading after the other; the last answer
    /// repeats.
    #[must_use]
    pub fn rare_energy(
        mut self,
        device: DeviceIndex,
        answers_mj: impl IntoIterator<Item = Result<u64, GpuError>>,
    ) -> Self {
        if let Ok(place) = self.place(device) {
            self.scripts[place].counts.extend(answers_mj);
        }
        self
    }

    /// Spends delays by other means than sleeping.
    #[must_use]
    pub fn paused_by(mut self, pause: Pause) -> Self {
        self.pause = pause;
        self
    }

    /// Offers a second handle for slow readings.
    #[must_use]
    pub fn with_slow_handle(mut self) -> Self {
        self.slow_apart = true;
        self
    }

    fn place(&self, device: DeviceIndex) -> Result<usize, GpuError> {
        self.devices.iter().position(|d| d.index == device).ok_or(GpuError::NoSuchDevice { device })
    }

    fn next(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        let place = self.place(device)?;
        let lost = || GpuError::Lost { device, what: "memory", detail: "so the script says".into() };
        loop {
            let script = &mut self.scripts[place];
            if script.lost {
                return Err(lost());
            }
            match script.steps.pop_front() {
                None => return Ok(script.last),
                Some(Step::Read(reading)) => {
                    script.last = reading;
                    return Ok(reading);
                }
                Some(Step::Hold(reading, times)) => {
                    if times > 1 {
                        script.steps.push_front(Step::Hold(reading, times - 1));
                    }
                    script.last = reading;
                    return Ok(reading);
                }
                Some(Step::Fail(error)) => return Err(error),
                Some(Step::Lose) => script.lost = true,
                Some(Step::Delay(time)) => (self.pause)(time),
            }
        }
    }
}

fn idle(device: &Device) -> Reading {
    Reading {
        total: device.total,
        power_mw: Some(0),
        utilization_pct: Some(0),
        memory_utilization_pct: Some(0),
        ..Reading::default()
    }
}

impl GpuBackend for FakeGpu {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        self.next(device)
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        let place = self.place(device)?;
        self.scripts[place].slow.processes.clone().ok_or(GpuError::Unsupported { device, what: "processes" })
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        let place = self.place(device)?;
        let script = &self.scripts[place];
        script.slow_failure.clone().map_or_else(|| Ok(script.slow.clone()), Err)
    }

    fn read_rare(&mut self, device: DeviceIndex, into: &mut SlowReading) -> Result<(), GpuError> {
        let place = self.place(device)?;
        let counts = &mut self.scripts[place].counts;
        let answer = if counts.len() > 1 { counts.pop_front() } else { counts.front().cloned() };
        if let Some(answer) = answer {
            into.energy_mj = Some(answer?);
        }
        Ok(())
    }

    fn info(&self) -> BackendInfo {
        BackendInfo { notes: vec!["scripted readings, no device".into()], ..BackendInfo::default() }
    }

    fn slow_handle(&mut self) -> Option<Box<dyn GpuBackend>> {
        self.slow_apart.then(|| Box::new(self.clone()) as Box<dyn GpuBackend>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_followed_step_by_step_and_its_end_repeats() {
        let one = Reading { used: Bytes::new(1), ..Reading::default() };
        let two = Reading { used: Bytes::new(2), ..Reading::default() };
        let device = DeviceIndex(0);
        let failure = GpuError::Timeout { device, what: "memory" };
        let steps = [Step::Hold(one, 2), Step::Fail(failure.clone()), Step::Read(two)];
        let mut gpu = FakeGpu::steady(1).script(device, steps);
        let answers: Vec<_> = (0..5).map(|_| gpu.read(device)).collect();
        assert_eq!(answers, [Ok(one), Ok(one), Err(failure), Ok(two), Ok(two)]);
    }

    #[test]
    fn a_device_that_is_not_listed_is_an_error_of_its_own() {
        let missing = FakeGpu::steady(1).read(DeviceIndex(7));
        assert_eq!(missing, Err(GpuError::NoSuchDevice { device: DeviceIndex(7) }));
    }
}
