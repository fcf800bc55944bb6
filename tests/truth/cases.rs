//! The cases of the table: who is held up, how, and what is to be made of it.

use std::time::Duration;

use serde_json::Value;

use crate::bustle::Bustle;
use crate::daemon::signal;
use crate::freezer::Freezer;
use crate::kernel::{Thread, pin_all, processors};
use crate::pressure::Pressure;
use crate::subject::{Source, Subject};
use crate::ways::{Starved, Truth, freeze, hog, overload, stop, truths};

/// A verdict, and whether it is certain.
pub(crate) type Judged = (&'static str, bool);

/// Who is held up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Who {
    /// The daemon alone; what samples for it goes on.
    Daemon,
    /// The daemon and its sampler.
    Both,
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// SIGSTOP and SIGCONT.
    Stop,
    /// A frozen control group, while the rest of the machine goes on.
    Freeze,
    /// A frozen control group on a machine that has more to do than it can.
    FreezeUnderPressure,
    /// A control group that gets a millisecond of processor time a second.
    Starve,
    /// A real-time thread on the only processor they may use.
    Hog,
    /// Real-time threads of stress-ng on the only processor they may use.
    StressNg,
}

/// A case.
pub(crate) struct Case {
    pub(crate) source: Source,
    pub(crate) who: Who,
    pub(crate) way: Way,
    /// What may be made of it. More than one where the kernel's witness may be silent.
    pub(crate) verdicts: &'static [Judged],
}

const fn case(source: Source, who: Who, way: Way, verdicts: &'static [Judged]) -> Case {
    Case { source, who, way, verdicts }
}

const STARVED: &[Judged] = &[("starved", true)];
const PAUSE: &[Judged] = &[("pause", true)];
/// The witness that the rest went on is the kernel's, which is silent on a machine that has little to do.
const STARVED_OR_UNKNOWN: &[Judged] = &[("starved", true), ("pause", false)];
/// Late samples of our own making are no second witness; the kernel may be one.
const PAUSE_OR_UNKNOWN: &[Judged] = &[("pause", true), ("pause", false)];
/// Daemon and sampler stood still: all that they can see says pause; the kernel may know better.
const PAUSE_OR_STARVED: &[Judged] = &[("pause", true), ("starved", true)];

pub(crate) const CASES: [Case; 16] = [
    case(Source::Linux, Who::Daemon, Way::Stop, STARVED),
    case(Source::Linux, Who::Daemon, Way::Freeze, STARVED_OR_UNKNOWN),
    case(Source::Linux, Who::Daemon, Way::FreezeUnderPressure, PAUSE_OR_UNKNOWN),
    case(Source::Linux, Who::Daemon, Way::Starve, PAUSE_OR_UNKNOWN),
    case(Source::Linux, Who::Daemon, Way::Hog, PAUSE_OR_UNKNOWN),
    case(Source::Linux, Who::Daemon, Way::StressNg, PAUSE_OR_UNKNOWN),
    case(Source::Sampler, Who::Daemon, Way::Stop, STARVED),
    case(Source::Sampler, Who::Both, Way::Stop, STARVED),
    case(Source::Sampler, Who::Daemon, Way::Freeze, STARVED),
    case(Source::Sampler, Who::Both, Way::Freeze, PAUSE_OR_STARVED),
    case(Source::Sampler, Who::Both, Way::FreezeUnderPressure, PAUSE),
    case(Source::Sampler, Who::Daemon, Way::Starve, STARVED),
    case(Source::Sampler, Who::Both, Way::Starve, PAUSE_OR_STARVED),
    case(Source::Sampler, Who::Daemon, Way::Hog, STARVED),
    case(Source::Sampler, Who::Both, Way::Hog, PAUSE),
    case(Source::Sampler, Who::Both, Way::StressNg, PAUSE_OR_STARVED),
];

impl Case {
    /// In words.
    pub(crate) fn name(&self) -> String {
        let who = match (self.source, self.who) {
            (Source::Linux, _) => "daemon (linux)",
            (Source::Sampler, Who::Daemon) => "daemon, not its sampler",
            (Source::Sampler, Who::Both) => "daemon and sampler",
        };
        let way = match self.way {
            Way::Stop => "SIGSTOP",
            Way::Freeze => "frozen, the rest goes on",
            Way::FreezeUnderPressure => "frozen, under pressure",
            Way::Starve => "1 ms of CPU a second",
            Way::Hog => "real-time hog",
            Way::StressNg => "stress-ng, real-time",
        };
        format!("{who}: {way}")
    }
}

/// What the ways need; to be made before the subject, so as to outlive it.
pub(crate) struct Means {
    freezer: Option<Freezer>,
    starved: Option<Starved>,
}

impl Means {
    pub(crate) fn new() -> Self {
        Self { freezer: Freezer::new(), starved: Starved::new() }
    }

    /// Holds the subject up, and says what it told of that: one gap, or one for each time that the kernel let it run
    /// in between. `None` where that is not permitted.
    pub(crate) fn hold(
        &self,
        case: &Case,
        subject: &mut Subject,
        time: Duration,
    ) -> Option<Vec<(Truth, Value)>> {
        let pids = match case.who {
            Who::Daemon => vec![subject.daemon.pid()],
            Who::Both => subject.both(),
        };
        let since = jiff::Timestamp::now();
        let (thread, all) = (subject.heartbeat, processors());
        let (one, others) = all.split_at(1);
        let waits = match case.way {
            Way::Stop => {
                let truth = stop(thread, &pids, time, || ());
                return Some(vec![(truth, subject.gap(&truth, since))]);
            }
            Way::Freeze => {
                let _bustle = Bustle::start();
                // The witness compares with the seconds before.
                subject.live(20);
                let truth = freeze(self.freezer.as_ref()?, thread, &pids, time)?;
                return Some(vec![(truth, subject.gap(&truth, since))]);
            }
            Way::FreezeUnderPressure => {
                let _pressure = Pressure::start();
                let truth = freeze(self.freezer.as_ref()?, thread, &pids, time)?;
                return Some(vec![(truth, subject.gap(&truth, since))]);
            }
            Way::Starve => self.starved.as_ref()?.starve(thread, &pids, time),
            Way::Hog => {
                // What is not held up has to have a processor of its own.
                if case.who == Who::Daemon {
                    pin_all(&subject.sampler(), others);
                }
                let waits = hog(thread, &pids, one, time);
                pin_all(&subject.sampler(), &all);
                waits?
            }
            Way::StressNg => overload(thread, &pids, one, time)?,
        };
        let gaps = subject.gaps(since);
        Some(truths(&gaps, &waits).into_iter().zip(gaps).collect())
    }
}

/// Stops the sampler alone. The thread whose return to life counts is the one that writes.
pub(crate) fn stop_sampler(subject: &mut Subject, time: Duration) -> (Truth, Value) {
    let pids = subject.sampler();
    let writer = pids.iter().find_map(|&pid| Thread::find(pid, "pause-monitor")).unwrap();
    let since = jiff::Timestamp::now();
    let truth = stop(writer, &pids, time, || ());
    let gap = subject.gap(&truth, since);
    // It may have been stopped at any time of its interval, of which the rest was not late yet.
    (Truth { least_ms: truth.least_ms - 100.0, ..truth }, gap)
}

/// Stops the sampler alone, for good: it is given up, and another is started. The subject has no other hold-up after this.
pub(crate) fn stop_sampler_for_good(subject: &mut Subject) -> (Truth, Value) {
    let pids = subject.sampler();
    let since = jiff::Timestamp::now();
    assert!(pids.iter().all(|&pid| signal(pid, libc::SIGSTOP)));
    let stopped = jiff::Timestamp::now();
    let gap = subject.gap(&Truth { least_ms: 5_000.0, most_ms: 5_000.0 }, since);
    let given_up = subject.given_up();
    let ms = |from: jiff::Timestamp| (given_up - from).total(jiff::Unit::Millisecond).unwrap();
    // Its interval had begun, as above.
    (Truth { least_ms: ms(stopped) - 100.0, most_ms: ms(since) }, gap)
}
