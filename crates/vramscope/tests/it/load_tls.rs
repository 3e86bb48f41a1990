//! `vramscope load` of a server behind TLS, and of one behind a unix socket.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use standin_openai::{Script, Server};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{stderr, stdout, vramscope};

async fn relay(mut from: impl AsyncRead + AsyncWrite + Unpin, server: SocketAddr) {
    let mut to = TcpStream::connect(server).await.unwrap();
    let _ = copy_bidirectional(&mut from, &mut to).await;
}

fn address(server: &Server) -> SocketAddr {
    server.url().strip_prefix("http://").unwrap().parse().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

const WORDS: [&str; 9] =
    ["--num-prompts", "20", "--input-len", "6", "--output-len", "3", "--concurrency", "4", "--format"];

#[test]
fn a_server_behind_tls_is_believed_by_its_authority_or_with_a_loud_warning() {
    let server = Server::start(Script::default()).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let by = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &by).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let to = address(&server);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    relay(stream, to).await;
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("ca.pem");
    std::fs::write(&pem, by.pem()).unwrap();
    let pem = pem.to_str().unwrap();
    let load = |url: &str, words: &[&str]| vramscope(&[&["load", url][..], &WORDS, &["json", "-q"], words].concat());

    let output = load(&url, &["--ca-file", pem]);
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&document["transport"], &document["findings"]), (&"tls".into(), &Value::Null));
    assert_eq!(document["levels"][0]["requests"]["completed"], 20);
    let times = if cfg!(target_os = "linux") { "packets" } else { "reads" };
    assert_eq!(document["levels"][0]["client"]["chunk_times"], times);

    let output = load(&url, &["--insecure"]);
    assert!(output.status.success() && stderr(&output).contains("WARNING: --insecure"), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&document["transport"], &document["findings"][0]["code"]),
        (&"tls_unverified".into(), &"tls_unverified".into())
    );

    let nowhere = folder.path().join("none.pem");
    for (url, words, code, part) in [
        (url.as_str(), &["--ca-file", nowhere.to_str().unwrap()][..], 3, "none.pem"),
        (&server.url(), &["--insecure"], 2, "https://"),
        (&server.url().replace("http:", "https:"), &["--insecure"], 9, "try http://"),
    ] {
        let output = load(url, words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{words:?}: {}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn a_server_behind_a_unix_socket_is_loaded() {
    let server = Server::start(Script::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let runtime = runtime();
    let listener = runtime.block_on(async { tokio::net::UnixListener::bind(&path).unwrap() });
    let to = address(&server);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, to));
        }
    });
    let url = format!("unix:{}", path.display());
    let output = vramscope(&[&["load", &url][..], &WORDS, &["json", "-q"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&document["transport"], &document["server"]), (&"unix".into(), &url.into()));
    assert_eq!(document["levels"][0]["client"]["chunk_times"], "reads");
}
