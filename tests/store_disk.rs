//! The store on a disk that fills up for real. Needs root and Linux (a small tmpfs); says so where it is passed over.
#![cfg(target_os = "linux")]

#[path = "support/mount.rs"]
mod mount;

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mount::Mount;
use pause_monitor::output::store::{
    Claim, EventRow, Filter, Kind, Options, Outbox, Reader, Retention, Store, TierSteps, Write,
    random_incident,
};

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
        episode: None,
        steps: TierSteps::default(),
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
    let Some(mount) = Mount::new() else { return };
    let options = Options {
        started_ns: 1,
        boot_id: None,
        boot_time_ns: None,
        retention: Retention::default(),
        random: random_incident,
        outbox: Outbox::default(),
        claim: Claim::default(),
    };
    let (store, opened) = Store::open(mount.path(), options).unwrap();
    assert!(opened.recovered.is_some());
    let ballast = mount.fill();
    let stats = store.stats();
    for id in 1..=900 {
        store.write(Write::Event(Box::new(outage(id)))).unwrap();
    }
    wait_for("the full disk", || stats.errors.load(Relaxed) > 0);
    std::fs::remove_file(&ballast).unwrap();
    wait_for("the room", || stats.events_stored.load(Relaxed) == 900);
    assert_eq!(stats.dropped.load(Relaxed), 0);
    assert!(store.shutdown("stopped", Duration::from_secs(60)));
    let reader = Reader::open(mount.path()).unwrap().unwrap();
    assert_eq!(reader.events(&Filter::default()).unwrap().len(), 900);
}
