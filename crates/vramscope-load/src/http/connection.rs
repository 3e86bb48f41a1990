//! Connections: opened, kept, written to and read.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpStream, lookup_host};

use super::arrival;
use super::socket::poll_read;
#[cfg(feature = "tls")]
use super::tls::{Settings, Tls};
use crate::address::Place;

/// A connection stands within this time or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// A connection, but no TLS over it: what is wrong and what to do.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only TLS fails so"))]
    Tls(String),
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
    stream: Stream,
    /// It has served a request before.
    pub(crate) used: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<Tls>),
}

impl Connection {
    /// Writes a request.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(request).await,
            #[cfg(unix)]
            Stream::Unix(stream) => stream.write_all(request).await,
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.send(request).await,
        }
    }

    /// Reads once, and gives what came, with the time at which it came, to `take`. `None` is the end.
    pub(crate) async fn read<T>(&mut self, take: &mut impl FnMut(&[u8], Arrived) -> T) -> io::Result<Option<T>> {
        match &mut self.stream {
            Stream::Tcp(stream) => std::future::poll_fn(|context| poll_read(stream, context, take)).await,
            #[cfg(unix)]
            Stream::Unix(stream) => std::future::poll_fn(|context| poll_read(stream, context, take)).await,
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.read(take).await,
        }
    }

    /// Whether it is open and silent, as one that waits for a request is.
    fn is_fit(&mut self) -> bool {
        let blocks = |read: io::Result<usize>| read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        match &mut self.stream {
            Stream::Tcp(stream) => blocks(stream.try_read(&mut [0])),
            #[cfg(unix)]
            Stream::Unix(stream) => blocks(stream.try_read(&mut [0])),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.is_fit(),
        }
    }
}

/// The connections to one server that wait for their next request, and where to open more.
#[derive(Debug)]
pub(crate) struct Pool {
    place: Place,
    #[cfg(feature = "tls")]
    tls: Option<Settings>,
    idle: Mutex<Vec<Connection>>,
    /// What the name stands for, the address that worked last in front. Empty until it was asked for.
    addresses: Mutex<Vec<SocketAddr>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            #[cfg(feature = "tls")]
            tls: None,
            idle: Mutex::default(),
            addresses: Mutex::default(),
        }
    }

    /// A pool to the same server by TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn by_tls(self, settings: Settings) -> Self {
        Self { tls: Some(settings), ..self }
    }

    /// A pool to the same server without connections: those of a runtime serve only there.
    pub(crate) fn apart(&self) -> Self {
        Self {
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
            ..Self::new(self.place.clone())
        }
    }

    /// A connection, an old one if there is any.
    pub(crate) async fn get(&self) -> Result<Connection, Unsent> {
        while let Some(mut connection) = self.take() {
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
        let (host, port) = match &self.place {
            Place::Tcp { host, port } => (host, *port),
            #[cfg(unix)]
            Place::Unix(path) => {
                let stream = opened(UnixStream::connect(path)).await?;
                return Ok(Connection { stream: Stream::Unix(stream), used: false });
            }
            #[cfg(not(unix))]
            Place::Unix(_) => return Err(Unsent::Refused(io::ErrorKind::Unsupported.into())),
        };
        let known = locked(&self.addresses).clone();
        let addresses = if known.is_empty() {
            let found = lookup_host((host.as_str(), port))
                .await
                .map_err(|error| if is_own_limit(&error) { Unsent::OwnLimit(error) } else { Unsent::Refused(error) })?;
            found.collect()
        } else {
            known
        };
        let mut last = Unsent::Refused(io::Error::new(io::ErrorKind::NotFound, "the name stands for no address"));
        for address in &addresses {
            match self.connect(*address).await {
                Ok(connection) => {
                    let mut rest = addresses.clone();
                    rest.retain(|other| other != address);
                    rest.insert(0, *address);
                    *locked(&self.addresses) = rest;
                    return Ok(connection);
                }
                // Another address would meet the same limit.
                Err(own @ (Unsent::OwnLimit(_) | Unsent::Tls(_))) => return Err(own),
                Err(unsent) => last = unsent,
            }
        }
        Err(last)
    }

    async fn connect(&self, address: SocketAddr) -> Result<Connection, Unsent> {
        let stream = opened(TcpStream::connect(address)).await?;
        stream.set_nodelay(true).map_err(Unsent::Cut)?;
        arrival::want(&stream);
        #[cfg(feature = "tls")]
        if let Some(settings) = &self.tls {
            let tls = tokio::time::timeout(CONNECT_TIMEOUT, Tls::open(stream, settings)).await;
            let tls = tls.map_err(|_| Unsent::Slow)??;
            return Ok(Connection { stream: Stream::Tls(Box::new(tls)), used: false });
        }
        Ok(Connection { stream: Stream::Tcp(stream), used: false })
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, connection: Connection) {
        locked(&self.idle).push(Connection { used: true, ..connection });
    }
}

/// What comes of opening a connection, in time.
async fn opened<S>(opening: impl Future<Output = io::Result<S>>) -> Result<S, Unsent> {
    match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
        Err(_) => Err(Unsent::Slow),
        Ok(Err(error)) if is_own_limit(&error) => Err(Unsent::OwnLimit(error)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Unsent::Slow),
        Ok(Err(error)) => Err(Unsent::Refused(error)),
        Ok(Ok(stream)) => Ok(stream),
    }
}
