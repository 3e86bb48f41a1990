//! Names as small numbers, shared by all workers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::json::unescape;

/// A name's number.
pub(crate) type NameId = u32;

/// Bytes of names that are kept. A trace of a large model has 20,000 names of together 4 MiB; a file made of nothing
/// but different names must not take all memory.
const MAX_BYTES: usize = 48 << 20;

/// What names beyond the limit are called together.
const OVERFLOW: &[u8] = b"(more names)";

/// The table that all workers share. Names are kept as people read them: one name written with different escapes is one
/// name.
#[derive(Clone, Default)]
pub(crate) struct Names {
    shared: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    ids: HashMap<Arc<[u8]>, NameId>,
    names: Vec<Arc<[u8]>>,
    bytes: usize,
}

impl Names {
    /// A worker's view, with a table of its own of what it has met.
    pub(crate) fn cache(&self) -> NameCache {
        NameCache { names: self.clone(), met: HashMap::new() }
    }

    /// The number of a name and whether it was kept.
    fn intern(&self, name: &[u8]) -> (Arc<[u8]>, NameId, bool) {
        let mut table = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((kept, &id)) = table.ids.get_key_value(name) {
            return (Arc::clone(kept), id, true);
        }
        let fits = table.bytes + name.len() <= MAX_BYTES;
        let name = if fits { name } else { OVERFLOW };
        if let Some((kept, &id)) = table.ids.get_key_value(name) {
            return (Arc::clone(kept), id, fits);
        }
        let id = NameId::try_from(table.names.len()).unwrap_or(NameId::MAX);
        let kept: Arc<[u8]> = name.into();
        // The map, the list and each worker's map cost about this much beside the text.
        const OVERHEAD: usize = 128;
        table.bytes += kept.len() + OVERHEAD;
        table.ids.insert(Arc::clone(&kept), id);
        table.names.push(Arc::clone(&kept));
        (kept, id, fits)
    }

    /// All names by number.
    pub(crate) fn all(&self) -> Vec<Arc<[u8]>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).names.clone()
    }
}

/// The names that one worker has met, as they stand in the file.
pub(crate) struct NameCache {
    names: Names,
    met: HashMap<Arc<[u8]>, NameId>,
}

impl NameCache {
    /// The number of a name, and whether it was kept under that name.
    pub(crate) fn id(&mut self, name: &[u8]) -> (NameId, bool) {
        if let Some(&id) = self.met.get(name) {
            return (id, true);
        }
        let readable = unescape(name);
        let (kept, id, fits) = self.names.intern(readable.as_bytes());
        if fits {
            let key = if *kept == *name { kept } else { name.into() };
            self.met.insert(key, id);
        }
        (id, fits)
    }
}

/// A string of the file as people read it.
pub(crate) fn readable(raw: &[u8]) -> String {
    unescape(raw).into_owned()
}

/// A kept name as text.
pub(crate) fn kept(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_agree_on_numbers() {
        let names = Names::default();
        let (mut a, mut b) = (names.cache(), names.cache());
        let first = a.id(b"gemm");
        assert_eq!(b.id(b"gemm"), first);
        assert_ne!(b.id(b"attention").0, first.0);
        assert_eq!(&*names.all()[1], b"attention");
    }

    #[test]
    fn escapes_do_not_make_another_name() {
        let mut cache = Names::default().cache();
        assert_eq!(cache.id(br"\u00b5").0, cache.id("\u{b5}".as_bytes()).0);
        assert_eq!(cache.id(br"k\t").0, cache.id(br"k\u0009").0);
    }

    #[test]
    fn names_beyond_the_limit_are_one() {
        let names = Names::default();
        let mut cache = names.cache();
        let huge = vec![b'x'; MAX_BYTES + 1];
        assert_eq!(cache.id(&huge), (0, false));
        assert_eq!(cache.id(&huge), (0, false));
        assert_eq!(&*names.all()[0], OVERFLOW);
    }
}
