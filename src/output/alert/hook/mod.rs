//! Hooks: the user's own programs and webhooks, run when something happened.
//!
//! ```text
//! offer ──> gate (on, min_duration, cooldown) ──> queue of 16 ──> worker ──> slot (4) ──> exec: a program
//!           one of each a hook                                     one a hook        └──> webhook: a request, tries
//! ```
//!
//! Whoever offers waits for nothing. A hook does one thing after the other, in order, so one that hangs holds up
//! itself; it holds one of the four slots while it runs, and none while it waits to try again.

mod context;
mod exec;
mod gate;
mod stats;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub use context::HookContext;
pub use exec::Trust;
pub use stats::{HookStats, Outcome};

use super::payload::{Payload, Status};
use crate::config::Hook;
use exec::Exec;
use gate::{Gate, Pass};
use stats::Counts;
use webhook::Reading;

/// How many run at once, all together.
const AT_ONCE: usize = 4;
/// What waits for one hook.
const QUEUE: usize = 16;
/// Lines of a program's output in the log.
const LINES: usize = 10;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What, in a word.
    pub outcome: Outcome,
    /// How, in a line: an exit code, an answer, what went wrong.
    pub why: String,
    /// The last lines that a program printed, or that a server answered; printable.
    pub output: Vec<String>,
}

impl Done {
    fn new(outcome: Outcome, why: &str) -> Self {
        Self { outcome, why: why.to_owned(), output: Vec::new() }
    }

    fn after_tries(mut self, tries: u32) -> Self {
        if tries > 1 {
            self.why = format!("{}, at the {} try", self.why, ordinal(tries));
        }
        self
    }
}

fn ordinal(number: u32) -> String {
    match number {
        2 => "2nd".to_owned(),
        3 => "3rd".to_owned(),
        number => format!("{number}th"),
    }
}

fn stopped() -> Done {
    Done::new(Outcome::Dropped, "the daemon stops")
}

/// What a hook is to do.
#[derive(Debug)]
struct Job {
    /// The hook as it was configured when it happened.
    hook: Arc<Hook>,
    payload: Arc<Payload>,
}

/// What all workers have in common.
#[derive(Debug)]
struct Shared {
    context: Arc<HookContext>,
    slots: Semaphore,
    /// Set when nothing is to be tried once more.
    stop: watch::Sender<bool>,
}

/// One hook, from the side of those that offer.
#[derive(Debug)]
struct Entry {
    hook: Arc<Hook>,
    gate: Gate,
    counts: Arc<Counts>,
    jobs: Sender<Job>,
}

/// The hooks. To be made and used on a tokio runtime; dropped, what runs is killed.
#[derive(Debug)]
pub struct Hooks {
    shared: Arc<Shared>,
    stats: Arc<HookStats>,
    entries: Vec<Entry>,
    workers: JoinSet<()>,
}

impl Hooks {
    /// These hooks, with nothing under way.
    #[must_use]
    pub fn new(hooks: &[Hook], context: HookContext, stats: Arc<HookStats>) -> Self {
        let shared = Arc::new(Shared {
            context: Arc::new(context),
            slots: Semaphore::new(AT_ONCE),
            stop: watch::channel(false).0,
        });
        let mut made = Self { shared, stats, entries: Vec::new(), workers: JoinSet::new() };
        made.configure(hooks);
        made
    }

    /// From now on there are these hooks. One that stays, by name, keeps its cooldown, its queue and its counts; what
    /// runs or waits goes on as it was configured when it happened.
    pub fn configure(&mut self, hooks: &[Hook]) {
        // Those that ended since.
        while self.workers.try_join_next().is_some() {}
        let mut before = std::mem::take(&mut self.entries);
        let counts = self.stats.configure(hooks.iter().map(|hook| hook.name.as_str()));
        for (hook, counts) in hooks.iter().zip(counts) {
            let hook = Arc::new(hook.clone());
            let entry = match before.iter().position(|entry| entry.hook.name == hook.name) {
                Some(index) => Entry { hook, ..before.swap_remove(index) },
                None => {
                    let (jobs, inbox) = channel(QUEUE);
                    let worker = Worker { jobs: inbox, running: None, counts: Arc::clone(&counts) };
                    self.workers.spawn(worker.work(Arc::clone(&self.shared)));
                    Entry { hook, gate: Gate::default(), counts, jobs }
                }
            };
            self.entries.push(entry);
        }
    }

    /// Tells every hook that it concerns. Waits for nothing: what a full queue does not take is counted and logged.
    pub fn offer(&mut self, payload: &Arc<Payload>) {
        let now = Instant::now();
        for Entry { hook, gate, counts, jobs } in &mut self.entries {
            match gate.decide(hook, payload, now) {
                Pass::No => {}
                Pass::HeldBack => {
                    counts.add(Outcome::HeldBack);
                    tracing::debug!("hook {}: {} is held back", hook.name, name(payload));
                }
                Pass::Yes => {
                    let job = Job { hook: Arc::clone(hook), payload: Arc::clone(payload) };
                    if jobs.try_send(job).is_ok() {
                        gate.taken(payload, now);
                    } else {
                        gate.not_told(payload);
                        counts.add(Outcome::Dropped);
                        tracing::warn!(
                            "hook {}: {} is dropped: {QUEUE} wait for it already; set a cooldown, or make it quicker",
                            hook.name,
                            name(payload)
                        );
                    }
                }
            }
        }
    }

    /// Ends: what runs and what waits is given so long, as the ends of states come just then; nothing is tried once
    /// more. What runs then is killed, what waits is counted as dropped.
    pub async fn finish(mut self, limit: Duration) {
        self.shared.stop.send_replace(true);
        self.entries.clear();
        let ended = async { while self.workers.join_next().await.is_some() {} };
        if timeout(limit, ended).await.is_err() {
            self.workers.shutdown().await;
        }
    }
}

/// Looks at the files that hooks need, without running any. Lines about what works, and is not as it should be.
///
/// # Errors
/// The first thing that is wrong, in a line.
pub fn check(hooks: &[Hook]) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    for hook in hooks {
        if let Some(file) = &hook.secret_file {
            let found = webhook::check_key(file);
            let mode = found.map_err(|why| format!("hook {}: {why}", hook.name))?;
            warnings.extend(mode.map(|mode| readable(hook, mode)));
        }
    }
    Ok(warnings)
}

/// Others can read a hook's key.
fn readable(hook: &Hook, mode: u32) -> String {
    format!(
        "hook {}: others can read its secret_file (mode {mode:o}): chmod 600 it, and change the secret",
        hook.name
    )
}

/// Runs a hook once, as it would be run in earnest, whatever it listens to.
pub async fn run_once(hook: &Hook, context: HookContext, payload: &Payload) -> Done {
    let shared =
        Shared { context: Arc::new(context), slots: Semaphore::new(1), stop: watch::channel(false).0 };
    run(hook, &shared, payload, &mut Exec::default(), &mut Reading::default()).await
}

async fn run(
    hook: &Hook,
    shared: &Shared,
    payload: &Payload,
    exec: &mut Exec,
    reading: &mut Reading,
) -> Done {
    let mut stop = shared.stop.subscribe();
    match &hook.webhook {
        Some(url) => webhook::run(hook, url, payload, &shared.slots, &mut stop, reading).await,
        None => match shared.slots.acquire().await {
            Ok(_slot) => exec.run(hook, &shared.context, payload).await,
            Err(_) => stopped(),
        },
    }
}

/// One hook, from the side that runs it. Dropped before its time, it counts what it did not do.
#[derive(Debug)]
struct Worker {
    jobs: Receiver<Job>,
    /// What is under way.
    running: Option<Job>,
    counts: Arc<Counts>,
}

impl Worker {
    async fn work(mut self, shared: Arc<Shared>) {
        let (mut exec, mut reading) = (Exec::default(), Reading::default());
        while let Some(job) = self.jobs.recv().await {
            let (hook, payload) = (Arc::clone(&job.hook), Arc::clone(&job.payload));
            self.running = Some(job);
            let began = Instant::now();
            let done = run(&hook, &shared, &payload, &mut exec, &mut reading).await;
            self.running = None;
            self.counts.add(done.outcome);
            tell(&hook, &payload, &done, began.elapsed());
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(job) = self.running.take() {
            self.counts.add(Outcome::Dropped);
            tracing::warn!("hook {}: {} is cut off: the daemon stops", job.hook.name, name(&job.payload));
        }
        while let Ok(job) = self.jobs.try_recv() {
            self.counts.add(Outcome::Dropped);
            tracing::warn!("hook {}: {} is dropped: the daemon stops", job.hook.name, name(&job.payload));
        }
    }
}

/// What happened, for the log.
fn name(payload: &Payload) -> String {
    let status = match payload.status {
        Status::Event => String::new(),
        status => format!(" {}", status.as_str()),
    };
    let id = payload.id.map(|id| format!(" (event {id})")).unwrap_or_default();
    format!("{}{status}{id}", payload.event.as_str())
}

fn tell(hook: &Hook, payload: &Payload, done: &Done, took: Duration) {
    let what = format!(
        "hook {}: {}: {} after {:.2} s: {}",
        hook.name,
        name(payload),
        done.outcome.as_str(),
        took.as_secs_f64(),
        crate::sample::printable(&done.why)
    );
    let lines = &done.output[done.output.len().saturating_sub(LINES)..];
    if done.outcome == Outcome::Ok {
        tracing::info!("{what}");
        for line in lines {
            tracing::debug!("hook {} said: {line}", hook.name);
        }
    } else {
        tracing::warn!("{what}");
        for line in lines {
            tracing::warn!("hook {} said: {line}", hook.name);
        }
    }
}
