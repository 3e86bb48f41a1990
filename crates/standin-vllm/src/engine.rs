//! The engine as far as tests see it: a log in time, memory, processes, failures.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio, exit};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Zoned;
use rustix::process::{Signal, getpid, kill_process};
use standin_vllm::{How, Phase, Script};

use crate::recording::{Event, Recording, What, clock};

/// The argument that makes this executable a worker.
pub(crate) const WORKER: &str = "standin-engine-core";

pub(crate) struct Engine {
    pub(crate) script: Script,
    events: Mutex<std::vec::IntoIter<Event>>,
    /// The most memory that the recording uses while it serves: what the first request reaches.
    serving_bytes: u64,
    workers: Mutex<Vec<Child>>,
    pids: Vec<u32>,
}

impl Engine {
    pub(crate) fn start(script: Script, recording: Recording) -> io::Result<Self> {
        let levels = recording.events.iter().filter_map(|event| match event.what {
            What::Level(used) => Some((event.phase, used)),
            What::Line(_) => None,
        });
        let (loading, serving): (Vec<_>, Vec<_>) =
            levels.filter(|(phase, _)| *phase <= Phase::Measure).partition(|(phase, _)| *phase < Phase::Ready);
        // A recording that says nothing of its serving stays where its load ended.
        let most = serving.iter().map(|(_, used)| *used).max();
        let serving_bytes = most.or(loading.last().map(|(_, used)| *used)).unwrap_or(0);
        let mut workers = Vec::new();
        for _ in 0..script.workers {
            let mut worker = Command::new(std::env::current_exe()?);
            worker.arg0("VLLM::EngineCore").arg(WORKER).stdin(Stdio::piped());
            if script.workers_outlive {
                worker.arg("outlive").stdin(Stdio::null());
            }
            workers.push(worker.spawn()?);
        }
        let mut pids: Vec<u32> = workers.iter().map(Child::id).collect();
        if pids.is_empty() {
            pids.push(std::process::id());
        }
        let events = Mutex::new(recording.events.into_iter());
        Ok(Self { script, events, serving_bytes, workers: Mutex::new(workers), pids })
    }

    /// Plays the recording through a phase: whether it holds more.
    pub(crate) fn play(&self, upto: Phase) -> bool {
        let begun = Instant::now();
        let mut origin = None;
        let Ok(mut events) = self.events.lock() else { return false };
        while let Some(event) = events.as_slice().first().filter(|event| event.phase <= upto) {
            let from = *origin.get_or_insert(event.at_s);
            let due = Duration::try_from_secs_f64((event.at_s - from) / self.script.speed).unwrap_or_default();
            sleep(due.saturating_sub(begun.elapsed()));
            match &event.what {
                What::Line(line) => self.log(line),
                What::Level(used) => self.use_memory(*used),
            }
            events.next();
        }
        !events.as_slice().is_empty()
    }

    /// Passes over the recording's events before a phase without playing them.
    pub(crate) fn skip_to(&self, phase: Phase) {
        if let Ok(mut events) = self.events.lock() {
            while events.as_slice().first().is_some_and(|event| event.phase < phase) {
                events.next();
            }
        }
    }

    /// Prints a line with the time of now and the processes of this run. Nobody may be reading any more.
    pub(crate) fn log(&self, line: &str) {
        let mut line = line.to_owned();
        if let Some((place, _)) = clock(&line) {
            let now = Zoned::now().strftime("%m-%d %H:%M:%S").to_string();
            line.replace_range(place..place + now.len(), &now);
        }
        let core = self.pids.first().copied().unwrap_or_default();
        for (name, pid) in [("APIServer", std::process::id()), ("EngineCore", core)] {
            let mark = format!("({name} pid=");
            if let Some(rest) = line.strip_prefix(mark.as_str()).and_then(|rest| rest.split_once(')')) {
                line = format!("{mark}{pid}){}", rest.1);
            }
        }
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }

    /// Sets the memory in use on each device: the engine's process holds it as long as it lives.
    pub(crate) fn use_memory(&self, bytes: u64) {
        for (device, pid) in self.script.devices.iter().zip(self.pids.iter().cycle()) {
            let used = device.rest_bytes.saturating_add(bytes);
            let text = format!("{used} {pid} {}\n", device.rest_bytes.saturating_add(device.left_bytes));
            // Written beside and renamed, so that a reader sees one level or the other.
            let draft = device.used_file.with_extension("draft");
            if fs::write(&draft, text).and_then(|()| fs::rename(&draft, &device.used_file)).is_err() {
                self.log(&format!("stand-in: cannot write {}", device.used_file.display()));
            }
        }
    }

    /// What serving the first request costs.
    pub(crate) fn serve_memory(&self) {
        self.use_memory(self.serving_bytes);
    }

    /// What the script has for the beginning of a phase. Gives it back if the caller must refuse or hang by itself.
    pub(crate) fn enter(&self, phase: Phase) -> Option<How> {
        for fail in self.script.fail.iter().filter(|fail| fail.at == phase) {
            match fail.how {
                How::SlowS(s) => sleep(Duration::try_from_secs_f64(s).unwrap_or_default()),
                How::Exit(code) => {
                    self.log(
                        "(EngineCore pid=0) ERROR 01-01 00:00:00 [core.py:1] EngineCore encountered a fatal error.",
                    );
                    self.traceback(&format!("RuntimeError: the script ends the engine at {phase:?}"));
                    self.end(i32::from(code));
                }
                How::Signal(number) => {
                    // Twice: Rust's own handler of stack overflows takes the first SIGSEGV or SIGBUS, and steps aside.
                    for _ in 0..2 {
                        if let Some(signal) = Signal::from_named_raw(number) {
                            let _ = kill_process(getpid(), signal);
                        }
                        sleep(Duration::from_millis(100));
                    }
                    self.end(128_i32.saturating_add(number));
                }
                How::OutOfMemory => {
                    self.traceback(
                        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total \
                         capacity of 139.80 GiB of which 1.25 GiB is free. Including non-PyTorch memory, this process \
                         has 138.40 GiB memory in use. Of the allocated memory 136.10 GiB is allocated by PyTorch, and \
                         512.00 MiB is reserved by PyTorch but unallocated.",
                    );
                    self.end(1);
                }
                how @ (How::Hang | How::Refuse) => return Some(how),
            }
        }
        None
    }

    fn traceback(&self, error: &str) {
        for line in
            ["Traceback (most recent call last):", "  File \"site-packages/vllm/v1/engine/core.py\", line 1", error]
        {
            self.log(&format!("(EngineCore pid=0) {line}"));
        }
    }

    /// Ends the process, and its workers unless they outlive it.
    pub(crate) fn end(&self, code: i32) -> ! {
        if !self.script.workers_outlive
            && let Ok(mut workers) = self.workers.lock()
        {
            for mut worker in workers.drain(..) {
                drop(worker.stdin.take());
                let _ = worker.wait();
            }
        }
        exit(code)
    }
}

/// Nothing more, for ever.
pub(crate) fn hang() -> ! {
    loop {
        sleep(Duration::from_secs(3600));
    }
}

/// A worker: it ends when the first process has closed its input, which its death does too; or it outlives it.
pub(crate) fn work(outlives: bool) -> io::Result<()> {
    if !outlives {
        return io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Having a handler, the process does not end; the handler does nothing.
        let _handler = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::time::sleep(Duration::from_secs(600)).await;
        Ok(())
    })
}
