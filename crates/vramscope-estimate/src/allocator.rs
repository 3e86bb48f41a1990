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

impl Block {
    fn touches(self, other: Self) -> bool {
        self.segment == other.segment
            && (self.offset + self.size == other.offset || other.offset + other.size == self.offset)
    }
}

/// An earlier state.
#[derive(Debug)]
pub(crate) struct Mark {
    allocated: u64,
    /// Free blocks that were too small for anything.
    dead: usize,
    sizes: Vec<u64>,
}

/// The allocator's state: what is free within its segments, and how much is given out.
#[derive(Debug, Clone)]
pub(crate) struct Allocator {
    /// Blocks from this size are not split.
    unsplit_from: u64,
    /// In order.
    free: Vec<Block>,
    /// Their sizes once more, close together: they are searched at every step.
    sizes: Vec<u64>,
    /// Sizes of the segments.
    segments: Vec<u64>,
    /// Free blocks of each segment.
    free_pieces: Vec<u32>,
    allocated: u64,
}

impl Allocator {
    /// An empty allocator; `unsplit_from` is the engine's `max_split_size_mb` while it loads.
    pub(crate) fn new(unsplit_from: Option<u64>) -> Self {
        let unsplit_from = unsplit_from.unwrap_or(u64::MAX);
        Self {
            unsplit_from,
            free: Vec::new(),
            sizes: Vec::new(),
            segments: Vec::new(),
            free_pieces: Vec::new(),
            allocated: 0,
        }
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
        let place = self.first_of(size);
        let found = self.free.get(place).copied().filter(|block| self.may_use(*block, size));
        let block = found.unwrap_or_else(|| self.new_segment(size));
        let rest = block.size - size;
        let split = size < self.unsplit_from && rest > SMALL;
        let given = if split { Block { size, ..block } } else { block };
        let rest = Block { segment: block.segment, offset: block.offset + size, size: rest };
        match (found, split) {
            (Some(_), true) => self.replace(place, rest),
            (Some(_), false) => drop(self.remove(place)),
            (None, true) => self.insert(rest),
            (None, false) => {}
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
        if self.is_segment(block) {
            // A whole segment has no neighbours.
            return self.insert(block);
        }
        // At most one neighbour on each side is free; the last one found makes room for all.
        let mut joined = block;
        let mut left = self.free_pieces[block.segment];
        let mut place = self.free.len();
        let mut neighbour = None;
        while left > 0 && place > 0 {
            place -= 1;
            let other = self.free[place];
            if other.segment != block.segment {
                continue;
            }
            left -= 1;
            if other.touches(block) {
                if let Some(first) = neighbour.replace(place) {
                    self.remove(first);
                }
                joined = Block { offset: other.offset.min(joined.offset), size: other.size + joined.size, ..joined };
            }
        }
        match neighbour {
            Some(place) => self.replace(place, joined),
            None => self.insert(joined),
        }
    }

    /// Gives all segments of which nothing is taken back to the device; their bytes together.
    pub(crate) fn release(&mut self) -> u64 {
        let mut released = 0;
        for place in (0..self.free.len()).rev() {
            if self.is_segment(self.free[place]) {
                released += self.remove(place).size;
            }
        }
        released
    }

    /// Segments made so far, those given back too.
    pub(crate) fn segments_made(&self) -> usize {
        self.segments.len()
    }

    /// What is free, in the order in which it is tried.
    pub(crate) fn free_blocks(&self) -> &[Block] {
        &self.free
    }

    /// Goes through temporary tensors of one size, of which two exist together and nothing that stays is taken
    /// meanwhile. All are given back and joined with what they were split from, so only segments that must be made for
    /// them change anything.
    pub(crate) fn pass_two(&mut self, bytes: u64) {
        if small(bytes).is_some() || self.has_room_for_two(bytes) {
            return;
        }
        let two = [self.take(bytes), self.take(bytes)];
        two.into_iter().for_each(|block| self.give(block));
    }

    /// Whether no free block may be given to a tensor of either of these sizes.
    pub(crate) fn keeps_apart(&self, large: u64, small: u64) -> bool {
        large >= self.unsplit_from && (small < self.unsplit_from || large.saturating_sub(small) > OVERSIZE)
    }

    fn has_room_for_two(&self, bytes: u64) -> bool {
        let size = bytes.div_ceil(ROUND).saturating_mul(ROUND);
        let place = self.first_of(size);
        let usable = |place: usize| self.free.get(place).filter(|block| self.may_use(**block, size));
        usable(place).is_some_and(|first| {
            let rest = if size < self.unsplit_from { first.size - size } else { 0 };
            usable(place + 1).is_some() || rest > SMALL && rest >= size
        })
    }

    /// Takes a tensor's like, gives `old` back, takes two more, and gives the first and the second of the three back.
    /// Returns `false`, with nothing done, unless `old` and all that would be taken are segments of one size: then they
    /// only change places, and two steps do for six.
    pub(crate) fn take_three_keep_one(&mut self, old: Block, bytes: u64) -> bool {
        let size = bytes.div_ceil(ROUND).saturating_mul(ROUND);
        let split = size < self.unsplit_from && old.size.saturating_sub(size) > SMALL;
        if split || size > old.size || !self.is_segment(old) || !self.may_use(old, size) {
            return false;
        }
        let place = self.first_of(size);
        let like = |block: &&Block| block.size == old.size && self.is_segment(**block);
        let likes = self.free[place..].iter().take(3).take_while(like).count();
        // A fourth block of this size that is part of a segment would come later in order, and is not reached.
        if likes < 2 || self.free.get(place + likes).is_some_and(|block| likes < 3 && block.size == old.size) {
            return false;
        }
        // The first is taken and given back; of the others and `old`, the second in order stays taken.
        let others = &self.free[place + 1..place + likes];
        let before = others.iter().filter(|block| **block < old).count();
        let kept = match before {
            0 => place + 1,
            1 => return true,
            _ => place + 2,
        };
        self.remove(kept);
        self.insert(old);
        true
    }

    /// The state, to be compared with a later one. `least` is the smallest tensor that will be taken in between.
    pub(crate) fn mark(&self, least: u64) -> Mark {
        Mark { allocated: self.allocated, dead: self.first_of(least), sizes: self.sizes.clone() }
    }

    /// Whether tensors of at least `least` bytes find now what they found at a mark. While nothing is given back, the
    /// sizes of the free blocks decide that alone.
    pub(crate) fn is_as_at(&self, mark: &Mark, least: u64) -> bool {
        self.sizes[self.first_of(least)..] == mark.sizes[mark.dead..]
    }

    /// Repeats what happened since a mark, at which the state was as it is now: as much is taken, and as many pieces
    /// are left over that are too small for what was taken.
    pub(crate) fn repeat(&mut self, since: &Mark, least: u64, times: u64) {
        let once = self.allocated.saturating_sub(since.allocated);
        self.allocated = self.allocated.saturating_add(once.saturating_mul(times));
        let mut before = since.sizes[..since.dead].iter().copied().peekable();
        let now = &self.sizes[..self.first_of(least)];
        let left: Vec<u64> = now.iter().copied().filter(|size| before.next_if_eq(size).is_none()).collect();
        for size in left.into_iter().flat_map(|size| (0..times).map(move |_| size)) {
            self.push_segment(SEGMENT);
            self.insert(Block { segment: self.segments.len() - 1, offset: SEGMENT - size.min(SEGMENT), size });
        }
    }

    fn is_segment(&self, block: Block) -> bool {
        self.segments.get(block.segment) == Some(&block.size)
    }

    /// The place of the smallest free block of at least this size.
    fn first_of(&self, size: u64) -> usize {
        // There are a few dozen at most; counting them all is quicker than to guess half of them wrong.
        self.sizes.iter().filter(|own| **own < size).count()
    }

    /// Whether the rules let a request of this size have a block that is large enough.
    fn may_use(&self, block: Block, size: u64) -> bool {
        let unsplit = self.unsplit_from;
        unsplit == u64::MAX || if size < unsplit { block.size < unsplit } else { block.size - size < OVERSIZE }
    }

    fn insert(&mut self, block: Block) {
        let first = self.first_of(block.size);
        let before = self.free[first..].iter().take_while(|other| **other < block).count();
        self.free.insert(first + before, block);
        self.sizes.insert(first + before, block.size);
        self.free_pieces[block.segment] += 1;
    }

    fn remove(&mut self, place: usize) -> Block {
        self.sizes.remove(place);
        let block = self.free.remove(place);
        self.free_pieces[block.segment] -= 1;
        block
    }

    /// Puts a block of the same segment in the place of a free one, and in order.
    fn replace(&mut self, place: usize, block: Block) {
        let first = self.first_of(block.size);
        let before = self.free[first..].iter().take_while(|other| **other < block).count();
        let mut to = first + before;
        if to > place {
            to -= 1;
            self.free.copy_within(place + 1..=to, place);
            self.sizes.copy_within(place + 1..=to, place);
        } else {
            self.free.copy_within(to..place, to + 1);
            self.sizes.copy_within(to..place, to + 1);
        }
        self.free[to] = block;
        self.sizes[to] = block.size;
    }

    fn push_segment(&mut self, size: u64) {
        self.segments.push(size);
        self.free_pieces.push(0);
    }

    fn new_segment(&mut self, size: u64) -> Block {
        let size = if size < LARGE { SEGMENT } else { size.checked_next_multiple_of(ROUND_LARGE).unwrap_or(size) };
        self.push_segment(size);
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
    fn a_segment_is_released_when_nothing_of_it_is_taken() {
        let mut allocator = Allocator::new(None);
        let [first, second] = [3 * MIB, 40 * MIB].map(|bytes| allocator.take(bytes));
        assert_eq!(allocator.release(), 0, "17 MiB of the first segment are free, and stay");
        allocator.give(second);
        assert_eq!((allocator.release(), allocator.release()), (40 * MIB, 0));
        allocator.give(first);
        assert_eq!(allocator.release(), SEGMENT);
        assert!(allocator.free_blocks().is_empty());
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
