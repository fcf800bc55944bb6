//! The files of processes, and which of them are kept open.
//!
//! Descriptors are kept for the first [`KEEPERS_MAX`] processes, less where the limit of open files is low:
//! opening a file of /proc takes memory, and waits for it when there is none. The others' files are opened in
//! their turn.

use std::fmt::Write;
use std::fs::File;
use std::io;

use super::files::Buffer;
use super::pid::{Stat, disk_bytes, voluntary_switches};

/// Processes whose descriptors are kept, three each.
const KEEPERS_MAX: usize = 256;

/// The descriptors of one process.
#[derive(Default)]
pub(super) struct Descriptors {
    keeps: bool,
    stat: Option<File>,
    status: Option<File>,
    io: Option<File>,
}

/// What came of reading something of a process.
pub(super) enum Outcome<T> {
    Read(T),
    /// Not now; it may live.
    Unreadable,
    Dead,
}

/// Opens and reads the files of processes, and counts who keeps theirs open.
pub(super) struct Files {
    proc: String,
    buffer: Buffer,
    path: String,
    keepers: usize,
    keepers_max: usize,
    exhausted: bool,
}

impl Files {
    /// The files under `proc`.
    pub(super) fn new(proc: String) -> Self {
        Self {
            proc,
            buffer: Buffer::new(),
            path: String::new(),
            keepers: 0,
            keepers_max: keepers_max(open_files_limit()),
            exhausted: false,
        }
    }

    /// Reads `stat`.
    pub(super) fn stat(&mut self, pid: i32, own: &mut Descriptors) -> Outcome<Stat> {
        if !own.keeps && self.keepers < self.keepers_max {
            own.keeps = true;
            self.keepers += 1;
        }
        match self.text(pid, "stat", own.keeps, &mut own.stat) {
            Ok(text) => Stat::parse(text).map_or(Outcome::Unreadable, Outcome::Read),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ESRCH) => Outcome::Dead,
                _ => Outcome::Unreadable,
            },
        }
    }

    /// Reads `status` for its voluntary switches.
    pub(super) fn switches(&mut self, pid: i32, own: &mut Descriptors) -> Option<u64> {
        self.text(pid, "status", own.keeps, &mut own.status).ok().and_then(voluntary_switches)
    }

    /// Reads `io` for its disk bytes; only the owner and root may.
    pub(super) fn disk_bytes(&mut self, pid: i32, own: &mut Descriptors) -> Option<u64> {
        self.text(pid, "io", own.keeps, &mut own.io).ok().and_then(disk_bytes)
    }

    /// Reads one of a process' files, from the descriptor in `kept` where that still works.
    fn text(&mut self, pid: i32, name: &str, keep: bool, kept: &mut Option<File>) -> io::Result<&[u8]> {
        if let Some(file) = kept {
            if self.buffer.fill(file).is_ok() {
                return Ok(self.buffer.text());
            }
            // The process it belonged to is dead; another may have its pid.
            *kept = None;
        }
        self.path.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "{}/{pid}/{name}", self.proc);
        let file = File::open(&self.path).inspect_err(|error| {
            self.exhausted |= matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        })?;
        self.buffer.fill(&file)?;
        if keep {
            *kept = Some(file);
        }
        Ok(self.buffer.text())
    }

    /// Closes what a process keeps.
    pub(super) fn close(&mut self, own: &mut Descriptors) {
        self.keepers -= usize::from(own.keeps);
        *own = Descriptors::default();
    }

    /// Where descriptors ran out, keeps half as many from now on; the first of `all` lose theirs.
    pub(super) fn shed<'a>(&mut self, all: impl Iterator<Item = &'a mut Descriptors>) {
        if !std::mem::take(&mut self.exhausted) {
            return;
        }
        self.keepers_max = self.keepers / 2;
        for own in all {
            if self.keepers <= self.keepers_max {
                break;
            }
            self.close(own);
        }
    }
}

/// How many processes' files are kept where so many may be open: at most half of those, so that sockets and the
/// store always find one.
fn keepers_max(open_files: usize) -> usize {
    KEEPERS_MAX.min(open_files / 2 / 3)
}

/// How many files this process may have open.
fn open_files_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for the call to fill.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Process, Tree};
    use super::*;

    /// So many processes, each read once.
    fn machine(processes: i32, keepers_max: usize) -> (Tree, Files, Vec<Descriptors>) {
        let tree = Tree::machine();
        let mut files = Files::new(tree.path().join("proc").to_string_lossy().into_owned());
        files.keepers_max = keepers_max;
        let mut all: Vec<Descriptors> = (0..processes).map(|_| Descriptors::default()).collect();
        for (pid, own) in (1..).zip(&mut all) {
            tree.process(pid, &Process::named("worker"));
            read(&mut files, pid, own);
        }
        (tree, files, all)
    }

    fn read(files: &mut Files, pid: i32, own: &mut Descriptors) {
        assert!(matches!(files.stat(pid, own), Outcome::Read(_)));
        assert_eq!((files.switches(pid, own), files.disk_bytes(pid, own)), (Some(0), Some(0)));
    }

    fn open(all: &[Descriptors]) -> usize {
        all.iter().flat_map(|own| [&own.stat, &own.status, &own.io]).flatten().count()
    }

    #[test]
    fn descriptors_are_kept_for_so_many_processes_and_no_more() {
        assert_eq!([30, 1_024, 1_000_000].map(keepers_max), [5, 170, 256]);
        let (_tree, files, all) = machine(40, 20);
        assert_eq!((files.keepers, open(&all)), (20, 60));
    }

    #[test]
    fn the_descriptors_of_the_dead_go_to_the_living() {
        let (tree, mut files, mut all) = machine(20, 5);
        tree.remove("proc/1");
        files.close(&mut all[0]);
        assert_eq!((files.keepers, open(&all)), (4, 12));
        read(&mut files, 20, &mut all[19]);
        assert_eq!((files.keepers, open(&all)), (5, 15));
        assert!(matches!(files.stat(1, &mut all[0]), Outcome::Dead));
    }

    #[test]
    fn where_descriptors_run_out_half_are_kept_from_then_on() {
        let (_tree, mut files, mut all) = machine(40, 16);
        files.shed(all.iter_mut());
        assert_eq!(open(&all), 48, "they have not run out");
        files.exhausted = true;
        files.shed(all.iter_mut().rev());
        for (pid, own) in (1..).zip(&mut all) {
            read(&mut files, pid, own);
        }
        assert_eq!((files.keepers, open(&all)), (8, 24));
    }
}
