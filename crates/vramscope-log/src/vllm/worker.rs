//! Process tags, and which rank is behind them.

/// Under which key loggers of this engine name the process in lines of JSON.
pub(crate) const PROCESS_NAME_KEY: &str = "vllm_process_name";

/// The workers of the first design, which are told apart by their process ids alone.
pub(crate) const V0_WORKER: &str = "VllmWorkerProcess";

/// The inside of a process tag, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worker<'a> {
    /// What stands before `pid=`, without a trailing space (`Worker_TP0`, `VllmWorker rank=0`).
    pub(crate) name: &'a str,
    /// The digits after `pid=`.
    pub(crate) pid: &'a str,
}

/// What tells the data-parallel engines of one log apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replica<'a> {
    Number(u32),
    Process(&'a str),
}

/// The data-parallel engine that the process of a tag is, or belongs to, where its name tells.
pub(crate) fn replica(tag: Option<&str>) -> Option<Replica<'_>> {
    Worker::of(tag?).replica()
}

/// Names that all workers of an engine share: only the process id tells them apart.
const SHARED_NAMES: &[&str] = &[
    "VllmWorkerProcess",
    "VllmWorker",
    "RayWorkerWrapper",
    "RayWorkerProc",
    "RayTrainWorker",
    "WorkerDict",
    "LLMWorker",
    "Worker",
    "WorkerProc",
];

/// Processes that are no workers. Where one of them prints a worker's line, the worker lives inside it.
const NOT_WORKERS: &[&str] =
    &["EngineCore", "APIServer", "ApiServer", "MainProcess", "DPCoordinator", "DPEngineCoreActor"];

impl<'a> Worker<'a> {
    /// The parts of a tag.
    pub(crate) fn of(tag: &'a str) -> Self {
        let at = tag.find("pid=").unwrap_or(tag.len());
        let pid = tag.get(at + 4..).unwrap_or("");
        let digits = pid.bytes().take_while(u8::is_ascii_digit).count();
        Self { name: tag[..at].trim_end(), pid: &pid[..digits] }
    }

    /// Whether it is an engine core or a front end.
    pub(crate) fn is_engine(&self) -> bool {
        NOT_WORKERS.iter().any(|name| self.name.starts_with(name))
    }

    /// Whether it is a front end, whose errors are about single requests.
    pub(crate) fn is_front_end(&self) -> bool {
        ["APIServer", "ApiServer", "DPCoordinator"].iter().any(|name| self.name.starts_with(name))
    }

    /// What tells it from the other processes: its name, or its process id where the name is shared by all.
    pub(crate) fn label(&self) -> &'a str {
        if SHARED_NAMES.contains(&self.name) { self.pid } else { self.name }
    }

    /// The data-parallel engine that it is, or belongs to, where its name tells: `EngineCore_DP1`, `Worker_DP1_TP0`,
    /// `EngineCore_1` up to 0.10.1, and under Ray an actor that only its process id tells apart.
    pub(crate) fn replica(&self) -> Option<Replica<'a>> {
        let numbered = || self.name.strip_prefix("EngineCore_")?.parse().ok();
        match self.part("DP").or_else(numbered) {
            Some(number) => Some(Replica::Number(number)),
            None => self.name.starts_with("DPEngineCoreActor").then_some(Replica::Process(self.pid)),
        }
    }

    /// The number after a letter pair of the name (`TP0`, `PP1`).
    fn part(&self, letters: &str) -> Option<u32> {
        self.name.split(['_', ' ']).find_map(|part| part.strip_prefix(letters)?.parse().ok())
    }

    /// Its rank: as the engine said for its process, else by its name.
    pub(crate) fn rank(&self, placements: &[Placement], tensor_size: Option<u32>) -> Option<u32> {
        if let Some(placed) = placements.iter().rev().find(|p| p.pid.as_deref() == Some(self.pid)) {
            return Some(placed.rank);
        }
        if let Some(rank) = self.name.split([' ', '_']).find_map(|part| part.strip_prefix("rank=")) {
            return rank.parse().ok();
        }
        match (self.part("PP"), self.part("TP")) {
            (None, Some(tensor)) => Some(tensor),
            (Some(pipeline), None) => pipeline.checked_mul(tensor_size.unwrap_or(1)),
            (Some(pipeline), Some(tensor)) => pipeline.checked_mul(tensor_size?)?.checked_add(tensor),
            (None, None) => None,
        }
    }
}

/// Where the engine said that a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// The process id of the tag, where the line has one.
    pub pid: Option<String>,
    /// The worker's number in its world.
    pub rank: u32,
    /// How many workers there are in it.
    pub world_size: u32,
    /// Data-parallel replica.
    pub data: u32,
    /// Pipeline stage.
    pub pipeline: u32,
    /// Tensor-parallel rank.
    pub tensor: u32,
    /// The line of the log.
    pub line: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_parallel_engines_are_told_apart() {
        let of = |tag| Worker::of(tag).replica();
        assert_eq!(of("EngineCore_DP3 pid=14"), Some(Replica::Number(3)));
        assert_eq!(of("EngineCore_1 pid=14"), Some(Replica::Number(1)));
        assert_eq!(of("Worker_DP2_TP1_EP5 pid=14"), Some(Replica::Number(2)));
        assert_eq!(of("DPEngineCoreActor pid=14, ip=192.0.2.10"), Some(Replica::Process("14")));
        assert_eq!((of("EngineCore pid=14"), of("Worker_TP1 pid=14"), of("APIServer pid=1")), (None, None, None));
    }

    #[test]
    fn tags_of_all_times() {
        let parts = |tag| {
            let w = Worker::of(tag);
            (w.label().to_owned(), w.rank(&[], Some(4)), w.is_engine())
        };
        assert_eq!(parts("Worker_TP3_EP3 pid=4118"), ("Worker_TP3_EP3".into(), Some(3), false));
        assert_eq!(parts("Worker_PP2 pid=1"), ("Worker_PP2".into(), Some(8), false));
        assert_eq!(parts("Worker_DP0_PP1_TP2 pid=1"), ("Worker_DP0_PP1_TP2".into(), Some(6), false));
        assert_eq!(parts("VllmWorkerProcess pid=7231"), ("7231".into(), None, false));
        assert_eq!(parts("VllmWorker rank=2 pid=2048"), ("VllmWorker rank=2".into(), Some(2), false));
        assert_eq!(parts("RayWorkerWrapper pid=7021, ip=192.0.2.10"), ("7021".into(), None, false));
        assert_eq!(parts("EngineCore_DP0 pid=370"), ("EngineCore_DP0".into(), None, true));
    }
}
