//! The devices that a file has named so far.

use vramscope_gpu::document::MAX_GPUS;

use super::lines::{Header, Line};
use super::read::ReadError;

/// The devices of the lines before: each costs whoever reads the file the memory of its statistics, so a file that
/// names more than a machine has is refused where it does. They are in order: each line asks for one of few.
#[derive(Debug, Default)]
pub(super) struct SeenDevices(Vec<u32>);

impl SeenDevices {
    /// The devices of the header, which is this line (0 for the end of a Parquet file).
    pub(super) fn of(header: &Header, line: u64) -> Result<Self, ReadError> {
        let mut seen = Self::default();
        header.devices.iter().try_for_each(|device| seen.admit(device.gpu_index, line))?;
        Ok(seen)
    }

    /// Takes note of the device that a line is of.
    pub(super) fn take(&mut self, line: &Line, number: u64) -> Result<(), ReadError> {
        let index = match line {
            Line::Sample(sample) => Some(sample.gpu_index),
            Line::Slow(slow) => Some(slow.gpu_index),
            Line::Gap(gap) => gap.gpu_index,
            Line::Failure(failure) => Some(failure.gpu_index),
            Line::Mark(_) | Line::Clock(_) | Line::Cost(_) | Line::End(_) | Line::Summary(_) | Line::Unknown => None,
        };
        index.map_or(Ok(()), |index| self.admit(index, number))
    }

    fn admit(&mut self, gpu_index: u32, line: u64) -> Result<(), ReadError> {
        let Err(place) = self.0.binary_search(&gpu_index) else { return Ok(()) };
        if self.0.len() >= MAX_GPUS {
            return Err(ReadError::TooManyDevices { line, gpu_index });
        }
        self.0.insert(place, gpu_index);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    /// A recording whose header names some devices and whose samples are of others.
    fn recording(named: u32, sampled: std::ops::Range<u32>) -> String {
        let devices: Vec<String> = (0..named).map(|d| format!("{{\"gpu_index\":{d}}}")).collect();
        let head = format!("{{\"vramscope_timeline\":1,\"anchor_unix_ns\":0,\"devices\":[{}]}}\n", devices.join(","));
        let line =
            |d| format!("{{\"t\":\"sample\",\"timestamp_ns\":1,\"tick\":0,\"gpu_index\":{d},\"used_bytes\":{d}}}\n");
        sampled.fold(head, |text, d| text + &line(d))
    }

    #[test]
    fn a_recording_of_a_thousand_devices_is_read_right() {
        let recorded = read(recording(1000, 0..1024).as_bytes()).unwrap();
        let indexes: Vec<u32> = recorded.timeline.devices().iter().map(|device| device.index.0).collect();
        assert_eq!(indexes, (0..1024).collect::<Vec<_>>());
        assert_eq!(recorded.timeline.total_used(vramscope_core::Window::ALL).unwrap().max.get(), 1023 * 512);
    }

    #[test]
    fn more_devices_than_a_machine_has_are_refused_at_their_line() {
        let error = read(recording(1000, 0..1025).as_bytes()).unwrap_err();
        assert!(matches!(error, ReadError::TooManyDevices { line: 1026, gpu_index: 1024 }), "{error:?}");
        let text = error.to_string();
        assert!(["line 1026", "GPU 1024", "at most 1024", "damaged"].iter().all(|part| text.contains(part)), "{text}");
        let error = read(recording(1025, 0..1).as_bytes()).unwrap_err();
        assert!(matches!(error, ReadError::TooManyDevices { line: 1, gpu_index: 1024 }), "{error:?}");
    }
}
