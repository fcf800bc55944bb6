//! Where a program is.

use std::io;
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
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{name} does not exist")),
        Err(error) => Err(format!("{name}: {error}")),
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
