//! Where the configuration file and the data directory are, and who owns what is written there.
//!
//! An option comes first, then its environment variable, then the XDG directory, then the place in the home
//! directory. Under sudo they are the invoking user's, who owns what is written (`crate::privileges`); root's own HOME
//! and XDG_* say nothing about that user and are left out.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The environment variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "PAUSE_MONITOR_CONFIG";

/// The environment variable that names the data directory.
pub const DATA_VARIABLE: &str = "PAUSE_MONITOR_DATA_DIR";

const DIRECTORY: &str = "pause-monitor";

/// Where a value comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    #[default]
    Default,
    /// The configuration file.
    File {
        /// The line, from 1.
        line: usize,
    },
    /// This environment variable.
    Environment(&'static str),
    /// This option of the command line.
    Option(&'static str),
}

/// A user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Where things are, and whose they are. Nothing is opened or checked; the paths need not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// The configuration file.
    pub config_file: PathBuf,
    /// Who named it. Anything but [`Origin::Default`]: it has to exist.
    pub config_origin: Origin,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Who named it.
    pub data_origin: Origin,
    /// Under sudo the invoking user, whom this process acts as by now; else `None`, it is the process's own user.
    pub owner: Option<Owner>,
    /// What is done is done as root.
    pub root: bool,
}

/// Why [`Paths`] can't be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// Neither HOME nor the user database knows a home directory, and one is needed.
    #[error(
        "user {0} has no home directory (HOME, or the user database): name both --config and --data-dir, or set HOME"
    )]
    NoHome(u32),
    /// SUDO_UID is not a user id.
    #[error("SUDO_UID is {0:?}, which is no user id: unset it, or run this through sudo")]
    SudoUid(OsString),
    /// SUDO_UID names nobody, and SUDO_GID does not help.
    #[error("user {0} (SUDO_UID) is not in the user database: unset SUDO_UID, or set SUDO_GID as well")]
    NoUser(u32),
}

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: OsString,
    /// The home directory, where it is an absolute path.
    pub home: Option<PathBuf>,
    /// The user's first group.
    pub gid: u32,
}

/// What [`Paths::resolve`] asks the system for, so that a test can answer instead.
pub struct Environment<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The effective user id.
    pub euid: u32,
    /// A user's entry in the user database.
    pub user: &'a dyn Fn(u32) -> Option<User>,
}

impl Environment<'_> {
    /// A variable's value; an empty one counts as unset, as XDG has it.
    fn get(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// A variable that holds an absolute path; XDG wants relative ones ignored.
    fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Who called sudo, where somebody other than root did.
    fn invoker(&self) -> Result<Option<Owner>, PathsError> {
        if self.euid != 0 {
            return Ok(None);
        }
        let Some(text) = self.get("SUDO_UID") else { return Ok(None) };
        let uid = number(&text).ok_or(PathsError::SudoUid(text))?;
        if uid == 0 {
            return Ok(None);
        }
        let gid = (self.user)(uid)
            .map(|user| user.gid)
            .or_else(|| number(&self.get("SUDO_GID")?))
            .ok_or(PathsError::NoUser(uid))?;
        Ok(Some(Owner { uid, gid }))
    }
}

fn number(text: &OsStr) -> Option<u32> {
    text.to_str()?.parse().ok()
}

impl Paths {
    /// Finds the places for this process.
    ///
    /// `config` and `data_dir` are the options of those names.
    ///
    /// # Errors
    /// [`PathsError`] where a home directory is needed and there is none, or sudo's variables make no sense.
    pub fn of_process(config: Option<PathBuf>, data_dir: Option<PathBuf>) -> Result<Self, PathsError> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        let euid = unsafe { libc::geteuid() };
        Self::resolve(
            config,
            data_dir,
            &Environment { variable: &|name| std::env::var_os(name), euid, user: &user },
        )
    }

    /// The rule behind [`Paths::of_process`], as a pure function of `environment`.
    ///
    /// # Errors
    /// As [`Paths::of_process`].
    pub fn resolve(
        config: Option<PathBuf>,
        data_dir: Option<PathBuf>,
        environment: &Environment<'_>,
    ) -> Result<Self, PathsError> {
        let owner = environment.invoker()?;
        let uid = owner.map_or(environment.euid, |owner| owner.uid);
        let default = |xdg: &str, in_home: &str| {
            // Root's variables say nothing about who called sudo.
            let (directory, home) = match owner {
                Some(_) => (None, None),
                None => (environment.absolute(xdg), environment.absolute("HOME")),
            };
            let directory = match directory {
                Some(directory) => directory,
                None => home
                    .or_else(|| (environment.user)(uid)?.home)
                    .ok_or(PathsError::NoHome(uid))?
                    .join(in_home),
            };
            Ok(directory.join(DIRECTORY))
        };
        let (config_file, config_origin) = match (config, environment.get(CONFIG_VARIABLE)) {
            (Some(file), _) => (file, Origin::Option("--config")),
            (None, Some(file)) => (file.into(), Origin::Environment(CONFIG_VARIABLE)),
            (None, None) => (default("XDG_CONFIG_HOME", ".config")?.join("config.toml"), Origin::Default),
        };
        let (data_dir, data_origin) = match (data_dir, environment.get(DATA_VARIABLE)) {
            (Some(dir), _) => (dir, Origin::Option("--data-dir")),
            (None, Some(dir)) => (dir.into(), Origin::Environment(DATA_VARIABLE)),
            (None, None) => (default("XDG_DATA_HOME", ".local/share")?, Origin::Default),
        };
        Ok(Self { config_file, config_origin, data_dir, data_origin, owner, root: environment.euid == 0 })
    }
}

/// Makes `dir` and the directories above it where they are missing, mode 0700. One that exists is left as it is.
///
/// # Errors
/// Where one can't be made, or something else stands in its place; with the path.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_dir(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        // Somebody else was faster.
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("can't create {}: {error}", dir.display()))),
    }
}

/// A user's entry in the user database, `None` where it has none or can't be asked.
#[must_use]
pub fn user(uid: u32) -> Option<User> {
    /// Far beyond any real entry; a broken directory service must not have us grow for ever.
    const MOST: usize = 1 << 20;
    let mut buffer = vec![0u8; 1024];
    loop {
        // SAFETY: all zeros is a valid passwd: integers, and pointers that may be null.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: every pointer is valid for the call, and the length is the buffer's own.
        let result = unsafe {
            libc::getpwuid_r(uid, &raw mut entry, buffer.as_mut_ptr().cast(), buffer.len(), &raw mut found)
        };
        match result {
            libc::ERANGE if buffer.len() < MOST => buffer.resize(buffer.len() * 2, 0),
            libc::EINTR => {}
            0 if !found.is_null() => {
                let text = |pointer: *const libc::c_char| {
                    if pointer.is_null() {
                        return OsString::new();
                    }
                    // SAFETY: the call succeeded, so this is a C string inside `buffer`, which is still there.
                    OsStr::from_bytes(unsafe { CStr::from_ptr(pointer) }.to_bytes()).to_owned()
                };
                let home = Some(PathBuf::from(text(entry.pw_dir))).filter(|home| home.is_absolute());
                return Some(User { name: text(entry.pw_name), home, gid: entry.pw_gid });
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resolves with these variables; the user database knows users 0 and 501.
    fn resolve(
        options: (Option<&str>, Option<&str>),
        euid: u32,
        variables: &[(&str, &str)],
    ) -> Result<Paths, PathsError> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        let user = |uid| match uid {
            0 => Some(User { name: "root".into(), home: Some("/root".into()), gid: 0 }),
            501 => Some(User { name: "ann".into(), home: Some("/Users/ann".into()), gid: 20 }),
            502 => Some(User { name: "bob".into(), home: None, gid: 20 }),
            _ => None,
        };
        let environment = Environment { variable: &variable, euid, user: &user };
        Paths::resolve(options.0.map(PathBuf::from), options.1.map(PathBuf::from), &environment)
    }

    fn places(paths: &Paths) -> (&str, &str) {
        (paths.config_file.to_str().unwrap(), paths.data_dir.to_str().unwrap())
    }

    #[test]
    fn the_defaults_are_in_the_home_directory() {
        let paths = resolve((None, None), 501, &[("HOME", "/h")]).unwrap();
        assert_eq!(places(&paths), ("/h/.config/pause-monitor/config.toml", "/h/.local/share/pause-monitor"));
        assert_eq!((paths.config_origin, paths.data_origin), (Origin::Default, Origin::Default));
        assert_eq!((paths.owner, paths.root), (None, false));
    }

    #[test]
    fn without_home_the_user_database_is_asked() {
        for variables in [&[][..], &[("HOME", "")], &[("HOME", "not/absolute")]] {
            let paths = resolve((None, None), 501, variables).unwrap();
            assert_eq!(places(&paths).0, "/Users/ann/.config/pause-monitor/config.toml");
        }
    }

    #[test]
    fn the_xdg_directories_win_over_home() {
        let variables = [("HOME", "/h"), ("XDG_CONFIG_HOME", "/c"), ("XDG_DATA_HOME", "/d")];
        let paths = resolve((None, None), 501, &variables).unwrap();
        assert_eq!(places(&paths), ("/c/pause-monitor/config.toml", "/d/pause-monitor"));
    }

    #[test]
    fn an_empty_or_relative_xdg_directory_is_ignored() {
        let variables = [("HOME", "/h"), ("XDG_CONFIG_HOME", "c"), ("XDG_DATA_HOME", "")];
        let paths = resolve((None, None), 501, &variables).unwrap();
        assert_eq!(places(&paths), ("/h/.config/pause-monitor/config.toml", "/h/.local/share/pause-monitor"));
    }

    #[test]
    fn the_environment_wins_over_xdg_and_an_option_over_both() {
        let variables = [
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/c"),
            (CONFIG_VARIABLE, "env.toml"),
            (DATA_VARIABLE, "/env-data"),
        ];
        let paths = resolve((None, None), 501, &variables).unwrap();
        assert_eq!(places(&paths), ("env.toml", "/env-data"));
        assert_eq!(paths.config_origin, Origin::Environment(CONFIG_VARIABLE));
        assert_eq!(paths.data_origin, Origin::Environment(DATA_VARIABLE));
        let paths = resolve((Some("o.toml"), Some("o")), 501, &variables).unwrap();
        assert_eq!(places(&paths), ("o.toml", "o"));
        assert_eq!(paths.config_origin, Origin::Option("--config"));
        assert_eq!(paths.data_origin, Origin::Option("--data-dir"));
    }

    #[test]
    fn under_sudo_they_are_those_of_the_invoking_user_who_owns_them() {
        let variables = [
            ("HOME", "/root"),
            ("XDG_CONFIG_HOME", "/root/c"),
            ("XDG_DATA_HOME", "/root/d"),
            ("SUDO_UID", "501"),
            ("SUDO_GID", "99"),
            ("SUDO_USER", "ann"),
        ];
        let paths = resolve((None, None), 0, &variables).unwrap();
        assert_eq!(
            places(&paths),
            ("/Users/ann/.config/pause-monitor/config.toml", "/Users/ann/.local/share/pause-monitor")
        );
        assert_eq!((paths.owner, paths.root), (Some(Owner { uid: 501, gid: 20 }), true));
    }

    #[test]
    fn sudo_to_somebody_other_than_root_changes_nothing() {
        let paths = resolve((None, None), 501, &[("HOME", "/h"), ("SUDO_UID", "502")]).unwrap();
        assert_eq!(places(&paths).1, "/h/.local/share/pause-monitor");
        assert_eq!(paths.owner, None);
    }

    #[test]
    fn root_that_calls_sudo_stays_root() {
        let paths = resolve((None, None), 0, &[("HOME", "/root"), ("SUDO_UID", "0")]).unwrap();
        assert_eq!(places(&paths).1, "/root/.local/share/pause-monitor");
        assert_eq!((paths.owner, paths.root), (None, true));
    }

    #[test]
    fn an_invoking_user_that_is_not_in_the_database_is_named_by_both_ids() {
        let both = (Some("c"), Some("d"));
        let variables = [("SUDO_UID", "777"), ("SUDO_GID", "7")];
        assert_eq!(resolve(both, 0, &variables).unwrap().owner, Some(Owner { uid: 777, gid: 7 }));
        assert_eq!(resolve((None, None), 0, &variables).unwrap_err(), PathsError::NoHome(777));
        assert_eq!(resolve(both, 0, &variables[..1]).unwrap_err(), PathsError::NoUser(777));
        assert_eq!(resolve(both, 0, &[("SUDO_UID", "ann")]).unwrap_err(), PathsError::SudoUid("ann".into()));
    }

    #[test]
    fn no_home_at_all_is_an_error_only_where_one_is_needed() {
        assert_eq!(resolve((Some("c"), None), 502, &[]).unwrap_err(), PathsError::NoHome(502));
        assert!(resolve((Some("c"), Some("d")), 502, &[]).is_ok());
    }

    #[test]
    fn directories_are_made_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("a/b");
        create_dir(&dir).unwrap();
        for made in [&dir, &scratch.path().join("a")] {
            assert_eq!(made.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
        }
        create_dir(&dir).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = create_dir(&file.join("below")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("can't create {}", file.display())), "{error}");
    }

    #[test]
    fn the_user_database_knows_root_and_not_everybody() {
        assert_eq!(user(0).unwrap().gid, 0);
        assert_eq!(user(u32::MAX - 7), None);
    }
}
