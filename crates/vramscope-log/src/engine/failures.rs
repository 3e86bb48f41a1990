//! The failures of one engine: what failed, what tells of it again, and what followed from it.

mod alike;

use vramscope_core::{Activity, Consequence, EngineKind, Event, Failure, FailureKind, LogTime, Milestone, RankFailure};

use crate::note::ParseNote;
use crate::vllm::failure::{Rank, rank};

/// Most different failures that are kept.
const MAX_FAILURES: usize = 256;
/// How far behind the error of a collective its library's own word for the cause stands at most: it prints both at once.
const ONE_ERROR_LINES: u64 = 16;

/// A failure as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) failure: Failure,
    /// Another process passes on what this one said.
    pub(crate) retold: bool,
    /// It is said without an error being raised, so that the engine may go on.
    pub(crate) may_pass: bool,
    /// The clock on the line, or on the nearest line before it that has one.
    pub(crate) at: Option<LogTime>,
}

/// A failure with what other processes said of the same event.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) failure: Failure,
    pub(super) retold: bool,
    may_pass: bool,
    pub(super) at: Option<LogTime>,
    /// The other processes that failed alike.
    pub(super) alike: Vec<Seen>,
}

impl From<Statement> for Seen {
    fn from(statement: Statement) -> Self {
        let Statement { failure, retold, may_pass, at } = statement;
        Self { failure, retold, may_pass, at, alike: Vec::new() }
    }
}

impl Seen {
    /// Whether it can be what went wrong. A shortage of devices may pass, but nothing else explains it.
    pub(super) fn stands(&self) -> bool {
        let alone = rank(&self.failure.kind) != Rank::Consequence || self.failure.kind == FailureKind::WaitingForGpus;
        alone && !self.retold
    }

    /// The failure, with each process that had it where several did.
    fn into_failure(self) -> Failure {
        let mut failure = self.failure;
        if !self.alike.is_empty() {
            let own = RankFailure::from(&failure);
            failure.ranks =
                std::iter::once(own).chain(self.alike.iter().map(|other| RankFailure::from(&other.failure))).collect();
        }
        failure
    }

    fn is_collective(&self) -> bool {
        self.failure.kind == FailureKind::Collective
    }

    /// Whether it follows from another one that is there already.
    fn follows_any(&self, earlier: &[Self]) -> bool {
        let causes = |other: &Self| other.stands() && rank(&other.failure.kind) == Rank::Cause;
        match (self.stands(), self.is_collective()) {
            (true, true) => earlier.iter().any(|other| causes(other) && !other.is_collective()),
            (stands, _) => !stands && earlier.iter().any(Self::stands),
        }
    }
}

/// All failures of an engine that is being read.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    seen: Vec<Seen>,
}

impl Failures {
    pub(crate) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Adds a failure; one that says the same as an earlier one is the same, printed by another process or again by the
    /// traceback. Gives whether a reader has not been told of it yet.
    pub(crate) fn add(&mut self, statement: Statement) -> bool {
        let retold = statement.retold;
        let failure = &statement.failure;
        // The first line of a refused configuration counts the errors; the next one says what they are.
        let counted = self
            .seen
            .iter_mut()
            .map(|seen| &mut seen.failure)
            .find(|known| known.kind == failure.kind && known.message.contains(" validation error"));
        if let Some(counted) = counted.filter(|_| failure.message.contains("Value error, ")) {
            counted.message.clone_from(&failure.message);
            return false;
        }
        // Of these engines one process prints, and what it prints behind an allocation that failed says what it was for.
        let says_more = retold && matches!(failure.engine, Some(EngineKind::LlamaCpp | EngineKind::Ollama));
        // Each process that finds no memory counts, even if it finds none in the same words.
        let same = |known: &Failure| {
            known.kind == failure.kind
                && (known.message == failure.message || failure.kind.name() != "other" && !says_more)
                && (!alike::is_exhausted(&failure.kind) || alike::of_one_process(known, failure))
        };
        if let Some(known) = self.seen.iter_mut().find(|seen| same(&seen.failure)) {
            // Who failed speaks for himself.
            if known.retold && !retold {
                *known = statement.into();
            }
            return false;
        }
        if self.seen.len() >= MAX_FAILURES {
            return false;
        }
        let seen = Seen::from(statement);
        let news = !seen.follows_any(&self.seen) && !self.seen.iter().any(|known| alike::is_of_one_event(known, &seen));
        self.seen.push(seen);
        news
    }

    /// The last failure that stands on a line.
    pub(crate) fn of_line(&mut self, line: u64) -> Option<&mut Failure> {
        self.seen.iter_mut().rev().map(|seen| &mut seen.failure).find(|failure| failure.origin.line == line)
    }

    /// What came after a failure tells whether it was one: a shortage of devices may pass, and processes that end because
    /// they were told to have not failed. An engine core that was ready did not fail to start. What follows from another
    /// failure is laid under it. Notes say what was left out.
    pub(crate) fn settle(self, events: &[Event]) -> (Vec<Failure>, Vec<ParseNote>) {
        use FailureKind::{EngineCoreDied, EngineCoreFailed, WaitingForGpus, WorkerDied};
        let line_of = |milestones: &[Milestone]| {
            events.iter().filter(|e| milestones.contains(&e.milestone)).map(|e| e.origin.line).collect::<Vec<_>>()
        };
        let ready = line_of(&[Milestone::WeightsLoaded, Milestone::EngineReady]);
        let at_work = line_of(&[Milestone::EngineReady, Milestone::ServerReady]);
        let told_to_end = line_of(&[Milestone::ShutdownBegan]);
        let (mut kept, mut notes) = (Vec::new(), Vec::new());
        for mut seen in alike::together(self.seen) {
            let may_pass = seen.may_pass;
            let failure = &mut seen.failure;
            let line = failure.origin.line;
            let note = match failure.kind {
                WaitingForGpus if ready.iter().any(|l| *l > line) => Some("the engine waited for devices, and went on"),
                _ if may_pass && ready.iter().any(|l| *l > line) => {
                    Some("an allocation failed, and the engine went on")
                }
                EngineCoreFailed | WorkerDied if told_to_end.iter().any(|l| *l < line) => {
                    Some("processes of the engine complain here, after it was told to end")
                }
                _ => None,
            };
            if let Some(note) = note {
                notes.push(ParseNote::new(line, note));
                continue;
            }
            let was_at_work = at_work.iter().any(|l| *l < line) || failure.message.contains(OF_WORK);
            if failure.kind == EngineCoreFailed && was_at_work {
                failure.kind = EngineCoreDied;
            }
            kept.push(seen);
        }
        let mut failures = attach(kept);
        for failure in &mut failures {
            let died = failure.consequences.iter().any(|follows| follows.kind == EngineCoreDied);
            // A log that begins late lacks the line that says that the engine is ready.
            if died && failure.activity == Some(Activity::Starting) {
                failure.activity = Some(Activity::Serving);
            }
        }
        (failures, notes)
    }
}

/// What the server says where the engine's core stops at work (`EngineDeadError`, since 0.8.5); of one that does not start
/// it says something else.
const OF_WORK: &str = "EngineCore encountered an issue.";

/// Lays each failure that follows from another one under it.
fn attach(seen: Vec<Seen>) -> Vec<Failure> {
    let heads: Vec<Option<usize>> = (0..seen.len()).map(|place| head(&seen, place)).collect();
    // A collective may fail because of what another one failed of; nothing goes deeper.
    let top = |place: usize| heads[place].map(|head| heads[head].unwrap_or(head));
    let mut failures: Vec<Option<Failure>> = seen.into_iter().map(|seen| Some(seen.into_failure())).collect();
    for place in 0..failures.len() {
        let Some(head) = top(place) else { continue };
        let follows = failures[place].take().map(Consequence::from);
        if let Some(head) = &mut failures[head] {
            head.consequences.extend(follows);
        }
    }
    failures.into_iter().flatten().collect()
}

/// The failure that one follows from, if it does: the nearest before it, or else after it, since processes write when
/// they can.
fn head(seen: &[Seen], place: usize) -> Option<usize> {
    let this = &seen[place];
    let nearest = |wanted: &dyn Fn(&Seen) -> bool| {
        let is = |other: &usize| *other != place && wanted(&seen[*other]);
        (0..place).rev().find(is).or_else(|| (place..seen.len()).find(is))
    };
    if this.stands() {
        if !this.is_collective() {
            return None;
        }
        let line = this.failure.origin.line;
        let own_word = |other: &Seen| {
            let behind = |said: &Failure| said.origin.line.checked_sub(line).is_some_and(|n| n <= ONE_ERROR_LINES);
            let out_of_memory = matches!(other.failure.kind, FailureKind::OutOfMemory { .. });
            let mut each = std::iter::once(&other.failure).chain(other.alike.iter().map(|a| &a.failure));
            out_of_memory && each.any(|said| behind(said) && said.origin.worker == this.failure.origin.worker)
        };
        let is_cause = |other: &usize| {
            seen[*other].stands() && rank(&seen[*other].failure.kind) == Rank::Cause && !seen[*other].is_collective()
        };
        return (0..place).rev().find(is_cause).or_else(|| (place..seen.len()).find(|other| own_word(&seen[*other])));
    }
    let standing = |wanted: Rank| nearest(&move |other: &Seen| other.stands() && rank(&other.failure.kind) == wanted);
    let standing = [Rank::Cause, Rank::Unknown, Rank::Consequence].into_iter().find_map(standing);
    // Where nothing says why, what says most stands for it: a cause in another's words, a process that died, the first.
    let spokesman = || {
        let words = |other: &Seen| rank(&other.failure.kind) != Rank::Consequence;
        let died = |other: &Seen| other.failure.kind == FailureKind::WorkerDied;
        seen.iter().position(words).or_else(|| seen.iter().position(died)).or(Some(0)).filter(|head| *head != place)
    };
    standing.or_else(spokesman)
}

#[cfg(test)]
mod tests {
    use vramscope_core::{Bytes, Failure, FailureKind};

    use crate::{LogParser, News};

    fn failures(log: &str) -> Vec<Failure> {
        let mut parser = LogParser::new();
        parser.push_bytes(log.as_bytes());
        parser.finish().engines.remove(0).facts.failures
    }

    const OUT: &str = "(Worker_TP2 pid=21) ERROR 07-17 15:09:17 [multiproc_executor.py:1007] torch.OutOfMemoryError: CUDA \
                       out of memory. Tried to allocate 896.00 MiB. GPU 2 has a total capacity of 95.00 GiB of which \
                       510.31 MiB is free.\n";
    const NOT_STARTED: &str = "(EngineCore pid=20) ERROR 07-17 15:09:17 [core.py:1330] EngineCore failed to start.\n";
    const RETOLD: &str = "(EngineCore pid=20) ERROR 07-17 15:09:17 [core.py:1330] RuntimeError: Worker failed with error \
                          'CUDA out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 95.00 GiB of \
                          which 507.50 MiB is free.', please check the stack trace above for the root cause\n";

    #[test]
    fn what_follows_from_a_known_cause_is_laid_under_it_in_any_order() {
        for log in [
            format!("{OUT}{NOT_STARTED}{RETOLD}"),
            format!("{NOT_STARTED}{OUT}{RETOLD}"),
            format!("{RETOLD}{NOT_STARTED}{OUT}"),
        ] {
            let found = failures(&log);
            assert_eq!(found.len(), 1, "{found:#?}");
            let FailureKind::OutOfMemory { tried, .. } = found[0].kind else { panic!("{found:?}") };
            assert_eq!((tried, found[0].rank), (Some(Bytes::new(896 << 20)), Some(2)));
            assert_eq!(found[0].consequences.len(), 2);
        }
    }

    #[test]
    fn words_of_another_process_stand_where_nobody_else_says_why() {
        let found = failures(&format!("{NOT_STARTED}{RETOLD}"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(matches!(found[0].kind, FailureKind::OutOfMemory { tried: Some(_), .. }), "{found:?}");
        let unknown = RETOLD.replace("CUDA out of memory.", "a shape is odd.");
        assert_eq!(failures(&format!("{unknown}{NOT_STARTED}"))[0].kind, FailureKind::Other);
    }

    #[test]
    fn two_causes_of_one_engine_both_stand() {
        let other = "(Worker_TP1 pid=20) ERROR 07-17 15:09:16 [core.py:1] ValueError: Model architectures ['Foo'] are not \
                     supported for now.\n";
        let found = failures(&format!("{other}{OUT}{NOT_STARTED}"));
        assert_eq!(found.iter().map(|f| f.consequences.len()).collect::<Vec<_>>(), [0, 1], "{found:#?}");
    }

    #[test]
    fn a_collective_that_finds_no_memory_is_out_of_memory_and_another_one_is_not() {
        let head = "(VllmWorker rank=7 pid=240) ERROR 05-21 09:27:40 [multiproc_executor.py:470] \
                    torch.distributed.DistBackendError: NCCL error in: /x/NCCLUtils.cpp:133, unhandled cuda error\n";
        for word in ["Cuda failure 'out of memory'", "Cuda failure 2 'out of memory'", "HIP failure 'out of memory'"] {
            let log = format!("{head}(VllmWorker rank=7 pid=240) Last error:\n(VllmWorker rank=7 pid=240) {word}\n");
            let found = failures(&log);
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(matches!(found[0].kind, FailureKind::OutOfMemory { .. }), "{word}: {found:?}");
            assert_eq!(found[0].consequences[0].kind, FailureKind::Collective);
        }
        assert_eq!(failures(head)[0].kind, FailureKind::Collective);
    }

    #[test]
    fn who_follows_a_log_is_told_the_cause_and_not_each_consequence() {
        let mut parser = LogParser::following();
        parser.push_bytes(format!("{OUT}{NOT_STARTED}{RETOLD}").as_bytes());
        let told = parser.take_news().iter().filter(|news| matches!(news, News::Failure { .. })).count();
        assert_eq!(told, 1);
    }
}
