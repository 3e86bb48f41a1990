//! Connections: opened, kept, written to and read.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpStream, lookup_host};

use super::arrival::{self, Room};

/// A connection stands within this time or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
thread_local! {
    /// What a read brought is taken before anything else runs on the thread, so that all connections share the room.
    static READ: RefCell<Room> = RefCell::new(Room::new());
}

/// When something came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    /// When the system had it: however late the program reads, this is when the server's bytes were there. Of several
    /// packets that one read brings it is the last one's.
    pub(crate) at: Instant,
    /// How much later the program read it; `None` where the system does not say when it came.
    pub(crate) read_after: Option<Duration>,
}

/// Why a request was not sent, or not answered.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// No connection: nobody listens there.
    Refused(io::Error),
    /// No connection within the time.
    Slow,
    /// No connection, for want of something on this side: file descriptors, ports, memory.
    OwnLimit(io::Error),
    /// The connection broke.
    Cut(io::Error),
}

/// Whether an error speaks of this machine's own limits and says nothing about the server.
pub(crate) fn is_own_limit(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const OWN: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| OWN.contains(&errno))
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// It has served a request before.
    pub(crate) used: bool,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Unsent> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        match opened.await {
            Err(_) => Err(Unsent::Slow),
            Ok(Err(error)) if is_own_limit(&error) => Err(Unsent::OwnLimit(error)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Unsent::Slow),
            Ok(Err(error)) => Err(Unsent::Refused(error)),
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(Unsent::Cut)?;
                arrival::want(&stream);
                Ok(Self { stream, used: false })
            }
        }
    }

    /// Writes a request.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    /// Reads once, and gives what came, with the time at which it came, to `take`. `None` is the end.
    pub(crate) async fn read<T>(&mut self, take: &mut impl FnMut(&[u8], Arrived) -> T) -> io::Result<Option<T>> {
        std::future::poll_fn(|context| {
            loop {
                ready!(self.stream.poll_read_ready(context))?;
                let mut taken = None;
                let drained = self.stream.try_io(Interest::READABLE, || {
                    READ.with_borrow_mut(|room| {
                        let (read, arrived) = room.read(&self.stream)?;
                        taken = Some((read > 0).then(|| take(room.bytes(read), arrived)));
                        // Less than there is room for was all that is there: a further read would only say so, at the
                        // price of a call for each chunk.
                        if read > 0 && room.has_room_after(read) {
                            Err(io::ErrorKind::WouldBlock.into())
                        } else {
                            Ok(())
                        }
                    })
                });
                match (taken, drained) {
                    (Some(taken), _) => return Poll::Ready(Ok(taken)),
                    (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                    (None, _) => {}
                }
            }
        })
        .await
    }

    /// Whether it is open and silent, as one that waits for a request is.
    fn is_fit(&self) -> bool {
        matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The connections to one server that wait for their next request, and where to open more.
#[derive(Debug)]
pub(crate) struct Pool {
    host: String,
    port: u16,
    idle: Mutex<Vec<Connection>>,
    /// What the name stands for, the address that worked last in front. Empty until it was asked for.
    addresses: Mutex<Vec<SocketAddr>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, idle: Mutex::default(), addresses: Mutex::default() }
    }

    /// A pool to the same server without connections: those of a runtime serve only there.
    pub(crate) fn apart(&self) -> Self {
        Self::new(&self.host, self.port)
    }

    /// A connection, an old one if there is any.
    pub(crate) async fn get(&self) -> Result<Connection, Unsent> {
        while let Some(connection) = self.take() {
            if connection.is_fit() {
                return Ok(connection);
            }
        }
        self.open().await
    }

    /// How many wait.
    pub(crate) fn idle(&self) -> usize {
        locked(&self.idle).len()
    }

    fn take(&self) -> Option<Connection> {
        locked(&self.idle).pop()
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> Result<Connection, Unsent> {
        let known = locked(&self.addresses).clone();
        let addresses = if known.is_empty() {
            let found = lookup_host((self.host.as_str(), self.port))
                .await
                .map_err(|error| if is_own_limit(&error) { Unsent::OwnLimit(error) } else { Unsent::Refused(error) })?;
            found.collect()
        } else {
            known
        };
        let mut last = Unsent::Refused(io::Error::new(io::ErrorKind::NotFound, "the name stands for no address"));
        for address in &addresses {
            match Connection::open(*address).await {
                Ok(connection) => {
                    let mut rest = addresses.clone();
                    rest.retain(|other| other != address);
                    rest.insert(0, *address);
                    *locked(&self.addresses) = rest;
                    return Ok(connection);
                }
                // Another address would meet the same limit.
                Err(own @ Unsent::OwnLimit(_)) => return Err(own),
                Err(unsent) => last = unsent,
            }
        }
        Err(last)
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, connection: Connection) {
        locked(&self.idle).push(Connection { used: true, ..connection });
    }
}
