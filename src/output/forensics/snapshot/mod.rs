//! What a Linux machine can tell of itself now: read by a process of its own (the hidden command `capture`), which can
//! be killed where a read hangs. Never read are command lines and environments: they are private, and a process that
//! holds its memory's lock would hold us up.

mod blocked;
mod kernel_log;
mod processes;
mod stat;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// The exit code that says that this user may not read it; `EX_NOPERM` of sysexits.h.
pub const NOT_PERMITTED: i32 = 77;
/// The exit code that says that this system has no such thing; `EX_UNAVAILABLE`.
pub const NOT_AVAILABLE: i32 = 69;

/// What can be read; each is a capture of the same name.
pub const NAMES: [&str; 7] =
    ["blocked", "pressure", "meminfo", "vmstat", "processes", "system", "kernel_log"];

/// A file of the kernel's is read up to so many bytes.
const FILE: u64 = 1 << 20;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct What<'a> {
    /// One of [`NAMES`].
    pub name: &'a str,
    /// What the kernel logged from then on, µs on its own clock.
    pub since_us: u64,
    /// The daemon's process id: its own threads are left out of those that are blocked.
    pub daemon: Option<u32>,
}

/// Writes what is asked for to `out`, a piece at a time, so that what was read before a read hangs is there. What is
/// to be told of it besides, in a line; empty for nothing.
///
/// `root` is `/` but in tests.
///
/// # Errors
/// What can't be read, or written.
pub fn write(what: &What<'_>, root: &Path, out: &mut dyn Write) -> io::Result<String> {
    let What { name, since_us, daemon } = *what;
    let proc = root.join("proc");
    match name {
        "blocked" => blocked::write(&proc, daemon, out),
        "pressure" => {
            let mut files: Vec<String> = fs::read_dir(proc.join("pressure"))?
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .map(|name| format!("pressure/{name}"))
                .collect();
            files.sort();
            files_of(&proc, &files, out)
        }
        "meminfo" => files_of(&proc, &["meminfo"], out),
        "vmstat" => files_of(&proc, &["vmstat"], out),
        "processes" => processes::write(&proc, out),
        "system" => {
            let files =
                ["loadavg", "uptime", "stat", "interrupts", "softirqs", "diskstats", "buddyinfo", "swaps"];
            files_of(&proc, &files, out)
        }
        "kernel_log" => kernel_log::write(&root.join("dev/kmsg"), since_us, out),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no capture {name:?}"))),
    }
}

/// The exit code of an error: not permitted and not available are no failures.
#[must_use]
pub fn exit_code(error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::PermissionDenied => NOT_PERMITTED,
        io::ErrorKind::NotFound | io::ErrorKind::Unsupported => NOT_AVAILABLE,
        _ => 1,
    }
}

/// Files of the kernel's, one after another, each under its name; one alone without. Those that are not there, or not to
/// be read, are said to be so; where none is, that is an error.
fn files_of(proc: &Path, files: &[impl AsRef<str>], out: &mut dyn Write) -> io::Result<String> {
    let mut failed = None;
    let mut read = 0;
    for file in files {
        let file = file.as_ref();
        if files.len() > 1 {
            writeln!(out, "==> /proc/{file} <==")?;
        }
        match read_file(&proc.join(file)) {
            Ok(bytes) => {
                read += 1;
                out.write_all(&bytes)?;
                if !bytes.ends_with(b"\n") {
                    writeln!(out)?;
                }
            }
            Err(error) => {
                if files.len() > 1 {
                    writeln!(out, "not read: {error}")?;
                }
                failed = Some(io::Error::new(error.kind(), format!("/proc/{file}: {error}")));
            }
        }
        out.flush()?;
    }
    match failed {
        Some(error) if read == 0 => Err(error),
        _ => Ok(String::new()),
    }
}

/// A file of the kernel's, bounded.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The numbers that stand in a directory as names: processes, or threads.
fn numbers(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> =
        fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, root: &Path) -> io::Result<(String, String)> {
        let mut out = Vec::new();
        let said = write(&What { name, since_us: 0, daemon: Some(77) }, root, &mut out)?;
        Ok((String::from_utf8(out).unwrap(), said))
    }

    /// A /proc with these files.
    fn proc(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join("proc").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn files_stand_one_after_another_each_under_its_name_and_a_missing_one_is_told() {
        let root = proc(&[("loadavg", "0.5 0.4 0.3 1/200 4711\n"), ("uptime", "12.5 20.0")]);
        let (text, _) = written("system", root.path()).unwrap();
        assert!(
            text.starts_with(
                "==> /proc/loadavg <==\n0.5 0.4 0.3 1/200 4711\n==> /proc/uptime <==\n12.5 20.0\n"
            )
        );
        assert!(text.contains("==> /proc/swaps <==\nnot read: "), "{text}");
        let root = proc(&[("meminfo", "MemTotal: 1 kB\n")]);
        assert_eq!(written("meminfo", root.path()).unwrap().0, "MemTotal: 1 kB\n");
    }

    #[test]
    fn a_kernel_without_pressure_has_none_available() {
        let root = proc(&[("meminfo", "")]);
        let error = written("pressure", root.path()).unwrap_err();
        assert_eq!(exit_code(&error), NOT_AVAILABLE);
        assert_eq!(exit_code(&io::Error::from(io::ErrorKind::PermissionDenied)), NOT_PERMITTED);
        assert_eq!(exit_code(&io::Error::from(io::ErrorKind::StorageFull)), 1);
    }

    /// `stat` of a thread in that state.
    fn stat(pid: u32, name: &str, state: char) -> String {
        format!("{pid} ({name}) {state} 1 1 1 0 -1 0 10 0 20 0 150 250 0 0 20 0 3 0 900 4096 50 0\n")
    }

    #[test]
    fn of_blocked_threads_there_is_what_they_wait_for_and_their_stack() {
        let root = proc(&[
            ("7/task/7/stat", &stat(7, "a (odd) name", 'S')),
            ("7/task/8/stat", &stat(8, "worker", 'D')),
            ("7/task/8/wchan", "io_schedule"),
            ("7/task/8/stack", "[<0>] io_schedule+0x46/0x70\n[<0>] wait_on_page+0x1/0x2\n"),
            ("7/task/8/status", "Name:\tworker\nVmRSS:\t 200 kB\nvoluntary_ctxt_switches:\t5\n"),
            ("9/task/9/stat", &stat(9, "calm", 'R')),
            ("77/task/77/stat", &stat(77, "daemon", 'D')),
            ("self/task/1/stat", &stat(1, "not a number", 'D')),
        ]);
        let (text, said) = written("blocked", root.path()).unwrap();
        assert_eq!(said, "1 blocked: worker (8)");
        for expected in
            ["worker (process 7, thread 8)", "io_schedule\n", "wait_on_page+0x1/0x2", "VmRSS:\t 200 kB"]
        {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains("calm"), "{text}");
        let root = proc(&[("9/task/9/stat", &stat(9, "calm", 'R'))]);
        assert_eq!(written("blocked", root.path()).unwrap().1, "nothing was blocked any more");
    }

    #[test]
    fn processes_are_listed_the_largest_first() {
        let small = stat(7, "small", 'S');
        let large = stat(8, "large\u{1b}", 'R').replace(" 4096 50 ", " 4096 5000 ");
        let root = proc(&[("7/stat", &small), ("8/stat", &large), ("9/stat", "nonsense")]);
        let (text, said) = written("processes", root.path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), said.as_str()), (3, ""), "{text}");
        assert!(
            lines[0].contains("RSS_KB")
                && lines[1].ends_with(" large\u{fffd}")
                && lines[2].ends_with(" small")
        );
        let words: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!(words[..6], ["7", "1", "S", "3", "0", "20"], "{text}");
    }

    #[test]
    fn this_machine_can_be_read() {
        if cfg!(target_os = "linux") {
            for name in NAMES {
                match written(name, Path::new("/")) {
                    Ok((text, _)) => assert!(name == "kernel_log" || !text.is_empty(), "{name}"),
                    Err(error) => assert_ne!(exit_code(&error), 1, "{name}: {error}"),
                }
            }
        }
    }
}
