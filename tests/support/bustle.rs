//! Somebody who wakes up two thousand times a second, evenly: the kernel's witness goes by how the rest's context
//! switches compare with those of the seconds before, and those of whatever else runs here may stop at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) struct Bustle(Arc<AtomicBool>);

impl Bustle {
    pub(crate) fn start() -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let bustle = Self(Arc::clone(&on));
        thread::spawn(move || {
            while on.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(500));
            }
        });
        bustle
    }
}

impl Drop for Bustle {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
