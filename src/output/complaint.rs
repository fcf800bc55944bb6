//! A complaint that may come again and again, for as long as its cause lasts: it must not fill the log.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// How often it is told.
const EVERY: Duration = Duration::from_secs(60);

/// When it was told last, and how often it was held back since.
#[derive(Debug, Default)]
pub struct Complaint {
    told: Cell<Option<Instant>>,
    held: Cell<u64>,
}

impl Complaint {
    /// Whether it is to be told now: at first, and once a minute. Then what to add to it: how often it came meanwhile.
    pub fn now(&self) -> Option<String> {
        if self.told.get().is_some_and(|told| told.elapsed() < EVERY) {
            self.held.set(self.held.get() + 1);
            return None;
        }
        self.told.set(Some(Instant::now()));
        let held = self.held.take();
        Some(if held == 0 { String::new() } else { format!(" (and {held} times in the minute before)") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_once_a_minute_with_how_often_it_came() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let complaint = Complaint::default();
            assert_eq!(complaint.now().as_deref(), Some(""));
            for _ in 0..7 {
                assert_eq!(complaint.now(), None);
            }
            tokio::time::advance(EVERY).await;
            assert_eq!(complaint.now().as_deref(), Some(" (and 7 times in the minute before)"));
            tokio::time::advance(EVERY).await;
            assert_eq!(complaint.now().as_deref(), Some(""));
        });
    }
}
