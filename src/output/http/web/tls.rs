//! TLS: a certificate with its key, and the lowest version.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

use super::yaml::{Entry, Node};
use super::{Reading, Stat, read};
use crate::config::clipped;

/// Keys of the format that are not supported.
const UNSUPPORTED: [&str; 9] = [
    "cert",
    "key",
    "client_auth_type",
    "client_ca",
    "client_ca_file",
    "client_allowed_sans",
    "cipher_suites",
    "curve_preferences",
    "prefer_server_cipher_suites",
];

/// The longest path that any system takes, bytes.
const PATH_MAX: usize = 4096;

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// A file that is named, and the line that names it.
type Named = (usize, PathBuf);

impl Reading<'_> {
    /// `tls_server_config`, whose name stands on `line`.
    pub(super) fn tls(&mut self, line: usize, keys: &[Entry]) {
        let (mut cert, mut key) = (None, None);
        let (mut lowest, mut highest) = (None, None);
        for entry in keys {
            let name = entry.key.as_str();
            match (name, &entry.value) {
                ("cert_file", Node::Text(path)) => cert = Some((entry.line, self.directory.join(path))),
                ("key_file", Node::Text(path)) => key = Some((entry.line, self.directory.join(path))),
                ("min_version", Node::Text(version)) => lowest = self.version(entry, version),
                ("max_version", Node::Text(version)) => highest = self.version(entry, version),
                // The format's own defaults, which ask for nothing.
                ("client_auth_type", Node::Text(kind)) if kind == "NoClientCert" => {}
                (_, Node::Null) if UNSUPPORTED.contains(&name) => {}
                _ if UNSUPPORTED.contains(&name) => {
                    self.tell(
                        Some(entry.line),
                        format!("tls_server_config.{name} is not supported here: take it out"),
                    );
                }
                ("cert_file" | "key_file" | "min_version" | "max_version", _) => {
                    self.tell(Some(entry.line), format!("tls_server_config.{name}: write a text"));
                }
                (other, _) => {
                    let other = clipped(other);
                    self.tell(Some(entry.line), format!("unknown key `tls_server_config.{other}`"));
                }
            }
        }
        let (Some(cert), Some(key)) = (cert, key) else {
            return self
                .tell(Some(line), "tls_server_config: cert_file and key_file are both needed".to_owned());
        };
        let versions: &'static [&'static SupportedProtocolVersion] =
            match (lowest.unwrap_or(Version::Tls12), highest.unwrap_or(Version::Tls13)) {
                (Version::Tls12, Version::Tls13) => &BOTH,
                (Version::Tls13, Version::Tls13) => &BOTH[..1],
                (Version::Tls12, Version::Tls12) => &BOTH[1..],
                (Version::Tls13, Version::Tls12) => {
                    return self
                        .tell(Some(line), "tls_server_config: min_version is above max_version".to_owned());
                }
            };
        self.settings.tls = self.acceptor(&cert, &key, versions);
    }

    fn version(&mut self, entry: &Entry, text: &str) -> Option<Version> {
        match text {
            "TLS12" => Some(Version::Tls12),
            "TLS13" => Some(Version::Tls13),
            other => {
                let other = clipped(other);
                let why = if matches!(other.as_str(), "TLS10" | "TLS11") {
                    "is broken and not spoken here"
                } else {
                    "is no version"
                };
                self.tell(
                    Some(entry.line),
                    format!("tls_server_config.{}: {other} {why}: write TLS12 or TLS13", entry.key),
                );
                None
            }
        }
    }

    fn acceptor(
        &mut self,
        cert: &Named,
        key: &Named,
        versions: &'static [&'static SupportedProtocolVersion],
    ) -> Option<TlsAcceptor> {
        let cert_pem = self.file("cert_file", cert);
        let key_pem = self.file("key_file", key);
        let (cert_pem, key_pem) = (cert_pem?, key_pem?);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert_pem).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        if chain.is_none() {
            self.tell(
                Some(cert.0),
                "tls_server_config.cert_file: there is no PEM certificate in it".to_owned(),
            );
        }
        let private = PrivateKeyDer::from_pem_slice(&key_pem).ok();
        if private.is_none() {
            self.tell(
                Some(key.0),
                "tls_server_config.key_file: there is no PEM private key in it".to_owned(),
            );
        }
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .map(|builder| builder.with_no_client_auth());
        let (chain, private) = (chain?, private?);
        match config.and_then(|builder| builder.with_single_cert(chain, private)) {
            Ok(mut config) => {
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(TlsAcceptor::from(Arc::new(config)))
            }
            Err(error) => {
                self.tell(
                    Some(key.0),
                    format!("tls_server_config.key_file: it does not go with cert_file: {error}"),
                );
                None
            }
        }
    }

    /// A file that a key names.
    fn file(&mut self, key: &str, (line, path): &Named) -> Option<Vec<u8>> {
        self.settings.files.push((path.clone(), Stat::of(path)));
        match read(path) {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                let path = path.to_string_lossy();
                // One that no system takes would fill the screen.
                let long = path.len() > PATH_MAX;
                let path = if long { clipped(&path) } else { crate::sample::printable(&path) };
                self.tell(Some(*line), format!("tls_server_config.{key}: {path}: {why}"));
                None
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Tls12,
    Tls13,
}
