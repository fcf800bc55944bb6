//! The engine on a virtual clock.

mod clocks;
mod gaps;
mod properties;
mod recordings;
mod tiers;
mod world;
