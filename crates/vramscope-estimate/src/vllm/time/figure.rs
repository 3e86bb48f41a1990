//! Times with their interval, and what bounds them.

/// What bounds a step: the largest part of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// Reading weights.
    WeightBandwidth,
    /// Reading the KV cache and recurrent states.
    KvBandwidth,
    /// Multiplying matrices, and attention's own products.
    Compute,
    /// Starting kernels, one after the other.
    Launch,
    /// The program that prepares and starts steps.
    Host,
    /// Sums over ranks, and what stages hand on.
    Communication,
}

impl Bound {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WeightBandwidth => "weight_bandwidth",
            Self::KvBandwidth => "kv_bandwidth",
            Self::Compute => "compute",
            Self::Launch => "launch",
            Self::Host => "host",
            Self::Communication => "communication",
        }
    }
}

/// The parts of a time, which add up to it. Unit: seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct StepParts {
    /// Reading weights.
    pub weights: f64,
    /// Reading the KV cache and recurrent states.
    pub kv: f64,
    /// Products of matrices, as far as they take longer than reading what is multiplied, and attention's.
    pub compute: f64,
    /// Starting kernels.
    pub launch: f64,
    /// Sums over ranks, and what stages hand on.
    pub communication: f64,
    /// What the host takes longer than the device: it prepares and starts the next step meanwhile.
    pub host: f64,
}

impl StepParts {
    /// All together.
    pub fn sum(&self) -> f64 {
        self.weights + self.kv + self.compute + self.launch + self.communication + self.host
    }

    /// Each part so many times, beside another.
    pub(super) fn plus(&self, other: &Self, times: f64) -> Self {
        Self {
            weights: self.weights + other.weights * times,
            kv: self.kv + other.kv * times,
            compute: self.compute + other.compute * times,
            launch: self.launch + other.launch * times,
            communication: self.communication + other.communication * times,
            host: self.host + other.host * times,
        }
    }

    /// What bounds a step: the host where the device waits for it, else the device's largest part.
    pub fn bound(&self) -> Bound {
        if self.host > 0.0 && self.host >= 0.05 * self.sum() {
            return Bound::Host;
        }
        let parts = [
            (self.weights, Bound::WeightBandwidth),
            (self.kv, Bound::KvBandwidth),
            (self.compute, Bound::Compute),
            (self.launch, Bound::Launch),
            (self.communication, Bound::Communication),
        ];
        parts.into_iter().max_by(|one, other| one.0.total_cmp(&other.0)).map_or(Bound::Host, |(_, bound)| bound)
    }
}

/// A predicted time. Unit: seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Seconds {
    /// The most likely value.
    pub value: f64,
    /// The least that is still likely.
    pub low: f64,
    /// The most that is still likely; `None` where nothing bounds it from above, as with a host that nobody measured.
    pub high: Option<f64>,
}
