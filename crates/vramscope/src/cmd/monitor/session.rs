//! A recording with all that can end it, and its end.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use vramscope_core::{DeviceIndex, escape_controls};
use vramscope_sampler::{Finished, Live, Recording, SamplerError};
use vramscope_schema::ExitCode;
use vramscope_timeline::document::{Ending, Line, TimelineReport};
use vramscope_timeline::{AnalysisOptions, RecordingFile, analyse};

use super::command::Accompanied;
use super::lines;
use super::outputs::{Destination, Failures, Kind};
use super::row::gib;
use super::signals::Signals;
use super::watch::{Moment, Watch};
use crate::exit::Answer;
use crate::output;
use crate::timeline_report;

/// What ends a recording is looked for this often: each look costs about as much as a reading.
const LOOK: Duration = Duration::from_millis(250);
/// As often where a program runs, whose end nobody likes to wait for.
const LOOK_AT_PROGRAM: Duration = Duration::from_millis(100);

/// Why a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its time was over, or a person had seen enough.
    Done,
    /// A signal.
    Signal,
    /// The program ended with this code.
    Command(u8),
    /// No device answers any more.
    DevicesLost,
    /// The file could not be written.
    WriteFailed,
    /// Whoever read the lines has seen enough.
    Closed,
}

/// What a session is made of.
pub(super) struct Setup {
    pub(super) watch: Arc<Mutex<Watch>>,
    /// The process or container that was asked for.
    pub(super) own: Option<String>,
    pub(super) failures: Arc<Mutex<Failures>>,
    pub(super) signals: Signals,
    pub(super) command: Option<Accompanied>,
    pub(super) destination: Option<Destination>,
}

/// A recording under way.
pub(super) struct Session<'s> {
    recording: Recording<'s>,
    setup: Setup,
    duration: Option<Duration>,
    told: Told,
    /// What a person must know, where stderr is not to be written on meanwhile.
    held: Option<Vec<String>>,
}

/// What has been said already.
#[derive(Debug, Default)]
struct Told {
    lost: BTreeSet<DeviceIndex>,
    stalled: bool,
    write_failed: bool,
}

impl<'s> Session<'s> {
    pub(super) fn new(recording: Recording<'s>, setup: Setup, duration: Option<Duration>) -> Self {
        Self { recording, setup, duration, told: Told::default(), held: None }
    }

    /// Looks at the recording.
    pub(super) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.setup.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state now.
    pub(super) fn look(&self) -> Moment {
        let moment = self.watch().look();
        Moment { now: self.recording.elapsed(), ..moment }
    }

    /// The process or container that was asked for.
    pub(super) fn own(&self) -> Option<&str> {
        self.setup.own.as_deref()
    }

    /// Where it is recorded.
    pub(super) fn path(&self) -> Option<&Path> {
        self.setup.destination.as_ref().map(|destination| destination.path.as_path())
    }

    /// Keeps messages until [`Self::speak`], for a view that fills the terminal.
    pub(super) fn hold(&mut self) {
        self.held = Some(Vec::new());
    }

    /// Says what was kept.
    pub(super) fn speak(&mut self) {
        self.held.take().into_iter().flatten().for_each(|message| output::say(&message));
    }

    /// The last message, for a view that fills the terminal.
    pub(super) fn last_message(&self) -> Option<&str> {
        self.held.as_ref()?.last().map(String::as_str)
    }

    fn say(&mut self, message: String) {
        match &mut self.held {
            Some(held) => held.push(message),
            None => output::say(&message),
        }
    }

    /// Whether it is over; to be called some times a second.
    pub(super) fn over(&mut self) -> anyhow::Result<Option<Why>> {
        let news = self.recording.live(|live| self.told.news(live));
        news.into_iter().for_each(|message| self.say(message));
        let (file_failed, closed) = self.failures();
        let caught = self.setup.signals.take();
        if let Some(command) = &mut self.setup.command {
            // The program's end is the recording's end, whatever happens meanwhile.
            caught.into_iter().for_each(|caught| command.forward(caught));
            return Ok(command.ended().context("could not wait for the command")?.map(Why::Command));
        }
        let lost = self.recording.live(|live| live.devices.iter().all(|device| device.lost.is_some()));
        let elapsed = self.duration.is_some_and(|duration| self.recording.elapsed() >= duration);
        let reasons = [
            (!caught.is_empty(), Why::Signal),
            (file_failed, Why::WriteFailed),
            (closed, Why::Closed),
            (lost, Why::DevicesLost),
            (elapsed, Why::Done),
        ];
        Ok(reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why))
    }

    /// Whether the file failed, which is said once, and whether the stream was closed.
    fn failures(&mut self) -> (bool, bool) {
        let failures = self.setup.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let file = failures.file.as_ref().map(io::Error::to_string);
        let closed = failures.stream.is_some();
        drop(failures);
        if let Some(error) = &file
            && !std::mem::replace(&mut self.told.write_failed, true)
        {
            let failed = self.setup.destination.as_ref().map(|to| could_not_write(to, error)).unwrap_or_default();
            self.say(failed);
        }
        (file.is_some(), closed)
    }

    /// How long to wait before the next look: not beyond the end, nor beyond what is to be done at this time.
    pub(super) fn pause(&self, until: Option<Duration>) -> Duration {
        let usual = if self.setup.command.is_some() { LOOK_AT_PROGRAM } else { LOOK };
        let now = self.recording.elapsed();
        let ends = self.duration.into_iter().chain(until).map(|end| end.saturating_sub(now));
        ends.fold(usual, Duration::min)
    }

    /// Waits for the end and shows nothing.
    pub(super) fn wait(&mut self) -> anyhow::Result<Why> {
        loop {
            if let Some(why) = self.over()? {
                return Ok(why);
            }
            std::thread::sleep(self.pause(None));
        }
    }

    /// Prints lines until the end.
    pub(super) fn lines(&mut self, on_stderr: bool) -> anyhow::Result<Why> {
        let second = Duration::from_secs(1);
        let mut next = second;
        loop {
            if let Some(why) = self.over()? {
                return Ok(why);
            }
            let now = self.recording.elapsed();
            if now >= next {
                next = now + second - Duration::from_nanos(u64::from(now.subsec_nanos()));
                let moment = self.look();
                let text = lines::lines(&moment, output::width()).join("\n") + "\n";
                if on_stderr {
                    output::say(text.trim_end());
                } else if output::print(&text).is_err() {
                    return Ok(Why::Closed);
                }
            }
            std::thread::sleep(self.pause(Some(next)));
        }
    }

    /// Ends the recording, prints the summary, and says what to answer.
    pub(super) fn end(self, why: &Why, as_json: bool) -> anyhow::Result<Answer> {
        let Self { recording, setup, mut told, .. } = self;
        let ending = match why {
            Why::Signal => Ending::Interrupted,
            Why::DevicesLost => Ending::DevicesLost,
            _ => Ending::Finished,
        };
        let hangs = recording.live(|live| live.stalled.is_some());
        let live = recording.live_handle();
        let finished = match recording.finish_as(ending) {
            Ok(finished) => finished,
            Err(SamplerError::Write { finished, .. }) => *finished,
            Err(error) => return Err(anyhow::Error::new(error).context("failed to end the recording")),
        };
        setup.signals.release();
        let news = told.news(&live.lock().unwrap_or_else(PoisonError::into_inner));
        news.iter().for_each(|message| output::say(message));
        let moment = setup.watch.lock().unwrap_or_else(PoisonError::into_inner).look();
        let file = setup.failures.lock().unwrap_or_else(PoisonError::into_inner).file.take();
        if let (Some(error), false, Some(to)) = (&file, told.write_failed, &setup.destination) {
            output::say(&could_not_write(to, &error.to_string()));
        }
        if *why != Why::Closed {
            summary(&setup, finished, &moment, file.is_some(), as_json)?;
        }
        Ok(answer(why, file.is_some(), hangs || moment.devices.iter().any(|device| device.lost.is_some())))
    }
}

fn could_not_write(to: &Destination, error: &str) -> String {
    let (path, kept) = (to.path.display(), to.kept());
    format!("error: could not write {path}\n  because: {error}\n  what was written before is in {kept}")
}

/// What the process answers: the program's code before anything else.
fn answer(why: &Why, write_failed: bool, device_failed: bool) -> Answer {
    let code = match why {
        Why::Command(code) => return Answer::Command(*code),
        _ if write_failed => ExitCode::CannotWrite,
        _ if device_failed => ExitCode::NoDevice,
        Why::Signal => ExitCode::Interrupted,
        _ => ExitCode::Success,
    };
    Answer::Own(code)
}

fn summary(
    setup: &Setup,
    finished: Finished,
    moment: &Moment,
    write_failed: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let kept = finished.summary.context("the recording has no statistics")?;
    let report = match &setup.destination {
        Some(to) if !write_failed => exact(kept, to),
        _ => kept,
    };
    let text = if as_json {
        escape_controls(&(serde_json::to_string(&Line::Summary(Box::new(report)))? + "\n")).into_owned()
    } else {
        people(&report, moment, setup)
    };
    if setup.command.is_some() {
        output::say(text.trim_end());
        return Ok(());
    }
    output::print(&text)
}

/// Where the statistics kept so far are not exact, those of the file are.
fn exact(kept: TimelineReport, to: &Destination) -> TimelineReport {
    let idle = kept.devices.iter().find_map(|device| device.idle.as_ref());
    if to.kind == Kind::Csv || kept.devices.iter().all(|device| device.metrics.iter().all(|metric| metric.exact)) {
        return kept;
    }
    let options = AnalysisOptions::default();
    let idle_threshold_pct = idle.map_or(options.idle_threshold_pct, |idle| idle.threshold_pct);
    output::say(&format!("reading {} for exact quantiles; Ctrl-C leaves it", to.path.display()));
    let read = RecordingFile::open(&to.path);
    match read.and_then(|mut file| analyse(&mut file, &AnalysisOptions { idle_threshold_pct, ..options })) {
        Ok(report) => report,
        Err(error) => {
            output::say(&format!("note: failed to {error}; quantiles are within 0.1 %"));
            kept
        }
    }
}

fn people(report: &TimelineReport, moment: &Moment, setup: &Setup) -> String {
    let mut text = timeline_report::render(report, output::width());
    let owns = moment.devices.iter().filter_map(|device| Some((device.device.index, device.own_peak?)));
    for (index, peak) in owns {
        let name = setup.own.as_deref().unwrap_or("the command");
        text.push_str(&format!("{name}: at most {} GiB on GPU {index}\n", gib(peak)));
    }
    if let Some(to) = &setup.destination {
        text.push_str(&format!("recorded in {}\n", to.path.display()));
    }
    text
}

impl Told {
    /// What is new since the last look.
    fn news(&mut self, live: &Live) -> Vec<String> {
        let mut news = Vec::new();
        for device in &live.devices {
            let index = device.device.index;
            if let Some(error) = &device.lost
                && self.lost.insert(index)
            {
                news.push(format!("warning: GPU {index} is lost: failed to {error}"));
            }
        }
        match live.stalled {
            Some(time) if !std::mem::replace(&mut self.stalled, true) => {
                let seconds = time.as_secs_f64();
                news.push(format!(
                    "warning: the driver has not answered for {seconds:.1} s; what it does not say is a gap"
                ));
            }
            None if std::mem::take(&mut self.stalled) => news.push("the driver answers again".into()),
            _ => {}
        }
        news
    }
}
