//! `prune`: retention by hand.

use crate::program::Program;
use crate::recorded::Recorded;

/// Two freezes of long ago, the first of which somebody has looked at.
fn old() -> Recorded {
    let recorded = Recorded::at("2024-02-03T04:05:06Z");
    recorded.print(&["events", "mark", "1", "--status", "reviewed"]);
    recorded.print(&["events", "mark", "2", "--status", "dismissed"]);
    recorded
}

#[test]
fn a_dry_run_says_what_would_go_and_deletes_nothing() {
    let recorded = old();
    let said = recorded.print(&["prune", "--dry-run"]);
    assert!(said.starts_with("Would delete 2 events, "), "{said}");
    assert_eq!(recorded.print(&["prune", "--dry-run"]), said);
    assert_eq!(recorded.ids(&[]), [4, 3, 2, 1]);
}

#[test]
fn without_a_terminal_it_wants_to_be_told() {
    let recorded = old();
    let run = recorded.program.run(&["prune"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert_eq!(
        run.stderr,
        "pause-monitor: prune asks before it deletes: pass --yes, or --dry-run to see what\n"
    );
    assert_eq!(recorded.ids(&[]), [4, 3, 2, 1]);
}

#[test]
fn what_was_looked_at_long_ago_goes_and_what_is_pinned_or_critical_and_unseen_stays() {
    let recorded = old();
    recorded.print(&["events", "mark", "3", "--status", "pinned"]);
    let said = recorded.print(&["prune", "--yes"]);
    assert!(said.starts_with("Deleted 2 events, "), "{said}");
    assert_eq!(recorded.ids(&[]), [4, 3]);
    assert_eq!(recorded.print(&["prune", "--yes"]), "Nothing to delete.\n");
}

#[test]
fn evidence_goes_with_its_event_and_for_its_age_and_its_event_says_so() {
    let recorded = Recorded::at("2024-02-03T04:05:06Z");
    recorded.print(&["events", "mark", "2", "--status", "dismissed"]);
    let files = |id: u64| recorded.data_dir().join(format!("events/{id}/ring.jsonl"));
    assert!(files(2).is_file() && files(4).is_file());
    let said = recorded.print(&["prune", "--dry-run"]);
    assert!(said.contains(", 2 directories of captures: about "), "{said}");
    let said = recorded.print(&["prune", "--yes"]);
    assert!(
        said.starts_with("Deleted 1 event, ") && said.contains(", 2 directories of captures: "),
        "{said}"
    );
    assert!(!files(2).exists() && !files(4).exists());
    let event = recorded.json(&["events", "show", "4", "--json"]);
    let gone = serde_json::json!([{"name": "ring", "outcome": "saved", "path": null, "detail": "removed after 30 days"}]);
    assert_eq!(event["forensics"], gone);
}

#[test]
fn the_limits_are_those_of_the_configuration() {
    let recorded = Recorded::at("2024-02-03T04:05:06Z");
    let config = recorded.program.home().join("config.toml");
    std::fs::write(&config, "[retention]\nevents_days = 3000\nforensics_days = 3000\n").unwrap();
    recorded.print(&["events", "mark", "1", "--status", "reviewed"]);
    let config = config.to_str().unwrap();
    assert_eq!(recorded.print(&["prune", "--yes", "--config", config]), "Nothing to delete.\n");
    std::fs::write(config, "[retention]\nevents_days = \"ten\"\n").unwrap();
    assert_eq!(recorded.program.run(&["prune", "--yes", "--config", config]).code, 2);
    assert_eq!(recorded.ids(&[]), [4, 3, 2, 1]);
}

#[test]
fn before_the_first_run_there_is_nothing_to_delete() {
    let run = Program::new().run(&["prune"]);
    assert_eq!((run.stdout.as_str(), run.code), ("Nothing to delete: there are no events.\n", 0));
}
