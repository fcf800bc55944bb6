//! What the Linux source costs at 10 Hz: `cargo bench --bench linux_source [-- PROCESSES [TICKS]]`.
//!
//! Starts sleeping processes until there are PROCESSES (150), reads the machine at absolute deadlines as the
//! daemon does, and prints CPU time, allocations and system calls that read, per tick. It ends what it started.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("reads /proc: Linux only");
}

#[cfg(target_os = "linux")]
#[path = "support/counting.rs"]
mod counting;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::{Child, Command};

    use super::counting;
    use pause_monitor::clock;
    use pause_monitor::sample::Metrics;
    use pause_monitor::source::host::Host;
    use pause_monitor::source::linux::{ActivityReader, LinuxSource};

    const TICK: u64 = 100_000_000;

    struct Sleepers(Vec<Child>);

    impl Drop for Sleepers {
        fn drop(&mut self) {
            for child in &mut self.0 {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    fn processes() -> usize {
        let listing = std::fs::read_dir("/proc").unwrap().flatten();
        listing.filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit()).count()
    }

    /// This thread's CPU time, µs.
    fn cpu_us() -> f64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid timespec for the call to fill.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    }

    fn reads() -> u64 {
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
    }

    fn measure(name: &str, ticks: u64, mut tick: impl FnMut(u64)) {
        let mut deadline = clock::awake_ns();
        let mut last = deadline;
        // Two seconds for buffers and descriptors to be there, then what is measured.
        let (mut cpu, mut worst, mut allocations, mut calls) = (0.0, 0.0_f64, 0, 0);
        for n in 0..ticks + 20 {
            if n == 20 {
                calls = reads();
                allocations = counting::allocations(None);
            }
            deadline += TICK;
            clock::sleep_until(deadline);
            let now = clock::awake_ns();
            let before = cpu_us();
            tick(now - last);
            let spent = cpu_us() - before;
            last = now;
            if n >= 20 {
                cpu += spent;
                worst = worst.max(spent);
            }
        }
        let allocations = (counting::allocations(None) - allocations) as f64 / ticks as f64;
        let calls = (reads() - calls) as f64 / ticks as f64;
        let mean = cpu / ticks as f64;
        println!(
            "{name:12} {mean:7.1} µs a tick ({:.2} % of a core), worst {worst:.0} µs, {calls:.0} reads, {allocations:.2} allocations",
            mean * 10.0 / 10_000.0
        );
    }

    pub(crate) fn main() {
        let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
        let wanted = numbers.next().unwrap_or(150);
        let ticks = numbers.next().unwrap_or(200) as u64;
        let missing = wanted.saturating_sub(processes());
        let sleepers =
            Sleepers((0..missing).map(|_| Command::new("sleep").arg("600").spawn().unwrap()).collect());
        println!("{} processes, {ticks} ticks of 100 ms", processes());
        let mut source = LinuxSource::new().unwrap();
        measure("source", ticks, |elapsed_ns| {
            std::hint::black_box(source.read(elapsed_ns));
        });
        drop(source);
        let mut host = Host::new();
        let mut metrics = Metrics::default();
        measure("host", ticks / 4, |_| host.read(&clock::now(), std::hint::black_box(&mut metrics)));
        let mut activity = ActivityReader::new();
        measure("activity", ticks / 4, |_| {
            std::hint::black_box(activity.read());
        });
        drop(sleepers);
    }
}
