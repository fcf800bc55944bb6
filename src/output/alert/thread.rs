//! The alerts' thread, and the handle that feeds it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::hook::{HookContext, Hooks};
use super::notify::{Desktop, Notifier};
use super::policy::{Decision, Policy, label};
use super::watch::Alert;
use super::{AlertStats, Event, Payload};
use crate::clock;
use crate::config::{self, Hook, Paths};
use crate::event::EventId;
use crate::runtime::Runtime;

/// How long an announcement waits for its event's commit; then it goes ahead and says so.
const COMMIT: Duration = Duration::from_secs(1);
/// How long it does so when the daemon stops.
const COMMIT_AT_END: Duration = Duration::from_millis(500);
/// What of the time at the end is for killing the hooks that are still at it.
const KILLING: Duration = Duration::from_millis(100);
/// Alerts that wait at once; more are dropped and counted.
const QUEUE: usize = 64;

/// What is known of the record of an alert's event.
#[derive(Debug)]
pub enum Record {
    /// There is none.
    None,
    /// It is on the disk.
    Stored,
    /// The answer comes with the commit.
    Pending(oneshot::Receiver<EventId>),
    /// The store does not even take it.
    Refused,
}

/// What the thread is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host's name.
    pub host: String,
    /// `powermetrics`, `linux`, `replay` or `simulate`.
    pub source: &'static str,
    /// What is shown, and when.
    pub alerts: config::Alerts,
    /// Whose desktop it is.
    pub desktop: Desktop,
    /// What is run besides.
    pub hooks: Vec<Hook>,
    /// Where things are, and whose: as whom hooks are run.
    pub paths: Paths,
}

#[derive(Debug)]
enum Message {
    /// Alerts about one row, and what is known of it.
    Alerts {
        payloads: Vec<Payload>,
        row: Option<EventId>,
        record: Record,
        until: Instant,
    },
    Configure {
        alerts: Box<config::Alerts>,
        hooks: Vec<Hook>,
    },
}

/// The handle. Dropping it ends the thread once it has dealt with what waits.
#[derive(Debug)]
pub struct Alerts {
    queue: mpsc::Sender<Message>,
    stats: Arc<AlertStats>,
    /// How long the thread may take for what is left when the queue ends.
    limit: oneshot::Sender<Duration>,
    ending: Ending,
}

/// How the thread's end is seen to from outside.
#[derive(Clone, Debug)]
pub struct Ending {
    /// True once the thread has ended, and with it all that it had started.
    ended: watch::Receiver<bool>,
    /// Notified where there is no time left.
    now: Arc<Notify>,
}

impl Ending {
    /// Has what hooks started killed at once, whatever time was said before, and waits for that, for `limit` at most:
    /// they have sessions of their own, and would go on.
    pub async fn at_once(mut self, limit: Duration) {
        self.now.notify_one();
        let _ = timeout(limit, self.ended.wait_for(|ended| *ended)).await;
    }
}

impl Alerts {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread or runtime.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let runtime = Runtime::new()?;
        let stats = Arc::new(AlertStats::default());
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (limit, limited) = oneshot::channel();
        let (told, ended) = watch::channel(false);
        let ending = Ending { ended, now: Arc::default() };
        thread::Builder::new().name("alerts".to_owned()).spawn({
            let (stats, now) = (Arc::clone(&stats), Arc::clone(&ending.now));
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = run(options, stats, waiting, limited) => {}
                        () = now.notified() => {}
                    }
                });
                // What was under way is dropped here, and so killed.
                drop(runtime);
                told.send_replace(true);
            }
        })?;
        Ok(Self { queue, stats, limit, ending })
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Arc<AlertStats> {
        Arc::clone(&self.stats)
    }

    /// Hands alerts over that stand in one row. Never waits; what does not fit is counted.
    pub fn tell(&self, payloads: Vec<Payload>, row: Option<EventId>, record: Record) {
        hand_over(Some(&self.queue), &self.stats, payloads, row, record);
    }

    /// How its end is seen to where the handle is gone.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending.clone()
    }

    /// A handle for another thread; it does not keep this one's from ending.
    #[must_use]
    pub fn teller(&self) -> Teller {
        Teller { queue: self.queue.downgrade(), stats: Arc::clone(&self.stats) }
    }

    /// Other settings. False where the thread does not take them.
    #[must_use]
    pub fn configure(&self, alerts: config::Alerts, hooks: Vec<Hook>) -> bool {
        self.queue.try_send(Message::Configure { alerts: Box::new(alerts), hooks }).is_ok()
    }

    /// Deals with what waits, for `limit` at most; what is not done then is given up.
    pub async fn finish(self, limit: Duration) {
        let Self { queue, limit: tell, mut ending, .. } = self;
        let until = Instant::now() + limit;
        let _ = tell.send(limit);
        drop(queue);
        let _ = timeout_at(until, ending.ended.wait_for(|ended| *ended)).await;
    }
}

/// Hands alerts over from another thread, as long as there are alerts.
#[derive(Clone, Debug)]
pub struct Teller {
    queue: mpsc::WeakSender<Message>,
    stats: Arc<AlertStats>,
}

impl Teller {
    /// Hands an alert over. Never waits; one that does not fit is counted, as is one that comes when the daemon stops.
    pub fn tell(&self, alert: Alert, record: Record) {
        let Alert { row, payload } = alert;
        hand_over(self.queue.upgrade().as_ref(), &self.stats, vec![payload], row, record);
    }
}

fn hand_over(
    queue: Option<&mpsc::Sender<Message>>,
    stats: &AlertStats,
    payloads: Vec<Payload>,
    row: Option<EventId>,
    record: Record,
) {
    let count = payloads.len() as u64;
    let message = Message::Alerts { payloads, row, record, until: Instant::now() + COMMIT };
    if queue.is_none_or(|queue| queue.try_send(message).is_err()) {
        stats.dropped.fetch_add(count, Relaxed);
    }
}

async fn run(
    options: Options,
    stats: Arc<AlertStats>,
    mut waiting: mpsc::Receiver<Message>,
    mut limited: oneshot::Receiver<Duration>,
) {
    let notifier = Notifier::start(options.desktop, Arc::clone(&stats));
    // Here, not where the daemon starts: the user database may be slow to answer.
    let context = HookContext::new(&options.paths);
    let mut hooks = Hooks::new(&options.hooks, context, Arc::clone(&stats.hooks));
    let mut policy = Policy::new(options.source, options.alerts);
    let label = label(options.source);
    let mut ending = None;
    while let Some(message) = waiting.recv().await {
        let (payloads, row, record, until) = match message {
            Message::Alerts { payloads, row, record, until } => (payloads, row, record, until),
            Message::Configure { alerts, hooks: configured } => {
                policy.configure(*alerts);
                hooks.configure(&configured);
                continue;
            }
        };
        let (number, stored) = settle(row, record, until, &mut limited, &mut ending).await;
        for payload in payloads {
            let id = if payload.id == row { number } else { payload.id };
            let summary = payload.summary + label;
            let payload = Arc::new(Payload { host: options.host.clone(), id, stored, summary, ..payload });
            log(&payload);
            hooks.offer(&payload);
            match policy.decide(&payload, clock::awake_ns(), notifier.is_busy()) {
                Decision::Off => {}
                Decision::HeldBack(kind) => stats.notifications.held_back(kind),
                Decision::Show(kind, banner) => notifier.show(kind, banner),
            }
        }
    }
    // The queue has ended: the daemon stops, and has said how long that may take; or it is gone.
    let left = ending.or_else(|| limited.try_recv().ok().map(|limit| Instant::now() + limit));
    let left = left.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
    tokio::join!(notifier.finish(left), hooks.finish(left.saturating_sub(KILLING)));
}

/// Waits for an event's commit: its number, and whether it is stored.
async fn settle(
    id: Option<EventId>,
    record: Record,
    until: Instant,
    limited: &mut oneshot::Receiver<Duration>,
    ending: &mut Option<Instant>,
) -> (Option<EventId>, Option<bool>) {
    let mut committed = match record {
        Record::None => return (id, None),
        Record::Stored => return (id, Some(true)),
        Record::Refused => return (id, Some(false)),
        Record::Pending(committed) => committed,
    };
    if ending.is_none() {
        tokio::select! {
            biased;
            answer = timeout_at(until, &mut committed) => return answered(id, answer.ok().and_then(Result::ok)),
            limit = &mut *limited => *ending = Some(Instant::now() + limit.unwrap_or_default()),
        }
    }
    // The daemon stops: there is less time.
    let answer = timeout(COMMIT_AT_END, timeout_at(until, committed)).await;
    answered(id, answer.ok().and_then(Result::ok).and_then(Result::ok))
}

/// A taken number is replaced as it is written.
fn answered(id: Option<EventId>, stored_as: Option<EventId>) -> (Option<EventId>, Option<bool>) {
    (stored_as.or(id), Some(stored_as.is_some()))
}

/// Time lost is logged when it is on record; the other alerts tell of what the log has already.
fn log(alert: &Payload) {
    let Payload { event, status, id, stored, summary, .. } = alert;
    match (event, status) {
        (Event::Pause | Event::Stall | Event::Outage, _) if *stored == Some(false) => {
            tracing::warn!(event = id, stored = false, "{summary}; the disk has not taken it yet");
        }
        (Event::Pause | Event::Stall, _) => tracing::info!(event = id, stored = true, "{summary}"),
        (Event::Outage, _) => tracing::warn!(event = id, "{summary}"),
        _ => tracing::debug!(alert = event.as_str(), status = status.as_str(), event = id, "{summary}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_waits_a_second_for_the_disk_and_no_longer() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (_stop, mut limited) = oneshot::channel();
            let mut ending = None;
            let until = || Instant::now() + COMMIT;
            let (answer, committed) = oneshot::channel();
            answer.send(7).unwrap();
            let settled =
                settle(Some(3), Record::Pending(committed), until(), &mut limited, &mut ending).await;
            assert_eq!(settled, (Some(7), Some(true)), "it got another number");
            let (_silent, committed) = oneshot::channel();
            let began = Instant::now();
            let settled =
                settle(Some(3), Record::Pending(committed), until(), &mut limited, &mut ending).await;
            assert_eq!(
                (settled, began.elapsed()),
                ((Some(3), Some(false)), Duration::from_secs(1)),
                "the disk hangs"
            );
            let settled = settle(Some(3), Record::Refused, until(), &mut limited, &mut ending).await;
            assert_eq!(settled, (Some(3), Some(false)));
            let settled = settle(None, Record::None, until(), &mut limited, &mut ending).await;
            assert_eq!(settled, (None, None));
        });
    }

    #[test]
    fn when_the_daemon_stops_the_disk_has_half_a_second() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (stop, mut limited) = oneshot::channel();
            let mut ending = None;
            let (_silent, committed) = oneshot::channel();
            let began = Instant::now();
            stop.send(Duration::from_secs(2)).unwrap();
            let until = Instant::now() + COMMIT;
            let settled = settle(Some(3), Record::Pending(committed), until, &mut limited, &mut ending).await;
            assert_eq!((settled, began.elapsed()), ((Some(3), Some(false)), COMMIT_AT_END));
            assert_eq!(ending, Some(began + Duration::from_secs(2)));
        });
    }
}
