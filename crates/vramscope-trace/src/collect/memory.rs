//! Memory events: peaks, totals and a thinned curve.

use std::collections::BTreeMap;

use crate::event::MemoryArgs;
use crate::names::readable;

/// Points that a curve keeps at most. More than a plot has columns.
const MAX_POINTS: usize = 1024;

/// The finest step of a curve: 2^10 ns.
const FINEST: u32 = 10;

/// Memory of all devices, by `type:id` as the allocator numbers them.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryLog {
    pub devices: BTreeMap<String, DeviceMemory>,
}

/// Devices that are told apart; a hostile file could name any number.
const MAX_DEVICES: usize = 1024;

/// What one device's allocator reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceMemory {
    pub events: u64,
    /// The largest sum of live allocations, in bytes, and when it was first reached.
    pub peak_allocated: Option<(u64, i64)>,
    /// The largest memory held by the allocator, in bytes.
    pub peak_reserved: Option<u64>,
    /// Sum of all allocations, in bytes.
    pub allocated: u64,
    /// Sum of all frees, in bytes.
    pub freed: u64,
    curve: BTreeMap<i64, Point>,
    step: u32,
}

/// The largest values within one step of a curve, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Point {
    pub allocated: Option<u64>,
    pub reserved: Option<u64>,
}

impl MemoryLog {
    pub(crate) fn add(&mut self, at: i64, args: &MemoryArgs<'_>) {
        let word = |raw: Option<&[u8]>| raw.map_or_else(|| "None".to_owned(), readable);
        let key = format!("{}:{}", word(args.device_type), word(args.device_id));
        if self.devices.len() == MAX_DEVICES && !self.devices.contains_key(&key) {
            return;
        }
        self.devices.entry(key).or_default().add(at, args);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (key, theirs) in other.devices {
            self.devices.entry(key).or_default().merge(theirs);
        }
    }
}

impl Default for DeviceMemory {
    fn default() -> Self {
        Self {
            events: 0,
            peak_allocated: None,
            peak_reserved: None,
            allocated: 0,
            freed: 0,
            curve: BTreeMap::new(),
            step: FINEST,
        }
    }
}

impl DeviceMemory {
    fn add(&mut self, at: i64, args: &MemoryArgs<'_>) {
        self.events += 1;
        self.raise_peak(args.allocated.map(|bytes| (bytes, at)));
        self.peak_reserved = self.peak_reserved.max(args.reserved);
        match args.change {
            Some(change) if change < 0 => self.freed = self.freed.saturating_add(change.unsigned_abs()),
            Some(change) => self.allocated = self.allocated.saturating_add(change.unsigned_abs()),
            None => {}
        }
        self.put(at >> self.step, Point { allocated: args.allocated, reserved: args.reserved });
        self.thin();
    }

    fn raise_peak(&mut self, seen: Option<(u64, i64)>) {
        let Some((bytes, at)) = seen else { return };
        let higher = self.peak_allocated.is_none_or(|(peak, when)| bytes > peak || bytes == peak && at < when);
        if higher {
            self.peak_allocated = Some((bytes, at));
        }
    }

    fn put(&mut self, place: i64, seen: Point) {
        let point = self.curve.entry(place).or_default();
        point.allocated = point.allocated.max(seen.allocated);
        point.reserved = point.reserved.max(seen.reserved);
    }

    /// Doubles the step until few enough points are left. The result does not depend on the order of events.
    fn thin(&mut self) {
        while self.curve.len() > MAX_POINTS {
            self.step += 1;
            for (place, point) in std::mem::take(&mut self.curve) {
                self.put(place >> 1, point);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.events += other.events;
        self.raise_peak(other.peak_allocated);
        self.peak_reserved = self.peak_reserved.max(other.peak_reserved);
        self.allocated = self.allocated.saturating_add(other.allocated);
        self.freed = self.freed.saturating_add(other.freed);
        while self.step < other.step {
            self.step += 1;
            for (place, point) in std::mem::take(&mut self.curve) {
                self.put(place >> 1, point);
            }
        }
        for (place, point) in other.curve {
            self.put(place >> (self.step - other.step), point);
        }
        self.thin();
    }

    /// The width of the curve's steps, in nanoseconds.
    pub(crate) fn step_ns(&self) -> u64 {
        1 << self.step
    }

    /// The curve: the beginning of each step that has events, in nanoseconds, with the largest values in it.
    pub(crate) fn curve(&self) -> impl Iterator<Item = (i64, Point)> + '_ {
        self.curve.iter().map(|(&place, &point)| (place << self.step, point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(events: &[(u32, u32)]) -> MemoryLog {
        let mut log = MemoryLog::default();
        for &(at, bytes) in events {
            let args = MemoryArgs { allocated: Some(bytes.into()), change: Some(-1), ..MemoryArgs::default() };
            log.add(i64::from(at) * 4096, &args);
        }
        log
    }

    proptest! {
        #[test]
        fn a_curve_does_not_depend_on_who_read_what(
            events in prop::collection::vec(any::<(u32, u32)>(), 1..3000), cut in 0usize..3000,
        ) {
            let whole = log(&events);
            let (a, b) = events.split_at(cut.min(events.len()));
            let mut joined = log(b);
            joined.merge(log(a));
            prop_assert_eq!(&joined.devices, &whole.devices);
            let device = &whole.devices["None:None"];
            let highest = events.iter().map(|&(_, bytes)| u64::from(bytes)).max();
            prop_assert_eq!(device.peak_allocated.map(|(bytes, _)| bytes), highest);
            prop_assert_eq!(device.curve().filter_map(|(_, p)| p.allocated).max(), highest);
            prop_assert!(device.curve().count() <= MAX_POINTS);
        }
    }
}
