//! pause-monitor, inside out.
//!
//! ```text
//! source ──> engine (stress, tier, gap verdict, ring, culprits) ──> outputs
//! heartbeat ───^                                                    ├ output::socket  (tui, stream)
//!                                                                   ├ output::metrics, output::http (Prometheus)
//!                                                                   ├ output::store   (events)
//!                                                                   ├ output::otlp    (spans, from the store)
//!                                                                   ├ output::alert   (notifications)
//!                                                                   └ output::forensics (evidence of pauses)
//! ```
//!
//! Arrows point one way: cli → {tui, service} → daemon → {source, engine, output} → {sample, event, wire, clock, config}.

mod child;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
mod draft;
pub mod engine;
pub mod event;
pub mod factor;
pub mod heartbeat;
pub mod human;
pub mod output;
pub mod privileges;
pub mod redact;
pub mod runtime;
pub mod sample;
pub mod service;
pub mod source;
pub mod tui;
pub mod wire;
