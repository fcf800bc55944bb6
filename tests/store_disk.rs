//! The store on a disk that fills up for real. Needs root and Linux (a small tmpfs); says so where it is passed over.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use pause_monitor::output::store::{
    EventRow, Filter, Kind, Options, Reader, Retention, Store, Write, random_incident,
};

/// A file system of its own, taken down at the end.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(path: &'a Path) -> Option<Self> {
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(path).output();
        output.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn outage(id: u64) -> EventRow {
    EventRow {
        id,
        kind: Kind::Outage,
        verdict: None,
        certain: None,
        started_ns: 1,
        ended_ns: Some(2),
        last_seen_ns: 2,
        duration_ns: None,
        interrupted: None,
        continued: false,
        peak: None,
        tiers: None,
        culprits: Vec::new(),
        incident: random_incident(),
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn events_wait_for_room_on_a_full_disk_and_are_all_written_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(directory.path()) else {
        println!("passed over: a tmpfs can't be mounted here (needs root)");
        return;
    };
    let options = Options {
        started_ns: 1,
        boot_id: None,
        boot_time_ns: None,
        retention: Retention::default(),
        random: random_incident,
    };
    let (store, opened) = Store::open(directory.path(), options).unwrap();
    assert!(opened.recovered.is_some());
    let ballast = directory.path().join("ballast");
    assert!(std::fs::write(&ballast, vec![0; 1 << 20]).is_err(), "it is full now");
    let stats = store.stats();
    for id in 1..=900 {
        store.write(Write::Event(Box::new(outage(id)))).unwrap();
    }
    wait_for("the full disk", || stats.errors.load(Relaxed) > 0);
    std::fs::remove_file(&ballast).unwrap();
    wait_for("the room", || stats.events_stored.load(Relaxed) == 900);
    assert_eq!(stats.dropped.load(Relaxed), 0);
    assert!(store.shutdown("stopped", Duration::from_secs(60)));
    let reader = Reader::open(directory.path()).unwrap().unwrap();
    assert_eq!(reader.events(&Filter::default()).unwrap().len(), 900);
}
