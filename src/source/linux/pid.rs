//! What the files of one process say: `/proc/PID/stat`, `status` and `io`, and its CPU clock.

use super::files::{fields, number, value_of};
use crate::sample::Name;

/// Bytes of a process name that are kept. The kernel's own limit is 15, for its threads 63.
const COMM_MAX: usize = 64;

/// A process name as the kernel has it: any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comm {
    len: u8,
    bytes: [u8; COMM_MAX],
}

impl Comm {
    pub(super) const EMPTY: Self = Self { len: 0, bytes: [0; COMM_MAX] };

    fn new(text: &[u8]) -> Self {
        let mut comm = Self::EMPTY;
        let len = text.len().min(COMM_MAX);
        comm.bytes[..len].copy_from_slice(&text[..len]);
        comm.len = len as u8;
        comm
    }

    /// The name as text; what is no UTF-8 becomes U+FFFD.
    pub(super) fn name(&self) -> Name {
        let mut name = Name::EMPTY;
        for chunk in self.bytes[..usize::from(self.len)].utf8_chunks() {
            let invalid = if chunk.invalid().is_empty() { None } else { Some('\u{fffd}') };
            for c in chunk.valid().chars().chain(invalid) {
                if !name.push(c) {
                    return name;
                }
            }
        }
        name
    }
}

/// `/proc/PID/stat`: the sums over all the process' threads, those that ended included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: Comm,
    /// The pid of its parent.
    pub(super) parent: i32,
    /// Major faults since it began.
    pub(super) major_faults: u64,
    /// CPU time since it began, user and system, clock ticks.
    pub(super) cpu_ticks: u64,
    /// When it began, clock ticks since the machine did: with the pid it names a process.
    pub(super) started: u64,
}

impl Stat {
    /// Reads the file. The name stands in parentheses, may hold any byte, parentheses included, and ends at the
    /// last one: what follows are numbers and one letter (proc_pid_stat(5)).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let opened = text.iter().position(|&byte| byte == b'(')?;
        let closed = text.iter().rposition(|&byte| byte == b')')?;
        let comm = Comm::new(text.get(opened + 1..closed)?);
        // Fields are counted from 1; the one after the name is number 3.
        let mut rest = fields(&text[closed + 1..]);
        let parent = i32::try_from(number(rest.nth(4 - 3)?)?).ok()?;
        let major_faults = number(rest.nth(12 - 5)?)?;
        let user = number(rest.nth(14 - 13)?)?;
        let system = number(rest.next()?)?;
        let started = number(rest.nth(22 - 16)?)?;
        Some(Self { comm, parent, major_faults, cpu_ticks: user.checked_add(system)?, started })
    }
}

/// Voluntary switches in `/proc/PID/status`. The kernel gives those of the first thread only; all of them would
/// take a file for each thread.
pub(super) fn voluntary_switches(status: &[u8]) -> Option<u64> {
    value_of(status, b"voluntary_ctxt_switches:")
}

/// Bytes read from and written to disks, in `/proc/PID/io`; those of children that it waited for included, all
/// at once when they have ended.
pub(super) fn disk_bytes(io: &[u8]) -> Option<u64> {
    value_of(io, b"read_bytes:")?.checked_add(value_of(io, b"write_bytes:")?)
}

/// The CPU time of a process and all its threads, ns, to the nanosecond and at a tenth of the cost of `stat`;
/// needs no file and no privilege. `None` where there is no such process.
pub(super) fn cpu_clock_ns(pid: i32) -> Option<u64> {
    // The kernel's make_process_cpuclock(pid, CPUCLOCK_SCHED), which clock_getcpuclockid(3) is made of.
    const CPUCLOCK_SCHED: libc::clockid_t = 2;
    // The kernel's PID_MAX_LIMIT. A larger one would not fit in a clock's number, 0 would be ourselves.
    if !(1..=1 << 22).contains(&pid) {
        return None;
    }
    let clock = (!pid << 3) | CPUCLOCK_SCHED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    let (s, ns) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    s.checked_mul(1_000_000_000)?.checked_add(ns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stat(comm: &[u8], major_faults: u64, user: u64, system: u64, started: u64) -> Vec<u8> {
        let mut text = b"4242 (".to_vec();
        text.extend_from_slice(comm);
        text.extend_from_slice(
            format!(
                ") S 1 4242 4242 0 -1 4194304 102 7 {major_faults} 9 {user} {system} 11 12 20 0 1 0 {started} \
                 3133440 416 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
            )
            .as_bytes(),
        );
        text
    }

    #[test]
    fn a_name_may_hold_parentheses_spaces_newlines_and_any_byte() {
        for (comm, name) in [
            (&b"plain"[..], "plain"),
            (b"a) R (b", "a) R (b"),
            (b":-) S 1 2 3", ":-) S 1 2 3"),
            (b"two\nlines", "two\nlines"),
            (b"\xff\xfeok", "\u{fffd}\u{fffd}ok"),
            (b"cut\xe6\xbc", "cut\u{fffd}"),
            (b"", ""),
        ] {
            let parsed = Stat::parse(&stat(comm, 3, 40, 2, 77)).unwrap();
            assert_eq!((parsed.comm.name().as_str(), parsed.parent), (name, 1));
            assert_eq!((parsed.major_faults, parsed.cpu_ticks, parsed.started), (3, 42, 77));
        }
    }

    #[test]
    fn a_stat_that_is_cut_off_is_no_stat() {
        let text = stat(b"plain", 3, 40, 2, 77);
        for end in 0..text.windows(4).position(|part| part == b" 77 ").unwrap() {
            assert_eq!(Stat::parse(&text[..end]), None, "{}", String::from_utf8_lossy(&text[..end]));
        }
        assert_eq!(Stat::parse(b""), None);
        assert_eq!(Stat::parse(b"1 (init"), None);
        assert_eq!(Stat::parse(b"1 )init( S 1 2"), None);
    }

    #[test]
    fn involuntary_switches_are_not_taken_for_voluntary_ones() {
        let status = b"Name:\tx\nnonvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t150\n";
        assert_eq!(voluntary_switches(status), Some(150));
    }

    #[test]
    fn only_bytes_that_reached_a_disk_are_disk_bytes() {
        let io = b"rchar: 6976\nwchar: 5\nsyscr: 10\nsyscw: 0\nread_bytes: 4096\nwrite_bytes: 8192\n\
                   cancelled_write_bytes: 1\n";
        assert_eq!(disk_bytes(io), Some(12_288));
        assert_eq!(disk_bytes(b"rchar: 6976\n"), None);
    }

    #[test]
    fn the_cpu_clock_is_the_one_that_the_c_library_names() {
        let pid = std::process::id() as i32;
        let mut clock = 0;
        // SAFETY: `clock` is a valid clockid_t for the call to fill.
        assert_eq!(unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) }, 0);
        assert_eq!(clock, (!pid << 3) | 2);
        let before = cpu_clock_ns(pid).unwrap();
        assert!(cpu_clock_ns(pid).unwrap() >= before);
        for nobody in [i32::MIN, -1, 0, 1 << 22, i32::MAX] {
            assert_eq!(cpu_clock_ns(nobody), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(stat) = Stat::parse(&text) {
                let _ = stat.comm.name();
            }
            let _ = voluntary_switches(&text);
            let _ = disk_bytes(&text);
        }

        #[test]
        fn any_name_and_any_numbers_are_read_back(
            comm in proptest::collection::vec(any::<u8>(), 0..64),
            faults in any::<u64>(), user in 0..u64::MAX / 2, system in 0..u64::MAX / 2, started in any::<u64>(),
        ) {
            let parsed = Stat::parse(&stat(&comm, faults, user, system, started)).unwrap();
            prop_assert_eq!(&parsed.comm.bytes[..usize::from(parsed.comm.len)], &comm[..]);
            prop_assert_eq!(parsed.comm.name(), Name::new(&String::from_utf8_lossy(&comm)));
            prop_assert_eq!((parsed.major_faults, parsed.cpu_ticks, parsed.started), (faults, user + system, started));
        }
    }
}
