//! Trees of /proc and /sys to read in tests: a copy that a test can advance between reads.

use std::path::{Path, PathBuf};

/// A tree in a directory of its own, removed when dropped.
pub(crate) struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    /// The machine in `fixtures/linux/machine.tree`: two CPUs, disks of all kinds, a GPU, RAPL, two processes.
    ///
    /// There each file is a line `== path` and its text.
    pub(crate) fn machine() -> Self {
        let tree = Self { directory: tempfile::tempdir().unwrap() };
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/linux/machine.tree");
        let archive = std::fs::read_to_string(archive).unwrap();
        for file in archive.split("== ").filter(|file| !file.is_empty()) {
            let (path, text) = file.split_once('\n').unwrap();
            tree.write(path, text);
        }
        tree
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Writes a file in place, so that descriptors kept on it see the new text.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), text).unwrap();
    }

    /// Replaces `from`, which must be there, in a file.
    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.at(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, text.replace(from, to));
    }

    /// Removes a file or a directory with all it holds. A file is emptied first: a kept descriptor of a dead
    /// process gives an error, one of a removed file would go on giving its text.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.at(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::write(&path, "").unwrap();
            std::fs::remove_file(path).unwrap();
        }
    }

    /// Writes the files of a process.
    pub(crate) fn process(&self, pid: i32, process: &Process) {
        let Process { comm, parent, major_faults, cpu_ticks, started, switches, read_bytes, write_bytes } =
            process;
        let mut stat = format!("{pid} (").into_bytes();
        stat.extend_from_slice(comm);
        stat.extend_from_slice(
            format!(
                ") S {parent} {pid} {pid} 0 -1 4194304 102 0 {major_faults} 0 {cpu_ticks} 0 0 0 20 0 1 0 {started} 3133440 \
                 416 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
            )
            .as_bytes(),
        );
        self.write(&format!("proc/{pid}/stat"), stat);
        self.write(
            &format!("proc/{pid}/status"),
            format!("Name:\tx\nvoluntary_ctxt_switches:\t{switches}\nnonvoluntary_ctxt_switches:\t9\n"),
        );
        self.write(
            &format!("proc/{pid}/io"),
            format!(
                "rchar: 1\nread_bytes: {read_bytes}\nwrite_bytes: {write_bytes}\ncancelled_write_bytes: 0\n"
            ),
        );
    }
}

/// A process' counts.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) comm: Vec<u8>,
    pub(crate) parent: i32,
    pub(crate) major_faults: u64,
    pub(crate) cpu_ticks: u64,
    pub(crate) started: u64,
    pub(crate) switches: u64,
    pub(crate) read_bytes: u64,
    pub(crate) write_bytes: u64,
}

impl Process {
    pub(crate) fn named(comm: impl AsRef<[u8]>) -> Self {
        Self {
            comm: comm.as_ref().to_owned(),
            parent: 1,
            major_faults: 0,
            cpu_ticks: 0,
            started: 100,
            switches: 0,
            read_bytes: 0,
            write_bytes: 0,
        }
    }
}
