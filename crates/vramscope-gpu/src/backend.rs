//! The trait of all sources of readings.

use std::time::Duration;

use vramscope_core::{Device, DeviceIndex, GpuProcess, Reading, SlowReading};

use crate::{CallCost, GpuError};

/// What a backend's power figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PowerKind {
    /// The draw at the moment, as fast as the board refreshes it.
    Instant,
    /// A mean over the driver's own window (one second on most NVIDIA devices).
    Average,
    /// The whole socket, as AMD's firmware reports it.
    Socket,
}

impl PowerKind {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Instant => "instant",
            Self::Average => "average",
            Self::Socket => "socket",
        }
    }
}

/// What a backend rests on. It is written into every recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendInfo {
    /// The version of the kernel driver.
    pub driver_version: Option<String>,
    /// The library or folder that answers, as it was found.
    pub library: Option<String>,
    /// The version of that library.
    pub library_version: Option<String>,
    /// What the power figure is, where all devices agree.
    pub power: Option<PowerKind>,
    /// Whether driver-held memory is kept apart from memory in use; `None` where the source does not say.
    pub reserved_apart: Option<bool>,
    /// The shortest time between two readings that this source allows without harm.
    pub shortest_period: Option<Duration>,
    /// Anything that a reader of its figures must know. What is of one device begins with `device N`.
    pub notes: Vec<String>,
}

/// A source of GPU readings.
///
/// A backend is opened once and owned by one thread. It never fills in: a figure that it does not have is `None`, and
/// a device that does not answer is an error.
///
/// ```
/// use vramscope_core::{Bytes, Device, DeviceIndex, GpuProcess, Reading};
/// use vramscope_gpu::{GpuBackend, GpuError};
///
/// /// A backend of one's own: something that knows how full a card is.
/// struct Mine(Vec<Device>);
///
/// impl GpuBackend for Mine {
///     fn name(&self) -> &'static str { "mine" }
///     fn devices(&self) -> &[Device] { &self.0 }
///     fn read(&mut self, _: DeviceIndex) -> Result<Reading, GpuError> {
///         Ok(Reading { used: Bytes::new(1 << 30), ..Reading::default() })
///     }
///     fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
///         Err(GpuError::Unsupported { device, what: "processes" })
///     }
/// }
/// # let mut mine = Mine(vec![Device::unnamed(DeviceIndex(0))]);
/// # assert_eq!(mine.read_slow(DeviceIndex(0)).unwrap().processes, None);
/// ```
pub trait GpuBackend: Send {
    /// Its name in documents: `nvml`, `rocm-smi`, `amdgpu-sysfs`, `amd-smi`, `fake`, `replay`.
    fn name(&self) -> &'static str;

    /// The devices, fixed when it was opened; place and `index` need not be equal.
    fn devices(&self) -> &[Device];

    /// Reads what is cheap and fast: memory, power, utilisation, clocks, temperature.
    ///
    /// # Errors
    /// [`GpuError`] if memory in use could not be read. Any other figure that could not be read is `None`.
    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError>;

    /// Lists the processes on a device.
    ///
    /// # Errors
    /// [`GpuError`] if the driver does not list them.
    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError>;

    /// Reads what is dear or slow: processes, memory errors, limits. The default lists the processes.
    ///
    /// # Errors
    /// [`GpuError`] if the device does not answer at all.
    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        match self.processes(device) {
            Ok(processes) => Ok(SlowReading { processes: Some(processes), ..SlowReading::default() }),
            Err(GpuError::Unsupported { .. } | GpuError::Permission { .. }) => Ok(SlowReading::default()),
            Err(other) => Err(other),
        }
    }

    /// Adds what is too dear even for each slow reading, such as a counter whose call takes milliseconds. A sampler asks
    /// for it with the first slow reading, with some between, and with the last. The default adds nothing.
    ///
    /// # Errors
    /// [`GpuError`] if a figure could not be read that may be another time. What was added before is kept.
    fn read_rare(&mut self, device: DeviceIndex, into: &mut SlowReading) -> Result<(), GpuError> {
        let _ = (device, into);
        Ok(())
    }

    /// What it rests on.
    fn info(&self) -> BackendInfo {
        BackendInfo::default()
    }

    /// A second handle on the same source, for slow readings on a thread of their own, so that they do not delay the
    /// fast ones. `None` if the source must be used from one thread.
    fn slow_handle(&mut self) -> Option<Box<dyn GpuBackend>> {
        None
    }

    /// What each driver call has cost so far, through this handle.
    fn call_costs(&self) -> Vec<CallCost> {
        Vec::new()
    }

    /// Begins to count the costs anew.
    fn reset_call_costs(&mut self) {}
}
