//! Connections: opened, kept, written to and read.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, lookup_host};

/// A connection stands within this time or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// More than any wave of chunks that waits on one connection.
const SCRATCH: usize = 64 << 10;

thread_local! {
    /// What a read brought is taken before anything else runs on the thread, so that all connections share the room.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
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
                Ok(Self { stream, used: false })
            }
        }
    }

    /// Writes a request.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    /// Reads once, and gives what came, with the time at which the read returned, to `take`. `None` is the end.
    pub(crate) async fn read<T>(&mut self, take: &mut impl FnMut(&[u8], Instant) -> T) -> io::Result<Option<T>> {
        std::future::poll_fn(|context| {
            READ.with_borrow_mut(|room| {
                let mut room = ReadBuf::new(room);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut room))?;
                let now = Instant::now();
                Poll::Ready(Ok((!room.filled().is_empty()).then(|| take(room.filled(), now))))
            })
        })
        .await
    }

    /// Whether it is open and silent, as one that waits for a request is.
    fn is_fit(&self) -> bool {
        let mut one = [0];
        matches!(self.stream.try_read(&mut one), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
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
