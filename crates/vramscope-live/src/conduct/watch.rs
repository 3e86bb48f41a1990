//! Watches a running engine: its log, its end, the devices, and whoever wants to stop the run.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vramscope_analysis::ALLOCATED;
use vramscope_core::{Bytes, DeviceIndex, EngineKind, Milestone, Phase, SlowSample, on_one_line};
use vramscope_host::{Engine, EngineEvent, Exit, LogLine};
use vramscope_load::{Client, LoadEvent, LoadPlan};
use vramscope_log::News;
use vramscope_runs::layout;

use super::stop::{Stop, with_causes};
use super::{Conductor, RunEvent, container};
use crate::served::until_it_serves;
use crate::unready::Unready;
use crate::{ollama, scrape, transformers as probe};

/// How often the devices are looked at for people, and the engine's processes for the sampler.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// How often they are looked for where only the record wants them.
const PIDS: Duration = Duration::from_secs(1);
/// So many of them are recorded: more than any engine has, if not a script that starts programs without end.
const MOST_PIDS: usize = 4096;

/// So many characters of an error are repeated; the log has the rest.
const MOST_OF_AN_ERROR: usize = 400;

/// How a watch ended: the work was done, or the engine was.
enum Ended<T> {
    Work(T),
    Engine(Exit),
}

impl Conductor<'_> {
    /// Begins a phase; what comes before it in the order of phases cannot begin any more.
    pub(super) fn enter(&mut self, phase: Phase) -> Result<(), Stop> {
        self.phase = phase;
        self.recording.mark(phase).map_err(|error| Stop::recording(&error, phase))?;
        (self.observe)(RunEvent::Phase { phase, at: self.recording.elapsed() });
        match &self.hook {
            Some(hook) if phase == Phase::Shutdown => {
                hook.ask_for_end().map_err(|error| Stop::recording(&error, phase))
            }
            _ => Ok(()),
        }
    }

    /// Lets time pass, unless somebody stops the run.
    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), Stop> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let next = end.min(Instant::now() + LOOK);
            tokio::select! {
                () = self.cancel.cancelled() => return Err(Stop::interrupt(self.phase)),
                () = tokio::time::sleep_until(next) => self.look(None)?,
            }
        }
        Ok(())
    }

    /// Watches the engine until it ends by itself, well.
    pub(super) async fn until_the_end(&mut self, engine: &mut Engine) -> Result<(), Stop> {
        let limit = self.spec.times.ready.saturating_add(self.spec.times.work);
        self.ready_by = Instant::now().checked_add(self.spec.times.ready);
        match self.watch(engine, std::future::pending::<()>(), limit, "the benchmark", None).await? {
            Ended::Engine(exit) if exit.code == Some(0) => {
                self.exit = Some(exit);
                Ok(())
            }
            Ended::Engine(exit) => Err(self.died(exit).await),
            Ended::Work(()) => Ok(()),
        }
    }

    /// Watches the engine until its server answers, and holds the model of this name where it holds none by itself; gives
    /// the name of that.
    pub(super) async fn until_ready(
        &mut self,
        engine: &mut Engine,
        client: &Client,
        named: Option<&str>,
    ) -> Result<Option<String>, Stop> {
        let (client, attached) = (client.clone(), self.attached());
        let (loads, patience) = (self.engine == Some(EngineKind::Ollama), self.spec.times.ready);
        let ready = async move {
            until_it_serves(&client, attached).await.map_err(Unready::Asked)?;
            if loads { ollama::load(&client, named, patience).await } else { Ok(None) }
        };
        match self.watch(engine, ready, self.spec.times.ready, "the start of the engine", None).await? {
            Ended::Engine(exit) => Err(self.died(exit).await),
            Ended::Work(Err(Unready::Model(why))) => {
                Err(Stop::new("server_refused", self.phase, self.spec.secrets.hide(&why)))
            }
            Ended::Work(Err(Unready::Asked(error))) => {
                let kind = if error.is_about_access() { "access_refused" } else { "not_an_engine" };
                let message = self.spec.secrets.hide(&format!("failed to {}", with_causes(&error)));
                Err(Stop::new(kind, self.phase, message))
            }
            Ended::Work(Ok(loaded)) => {
                self.enter(Phase::Ready)?;
                let rest = tokio::time::sleep(self.spec.times.rest);
                match self.watch(engine, rest, Duration::MAX, "the rest before the first request", None).await? {
                    Ended::Engine(exit) => Err(self.died(exit).await),
                    Ended::Work(()) => Ok(loaded),
                }
            }
        }
    }

    /// The first model that the server lists.
    pub(super) async fn served_model(&mut self, client: &Client) -> Result<String, Stop> {
        let refused = |message| Stop::new("server_refused", self.phase, message);
        let listed = client.models().await.map_err(|error| refused(format!("failed to {}", with_causes(&error))))?;
        let first = listed.into_iter().next().map(|model| model.id);
        first.ok_or_else(|| refused("the server lists no model".to_owned()))
    }

    /// Sends the requests, reads the engine's metrics meanwhile, and keeps the result.
    pub(super) async fn load(&mut self, engine: &mut Engine, client: &Client, plan: &LoadPlan) -> Result<(), Stop> {
        let failed = |error: &(dyn std::error::Error + 'static), phase| Stop::recording(error, phase);
        let metrics = self.folder.lines(layout::METRICS).map_err(|error| failed(&error, self.phase))?;
        let (told, mut events) = unbounded_channel();
        let (sender, load_plan) = (client.clone(), plan.clone());
        // A task of its own: a flood of log lines must not delay requests. Dropping the sets ends the tasks.
        let mut scraping = JoinSet::new();
        scraping.spawn(scrape::scrape(client.clone(), metrics));
        let mut tasks = JoinSet::new();
        let (result, load) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            // A run that was stopped does not listen any more.
            let mut observe = |event| {
                let _ = told.send(event);
            };
            // Nobody waits for the result of a run that was stopped.
            let _ = result.send(vramscope_load::run(&sender, &load_plan, &mut observe).await);
        });
        let ended = self.watch(engine, load, self.spec.times.work, "the requests", Some(&mut events)).await?;
        let report = match ended {
            Ended::Engine(exit) => return Err(self.died(exit).await),
            Ended::Work(Err(_)) => {
                return Err(Stop::new("requests_failed", self.phase, "the sender of requests ended early".to_owned()));
            }
            Ended::Work(Ok(Err(error))) => {
                if let Some(stop) = self.dying(engine).await? {
                    return Err(stop);
                }
                let message = self.spec.secrets.hide(&format!("failed to {}", with_causes(&error)));
                return Err(Stop::new("requests_failed", self.phase, message));
            }
            Ended::Work(Ok(Ok(report))) => report,
        };
        if let Some(Ok(error)) = scraping.try_join_next() {
            return Err(failed(&error, self.phase));
        }
        scraping.shutdown().await;
        let mut text = Vec::new();
        report.write_serve_json(&mut text).map_err(|error| failed(&error, self.phase))?;
        self.folder.write(layout::BENCH, &text).map_err(|error| failed(&error, self.phase))?;
        let summary = report.summary();
        let sent = report.requests.len() as u64 + report.unsent;
        let whole = summary.completed == sent;
        if !whole && let Some(stop) = self.dying(engine).await? {
            return Err(stop);
        }
        if summary.completed == 0 {
            let message = format!("none of {sent} requests was answered");
            return Err(Stop::new("requests_failed", Phase::Measure, message));
        }
        Ok(())
    }

    /// Requests that fail are often the first sign of an engine that dies: gives it a moment to do so.
    async fn dying(&mut self, engine: &mut Engine) -> Result<Option<Stop>, Stop> {
        let moment = tokio::time::sleep(Duration::from_secs(2));
        match self.watch(engine, moment, Duration::MAX, "the end of the engine", None).await? {
            Ended::Engine(exit) => Ok(Some(self.died(exit).await)),
            Ended::Work(()) => Ok(None),
        }
    }

    /// Watches the engine until this is done, or the engine ends.
    pub(super) async fn until(
        &mut self,
        engine: &mut Engine,
        work: impl Future<Output = ()>,
    ) -> Result<Option<Exit>, Stop> {
        match self.watch(engine, work, Duration::MAX, "what its processes write", None).await? {
            Ended::Engine(exit) => Ok(Some(exit)),
            Ended::Work(()) => Ok(None),
        }
    }

    /// Reads what the engine said before it ended.
    pub(super) async fn drain(&mut self, engine: &mut Engine) -> Result<(), Stop> {
        loop {
            match engine.next().await {
                EngineEvent::Line(line) => self.line(&line)?,
                EngineEvent::LogLost { reason } => self.log_lost(reason),
                EngineEvent::Exited(_) => break,
            }
        }
        self.log.flush().map_err(|error| Stop::recording(&error, self.phase))
    }

    /// Memory in use on the engine's devices, by their last samples; `None` once one of those recorded is lost.
    pub(super) fn used(&self) -> Option<Bytes> {
        self.sum(&self.used_by_device()?)
    }

    pub(super) fn used_by_device(&self) -> Option<Vec<(DeviceIndex, Bytes)>> {
        self.recording.live(|live| {
            let seen = live.devices.iter().map(|device| {
                let last = device.last.filter(|_| device.lost.is_none())?;
                Some((device.device.index, last.reading.used))
            });
            seen.collect()
        })
    }

    /// The sum over the engine's devices; over all where the driver listed none of its processes.
    pub(super) fn sum(&self, used: &[(DeviceIndex, Bytes)]) -> Option<Bytes> {
        let own = used.iter().filter(|(device, _)| self.devices.is_empty() || self.devices.contains(device));
        Bytes::checked_sum(own.map(|(_, used)| *used))
    }

    /// The engine ended too early. One in somebody else's container may have gone with that.
    async fn died(&mut self, exit: Exit) -> Stop {
        let mut stop = Stop::exited(&exit, self.phase);
        // A container reports the signal that ended its processes as a code past 128.
        let killed = exit.code.is_none_or(|code| code > 128);
        if container::is_one(self.host)
            && self.phase == Phase::Launch
            && let Some(why) = not_started(&exit)
        {
            stop.kind = "engine_not_found";
            stop.message.push_str(&format!("; in the container {} {why}", self.spec.command.program));
        }
        self.exit = Some(exit);
        if let Some(error) = &self.first_error {
            stop.message.push_str(&format!("; the first error in its log: {error}"));
        }
        if let Some(name) = &self.spec.host.container
            && container::is_gone(self.host, name, killed).await
        {
            stop.kind = "container_gone";
            stop.message = format!("the container {name} was gone in the phase {}", self.phase);
        }
        stop
    }

    /// Goes on until the work is done, the engine ends, the limit runs out, the recording fails or somebody stops it.
    async fn watch<T>(
        &mut self,
        engine: &mut Engine,
        work: impl Future<Output = T>,
        limit: Duration,
        what: &str,
        mut events: Option<&mut UnboundedReceiver<LoadEvent>>,
    ) -> Result<Ended<T>, Stop> {
        let mut work = pin!(work);
        // Half a century stands for ever; the clock of the runtime takes no more.
        let deadline = Instant::now() + limit.min(Duration::from_secs(50 * 365 * 86_400));
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stop::interrupt(self.phase)),
                event = next_of(&mut events) => self.requests(event)?,
                _ = looks.tick() => {
                    self.look(Some(engine))?;
                    if self.phase < Phase::Ready && self.ready_by.is_some_and(|by| Instant::now() >= by) {
                        return Err(Stop::timed_out("the start of the engine", self.spec.times.ready, self.phase));
                    }
                    if Instant::now() >= deadline {
                        return Err(Stop::timed_out(what, limit, self.phase));
                    }
                }
                done = &mut work => {
                    while let Some(event) = events.as_mut().and_then(|events| events.try_recv().ok()) {
                        self.requests(event)?;
                    }
                    return Ok(Ended::Work(done));
                }
                event = engine.next() => match event {
                    EngineEvent::Line(line) => self.line(&line)?,
                    EngineEvent::LogLost { reason } => self.log_lost(reason),
                    EngineEvent::Exited(exit) => return Ok(Ended::Engine(exit)),
                },
            }
        }
    }

    /// A line of the log: kept, read, and shown.
    fn line(&mut self, line: &LogLine) -> Result<(), Stop> {
        // Where the other stream speaks while a line is open, the line ends here: a log has one line at a time.
        if self.open_line.is_some_and(|stream| stream != line.stream) {
            self.keep(b"", true)?;
        }
        self.open_line = (!line.ended).then_some(line.stream);
        let bytes = self.spec.secrets.hide_bytes(&line.bytes);
        self.keep(&bytes, line.ended)?;
        for news in self.parser.take_news() {
            if let News::Event(event) = news {
                self.milestone(event.milestone)?;
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        // Of a progress bar the last state counts.
        let shown = text.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default().trim_end();
        // A probe that has failed comes to its end all the same, and that is no phase of its work.
        if let Some(phase) = probe::phase_of(shown).filter(|phase| *phase > self.phase && !self.probe_failed) {
            self.enter(phase)?;
        }
        if let Some(why) = probe::failure_of(shown) {
            self.probe_failed = true;
            self.first_error = Some(on_one_line(why));
        }
        if self.first_error.is_none() {
            self.first_error = exception(shown).map(on_one_line);
        }
        if !shown.is_empty() {
            (self.observe)(RunEvent::Line(shown.to_owned()));
        }
        Ok(())
    }

    /// Keeps a piece of the log and reads it.
    fn keep(&mut self, bytes: &[u8], ended: bool) -> Result<(), Stop> {
        self.log.push(bytes, ended).map_err(|error| Stop::recording(&error, self.phase))?;
        self.parser.push_bytes(bytes);
        if ended {
            self.parser.push_bytes(b"\n");
        } else if bytes.contains(&b'\r') {
            // The state of a progress bar is whole as soon as it is drawn; its next state may be an iteration away.
            self.parser.push_bytes(b"\r");
        }
        Ok(())
    }

    fn log_lost(&mut self, reason: String) {
        let note = format!("engine.log: {reason}");
        (self.observe)(RunEvent::Note(note.clone()));
        self.notes.push(note);
    }

    /// A milestone of the engine's log begins a phase, unless a later one has begun. A server's requests are seen from
    /// here, so its log decides only the load.
    fn milestone(&mut self, milestone: Milestone) -> Result<(), Stop> {
        let own = matches!(self.spec.workload, crate::Workload::OwnBenchmark { .. });
        if milestone == Milestone::Allocated && !self.attached() {
            self.marks.push((ALLOCATED, scrape::unix_ns()));
        }
        let phase = match milestone {
            Milestone::LoadBegan | Milestone::WeightsLoaded => Phase::Load,
            Milestone::EngineReady if own => Phase::Ready,
            Milestone::WarmupBegan if own => Phase::Warmup,
            Milestone::MeasureBegan if own => Phase::Measure,
            Milestone::MeasureEnded | Milestone::ShutdownBegan if own => Phase::Shutdown,
            _ => return Ok(()),
        };
        if phase > self.phase && !self.attached() { self.enter(phase) } else { Ok(()) }
    }

    /// What the sender of requests tells.
    fn requests(&mut self, event: LoadEvent) -> Result<(), Stop> {
        match event {
            LoadEvent::WarmupStarted { requests, .. } => {
                self.enter(Phase::Warmup)?;
                (self.observe)(RunEvent::Requests { done: 0, total: requests, failed: 0 });
            }
            LoadEvent::MeasureStarted { requests, .. } => {
                self.enter(Phase::Measure)?;
                (self.observe)(RunEvent::Requests { done: 0, total: requests.unwrap_or(0), failed: 0 });
            }
            LoadEvent::RequestDone { measured, done, failed, .. } => {
                let crate::Workload::Served { plan, .. } = &self.spec.workload else { return Ok(()) };
                let total = if measured { plan.requests().unwrap_or(0) } else { plan.warmup_requests };
                (self.observe)(RunEvent::Requests { done, total, failed });
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes the engine's processes: for the sampler, if it measures them, and for the record, which needs them less
    /// often.
    fn look_for_processes(&mut self, engine: &Engine) {
        let now = self.recording.elapsed();
        let due = self.looked_for_pids.is_none_or(|last| now.saturating_sub(last) >= PIDS);
        if self.spec.processes.is_none() && !due {
            return;
        }
        self.looked_for_pids = Some(now);
        let pids = engine.pids();
        let room = MOST_PIDS.saturating_sub(self.pids.len());
        self.pids.extend(pids.iter().copied().take(room));
        let own = |slow: &SlowSample| slow.reading.processes.iter().flatten().any(|p| self.pids.contains(&p.pid));
        let found: Vec<DeviceIndex> = self.recording.live(|live| {
            let slow = live.devices.iter().filter_map(|device| device.last_slow.as_ref());
            slow.filter(|slow| own(slow)).map(|slow| slow.device).collect()
        });
        self.devices.extend(found);
        if let Some(tree) = &self.spec.processes {
            tree.watch(pids);
        }
    }

    /// Looks at the devices for people, at the engine's processes for the sampler, and at the recording for itself.
    pub(super) fn look(&mut self, engine: Option<&Engine>) -> Result<(), Stop> {
        if let Some(engine) = engine {
            self.look_for_processes(engine);
        }
        if let Some(used) = self.used() {
            (self.observe)(RunEvent::Memory { used, at: self.recording.elapsed() });
        }
        self.log.flush().map_err(|error| Stop::recording(&error, self.phase))?;
        let (lost, unwritten) = self.recording.live(|live| {
            let lost = live.devices.iter().find_map(|device| {
                device.lost.as_ref().map(|why| format!("device {} is lost: {why}", device.device.index))
            });
            (lost, live.write_failed.clone())
        });
        if let Some(why) = unwritten {
            return Err(Stop::timeline(&why, self.phase));
        }
        lost.map_or(Ok(()), |why| Err(Stop::new("device_lost", self.phase, why)))
    }
}

/// What the shell means with which a container's engine begins; the daemon itself starts only that.
fn not_started(exit: &Exit) -> Option<&'static str> {
    match exit.code {
        Some(126) => Some("may not be executed"),
        Some(127) => Some("is not there, or what it asks for is not"),
        _ => None,
    }
}

/// The last line of a Python traceback, without what a logger puts before it: `ValueError: what is wrong`.
fn exception(line: &str) -> Option<&str> {
    let end = line.find("Error: ")?;
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let start = line[..end].rfind(|c| !name(c)).map_or(0, |at| at + 1);
    // A warning may quote what could be raised.
    if line[..start].ends_with(['`', '\'', '"']) {
        return None;
    }
    // `ERROR 11-25 …` has its own word before the clock, and what follows an exception's name is a sentence.
    let text = &line[start..];
    let bound = text.char_indices().nth(MOST_OF_AN_ERROR).map_or(text.len(), |(at, _)| at);
    text.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_lowercase()).then(|| &text[..bound])
}

/// The next event, if there are any to come.
async fn next_of(events: &mut Option<&mut UnboundedReceiver<LoadEvent>>) -> LoadEvent {
    if let Some(events) = events
        && let Some(event) = events.recv().await
    {
        return event;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use vramscope_core::on_one_line;

    use super::exception;

    #[test]
    fn an_exception_is_found_behind_what_a_logger_puts_before_it() {
        let logged = "(EngineCore pid=102) ERROR 11-25 19:51:38 [core.py:1510] RuntimeError: Insufficient space";
        assert_eq!(exception(logged), Some("RuntimeError: Insufficient space"));
        assert_eq!(
            exception("torch.OutOfMemoryError: CUDA out of memory."),
            Some("torch.OutOfMemoryError: CUDA out of memory.")
        );
        let quoted =
            "WARNING 11-26 01:34:21 [system_utils.py:255] This can cause errors like `OSError: [Errno 24] Too many`.";
        assert_eq!(exception(quoted), None);
        assert_eq!(exception("ERROR 11-25 19:51:38 [core.py:1510]     raise RuntimeError("), None);
        assert_eq!(on_one_line("ValueError: a\u{1b}[2Jb"), "ValueError: a[2Jb");
        assert_eq!(exception(&format!("ValueError: {}", "x".repeat(900))).map(str::len), Some(400));
    }
}
