//! How a file that somebody named is opened: a file, or a pipe that somebody writes to, and nothing that never ends.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file that was opened, at its beginning.
#[derive(Debug)]
pub struct OpenedFile {
    /// What was read of a pipe, to see whether somebody writes to it.
    first: Option<u8>,
    file: File,
}

/// Opens a file for reading. A pipe is read where it has a writer: `<(…)` of a shell, `/dev/stdin`, a named pipe that
/// another program has opened already. Waiting for a writer would wait for ever, and a device gives no end.
///
/// # Errors
/// What the system says, or that this is a folder, a device, a socket, or a named pipe to which nobody writes.
pub fn open_file(path: &Path) -> io::Result<OpenedFile> {
    if is_handed_over(path) {
        return Ok(OpenedFile { first: None, file: File::open(path)? });
    }
    let about = path.metadata()?;
    if about.is_file() {
        return Ok(OpenedFile { first: None, file: File::open(path)? });
    }
    if about.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder, and a file is expected"));
    }
    special(path, &about)
}

/// Whether the path stands for something that was opened for this process, which it may wait for.
pub(crate) fn is_handed_over(path: &Path) -> bool {
    ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|place| path.starts_with(place))
}

#[cfg(unix)]
fn special(path: &Path, about: &std::fs::Metadata) -> io::Result<OpenedFile> {
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};

    use rustix::fs::OFlags;

    let kind = about.file_type();
    let refused = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    if kind.is_socket() {
        return Err(refused("this is a socket, and a file is expected"));
    }
    if !kind.is_fifo() {
        return Err(refused("this is a device, and a file is expected"));
    }
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut first = [0];
    let first = match file.read(&mut first) {
        Ok(0) => {
            return Err(refused("this is a named pipe that nobody writes to: start its writer first, or name a file"));
        }
        Ok(_) => Some(first[0]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => return Err(error),
    };
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(OpenedFile { first, file })
}

#[cfg(not(unix))]
fn special(path: &Path, _: &std::fs::Metadata) -> io::Result<OpenedFile> {
    Ok(OpenedFile { first: None, file: File::open(path)? })
}

impl OpenedFile {
    /// What the system says of the file, whatever bears its name by now.
    ///
    /// # Errors
    /// What the system says.
    pub fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.file.metadata()
    }
}

impl Read for OpenedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.first, buffer.first_mut()) {
            (Some(byte), Some(place)) => {
                *place = byte;
                self.first = None;
                Ok(1)
            }
            _ => self.file.read(buffer),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn fifo(path: &Path) {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("the folder takes a pipe");
    }

    #[test]
    fn what_has_no_end_is_refused_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        fifo(&pipe);
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let said = |path: &Path| open_file(path).unwrap_err().to_string();
        assert!(said(&pipe).contains("nobody writes"), "{}", said(&pipe));
        assert!(said(&socket).contains("socket"));
        assert!(said(Path::new("/dev/zero")).contains("device"));
        assert!(said(folder.path()).contains("folder"));
        assert_eq!(open_file(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_with_a_writer_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        fifo(&pipe);
        // Opened for both, so that opening waits for nobody.
        let mut writer = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        writer.write_all(b"all of it").unwrap();
        let mut opened = open_file(&pipe).unwrap();
        drop(writer);
        let mut text = String::new();
        opened.read_to_string(&mut text).unwrap();
        assert_eq!(text, "all of it");
        std::fs::write(folder.path().join("file"), "abc").unwrap();
        open_file(&folder.path().join("file")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "all of itabc");
    }
}
