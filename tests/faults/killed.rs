//! Kill −9 at random moments: the store is whole, and nothing that was announced is missing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::daemon::{Daemon, signal};
use crate::eventful::{CONFIG, eventful};
use crate::http::{Answer, request, series};
use crate::program::Program;
use crate::server::{Reply, Server};

/// Kills on one data directory, before another is begun: what is found at a start grows with them.
const ON_ONE: u32 = 10;
/// The latest moment of a kill after the start.
const LATEST_MS: u64 = 1_500;
/// By then a daemon has most likely made its database.
const MAKING_MS: u64 = 250;

/// An event as it was announced: its number, and the incident that says that it is the same.
type Announced = (i64, String);

/// How many kills, and the seed of their moments. `PAUSE_MONITOR_KILLS=200 PAUSE_MONITOR_SEED=…` is the long form.
fn campaign() -> (u32, u64) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number("PAUSE_MONITOR_KILLS").map_or(20, |kills| u32::try_from(kills).unwrap());
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    (kills, number("PAUSE_MONITOR_SEED").unwrap_or(u64::from_le_bytes(seed) >> 16))
}

/// Random numbers that a seed gives again (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }
}

/// What is in the files that a kill left, seen on a copy: nobody but the next daemon repairs the originals.
#[derive(Default)]
struct Left {
    /// Every event with its incident.
    events: BTreeSet<Announced>,
    /// Those that still went on.
    open: BTreeSet<i64>,
}

impl Left {
    fn by(directory: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for name in ["data.db", "data.db-wal"] {
            if directory.join(name).exists() {
                fs::copy(directory.join(name), copy.path().join(name)).unwrap();
            }
        }
        let database = Connection::open(copy.path().join("data.db")).unwrap();
        let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
        let made = "SELECT count(*) FROM sqlite_schema WHERE name = 'events'";
        if database.query_row(made, [], |row| row.get::<_, i64>(0)).unwrap() == 0 {
            return Self::default();
        }
        let sql = "SELECT id, lower(hex(incident)), ended_at IS NULL FROM events";
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            Ok(((row.get::<_, i64>(0)?, row.get::<_, String>(1)?), row.get::<_, bool>(2)?))
        });
        let rows: Vec<(Announced, bool)> = rows.unwrap().map(Result::unwrap).collect();
        Self {
            open: rows.iter().filter(|(_, open)| *open).map(|((id, _), _)| *id).collect(),
            events: rows.into_iter().map(|(event, _)| event).collect(),
        }
    }
}

/// What the webhook was told to be on record, from the given request on.
fn announced(server: &Server, from: usize) -> BTreeSet<Announced> {
    let payloads = server.received().into_iter().skip(from);
    let payloads =
        payloads.map(|request| serde_json::from_slice::<serde_json::Value>(&request.body).unwrap());
    payloads
        .filter(|payload| payload["stored"] == true)
        .map(|payload| (payload["id"].as_i64().unwrap(), payload["incident"].as_str().unwrap().to_owned()))
        .collect()
}

/// How many events the daemon says it has stored; `None` while it can't be asked.
fn stored(daemon: &Daemon) -> Option<f64> {
    let log = daemon.last_log();
    let address = log.split_once("served at http://")?.1.split_once("/metrics")?.0.to_owned();
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(request("GET", "/metrics", "").as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    series(&Answer::of(&bytes)?.text()).get("pause_monitor_events_stored_total").copied()
}

/// The files in the data directory, in order.
fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn killed_at_random_moments_it_finds_its_store_whole_and_no_announced_event_is_missing() {
    let (kills, seed) = campaign();
    println!("{kills} kills, PAUSE_MONITOR_SEED={seed}");
    let mut random = Random(seed);
    let [mut told, mut cut_off, mut early, mut ending] = [0; 4];
    let mut done = 0;
    // On a slow machine many come before anything has happened: then there are more.
    while done < kills || (told == 0 || cut_off == 0) && done < 4 * kills {
        let here = ON_ONE.min(if done < kills { kills - done } else { kills });
        let server = Server::new(&[Reply::Status(200, "", "")]);
        let on = "[\"pause\", \"stall\", \"critical\", \"elevated\", \"recovered\"]";
        let config =
            format!("{CONFIG}[[hooks]]\nname = \"w\"\non = {on}\nwebhook = \"{}\"\n", server.url("/"));
        let program = Program::new();
        let source = eventful(&program);
        let run = ["--source", &source, "--speed", "60"];
        let mut daemon = Daemon::start(program, &config, &run);
        let data = daemon.data_dir();
        let mut open = BTreeSet::new();
        let mut before = 0;
        for round in 0..here {
            let seen = server.received().len();
            // The first while the database is made.
            let moment = Duration::from_millis(random.below(if round == 0 { MAKING_MS } else { LATEST_MS }));
            // Some are killed while they stop.
            let stops = (random.below(4) == 0).then(|| Duration::from_millis(random.below(300)));
            let begun = Instant::now();
            let mut counted = 0.0;
            while let Some(left) = moment.checked_sub(begun.elapsed()) {
                counted = stored(&daemon).unwrap_or(counted).max(counted);
                thread::sleep(left.min(Duration::from_millis(20)));
            }
            if let Some(patience) = stops {
                // At the very start nobody listens for it yet: then it is the end.
                signal(daemon.pid(), libc::SIGTERM);
                thread::sleep(patience);
                ending += 1;
            }
            daemon.kill();
            let left = Left::by(&data);
            let context =
                || format!("kill {} after {moment:?}, seed {seed}:\n{}", done + round, daemon.last_log());
            let promised = announced(&server, seen);
            let missing: Vec<_> = promised.difference(&left.events).collect();
            assert!(missing.is_empty(), "{missing:?} are missing; {}", context());
            let new = left.events.len() - before;
            assert!(new as f64 >= counted, "{new} new, {counted} counted; {}", context());
            let moved_aside = files(&data).into_iter().find(|name| name.starts_with("data.db."));
            assert_eq!(moved_aside, None, "{}", context());
            told += promised.len();
            early += usize::from(left.events.is_empty());
            before = left.events.len();
            open.extend(left.open);
            if round + 1 < here {
                daemon.restart(&run);
            }
        }
        // The next one finds all of it, closes what went on, and ends as if nothing had been.
        daemon.restart(&["--source", "simulate:calm"]);
        daemon.until("its start", || daemon.last_log().contains("watching with the source").then_some(()));
        daemon.signal(libc::SIGTERM);
        assert_eq!(daemon.wait(), 0, "seed {seed}: {}", daemon.last_log());
        assert_eq!(files(&data), ["data.db"], "seed {seed}");
        let events = daemon.events();
        for event in &events {
            let was_open = open.contains(&event["id"].as_i64().unwrap());
            assert_eq!(event["open"], false, "seed {seed}: {event}");
            assert_eq!(event["interrupted"] == "restart", was_open, "seed {seed}: {event}");
        }
        let on_record: BTreeSet<Announced> = events
            .iter()
            .map(|event| (event["id"].as_i64().unwrap(), event["incident"].as_str().unwrap().to_owned()))
            .collect();
        assert!(announced(&server, 0).is_subset(&on_record), "seed {seed}");
        cut_off += open.len();
        done += here;
    }
    println!(
        "{told} announced events, all there; {cut_off} episodes cut off, all closed as interrupted; {early} kills before \
         the first event, {ending} while it stopped"
    );
    assert!(told > 0 && cut_off > 0, "the kills came too early to show anything: {told}, {cut_off}");
}
