//! The engine on a virtual clock.

mod gaps;
mod tiers;
mod world;
