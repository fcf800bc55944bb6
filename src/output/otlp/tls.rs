//! Who is trusted, and who we are: rustls with ring, for http and grpc alike.

use std::path::Path;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::super::client;
use super::OtlpError;
use crate::config::Otlp;

/// TLS as it is configured. The files are read once, here.
pub(super) fn config(otlp: &Otlp) -> Result<ClientConfig, OtlpError> {
    let builder = client::tls_builder().map_err(fail)?;
    let builder = match &otlp.certificate {
        None => builder.with_webpki_roots(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("otlp.certificate", path)? {
                roots.add(certificate).map_err(fail)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    match (&otlp.client_certificate, &otlp.client_key) {
        (Some(chain), Some(path)) => {
            let chain = certificates("otlp.client_certificate", chain)?;
            let key =
                PrivateKeyDer::from_pem_file(path).map_err(|error| pem("otlp.client_key", path, &error))?;
            builder.with_client_auth_cert(chain, key).map_err(fail)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

pub(super) fn fail(error: rustls::Error) -> OtlpError {
    OtlpError::Tls(error.to_string())
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, OtlpError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| pem(key, path, &error))?;
    if certificates.is_empty() {
        return Err(OtlpError::Pem {
            key,
            path: path.to_owned(),
            why: "there is no certificate in it".to_owned(),
        });
    }
    Ok(certificates)
}

fn pem(key: &'static str, path: &Path, error: &rustls::pki_types::pem::Error) -> OtlpError {
    use rustls::pki_types::pem::Error;
    let why = match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "there is no key in it".to_owned(),
        other => other.to_string(),
    };
    OtlpError::Pem { key, path: path.to_owned(), why }
}
