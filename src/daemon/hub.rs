//! The outputs' side: takes what the sampling thread hands over and gives each output its part. One thread, one
//! runtime; nothing here waits for a disk or a client.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::handover::{Handed, Inlet, QUEUE, SourceState};
use super::sampling::Command;
use crate::clock;
use crate::config::Config;
use crate::event::{Gap, Notice, Told, Verdict};
use crate::output::alert::{Alert, Alerts, Ending, Record, Watch};
use crate::output::forensics::{Forensics, Pause};
use crate::output::metrics::Metrics;
use crate::output::socket::Socket;
use crate::output::store::{Recorder, Recovered, Store, Write};
use crate::sample::{Reject, Sample, SourceInfo};
use crate::wire::{self, Hello, Message, SourceLine, Thresholds};

/// The outputs look so often by themselves at what was handed over.
const LOOK: Duration = Duration::from_secs(1);

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
    /// The last gaps, for hellos, each with the number of the newest sample when it was told.
    gaps: VecDeque<(u64, Gap)>,
    writes: Vec<Write>,
    watch: Watch,
    alerts: Alerts,
    /// What the watch has to tell: emptied at once.
    telling: Vec<Alert>,
    commands: std::sync::mpsc::SyncSender<Command>,
    metrics: Metrics,
    /// Where evidence is gathered, and from which length of a pause on, ns.
    forensics: Option<(Forensics, u64)>,
    /// The database was opened, and what it held is known.
    recovered: bool,
    rejects: Rejects,
    /// Where a line is encoded, before it is shared.
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

/// What the hub is put together from.
pub struct Parts {
    /// What the sampling thread hands over.
    pub inlet: Inlet,
    /// The Unix socket.
    pub socket: Socket,
    /// The event store.
    pub store: Store,
    /// Turns what happens into writes to the store.
    pub recorder: Recorder,
    /// Turns what happens into alerts.
    pub watch: Watch,
    /// Where alerts go.
    pub alerts: Alerts,
    /// What the daemon says of itself.
    pub identity: Identity,
    /// The metrics.
    pub metrics: Metrics,
}

impl Hub {
    /// Puts the outputs together. `recovered`: what opening the store brought to light, where it is open.
    #[must_use]
    pub fn new(
        parts: Parts,
        commands: std::sync::mpsc::SyncSender<Command>,
        recovered: Option<Recovered>,
    ) -> Self {
        let Parts { inlet, socket, store, recorder, watch, alerts, identity, metrics } = parts;
        let mut hub = Self {
            inlet,
            socket,
            store,
            identity,
            recorder,
            gaps: VecDeque::new(),
            watch,
            alerts,
            telling: Vec::new(),
            writes: Vec::new(),
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
    fn set_least_pause(&mut self, min_duration: Duration) {
        if let Some((_, least_ns)) = &mut self.forensics {
            *least_ns = clock::ns(min_duration);
        }
    }

    /// Other settings: thresholds are told in every hello from here on. False where the alerts are not taken.
    #[must_use]
    pub fn configure(&mut self, thresholds: Thresholds, config: &Config) -> bool {
        self.identity.thresholds = thresholds;
        self.watch.set_critical_min(config.alerts.critical_min_duration);
        self.set_least_pause(config.alerts.pause_min_duration);
        self.alerts.configure(config.alerts.clone(), config.hooks.clone())
    }

    /// Serves until dropped; cancelled between two turns it loses nothing.
    pub async fn serve(&mut self) {
        loop {
            let wanted = self.wants_each();
            self.inlet.want(wanted);
            tokio::select! {
                biased;
                woken = timeout(LOOK, self.inlet.woken()) => {
                    while self.drain() {
                        // A replay at full speed can go on for ever: clients and signals have their turn too.
                        tokio::task::yield_now().await;
                    }
                    if woken.is_err() {
                        // Nothing that could not wait for a second: what waits for its second to be full goes now.
                        self.recorder.flush(&mut self.writes);
                        self.write();
                    }
                }
                stream = self.socket.accept() => {
                    self.inlet.want(true);
                    // Its ring goes up to now.
                    self.drain();
                    let hello = self.hello();
                    let Self { recorder, socket, line, .. } = self;
                    socket.clients().add(stream, &hello, recorder.ring(), |sample| encode(line, &message_of(sample)));
                }
            }
        }
    }

    /// Whether each sample is waited for: by clients; and at the start, when what the database holds is still to be heard of
    /// and the sampling thread is to be told soon from which number on events are its own.
    fn wants_each(&mut self) -> bool {
        !self.recovered || !self.socket.clients().is_empty()
    }

    /// Deals with what was handed over, a queueful at most. True where there may be more.
    fn drain(&mut self) -> bool {
        let mut dealt = 0;
        while dealt < QUEUE {
            let Some(handed) = self.inlet.take() else { break };
            dealt += 1;
            match handed {
                Handed::Sample { sample, at_ns } => self.sample(&sample, at_ns),
                Handed::Notice(notice) => self.notice(&notice),
                Handed::Source { at_ns, time_ns, state, info, detail } => {
                    self.source(at_ns, time_ns, state, &info, detail.as_deref());
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

    /// The last of it: what is left goes out.
    pub fn finish(&mut self) {
        while self.drain() {}
        self.tell_rejects(true);
        self.recorder.flush(&mut self.writes);
        self.write();
        self.watch.finish(clock::awake_ns(), clock::unix_ns(), &mut self.telling);
        self.tell();
    }

    /// How the end of alerts is seen to where the hub is gone.
    pub fn alerts_ending(&self) -> Ending {
        self.alerts.ending()
    }

    /// Lets go of socket, store, alerts and what gathers evidence.
    pub fn into_parts(self) -> (Socket, Store, Alerts, Option<Forensics>) {
        (self.socket, self.store, self.alerts, self.forensics.map(|(forensics, _)| forensics))
    }

    fn sample(&mut self, sample: &Sample, at_ns: u64) {
        if sample.degraded != self.degraded {
            self.degraded = sample.degraded;
            if sample.degraded {
                tracing::warn!("samples are degraded: load, memory and lateness only");
            } else {
                tracing::info!("samples are complete again");
            }
        }
        self.recorder.sample(sample, &mut self.writes);
        if !self.socket.clients().is_empty() {
            let line = encode(&mut self.line, &message_of(sample));
            self.socket.clients().send_sample(sample.seq, &line, self.recorder.oldest());
        }
        self.watch.sample(sample, at_ns, &mut self.telling);
        self.tell();
        self.write();
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Tier(change) => {
                self.send(&Message::Tier(change.into()));
                tracing::info!(
                    stress = change.stress,
                    event = change.episode,
                    "{} -> {}",
                    change.from.as_str(),
                    change.to.as_str()
                );
            }
            Notice::Gap(gap) => {
                self.send(&Message::Gap(gap.into()));
                if self.gaps.len() == Told::MOST {
                    self.gaps.pop_front();
                }
                let newest = self.recorder.ring().next_back().map_or(0, |sample| sample.seq);
                self.gaps.push_back((newest, gap.clone()));
            }
            Notice::EpisodeOpened(_) | Notice::EpisodeChanged(_) | Notice::EpisodeClosed(_) => {}
        }
        if let Notice::Gap(gap) = notice
            && gap.verdict == Verdict::Sleep
        {
            tracing::info!("slept for {:.0} s", gap.duration_ns as f64 / 1e9);
        }
        self.recorder.notice(notice, &mut self.writes);
        let pause = if let Notice::Gap(gap) = notice { self.pause(gap) } else { None };
        let event = match notice {
            Notice::Tier(change) => Some(change.episode),
            Notice::Gap(gap) => gap.id,
            Notice::EpisodeOpened(episode)
            | Notice::EpisodeChanged(episode)
            | Notice::EpisodeClosed(episode) => Some(episode.id),
        };
        let incident = event.and_then(|event| self.recorder.incident(event));
        self.watch.notice(notice, incident, &mut self.telling);
        self.tell();
        self.write();
        // After its row: what comes of it is recorded there.
        if let (Some((forensics, _)), Some(pause)) = (&self.forensics, pause) {
            forensics.gather(pause);
        }
    }

    /// A pause of which evidence is to be gathered. Its ring is the one that is stored.
    fn pause(&self, gap: &Gap) -> Option<Pause> {
        let (_, least_ns) = self.forensics.as_ref()?;
        let event = gap.id.filter(|_| gap.verdict == Verdict::Pause && gap.duration_ns >= *least_ns)?;
        let incident = self.recorder.incident(event)?;
        let ring = self.writes.iter().find_map(|write| match write {
            Write::Samples { event: of, samples } if *of == event => Some(samples.clone()),
            _ => None,
        });
        Some(Pause { event, incident, gap: gap.clone(), ring: ring.unwrap_or_default() })
    }

    /// Hands the alerts over, those about one row together, with the answer to its commit.
    fn tell(&mut self) {
        let mut telling = std::mem::take(&mut self.telling).into_iter().peekable();
        while let Some(Alert { row, payload }) = telling.next() {
            let mut payloads = vec![payload];
            while let Some(next) = telling.next_if(|next| row.is_some() && next.row == row) {
                payloads.push(next.payload);
            }
            let record = match row {
                None => Record::None,
                Some(event) => match self.recorder.take_row(event, &mut self.writes) {
                    Some(row) => self.store.announce(row).map_or(Record::Refused, Record::Pending),
                    // Of an earlier run: that is where it comes from.
                    None => Record::Stored,
                },
            };
            self.alerts.tell(payloads, row, record);
        }
    }

    fn source(
        &mut self,
        at_ns: u64,
        time_ns: i64,
        state: SourceState,
        info: &SourceInfo,
        detail: Option<&str>,
    ) {
        let name = self.identity.source;
        let why = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        match state {
            SourceState::Up => tracing::info!("the source {name} delivers"),
            SourceState::Restarting => tracing::warn!("the source {name} is started again{why}"),
            SourceState::Down => tracing::error!("the source {name} is down{why}"),
        }
        match state {
            SourceState::Up => self.watch.source_up(),
            SourceState::Restarting => {
                self.watch.source_restarting(at_ns, time_ns, detail, &mut self.telling);
            }
            SourceState::Down => self.watch.source_down(at_ns, time_ns, detail, &mut self.telling),
        }
        self.tell();
        self.send(&Message::Source(SourceLine {
            time: wire::rfc3339(time_ns).into(),
            state: state.as_str().into(),
            source: name.into(),
            hw_model: info.hw_model.as_ref().map(|model| model.as_str().into()),
            os_build: info.os_build.as_ref().map(|build| build.as_str().into()),
            detail: detail.map(Into::into),
        }));
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
        self.metrics.restore_last_pause(recovered.last_pause);
        // A daemon that goes away takes no commands.
        let _ = self.commands.try_send(Command::ReserveIds(recovered.next_event_id));
        if !recovered.interrupted.is_empty() {
            tracing::info!("the last run left {} open: closed as interrupted", recovered.interrupted.len());
        }
        for episode in &recovered.interrupted {
            self.watch.interrupted(episode, &mut self.telling);
        }
        for outage in &recovered.outages {
            self.watch.outage(outage, &mut self.telling);
        }
        self.tell();
    }

    /// Sends what is no sample to all.
    fn send(&mut self, message: &Message<'_>) {
        if !self.socket.clients().is_empty() {
            let line = encode(&mut self.line, message);
            self.socket.clients().send_event(&line);
        }
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
        let oldest = self.recorder.oldest();
        let gaps = self.gaps.iter().filter(|(told_at, _)| *told_at >= oldest).map(|(_, gap)| gap);
        let hello = Hello {
            protocol: wire::PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            source: (*source).into(),
            host: host.into(),
            interval_ms: *interval_ms,
            cores: *cores,
            thresholds: *thresholds,
            gaps: gaps.map(Into::into).collect(),
            ring: Vec::new(),
        };
        wire::encode(&Message::Hello(hello), &mut line);
        line
    }
}

/// What is told of a sample.
fn message_of(sample: &Sample) -> Message<'_> {
    Message::Sample(Box::new(sample.into()))
}

/// A message's line: encoded once, then shared by all clients.
fn encode(buffer: &mut Vec<u8>, message: &Message<'_>) -> Bytes {
    buffer.clear();
    wire::encode(message, buffer);
    Bytes::copy_from_slice(buffer)
}
