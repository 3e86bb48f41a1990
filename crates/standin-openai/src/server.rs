//! The loop: accepts, reads, and writes what is due, on one thread.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::connection::Connection;
use crate::page::Counts;
use crate::realtime::{now_ns, real_time};
use crate::script::Script;
use crate::truth::Truth;

const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
/// So many connections wait to be accepted: all that a load opens at once.
const BACKLOG: i32 = 32 << 10;
/// So many events are taken before what is due is written.
const EVENTS: usize = 256;

/// A server on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    truth: Arc<Mutex<Truth>>,
    stop: OwnedFd,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Listens on a free port of the loopback interface and follows the script. Its thread gets real-time priority
    /// only as a program: a test's machine has other work.
    ///
    /// # Errors
    /// A script that makes no sense; what the system refuses.
    pub fn start(script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let truth = Arc::new(Mutex::new(Truth::default()));
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let mut turn = Loop::new(script, listener, truth.clone())?;
        epoll::add(&turn.epoll, &stop, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
        let thread = std::thread::Builder::new().name("standin-openai".into()).spawn(move || turn.run())?;
        Ok(Self { address, truth, stop, thread: Some(thread) })
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What happened so far.
    pub fn truth(&self) -> Truth {
        locked(&self.truth).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves on this thread for ever, with real-time priority where the system allows it.
///
/// # Errors
/// A script that makes no sense; what the system refuses.
pub fn serve(script: Script, listener: TcpListener) -> io::Result<()> {
    let truth = Arc::new(Mutex::new(Truth::default()));
    let mut turn = Loop::new(script, listener, truth.clone())?;
    locked(&truth).real_time = Some(real_time().map_or_else(|error| format!("no: {error}"), |()| "yes".into()));
    turn.run()
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is due when, for which connection, in which of its answers.
type Due = Reverse<(u64, usize, u64)>;

pub(crate) struct Loop {
    pub(crate) script: Script,
    epoll: OwnedFd,
    listener: TcpListener,
    pub(crate) connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    pub(crate) due: BinaryHeap<Due>,
    pub(crate) truth: Arc<Mutex<Truth>>,
    pub(crate) counts: Counts,
    /// Connections whose requests wait for a place.
    pub(crate) queue: VecDeque<usize>,
    pub(crate) first_arrival_ns: Option<u64>,
    /// Hashes of the beginnings of prompts that came, block by block.
    pub(crate) prompts: std::collections::HashSet<u64>,
    /// What of its play was played: the loading of its model, the first work.
    pub(crate) played: [bool; 2],
}

impl Loop {
    fn new(script: Script, listener: TcpListener, truth: Arc<Mutex<Truth>>) -> io::Result<Self> {
        script.check().map_err(io::Error::other)?;
        listener.set_nonblocking(true)?;
        // std listens with a backlog of 128; a second call only changes that.
        rustix::net::listen(&listener, BACKLOG)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self {
            script,
            epoll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            truth,
            counts: Counts::default(),
            queue: VecDeque::new(),
            first_arrival_ns: None,
            prompts: std::collections::HashSet::new(),
            played: [false; 2],
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            self.act_on_due();
            let wait = self.due.peek().map(|Reverse((due, ..))| timespec(due.saturating_sub(now_ns())));
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    STOP => return Ok(()),
                    LISTENER => self.accept(),
                    slot => self.heed(usize::try_from(slot).unwrap_or(usize::MAX), event.flags),
                }
            }
        }
    }

    fn act_on_due(&mut self) {
        while let Some(Reverse((due, slot, generation))) = self.due.peek().copied() {
            if due > now_ns() {
                return;
            }
            self.due.pop();
            let is_current = self.connections.get(slot).and_then(Option::as_ref).map(|c| c.generation);
            if is_current == Some(generation) {
                self.act(slot);
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let Ok(connection) = Connection::new(stream) else { continue };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let data = epoll::EventData::new_u64(slot as u64);
            if epoll::add(&self.epoll, &connection.stream, data, epoll::EventFlags::IN).is_ok() {
                self.connections[slot] = Some(connection);
            } else {
                self.free.push(slot);
            }
        }
    }

    fn heed(&mut self, slot: usize, flags: epoll::EventFlags) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        if flags.contains(epoll::EventFlags::OUT) {
            let alive = connection.flush();
            self.watch(slot, alive);
        }
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        if !connection.fill() {
            self.close(slot);
            return;
        }
        self.requests(slot);
    }

    /// Takes up the requests that are whole, one after the other.
    pub(crate) fn requests(&mut self, slot: usize) {
        while let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) {
            if connection.flight.is_some() {
                return;
            }
            match connection.next() {
                Ok(Some(request)) => self.take(slot, &request),
                Ok(None) => return,
                Err(_) => self.close(slot),
            }
        }
    }

    /// Writes to a connection, or closes it where nobody reads any more.
    pub(crate) fn send(&mut self, slot: usize, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        let alive = connection.write(bytes);
        if !alive || connection.is_behind() {
            self.watch(slot, alive);
        }
    }

    fn watch(&mut self, slot: usize, alive: bool) {
        if !alive {
            self.close(slot);
            return;
        }
        let Some(connection) = self.connections.get(slot).and_then(Option::as_ref) else { return };
        let behind = if connection.is_behind() { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        let data = epoll::EventData::new_u64(slot as u64);
        let _ = epoll::modify(&self.epoll, &connection.stream, data, epoll::EventFlags::IN | behind);
    }

    pub(crate) fn close(&mut self, slot: usize) {
        self.land(slot);
        if let Some(place) = self.connections.get_mut(slot)
            && let Some(connection) = place.take()
        {
            let _ = epoll::delete(&self.epoll, &connection.stream);
            self.free.push(slot);
        }
    }
}

fn timespec(ns: u64) -> Timespec {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: i64::try_from(rest).unwrap_or(0) }
}
