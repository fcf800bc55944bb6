//! The Linux source where no file can be opened any more. A test program of its own: the limit is the process'.
#![cfg(target_os = "linux")]
// clippy.toml allows it in tests only, and takes their helpers for none.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::process::{Child, Command};

use pause_monitor::clock;
use pause_monitor::source::linux::LinuxSource;

/// Ended when dropped, by its id.
struct Ours(Child);

impl Ours {
    fn start(script: &str) -> Self {
        Self(Command::new("/bin/sh").args(["-c", script]).spawn().unwrap())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many processes of ours there are at least, on a machine that runs little else: of each the source keeps three open.
const PROCESSES: usize = 24;

/// All descriptors that are left.
fn all_that_are_left() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn where_no_file_can_be_opened_the_source_gives_some_of_its_own_back_and_goes_on() {
    let limit = libc::rlimit { rlim_cur: 256, rlim_max: 256 };
    // SAFETY: `limit` is a valid rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let _sleepers: Vec<Ours> = (0..PROCESSES).map(|_| Ours::start("exec sleep 1000")).collect();
    let mut source = LinuxSource::new().unwrap();
    for _ in 0..20 {
        source.read(100_000_000);
    }
    let burner = Ours::start("while :; do :; done");
    let pid = i32::try_from(burner.0.id()).unwrap();
    // The new process can be named only with a descriptor that the source gives back.
    let hog = all_that_are_left();
    assert!(!hog.is_empty());
    let begun = clock::awake_ns();
    let mut last = begun;
    loop {
        let now = clock::awake_ns();
        assert!(now - begun < 60_000_000_000, "a minute has passed");
        let reading = source.read(now - last);
        last = now;
        if reading.top_cpu.as_slice().iter().any(|item| item.pid == pid && item.name.as_str() == "sh") {
            break;
        }
    }
    // Those of a process that ended are enough to name it, and on a busy machine one always ends.
    let given_back = all_that_are_left().len();
    assert!(given_back >= PROCESSES, "{given_back}");
}
