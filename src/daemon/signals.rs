//! SIGCONT: somebody had stopped this process and lets it go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock;

/// When SIGCONT last came.
#[derive(Debug)]
pub struct Continued {
    /// On the clock that stops in sleep, ns; 0 for never. The signal handler writes, the sampling thread takes.
    at_ns: Arc<AtomicU64>,
    handler: signal_hook::SigId,
}

impl Continued {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the system takes no handler.
    pub fn listen() -> std::io::Result<Self> {
        let at_ns = Arc::new(AtomicU64::new(0));
        let handler = {
            let at_ns = Arc::clone(&at_ns);
            // SAFETY: the handler reads a clock and stores to an atomic, both async-signal-safe.
            unsafe {
                signal_hook::low_level::register(signal_hook::consts::SIGCONT, move || {
                    at_ns.store(clock::awake_ns(), Ordering::Release);
                })
            }?
        };
        Ok(Self { at_ns, handler })
    }

    /// When it came, where it has since this was last asked. ns on the clock that stops in sleep.
    pub fn take(&self) -> Option<u64> {
        // A plain load first: this is asked every tick, and the answer is nearly always no.
        if self.at_ns.load(Ordering::Acquire) == 0 {
            return None;
        }
        Some(self.at_ns.swap(0, Ordering::AcqRel)).filter(|&at_ns| at_ns > 0)
    }
}

impl Drop for Continued {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.handler);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigcont_is_told_once_with_its_time() {
        let continued = Continued::listen().unwrap();
        let before = clock::awake_ns();
        signal_hook::low_level::raise(signal_hook::consts::SIGCONT).unwrap();
        let at = continued.take().unwrap();
        assert!((before..=clock::awake_ns()).contains(&at));
        assert_eq!(continued.take(), None);
    }
}
