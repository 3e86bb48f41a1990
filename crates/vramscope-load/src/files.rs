//! Room for connections: each takes a file descriptor.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::error::LoadError;

/// Descriptors that are kept free beside the connections where the limits allow it: for a log, an output, an engine's pipes.
const SPARE: u64 = 64;
/// Those without which a load cannot be: its loop, its timer, the connection on which metrics are read, its output.
const LEAST: u64 = 8;

/// Makes room for so many connections: raises the soft limit of open files towards the hard one, never lowers it. Where
/// that is not enough for what `must` be, it says so.
pub(crate) fn make_room(connections: u64, must: bool) -> Result<(), LoadError> {
    let open = std::fs::read_dir("/proc/self/fd").map_or(SPARE, |list| list.count() as u64);
    let least = connections.saturating_add(open).saturating_add(LEAST);
    let needed = least.saturating_add(SPARE);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised =
        rustix::process::Rlimit { current: Some(limit.maximum.map_or(needed, |most| most.min(needed))), ..limit };
    let allowed = if setrlimit(Resource::Nofile, raised).is_ok() { raised.current } else { limit.current };
    match allowed {
        Some(allowed) if must && allowed < least => Err(LoadError::OpenFiles { needed: least, allowed }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_limit_allows_is_refused_with_both_numbers() {
        make_room(1, true).unwrap();
        make_room(u64::MAX >> 1, false).unwrap();
        let Err(LoadError::OpenFiles { needed, allowed }) = make_room(u64::MAX >> 1, true) else {
            assert!(getrlimit(Resource::Nofile).maximum.is_none(), "only no limit at all allows that");
            return;
        };
        assert!(needed > allowed);
    }
}
