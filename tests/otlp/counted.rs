//! What the export counts. In this process: the counters are for `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pause_monitor::config::{Paths, parse};
use pause_monitor::output::otlp::{Exporter, Machine, OtlpStats};
use pause_monitor::output::store::{
    Claim, EventRow, Kind, Options, Outbox, Retention, Store, TierSteps, Write, random_incident,
};

use crate::collector::{Collector, Reply};
use crate::daemon::until;

fn pause(id: u64) -> Write {
    Write::Event(Box::new(EventRow {
        id,
        kind: Kind::Pause,
        verdict: Some(pause_monitor::event::Verdict::Pause),
        certain: Some(true),
        started_ns: 1,
        ended_ns: Some(1_000_000_000),
        last_seen_ns: 1,
        duration_ns: Some(999_999_999),
        interrupted: None,
        continued: false,
        peak: None,
        tiers: None,
        culprits: Vec::new(),
        incident: random_incident(),
        episode: None,
        steps: TierSteps::default(),
    }))
}

fn counts(stats: &OtlpStats) -> [u64; 4] {
    [&stats.spans_exported, &stats.spans_rejected, &stats.export_failures, &stats.outbox_spans]
        .map(|count| count.load(Ordering::Relaxed))
}

#[test]
fn what_is_counted_is_what_happened() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = Outbox { wanted: true, ..Outbox::default() };
    let options = Options {
        started_ns: 1,
        boot_id: None,
        boot_time_ns: None,
        retention: Retention::default(),
        random: random_incident,
        outbox: outbox.clone(),
        claim: Claim::default(),
    };
    let (store, _) = Store::open(directory.path(), options.clone()).unwrap();
    for id in 1..=4 {
        store.write(pause(id)).unwrap();
    }
    until("four that wait", || (counts(&outbox.stats) == [0, 0, 0, 4]).then_some(()));
    assert!(store.shutdown("stopped", Duration::from_secs(60)));

    // Known again as soon as the database is open.
    let again = Outbox { stats: Arc::default(), ..outbox };
    let (store, _) = Store::open(directory.path(), Options { outbox: again.clone(), ..options }).unwrap();
    assert_eq!(counts(&again.stats), [0, 0, 0, 4]);

    // One failure, then a batch of which 2 is rejected, then 2 alone.
    let requests = AtomicUsize::new(0);
    let collector = Collector::http(move |received| match requests.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Http(503, None),
        _ if received.ids().contains(&2) => Reply::Partial(1),
        _ => Reply::Take,
    });
    let config = format!("[otlp]\nendpoint = \"http://{}\"\n", collector.address());
    let otlp = parse(&config, false).unwrap().config.otlp;
    let paths = Paths { data_dir: directory.path().to_owned(), ..Paths::default() };
    let exporter = Exporter::new(&otlp, &paths, &Machine::default()).unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let running = runtime.block_on(async { exporter.start(store.marker(), &again) });
    until("all of them decided", || (counts(&again.stats) == [3, 1, 3, 0]).then_some(()));
    runtime.block_on(running.finish(Duration::from_secs(60)));
    assert!(store.shutdown("stopped", Duration::from_secs(60)));
}
