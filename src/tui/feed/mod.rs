//! What the dashboard is fed with, each by a thread of its own: a daemon's socket, a recording, the events on disk.
//!
//! They hand over through one bounded channel and wait where it is full: a terminal that hangs makes the socket's
//! thread wait, and the daemon cuts us off after a minute, as it does with any client that does not read.

pub mod live;
pub mod recording;
pub mod store;

use crate::output::store::StoredEvent;
use crate::sample::Sample;

use super::state::playback::Loading;
use super::state::{Gap, Peer, Source};

/// Something a feed hands over.
#[derive(Clone, Debug)]
pub enum Fed {
    /// A daemon speaks: who, the samples of the last seconds and the gaps among them, oldest first.
    Hello(Peer, Vec<Sample>, Vec<Gap>),
    /// A sample came.
    Sample(Box<Sample>),
    /// The tier changed: an episode's row has been written, or will be at once.
    Tier,
    /// A gap was judged.
    Gap(Gap),
    /// What became of the source.
    Source(Source),
    /// We were too slow for so many samples.
    Lagged(u64),
    /// There is no connection; why. It is tried again.
    Refused(String),
    /// The connection ended. It is tried again.
    Lost,
    /// Samples of a recording, each with the time since the one before it, ns.
    Recorded(Vec<(Sample, u64)>),
    /// An event of a recording began, or stands otherwise than before.
    Event(Box<StoredEvent>),
    /// Documents or lines of a recording could not be read: so many.
    Rejected(u64),
    /// No more of the recording is read.
    Loaded(Loading),
}

/// Takes what is fed; false where nobody listens any more, and the thread ends.
pub type Sink<'a> = &'a dyn Fn(Fed) -> bool;
