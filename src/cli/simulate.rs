//! `pause-monitor simulate`: a powermetrics that needs no Mac, on standard output.

use std::io::{self, ErrorKind, Write};

use crate::clock;
use crate::source::simulate::{
    DEFAULT_START_S, DEFAULT_TASKS, Scenario, Simulator, SimulatorSettings, TASKS_RANGE,
};
use crate::wire;

/// Write a simulated powermetrics stream to standard output
///
/// It can stand in for powermetrics: `[powermetrics] command = ["pause-monitor", "simulate", "--scenario",
/// "freeze"]`. One document per interval, property lists separated by NUL, until the reader goes away.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The story to tell, over and over: calm, thrash, gpu, io, runaway, freeze or mixed
    #[arg(long)]
    pub scenario: Scenario,
    /// Milliseconds between documents, 10 to 60000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub interval_ms: u64,
    /// End after so many documents; 0 is never
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub count: u64,
    /// Processes in each document; 105 make it as large as a real one
    #[arg(long, value_name = "N", default_value_t = DEFAULT_TASKS, value_parser = tasks)]
    pub tasks: usize,
    /// Another seed tells the same story in other numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Time of the first document, as in 2026-11-22T09:10:11Z [default: now; with --no-wait
    /// 2026-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub start: Option<i64>,
    /// Write as fast as it is read, with the story's own intervals: the same seed gives the same bytes
    #[arg(long)]
    pub no_wait: bool,
}

fn tasks(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|tasks| TASKS_RANGE.contains(tasks)).ok_or_else(|| {
        format!("give a number of tasks from {} to {}", TASKS_RANGE.start(), TASKS_RANGE.end())
    })
}

/// Unix time in seconds.
fn time(text: &str) -> Result<i64, String> {
    wire::parse_rfc3339(text)
        .map(|ns| ns.div_euclid(1_000_000_000))
        .ok_or_else(|| "give a time like 2026-11-22T09:10:11Z".to_owned())
}

/// Runs the command: writes documents to `out` until the count is reached or `out` is closed.
///
/// # Errors
/// What `out` fails with; not that it was closed.
pub fn run(args: &Args, out: &mut impl Write) -> io::Result<()> {
    let interval_ns = args.interval_ms * 1_000_000;
    let start_unix_s = args.start.unwrap_or_else(|| {
        if args.no_wait {
            DEFAULT_START_S
        } else {
            (clock::unix_ns().saturating_add_unsigned(interval_ns)).div_euclid(1_000_000_000)
        }
    });
    let settings = SimulatorSettings { interval_ns, tasks: args.tasks, seed: args.seed, start_unix_s };
    let mut simulator = Simulator::new(args.scenario, settings);
    let written = if args.no_wait {
        write(&mut simulator, args.count, Simulator::interval_ns, out)
    } else {
        let mut pace = Pace::new(&MachineClock, interval_ns);
        write(&mut simulator, args.count, |simulator| pace.wait(simulator.silence_ns(interval_ns)), out)
    };
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes `count` documents (0: without end), each of the interval that `elapsed` returns when it is due.
fn write(
    simulator: &mut Simulator,
    count: u64,
    mut elapsed: impl FnMut(&Simulator) -> u64,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut document = Vec::new();
    let mut written = 0;
    while count == 0 || written < count {
        let elapsed_ns = elapsed(simulator);
        document.clear();
        if written > 0 {
            document.push(0);
        }
        simulator.document(elapsed_ns, &mut document);
        out.write_all(&document)?;
        out.flush()?;
        written += 1;
    }
    Ok(())
}

/// The clock that the pace is kept by.
trait Clock {
    /// Its time, ns.
    fn now_ns(&self) -> u64;
    /// Returns once its time is `deadline_ns` or later.
    fn sleep_until(&self, deadline_ns: u64);
}

/// The machine's own clock, which stops in sleep.
struct MachineClock;

impl Clock for MachineClock {
    fn now_ns(&self) -> u64 {
        clock::awake_ns()
    }

    fn sleep_until(&self, deadline_ns: u64) {
        clock::sleep_until(deadline_ns);
    }
}

/// Keeps the pace: absolute deadlines, so that a late document does not shift the next ones.
struct Pace<'a, C> {
    clock: &'a C,
    interval_ns: u64,
    deadline_ns: u64,
    /// When the last document was due in fact.
    last_ns: u64,
}

impl<'a, C: Clock> Pace<'a, C> {
    fn new(clock: &'a C, interval_ns: u64) -> Self {
        let now_ns = clock.now_ns();
        Self { clock, interval_ns, deadline_ns: now_ns, last_ns: now_ns }
    }

    /// Waits until the next document is due, `silence_ns` late, and returns the real time since the last one
    /// was, ns.
    fn wait(&mut self, silence_ns: u64) -> u64 {
        // The reader may have held us up since.
        self.catch_up();
        self.deadline_ns += self.interval_ns + silence_ns;
        self.clock.sleep_until(self.deadline_ns);
        let now_ns = self.catch_up();
        let elapsed_ns = now_ns.saturating_sub(self.last_ns);
        self.last_ns = now_ns;
        elapsed_ns
    }

    /// Begins anew from now where the deadline is long past, because we were blocked or stopped: what was
    /// missed is one long interval, not many short ones. Returns the time, ns.
    fn catch_up(&mut self) -> u64 {
        let now_ns = self.clock.now_ns();
        if now_ns.saturating_sub(self.deadline_ns) > self.interval_ns / 2 {
            self.deadline_ns = now_ns;
        }
        now_ns
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    /// The arguments as they are typed, with few tasks so that documents are small.
    fn args(line: &str) -> Args {
        let words = ["simulate", "--tasks", "12"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).args
    }

    fn error(line: &str) -> String {
        let words = ["simulate"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|_| ()).unwrap_err().to_string()
    }

    fn output(line: &str) -> Vec<u8> {
        let mut out = Vec::new();
        run(&args(line), &mut out).unwrap();
        out
    }

    /// What stands in the first element of that key in each document.
    fn values(stream: &[u8], key: &str) -> Vec<String> {
        let marker = format!("<key>{key}</key>");
        let text = std::str::from_utf8(stream).unwrap();
        text.split('\0')
            .map(|document| {
                let element = document.split_once(&marker).unwrap().1;
                element.split_once('>').unwrap().1.split_once('<').unwrap().0.to_owned()
            })
            .collect()
    }

    /// Time that passes only while somebody sleeps or blocks.
    #[derive(Default)]
    struct VirtualClock {
        now_ns: Cell<u64>,
    }

    impl Clock for VirtualClock {
        fn now_ns(&self) -> u64 {
            self.now_ns.get()
        }

        fn sleep_until(&self, deadline_ns: u64) {
            self.now_ns.set(self.now_ns.get().max(deadline_ns));
        }
    }

    impl VirtualClock {
        fn pass(&self, ns: u64) {
            self.now_ns.set(self.now_ns.get() + ns);
        }
    }

    /// A reader that takes nothing for a while, now and then.
    struct BlockingWriter<'a> {
        clock: &'a VirtualClock,
        /// How long each document waits, ns.
        blocked_ns: std::vec::IntoIter<u64>,
        stream: Vec<u8>,
    }

    impl Write for BlockingWriter<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.clock.pass(self.blocked_ns.next().unwrap_or(0));
            self.stream.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn paced(scenario: Scenario, count: u64, blocked_ns: Vec<u64>) -> Vec<String> {
        let clock = VirtualClock::default();
        clock.pass(77);
        let interval_ns = 100_000_000;
        let settings = SimulatorSettings { interval_ns, tasks: 12, ..SimulatorSettings::default() };
        let mut simulator = Simulator::new(scenario, settings);
        let mut pace = Pace::new(&clock, interval_ns);
        let mut out =
            BlockingWriter { clock: &clock, blocked_ns: blocked_ns.into_iter(), stream: Vec::new() };
        write(&mut simulator, count, |simulator| pace.wait(simulator.silence_ns(interval_ns)), &mut out)
            .unwrap();
        values(&out.stream, "elapsed_ns")
    }

    /// A clock on which one sleep takes far too long: the process was stopped.
    struct Stopped {
        clock: VirtualClock,
        sleeps: Cell<u32>,
    }

    impl Clock for Stopped {
        fn now_ns(&self) -> u64 {
            self.clock.now_ns()
        }

        fn sleep_until(&self, deadline_ns: u64) {
            self.clock.sleep_until(deadline_ns);
            self.sleeps.set(self.sleeps.get() + 1);
            if self.sleeps.get() == 2 {
                self.clock.pass(700_000_000);
            }
        }
    }

    /// Takes documents until it is closed.
    struct ClosedPipe {
        documents_left: u32,
        error: ErrorKind,
    }

    impl Write for ClosedPipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = self.documents_left.checked_sub(1);
            self.documents_left = left.ok_or_else(|| io::Error::from(self.error))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn documents_are_counted_and_separated_by_nul() {
        let stream = output("--scenario mixed --no-wait --count 5");
        assert_eq!(stream.split(|&byte| byte == 0).count(), 5);
        assert!(stream.starts_with(b"<?xml") && stream.ends_with(b"</plist>\n"));
    }

    #[test]
    fn without_waiting_the_same_seed_gives_the_same_bytes() {
        let line = "--scenario freeze --no-wait --count 3";
        assert_eq!(output(line), output(line));
        assert_ne!(output(line), output(&format!("{line} --seed 2")));
        assert_eq!(values(&output(line), "timestamp")[0], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn the_first_document_is_of_the_time_that_was_asked_for() {
        let stream = output("--scenario calm --no-wait --count 1 --start 2026-11-22T10:10:11.9+01:00");
        assert_eq!(values(&stream, "timestamp"), ["2026-11-22T09:10:11Z"]);
    }

    #[test]
    fn the_interval_is_the_one_that_was_asked_for() {
        let stream = output("--scenario calm --no-wait --count 4 --interval-ms 1000");
        for elapsed_ns in values(&stream, "elapsed_ns") {
            assert!((1_000_000_000..1_200_000_000).contains(&elapsed_ns.parse().unwrap()), "{elapsed_ns}");
        }
    }

    #[test]
    fn a_paced_document_comes_every_interval_however_long_its_writing_took() {
        let elapsed = paced(Scenario::Calm, 4, vec![30_000_000, 10_000_000, 49_000_000]);
        assert_eq!(elapsed, ["100000000"; 4]);
    }

    #[test]
    fn a_reader_that_blocks_makes_one_long_interval_and_no_short_one() {
        let elapsed = paced(Scenario::Calm, 4, vec![0, 1_530_000_000]);
        assert_eq!(elapsed, ["100000000", "100000000", "1630000000", "100000000"]);
    }

    #[test]
    fn a_process_that_was_stopped_goes_on_from_where_it_woke() {
        let clock = Stopped { clock: VirtualClock::default(), sleeps: Cell::new(0) };
        let mut pace = Pace::new(&clock, 100_000_000);
        let mut elapsed = || {
            let elapsed_ns = pace.wait(0);
            // Its document takes a while to write.
            clock.clock.pass(20_000_000);
            elapsed_ns
        };
        assert_eq!([elapsed(), elapsed(), elapsed()], [100_000_000, 800_000_000, 100_000_000]);
    }

    #[test]
    fn a_paced_freeze_is_really_silent() {
        let elapsed = paced(Scenario::Freeze, 170, Vec::new());
        let long: Vec<u64> =
            elapsed.iter().filter_map(|text| text.parse().ok()).filter(|&ns| ns != 100_000_000).collect();
        assert_eq!(long.len(), 1);
        assert!((1_100_000_000..3_000_000_000).contains(&long[0]), "{long:?}");
    }

    #[test]
    fn a_closed_pipe_ends_it_quietly_and_any_other_error_does_not() {
        let args = args("--scenario calm --no-wait");
        let mut pipe = ClosedPipe { documents_left: 3, error: ErrorKind::BrokenPipe };
        assert!(run(&args, &mut pipe).is_ok());
        let mut full = ClosedPipe { documents_left: 3, error: ErrorKind::StorageFull };
        assert_eq!(run(&args, &mut full).unwrap_err().kind(), ErrorKind::StorageFull);
    }

    #[test]
    fn what_cannot_be_simulated_is_refused_with_what_can() {
        assert!(error("--scenario storm").contains("calm, thrash, gpu, io, runaway, freeze, mixed"));
        assert!(error("--scenario calm --tasks 3").contains("give a number of tasks from 10 to 7000"));
        assert!(error("--scenario calm --interval-ms 0").contains("10..=60000"));
        assert!(error("--scenario calm --start soon").contains("give a time like 2026-11-22T09:10:11Z"));
        assert!(error("").contains("--scenario"));
    }
}
