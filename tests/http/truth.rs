//! What `/healthz`, `/readyz` and the counters say when something is wrong; and what is known after a restart.

use std::fs;

use crate::daemon::Daemon;
#[cfg(target_os = "linux")]
use crate::daemon::until;
use crate::http::{get, scrape, series};
use crate::program::Program;
use crate::stand_in::{self, StandIn};

/// The daemon over a sampler with these faults, in which nothing is left out of the metrics.
fn over(stand_in: &StandIn, count: u32, arguments: &[&str]) -> Daemon {
    Daemon::start(stand_in.program(), &stand_in.config(count), arguments)
}

#[test]
fn while_degraded_it_is_well_but_neither_ready_nor_up() {
    let stand_in = StandIn::new("no-root");
    let daemon = over(&stand_in, 0, &["--allow-degraded"]);
    daemon.until("degraded samples", || {
        (series(&scrape(&daemon))["pause_monitor_samples_total{state=\"degraded\"}"] >= 3.0).then_some(())
    });
    let ready = get(&daemon, "/readyz");
    assert_eq!(
        (ready.status, ready.text().as_str()),
        (503, "samples are degraded: the source does not deliver\n")
    );
    assert_eq!(get(&daemon, "/healthz").status, 200);
    let text = scrape(&daemon);
    let series = series(&text);
    assert_eq!(series["pause_monitor_up"], 0.0);
    assert_eq!(series["pause_monitor_samples_total{state=\"complete\"}"], 0.0);
    // Load and memory are known all the same.
    assert!(series["pause_monitor_cpu_cores"] >= 1.0);
}

#[test]
fn while_the_store_is_not_open_it_is_not_ready() {
    let program = Program::new();
    let data = program.home().join("data");
    fs::create_dir(&data).unwrap();
    let database = data.join("data.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE t(a);").unwrap();
    let daemon = Daemon::start(program, "", &["--source", "simulate:calm"]);
    daemon.until("samples", || (series(&scrape(&daemon))["pause_monitor_up"] == 1.0).then_some(()));
    let ready = get(&daemon, "/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (503, "the store is not open\n"));
    daemon.until("its errors", || {
        (series(&scrape(&daemon))["pause_monitor_store_errors_total"] >= 1.0).then_some(())
    });
    drop(connection);
    daemon.until("the store", || (get(&daemon, "/readyz").status == 200).then_some(()));
}

#[test]
fn each_restart_of_the_sampler_is_counted_by_its_reason() {
    let restarts = |text: &str| {
        let of = |reason: &str| {
            series(text)[format!("pause_monitor_source_restarts_total{{reason=\"{reason}\"}}").as_str()]
        };
        [of("exited"), of("silent"), of("renewal")]
    };
    let stand_in = StandIn::new("crash hang none");
    let mut daemon = over(&stand_in, 0, &[]);
    daemon.until("both restarts", || (restarts(&scrape(&daemon)) == [1.0, 1.0, 0.0]).then_some(()));
    daemon.stop(libc::SIGTERM);
    stand_in.wait_until_gone();
    let stand_in = StandIn::new("none");
    let daemon = over(&stand_in, 12, &[]);
    daemon.until("renewals", || {
        let [exited, silent, renewals] = restarts(&scrape(&daemon));
        assert_eq!([exited, silent], [0.0, 0.0]);
        (renewals >= 2.0).then_some(())
    });
}

#[test]
fn what_the_sampler_costs_is_its_own_row_added_up() {
    // Ten documents a second, in each of which it lists itself with a fifth of a core.
    let script = "while :; do sleep 0.1; printf '<?xml version=\"1.0\"?>\n<plist version=\"1.0\">\n<dict>\n\
        <key>elapsed_ns</key><integer>100000000</integer>\n<key>tasks</key><array>\n<dict>\n\
        <key>pid</key><integer>%d</integer>\n<key>name</key><string>powermetrics</string>\n\
        <key>cputime_ms_per_s</key><real>200</real>\n</dict>\n</array>\n</dict>\n</plist>\n' $$; done";
    let daemon = Daemon::start(
        Program::new().env("PATH", "/usr/bin:/bin"),
        &stand_in::config(&["/bin/sh", "-c", script]),
        &[""; 0],
    );
    let ratio = daemon.until("a second of samples", || {
        let text = scrape(&daemon);
        let series = series(&text);
        let samples = series["pause_monitor_samples_total{state=\"complete\"}"];
        let cost = series.get("pause_monitor_sampler_cpu_seconds_total")?;
        (samples >= 10.0).then(|| cost / (samples * 0.1))
    });
    assert!((ratio - 0.2).abs() < 1e-9, "{ratio}");
}

#[test]
fn the_last_pause_and_its_culprit_are_known_after_a_restart() {
    let config = "[http]\nculprit_info = true\nlisten = [\"127.0.0.1:0\"]\n";
    let mut daemon = Daemon::start(Program::new(), config, &["--source", "simulate:freeze", "--speed", "10"]);
    let event = daemon.wait_for_event("a pause", |event| event["kind"] == "pause");
    let name = event["culprits"][0]["name"].as_str().unwrap().to_owned();
    daemon.stop(libc::SIGTERM);
    daemon.restart(&["--source", "simulate:calm"]);
    daemon.until("the new daemon", || daemon.last_log().contains("watching").then_some(()));
    let text = scrape(&daemon);
    assert_eq!(
        series(&text)[format!("pause_monitor_last_pause_culprit_info{{name=\"{name}\"}}").as_str()],
        1.0
    );
    assert!(series(&text)["pause_monitor_last_pause_timestamp_seconds"] > 1.6e9);
}

/// Stops one thread of another process, and lets it go on when dropped.
#[cfg(target_os = "linux")]
struct Stopped(i32);

#[cfg(target_os = "linux")]
impl Stopped {
    fn thread(pid: i32, name: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let thread =
            tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).find(|thread: &i32| {
                fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm"))
                    .is_ok_and(|comm| comm.trim() == name)
            });
        let thread = thread.unwrap();
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: it attaches to a thread of our own child and stops it; no memory is touched.
        unsafe {
            assert_eq!(
                libc::ptrace(libc::PTRACE_SEIZE, thread, none, none),
                0,
                "{}",
                std::io::Error::last_os_error()
            );
            assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none), 0);
            let mut status = 0;
            assert_eq!(libc::waitpid(thread, &raw mut status, libc::__WALL), thread);
        }
        Self(thread)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Stopped {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: it lets go of what was attached to.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_sampling_loop_that_has_stopped_is_told_and_so_is_that_it_goes_on() {
    let daemon = Daemon::start(Program::new(), "", &["--source", "linux"]);
    daemon.until("readiness", || (get(&daemon, "/readyz").status == 200).then_some(()));
    let stopped = Stopped::thread(daemon.pid(), "sampling");
    let answer = until("a loop that has stopped", || {
        let answer = get(&daemon, "/healthz");
        (answer.status == 503).then(|| answer.text())
    });
    assert_eq!(answer, "the sampling loop has stopped\n");
    assert_eq!(series(&scrape(&daemon))["pause_monitor_up"], 0.0, "and a scrape is answered meanwhile");
    drop(stopped);
    daemon.until("a loop that goes round", || (get(&daemon, "/healthz").status == 200).then_some(()));
}
