//! The powermetrics child: supervised, framed, decoded.

pub mod decode;
pub mod frame;
