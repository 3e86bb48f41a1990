//! How many events there are of each phase and category.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::names::readable;

/// Kinds that are told apart. Real traces have fewer than 40.
const MAX_KINDS: usize = 4096;

/// Events by phase and category.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    rows: Vec<Row>,
    last: usize,
}

#[derive(Debug, Clone)]
struct Row {
    phase: Option<Box<[u8]>>,
    category: Option<Box<[u8]>>,
    count: u64,
}

impl Counts {
    #[inline]
    pub(crate) fn add(&mut self, event: &Event<'_>) {
        let same = |row: &Row| row.phase.as_deref() == event.phase && row.category.as_deref() == event.category;
        if let Some(row) = self.rows.get_mut(self.last).filter(|row| same(row)) {
            row.count += 1;
            return;
        }
        self.last = match self.rows.iter().position(same) {
            Some(at) => at,
            None if self.rows.len() < MAX_KINDS => {
                self.rows.push(Row {
                    phase: event.phase.map(Into::into),
                    category: event.category.map(Into::into),
                    count: 0,
                });
                self.rows.len() - 1
            }
            None => self.rows.len() - 1,
        };
        if let Some(row) = self.rows.get_mut(self.last) {
            row.count += 1;
        }
    }

    /// The counts of all workers, as `phase|category`; `None` stands for a key that is absent.
    pub(crate) fn table<'a>(shards: impl Iterator<Item = &'a Self>) -> BTreeMap<String, u64> {
        let mut table = BTreeMap::new();
        let word = |raw: &Option<Box<[u8]>>| raw.as_deref().map_or_else(|| "None".to_owned(), readable);
        for row in shards.flat_map(|shard| &shard.rows) {
            *table.entry(format!("{}|{}", word(&row.phase), word(&row.category))).or_default() += row.count;
        }
        table
    }
}
