//! The framework's caching allocator, as far as it decides how much memory tensors occupy.
//!
//! PyTorch rounds a tensor to 512 bytes, takes large ones from segments of whole megabytes, and does not split a block
//! for a remainder of up to 1 MiB. While it loads a model, vLLM also forbids splitting blocks of 20 MiB and more (from
//! 0.21, `v1/worker/gpu_worker.py`), so a tensor may occupy up to 20 MiB more than it needs. What the engine reports as
//! loaded is the sum of these blocks, so it is computed by going through the same allocations.
//!
//! Follows PyTorch 2.8 to 2.11, `c10/cuda/CUDACachingAllocator.cpp`, for one stream.

const MIB: u64 = 1 << 20;
/// Every block is a multiple of this.
const ROUND: u64 = 512;
/// Up to this size a tensor comes from the small pool, whose blocks are split exactly.
const SMALL: u64 = MIB;
/// Segments for tensors from `SMALL` to `LARGE`.
const SEGMENT: u64 = 20 * MIB;
/// From this size a tensor has a segment of its own.
const LARGE: u64 = 10 * MIB;
/// Own segments are multiples of this.
const ROUND_LARGE: u64 = 2 * MIB;
/// A block that may not be split is still given to a request that is smaller by less than this.
const OVERSIZE: u64 = 20 * MIB;

/// What a tensor occupies if nothing free fits it: its segment, if the rest of that is too small to be split off.
pub(crate) fn occupied(bytes: u64) -> u64 {
    let size = bytes.max(1).div_ceil(ROUND).saturating_mul(ROUND);
    let segment = size.checked_next_multiple_of(ROUND_LARGE).unwrap_or(size);
    if size >= LARGE && segment - size <= SMALL { segment } else { size }
}

/// The segment of all blocks of the small pool.
const SMALL_POOL: usize = usize::MAX;

/// The block of a tensor that comes from the small pool, or `None` if it does not.
pub(crate) fn small(bytes: u64) -> Option<u64> {
    let size = bytes.max(1).div_ceil(ROUND).saturating_mul(ROUND);
    (size <= SMALL).then_some(size)
}

/// A piece of a segment. The order is that in which free ones are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block {
    size: u64,
    segment: usize,
    offset: u64,
}

/// The allocator's state: what is free within its segments, and how much is given out.
#[derive(Debug, Clone)]
pub(crate) struct Allocator {
    /// Blocks from this size are not split.
    unsplit_from: u64,
    /// In order.
    free: Vec<Block>,
    /// Sizes of the segments.
    segments: Vec<u64>,
    allocated: u64,
}

impl Allocator {
    /// An empty allocator; `unsplit_from` is the engine's `max_split_size_mb` while it loads.
    pub(crate) fn new(unsplit_from: Option<u64>) -> Self {
        Self { unsplit_from: unsplit_from.unwrap_or(u64::MAX), free: Vec::new(), segments: Vec::new(), allocated: 0 }
    }

    /// The sum of all blocks given out.
    pub(crate) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Takes blocks of the small pool. It wastes nothing that counts as given out, so its segments need not be known.
    pub(crate) fn take_small(&mut self, size: u64) {
        self.allocated = self.allocated.saturating_add(size);
    }

    /// Takes a block for a tensor of so many bytes.
    pub(crate) fn take(&mut self, bytes: u64) -> Block {
        if let Some(size) = small(bytes) {
            self.take_small(size);
            return Block { segment: SMALL_POOL, offset: 0, size };
        }
        let size = bytes.div_ceil(ROUND).saturating_mul(ROUND);
        let block = self.reuse(size).unwrap_or_else(|| self.new_segment(size));
        let rest = block.size - size;
        let split = size < self.unsplit_from && rest > SMALL;
        let given = if split { Block { size, ..block } } else { block };
        if split {
            self.insert(Block { segment: block.segment, offset: block.offset + size, size: rest });
        }
        self.allocated = self.allocated.saturating_add(given.size);
        given
    }

    /// Gives a block back; it is joined with free neighbours.
    pub(crate) fn give(&mut self, block: Block) {
        self.allocated = self.allocated.saturating_sub(block.size);
        if block.segment == SMALL_POOL {
            return;
        }
        if self.segments.get(block.segment) == Some(&block.size) {
            // A whole segment has no neighbours.
            return self.insert(block);
        }
        let mut joined = block;
        self.free.retain(|other| {
            if other.segment != block.segment {
                return true;
            }
            let before = other.offset + other.size == joined.offset;
            let after = joined.offset + joined.size == other.offset;
            if before {
                joined = Block { offset: other.offset, size: other.size + joined.size, ..joined };
            } else if after {
                joined.size += other.size;
            }
            !(before || after)
        });
        self.insert(joined);
    }

    fn insert(&mut self, block: Block) {
        let place = self.free.partition_point(|other| *other < block);
        self.free.insert(place, block);
    }

    /// The smallest free block that fits, if the rules allow it.
    fn reuse(&mut self, size: u64) -> Option<Block> {
        let place = self.free.partition_point(|other| other.size < size);
        let block = self.free.get(place)?;
        let whole = block.size >= self.unsplit_from;
        let too_large = if size < self.unsplit_from { whole } else { block.size - size >= OVERSIZE };
        if self.unsplit_from != u64::MAX && too_large {
            return None;
        }
        Some(self.free.remove(place))
    }

    fn new_segment(&mut self, size: u64) -> Block {
        let size = if size < LARGE { SEGMENT } else { size.checked_next_multiple_of(ROUND_LARGE).unwrap_or(size) };
        self.segments.push(size);
        Block { segment: self.segments.len() - 1, offset: 0, size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_remainder_up_to_a_mebibyte_stays_with_its_block() {
        let mut allocator = Allocator::new(None);
        allocator.take(259 * MIB);
        assert_eq!(allocator.allocated(), 260 * MIB);
        allocator.take(24 * MIB + MIB / 2);
        assert_eq!(allocator.allocated(), 284 * MIB + MIB / 2, "1.5 MiB of the 26 are split off");
    }

    #[test]
    fn while_loading_a_large_block_is_given_whole() {
        let mut allocator = Allocator::new(Some(20 * MIB));
        let table = allocator.take(64 * MIB);
        allocator.give(table);
        allocator.take(48 * MIB);
        assert_eq!(allocator.allocated(), 64 * MIB);
        let other = allocator.take(70 * MIB);
        allocator.give(other);
        allocator.take(50 * MIB);
        assert_eq!(allocator.allocated(), (64 + 50) * MIB, "70 MiB is 20 MiB too large for 50");
    }

    #[test]
    fn small_tensors_round_to_512_bytes() {
        let mut allocator = Allocator::new(None);
        allocator.take(4);
        allocator.take(513);
        assert_eq!(allocator.allocated(), 3 * ROUND);
    }

    proptest! {
        #[test]
        fn what_is_given_back_is_not_allocated(sizes in prop::collection::vec(1_u64..200 << 20, 1..40)) {
            let mut allocator = Allocator::new(Some(20 * MIB));
            let blocks: Vec<Block> = sizes.iter().map(|&size| allocator.take(size)).collect();
            prop_assert!(allocator.allocated() >= sizes.iter().sum::<u64>());
            blocks.into_iter().rev().for_each(|block| allocator.give(block));
            prop_assert_eq!(allocator.allocated(), 0);
        }
    }
}
