//! Readings as counters.

use std::io;

use serde_json::{Value, json};
use vramscope_core::{Bytes, DeviceIndex, Reading, Sample};

use super::Moment;
use super::event::{EventWriter, Place};

/// Bytes as GiB. The division is by a power of two: no digit is lost up to 2^53 bytes.
pub(super) fn gib(bytes: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
    let value = bytes as f64 / 1_073_741_824.0;
    json!(value)
}

/// The same with a sign.
pub(super) fn signed(bytes: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
    let value = bytes as f64 / 1_073_741_824.0;
    json!(value)
}

/// A moment of the recording.
pub(super) fn moment(at: std::time::Duration) -> Moment {
    Moment::try_from(at.as_nanos()).unwrap_or(Moment::MAX)
}

const FIGURES: usize = 8;

/// The last values of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    last: [Option<u32>; FIGURES],
}

/// Everything but memory: the name, the unit, the reading.
fn figures(reading: &Reading) -> [(&'static str, &'static str, Option<u32>); FIGURES] {
    [
        ("power", "W", reading.power_mw),
        ("power, the driver's average", "W", reading.power_average_mw),
        ("temperature", "°C", reading.temperature_c),
        ("memory temperature", "°C", reading.memory_temperature_c),
        ("utilisation", "%", reading.utilization_pct.map(u32::from)),
        ("memory utilisation", "%", reading.memory_utilization_pct.map(u32::from)),
        ("clock", "MHz", reading.sm_clock_mhz),
        ("memory clock", "MHz", reading.memory_clock_mhz),
    ]
}

impl Counters {
    pub(super) fn sample<W: io::Write>(
        &mut self,
        out: &mut EventWriter<W>,
        place: Place,
        sample: &Sample,
    ) -> io::Result<()> {
        let at = moment(sample.at);
        out.counter(place, at, "memory used", &[("GiB", gib(sample.reading.used.get()))])?;
        for (last, (name, unit, value)) in self.last.iter_mut().zip(figures(&sample.reading)) {
            if value == *last {
                continue;
            }
            // A figure that is absent for once leaves its track as it is: there is no event for not knowing.
            let Some(value) = value else { continue };
            *last = Some(value);
            let shown = if unit == "W" { json!(f64::from(value) / 1000.0) } else { json!(value) };
            out.counter(place, at, name, &[(unit, shown)])?;
        }
        Ok(())
    }
}

/// Memory on all devices at one tick.
pub(super) fn total<W: io::Write>(out: &mut EventWriter<W>, place: Place, total: (Moment, u64)) -> io::Result<()> {
    out.counter(place, total.0, "memory used", &[("GiB", gib(total.1))])
}

/// The samples of a tick as they come.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenTick {
    tick: Option<u32>,
    at: Moment,
    seen: Vec<DeviceIndex>,
    used: Option<Bytes>,
}

impl OpenTick {
    /// Takes a sample; the sum when the tick has all devices. Of a single device there is no sum. A device that reads
    /// twice begins anew: no sum has it twice.
    pub(super) fn push(&mut self, sample: &Sample, devices: usize) -> Option<(Moment, u64)> {
        if self.tick != Some(sample.tick) || self.seen.contains(&sample.device) {
            self.seen.clear();
            (self.tick, self.at, self.used) = (Some(sample.tick), moment(sample.at), Some(Bytes::ZERO));
        }
        self.seen.push(sample.device);
        self.used = self.used.and_then(|used| Bytes::checked_sum([used, sample.reading.used]));
        (devices > 1 && self.seen.len() == devices).then_some(())?;
        Some((self.at, self.used?.get()))
    }
}
