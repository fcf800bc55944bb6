//! What is to be taken away, and how much of it there is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::plan::{self, Service, say};
use super::systemd::Unit;
use super::{Platform, ServiceError, Who, files, run, sudoers};
use crate::config::{Origin, Paths};
use crate::daemon::lock::{Lock, LockError};
use crate::output::store::EVENTS_DIRECTORY;

/// A removal.
#[derive(Debug)]
pub struct Uninstall {
    platform: Platform,
    paths: Paths,
    service: Service,
    keep_data: bool,
}

impl Uninstall {
    /// What there may be on `platform` for `who`.
    ///
    /// # Errors
    /// Where it makes no sense.
    pub fn new(platform: Platform, who: &Who, paths: &Paths, keep_data: bool) -> Result<Self, ServiceError> {
        let service = Service::new(platform, who, paths)?;
        let paths = match &service {
            Service::Unit(unit) if unit.system => Unit::system_paths(paths),
            _ => paths.clone(),
        };
        Ok(Self { platform, paths, service, keep_data })
    }

    /// The data that would be deleted, and is still there: for the question.
    #[must_use]
    pub fn data(&self) -> Option<&Path> {
        let directory = &self.paths.data_dir;
        (!self.keep_data && directory.is_dir()).then_some(directory)
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

    /// Writes what would be done: every file that there is, every command.
    ///
    /// # Errors
    /// The writer's.
    pub fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let commands = match &self.service {
            Service::Agent(agent) => agent.stop_commands(),
            Service::Unit(unit) => unit.stop_commands(),
        };
        commands.iter().try_for_each(|command| writeln!(out, "command {command}"))?;
        if self.as_root() {
            writeln!(out, "remove {}", sudoers::FILE)?;
            writeln!(out, "by the command")?;
            let command = run::shown(&plan::removal_command(&self.paths));
            writeln!(out, "    {}", command.replace('\n', "\n    "))?;
        }
        for file in self.files() {
            writeln!(out, "remove {}", file.display())?;
        }
        if !self.keep_data {
            for directory in events(&self.paths.data_dir) {
                writeln!(out, "remove {}", directory.display())?;
            }
        }
        Ok(())
    }

    /// Does it, and says what it did.
    ///
    /// # Errors
    /// Where a step fails; the ones after it are not taken, and a second try begins with it.
    pub fn carry_out(&self, out: &mut dyn Write) -> Result<(), ServiceError> {
        let failed = |error: io::Error| ServiceError::Failed(error.to_string());
        let was_there = self.service.file().exists();
        match self.service.stop() {
            // Without a file there may be no manager either.
            Err(error) if was_there => return Err(error),
            _ => {}
        }
        if self.as_root() {
            plan::forbid(&self.paths, out)?;
        }
        // Held, so that no daemon begins what is being taken away.
        let lock = match self.data() {
            Some(directory) => match Lock::take(directory) {
                Ok(lock) => Some(lock),
                Err(error @ LockError::Held(..)) => return Err(ServiceError::Running(error.to_string())),
                Err(error) => return Err(ServiceError::Failed(error.to_string())),
            },
            None => None,
        };
        for file in self.files() {
            // It goes with the lock.
            if file.ends_with(crate::daemon::lock::FILE_NAME) {
                continue;
            }
            if files::remove(&file).map_err(failed)? {
                say(out, &format!("removed {}", file.display()))?;
            }
        }
        drop(lock);
        if !self.keep_data {
            for directory in events(&self.paths.data_dir) {
                std::fs::remove_dir_all(&directory).map_err(failed)?;
                say(out, &format!("removed {}", directory.display()))?;
            }
            let _ = std::fs::remove_dir(self.paths.data_dir.join(EVENTS_DIRECTORY));
            self.remove_directory(&self.paths.data_dir, out)?;
            if self.paths.config_origin == Origin::Default
                && let Some(directory) = self.paths.config_file.parent()
            {
                self.remove_directory(directory, out)?;
            }
        }
        if let Service::Unit(unit) = &self.service
            && was_there
        {
            unit.forget();
        }
        Ok(())
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
                say(out, &format!("removed {}", directory.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => say(out, &format!("left {}: {error}", directory.display())),
        }
    }
}

/// The events' directories, which are named by number.
fn events(data_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data_dir.join(EVENTS_DIRECTORY)).into_iter().flatten().flatten();
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_number))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}
