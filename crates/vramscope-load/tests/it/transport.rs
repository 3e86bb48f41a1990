//! The same loads over TLS, unix sockets and IPv6, through a relay before the server that knows the truth.

use std::net::SocketAddr;
use std::path::PathBuf;

use standin_openai::{Script, Server};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use vramscope_load::{Arrival, Client, LoadPlan, LoadReport, Transport, run};

/// Lets one connection through to the server.
async fn relay(mut from: impl AsyncRead + AsyncWrite + Unpin, server: SocketAddr) {
    let mut to = TcpStream::connect(server).await.unwrap();
    to.set_nodelay(true).unwrap();
    // Who goes first does not matter.
    let _ = copy_bidirectional(&mut from, &mut to).await;
}

fn address(server: &Server) -> SocketAddr {
    server.url().strip_prefix("http://").unwrap().parse().unwrap()
}

fn script() -> Script {
    Script { ttft_ms: vec![5.0], gap_ms: vec![1.0], ..Script::default() }
}

/// A load over a transport, every count of it right and every time not before the truth.
async fn go(client: &Client, server: &Server) -> LoadReport {
    let plan =
        LoadPlan { arrival: Arrival::Concurrency(8), warmup_requests: 8, ..LoadPlan::new("standin", 3000, 12, 64) };
    let report = run(client, &plan, &mut |_| {}).await.unwrap();
    let summary = report.summary();
    assert_eq!(
        (summary.completed, summary.failed, summary.short, report.unsent),
        (64, 0, 0, 0),
        "{:?}",
        summary.failures
    );
    let truth = server.truth();
    for (record, tokens) in report.completed() {
        let number: usize = record.id.as_ref().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        let known = &truth.requests[number];
        assert_eq!((tokens.output, tokens.input), (12, Some(3000)));
        let ttft = u64::try_from(record.ttft().unwrap().as_nanos()).unwrap();
        // The two clocks are read one after the other, and another program may come between.
        assert!(ttft + 1_000_000 >= known.ttft_ns().unwrap(), "{ttft} {known:?}");
    }
    report
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_a_server_and_its_times_are_those_of_reads() {
    let server = Server::start(script()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let to = address(&server);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, to));
        }
    });
    let escaped = path.display().to_string().replace('/', "%2F");
    for url in [format!("unix:{}", path.display()), format!("http+unix://{escaped}/v1")] {
        let client = Client::new(&url, None).unwrap();
        client.health().await.unwrap();
        assert_eq!(
            (client.transport(), client.server()),
            (Transport::Unix, format!("unix:{}", path.display()).as_str())
        );
        let report = go(&client, &server).await;
        assert_eq!(report.health.read_after, None, "the kernel notes no packets there");
    }
    let nobody: PathBuf = folder.path().join("nobody.sock");
    let error = Client::new(&format!("unix:{}", nobody.display()), None).unwrap().health().await.unwrap_err();
    assert!(error.to_string().contains("nobody.sock"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_is_spoken() {
    let server = Server::start(script()).unwrap();
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let (url, to) = (format!("http://{}", listener.local_addr().unwrap()), address(&server));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, to));
        }
    });
    assert!(url.starts_with("http://[::1]:"));
    let client = Client::new(&url, None).unwrap();
    go(&client, &server).await;
}

#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::rustls::version::{TLS12, TLS13};
    use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};
    use vramscope_load::{FailureKind, LoadError, Trust};

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A server behind TLS, with a certificate for these names.
    struct Behind {
        url: String,
        /// Connections that were shaken hands with.
        connections: Arc<AtomicUsize>,
    }

    async fn behind(
        server: &Server,
        by: &Authority,
        names: &[&str],
        version: &'static SupportedProtocolVersion,
    ) -> Behind {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let certificate = params.signed_by(&key, by).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let (connections, to) = (Arc::new(AtomicUsize::new(0)), address(server));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (acceptor, count) = (acceptor.clone(), count.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        count.fetch_add(1, Relaxed);
                        relay(stream, to).await;
                    }
                });
            }
        });
        Behind { url, connections }
    }

    fn trusting(by: &Authority) -> Trust {
        Trust::Authorities { pem: by.pem().into_bytes() }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_load_behind_tls_has_the_same_counts_keeps_connections_and_times_packets() {
        let by = authority();
        for version in [&TLS13, &TLS12] {
            let server = Server::start(script()).unwrap();
            let there = behind(&server, &by, &["127.0.0.1"], version).await;
            let client = Client::trusting(&there.url, Some("hunter2-key".into()), &trusting(&by)).unwrap();
            client.health().await.unwrap();
            assert_eq!(client.transport(), Transport::Tls { verified: true });
            let report = go(&client, &server).await;
            // One for the questions of this client, eight for the load, and one that its first request opened.
            let connections = there.connections.load(Relaxed);
            assert!(connections <= 10, "{connections} connections for 73 requests");
            if cfg!(target_os = "linux") {
                assert!(report.health.read_after.unwrap().n > 0);
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_not_trusted_is_told_with_what_to_do() {
        let (by, other) = (authority(), authority());
        let server = Server::start(script()).unwrap();
        let there = behind(&server, &by, &["127.0.0.1"], &TLS13).await;
        for trust in [trusting(&other), Trust::System] {
            let client = match Client::trusting(&there.url, None, &trust) {
                Ok(client) => client,
                // A machine without any authority.
                Err(LoadError::Trust { problem }) if trust == Trust::System => {
                    assert!(problem.contains("CA file"), "{problem}");
                    continue;
                }
                Err(other) => panic!("{other}"),
            };
            let error = client.health().await.unwrap_err();
            assert!(matches!(error, LoadError::Tls { .. }), "{error:?}");
            assert!(error.to_string().contains("give that authority's certificate as the CA file"), "{error}");
            let plan = LoadPlan::new("standin", 4, 2, 3);
            let error = run(&client, &plan, &mut |_| {}).await.unwrap_err();
            assert!(matches!(&error, LoadError::Probe { failure } if failure.kind == FailureKind::Tls), "{error}");
        }
        let elsewhere = behind(&server, &by, &["example.com"], &TLS13).await;
        let error = Client::trusting(&elsewhere.url, None, &trusting(&by)).unwrap().health().await.unwrap_err();
        assert!(error.to_string().contains("of another name"), "{error}");
        // Without asking who it is, both serve.
        for url in [&there.url, &elsewhere.url] {
            let client = Client::trusting(url, None, &Trust::Anybody).unwrap();
            client.health().await.unwrap();
            assert_eq!(client.transport(), Transport::Tls { verified: false });
        }
        let plain = Client::trusting(&server.url().replace("http:", "https:"), None, &Trust::Anybody).unwrap();
        let error = plain.health().await.unwrap_err();
        assert!(error.to_string().contains("try http://"), "{error}");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for (pem, part) in [
            ("", "has no certificate"),
            ("hello", "has no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "no PEM"),
        ] {
            let trust = Trust::Authorities { pem: pem.as_bytes().to_vec() };
            let error = Client::trusting("https://h", None, &trust).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
