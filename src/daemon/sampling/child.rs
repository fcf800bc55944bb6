//! The powermetrics child: started, restarted and ended, and the fast path meanwhile.

use super::{Live, Sampler, SourceState, Ticks};
use crate::clock;
use crate::engine::FAST_PATH_NS;
use crate::output::metrics::Restart;
use crate::sample::{Reading, SourceInfo};
use crate::source::host;
use crate::source::powermetrics::pace::Pace;
use crate::source::powermetrics::restart::{End, Restarts};
use crate::source::powermetrics::{News, Powermetrics, explain};

/// A sampler silent for so long is ended; before its first document it is given more time, ns.
const SILENT_NS: u64 = 5_000_000_000;
const FIRST_DOCUMENT_NS: u64 = 10_000_000_000;
/// How often a sampler that can't start is tried again, ns.
const TRY_AGAIN_NS: u64 = 30_000_000_000;
/// A renewal takes less than this; what takes longer is bridged by the fast path, ns.
const RENEWAL_NS: u64 = 1_000_000_000;
/// After its output was closed, a sampler that can be signalled is asked to end after so long, and made to
/// after so long again, ns.
const PATIENCE_NS: u64 = 1_000_000_000;
/// Samplers that were ended and are still there, at most: then no other is started.
const MOST_LEFTOVERS: usize = 3;
/// A sampler that holds more memory than this is ended, bytes: powermetrics takes some ten MB.
const GROWN_BYTES: u64 = 512 << 20;
/// While samples come, the heartbeat is looked at so often, ms.
const LOOK_MS: u64 = 250;

/// Runs the sampler until it is asked to end.
pub(super) fn run(sampler: &mut Sampler, live: Live, command: Vec<String>, allow_degraded: bool) {
    let mut supervision = Supervision {
        command,
        allow_degraded,
        live,
        info: host::info(),
        current: None,
        leftovers: Vec::new(),
        restarts: Restarts::default(),
        start_at_ns: 0,
        ever_delivered: false,
        told_down: false,
        fast_path: None,
    };
    while !sampler.stopping() && supervision.turn(sampler) {}
    // One that can't start is closed too: it may hang, and would live on.
    supervision.close(sampler);
}

/// A sampler process and what is known of it.
struct Current {
    source: Powermetrics,
    started_ns: u64,
    /// Documents of it that were decoded.
    documents: u64,
    /// Its output was closed by its end; the exit status is awaited.
    closed: bool,
    /// How fast it is read.
    pace: Pace,
    /// That it writes too fast was told.
    told_fast: bool,
}

impl Current {
    fn new(source: Powermetrics, started_ns: u64) -> Self {
        Self { source, started_ns, documents: 0, closed: false, pace: Pace::default(), told_fast: false }
    }
}

/// A sampler that was ended and may still be there.
struct Leftover {
    source: Powermetrics,
    ended_ns: u64,
}

struct Supervision {
    command: Vec<String>,
    allow_degraded: bool,
    live: Live,
    info: SourceInfo,
    current: Option<Current>,
    leftovers: Vec<Leftover>,
    restarts: Restarts,
    /// When the next sampler is started, where there is none.
    start_at_ns: u64,
    /// A sample has come in this run of the daemon.
    ever_delivered: bool,
    /// `down` was told, and not yet `up`.
    told_down: bool,
    /// The fast path's ticks while no samples come, and the last one's time.
    fast_path: Option<(Ticks, clock::Stamp)>,
}

impl Supervision {
    /// One turn: waits for samples or time, and deals with what came. False where the source can't start.
    fn turn(&mut self, sampler: &mut Sampler) -> bool {
        self.wait();
        self.live.listen(sampler, &clock::now());
        self.leftovers(clock::awake_ns());
        if self.current.is_none() && !self.start(sampler) {
            return false;
        }
        if !self.news(sampler) {
            return false;
        }
        if self.unread_until_ns().is_none() {
            self.read(sampler);
        }
        if !self.watch(sampler) {
            return false;
        }
        self.weigh(sampler);
        self.bridge(sampler);
        let now = clock::now();
        let overdue_ns = self.live.listen(sampler, &now);
        sampler.engine.poll(&now, overdue_ns, &mut sampler.notices);
        sampler.hand_over();
        true
    }

    /// Waits for the sampler's output, else for the next thing that is due.
    fn wait(&self) {
        let now_ns = clock::awake_ns();
        if let Some(current) = &self.current
            && current.source.is_open()
            && self.unread_until_ns().is_none()
        {
            let timeout_ms = match &self.fast_path {
                Some((ticks, _)) => ticks.due_ns.saturating_sub(now_ns).div_ceil(1_000_000),
                None => LOOK_MS,
            };
            return current.source.wait(timeout_ms.min(LOOK_MS));
        }
        let due_ns = match &self.fast_path {
            Some((ticks, _)) => ticks.due_ns,
            None => u64::MAX,
        };
        let due_ns = due_ns.min(self.unread_until_ns().unwrap_or(u64::MAX));
        // A process that is starting or ending is looked at often: a renewal should be short.
        clock::sleep_until(due_ns.min(now_ns + FAST_PATH_NS / 5));
    }

    /// Until when nothing is to be read of a sampler that writes too fast.
    fn unread_until_ns(&self) -> Option<u64> {
        self.current.as_ref()?.pace.wait_until_ns(clock::awake_ns())
    }

    /// Starts the next sampler, where it is time. False where the source can't start.
    fn start(&mut self, sampler: &mut Sampler) -> bool {
        let now = clock::now();
        if now.awake_ns < self.start_at_ns || self.leftovers.len() >= MOST_LEFTOVERS {
            return true;
        }
        match Powermetrics::start(&self.command) {
            Ok(source) => {
                self.current = Some(Current::new(source, now.awake_ns));
                sampler.engine.started(&now);
                true
            }
            Err(error) => {
                let why = format!("the system gives no thread for it: {error}");
                if !self.ever_delivered {
                    return self.cant_start(sampler, why);
                }
                self.again(sampler, End::Exited, now.awake_ns, why);
                true
            }
        }
    }

    /// What became of the process. False where the source can't start.
    fn news(&mut self, sampler: &mut Sampler) -> bool {
        while let Some(current) = &mut self.current {
            let Some(news) = current.source.news() else { return true };
            if matches!(news, News::Started) {
                continue;
            }
            // What it wrote before it ended is read before its end is told.
            self.read(sampler);
            let Some(current) = self.current.take() else { return true };
            self.silence(sampler);
            let why = explain(&self.command, &news);
            if current.documents == 0 && !self.ever_delivered {
                return self.cant_start(sampler, why);
            }
            let renewal =
                matches!(&news, News::Ended(status, _) if status.success()) && current.documents > 0;
            let end = if renewal { End::Renewal } else { End::Exited };
            let why = match news {
                _ if renewal => "it had written all it was asked for".to_owned(),
                News::Ended(status, lines) if current.documents > 0 => match lines.last() {
                    Some(line) => format!("it ended with {status}: {line}"),
                    None => format!("it ended with {status}"),
                },
                _ => why,
            };
            self.again(sampler, end, current.started_ns, why);
        }
        true
    }

    /// Reads what the sampler wrote.
    fn read(&mut self, sampler: &mut Sampler) {
        let Self { live, current: Some(current), info, .. } = self else { return };
        let Current { source, documents, pace, told_fast, .. } = current;
        let before = *documents;
        let mut rejected = 0;
        let bytes = source.read(|document, full| match document {
            Ok(document) => {
                let at = clock::now();
                if full {
                    sampler.engine.held_up(&at);
                }
                live.witness(sampler);
                if *documents == 0 {
                    info.hw_model = document.info.hw_model.or(info.hw_model);
                    info.os_build = document.info.os_build.or(info.os_build);
                    info.boot_time_s = document.info.boot_time_s.or(info.boot_time_s);
                    sampler.source(SourceState::Up, *info, None);
                }
                *documents += 1;
                live.sample(sampler, document.reading, &at);
            }
            Err(reject) => {
                rejected += 1;
                sampler.rejected(reject);
            }
        });
        let delivered = *documents - before;
        let now_ns = clock::awake_ns();
        pace.read(now_ns, u32::try_from(delivered).unwrap_or(u32::MAX).saturating_add(rejected), bytes);
        if pace.wait_until_ns(now_ns).is_some() && !std::mem::replace(told_fast, true) {
            tracing::warn!(
                "the sampler writes far more than it was asked for: it is read no faster than is of use"
            );
        }
        if delivered > 0 {
            self.ever_delivered = true;
            self.told_down = false;
            self.fast_path = None;
            sampler.is_started();
        }
    }

    /// Ends a sampler that is silent. False where the source can't start.
    fn watch(&mut self, sampler: &mut Sampler) -> bool {
        let Some(current) = &mut self.current else { return true };
        let now = clock::now();
        let overdue_ns = self.live.listen(sampler, &now);
        let silence_ns = sampler.engine.silence_ns(&now, overdue_ns);
        let limit_ns = if current.documents == 0 { FIRST_DOCUMENT_NS } else { SILENT_NS };
        let is_closed = !current.source.is_open() && current.documents > 0;
        if is_closed && !current.closed {
            // The end of its output is the end of its samples; what the process does then is its own.
            current.closed = true;
            self.silence(sampler);
            return true;
        }
        if silence_ns < limit_ns {
            return true;
        }
        let Some(mut current) = self.current.take() else { return true };
        current.source.close();
        if !is_closed {
            self.silence(sampler);
        }
        let first = current.documents == 0;
        let seconds = silence_ns / 1_000_000_000;
        let why = if first {
            format!(
                "{} wrote no sample in {seconds} s: look what it does by hand, or set [powermetrics] command",
                self.command.join(" ")
            )
        } else {
            format!("it wrote no whole document for {seconds} s")
        };
        let started_ns = current.started_ns;
        self.leftovers.push(Leftover { source: current.source, ended_ns: now.awake_ns });
        if first && !self.ever_delivered {
            return self.cant_start(sampler, why);
        }
        self.again(sampler, End::Silent, started_ns, why);
        true
    }

    /// Ends a sampler that takes more and more memory: it would take the machine's, and be a pause of its own.
    fn weigh(&mut self, sampler: &mut Sampler) {
        let bytes = self.current.as_ref().map_or(0, |current| current.source.resident_bytes());
        if bytes <= GROWN_BYTES {
            return;
        }
        let Some(mut current) = self.current.take() else { return };
        let now_ns = clock::awake_ns();
        current.source.close();
        let started_ns = current.started_ns;
        self.leftovers.push(Leftover { source: current.source, ended_ns: now_ns });
        self.again(sampler, End::Grown, started_ns, format!("it had taken {} MB of memory", bytes >> 20));
    }

    /// Tells the engine that no more samples come: silence up to now may be a stall.
    fn silence(&mut self, sampler: &mut Sampler) {
        let now = clock::now();
        let overdue_ns = self.live.listen(sampler, &now);
        sampler.engine.ended(&now, overdue_ns, &mut sampler.notices);
        sampler.tell();
    }

    /// Plans the next start after one that had delivered.
    fn again(&mut self, sampler: &mut Sampler, end: End, started_ns: u64, why: String) {
        let now_ns = clock::awake_ns();
        sampler.feed.totals.restarted(match end {
            End::Renewal => Restart::Renewal,
            End::Exited => Restart::Exited,
            End::Silent => Restart::Silent,
            End::Grown => Restart::Grown,
        });
        let wait_ns = self.restarts.wait_ns(end, now_ns.saturating_sub(started_ns));
        self.start_at_ns = now_ns + wait_ns;
        sampler.source(SourceState::Restarting, self.info, Some(why));
    }

    /// It could not be started, and never was. False where that ends the daemon.
    fn cant_start(&mut self, sampler: &mut Sampler, why: String) -> bool {
        if !self.allow_degraded {
            sampler.cant_start(why);
            return false;
        }
        self.start_at_ns = clock::awake_ns() + TRY_AGAIN_NS;
        if !std::mem::replace(&mut self.told_down, true) {
            sampler.source(SourceState::Down, self.info, Some(why));
        }
        sampler.is_started();
        true
    }

    /// While no samples come, the fast path says what it knows, every 100 ms.
    fn bridge(&mut self, sampler: &mut Sampler) {
        let now = clock::now();
        let starting = sampler.started.is_some();
        let soon = match &self.current {
            Some(current) => {
                current.documents > 0 || now.awake_ns.saturating_sub(current.started_ns) < RENEWAL_NS
            }
            None => self.start_at_ns <= now.awake_ns,
        };
        if starting || (soon && self.fast_path.is_none()) {
            return;
        }
        let (ticks, last) =
            self.fast_path.get_or_insert_with(|| (Ticks::new(FAST_PATH_NS, now.awake_ns), now));
        if ticks.due(now.awake_ns) {
            let reading =
                Reading { elapsed_ns: now.awake_since(last).max(1), degraded: true, ..Reading::default() };
            *last = now;
            self.live.witness(sampler);
            self.live.sample(sampler, reading, &now);
        }
    }

    /// Ends those that did not end when their output was closed, where that is permitted.
    fn leftovers(&mut self, now_ns: u64) {
        self.leftovers.retain_mut(|leftover| {
            while let Some(news) = leftover.source.news() {
                match news {
                    News::Started => leftover.source.close(),
                    News::NotStarted(_) | News::Ended(..) => return false,
                }
            }
            let since_ns = now_ns.saturating_sub(leftover.ended_ns);
            if since_ns >= 2 * PATIENCE_NS {
                leftover.source.signal(libc::SIGKILL);
            } else if since_ns >= PATIENCE_NS {
                leftover.source.signal(libc::SIGTERM);
            }
            true
        });
    }

    /// Ends the sampler with the daemon, and gives it a moment.
    fn close(mut self, sampler: &mut Sampler) {
        sampler.finish(&clock::now());
        if let Some(mut current) = self.current.take() {
            current.source.close();
            self.leftovers.push(Leftover { source: current.source, ended_ns: clock::awake_ns() });
        }
        // A sampler that writes ends at its next write; one that hangs is made to.
        let deadline_ns = clock::awake_ns() + PATIENCE_NS;
        while !self.leftovers.is_empty() && clock::awake_ns() < deadline_ns {
            self.leftovers(clock::awake_ns());
            clock::sleep_until(clock::awake_ns() + 10_000_000);
        }
        for leftover in &self.leftovers {
            if !leftover.source.signal(libc::SIGKILL) {
                tracing::warn!("the sampler still runs and is not ours to signal; it ends at its next write");
            }
        }
    }
}
