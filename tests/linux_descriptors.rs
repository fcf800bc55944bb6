//! The Linux source where no file can be opened any more. A test program of its own: the limit is the process'.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::process::{Child, Command};

use pause_monitor::clock;
use pause_monitor::source::linux::LinuxSource;

/// Ended when dropped, by its id.
struct Burner(Child);

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn where_no_file_can_be_opened_the_source_gives_some_of_its_own_back_and_goes_on() {
    let limit = libc::rlimit { rlim_cur: 256, rlim_max: 256 };
    // SAFETY: `limit` is a valid rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let mut source = LinuxSource::new().unwrap();
    for _ in 0..20 {
        source.read(100_000_000);
    }
    let burner = Burner(Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    let pid = i32::try_from(burner.0.id()).unwrap();
    // All that are left, so that the new process can be named only with a descriptor that the source gives back.
    let hog: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
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
}
