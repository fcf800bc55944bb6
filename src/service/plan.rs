//! What is to be put in place: shown first, then done. Done twice it changes nothing but to start the daemon anew.

use std::io::{self, Write};
use std::path::PathBuf;

use super::files::{self, Placed};
use super::launchd::{self, Agent, Job};
use super::run::{self, SUDO};
use super::sudoers::{self, Rules};
use super::systemd::{self, Unit};
use super::{Platform, ServiceError, Who, as_installed, directories, is_text, this_program};
use crate::client::Connection;
use crate::config::paths::{CONFIG_VARIABLE, DATA_VARIABLE};
use crate::config::{Config, Origin, Paths, create_dir};
use crate::output::socket;
use crate::sample::printable;

/// What sudo asks: once, and for what.
const PROMPT: &str = "pause-monitor: password of %p, to write its file in /etc/sudoers.d: ";
/// The same to take it away.
const PROMPT_REMOVE: &str = "pause-monitor: password of %p, to remove its file in /etc/sudoers.d: ";
/// The mode of what the service manager reads.
const MODE: u32 = 0o644;

/// The service, as the platform has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// A LaunchAgent.
    Agent(Agent),
    /// A systemd unit.
    Unit(Unit),
}

impl Service {
    /// The service of `who` on `platform`; on Linux root's is the system's.
    ///
    /// # Errors
    /// Where this program can't be found, or can't be the service's.
    pub fn new(platform: Platform, who: &Who, paths: &Paths) -> Result<Self, ServiceError> {
        let program = this_program()?;
        for path in [&program, &who.home, &paths.config_file, &paths.data_dir] {
            if !is_text(path) {
                return Err(ServiceError::Usage(format!(
                    "{}: a service can't be told of a path that is not UTF-8, or has control characters: use another",
                    printable(&path.to_string_lossy())
                )));
            }
        }
        Ok(match platform {
            Platform::Macos => Self::Agent(Agent::new(who, &program, directories(paths, &who.home))),
            Platform::Linux if paths.root => Self::Unit(Unit::of_system(&program)?),
            Platform::Linux => Self::Unit(Unit::of_user(who, &program, &directories(paths, &who.home))),
        })
    }

    /// The file that the service manager would read, whatever is in it.
    #[must_use]
    pub fn file_of(platform: Platform, who: &Who, paths: &Paths) -> PathBuf {
        match platform {
            Platform::Macos => launchd::plist(who),
            Platform::Linux if paths.root => Unit::installed_for_all().file,
            Platform::Linux => systemd::user_file(who),
        }
    }

    /// The places that the service uses which is installed, where nobody named others.
    #[must_use]
    pub fn installed_paths(platform: Platform, who: &Who, paths: &Paths) -> Paths {
        if platform == Platform::Linux && paths.root {
            return Unit::system_paths(paths);
        }
        let text = std::fs::read_to_string(Self::file_of(platform, who, paths)).unwrap_or_default();
        let words = if platform == Platform::Macos { launchd::words(&text) } else { systemd::words(&text) };
        as_installed(paths, &words)
    }

    /// The file that the service manager reads.
    #[must_use]
    pub fn file(&self) -> &std::path::Path {
        match self {
            Self::Agent(agent) => &agent.plist,
            Self::Unit(unit) => &unit.file,
        }
    }

    /// What has to be in it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Agent(agent) => agent.text(),
            Self::Unit(unit) => unit.text(),
        }
    }

    /// Whether the file is there as it has to be.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        files::is_in_place(self.file(), &self.text(), MODE)
    }

    /// Whether the manager has it running, or about to.
    pub(super) fn is_active(&self) -> bool {
        match self {
            Self::Agent(agent) => agent.job() == Job::Running,
            Self::Unit(unit) => unit.state().is_ok_and(|state| state == "active" || state == "activating"),
        }
    }

    /// Stops it and keeps it from being started again, where it is there.
    ///
    /// # Errors
    /// Where the manager refuses.
    pub fn stop(&self) -> Result<(), ServiceError> {
        match self {
            Self::Agent(agent) => agent.stop(),
            Self::Unit(unit) if unit.file.exists() => unit.stop(),
            Self::Unit(_) => Ok(()),
        }
    }
}

/// An installation.
#[derive(Debug)]
pub struct Install {
    paths: Paths,
    /// The service.
    pub service: Service,
    /// What may run as root; `None` where nothing has to.
    pub rules: Option<Rules>,
}

impl Install {
    /// What it takes on `platform` for `who`. `config` is that of the user whom the service runs as.
    ///
    /// # Errors
    /// Where it makes no sense.
    pub fn new(
        platform: Platform,
        who: &Who,
        paths: &Paths,
        config: &Config,
        forensics: bool,
    ) -> Result<Self, ServiceError> {
        if platform == Platform::Linux && forensics {
            return Err(ServiceError::Usage(
                "--forensics permits tailspin, which only macOS has: on Linux captures need no permission of their own"
                    .to_owned(),
            ));
        }
        let system = platform == Platform::Linux && paths.root;
        let elsewhere = [(paths.data_origin, "--data-dir"), (paths.config_origin, "--config")];
        if system
            && !Unit::are_the_systems(paths)
            && let Some((_, option)) = elsewhere.iter().find(|(origin, _)| *origin != Origin::Default)
        {
            return Err(ServiceError::Usage(format!(
                "the system's service has {} and {}: leave {option} out (and {} unset)",
                systemd::SYSTEM_CONFIG,
                systemd::SYSTEM_DATA,
                if *option == "--config" { CONFIG_VARIABLE } else { DATA_VARIABLE }
            )));
        }
        let paths = &Service::installed_paths(platform, who, paths);
        socket::path_in(&paths.data_dir).map_err(|error| ServiceError::Usage(error.to_string()))?;
        let service = Service::new(platform, who, paths)?;
        let rules = match platform {
            Platform::Macos => Rules::new(who, &config.powermetrics.command, forensics)?,
            Platform::Linux => None,
        };
        Ok(Self { paths: paths.clone(), service, rules })
    }

    /// Where the daemon will have its data.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        &self.paths.data_dir
    }

    /// Whether the manager makes the data directory itself.
    fn makes_data_dir(&self) -> bool {
        !matches!(&self.service, Service::Unit(unit) if unit.system)
    }

    /// Writes what would be done: every file with its content, every command.
    ///
    /// # Errors
    /// The writer's.
    pub fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(rules) = &self.rules {
            let text = rules.text();
            file(out, &rules.file, "root's, 0440", &text)?;
            let command = rules.command(&text);
            writeln!(out, "by the command")?;
            writeln!(out, "    {}", indented(&run::shown(&as_root_command(&command, PROMPT))))?;
        }
        if self.makes_data_dir() {
            writeln!(out, "directory {} (0700)", self.paths.data_dir.display())?;
        }
        if let Service::Agent(agent) = &self.service {
            writeln!(out, "log {} (0600), at most 2 MB, and as much in …log.old", agent.log.display())?;
        }
        file(out, &self.service.file().to_string_lossy(), "0644", &self.service.text())?;
        let commands = match &self.service {
            Service::Agent(agent) => agent.start_commands(),
            Service::Unit(unit) => unit.start_commands(),
        };
        commands.iter().try_for_each(|command| writeln!(out, "command {command}"))
    }

    /// Does it, and says what it did.
    ///
    /// # Errors
    /// Where a step fails; the ones after it are not taken.
    pub fn carry_out(&self, out: &mut dyn Write) -> Result<(), ServiceError> {
        let failed = |error: io::Error| ServiceError::Failed(error.to_string());
        if !self.service.is_active() && Connection::open(&self.paths.data_dir).is_ok() {
            return Err(ServiceError::Running(format!(
                "a daemon that is not this service runs on {}: stop it first",
                self.paths.data_dir.display()
            )));
        }
        if let Service::Unit(unit) = &self.service {
            unit.has_a_manager()?;
        }
        if let Some(rules) = &self.rules {
            Self::permit(rules, out)?;
        }
        if self.makes_data_dir() {
            create_dir(&self.paths.data_dir).map_err(failed)?;
        }
        if let Service::Agent(agent) = &self.service
            && let Some(directory) = agent.log.parent()
        {
            create_dir(directory).map_err(failed)?;
        }
        let path = self.service.file();
        let placed = files::place(path, &self.service.text(), MODE).map_err(failed)?;
        say(out, &format!("{} {}", done(placed), path.display()))?;
        match &self.service {
            Service::Agent(agent) => match agent.start()? {
                launchd::Started::Now => say(out, "started"),
                launchd::Started::AtLogin => {
                    say(out, "nobody is logged in at the screen (ssh?): it starts at your next login there")
                }
            },
            Service::Unit(unit) => {
                unit.start()?;
                say(out, "started")
            }
        }
    }

    /// Puts the rules in place, by one call of sudo, unless they are.
    fn permit(rules: &Rules, out: &mut dyn Write) -> Result<(), ServiceError> {
        let text = rules.text();
        if rules.are_in_place() {
            return say(out, &format!("unchanged {}", rules.file));
        }
        rules.check()?;
        say(out, &format!("what root will permit, in {}:", rules.file))?;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            say(out, &format!("    {line}"))?;
        }
        as_root(&as_root_command(&rules.command(&text), PROMPT), "the rules for sudo were not written")?;
        if !rules.are_in_place() {
            return Err(ServiceError::Failed(format!(
                "{} was written, but sudo does not take it: /etc/sudoers has to have the line `#includedir /etc/sudoers.d`",
                rules.file
            )));
        }
        say(out, &format!("wrote {}", rules.file))
    }
}

/// A command as root: through sudo, which asks where it has to.
fn as_root_command<'a>(command: &[&'a str], prompt: &'a str) -> Vec<&'a str> {
    [SUDO, "-p", prompt, "--"].iter().chain(command).copied().collect()
}

fn as_root(command: &[&str], what: &str) -> Result<(), ServiceError> {
    match run::ask(command) {
        Ok(Some(0)) => Ok(()),
        Ok(_) => Err(ServiceError::Failed(format!(
            "{what}: sudo, or what it ran, said why above; it needs an administrator's password"
        ))),
        Err(error) => Err(ServiceError::Failed(format!("{what}: {error}"))),
    }
}

/// Takes away what only root can, by one call of sudo, where there is anything. True where there was.
///
/// # Errors
/// Where it is refused.
pub fn forbid(uid: u32, out: &mut dyn Write) -> Result<bool, ServiceError> {
    let file = sudoers::file(uid);
    if std::fs::symlink_metadata(&file).is_err() {
        return Ok(false);
    }
    let uid = uid.to_string();
    as_root(&removal_command(&uid), "the rules for sudo were not removed")?;
    say(out, &format!("removed {file}"))?;
    Ok(true)
}

/// What [`forbid`] runs.
#[must_use]
pub fn removal_command(uid: &str) -> Vec<&str> {
    as_root_command(&[run::SHELL, "-c", sudoers::UNINSTALL, "pause-monitor", uid], PROMPT_REMOVE)
}

/// Says what was done; a reader that is gone stops nothing that was begun.
pub(super) fn say(out: &mut dyn Write, line: &str) -> Result<(), ServiceError> {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    Ok(())
}

fn done(placed: Placed) -> &'static str {
    match placed {
        Placed::Unchanged => "unchanged",
        Placed::Made => "wrote",
        Placed::Replaced => "replaced",
    }
}

fn file(out: &mut dyn Write, path: &str, mode: &str, content: &str) -> io::Result<()> {
    writeln!(out, "file {path} ({mode})")?;
    content.lines().try_for_each(|line| writeln!(out, "{}", format!("    {line}").trim_end()))
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

/// The files of a data directory that are ours, by name; what else is there is somebody's.
pub(super) fn data_files(directory: &std::path::Path) -> Vec<PathBuf> {
    let is_ours = |name: &str| {
        matches!(name, "daemon.sock" | "daemon.lock" | "instance-id")
            || ["data.db", "data.db-wal", "data.db-shm"].contains(&name)
            || name.starts_with("data.db.schema-")
            || name.starts_with("data.db.damaged-")
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut ours: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_ours))
        .map(|entry| entry.path())
        .collect();
    ours.sort();
    ours
}
