//! TLS: who is trusted, and who we show ourselves as.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use crate::collector::{Collector, Reply};
use crate::exporting::{CALM, all_are, exports, played, told, wait_until_exported};

/// An authority, and a certificate of its own for 127.0.0.1.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self { issuer, certificate, key }
    }

    /// Puts its PEM files into a directory: `ca.pem`, `cert.pem`, `key.pem`.
    fn write(&self, directory: &Path) {
        for (name, text) in [
            ("ca.pem", self.issuer.pem()),
            ("cert.pem", self.certificate.pem()),
            ("key.pem", self.key.serialize_pem()),
        ] {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }

    /// A server with its certificate, which demands one of the client, too, where it is told to.
    fn server(&self, clients: bool) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut config = builder.with_single_cert(vec![self.certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// TLS in front of a collector: takes connections for as long as the test runs.
fn tls_in_front_of(collector: SocketAddr, config: ServerConfig) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Whoever does not trust us goes away.
                    let Ok(mut outside) = acceptor.accept(stream).await else { return };
                    let mut inside = tokio::net::TcpStream::connect(collector).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
    });
    address
}

/// Exports through TLS that demands a client's certificate or not; the configuration's lines besides.
fn export(
    protocol: &str,
    clients: bool,
    lines: impl Fn(&Path) -> String,
) -> (crate::daemon::Daemon, Collector, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.write(directory.path());
    let take = |_: &_| Reply::Take;
    let collector = if protocol == "grpc" { Collector::grpc(take) } else { Collector::http(take) };
    let front = tls_in_front_of(collector.address(), authority.server(clients));
    let config = format!(
        "[otlp]\nendpoint = \"https://{front}\"\nprotocol = \"{protocol}\"\n{}",
        lines(directory.path())
    );
    let mut daemon = played(&config);
    daemon.restart(&CALM);
    (daemon, collector, directory)
}

fn trusting(directory: &Path) -> String {
    format!("certificate = \"{}/ca.pem\"\n", directory.display())
}

#[test]
fn a_collector_whose_authority_is_trusted_gets_the_spans() {
    for protocol in ["http/protobuf", "grpc"] {
        let (daemon, collector, _directory) = export(protocol, false, trusting);
        wait_until_exported(&daemon);
        assert!(!collector.ids().is_empty());
    }
}

#[test]
fn a_wrong_certificate_keeps_everything_and_says_why_once() {
    for protocol in ["http/protobuf", "grpc"] {
        // The authorities of the web do not know it.
        let (daemon, collector, _directory) = export(protocol, false, |_| String::new());
        daemon.wait_for_log("invalid peer certificate: UnknownIssuer");
        assert!(all_are(&daemon, "pending"), "{:?}", exports(&daemon));
        assert!(collector.received().is_empty());
        // Once a run: the first may have ended before it got an answer.
        assert!(told(&daemon, "UnknownIssuer") <= 2, "{}", daemon.log());
    }
}

#[test]
fn a_collector_that_wants_to_know_who_we_are_is_shown_our_certificate() {
    for protocol in ["http/protobuf", "grpc"] {
        let (daemon, collector, _directory) = export(protocol, true, |directory| {
            let place = directory.display();
            trusting(directory)
                + &format!("client_certificate = \"{place}/cert.pem\"\nclient_key = \"{place}/key.pem\"\n")
        });
        wait_until_exported(&daemon);
        assert!(!collector.ids().is_empty());
    }
    let (daemon, collector, _directory) = export("http/protobuf", true, trusting);
    daemon.wait_for_log("the collector does not take spans now");
    assert!(all_are(&daemon, "pending") && collector.received().is_empty());
}
