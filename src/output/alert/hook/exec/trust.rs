//! Whether anybody but root can change what a program does.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::find;

/// Links on the way to one file, and interpreters of interpreters.
const LINKS: usize = 40;
const INTERPRETERS: usize = 4;
/// As much of a script's first line as systems read, bytes.
const FIRST_LINE: u64 = 256;

/// The word for what may be trusted: files of root and of `owner`, which is root but in tests.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// A user besides root.
    pub owner: u32,
}

impl Trust {
    /// Says why others could change what is run: the program, its interpreter, files among its arguments (`sh FILE`
    /// runs that file), and every directory and link on the way.
    pub(super) fn command(self, program: &Path, arguments: &[String], path: &str) -> Result<(), String> {
        self.program(program, path, INTERPRETERS)?;
        for argument in arguments.iter().map(Path::new) {
            if argument.is_absolute() && argument.is_file() {
                self.file(argument)?;
            }
        }
        Ok(())
    }

    /// The directories of a PATH in which only those can put programs who are trusted.
    pub(super) fn path(self, path: &str) -> String {
        let is_safe = |directory: &&str| {
            // One that is not there could be made by whoever can write what is above it.
            let mut there = Path::new(directory).ancestors().filter(|one| one.symlink_metadata().is_ok());
            there.next().is_some_and(|one| self.file(one).is_ok())
        };
        path.split(':').filter(is_safe).collect::<Vec<_>>().join(":")
    }

    fn program(self, program: &Path, path: &str, depth: usize) -> Result<(), String> {
        let program = self.file(program)?;
        let mut line = Vec::new();
        let read = File::open(&program).and_then(|file| file.take(FIRST_LINE).read_to_end(&mut line));
        // What can't be read is no script: the system has to read it as well.
        let (Ok(_), Some(line)) = (read, line.strip_prefix(b"#!")) else { return Ok(()) };
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let words: Vec<&std::ffi::OsStr> = words.map(OsStrExt::from_bytes).collect();
        let Some(interpreter) = words.first().map(Path::new) else { return Ok(()) };
        if depth == 0 {
            return Err(format!("{} has interpreters of interpreters", shown(&program)));
        }
        self.program(interpreter, path, depth - 1)?;
        // `env NAME` looks for another one.
        let named = words.iter().skip(1).find(|word| !word.as_bytes().starts_with(b"-"));
        if let Some(named) = named.filter(|_| interpreter.file_name().is_some_and(|name| name == "env"))
            && let Some(found) = named.to_str().and_then(|name| find::program(name, path).ok())
        {
            self.program(&found, path, depth - 1)?;
        }
        Ok(())
    }

    /// The file that a path leads to, or why others could change where it leads or what is there. In a directory
    /// with the sticky bit others can't take away what is not theirs.
    ///
    /// # Errors
    /// Why, in a line.
    pub fn file(self, path: &Path) -> Result<PathBuf, String> {
        let mut so_far = PathBuf::from("/");
        let mut left: Vec<OsString> = Vec::new();
        put(path, &mut left);
        left.push("/".into());
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                so_far.pop();
                continue;
            }
            let next = if part == "/" { PathBuf::from("/") } else { so_far.join(&part) };
            let about =
                std::fs::symlink_metadata(&next).map_err(|error| format!("{}: {error}", shown(&next)))?;
            if about.uid() != 0 && about.uid() != self.owner {
                return Err(format!("{} belongs to user {}", shown(&next), about.uid()));
            }
            if about.is_symlink() {
                links += 1;
                if links > LINKS {
                    return Err(format!("{} is a link that leads nowhere", shown(&next)));
                }
                let target =
                    std::fs::read_link(&next).map_err(|error| format!("{}: {error}", shown(&next)))?;
                if target.is_absolute() {
                    so_far = PathBuf::from("/");
                }
                put(&target, &mut left);
                continue;
            }
            let sticky = about.is_dir() && about.mode() & 0o1000 != 0;
            if about.mode() & 0o022 != 0 && !sticky {
                return Err(format!(
                    "{} can be written by others (mode {:o})",
                    shown(&next),
                    about.mode() & 0o7777
                ));
            }
            so_far = next;
        }
        Ok(so_far)
    }
}

/// Puts the parts of a path on top of what is left to go.
fn put(path: &Path, left: &mut Vec<OsString>) {
    let parts: Vec<_> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect();
    left.extend(parts.into_iter().rev());
}

fn shown(path: &Path) -> String {
    crate::sample::printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::super::context::PATH;
    use super::*;

    /// Us: tests may be run as anybody.
    fn ours() -> Trust {
        // SAFETY: geteuid has no preconditions and can't fail.
        Trust { owner: unsafe { libc::geteuid() } }
    }

    fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        file
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_ours_all_the_way_is_trusted_through_links_too() {
        let scratch = tempfile::tempdir().unwrap();
        let file = script(scratch.path(), "hook", "#!/bin/sh\n");
        symlink("hook", scratch.path().join("link")).unwrap();
        symlink("..", scratch.path().join("up")).unwrap();
        let around = scratch.path().join("up").join(scratch.path().file_name().unwrap()).join("hook");
        let real = file.canonicalize().unwrap();
        for path in [&file, &scratch.path().join("link"), &around] {
            assert_eq!(ours().file(path).unwrap(), real);
            ours().command(path, &[], PATH).unwrap();
        }
    }

    #[test]
    fn a_file_a_directory_and_an_interpreter_that_others_can_write_are_told() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("shared");
        std::fs::create_dir(&directory).unwrap();
        let inner = script(&directory, "hook", "#!/bin/sh\n");
        let refused =
            |program: &Path, arguments: &[String]| ours().command(program, arguments, PATH).unwrap_err();

        set_mode(&inner, 0o775);
        assert!(refused(&inner, &[]).contains("hook can be written by others (mode 775)"));
        set_mode(&inner, 0o755);
        set_mode(&directory, 0o777);
        assert!(refused(&inner, &[]).contains("shared can be written by others"));
        // With the sticky bit nobody can put something else in its place.
        set_mode(&directory, 0o1777);
        ours().command(&inner, &[], PATH).unwrap();
        set_mode(&directory, 0o755);

        set_mode(&inner, 0o757);
        let outer = script(scratch.path(), "outer", &format!("#! {} -x\n", inner.display()));
        assert!(refused(&outer, &[]).contains("hook can be written by others"), "its interpreter");
        let argument = inner.to_str().unwrap().to_owned();
        assert!(refused(Path::new("/bin/sh"), &[argument]).contains("hook can be written by others"));
        let link = scratch.path().join("link");
        symlink(&inner, &link).unwrap();
        assert!(refused(&link, &[]).contains("hook can be written by others"));
        let circle = scratch.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(refused(&circle, &[]).contains("leads nowhere"));
    }

    #[test]
    fn what_belongs_to_somebody_else_is_told() {
        if ours().owner != 0 {
            println!("passed over: only root can give files away");
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let file = script(scratch.path(), "hook", "#!/bin/sh\n");
        std::os::unix::fs::chown(&file, Some(4_321), None).unwrap();
        assert!(ours().command(&file, &[], PATH).unwrap_err().contains("hook belongs to user 4321"));
    }

    #[test]
    fn a_directory_in_which_others_can_put_programs_is_left_out_of_the_path() {
        let scratch = tempfile::tempdir().unwrap();
        let (shared, own) = (scratch.path().join("shared"), scratch.path().join("own"));
        for directory in [&shared, &own] {
            std::fs::create_dir(directory).unwrap();
        }
        set_mode(&shared, 0o775);
        let path = format!("{0}:{0}/bin:/nowhere:{1}", shared.display(), own.display());
        assert_eq!(ours().path(&path), format!("/nowhere:{}", own.display()));
    }
}
