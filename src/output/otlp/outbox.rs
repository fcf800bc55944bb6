//! The outbox: takes what the store says is to be exported to the collector, and marks it. One task on the
//! outputs' runtime; it sleeps until the store rings, and nothing ever waits for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use opentelemetry::InstrumentationScope;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use prost::Message;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::backoff::{Backoff, chance};
use super::resource::{self, Machine};
use super::transport::Transport;
use super::verdict::Answer;
use super::{OtlpError, span};
use crate::config::{Otlp, Paths};
use crate::output::store::{Export, Marker, Outbox as Ties, Outgoing, Reader};

/// What a collector asks for is honoured up to this.
const ASKED: Duration = Duration::from_secs(3_600);

/// Events in one request at most.
const BATCH: u32 = 32;

/// Bytes of one request at most, before compression; a single span may be larger. Collectors take 4 MiB and more.
const BYTES: usize = 1 << 20;

/// How long a faulty configuration is left alone before it is tried again.
const MISCONFIGURED: Duration = Duration::from_secs(60);

/// Refusals are logged at most so often; those in between are counted.
const REFUSALS_EVERY: Duration = Duration::from_secs(60);

/// An exporter that is configured, and has yet to start.
#[derive(Debug)]
pub struct Exporter {
    transport: Transport,
    resource: ResourceAttributesWithSchema,
    timeout: Duration,
    directory: PathBuf,
    to: String,
}

impl Exporter {
    /// Prepares the export; `None` where no endpoint is set, and then nothing is read or made. Certificates are
    /// read, and the instance's id is made where there is none; nothing is connected.
    ///
    /// # Errors
    /// [`OtlpError`] where it can't work as it is configured.
    pub fn new(otlp: &Otlp, paths: &Paths, machine: &Machine) -> Result<Option<Self>, OtlpError> {
        let Some(transport) = Transport::new(otlp)? else { return Ok(None) };
        let resource = resource::resource(otlp, &resource::instance(paths)?, machine);
        Ok(Some(Self {
            transport,
            resource: (&resource).into(),
            timeout: otlp.timeout,
            directory: paths.data_dir.clone(),
            to: otlp.target().map(ToString::to_string).unwrap_or_default(),
        }))
    }

    /// Starts the task on the present runtime.
    #[must_use]
    pub fn start(self, marker: Marker, ties: &Ties) -> Running {
        tracing::info!("spans go to {}", self.to);
        let (ending, ended) = watch::channel(false);
        Running { ending, task: tokio::spawn(self.outbox(marker, ties).run(ended)) }
    }

    fn outbox(self, marker: Marker, ties: &Ties) -> Outbox {
        Outbox {
            exporter: self,
            scope: span::scope(),
            marker,
            ties: ties.clone(),
            backoff: Backoff::new(ASKED),
            trouble: None,
            unreadable: false,
            refusals: Refusals::default(),
        }
    }
}

/// The task. Dropping it ends it as a kill would: what was not marked is sent again.
#[derive(Debug)]
pub struct Running {
    /// Set once, by [`Running::finish`].
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Sends what was written so far, where the collector takes it, and ends. Returns within `limit`; what is not
    /// sent by then stays in the store.
    pub async fn finish(mut self, limit: Duration) {
        self.ending.send_replace(true);
        if timeout(limit, &mut self.task).await.is_err() {
            tracing::info!("not everything was exported in time: what is left is sent after the next start");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where things stand with a collector that does not take spans.
#[derive(Debug, Default)]
struct Trouble {
    failures: u64,
    /// That it is the configuration was told.
    misconfigured: bool,
}

/// Spans refused since the last line about them.
#[derive(Debug, Default)]
struct Refusals {
    count: u64,
    told: Option<Instant>,
}

/// What is to be done next.
#[derive(Debug, PartialEq)]
enum Next {
    /// Nothing is left: wait for the bell.
    Rest,
    /// Try again after this.
    Wait(Duration),
}

/// The outbox can't go on now.
type Stuck = Duration;

#[derive(Debug)]
struct Outbox {
    exporter: Exporter,
    scope: InstrumentationScope,
    marker: Marker,
    ties: Ties,
    backoff: Backoff,
    trouble: Option<Trouble>,
    /// The store could not be read the last time.
    unreadable: bool,
    refusals: Refusals,
}

impl Outbox {
    async fn run(mut self, mut ended: watch::Receiver<bool>) {
        let bell = Arc::clone(&self.ties.bell);
        loop {
            // A collector that is away already is not waited for at the end.
            let away = self.trouble.is_some();
            let next = tokio::select! {
                next = self.turn() => next,
                _ = ended.wait_for(|&ended| ended), if away => return,
            };
            // What is idle keeps no connection.
            self.exporter.transport.rest();
            let rest = async {
                match next {
                    Next::Rest => bell.notified().await,
                    Next::Wait(wait) => sleep(wait).await,
                }
            };
            tokio::select! {
                biased;
                _ = ended.wait_for(|&ended| ended) => break,
                () = rest => {}
            }
        }
        if self.trouble.is_none() {
            // What was written last has to be in the database before it is looked for there.
            let _ = self.marker.mark(Vec::new(), Export::Exported).await;
            self.turn().await;
        }
    }

    /// Sends batch by batch until nothing is left or the collector takes no more.
    async fn turn(&mut self) -> Next {
        loop {
            let batch = match self.read().await {
                Ok(batch) => batch,
                Err(wait) => return Next::Wait(wait),
            };
            if batch.is_empty() {
                return Next::Rest;
            }
            if let Err(wait) = self.export(batch).await {
                return Next::Wait(wait);
            }
        }
    }

    /// The oldest that wait. The disk may hang: it is read by a thread of its own, which ends when it is idle.
    async fn read(&mut self) -> Result<Vec<Outgoing>, Stuck> {
        let directory = self.exporter.directory.clone();
        let read = move || match Reader::open(&directory)? {
            Some(reader) => reader.outgoing(BATCH),
            None => Ok(Vec::new()),
        };
        let why = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(batch)) => {
                if std::mem::take(&mut self.unreadable) {
                    tracing::info!("what is to be exported can be read again");
                }
                return Ok(batch);
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut self.unreadable, true) {
            tracing::warn!("what is to be exported can't be read now ({why}): it is tried again");
        }
        Err(self.backoff.next(None, chance()))
    }

    fn request(&self, batch: &[Outgoing]) -> ExportTraceServiceRequest {
        let spans = batch.iter().map(|outgoing| span::span(outgoing, &self.scope)).collect();
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.exporter.resource);
        ExportTraceServiceRequest { resource_spans }
    }

    /// Sends some of the batch, the oldest, in one request; if that is not taken as a whole, one by one.
    async fn export(&mut self, mut batch: Vec<Outgoing>) -> Result<(), Stuck> {
        let mut request = self.request(&batch);
        while batch.len() > 1 && request.encoded_len() > BYTES {
            batch.truncate(batch.len() / 2);
            request = self.request(&batch);
        }
        match self.send(request).await {
            Answer::Taken { rejected: 0, .. } => self.mark(&batch, Export::Exported).await,
            Answer::Misconfigured(why) => Err(self.misconfigured(&why)),
            Answer::Later { why, after } => Err(self.stuck(&why, after)),
            answer if batch.len() == 1 => self.alone(&batch[0], answer).await.and_then(|doubt| match doubt {
                // Nothing tells whether it would take others.
                Some(why) => Err(self.stuck(&why, None)),
                None => Ok(()),
            }),
            _ => self.one_by_one(&batch).await,
        }
    }

    /// Which of them it is that the collector does not take.
    async fn one_by_one(&mut self, batch: &[Outgoing]) -> Result<(), Stuck> {
        let mut doubtful: Vec<(&Outgoing, String)> = Vec::new();
        let mut any_taken = false;
        for outgoing in batch {
            let answer = self.send(self.request(std::slice::from_ref(outgoing))).await;
            any_taken |= matches!(answer, Answer::Taken { rejected: 0, .. });
            if let Some(why) = self.alone(outgoing, answer).await? {
                doubtful.push((outgoing, why));
            }
        }
        for (outgoing, why) in doubtful {
            if !any_taken {
                return Err(self.stuck(&why, None));
            }
            // It takes others: this one is what it fails on.
            self.refuse(outgoing, &why).await?;
        }
        Ok(())
    }

    /// What became of a span that was sent alone; why, where that is in doubt.
    async fn alone(&mut self, outgoing: &Outgoing, answer: Answer) -> Result<Option<String>, Stuck> {
        match answer {
            Answer::Taken { rejected: 0, .. } => {
                self.mark(std::slice::from_ref(outgoing), Export::Exported).await?
            }
            Answer::Taken { message: why, .. } | Answer::Refused(why) => self.refuse(outgoing, &why).await?,
            Answer::Doubtful(why) => return Ok(Some(why)),
            Answer::Misconfigured(why) => return Err(self.misconfigured(&why)),
            Answer::Later { why, after } => return Err(self.stuck(&why, after)),
        }
        Ok(None)
    }

    async fn send(&mut self, request: ExportTraceServiceRequest) -> Answer {
        let limit = self.exporter.timeout;
        let answer = timeout(limit, self.exporter.transport.send(request))
            .await
            .unwrap_or_else(|_| Answer::Later { why: format!("no answer within {limit:?}"), after: None });
        if let Answer::Taken { rejected: 0, message } = &answer {
            if !message.is_empty() {
                tracing::debug!("the collector warns: {message}");
            }
            self.well();
        } else {
            self.ties.stats.export_failures.fetch_add(1, Relaxed);
        }
        answer
    }

    async fn refuse(&mut self, outgoing: &Outgoing, why: &str) -> Result<(), Stuck> {
        self.refusals.count += 1;
        if self.refusals.told.is_none_or(|told| told.elapsed() >= REFUSALS_EVERY) {
            tracing::warn!(
                event = outgoing.row.id,
                refused = self.refusals.count,
                "the collector refuses spans for good ({}): they are not sent again",
                if why.is_empty() { "it does not say why" } else { why }
            );
            self.refusals = Refusals { count: 0, told: Some(Instant::now()) };
        }
        self.mark(std::slice::from_ref(outgoing), Export::Refused).await
    }

    /// Notes what became of them, and waits until that is on disk: else they would be read and sent again.
    async fn mark(&mut self, events: &[Outgoing], export: Export) -> Result<(), Stuck> {
        let ids = events.iter().map(|outgoing| (outgoing.row.id, outgoing.row.incident)).collect();
        if self.marker.mark(ids, export).await.is_err() {
            // The store has ended, and this task is about to.
            return Err(MISCONFIGURED);
        }
        let stats = &self.ties.stats;
        let count = match export {
            Export::Exported => &stats.spans_exported,
            Export::Refused => &stats.spans_rejected,
        };
        count.fetch_add(events.len() as u64, Relaxed);
        Ok(())
    }

    /// The collector takes spans.
    fn well(&mut self) {
        self.backoff.reset();
        if let Some(trouble) = self.trouble.take() {
            tracing::info!(failures = trouble.failures, "the collector takes spans again");
        }
    }

    fn stuck(&mut self, why: &str, after: Option<Duration>) -> Stuck {
        let wait = self.backoff.next(after, chance());
        let first = self.trouble.is_none();
        self.trouble.get_or_insert_default().failures += 1;
        // The first failure is told, those after it are counted.
        if first {
            tracing::warn!("the collector does not take spans now ({why}): they are kept and tried again");
        } else {
            tracing::debug!(wait_ms = wait.as_millis() as u64, "the collector does not take spans ({why})");
        }
        wait
    }

    fn misconfigured(&mut self, why: &str) -> Stuck {
        let trouble = self.trouble.get_or_insert_default();
        trouble.failures += 1;
        if !std::mem::replace(&mut trouble.misconfigured, true) {
            tracing::error!(
                "the collector can't be used as it is configured ({why}): correct [otlp] or the collector; spans \
                 are kept and tried again every {} s",
                MISCONFIGURED.as_secs()
            );
        }
        MISCONFIGURED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::store::{Claim, Options, Retention, Store, random_incident};

    #[test]
    fn a_faulty_configuration_is_tried_again_every_minute_and_no_later_however_often() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            started_ns: 1,
            boot_id: None,
            boot_time_ns: None,
            retention: Retention::default(),
            random: random_incident,
            outbox: Ties::default(),
            claim: Claim::default(),
        };
        let (store, _) = Store::open(directory.path(), options).unwrap();
        let config = "[otlp]\nendpoint = \"http://127.0.0.1:1\"\n";
        let otlp = crate::config::parse(config, false).unwrap().config.otlp;
        let paths = Paths { data_dir: directory.path().to_owned(), ..Paths::default() };
        let exporter = Exporter::new(&otlp, &paths, &Machine::default()).unwrap().unwrap();
        let mut outbox = exporter.outbox(store.marker(), &Ties::default());
        for _ in 0..3 {
            assert_eq!(outbox.misconfigured("404 Not Found"), Duration::from_secs(60));
        }
    }
}
