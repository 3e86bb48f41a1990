//! What an engine was at when memory ran out.

use vramscope_core::{Activity, Failure, Milestone};

use super::Engine;
use crate::key::Key;

/// How far an error may stand from a frame of its traceback.
const MAX_TRACEBACK_LINES: u64 = 2000;

/// A function of the engine that a traceback has gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    function: Function,
    /// The line of the log.
    line: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    WakeUp,
    CaptureModel,
}

impl Frame {
    /// The frame that a line of a traceback is (`File "…/cumem.py", line 207, in wake_up`), if it tells what the engine
    /// was at.
    pub(crate) fn of(message: &str, line: u64) -> Option<Self> {
        let (_, function) = message.trim_start().strip_prefix("File \"")?.rsplit_once(", in ")?;
        let function = match function.trim_end() {
            "wake_up" => Function::WakeUp,
            "capture_model" => Function::CaptureModel,
            _ => return None,
        };
        Some(Self { function, line })
    }
}

impl Engine {
    /// What the engine was at when this failed, by the words of the failure, its traceback, and what had been done.
    pub(crate) fn activity(
        &self,
        failure: &Failure,
        dummy_requests: Option<u64>,
        frame: Option<Frame>,
    ) -> Option<Activity> {
        if failure.message.contains("when warming up ") {
            return Some(Activity::WarmingUpSampler { requests: dummy_requests });
        }
        if failure.message.contains("Unable to load model, a likely reason") {
            return Some(Activity::LoadingWeights);
        }
        let frame = frame.filter(|f| failure.origin.line.checked_sub(f.line).is_some_and(|n| n <= MAX_TRACEBACK_LINES));
        let function = frame.map(|f| f.function);
        // Its allocator raises an error only on waking; on its first allocation torch does.
        let raised_by_it = failure.message.contains("cumem_allocator") && failure.message.contains("Error: CUDA Error");
        if function == Some(Function::WakeUp) || failure.message.contains("wake_up") || raised_by_it || self.is_asleep()
        {
            return Some(Activity::WakingUp { freed: self.freed_by_sleep(failure.origin.worker.as_deref()) });
        }
        if function == Some(Function::CaptureModel) {
            return Some(Activity::CapturingGraphs);
        }
        self.reached(failure.origin.worker.as_deref())
    }

    /// Whether it fell asleep and has not woken since.
    fn is_asleep(&self) -> bool {
        let last = |key| self.of(key).map(|f| f.origin.line).last();
        last(Key::SleepFreed).is_some_and(|slept| last(Key::WakeSecs).is_none_or(|woke| woke < slept))
    }

    /// What falling asleep freed last, of this process, or else of any.
    fn freed_by_sleep(&self, worker: Option<&str>) -> Option<vramscope_core::Bytes> {
        let own = self.of(Key::SleepFreed).filter(|f| f.origin.worker.as_deref() == worker).last();
        let figure = own.or_else(|| self.of(Key::SleepFreed).last())?;
        // Memory that grew while falling asleep was not freed.
        Some(figure.memory()?.bytes.as_bytes().unwrap_or(vramscope_core::Bytes::ZERO))
    }

    fn reached(&self, worker: Option<&str>) -> Option<Activity> {
        use Milestone::{
            EngineReady, FirstTraffic, GraphsCaptured, KvPoolSized, LoadBegan, Profiled, ServerReady, WeightsLoaded,
        };
        let any = |wanted: &[Milestone]| self.events.iter().any(|e| wanted.contains(&e.milestone));
        let own = |wanted: Milestone| {
            worker.is_some()
                && self.events.iter().any(|e| e.milestone == wanted && e.origin.worker.as_deref() == worker)
        };
        if any(&[EngineReady, ServerReady, FirstTraffic]) {
            Some(Activity::Serving)
        } else if own(LoadBegan) && !own(WeightsLoaded) {
            Some(Activity::LoadingWeights)
        } else if any(&[GraphsCaptured, KvPoolSized, Profiled]) {
            Some(Activity::Starting)
        } else if any(&[WeightsLoaded]) {
            Some(Activity::Profiling)
        } else {
            any(&[LoadBegan]).then_some(Activity::LoadingWeights)
        }
    }
}
