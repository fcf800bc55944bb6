//! The exporter's counters.

use std::sync::atomic::AtomicU64;

/// Counters and states of the OTLP exporter. The exporter writes them, any thread reads them.
#[derive(Debug, Default)]
pub struct OtlpStats {
    /// Spans that the collector took.
    pub spans_exported: AtomicU64,
    /// Spans that the collector refused for good.
    pub spans_rejected: AtomicU64,
    /// Requests that failed; what was in them is sent again.
    pub export_failures: AtomicU64,
    /// Spans that wait to be sent now.
    pub outbox_spans: AtomicU64,
}
