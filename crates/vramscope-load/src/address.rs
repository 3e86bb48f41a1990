//! Where a server is.

use std::path::PathBuf;

use http::Uri;
use http::uri::Scheme;

use crate::error::LoadError;

/// The ports of `http` and `https` where none is named.
const PORTS: (u16, u16) = (80, 443);
/// What a server behind a unix socket is asked as: it has no name.
const LOCAL: &str = "localhost";

/// A server's address, checked. It holds no user, password or query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The server for messages: host and port as they were written, or the socket.
    pub(crate) shown: String,
    /// For the header `host`.
    pub(crate) authority: String,
    pub(crate) place: Place,
    /// Whether it is spoken to by TLS.
    pub(crate) is_tls: bool,
    /// What stands before each path, without a slash at its end.
    prefix: String,
}

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp {
        /// The name or number, without the brackets of IPv6.
        host: String,
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// Reads what people write: with or without a slash at the end, and with the `/v1` that other clients want. A unix
    /// socket is `unix:/path`, or `http+unix://` with the path's slashes as `%2F`.
    pub(crate) fn parse(text: &str) -> Result<Self, LoadError> {
        let wrong = |problem| LoadError::Address { problem };
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            // Three slashes are an empty host before the path.
            let path = path.strip_prefix("//").unwrap_or(path);
            return Self::unix(path.into(), "");
        }
        if let Some(rest) = text.strip_prefix("http+unix://") {
            let (path, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let path = unescaped(path).ok_or_else(|| wrong("its socket is no path with %2F for each slash"))?;
            return Self::unix(path.into(), prefix);
        }
        let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS && cfg!(feature = "tls") => true,
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err(wrong("this build has no TLS; give the engine's own port, or build with the feature tls"));
            }
            _ => return Err(wrong("it does not begin with http://, https:// or unix:")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user or password; give the API key apart"));
        }
        if uri.query().is_some() {
            return Err(wrong("it holds a query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { PORTS.1 } else { PORTS.0 });
        Ok(Self {
            shown: authority.as_str().to_owned(),
            authority: authority.as_str().to_owned(),
            place: Place::Tcp { host, port },
            is_tls,
            prefix: prefix(uri.path()),
        })
    }

    fn unix(path: PathBuf, rest: &str) -> Result<Self, LoadError> {
        if cfg!(not(unix)) {
            return Err(LoadError::Address { problem: "this system has no unix sockets" });
        }
        if !path.is_absolute() {
            return Err(LoadError::Address { problem: "its socket is no absolute path; write unix:/path/to.sock" });
        }
        let (shown, authority) = (format!("unix:{}", path.display()), LOCAL.to_owned());
        Ok(Self { shown, authority, place: Place::Unix(path), is_tls: false, prefix: prefix(&format!("/{rest}")) })
    }

    /// What is asked for on the server, for a path.
    pub(crate) fn of(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

fn prefix(path: &str) -> String {
    let prefix = path.trim_end_matches('/');
    prefix.strip_suffix("/v1").unwrap_or(prefix).to_owned()
}

/// A text without the `%` escapes of URLs.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        (bytes, rest) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                (bytes, after)
            }
            (b'%', _) => return None,
            _ => {
                bytes.push(*byte);
                (bytes, after)
            }
        };
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn what_people_write_is_understood() {
        for text in ["http://h:8000", "http://h:8000/", " http://h:8000/v1", "http://h:8000/v1/"] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.place.clone(), address.of("/health").as_str()), (tcp("h", 8000), "/health"));
        }
        let address = Address::parse("http://[::1]/a/v1").unwrap();
        assert_eq!((address.place.clone(), address.of("/health").as_str()), (tcp("::1", 80), "/a/health"));
        assert_eq!(address.authority, "[::1]");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn https_has_its_own_port() {
        let address = Address::parse("https://h/v1").unwrap();
        assert_eq!((address.place.clone(), address.is_tls), (tcp("h", 443), true));
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_is_a_path_in_both_spellings() {
        for text in [
            "unix:/run/a b.sock",
            "unix:///run/a b.sock",
            "http+unix://%2Frun%2Fa%20b.sock/v1",
            "http+unix://%2Frun%2Fa b.sock",
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((&address.place, address.of("/x").as_str()), (&Place::Unix("/run/a b.sock".into()), "/x"));
            assert_eq!((address.shown.as_str(), address.authority.as_str()), ("unix:/run/a b.sock", "localhost"));
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_being_repeated() {
        for text in [
            "",
            "h:8000",
            "http://",
            "ftp://h",
            "http://u:hunter2@h",
            "http://h/?k=hunter2",
            "/v1",
            "unix:",
            "unix:hunter2",
            "http+unix://%2",
            "http+unix://%zz",
            "http+unix://%ff",
            "http+unix://%2Fa%00",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
