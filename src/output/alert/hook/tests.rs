//! Hooks on a runtime of their own: how many run, what waits, what is dropped, and how it ends.

use std::path::Path;

use tokio::time::sleep;

use super::super::payload::Event;
use super::*;
use crate::config::Paths;

fn on_a_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "in a minute there was not: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A hook that writes its process id to a file of its name, and then waits for a file `gate`, with a child that would
/// outlive it.
fn gated(name: &str, directory: &Path) -> Hook {
    let directory = directory.display();
    let script = format!(
        "sleep 300 & echo $$ >> {directory}/{name}; while [ ! -e {directory}/gate ]; do sleep 0.02; done; kill $!"
    );
    Hook {
        name: name.to_owned(),
        on: vec![Event::Pause],
        timeout: Duration::from_secs(300),
        command: ["sh", "-c", &script].map(str::to_owned).into(),
        ..Hook::default()
    }
}

fn hooks(hooks: &[Hook]) -> (Hooks, Arc<HookStats>) {
    let stats = Arc::new(HookStats::default());
    (Hooks::new(hooks, HookContext::new(&Paths::default()), Arc::clone(&stats)), stats)
}

fn count(stats: &HookStats, name: &str, outcome: Outcome) -> u64 {
    let runs = stats.runs();
    let (_, runs) = runs.iter().find(|(hook, _)| hook == name).unwrap();
    runs.iter().find(|(of, _)| *of == outcome).unwrap().1
}

/// The process groups that a gated hook started so far.
fn started(directory: &Path, name: &str) -> Vec<i32> {
    let text = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether a process of the group is there; one that only waits to be reaped counts.
fn runs(group: i32) -> bool {
    // SAFETY: kill takes two numbers; signal 0 does nothing.
    unsafe { libc::kill(-group, 0) == 0 }
}

#[test]
fn four_run_at_once_a_full_queue_drops_and_the_end_kills_and_counts_all() {
    on_a_runtime(async {
        let directory = tempfile::tempdir().unwrap();
        let names = ["a", "b", "c", "d", "e", "f"];
        let (mut hooks, stats) = hooks(&names.map(|name| gated(name, directory.path())));
        assert!(stats.runs().iter().all(|(_, runs)| runs.iter().all(|(_, count)| *count == 0)));
        let payload = Arc::new(Payload::sample(Event::Pause, "desk"));
        hooks.offer(&payload);
        let running = || names.iter().flat_map(|name| started(directory.path(), name)).collect::<Vec<_>>();
        until("four that run", || running().len() == 4).await;
        assert_eq!(hooks.shared.slots.available_permits(), 0);
        // One is in each worker's hands, under way or waiting for a slot.
        for _ in 0..QUEUE + 4 {
            hooks.offer(&payload);
        }
        for name in names {
            assert_eq!(count(&stats, name, Outcome::Dropped), 4, "{name}");
        }
        let groups = running();
        assert_eq!(groups.len(), 4, "no more than that");
        hooks.finish(Duration::ZERO).await;
        for name in names {
            assert_eq!(count(&stats, name, Outcome::Dropped), 4 + 1 + QUEUE as u64, "{name}");
        }
        until("the end of all that ran", || !groups.iter().any(|&group| runs(group))).await;
    });
}

#[test]
fn a_hook_does_one_thing_after_the_other_and_what_runs_or_waits_at_the_end_is_given_its_time() {
    on_a_runtime(async {
        let directory = tempfile::tempdir().unwrap();
        let (mut hooks, stats) = hooks(&[gated("a", directory.path())]);
        let payload = Arc::new(Payload::sample(Event::Pause, "desk"));
        hooks.offer(&payload);
        hooks.offer(&payload);
        until("the first", || started(directory.path(), "a").len() == 1).await;
        let gate = directory.path().join("gate");
        let open = async {
            sleep(Duration::from_millis(1)).await;
            std::fs::write(gate, "").unwrap();
        };
        tokio::join!(hooks.finish(Duration::from_secs(60)), open);
        // The gate is open: the second is quick, and had its time too.
        assert_eq!((count(&stats, "a", Outcome::Ok), count(&stats, "a", Outcome::Dropped)), (2, 0));
    });
}

#[test]
fn a_hook_that_stays_keeps_its_cooldown_and_its_counts_and_one_that_goes_takes_them_along() {
    on_a_runtime(async {
        let hook = |name: &str, program: &str| Hook {
            name: name.to_owned(),
            on: vec![Event::Pause],
            cooldown: Duration::from_secs(3_600),
            command: vec![program.to_owned()],
            ..Hook::default()
        };
        let (mut hooks, stats) = hooks(&[hook("stays", "false"), hook("goes", "true")]);
        let payload = Arc::new(Payload::sample(Event::Pause, "desk"));
        hooks.offer(&payload);
        until("both runs", || {
            count(&stats, "stays", Outcome::Failed) == 1 && count(&stats, "goes", Outcome::Ok) == 1
        })
        .await;
        hooks.configure(&[hook("comes", "true"), hook("stays", "true")]);
        hooks.offer(&payload);
        until("the new one's run", || count(&stats, "comes", Outcome::Ok) == 1).await;
        assert_eq!(count(&stats, "stays", Outcome::HeldBack), 1);
        assert_eq!(
            stats.runs().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["comes", "stays"]
        );
        hooks.configure(&[hook("goes", "true")]);
        hooks.offer(&payload);
        until("the run of the one that came back", || count(&stats, "goes", Outcome::Ok) == 1).await;
        hooks.finish(Duration::from_secs(60)).await;
    });
}
