//! TLS between the socket and the reader. The session is driven here, and not by a stream that hides the socket: so each
//! read of the socket still tells when its packet came.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::connection::{Arrived, Unsent};
use super::socket::poll_read;
use crate::error::LoadError;
use crate::trust::Trust;

/// What a server that does not speak TLS may do.
const HANGS_UP: &str = "the server hangs up before hands are shaken; where it does not speak TLS, try http://";

/// How a server is spoken to by TLS.
#[derive(Clone)]
pub(crate) struct Settings {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Settings {
    /// For the server of this name, by whom is trusted.
    pub(crate) fn new(host: &str, trust: &Trust) -> Result<Self, LoadError> {
        let wrong = |problem: String| LoadError::Trust { problem };
        let name = ServerName::try_from(host.to_owned());
        let name =
            name.map_err(|_| LoadError::Address { problem: "its host is no name that a certificate can have" })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?;
        let mut config = match trust {
            Trust::Anybody => {
                let verifier = Arc::new(Anybody { provider });
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            Trust::System => builder.with_root_certificates(of_system().map_err(wrong)?).with_no_client_auth(),
            Trust::Authorities { pem } => {
                builder.with_root_certificates(of_pem(pem).map_err(wrong)?).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), name })
    }
}

fn of_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    Err(format!("this system has no certificates of authorities{why}; install ca-certificates, or give a CA file"))
}

fn of_pem(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("the CA file is no PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("a certificate of the CA file cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("the CA file has no certificate; expected PEM, with -----BEGIN CERTIFICATE-----".into());
    }
    Ok(roots)
}

/// Believes everybody who has a key for whatever certificate is shown.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection by TLS.
#[derive(Debug)]
pub(super) struct Tls {
    socket: TcpStream,
    session: ClientConnection,
    plain: Vec<u8>,
    /// The server said that it sends nothing more.
    ended: bool,
}

impl Tls {
    /// Shakes hands over a connection that stands.
    pub(super) async fn open(socket: TcpStream, settings: &Settings) -> Result<Self, Unsent> {
        let session = ClientConnection::new(settings.config.clone(), settings.name.clone());
        let mut session = session.map_err(|error| Unsent::Tls(explained(&error)))?;
        // What is written waits in memory only until the line after.
        session.set_buffer_limit(None);
        let mut tls = Self { socket, session, plain: Vec::new(), ended: false };
        while tls.session.is_handshaking() {
            tls.flush().await.map_err(Unsent::Cut)?;
            if !tls.session.is_handshaking() {
                break;
            }
            match tls.fill().await {
                Ok(Some(_)) => {}
                Ok(None) => return Err(Unsent::Tls(HANGS_UP.into())),
                Err(error) => {
                    // The alert that tells the server why.
                    let _ = tls.flush().await;
                    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                    return Err(
                        inner.map_or_else(|| Unsent::Cut(io::Error::from(error.kind())), |e| Unsent::Tls(explained(e)))
                    );
                }
            }
        }
        tls.flush().await.map_err(Unsent::Cut)?;
        Ok(tls)
    }

    /// Writes a request.
    pub(super) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.session.writer().write_all(request)?;
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut out)?;
        }
        self.socket.write_all(&out).await
    }

    /// Reads once, and gives what came to `take`. `None` is the end.
    pub(super) async fn read<T>(&mut self, take: &mut impl FnMut(&[u8], Arrived) -> T) -> io::Result<Option<T>> {
        loop {
            let arrived = self.fill().await?;
            if self.session.wants_write() {
                self.flush().await?;
            }
            match arrived {
                Some(arrived) if !self.plain.is_empty() => {
                    let taken = take(&self.plain, arrived);
                    self.plain.clear();
                    return Ok(Some(taken));
                }
                _ if self.ended => return Ok(None),
                Some(_) => {}
                None => {
                    let cut = "the connection ended without the end of TLS: something may be missing";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
                }
            }
        }
    }

    /// Reads the socket once; what it brought is in `plain`. `None` is the end of the socket.
    async fn fill(&mut self) -> io::Result<Option<Arrived>> {
        let Self { socket, session, plain, ended } = self;
        let mut take = |bytes: &[u8], arrived: Arrived| feed(session, bytes, plain, ended).map(|()| arrived);
        let read = std::future::poll_fn(|context| poll_read(socket, context, &mut take)).await?;
        read.transpose()
    }

    /// Whether it is open and silent. What the server sends of its own between answers, as tickets, is taken.
    pub(super) fn is_fit(&mut self) -> bool {
        let mut room = [0; 4096];
        loop {
            match self.socket.try_read(&mut room) {
                Ok(0) => return false,
                Ok(read) => {
                    let fed = feed(&mut self.session, &room[..read], &mut self.plain, &mut self.ended);
                    if fed.is_err() || self.ended || !self.plain.is_empty() {
                        return false;
                    }
                }
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock && !self.ended,
            }
        }
    }
}

/// Takes bytes of the socket.
fn feed(session: &mut ClientConnection, mut bytes: &[u8], plain: &mut Vec<u8>, ended: &mut bool) -> io::Result<()> {
    while !bytes.is_empty() && !*ended {
        session.read_tls(&mut bytes)?;
        let state = session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        *ended = state.peer_has_closed();
        let from = plain.len();
        plain.resize(from + state.plaintext_bytes_to_read(), 0);
        session.reader().read_exact(&mut plain[from..])?;
    }
    Ok(())
}

/// What is wrong, and what to do about it.
fn explained(error: &rustls::Error) -> String {
    match error {
        // An authority of the same name with another key is another authority.
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "nobody who is trusted here has signed its certificate; if it is of an authority of your own, give that \
             authority's certificate as the CA file"
                .into()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("its certificate is of another name; use the name that it was made for ({error})"),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => format!("its certificate does not hold today; renew it, or set this machine's clock ({error})"),
        rustls::Error::InvalidMessage(_) => "what answers there does not speak TLS; try http://".into(),
        other => other.to_string(),
    }
}
