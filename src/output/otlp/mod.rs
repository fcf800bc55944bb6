//! OpenTelemetry: what became of the spans.

mod stats;

pub use stats::OtlpStats;
