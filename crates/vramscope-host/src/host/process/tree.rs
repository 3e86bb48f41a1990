//! The processes of one engine, found again in `/proc` however they try to leave.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};

/// The variable that marks every process of an engine. Children inherit it through sessions and double forks; only a
/// process that cleans its environment, or writes its title over it as vLLM's workers do, loses it.
pub(crate) const MARK: &str = "VRAMSCOPE_ENGINE";

/// A process as `/proc/PID/stat` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) dead: bool,
    parent: u32,
    group: u32,
    session: u32,
    /// When it was started, in ticks since boot: with the id, it is this process and no later one.
    pub(crate) started: u64,
}

impl Stat {
    /// Reads one process. The command's name stands in parentheses and may itself hold any character.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: u32, text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
        Some(Self {
            pid,
            dead: matches!(*fields.first()?, "Z" | "X"),
            parent: number(1)?,
            group: number(2)?,
            session: number(3)?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Every process of this machine that can be read.
pub(crate) fn everything() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Stat::of).collect()
}

/// The processes of an engine: its first process, all that descend from it, its group, its session, and all that carry
/// its mark.
#[derive(Debug)]
pub(crate) struct Tree {
    root: u32,
    root_started: u64,
    mark: Option<String>,
    /// Those found so far, by id, with their start.
    known: BTreeMap<u32, u64>,
    /// Those that were asked for the mark and do not have it.
    foreign: BTreeMap<u32, u64>,
    /// The session of this process.
    session: Option<u32>,
    live: Option<Live>,
}

/// How many trees this process watches.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// One of them.
#[derive(Debug)]
struct Live;

impl Live {
    fn new() -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tree {
    /// `mark` is the text `NAME=VALUE` of the variable.
    pub(crate) fn new(root: u32, mark: String) -> Self {
        let root_started = Stat::of(root).map_or(0, |stat| stat.started);
        let known = BTreeMap::from([(root, root_started)]);
        let session = Stat::of(std::process::id()).map(|stat| stat.session);
        let (mark, live) = (Some(mark), Some(Live::new()));
        Self { root, root_started, mark, known, foreign: BTreeMap::new(), session, live }
    }

    /// The tree of a process that is not to be ended from here.
    pub(crate) fn of(root: Stat, mark: Option<String>) -> Self {
        let known = BTreeMap::from([(root.pid, root.started)]);
        let foreign = BTreeMap::new();
        Self { root: root.pid, root_started: root.started, mark, known, foreign, session: None, live: None }
    }

    /// Nothing of it is alive, so what else comes to this process is of another engine.
    pub(crate) fn is_gone(&mut self) {
        self.live = None;
    }

    pub(crate) fn root(&self) -> u32 {
        self.root
    }

    pub(crate) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// The living processes with their start. Dead ones that came to this process as their new parent are reaped.
    pub(crate) fn living(&mut self) -> Vec<(u32, u64)> {
        let all = everything();
        self.known.retain(|pid, started| all.iter().any(|stat| (stat.pid, stat.started) == (*pid, *started)));
        self.foreign.retain(|pid, started| all.iter().any(|stat| (stat.pid, stat.started) == (*pid, *started)));
        // A child may stand before its parent in the list, so it is gone through until nothing is new.
        loop {
            let before = self.known.len();
            for stat in &all {
                if self.known.get(&stat.pid) != Some(&stat.started) && self.belongs(stat) {
                    self.known.insert(stat.pid, stat.started);
                }
            }
            if self.known.len() == before {
                break;
            }
        }
        let ours = |stat: &&Stat| self.known.get(&stat.pid) == Some(&stat.started);
        for stat in all.iter().filter(ours) {
            if stat.dead && stat.pid != self.root && stat.parent == std::process::id() {
                reap(stat.pid);
            }
        }
        all.iter().filter(ours).filter(|stat| !stat.dead).map(|stat| (stat.pid, stat.started)).collect()
    }

    fn belongs(&mut self, stat: &Stat) -> bool {
        if stat.started < self.root_started {
            return false;
        }
        if stat.group == self.root || stat.session == self.root || self.known.contains_key(&stat.parent) {
            return true;
        }
        if self.adopted(stat) {
            return true;
        }
        let Some(mark) = &self.mark else { return false };
        if self.foreign.get(&stat.pid) == Some(&stat.started) {
            return false;
        }
        // Another user's process cannot be read, and none of ours becomes one without leaving a parent that is.
        let environment = fs::read(format!("/proc/{}/environ", stat.pid)).unwrap_or_default();
        let marked = environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes());
        // Between fork and exec there may be nothing to read yet.
        if !marked && !environment.is_empty() {
            self.foreign.insert(stat.pid, stat.started);
        }
        marked
    }

    /// Whether it lost its parent, came to this process, and can only be of this engine. What this process starts
    /// itself stays in its session, and while two engines run nobody can say whose it is.
    fn adopted(&self, stat: &Stat) -> bool {
        let mine = self.session.is_some_and(|mine| stat.session != mine) && stat.parent == std::process::id();
        mine && LIVE.load(Ordering::SeqCst) == 1
    }

    /// Sends a signal to the group and to each living process. The first process is not reaped before its tree is gone,
    /// so the group's number cannot be anybody else's.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Some(group) = pid(self.root) {
            // There may be nobody left in it.
            let _ = kill_process_group(group, signal);
        }
        for (id, started) in self.living() {
            let same = Stat::of(id).filter(|stat| stat.started == started && stat.group != self.root);
            if let Some(process) = same.and_then(|stat| pid(stat.pid)) {
                // It may have ended in the meantime, which is what is wanted.
                let _ = kill_process(process, signal);
            }
        }
    }
}

/// A process id as the system's calls take it.
pub(crate) fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn reap(id: u32) {
    // Another thread may have reaped it.
    let _ = waitpid(pid(id), WaitOptions::NOHANG);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) S (b) R 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 5 18446744073709551615 1 1";
        let stat = Stat::parse(7, text).unwrap();
        assert_eq!((stat.parent, stat.group, stat.session, stat.started), (1, 2, 3, 4242));
        assert!(!stat.dead);
        for bad in ["", "7 (sh", "7 (sh) S 1", "7 (sh) S x 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242"] {
            assert_eq!(Stat::parse(7, bad), None);
        }
    }

    #[test]
    fn this_process_is_seen() {
        let me = std::process::id();
        assert!(everything().iter().any(|stat| stat.pid == me && !stat.dead));
    }
}
