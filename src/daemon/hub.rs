//! The outputs' side: takes what the sampling thread hands over and gives each output its part. One thread, one
//! runtime; nothing here waits for a disk or a client.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::handover::{Handed, Inlet, QUEUE, SourceState};
use super::sampling::Command;
use crate::event::{EventId, Gap, Notice, Verdict};
use crate::output::forensics::{Forensics, Pause};
use crate::output::metrics::Metrics;
use crate::output::socket::{Kind, Socket};
use crate::output::store::{Recorder, Recovered, Store, Write};
use crate::sample::{Reject, Sample, SourceInfo};
use crate::wire::{self, Hello, Message, SourceLine, Thresholds};

/// How long an announcement waits for its event's commit; then it goes ahead and says so.
const COMMIT: Duration = Duration::from_secs(1);
/// Announcements that wait at once; more go ahead at once.
const ANNOUNCEMENTS: usize = 64;
/// Rejected documents are logged at most so often; those in between are counted.
const REJECTS_EVERY: Duration = Duration::from_secs(60);

/// What the daemon says of itself in every hello.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `powermetrics`, `linux`, `replay` or `simulate`.
    pub source: &'static str,
    /// The host's name.
    pub host: String,
    /// The nominal interval, ms.
    pub interval_ms: f64,
    /// Logical cores.
    pub cores: u32,
    /// Where the tiers begin.
    pub thresholds: Thresholds,
}

/// The outputs.
pub struct Hub {
    pub(super) inlet: Inlet,
    pub(super) socket: Socket,
    pub(super) store: Store,
    identity: Identity,
    recorder: Recorder,
    writes: Vec<Write>,
    announcing: JoinSet<()>,
    commands: std::sync::mpsc::SyncSender<Command>,
    metrics: Metrics,
    /// Where evidence is gathered, and from which length of a pause on, ns.
    forensics: Option<(Forensics, u64)>,
    /// The database was opened, and what it held is known.
    recovered: bool,
    rejects: Rejects,
    /// The sample's buffer: encoded once, then shared.
    line: Vec<u8>,
    dropped: u64,
    degraded: bool,
}

/// Rejected documents since the last line about them.
#[derive(Debug, Default)]
struct Rejects {
    counts: [u64; 4],
    told: Option<Instant>,
}

impl Hub {
    /// Puts the outputs together. `recovered`: what opening the store brought to light, where it is open.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a part of its own, put together in one place")]
    pub fn new(
        inlet: Inlet,
        socket: Socket,
        store: Store,
        recorder: Recorder,
        identity: Identity,
        commands: std::sync::mpsc::SyncSender<Command>,
        metrics: Metrics,
        recovered: Option<Recovered>,
    ) -> Self {
        let mut hub = Self {
            inlet,
            socket,
            store,
            identity,
            recorder,
            writes: Vec::new(),
            announcing: JoinSet::new(),
            commands,
            metrics,
            forensics: None,
            recovered: false,
            rejects: Rejects::default(),
            line: Vec::with_capacity(4096),
            dropped: 0,
            degraded: false,
        };
        if let Some(recovered) = recovered {
            hub.recover(&recovered);
        }
        hub
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Evidence is gathered by `forensics`, of pauses of at least `min_duration`.
    pub fn gather_by(&mut self, forensics: Forensics, min_duration: Duration) {
        self.forensics = Some((forensics, 0));
        self.set_least_pause(min_duration);
    }

    /// Evidence is gathered of pauses of at least `min_duration`.
    pub fn set_least_pause(&mut self, min_duration: Duration) {
        if let Some((_, least_ns)) = &mut self.forensics {
            *least_ns = u64::try_from(min_duration.as_nanos()).unwrap_or(u64::MAX);
        }
    }

    /// New thresholds: told in every hello from here on.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.identity.thresholds = thresholds;
    }

    /// Serves until dropped; cancelled between two turns it loses nothing.
    pub async fn serve(&mut self) {
        loop {
            tokio::select! {
                biased;
                woken = timeout(Duration::from_secs(1), self.inlet.woken()) => {
                    while self.drain() {
                        // A replay at full speed can go on for ever: clients and signals have their turn too.
                        tokio::task::yield_now().await;
                    }
                    if woken.is_err() {
                        // No sample for a second: what waits for its second to be full goes now.
                        self.recorder.flush(&mut self.writes);
                        self.write();
                    }
                    while self.announcing.try_join_next().is_some() {}
                }
                stream = self.socket.accept() => {
                    let hello = self.hello();
                    self.socket.clients().add(stream, &hello);
                }
            }
        }
    }

    /// Deals with what was handed over, a queueful at most. True where there may be more.
    fn drain(&mut self) -> bool {
        let mut dealt = 0;
        while dealt < QUEUE {
            let Some(handed) = self.inlet.take() else { break };
            dealt += 1;
            match handed {
                Handed::Sample(sample) => self.sample(&sample),
                Handed::Notice(notice) => self.notice(&notice),
                Handed::Source { time_ns, state, info, detail } => {
                    self.source(time_ns, state, &info, detail.as_deref());
                }
                Handed::Rejected(reject) => self.rejected(reject),
            }
        }
        self.tell_rejects(false);
        let dropped = self.inlet.dropped();
        if dropped > self.dropped {
            tracing::warn!("{} messages were dropped: the outputs fell behind", dropped - self.dropped);
            self.dropped = dropped;
        }
        if !self.recovered
            && let Some(recovered) = self.store.take_recovered()
        {
            self.recover(&recovered);
        }
        dealt == QUEUE
    }

    /// The last of it: what is left goes out, and whoever waits for a commit is given a moment.
    pub async fn finish(&mut self) {
        while self.drain() {}
        self.tell_rejects(true);
        self.recorder.flush(&mut self.writes);
        self.write();
        let announcing = async { while self.announcing.join_next().await.is_some() {} };
        let _ = timeout(COMMIT / 2, announcing).await;
    }

    /// Lets go of socket, store and what gathers evidence.
    pub fn into_parts(self) -> (Socket, Store, Option<Forensics>) {
        (self.socket, self.store, self.forensics.map(|(forensics, _)| forensics))
    }

    fn sample(&mut self, sample: &Sample) {
        if sample.degraded != self.degraded {
            self.degraded = sample.degraded;
            if sample.degraded {
                tracing::warn!("samples are degraded: load, memory and lateness only");
            } else {
                tracing::info!("samples are complete again");
            }
        }
        self.send(Kind::Sample, &Message::Sample(Box::new(sample.into())));
        self.recorder.sample(sample, &mut self.writes);
        self.write();
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Tier(change) => {
                self.send(Kind::Event, &Message::Tier(change.into()));
                tracing::info!(
                    stress = change.stress,
                    event = change.episode,
                    "{} -> {}",
                    change.from.as_str(),
                    change.to.as_str()
                );
            }
            Notice::Gap(gap) => self.send(Kind::Event, &Message::Gap(gap.into())),
            Notice::EpisodeOpened(_) | Notice::EpisodeChanged(_) | Notice::EpisodeClosed(_) => {}
        }
        self.recorder.notice(notice, &mut self.writes);
        if let Notice::Gap(gap) = notice {
            self.gather(gap);
            self.announce(gap);
        }
        self.write();
    }

    /// Has evidence of a pause gathered. Its ring is the one that is stored.
    fn gather(&self, gap: &Gap) {
        let Some((forensics, least_ns)) = &self.forensics else { return };
        let Some(event) = gap.id.filter(|_| gap.verdict == Verdict::Pause && gap.duration_ns >= *least_ns)
        else {
            return;
        };
        let Some(incident) = self.recorder.incident(event) else { return };
        let ring = self.writes.iter().find_map(|write| match write {
            Write::Samples { event: of, samples } if *of == event => Some(samples.clone()),
            _ => None,
        });
        forensics.gather(Pause {
            event,
            incident,
            started_ns: gap.started_ns,
            ring: ring.unwrap_or_default(),
        });
    }

    /// A gap is announced once its event is on record, or the disk has not answered within a second.
    fn announce(&mut self, gap: &Gap) {
        let line = describe(gap);
        let at =
            self.writes.iter().position(|write| matches!(write, Write::Event(row) if Some(row.id) == gap.id));
        let Some(at) = at else {
            tracing::info!("{line}");
            return;
        };
        let Write::Event(row) = self.writes.remove(at) else { return };
        let committed = self.store.announce(*row).ok().filter(|_| self.announcing.len() < ANNOUNCEMENTS);
        self.announcing.spawn(async move {
            match await_commit(committed).await {
                Some(id) => tracing::info!(event = id, stored = true, "{line}"),
                None => tracing::warn!(stored = false, "{line}; the disk has not taken it yet"),
            }
        });
    }

    fn source(&mut self, time_ns: i64, state: SourceState, info: &SourceInfo, detail: Option<&str>) {
        let name = self.identity.source;
        let why = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        match state {
            SourceState::Up => tracing::info!("the source {name} delivers"),
            SourceState::Restarting => tracing::warn!("the source {name} is started again{why}"),
            SourceState::Down => tracing::error!("the source {name} is down{why}"),
        }
        self.send(
            Kind::Event,
            &Message::Source(SourceLine {
                time: wire::rfc3339(time_ns).into(),
                state: state.as_str().into(),
                source: name.into(),
                hw_model: info.hw_model.as_ref().map(|model| model.as_str().into()),
                os_build: info.os_build.as_ref().map(|build| build.as_str().into()),
                detail: detail.map(Into::into),
            }),
        );
    }

    fn rejected(&mut self, reject: Reject) {
        self.rejects.counts[reject as usize] += 1;
    }

    /// Tells of rejected documents, where there are any and it is time, or the end.
    fn tell_rejects(&mut self, ending: bool) {
        let soon = self.rejects.told.is_some_and(|told| told.elapsed() < REJECTS_EVERY);
        if self.rejects.counts == [0; 4] || (soon && !ending) {
            return;
        }
        self.rejects.told = Some(Instant::now());
        let counts = std::mem::take(&mut self.rejects.counts);
        let parts: Vec<String> = Reject::ALL
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!("{count} {}", reason.as_str()))
            .collect();
        tracing::warn!("documents rejected: {}", parts.join(", "));
    }

    fn recover(&mut self, recovered: &Recovered) {
        self.recovered = true;
        self.metrics.restore_last_pause(recovered.last_pause_ns);
        // A daemon that goes away takes no commands.
        let _ = self.commands.try_send(Command::ReserveIds(recovered.next_event_id));
        if recovered.interrupted > 0 {
            tracing::info!("the last run left {} open: closed as interrupted", recovered.interrupted);
        }
        for outage in &recovered.outages {
            tracing::warn!(
                event = outage.id,
                "the machine went down without a word at {}: recorded as an outage",
                wire::rfc3339(outage.started_ns)
            );
        }
    }

    /// Encodes a message once and sends it to all.
    fn send(&mut self, kind: Kind, message: &Message<'_>) {
        self.line.clear();
        wire::encode(message, &mut self.line);
        self.socket.clients().send(kind, &Bytes::copy_from_slice(&self.line));
    }

    fn write(&mut self) {
        for write in self.writes.drain(..) {
            // A full queue is counted by the store, and told in its log.
            let _ = self.store.write(write);
        }
    }

    fn hello(&self) -> Vec<u8> {
        let Identity { source, host, interval_ms, cores, thresholds } = &self.identity;
        let mut line = Vec::new();
        let hello = Hello {
            protocol: wire::PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            source: (*source).into(),
            host: host.into(),
            interval_ms: *interval_ms,
            cores: *cores,
            thresholds: *thresholds,
            ring: Vec::new(),
        };
        wire::encode(&Message::Hello(hello), &mut line);
        line
    }
}

/// The id an event was stored under; `None` where the disk does not answer within a second.
async fn await_commit(committed: Option<oneshot::Receiver<EventId>>) -> Option<EventId> {
    timeout(COMMIT, committed?).await.ok()?.ok()
}

/// A gap in a line for a person.
fn describe(gap: &Gap) -> String {
    let seconds = gap.duration_ns as f64 / 1e9;
    let doubt = if gap.certain { "" } else { " (not certain)" };
    let culprit = match gap.culprits.first() {
        Some(first) => format!(", built up by {}", first.name.printable()),
        None => String::new(),
    };
    match gap.verdict {
        Verdict::Pause => format!("pause of {seconds:.2} s{doubt}{culprit}"),
        Verdict::Stall => format!("stall of {seconds:.2} s: the sampler stood still{culprit}"),
        Verdict::Starved => format!("starved for {seconds:.2} s: only this program stood still"),
        Verdict::Sleep => format!("slept for {seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_described_in_a_line() {
        let gap = Gap {
            id: Some(1),
            verdict: Verdict::Pause,
            certain: false,
            started_ns: 0,
            ended_ns: 1_520_000_000,
            duration_ns: 1_520_000_000,
            asleep_ns: 0,
            seq: None,
            episode: None,
            stress: crate::sample::Stress::default(),
            tier: crate::sample::Tier::Sentinel,
            culprits: Vec::new(),
        };
        assert_eq!(describe(&gap), "pause of 1.52 s (not certain)");
    }

    #[test]
    fn an_announcement_waits_a_second_for_the_disk_and_no_longer() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (answer, committed) = oneshot::channel();
            answer.send(7).unwrap();
            assert_eq!(await_commit(Some(committed)).await, Some(7));
            let (_silent, committed) = oneshot::channel();
            assert_eq!(await_commit(Some(committed)).await, None, "the disk hangs");
            assert_eq!(await_commit(None).await, None);
        });
    }
}
