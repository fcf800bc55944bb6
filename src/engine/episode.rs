//! Episodes: the time from leaving SENTINEL to returning to it, with its peak.

use crate::event::{Culprit, Episode, EventId, Notice, Peak};
use crate::sample::{Name, Sample, Tier};

use super::culprit::{culprits, culprits_of_onset, owner};
use super::ring::Ring;

/// When an open episode's row is brought up to date, and when it is closed whatever happens.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `tiers.peak_tracking`, ns.
    pub peak_tracking_ns: u64,
    /// `tiers.max_episode`, ns.
    pub max_episode_ns: u64,
}

/// The open episode.
#[derive(Clone, Debug)]
pub struct Open {
    /// What the outputs are told of it.
    episode: Episode,
    /// When it began on the engine's time line, ns.
    start_ns: u64,
    /// The sample that opened it.
    opening_seq: u64,
    /// When its row was last written, ns on the time line.
    written_ns: u64,
    /// The score that was written.
    written_score: u8,
    /// The first culprit that was written.
    written_name: Option<Name>,
    /// When the peak was, ns on the time line.
    peaked_ns: u64,
    /// Whose the peak's own sample is for the larger part, where it is anybody's.
    peak_owner: Option<Name>,
    /// When the peak's blame was last dealt out, ns on the time line.
    blamed_ns: u64,
}

/// How often an episode is looked at again for who is to blame, ns: an eighth of the time since its peak, within these.
/// Dealing out blame goes over the whole ring, and some episodes are nobody's for an hour.
const BLAME_AGAIN_NS: (u64, u64) = (250_000_000, 1_000_000_000);
/// So long after a peak that is nobody's, or whose owner is not blamed first, what follows may tell more of it, ns: what makes
/// a sudden one is in few samples of the ring yet, and on Linux what a process reads and writes is known a second later.
const SETTLES_NS: u64 = 2_500_000_000;

impl Open {
    /// Opens an episode at the newest sample of the ring.
    pub fn begin(id: EventId, at_ns: u64, sample: &Sample, ring: &Ring, notices: &mut Vec<Notice>) -> Self {
        let episode = Episode {
            id,
            started_ns: sample.time_ns,
            ended_ns: None,
            duration_ns: None,
            continued: false,
            peak: peak(sample, sample.tier, ring),
        };
        let open = Self {
            start_ns: at_ns,
            opening_seq: sample.seq,
            written_ns: at_ns,
            written_score: sample.stress.total(),
            written_name: first(&episode.peak.culprits),
            peaked_ns: at_ns,
            peak_owner: ring.last().and_then(owner),
            blamed_ns: at_ns,
            episode,
        };
        notices.push(Notice::EpisodeOpened(open.episode.clone()));
        open
    }

    /// When it began, ns on the time line.
    #[must_use]
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Its event.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.episode.id
    }

    /// The sample that opened it.
    #[must_use]
    pub fn opening_seq(&self) -> u64 {
        self.opening_seq
    }

    /// The pause that its first sample was the end of is where it really began.
    pub fn begun_by_pause(&mut self, start_ns: u64, started_unix_ns: i64, notices: &mut Vec<Notice>) {
        self.start_ns = start_ns.min(self.start_ns);
        self.episode.started_ns = started_unix_ns.min(self.episode.started_ns);
        self.write(notices);
    }

    /// Tells the outputs of it as it is now.
    fn write(&mut self, notices: &mut Vec<Notice>) {
        self.written_score = self.episode.peak.stress.total();
        self.written_name = first(&self.episode.peak.culprits);
        notices.push(Notice::EpisodeChanged(self.episode.clone()));
    }

    /// Takes a sample into it: the peak is kept, and written at once on a higher tier or when somebody else
    /// is to blame, else now and then.
    pub fn step(
        &mut self,
        at_ns: u64,
        sample: &Sample,
        ring: &Ring,
        rules: &Rules,
        notices: &mut Vec<Notice>,
    ) {
        let highest = self.episode.peak.tier.max(sample.tier);
        let higher = highest > self.episode.peak.tier;
        let peak_score = self.episode.peak.stress.total();
        let score = sample.stress.total();
        if score > peak_score {
            (self.peaked_ns, self.blamed_ns) = (at_ns, at_ns);
            self.peak_owner = ring.last().and_then(owner);
            self.episode.peak = peak(sample, highest, ring);
        } else {
            self.blame_again(at_ns, ring);
        }
        self.episode.peak.tier = highest;
        let risen = self.episode.peak.stress.total() > self.written_score;
        let since_ns = at_ns.saturating_sub(self.written_ns);
        if higher || self.is_renamed(since_ns) || (risen && since_ns >= rules.peak_tracking_ns) {
            self.written_ns = at_ns;
            self.write(notices);
        }
    }

    /// A peak that came out of the blue has nobody to blame yet, or whoever was at work before; what follows it may tell.
    fn blame_again(&mut self, at_ns: u64, ring: &Ring) {
        let known = &self.episode.peak.culprits;
        let since_ns = at_ns.saturating_sub(self.peaked_ns);
        let is_its_owners = self.peak_owner.is_some() && first(known) == self.peak_owner;
        let settles = since_ns < SETTLES_NS && !is_its_owners;
        let wait_ns = (since_ns / 8).clamp(BLAME_AGAIN_NS.0, BLAME_AGAIN_NS.1);
        if (known.is_empty() || settles) && at_ns.saturating_sub(self.blamed_ns) >= wait_ns {
            self.blamed_ns = at_ns;
            let found = culprits_of_onset(ring.iter());
            if known.is_empty() || named_for(&found) > named_for(known) {
                self.episode.peak.culprits = found;
            }
        }
    }

    /// Whether the first culprit is another one than was last written, `since_ns` ago: at most once a second, but at once where
    /// there was none.
    fn is_renamed(&self, since_ns: u64) -> bool {
        let name = first(&self.episode.peak.culprits);
        name.is_some()
            && name != self.written_name
            && (self.written_name.is_none() || since_ns >= BLAME_AGAIN_NS.1)
    }

    /// Whether it has lasted as long as an episode may.
    #[must_use]
    pub fn too_long(&self, at_ns: u64, rules: &Rules) -> bool {
        at_ns.saturating_sub(self.start_ns) >= rules.max_episode_ns
    }

    /// Closes it.
    pub fn end(mut self, at_ns: u64, unix_ns: i64, continued: bool, notices: &mut Vec<Notice>) {
        self.episode.ended_ns = Some(unix_ns.max(self.episode.started_ns));
        self.episode.duration_ns = Some(at_ns.saturating_sub(self.start_ns));
        self.episode.continued = continued;
        notices.push(Notice::EpisodeClosed(self.episode));
    }
}

/// The points that somebody is named for: means of the time that was looked at, rounded.
fn named_for(culprits: &[Culprit]) -> u32 {
    culprits.iter().flat_map(|culprit| culprit.factors).map(u32::from).sum()
}

/// The name of the first of them.
fn first(culprits: &[Culprit]) -> Option<Name> {
    culprits.first().map(|culprit| culprit.name)
}

fn peak(sample: &Sample, tier: Tier, ring: &Ring) -> Peak {
    Peak {
        time_ns: sample.time_ns,
        seq: sample.seq,
        stress: sample.stress,
        tier,
        top: sample.top,
        culprits: culprits(ring.iter()),
    }
}
