//! At home on a machine: the service that runs the daemon, the permission that it needs, and the check of both.
//!
//! ```text
//! install, uninstall ──> plan (steps: shown, then done) ──> launchd, systemd   the user's service
//!                                                      └──> sudoers            root's part, one call of sudo
//! doctor ──> checks, one line each
//! ```
//!
//! Every command that is run on the way stands in `run` with its full path: no search path and no variable says which
//! program it is.

pub mod doctor;
pub mod files;
pub mod launchd;
pub mod plan;
pub mod removal;
pub mod run;
pub mod sudoers;
pub mod systemd;

use std::path::{Path, PathBuf};

use crate::config::{self, Paths};

/// The system that is installed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Platform {
    /// A LaunchAgent and a line for sudo.
    Macos,
    /// A systemd unit: the user's, or as root the system's.
    Linux,
}

impl Platform {
    /// The one that this program runs on.
    #[must_use]
    pub const fn this() -> Self {
        if cfg!(target_os = "macos") { Self::Macos } else { Self::Linux }
    }
}

/// Why something could not be put in place, or taken away. One line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// What was asked for makes no sense here.
    #[error("{0}")]
    Usage(String),
    /// A daemon that the service did not start runs on the data directory.
    #[error("{0}")]
    Running(String),
    /// A command refused, or a file could not be written.
    #[error("{0}")]
    Failed(String),
}

/// Whom the service is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// User id.
    pub uid: u32,
    /// Login name, where it has one.
    pub name: Option<String>,
    /// Home directory.
    pub home: PathBuf,
}

impl Who {
    /// The user who runs this; under sudo the one who called it.
    ///
    /// # Errors
    /// [`ServiceError::Usage`] where that user has no home directory.
    pub fn of_process(paths: &Paths) -> Result<Self, ServiceError> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        let uid = paths.owner.map_or_else(|| unsafe { libc::geteuid() }, |owner| owner.uid);
        let user = config::user(uid);
        let named = if paths.owner.is_none() { std::env::var_os("HOME") } else { None };
        let home = named
            .map(PathBuf::from)
            .filter(|home| home.is_absolute())
            .or_else(|| user.as_ref()?.home.clone())
            .ok_or_else(|| ServiceError::Usage(format!("user {uid} has no home directory: set HOME")))?;
        Ok(Self { uid, name: user.and_then(|user| user.name.into_string().ok()), home })
    }
}

/// The arguments that have the daemon use the same configuration and data as we do. The service has none of our
/// environment: what is not where the home directory alone would put it is named.
#[must_use]
pub fn directories(paths: &Paths, home: &Path) -> Vec<String> {
    let mut arguments = Vec::new();
    let config = absolute(&paths.config_file);
    if config != home.join(".config/pause-monitor/config.toml")
        && (paths.config_origin != config::Origin::Default || config.exists())
    {
        arguments.extend(["--config".to_owned(), config.to_string_lossy().into_owned()]);
    }
    let data = absolute(&paths.data_dir);
    if data != home.join(".local/share/pause-monitor") {
        arguments.extend(["--data-dir".to_owned(), data.to_string_lossy().into_owned()]);
    }
    arguments
}

/// The places that an installed service uses, where nobody named others: `words` is what it runs.
#[must_use]
pub fn as_installed(paths: &Paths, words: &[String]) -> Paths {
    const ORIGIN: config::Origin = config::Origin::Option("the installed service");
    let named = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1).map(PathBuf::from)
    };
    let mut paths = paths.clone();
    if let Some(data_dir) = named("--data-dir").filter(|_| paths.data_origin == config::Origin::Default) {
        (paths.data_dir, paths.data_origin) = (data_dir, ORIGIN);
    }
    if let Some(config) = named("--config").filter(|_| paths.config_origin == config::Origin::Default) {
        (paths.config_file, paths.config_origin) = (config, ORIGIN);
    }
    paths
}

/// Whether a path can be written into a unit or a property list as it is.
fn is_text(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.chars().any(char::is_control))
}

/// The path from the root on. It need not exist.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// This program, by a path that lasts: the one it was called by, links and all, so that what a package manager links
/// anew at an upgrade is still found.
///
/// # Errors
/// [`ServiceError::Failed`] where the system does not tell it.
pub fn this_program() -> Result<PathBuf, ServiceError> {
    let real = std::env::current_exe()
        .map_err(|error| ServiceError::Failed(format!("where this program is can't be told: {error}")))?;
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let candidate = if called.components().count() > 1 {
        Some(absolute(&called))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(&called)).find(|file| file.is_file())
    };
    let is_it =
        |file: &PathBuf| matches!((file.canonicalize(), real.canonicalize()), (Ok(a), Ok(b)) if a == b);
    Ok(candidate.filter(|file| file.is_absolute()).filter(is_it).unwrap_or(real))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn only_what_is_elsewhere_is_named_to_the_service() {
        let home = Path::new("/Users/ann");
        let mut paths = Paths {
            config_file: home.join(".config/pause-monitor/config.toml"),
            data_dir: home.join(".local/share/pause-monitor"),
            ..Paths::default()
        };
        assert!(directories(&paths, home).is_empty());
        paths.data_dir = "/data/of ann".into();
        paths.config_file = "/c.toml".into();
        paths.config_origin = Origin::Option("--config");
        assert_eq!(directories(&paths, home), ["--config", "/c.toml", "--data-dir", "/data/of ann"]);
        paths.config_origin = Origin::Default;
        assert_eq!(directories(&paths, home), ["--data-dir", "/data/of ann"], "a file that is not there");
    }

    #[test]
    fn where_the_service_keeps_its_data_is_kept_unless_somebody_says_otherwise() {
        let words = ["p", "daemon", "--data-dir", "/d", "--config", "/c"].map(str::to_owned);
        let paths = as_installed(&Paths::default(), &words);
        assert_eq!((paths.data_dir, paths.config_file), ("/d".into(), "/c".into()));
        let named =
            Paths { data_dir: "/e".into(), data_origin: Origin::Option("--data-dir"), ..Paths::default() };
        assert_eq!(as_installed(&named, &words).data_dir, Path::new("/e"));
        assert_eq!(as_installed(&named, &words[..2]), named);
    }

    #[test]
    fn this_program_is_a_file_with_a_whole_path() {
        let program = this_program().unwrap();
        assert!(program.is_absolute() && program.is_file(), "{}", program.display());
    }
}
