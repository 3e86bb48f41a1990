//! What a device's reserved memory is made of: parts, what was rounded up, and what is free.

use std::collections::BTreeMap;

use crate::model::{PoolId, Segment, Snapshot};
use crate::parts::part_or_other;
use crate::{SnapshotError, StackId, Totals};

/// All that the allocator has of one device. It holds, to the byte: the parts' `active` and `kept`, `releasable` and
/// `split` sum to `reserved`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// The device, as the process numbers it.
    pub device: u32,
    /// Bytes of all blocks: those of all segments, in a file that fits together.
    pub reserved: u64,
    /// What memory is for, the largest first.
    pub parts: Vec<LedgerPart>,
    /// Bytes that rounding up added to active blocks: they are within the parts. Absent where a block does not say what
    /// was asked for.
    pub rounding: Option<u64>,
    /// Free bytes that `empty_cache` could give back.
    pub releasable: u64,
    /// Free bytes of the default pool that stay: beside blocks in use.
    pub split: u64,
}

/// One part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerPart {
    /// Its name; `other` for stacks that no rule knows, absent where no stack was recorded.
    pub name: Option<&'static str>,
    /// Bytes of active blocks, rounding included.
    pub active: u64,
    /// Free bytes of private pools whose memory was asked of the driver for this part: nothing else can use them, as
    /// captured graphs write there when they are replayed.
    pub kept: u64,
}

impl LedgerPart {
    /// Both together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.active.saturating_add(self.kept)
    }
}

impl Ledger {
    /// The ledger of each device that has reserved memory, by device.
    ///
    /// # Errors
    /// When a sum exceeds 64 bits.
    pub fn of(snapshot: &Snapshot) -> Result<Vec<Self>, SnapshotError> {
        let totals = Totals::of(snapshot)?;
        let mut parts: BTreeMap<(u32, Option<&'static str>), LedgerPart> = BTreeMap::new();
        let mut private: BTreeMap<u32, u64> = BTreeMap::new();
        // Stacks are few beside blocks, and their frames many.
        let mut known: BTreeMap<StackId, &'static str> = BTreeMap::new();
        let mut name = |stack: Option<StackId>| {
            stack.map(|stack| *known.entry(stack).or_insert_with(|| part_or_other(&snapshot.names, stack)))
        };
        for (segment, block) in snapshot.all_blocks() {
            let of = match (block.state.is_active(), is_private(segment)) {
                (true, _) => name(block.stack),
                (false, true) => name(segment.stack),
                (false, false) => continue,
            };
            let row = parts.entry((segment.device, of)).or_insert(LedgerPart { name: of, active: 0, kept: 0 });
            // The totals hold the same sums, so none can be too large.
            if block.state.is_active() {
                row.active += block.size;
            } else {
                row.kept += block.size;
                *private.entry(segment.device).or_default() += block.size;
            }
        }
        let one = |(device, amounts): (&u32, &crate::Amounts)| {
            let rows = parts.range((*device, None)..).take_while(|(key, _)| key.0 == *device);
            let mut parts: Vec<LedgerPart> = rows.map(|(_, row)| row.clone()).collect();
            parts.sort_by_key(|row| std::cmp::Reverse(row.bytes()));
            let too_large = || SnapshotError::Sum { name: snapshot.name.clone(), what: "the blocks" };
            Ok(Self {
                device: *device,
                reserved: amounts.active.checked_add(amounts.inactive).ok_or_else(too_large)?,
                parts,
                rounding: amounts.rounding(),
                releasable: amounts.releasable,
                // Of private pools nothing is releasable, so all that they have free is within `split`.
                split: amounts.split - private.get(device).copied().unwrap_or_default(),
            })
        };
        totals.devices.iter().filter(|(_, amounts)| amounts.reserved > 0).map(one).collect()
    }
}

fn is_private(segment: &Segment) -> bool {
    segment.pool.unwrap_or(PoolId::DEFAULT).is_private()
}

impl Snapshot {
    /// The time of its last event, in microseconds since 1970 UTC. It was taken then or later: torch marks a snapshot in its
    /// history after it has copied it. Absent without a history that has times.
    pub fn last_event_us(&self) -> Option<i64> {
        (0..self.traced_devices())
            .filter_map(|device| self.events(device).filter_map(|event| event.time_us).max())
            .max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    #[test]
    fn parts_and_what_is_free_sum_to_what_is_reserved() {
        let text = br#"{"segments": [
          {"device": 1, "total_size": 100, "allocated_size": 60, "active_size": 60, "segment_pool_id": [0, 0], "blocks": [
            {"size": 60, "requested_size": 50, "state": "active_allocated", "frames": [
              {"name": "load_model", "filename": "/v/site-packages/vllm/v1/worker/gpu_worker.py", "line": 7}]},
            {"size": 40, "requested_size": 0, "state": "inactive", "frames": []}]},
          {"device": 1, "total_size": 30, "allocated_size": 0, "active_size": 0, "segment_pool_id": [0, 1], "frames": [
              {"name": "capture_model", "filename": "/v/site-packages/vllm/v1/worker/gpu_worker.py", "line": 9}],
            "blocks": [{"size": 30, "requested_size": 0, "state": "inactive", "frames": []}]},
          {"device": 1, "total_size": 20, "allocated_size": 20, "active_size": 20, "segment_pool_id": [0, 0], "blocks": [
            {"size": 20, "requested_size": 20, "state": "active_allocated", "frames": []}]}],
          "device_traces": []}"#;
        let snapshot = Snapshot::read(&Source::memory("made up", text.to_vec())).unwrap();
        let [ledger] = &Ledger::of(&snapshot).unwrap()[..] else { panic!("one device has memory") };
        let row = |name, active, kept| LedgerPart { name, active, kept };
        assert_eq!(ledger.parts, [row(Some("weights"), 60, 0), row(Some("graphs"), 0, 30), row(None, 20, 0)]);
        assert_eq!((ledger.device, ledger.reserved), (1, 150));
        assert_eq!((ledger.rounding, ledger.releasable, ledger.split), (Some(10), 0, 40));
        assert_eq!(snapshot.last_event_us(), None, "nothing was recorded");
    }
}
