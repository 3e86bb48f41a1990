//! Whose certificates are believed.

use std::fmt;

/// Whom a client believes that a server behind TLS is who it says.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Trust {
    /// The authorities of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    #[default]
    System,
    /// These authorities and no other.
    Authorities {
        /// Their certificates, as PEM.
        pem: Vec<u8>,
    },
    /// Whoever answers. Anybody on the way can read and change everything, the API key with it.
    Anybody,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Authorities { .. } => "Authorities",
            Self::Anybody => "Anybody",
        })
    }
}

/// By what a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// TCP, without encryption.
    Tcp,
    /// TLS over TCP.
    Tls {
        /// Whether it is known that the server is who it says.
        verified: bool,
    },
    /// A socket of the file system.
    Unix,
}

impl Transport {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls { verified: true } => "tls",
            Self::Tls { verified: false } => "tls_unverified",
            Self::Unix => "unix",
        }
    }
}
