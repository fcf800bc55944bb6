//! Where a recording stands.

/// How fast it can be played.
pub const SPEEDS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0];

/// How far it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loading {
    /// It is being read.
    Reading,
    /// To its end.
    Done,
    /// As far as there is room: two hours.
    Full,
    /// It can't be read on; why.
    Failed(String),
}

/// A recording being played.
#[derive(Clone, Debug, PartialEq)]
pub struct Playback {
    /// Its name.
    pub name: String,
    /// The number of the sample shown.
    pub position: u64,
    /// It moves.
    pub playing: bool,
    /// How fast: an index of [`SPEEDS`].
    pub speed: usize,
    /// When the sample shown was due, ns on our clock: the next is due its step later.
    pub since_ns: u64,
    /// How far it has been read.
    pub loading: Loading,
    /// Documents and lines that could not be read.
    pub rejected: u64,
}

impl Playback {
    /// At its beginning, playing.
    #[must_use]
    pub fn new(name: String, now_ns: u64) -> Self {
        Self {
            name,
            position: 0,
            playing: true,
            speed: 3,
            since_ns: now_ns,
            loading: Loading::Reading,
            rejected: 0,
        }
    }

    /// How many times as fast as it was.
    #[must_use]
    pub fn times(&self) -> f64 {
        SPEEDS[self.speed.min(SPEEDS.len() - 1)]
    }
}
