//! `docs/schema.md` against a database as the store makes it.

#![allow(clippy::unwrap_used)]

use pause_monitor::output::store::{Claim, FILE_NAME, Options, Outbox, Retention, Store, random_incident};
use rusqlite::Connection;

const DOCS: &str = include_str!("../docs/schema.md");

fn database() -> (tempfile::TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        started_ns: 1,
        boot_id: None,
        boot_time_ns: None,
        retention: Retention::default(),
        random: random_incident,
        outbox: Outbox::default(),
        claim: Claim::default(),
    };
    let (store, _) = Store::open(directory.path(), options).unwrap();
    assert!(store.shutdown("stopped", std::time::Duration::from_secs(60)));
    let connection = Connection::open(directory.path().join(FILE_NAME)).unwrap();
    (directory, connection)
}

#[test]
fn every_column_is_documented() {
    let (_directory, connection) = database();
    for table in ["events", "event_samples", "runs", "meta"] {
        assert!(DOCS.contains(&format!("## {table}\n")), "{table}");
        let columns: Vec<String> = connection
            .prepare("SELECT name FROM pragma_table_info(?1)")
            .unwrap()
            .query_map([table], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert!(!columns.is_empty());
        // The row's own number, and a plain key and value, speak for themselves.
        for column in columns.iter().filter(|name| !["id", "key", "value"].contains(&name.as_str())) {
            assert!(DOCS.contains(&format!("`{column}`")), "{table}.{column}");
        }
    }
}

#[test]
fn every_example_runs() {
    let (_directory, connection) = database();
    let (_, examples) = DOCS.split_once("## Examples").unwrap();
    let code: Vec<&str> = examples.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let code = code.join("\n");
    let statements: Vec<&str> = code.split(';').filter(|text| !text.trim().is_empty()).collect();
    assert_eq!(statements.len(), 5);
    for statement in statements {
        connection.prepare(statement).unwrap().query([]).unwrap().next().unwrap();
    }
}

#[test]
fn the_documented_pragmas_are_the_files() {
    let (_directory, connection) = database();
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert!(DOCS.contains(&format!("`PRAGMA user_version` is {},", pragma("user_version"))));
    assert!(DOCS.contains(&format!("`PRAGMA application_id` {}.", pragma("application_id"))));
}
