//! Which rank is on which device.

use vramscope_core::{Bytes, DeviceIndex, EngineFacts};

use super::Point;

/// A device counts as used by the engine when it rises by so much at least: less than any driver context.
pub(super) const LEAST_RISE: Bytes = Bytes::new(100 << 20);

/// How the placement was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// As many devices rise as there are ranks; they are matched in order of their indexes.
    OneToOne,
    /// Several ranks share one device.
    Shared,
    /// The log does not say how many ranks there are: one for each device that rises.
    ByDevices,
    /// The devices that rise are neither one nor as many as the ranks; figures of ranks cannot be laid on devices.
    Unclear,
}

/// Ranks and their devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) placed: Placed,
    /// Ranks of all replicas, as the log says.
    pub(crate) ranks: Option<u32>,
    /// The devices that the engine uses, by index.
    pub(crate) active: Vec<DeviceIndex>,
    map: Vec<(u32, DeviceIndex)>,
}

impl Placement {
    /// Lays the ranks of the log on the devices that rose from baseline to peak.
    pub(crate) fn of(facts: &EngineFacts, baseline: Option<&Point>, peak: Option<&Point>) -> Self {
        let rose = |&(device, used): &(DeviceIndex, Bytes)| {
            let before = baseline.and_then(|b| b.of(device)).unwrap_or(Bytes::ZERO);
            used.checked_sub(before).is_some_and(|rise| rise >= LEAST_RISE)
        };
        let used = peak.map(|p| p.used.as_slice()).unwrap_or_default();
        let active: Vec<DeviceIndex> = used.iter().filter(|d| rose(d)).map(|d| d.0).collect();
        // Engines of dense models do not know of each other, and each says that it is the only one; the log has them all.
        let stated = facts.parallel.data.as_ref().map_or(1, |f| f.value);
        let replicas = stated.max(u32::try_from(facts.replicas.len()).unwrap_or(1)).max(1);
        let ranks = facts.ranks().map(|r| r.saturating_mul(replicas));
        let count = u32::try_from(active.len()).unwrap_or(u32::MAX);
        let (placed, map) = match (ranks, &active[..]) {
            (Some(ranks), _) if ranks == count => (Placed::OneToOne, (0..).zip(active.iter().copied()).collect()),
            (Some(ranks), &[only]) => (Placed::Shared, (0..ranks.min(1024)).map(|rank| (rank, only)).collect()),
            (None, _) => (Placed::ByDevices, (0..).zip(active.iter().copied()).collect()),
            _ => (Placed::Unclear, Vec::new()),
        };
        Self { placed, ranks, active, map }
    }

    /// The ranks on a device.
    pub(crate) fn ranks_on(&self, device: DeviceIndex) -> Vec<u32> {
        self.map.iter().filter(|(_, on)| *on == device).map(|(rank, _)| *rank).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use vramscope_core::{Fact, Origin, Scope};

    fn placement(tensor: Option<u32>, rises: &[u64]) -> Placement {
        let mut facts = EngineFacts::default();
        facts.parallel.tensor =
            tensor.map(|value| Fact { value, scope: Scope::AllRanks, resolution: None, origin: Origin::default() });
        let at = |gib: u64| Bytes::new(gib << 30);
        let point = |used: &dyn Fn(u64) -> Bytes| Point {
            at: Duration::ZERO,
            used: (0..).map(DeviceIndex).zip(rises.iter().map(|&g| used(g))).collect(),
        };
        Placement::of(&facts, Some(&point(&|_| at(5))), Some(&point(&|rise| at(5 + rise))))
    }

    #[test]
    fn ranks_go_on_the_devices_that_rise() {
        let found = placement(Some(2), &[0, 7, 0, 7]);
        assert_eq!((found.placed, found.ranks_on(DeviceIndex(3))), (Placed::OneToOne, vec![1]));
        assert_eq!(found.ranks_on(DeviceIndex(0)), Vec::<u32>::new());
        assert_eq!(placement(Some(2), &[9]).ranks_on(DeviceIndex(0)), [0, 1]);
        assert_eq!(placement(None, &[9, 9]).ranks_on(DeviceIndex(1)), [1]);
        assert_eq!(placement(Some(4), &[9, 9]).placed, Placed::Unclear);
    }
}
