//! The kernel's log, from `/dev/kmsg`: a record a read, `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT` and further lines
//! that begin with a space (Documentation/ABI/testing/dev-kmsg).

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::sample::printable;

/// Names of the priorities, 0 to 7.
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/// Writes what was logged from `since_us` on.
pub(super) fn write(kmsg: &Path, since_us: u64, out: &mut dyn Write) -> io::Result<String> {
    let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(kmsg)?;
    // A record with its dictionary is shorter.
    let mut block = vec![0; 16 << 10];
    let mut written = 0;
    loop {
        match log.read(&mut block) {
            Ok(0) => break,
            Ok(count) => {
                if let Some((at_us, level, text)) = record(&block[..count])
                    && at_us >= since_us
                {
                    written += 1;
                    writeln!(out, "[{}.{:06}] {level}: {text}", at_us / 1_000_000, at_us % 1_000_000)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // EPIPE: records were overwritten before they were read; the next read goes on behind them.
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::BrokenPipe) => {}
            Err(error) => return Err(error),
        }
    }
    out.flush()?;
    Ok(if written == 0 { "the kernel logged nothing".to_owned() } else { String::new() })
}

/// A record's time, level and text.
fn record(bytes: &[u8]) -> Option<(u64, &'static str, String)> {
    let text = String::from_utf8_lossy(bytes);
    let (head, rest) = text.split_once(';')?;
    let mut head = head.split(',');
    let priority: usize = head.next()?.parse().ok()?;
    let at_us = head.nth(1)?.parse().ok()?;
    Some((at_us, LEVELS[priority & 7], printable(rest.lines().next().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_a_time_a_level_and_its_first_line() {
        let bytes = b"4,1234,5140900,-;hung task\x1b: sh\n SUBSYSTEM=pci\n";
        assert_eq!(record(bytes), Some((5_140_900, "warn", "hung task\u{fffd}: sh".to_owned())));
        assert_eq!(record(b"30,1,2,-,caller=T1;x\n"), Some((2, "info", "x".to_owned())));
        assert_eq!(record(b"nonsense"), None);
    }
}
