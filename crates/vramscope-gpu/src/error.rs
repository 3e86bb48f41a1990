//! What can go wrong with a device or a driver, told apart by what to do about it.

use std::fmt;

use vramscope_core::DeviceIndex;

/// A reading that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The driver has no such figure for this device, now and later.
    #[error("read {what} of device {device}: the driver has no such figure for it")]
    Unsupported {
        /// Which device.
        device: DeviceIndex,
        /// What was asked for.
        what: &'static str,
    },
    /// The driver refuses this user.
    #[error("read {what} of device {device}: permission denied ({advice})")]
    Permission {
        /// Which device.
        device: DeviceIndex,
        /// What was asked for.
        what: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// The device fell off the bus, was reset or taken away. No later reading succeeds.
    #[error("read {what} of device {device}: the device is lost ({detail})")]
    Lost {
        /// Which device.
        device: DeviceIndex,
        /// What was asked for.
        what: &'static str,
        /// What the driver said.
        detail: String,
    },
    /// The driver did not answer in its own time limit.
    #[error("read {what} of device {device}: the driver did not answer in time")]
    Timeout {
        /// Which device.
        device: DeviceIndex,
        /// What was asked for.
        what: &'static str,
    },
    /// This backend lists no device of that index.
    #[error("read device {device}: this backend has no such device")]
    NoSuchDevice {
        /// Which device.
        device: DeviceIndex,
    },
    /// A recording has nothing at this time.
    #[error("read device {device}: the recording has no reading at this time")]
    NotRecorded {
        /// Which device.
        device: DeviceIndex,
    },
    /// Anything else that the driver answered.
    #[error("read {what} of device {device}: the driver answered {detail}")]
    Driver {
        /// Which device.
        device: DeviceIndex,
        /// What was asked for.
        what: &'static str,
        /// Its words or its code.
        detail: String,
    },
}

/// What a failure means for later readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GpuErrorKind {
    /// It will never work: do not ask again.
    Unsupported,
    /// It works for another user or with other settings.
    Permission,
    /// The device is gone.
    Lost,
    /// It may work next time.
    Transient,
    /// The caller named a device that is not there.
    NoSuchDevice,
}

impl GpuError {
    /// What the failure means for later readings.
    pub fn kind(&self) -> GpuErrorKind {
        match self {
            Self::Unsupported { .. } => GpuErrorKind::Unsupported,
            Self::Permission { .. } => GpuErrorKind::Permission,
            Self::Lost { .. } => GpuErrorKind::Lost,
            Self::NoSuchDevice { .. } => GpuErrorKind::NoSuchDevice,
            Self::Timeout { .. } | Self::NotRecorded { .. } | Self::Driver { .. } => GpuErrorKind::Transient,
        }
    }

    /// The same failure, of the device as its caller counts it.
    #[must_use]
    pub(crate) fn of_device(mut self, index: DeviceIndex) -> Self {
        match &mut self {
            Self::Unsupported { device, .. }
            | Self::Permission { device, .. }
            | Self::Lost { device, .. }
            | Self::Timeout { device, .. }
            | Self::NoSuchDevice { device }
            | Self::NotRecorded { device }
            | Self::Driver { device, .. } => *device = index,
        }
        self
    }
}

/// One way to a driver that was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried: a library's name, a folder, a tool.
    pub what: String,
    /// What came of it.
    pub outcome: String,
}

/// A backend that cannot be opened here: what is missing, what to do, and each way that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenError {
    /// The backend.
    pub backend: &'static str,
    /// What is missing, in a few words.
    pub missing: String,
    /// What to do about it.
    pub advice: String,
    /// Each way that was tried, in order.
    pub tried: Vec<Attempt>,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open the backend {}: {}; {}", self.backend, self.missing, self.advice)?;
        for (n, attempt) in self.tried.iter().enumerate() {
            let lead = if n == 0 { " (tried " } else { "; " };
            write!(f, "{lead}{}: {}", attempt.what, attempt.outcome)?;
        }
        f.write_str(if self.tried.is_empty() { "" } else { ")" })
    }
}

impl std::error::Error for OpenError {}
