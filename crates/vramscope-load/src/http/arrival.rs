//! When bytes came, by the system's own clock of packets.
//!
//! A program reads later than bytes come: others run, and a thousand connections wait for one thread. On Linux the kernel
//! notes when a packet came (`SO_TIMESTAMPNS`, socket(7)) and tells with the read. That time does not depend on how busy
//! this program is. Elsewhere the time of the read stands in for it, and nothing is claimed about the difference.

use std::io;
use std::time::Instant;

use tokio::net::TcpStream;

use super::connection::Arrived;
use super::socket::Socket;

/// More than any wave of chunks that waits on one connection.
const ROOM: usize = 64 << 10;

/// Room for what a read brings.
pub(super) struct Room {
    bytes: Box<[u8]>,
    #[cfg(target_os = "linux")]
    control: Vec<u8>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; ROOM].into_boxed_slice(),
            #[cfg(target_os = "linux")]
            control: nix::cmsg_space!(nix::sys::time::TimeSpec),
        }
    }

    /// The first bytes of it.
    pub(super) fn bytes(&self, count: usize) -> &[u8] {
        &self.bytes[..count]
    }

    /// Whether a read of so many bytes left room.
    pub(super) fn has_room_after(&self, count: usize) -> bool {
        count < self.bytes.len()
    }
}

/// Asks the system to note when packets come. Where it does not, times are those of reading.
#[cfg(target_os = "linux")]
pub(super) fn want(stream: &TcpStream) {
    let _ = nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::ReceiveTimestampns, &true);
}

#[cfg(target_os = "linux")]
impl Room {
    /// Reads once.
    pub(super) fn read(&mut self, stream: &impl Socket) -> io::Result<(usize, Arrived)> {
        use std::time::SystemTime;

        use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

        let mut parts = [io::IoSliceMut::new(&mut self.bytes)];
        let read = recvmsg::<()>(stream.fd(), &mut parts, Some(&mut self.control), MsgFlags::empty())?;
        let noted = read.cmsgs().ok().into_iter().flatten().find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(std::time::Duration::from(time)),
            _ => None,
        });
        let read_after = noted.and_then(|noted| {
            let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
            // The clock of packets is the one on the wall: what it says is believed where it was not set meanwhile.
            since_1970.checked_sub(noted).filter(|age| *age < MOST_AGE)
        });
        // After the clock on the wall: where another program comes between the two, a chunk is told later than it came, as any
        // reader is, and never earlier.
        let now = Instant::now();
        let at = read_after.and_then(|age| now.checked_sub(age)).unwrap_or(now);
        Ok((read.bytes, Arrived { at, read_after }))
    }
}

/// Bytes do not wait for longer than this: a greater age is that of a clock that was set.
#[cfg(target_os = "linux")]
const MOST_AGE: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(not(target_os = "linux"))]
pub(super) fn want(_: &TcpStream) {}

#[cfg(not(target_os = "linux"))]
impl Room {
    pub(super) fn read(&mut self, stream: &impl Socket) -> io::Result<(usize, Arrived)> {
        let read = stream.try_read(&mut self.bytes)?;
        Ok((read, Arrived { at: Instant::now(), read_after: None }))
    }
}
