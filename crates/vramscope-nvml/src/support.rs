//! What the driver's answers mean for a figure that a device may or may not have.

use nvml_wrapper::error::NvmlError;
use vramscope_core::DeviceIndex;
use vramscope_gpu::GpuError;

/// The driver's answer in the words of all backends.
pub(crate) fn error(device: DeviceIndex, what: &'static str, error: &NvmlError) -> GpuError {
    match error {
        NvmlError::NotSupported
        | NvmlError::FunctionNotFound
        | NvmlError::FailedToLoadSymbol(_)
        | NvmlError::VgpuEccNotSupported
        // A newer interface than this library has: 25 is NVML_ERROR_ARGUMENT_VERSION_MISMATCH, 26 _DEPRECATED.
        | NvmlError::UnexpectedVariant(25 | 26) => GpuError::Unsupported { device, what },
        NvmlError::NoPermission => GpuError::Permission {
            device,
            what,
            advice: "run as root, or ask the administrator to allow it (NVreg_RestrictProfilingToAdminUsers, MIG rights)",
        },
        NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::Uninitialized => {
            GpuError::Lost { device, what, detail: error.to_string() }
        }
        NvmlError::Timeout => GpuError::Timeout { device, what },
        other => GpuError::Driver { device, what, detail: other.to_string() },
    }
}

/// Whether a figure is worth asking for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Support {
    /// Nobody asked yet, or it worked, or it failed in a way that may pass.
    #[default]
    Open,
    /// The device will never have it, or this user may never see it.
    Never,
}

impl Support {
    /// The figure, if the device has it and answered. Only a lost device is an error.
    pub(crate) fn take<T>(
        &mut self,
        device: DeviceIndex,
        what: &'static str,
        answer: Result<T, NvmlError>,
    ) -> Result<Option<T>, GpuError> {
        let failure = match answer {
            Ok(value) => return Ok(Some(value)),
            Err(failure) => error(device, what, &failure),
        };
        match failure {
            GpuError::Unsupported { .. } | GpuError::Permission { .. } => {
                *self = Self::Never;
                Ok(None)
            }
            GpuError::Lost { .. } => Err(failure),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_gpu::GpuErrorKind;

    #[test]
    fn each_answer_has_its_kind() {
        let kind = |answer: NvmlError| error(DeviceIndex(0), "power", &answer).kind();
        assert_eq!(kind(NvmlError::NotSupported), GpuErrorKind::Unsupported);
        assert_eq!(kind(NvmlError::FailedToLoadSymbol("x".into())), GpuErrorKind::Unsupported);
        assert_eq!(kind(NvmlError::NoPermission), GpuErrorKind::Permission);
        assert_eq!(kind(NvmlError::GpuLost), GpuErrorKind::Lost);
        assert_eq!(kind(NvmlError::ResetRequired), GpuErrorKind::Lost);
        assert_eq!(kind(NvmlError::Timeout), GpuErrorKind::Transient);
        assert_eq!(kind(NvmlError::Unknown), GpuErrorKind::Transient);
    }

    #[test]
    fn a_failure_that_may_pass_is_asked_again_and_a_lasting_one_is_not() {
        let mut support = Support::default();
        assert_eq!(support.take::<u32>(DeviceIndex(0), "power", Err(NvmlError::Timeout)), Ok(None));
        assert_eq!(support, Support::Open);
        assert_eq!(support.take::<u32>(DeviceIndex(0), "power", Err(NvmlError::NotSupported)), Ok(None));
        assert_eq!(support, Support::Never);
    }
}
