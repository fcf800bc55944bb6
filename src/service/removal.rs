//! What is to be taken away, and how much of it there is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::plan::{self, Service, say};
use super::systemd::Unit;
use super::{Platform, ServiceError, Who, files, run, sudoers};
use crate::client::Connection;
use crate::config::{Origin, Paths};
use crate::daemon::lock::{Lock, LockError};
use crate::output::store::EVENTS_DIRECTORY;

/// A removal.
#[derive(Debug)]
pub struct Uninstall {
    platform: Platform,
    uid: u32,
    paths: Paths,
    service: Service,
    keep_data: bool,
}

impl Uninstall {
    /// What there may be on `platform` for `who`: of the data, what the installed service uses.
    ///
    /// # Errors
    /// Where it makes no sense.
    pub fn new(platform: Platform, who: &Who, paths: &Paths, keep_data: bool) -> Result<Self, ServiceError> {
        let paths = Service::installed_paths(platform, who, paths);
        let service = match platform {
            // Whatever program it runs.
            Platform::Linux if paths.root => Service::Unit(Unit::installed_for_all()),
            _ => Service::new(platform, who, &paths)?,
        };
        Ok(Self { platform, uid: who.uid, paths, service, keep_data })
    }

    /// The data that would be deleted, and is still there: for the question.
    #[must_use]
    pub fn data(&self) -> Option<&Path> {
        let directory = &self.paths.data_dir;
        (!self.keep_data && directory.is_dir()).then_some(directory)
    }

    /// Whether it is the system's service.
    #[must_use]
    pub fn is_the_systems(&self) -> bool {
        matches!(&self.service, Service::Unit(unit) if unit.system)
    }

    /// Whether sudo may be asked.
    fn as_root(&self) -> bool {
        self.platform == Platform::Macos
    }

    /// The files that go, one by one.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.service.file().to_owned()];
        if let Service::Agent(agent) = &self.service {
            files.extend(agent.logs());
        }
        if !self.keep_data {
            files.extend(plan::data_files(&self.paths.data_dir));
            // A file that the user named stays the user's.
            if self.paths.config_origin == Origin::Default {
                files.push(self.paths.config_file.clone());
            }
        }
        files
    }

    /// Writes what would be done: every file that there is (of another system: that there may be), every command.
    ///
    /// # Errors
    /// The writer's.
    pub fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let here = self.platform == Platform::this();
        let is_there = |file: &Path| !here || file.symlink_metadata().is_ok();
        let commands = match &self.service {
            Service::Agent(agent) => agent.stop_commands(),
            Service::Unit(unit) => unit.stop_commands(),
        };
        if is_there(self.service.file()) {
            commands.iter().try_for_each(|command| writeln!(out, "command {command}"))?;
        }
        let rules = sudoers::file(self.uid);
        if self.as_root() && is_there(Path::new(&rules)) {
            writeln!(out, "remove {rules}")?;
            writeln!(out, "by the command")?;
            let uid = self.uid.to_string();
            let command = run::shown(&plan::removal_command(&uid));
            writeln!(out, "    {}", command.replace('\n', "\n    "))?;
        }
        let mut files = self.files();
        files.retain(|file| is_there(file));
        if !self.keep_data {
            files.extend(events(&self.paths.data_dir));
            files.extend(self.directories().into_iter().filter(|directory| is_there(directory)));
        }
        if files.is_empty() {
            return writeln!(out, "nothing is here");
        }
        files.iter().try_for_each(|file| writeln!(out, "remove {}", file.display()))
    }

    /// The directories that go where nothing else is in them.
    fn directories(&self) -> Vec<PathBuf> {
        let data = &self.paths.data_dir;
        let config = self.paths.config_file.parent().filter(|_| self.paths.config_origin == Origin::Default);
        [data.join(EVENTS_DIRECTORY), data.clone()].into_iter().chain(config.map(Path::to_owned)).collect()
    }

    /// Does it, and says what it did. True where there was anything.
    ///
    /// # Errors
    /// Where a step fails; the ones after it are not taken, and a second try begins with it.
    pub fn carry_out(&self, out: &mut dyn Write) -> Result<bool, ServiceError> {
        let failed = |error: io::Error| ServiceError::Failed(error.to_string());
        let directory = &self.paths.data_dir;
        if Connection::open(directory).is_ok() && !self.service.is_active() {
            return Err(ServiceError::Running(format!(
                "a daemon that is not this service runs on {}: end it first; nothing was changed",
                directory.display()
            )));
        }
        let was_there = self.service.file().exists();
        let mut anything = was_there;
        if let Err(error) = self.service.stop() {
            match &self.service {
                // Without a manager there is nobody to stop it, and nobody to start it again.
                Service::Unit(unit) if unit.has_a_manager().is_err() => {
                    say(out, "systemd does not answer: the unit goes, and was not running")?;
                }
                _ if was_there => return Err(error),
                _ => {}
            }
        }
        // Held, so that no daemon begins what is being taken away.
        let lock = match directory.is_dir().then(|| Lock::take(directory)) {
            None => None,
            Some(Ok(lock)) => Some(lock),
            Some(Err(LockError::Held(who, _))) => {
                return Err(ServiceError::Running(format!(
                    "a daemon{who} still runs on {}: end it first; only the service was stopped",
                    directory.display()
                )));
            }
            Some(Err(error)) => return Err(ServiceError::Failed(error.to_string())),
        };
        if self.as_root() {
            anything |= plan::forbid(self.uid, out)?;
        }
        for file in self.files() {
            // It goes with the lock.
            if file.ends_with(crate::daemon::lock::FILE_NAME) {
                continue;
            }
            if files::remove(&file).map_err(failed)? {
                anything = true;
                say(out, &format!("removed {}", file.display()))?;
            }
        }
        if let Some(lock) = lock {
            lock.remove();
        }
        if !self.keep_data {
            for directory in events(directory) {
                std::fs::remove_dir_all(&directory).map_err(failed)?;
                say(out, &format!("removed {}", directory.display()))?;
            }
            for directory in self.directories() {
                self.remove_directory(&directory, out)?;
            }
        }
        if let Service::Unit(unit) = &self.service
            && was_there
        {
            unit.forget();
        }
        Ok(anything)
    }

    /// Removes a directory that is empty now; what else is in it is not ours.
    fn remove_directory(&self, directory: &Path, out: &mut dyn Write) -> Result<(), ServiceError> {
        // The system's data directory is a link to a private one.
        let target = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        match std::fs::remove_dir(&target) {
            Ok(()) => {
                if target != directory {
                    let _ = std::fs::remove_file(directory);
                }
                // What is made anew with every pause is not worth a word.
                if directory.ends_with(EVENTS_DIRECTORY) {
                    return Ok(());
                }
                say(out, &format!("removed {}", directory.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => say(out, &format!("left {}: {error}", directory.display())),
        }
    }
}

/// The events' directories, which are named by number.
fn events(data_dir: &Path) -> Vec<PathBuf> {
    let directory = data_dir.join(EVENTS_DIRECTORY);
    // A link leads to what is not ours.
    if !directory.symlink_metadata().is_ok_and(|about| about.is_dir()) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_number))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}
