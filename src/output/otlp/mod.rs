//! OpenTelemetry: every episode is a trace, every pause a span, and none is lost.
//!
//! ```text
//! data.db (export = 'pending') ──read──> span (pure) ──> transport (http/protobuf, grpc) ──> collector
//!        ^                                                        │ verdict (pure)
//!        └────────── marker: 'exported' | 'refused' <──── outbox ─┘ backoff (pure)
//! ```
//!
//! What is sent comes from the event store, and is marked there once the collector has taken it: nothing waits in
//! memory. Ids derive from the event, so what is sent twice is the same span. Without an endpoint there is no
//! task, no thread and no connection.

mod outbox;
mod resource;
mod span;
mod stats;
mod tls;
mod transport;
mod verdict;

pub use outbox::{Exporter, Running};
pub use resource::Machine;
pub use stats::OtlpStats;

/// Why the exporter can't start: what is configured can't work. One line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// A certificate or key.
    #[error("{key}: {path}: {why}: name a PEM file that this user may read")]
    Pem {
        /// The setting.
        key: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate and the key do not fit, or the trusted ones are none.
    #[error(
        "otlp: the certificates can't be used ({0}): correct otlp.certificate, client_certificate, client_key"
    )]
    Tls(String),
    /// The endpoint.
    #[error("otlp.endpoint: {0}: correct the URL")]
    Endpoint(String),
    /// The file that holds the instance's id.
    #[error("{path}: {source}: make the data directory writable for this user")]
    Instance {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
