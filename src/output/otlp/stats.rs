//! What is counted of the export.

use std::sync::atomic::AtomicU64;

/// Counters of the OpenTelemetry export. All are 0 where no endpoint is set, but `outbox_spans`: what waited
/// when the endpoint was taken away still waits.
#[derive(Debug, Default)]
pub struct OtlpStats {
    /// Spans that the collector took, and that are marked so. Written by the outbox's task.
    pub spans_exported: AtomicU64,
    /// Spans that the collector refused for good. Written by the outbox's task.
    pub spans_rejected: AtomicU64,
    /// Requests that failed, whatever for: no answer, an error, a refusal. Written by the outbox's task.
    pub export_failures: AtomicU64,
    /// Spans that wait now: finished events not yet exported. Counted in the database by the store's thread, so
    /// it is right from the moment the database is open.
    pub outbox_spans: AtomicU64,
}
