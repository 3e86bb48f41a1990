//! What the allocator holds, by pool and stream.

use std::collections::BTreeMap;

use crate::SnapshotError;
use crate::model::{Block, PoolId, Segment, Snapshot, State};

/// Pages by which an expandable segment gives memory back, in bytes: of the pool for small allocations and of the other
/// (`kSmallBuffer` and `kLargeBuffer`, c10/cuda/CUDACachingAllocator.h, torch 2.1 to 2.14).
const PAGES: [u64; 2] = [2 << 20, 20 << 20];

/// Amounts of memory, in bytes. They hold: `reserved = active + inactive`, `active = allocated + waiting`, and, where
/// what was asked for is known, `active = requested + rounding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Amounts {
    /// Segments.
    pub segments: u64,
    /// Blocks in use or waiting.
    pub blocks: u64,
    /// Bytes of all segments: what the allocator has of the driver.
    pub reserved: u64,
    /// Bytes of blocks that tensors have.
    pub allocated: u64,
    /// Bytes of blocks in use or waiting to be free.
    pub active: u64,
    /// Bytes that were asked for in active blocks; absent where a block does not say.
    pub requested: Option<u64>,
    /// Bytes of blocks that wait for another stream.
    pub waiting: u64,
    /// Bytes of free blocks.
    pub inactive: u64,
    /// Of these, bytes in segments that hold nothing else, or in whole pages of expandable ones: what `empty_cache`
    /// could give back. Pools of graphs give nothing back while their graph lives, so private pools count nothing.
    pub releasable: u64,
    /// The rest of the free blocks: bytes that only tensors of the same pool and stream can use.
    pub split: u64,
    /// The largest free block: what one tensor can get here without asking the driver.
    pub largest_free: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// Bytes of ranges of expandable segments; absent where the release does not say.
    pub expandable: Option<u64>,
}

impl Amounts {
    /// What rounding up added to active blocks, in bytes.
    pub fn rounding(&self) -> Option<u64> {
        self.requested.and_then(|requested| self.active.checked_sub(requested))
    }

    fn start() -> Self {
        Self { requested: Some(0), expandable: Some(0), ..Self::default() }
    }

    fn add(&mut self, segment: &Segment, blocks: &[Block]) -> Option<()> {
        let add = |sum: &mut u64, more: u64| sum.checked_add(more).map(|total| *sum = total);
        self.segments += 1;
        add(&mut self.reserved, segment.total)?;
        self.expandable = match (self.expandable, segment.expandable) {
            (Some(sum), Some(expandable)) => Some(sum.checked_add(if expandable { segment.total } else { 0 })?),
            _ => None,
        };
        let whole = blocks.iter().all(|block| block.state == State::Inactive);
        for block in blocks {
            match block.state {
                State::Allocated => add(&mut self.allocated, block.size)?,
                State::Waiting => add(&mut self.waiting, block.size)?,
                State::Inactive => {
                    let free = releasable(segment, block, whole);
                    add(&mut self.inactive, block.size)?;
                    add(&mut self.releasable, free)?;
                    add(&mut self.split, block.size - free)?;
                    self.largest_free = self.largest_free.max(block.size);
                    self.free_blocks += 1;
                }
            }
            if block.state.is_active() {
                self.blocks += 1;
                add(&mut self.active, block.size)?;
                self.requested = match (self.requested, block.requested) {
                    (Some(sum), Some(requested)) => Some(sum.checked_add(requested)?),
                    _ => None,
                };
            }
        }
        Some(())
    }
}

/// Bytes of a free block that could go back to the driver.
fn releasable(segment: &Segment, block: &Block, whole: bool) -> u64 {
    if segment.pool.unwrap_or(PoolId::DEFAULT).is_private() {
        return 0;
    }
    if segment.expandable == Some(true) {
        // Only pages that lie wholly in the block are unmapped; a range begins at the boundary of a page.
        let page = PAGES[usize::from(!segment.small)];
        let from = block.address.saturating_sub(segment.address);
        let (first, last) = (from.div_ceil(page), from.saturating_add(block.size) / page);
        return last.saturating_sub(first).saturating_mul(page).min(block.size);
    }
    if whole { block.size } else { 0 }
}

/// One pool and stream of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolTotals {
    /// The device, as the process numbers it.
    pub device: u32,
    /// The pool; absent where the release does not say.
    pub pool: Option<PoolId>,
    /// The stream, as torch numbers it.
    pub stream: u64,
    /// What it holds.
    pub amounts: Amounts,
}

/// What a snapshot's segments add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// All together.
    pub all: Amounts,
    /// By device, pool and stream.
    pub pools: Vec<PoolTotals>,
    /// By device.
    pub devices: BTreeMap<u32, Amounts>,
    /// Segments whose blocks do not add up to what torch wrote of them.
    pub differing: u64,
}

impl Totals {
    /// Adds up all blocks.
    ///
    /// # Errors
    /// When a sum exceeds 64 bits.
    pub fn of(snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let mut all = Amounts::start();
        let mut devices = BTreeMap::new();
        let mut pools = BTreeMap::new();
        let mut differing = 0;
        let too_large = || SnapshotError::Sum { name: snapshot.name.clone(), what: "the blocks" };
        for segment in &snapshot.segments {
            let blocks = snapshot.blocks(segment);
            let mut one = Amounts::start();
            one.add(segment, blocks).ok_or_else(too_large)?;
            let same = one.active.checked_add(one.inactive) == Some(segment.total)
                && (one.allocated, one.active) == (segment.allocated, segment.active)
                && (segment.requested.is_none() || one.requested == segment.requested);
            differing += u64::from(!same);
            let key = (segment.device, segment.pool, segment.stream);
            for sum in [
                &mut all,
                devices.entry(segment.device).or_insert_with(Amounts::start),
                pools.entry(key).or_insert_with(Amounts::start),
            ] {
                sum.add(segment, blocks).ok_or_else(too_large)?;
            }
        }
        let mut pools: Vec<PoolTotals> = pools
            .into_iter()
            .map(|((device, pool, stream), amounts)| PoolTotals { device, pool, stream, amounts })
            .collect();
        pools.sort_by_key(|pool| (pool.device, std::cmp::Reverse(pool.amounts.reserved)));
        Ok(Self { all, pools, devices, differing })
    }
}
