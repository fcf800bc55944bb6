//! Where a program is.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file of a program: looked for in `path` where it is a mere name. One line says why there is none.
pub(super) fn program(name: &str, path: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        return usable(Path::new(name)).map(|()| name.into());
    }
    let mut why = format!("there is no {name} in {path}");
    for file in std::env::split_paths(path).map(|directory| directory.join(name)) {
        match usable(&file) {
            Ok(()) => return Ok(file),
            Err(found) if file.exists() => why = found,
            Err(_) => {}
        }
    }
    Err(why)
}

fn usable(file: &Path) -> Result<(), String> {
    let name = file.display();
    match file.metadata() {
        Ok(about) if about.is_dir() => Err(format!("{name} is a directory: name the program in it")),
        Ok(about) if !about.is_file() => Err(format!("{name} is no program")),
        Ok(about) if about.permissions().mode() & 0o111 == 0 => {
            Err(format!("{name} is not executable: chmod +x {name}"))
        }
        Ok(_) if !is_program(file) => {
            // The system would have a shell read it.
            Err(format!("{name} is no program: a script needs #! and its interpreter in the first line"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{name} does not exist")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Whether it begins like something that the system itself runs; what can't be read may still be run.
fn is_program(file: &Path) -> bool {
    /// ELF; Mach-O of either width and order; several Mach-Os in one.
    const MAGIC: [&[u8]; 6] = [
        b"\x7fELF",
        b"\xcf\xfa\xed\xfe",
        b"\xce\xfa\xed\xfe",
        b"\xfe\xed\xfa\xcf",
        b"\xfe\xed\xfa\xce",
        b"\xca\xfe\xba\xbe",
    ];
    let mut first = Vec::new();
    match File::open(file).and_then(|file| file.take(4).read_to_end(&mut first)) {
        Ok(_) => first.starts_with(b"#!") || MAGIC.iter().any(|magic| first.starts_with(magic)),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::context::PATH;
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path_and_what_is_none_is_told() {
        assert!(program("sh", PATH).unwrap().ends_with("sh"));
        assert_eq!(program("/bin/sh", PATH).unwrap(), Path::new("/bin/sh"));
        assert!(
            program("no-such-program", PATH).unwrap_err().starts_with("there is no no-such-program in /opt/")
        );
        assert_eq!(program("/nowhere/x", PATH).unwrap_err(), "/nowhere/x does not exist");
        assert!(program("/usr", PATH).unwrap_err().contains("is a directory"));
        assert!(
            program("/etc/passwd", PATH).unwrap_err().contains("is not executable: chmod +x /etc/passwd")
        );
        assert!(program("/dev/null", PATH).unwrap_err().contains("is no program"));
    }
}
