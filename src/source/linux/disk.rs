//! Bytes read from and written to disks: `/proc/diskstats`.
//!
//! Only whole physical devices count, so that no byte counts twice: a device is physical where
//! `/sys/block/NAME/device` is there, which partitions, loop, ram, zram, dm and md devices lack. Of an NVMe
//! device with several paths the paths count (`nvme0c0n1`, where older kernels account), not the head above
//! them (`nvme0n1`, where newer kernels account the same bytes again).
//!
//! Sectors are of 512 bytes here, whatever the device's own are (kernel, Documentation/admin-guide/iostats.rst).

use std::path::{Path, PathBuf};

use super::files::{Buffer, Counter, Kept, fields, lines, number, per_second};
use crate::sample::Metrics;

const SECTOR: u64 = 512;

pub(super) struct Disks {
    diskstats: Kept,
    sys_block: PathBuf,
    buffer: Buffer,
    /// One for each line, in the order of the lines.
    disks: Vec<Disk>,
}

struct Disk {
    name: Vec<u8>,
    physical: bool,
    counted: bool,
    read: Counter,
    written: Counter,
}

impl Disks {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            diskstats: Kept::new(root.join("proc/diskstats")),
            sys_block: root.join("sys/block"),
            buffer: Buffer::new(),
            disks: Vec::new(),
        }
    }

    pub(super) fn read(&mut self, elapsed_ns: u64, metrics: &mut Metrics) {
        let Some(text) = self.diskstats.text(&mut self.buffer) else {
            self.disks.clear();
            return;
        };
        let (mut read, mut written) = (None, None);
        let (mut at, mut changed) = (0, false);
        for line in lines(text) {
            let Some((name, sectors_read, sectors_written)) = parse(line) else { continue };
            match self.disks[at..].iter().position(|disk| disk.name == name) {
                Some(0) => {}
                Some(gone) => {
                    self.disks.drain(at..at + gone);
                    changed = true;
                }
                None => {
                    self.disks.insert(at, Disk::new(name, &self.sys_block));
                    changed = true;
                }
            }
            let disk = &mut self.disks[at];
            at += 1;
            let (more_read, more_written) =
                (disk.read.advance(sectors_read), disk.written.advance(sectors_written));
            // A new disk has no difference yet, so that it does not matter that `counted` comes below.
            if disk.counted {
                add(&mut read, more_read);
                add(&mut written, more_written);
            }
        }
        if changed || at < self.disks.len() {
            self.disks.truncate(at);
            self.decide();
        }
        metrics.io_read_per_s =
            read.and_then(|sectors| per_second(sectors.saturating_mul(SECTOR), elapsed_ns));
        metrics.io_write_per_s =
            written.and_then(|sectors| per_second(sectors.saturating_mul(SECTOR), elapsed_ns));
    }

    fn decide(&mut self) {
        let heads: Vec<Vec<u8>> = self.disks.iter().filter_map(|disk| nvme_head(&disk.name)).collect();
        for disk in &mut self.disks {
            disk.counted = disk.physical && !heads.contains(&disk.name);
        }
    }
}

impl Disk {
    fn new(name: &[u8], sys_block: &Path) -> Self {
        // A `/` in a device's name is a `!` in sysfs.
        let entry = String::from_utf8_lossy(name).replace('/', "!");
        let physical = sys_block.join(entry).join("device").symlink_metadata().is_ok();
        Self {
            name: name.to_owned(),
            physical,
            counted: false,
            read: Counter::default(),
            written: Counter::default(),
        }
    }
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

/// Name, sectors read, sectors written.
fn parse(line: &[u8]) -> Option<(&[u8], u64, u64)> {
    let mut fields = fields(line);
    let name = fields.nth(2)?;
    let read = number(fields.nth(2)?)?;
    let written = number(fields.nth(3)?)?;
    Some((name, read, written))
}

/// The head above an NVMe path: `nvme0n1` of `nvme0c3n1`.
fn nvme_head(name: &[u8]) -> Option<Vec<u8>> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let after = name.strip_prefix(b"nvme")?;
    let subsystem = digits(after);
    let path = after[subsystem..].strip_prefix(b"c")?;
    let namespace = &path[digits(path)..];
    namespace.starts_with(b"n").then(|| [&name[..4 + subsystem], namespace].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nvme_path_names_its_head() {
        assert_eq!(nvme_head(b"nvme0c3n1").as_deref(), Some(&b"nvme0n1"[..]));
        assert_eq!(nvme_head(b"nvme12c0n2").as_deref(), Some(&b"nvme12n2"[..]));
        assert_eq!(nvme_head(b"nvme0n1"), None);
        assert_eq!(nvme_head(b"sda"), None);
    }

    #[test]
    fn a_line_that_is_cut_off_is_skipped() {
        let line = b" 254       0 vda 43011 6549 6545274 43559 7005 51092 15588072 104349 0 16280 149116";
        assert_eq!(parse(line), Some((&b"vda"[..], 6_545_274, 15_588_072)));
        assert_eq!(parse(b" 254       0 vda 43011 6549 6545274 43559"), None);
    }
}
