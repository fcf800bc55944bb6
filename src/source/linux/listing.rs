//! The pids in /proc, listed without allocating.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Where `d_reclen` stands in the kernel's `struct linux_dirent64`, after inode and offset.
const RECLEN: usize = 16;
/// Where `d_name` stands in it, after length and type.
const NAME: usize = 19;

/// /proc, kept open.
pub(super) struct Listing {
    directory: File,
    entries: Vec<u8>,
    pids: Vec<i32>,
}

impl Listing {
    pub(super) fn open(proc: &Path) -> io::Result<Self> {
        Ok(Self { directory: File::open(proc)?, entries: vec![0; 32_768], pids: Vec::new() })
    }

    /// All pids, rising.
    pub(super) fn pids(&mut self) -> io::Result<&[i32]> {
        self.pids.clear();
        self.directory.seek(SeekFrom::Start(0))?;
        loop {
            let len = self.next()?;
            if len == 0 {
                break;
            }
            let mut rest = &self.entries[..len];
            while let Some((header, name)) = rest.split_at_checked(NAME) {
                let end = memchr::memchr(0, name).unwrap_or(name.len());
                self.pids.extend(pid(&name[..end]));
                let length = usize::from(u16::from_ne_bytes([header[RECLEN], header[RECLEN + 1]]));
                rest = rest.get(length.max(NAME)..).unwrap_or_default();
            }
        }
        // The kernel lists pids in rising order; other file systems do not.
        if !self.pids.is_sorted() {
            self.pids.sort_unstable();
        }
        Ok(&self.pids)
    }

    /// Reads the next entries; 0 at the end. std's `read_dir` would allocate for each of them.
    fn next(&mut self) -> io::Result<usize> {
        // SAFETY: the buffer is valid for its length, and the descriptor is open as long as `self`.
        let len = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                self.directory.as_raw_fd(),
                self.entries.as_mut_ptr(),
                self.entries.len(),
            )
        };
        usize::try_from(len).map_err(|_| io::Error::last_os_error())
    }
}

fn pid(name: &[u8]) -> Option<i32> {
    if name.len() > 10 || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok().filter(|&pid| pid > 0)
}
