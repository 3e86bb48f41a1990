//! Why a GPU is idle.

/// Why a GPU is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The host had not launched the next operation, and was not waiting.
    HostBound,
    /// The next operation was launched and had not begun.
    KernelWait,
    /// The host had not launched the next operation because it was in a call that waits for the GPU.
    Sync,
    /// The call that launched the next operation is not in the trace.
    Other,
}

impl Cause {
    /// How many there are.
    pub(crate) const COUNT: usize = 4;

    /// All of them, in the order in which tables show them.
    pub const ALL: [Self; Self::COUNT] = [Self::HostBound, Self::KernelWait, Self::Sync, Self::Other];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostBound => "host_bound",
            Self::KernelWait => "kernel_wait",
            Self::Sync => "sync",
            Self::Other => "other",
        }
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::HostBound => "nothing was launched: the host was busy elsewhere",
            Self::KernelWait => "launched, but not begun: launch latency or a dependency",
            Self::Sync => "nothing was launched: the host was in a call that waits for the GPU",
            Self::Other => "the launching call is not in the trace",
        }
    }

    /// Its place in [`Self::ALL`].
    pub(crate) fn place(self) -> usize {
        match self {
            Self::HostBound => 0,
            Self::KernelWait => 1,
            Self::Sync => 2,
            Self::Other => 3,
        }
    }
}
