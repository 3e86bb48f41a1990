//! A socket that is read without being waited for, of the internet or of the file system.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::arrival::Room;
use super::connection::Arrived;

thread_local! {
    /// What a read brought is taken before anything else runs on the thread, so that all connections share the room.
    static READ: RefCell<Room> = RefCell::new(Room::new());
}

/// What connections need of a socket.
pub(super) trait Socket {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn try_io<R>(&self, read: impl FnMut() -> io::Result<R>) -> io::Result<R>;
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "reads with the time of the packet take its place"))]
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;
    #[cfg(target_os = "linux")]
    fn fd(&self) -> std::os::fd::RawFd;
}

macro_rules! socket {
    ($type:ty) => {
        impl Socket for $type {
            fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(context)
            }

            fn try_io<R>(&self, read: impl FnMut() -> io::Result<R>) -> io::Result<R> {
                self.try_io(Interest::READABLE, read)
            }

            fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
                self.try_read(into)
            }

            #[cfg(target_os = "linux")]
            fn fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(self)
            }
        }
    };
}

socket!(TcpStream);
#[cfg(unix)]
socket!(tokio::net::UnixStream);

/// Reads once, and gives what came, with the time at which it came, to `take`. `None` is the end.
pub(super) fn poll_read<T>(
    socket: &impl Socket,
    context: &mut Context<'_>,
    take: &mut impl FnMut(&[u8], Arrived) -> T,
) -> Poll<io::Result<Option<T>>> {
    loop {
        ready!(socket.poll_read_ready(context))?;
        let mut taken = None;
        let drained = socket.try_io(|| {
            READ.with_borrow_mut(|room| {
                let (read, arrived) = room.read(socket)?;
                taken = Some((read > 0).then(|| take(room.bytes(read), arrived)));
                // Less than there is room for was all that is there: a further read would only say so, at the price of a
                // call for each chunk.
                if read > 0 && room.has_room_after(read) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            })
        });
        match (taken, drained) {
            (Some(taken), _) => return Poll::Ready(Ok(taken)),
            (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
            (None, _) => {}
        }
    }
}
