//! Where a server is.

use http::Uri;
use http::uri::Scheme;

use crate::error::LoadError;

/// The port of `http` where none is named.
const PORT: u16 = 80;

/// A server's address, checked. It holds no user, password or query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host and port as they were written, for messages and the header `host`.
    pub(crate) authority: String,
    /// The name or number, without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What stands before each path, without a slash at its end.
    prefix: String,
}

impl Address {
    /// Reads what people write: with or without a slash at the end, and with the `/v1` that other clients want.
    pub(crate) fn parse(text: &str) -> Result<Self, LoadError> {
        let wrong = |problem| LoadError::Address { problem };
        let uri: Uri = text.trim().parse().map_err(|_| wrong("it is no URL"))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err(wrong("https is not supported; give the engine's own port, or a tunnel to it"));
            }
            _ => return Err(wrong("it does not begin with http://")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user or password; give the API key apart"));
        }
        if uri.query().is_some() {
            return Err(wrong("it holds a query"));
        }
        let prefix = uri.path().trim_end_matches('/');
        let prefix = prefix.strip_suffix("/v1").unwrap_or(prefix);
        Ok(Self {
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(PORT),
            prefix: prefix.to_owned(),
        })
    }

    /// What is asked for on the server, for a path.
    pub(crate) fn of(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        for text in ["http://h:8000", "http://h:8000/", " http://h:8000/v1", "http://h:8000/v1/"] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port, address.of("/health").as_str()), ("h", 8000, "/health"));
        }
        let address = Address::parse("http://[::1]/a/v1").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.of("/health").as_str()), ("::1", 80, "/a/health"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_being_repeated() {
        for text in
            ["", "h:8000", "https://h", "http://", "ftp://h", "http://u:hunter2@h", "http://h/?k=hunter2", "/v1"]
        {
            let error = Address::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
