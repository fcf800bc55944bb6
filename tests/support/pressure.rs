//! Threads that want more than the processors there are: under pressure the kernel bears no witness that only the
//! daemon stood still.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub(crate) struct Pressure(Arc<AtomicBool>);

impl Pressure {
    pub(crate) fn start() -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let threads = 2 * thread::available_parallelism().unwrap().get();
        for _ in 0..threads {
            let on = Arc::clone(&on);
            thread::spawn(move || {
                while on.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(on)
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
