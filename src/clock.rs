//! The only place that reads clocks.
//!
//! Two monotonic clocks are read together: the one that stops while the machine sleeps and the one that
//! goes on. Durations come from the first, time asleep from their difference; wall-clock time only labels.

use std::time::Duration;

/// A duration in ns; what does not fit is for ever.
#[must_use]
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One reading of the clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The clock that stops in sleep, ns (macOS `CLOCK_UPTIME_RAW`, Linux `CLOCK_MONOTONIC`).
    pub awake_ns: u64,
    /// The clock that goes on in sleep, ns (macOS `CLOCK_MONOTONIC_RAW`, Linux `CLOCK_BOOTTIME`).
    pub total_ns: u64,
    /// Unix time, ns: a label.
    pub unix_ns: i64,
}

impl Stamp {
    /// Time awake since `earlier`, ns; 0 where the clock stepped back.
    #[must_use]
    pub fn awake_since(&self, earlier: &Self) -> u64 {
        self.awake_ns.saturating_sub(earlier.awake_ns)
    }

    /// Time asleep since `earlier`, ns; 0 where the clocks stepped back.
    #[must_use]
    pub fn asleep_since(&self, earlier: &Self) -> u64 {
        self.total_ns.saturating_sub(earlier.total_ns).saturating_sub(self.awake_since(earlier))
    }
}

#[cfg(target_os = "macos")]
const AWAKE: libc::clockid_t = libc::CLOCK_UPTIME_RAW;
#[cfg(target_os = "macos")]
const TOTAL: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;
#[cfg(not(target_os = "macos"))]
const AWAKE: libc::clockid_t = libc::CLOCK_MONOTONIC;
#[cfg(not(target_os = "macos"))]
const TOTAL: libc::clockid_t = libc::CLOCK_BOOTTIME;

/// Clock readings that took longer than this apart are read again: a thread that lost the processor
/// between two of them would see sleep where there was none.
const TOGETHER: Duration = Duration::from_micros(100);

fn read(clock: libc::clockid_t) -> i128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    debug_assert_eq!(result, 0, "the clocks named here always exist");
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

fn monotonic(clock: libc::clockid_t) -> u64 {
    u64::try_from(read(clock)).unwrap_or(0)
}

/// Unix time now, ns.
#[must_use]
pub fn unix_ns() -> i64 {
    i64::try_from(read(libc::CLOCK_REALTIME)).unwrap_or(i64::MAX)
}

/// The clock that stops in sleep, ns.
#[must_use]
pub fn awake_ns() -> u64 {
    monotonic(AWAKE)
}

/// Reads all clocks together.
///
/// Where the thread loses the processor in between, it reads again, up to ten times; then it takes the
/// closest it got.
#[must_use]
pub fn now() -> Stamp {
    let mut best = (u64::MAX, Stamp::default());
    for _ in 0..10 {
        let before = awake_ns();
        let total_ns = monotonic(TOTAL);
        let unix_ns = unix_ns();
        let awake_ns = awake_ns();
        let spread = awake_ns.saturating_sub(before);
        if spread < best.0 {
            best = (spread, Stamp { awake_ns: before, total_ns, unix_ns });
        }
        if u128::from(spread) <= TOGETHER.as_nanos() {
            break;
        }
    }
    best.1
}

/// Sleeps until the clock that stops in sleep reaches `deadline_ns`. Returns at once where it has, and early where the
/// clock steps back.
pub fn sleep_until(deadline_ns: u64) {
    #[cfg(not(target_os = "macos"))]
    {
        let time = libc::timespec {
            tv_sec: i64::try_from(deadline_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: (deadline_ns % 1_000_000_000) as i64,
        };
        loop {
            // SAFETY: `time` is a valid timespec; no remainder is asked for with an absolute time.
            let result = unsafe {
                libc::clock_nanosleep(AWAKE, libc::TIMER_ABSTIME, &raw const time, std::ptr::null_mut())
            };
            if result != libc::EINTR {
                return;
            }
        }
    }
    #[cfg(target_os = "macos")]
    {
        // There is no absolute sleep on this clock but mach_wait_until, which counts in ticks of its own;
        // a relative sleep to the deadline, repeated until it is reached, does the same.
        let mut before = u64::MAX;
        loop {
            let left = deadline_ns.saturating_sub(awake_ns());
            // More than before: the clock stepped back, and the deadline means nothing any more.
            if left == 0 || left > before {
                return;
            }
            before = left;
            std::thread::sleep(Duration::from_nanos(left));
        }
    }
}

/// Gives this thread the scheduling of a program that the user has in front, where the system has such a
/// notion: on macOS a thread without one may be run on the slow cores only. Elsewhere that is the default.
pub fn be_a_users_program() {
    #[cfg(target_os = "macos")]
    {
        // <sys/qos.h>
        const QOS_CLASS_USER_INITIATED: libc::c_uint = 0x19;
        unsafe extern "C" {
            fn pthread_set_qos_class_self_np(class: libc::c_uint, relative: libc::c_int) -> libc::c_int;
        }
        // SAFETY: it takes two numbers and changes the calling thread only. Refusal is harmless.
        let _ = unsafe { pthread_set_qos_class_self_np(QOS_CLASS_USER_INITIATED, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_never_run_backwards() {
        let first = now();
        let second = now();
        assert!(second.awake_ns >= first.awake_ns);
        assert!(second.total_ns >= first.total_ns);
    }

    #[test]
    fn a_clock_that_steps_back_yields_zero() {
        let later = Stamp { awake_ns: 10, total_ns: 10, unix_ns: 0 };
        let earlier = Stamp { awake_ns: 20, total_ns: 30, unix_ns: 0 };
        assert_eq!(later.awake_since(&earlier), 0);
        assert_eq!(later.asleep_since(&earlier), 0);
    }

    #[test]
    fn sleeping_reaches_the_deadline() {
        let deadline = awake_ns() + 2_000_000;
        sleep_until(deadline);
        assert!(awake_ns() >= deadline);
    }
}
