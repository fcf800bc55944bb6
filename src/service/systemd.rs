//! Linux: a systemd unit, the user's or as root the system's. The units are the files in `deploy/systemd`; only the
//! command in them is put in.

use std::path::{Path, PathBuf};

use super::run::{self, AT_ONCE, SERVICE, SYSTEMCTL};
use super::{ServiceError, Who};
use crate::config::Paths;

/// The unit's name.
pub const UNIT: &str = "pause-monitor.service";
const USER: &str = include_str!("../../deploy/systemd/user/pause-monitor.service");
const SYSTEM: &str = include_str!("../../deploy/systemd/system/pause-monitor.service");
/// The line of the shipped units that is replaced.
const COMMAND: &str = "/usr/local/bin/pause-monitor daemon --allow-degraded";
/// Where the system's unit keeps its data, and its configuration.
pub const SYSTEM_DATA: &str = "/var/lib/pause-monitor";
/// The system's unit's configuration file.
pub const SYSTEM_CONFIG: &str = "/etc/pause-monitor/config.toml";

/// A unit that runs the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// It is the system's.
    pub system: bool,
    /// Its file.
    pub file: PathBuf,
    /// What it runs.
    command: String,
}

impl Unit {
    /// The user's unit, which runs `program`; `directories` are the daemon's options that name its places.
    #[must_use]
    pub fn of_user(who: &Who, program: &Path, directories: &[String]) -> Self {
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let config = config.unwrap_or_else(|| who.home.join(".config"));
        Self {
            system: false,
            file: config.join("systemd/user").join(UNIT),
            command: command(program, directories),
        }
    }

    /// The system's unit.
    #[must_use]
    pub fn of_system(program: &Path) -> Self {
        Self {
            system: true,
            file: Path::new("/etc/systemd/system").join(UNIT),
            command: command(program, &[]),
        }
    }

    /// Whether there is a system's unit.
    #[must_use]
    pub fn system_is_installed() -> bool {
        Path::new("/etc/systemd/system").join(UNIT).exists()
    }

    /// Where the system's unit has its configuration and data, for those who ask.
    #[must_use]
    pub fn system_paths(paths: &Paths) -> Paths {
        Paths { config_file: SYSTEM_CONFIG.into(), data_dir: SYSTEM_DATA.into(), ..paths.clone() }
    }

    /// The unit's text.
    #[must_use]
    pub fn text(&self) -> String {
        let unit = if self.system { SYSTEM } else { USER };
        unit.replacen(COMMAND, &self.command, 1)
    }

    fn systemctl<'a>(&self, arguments: &[&'a str]) -> Vec<&'a str> {
        let whose = if self.system { "--system" } else { "--user" };
        [SYSTEMCTL, whose].iter().chain(arguments).copied().collect()
    }

    fn starting(&self) -> [Vec<&'static str>; 3] {
        [&["daemon-reload"][..], &["enable", UNIT], &["restart", UNIT]].map(|command| self.systemctl(command))
    }

    /// What [`Unit::start`] runs.
    #[must_use]
    pub fn start_commands(&self) -> Vec<String> {
        self.starting().iter().map(|command| run::shown(command)).collect()
    }

    /// What [`Unit::stop`] and [`Unit::forget`] run.
    #[must_use]
    pub fn stop_commands(&self) -> Vec<String> {
        vec![
            run::shown(&self.systemctl(&["disable", "--now", UNIT])),
            run::shown(&self.systemctl(&["daemon-reload"])),
        ]
    }

    /// Starts it, anew where it runs, now and with every login (or start of the machine).
    ///
    /// # Errors
    /// [`ServiceError::Failed`] with what systemctl says.
    pub fn start(&self) -> Result<(), ServiceError> {
        self.starting().iter().try_for_each(|command| self.run(command))
    }

    /// Stops it, and has it not started again.
    ///
    /// # Errors
    /// [`ServiceError::Failed`] with what systemctl says.
    pub fn stop(&self) -> Result<(), ServiceError> {
        self.run(&self.systemctl(&["disable", "--now", UNIT]))
    }

    /// Has systemd forget the unit, whose file is gone.
    pub fn forget(&self) {
        // One that has no manager here has nothing to forget.
        let _ = self.run(&self.systemctl(&["daemon-reload"]));
        let _ = self.run(&self.systemctl(&["reset-failed", UNIT]));
    }

    /// `active`, `inactive`, `failed` …; else why systemctl does not say it.
    ///
    /// # Errors
    /// What went wrong, in a line.
    pub fn state(&self) -> Result<String, String> {
        let answer =
            run::run(&self.systemctl(&["is-active", UNIT]), AT_ONCE).map_err(|error| error.to_string())?;
        match answer.out.trim() {
            "" => Err(answer.complaint()),
            state => Ok(state.to_owned()),
        }
    }

    fn run(&self, command: &[&str]) -> Result<(), ServiceError> {
        let answer = run::run(command, SERVICE).map_err(|error| ServiceError::Failed(error.to_string()))?;
        if answer.ok() {
            return Ok(());
        }
        let journal = if self.system { "journalctl -u" } else { "journalctl --user -u" };
        Err(ServiceError::Failed(format!(
            "`{}` failed: {} (`{journal} {UNIT}` says more)",
            run::shown(command),
            answer.complaint()
        )))
    }
}

/// A command as a unit takes it (systemd.service(5), "Command lines").
fn command(program: &Path, directories: &[String]) -> String {
    let program = program.to_string_lossy();
    let fixed = ["daemon", "--allow-degraded"];
    let words = std::iter::once(program.as_ref()).chain(fixed).chain(directories.iter().map(String::as_str));
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars() {
        match c {
            '%' => out.push_str("%%"),
            '$' => out.push_str("$$"),
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    let plain = |c: char| c.is_alphanumeric() || "-_./%$+=:,@".contains(c);
    if out.chars().all(plain) { out } else { format!("\"{out}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_is_put_into_the_units_that_are_shipped() {
        let who = Who { uid: 1000, name: None, home: "/home/ann".into() };
        let shipped = Path::new("/usr/local/bin/pause-monitor");
        assert_eq!(Unit::of_user(&who, shipped, &[]).text(), USER);
        assert_eq!(Unit::of_system(shipped).text(), SYSTEM);
        let unit = Unit::of_user(&who, Path::new("/home/a b/50%/p"), &["--data-dir".into(), "/d\"$x".into()]);
        let line = "ExecStart=\"/home/a b/50%%/p\" daemon --allow-degraded --data-dir \"/d\\\"$$x\"\n";
        assert!(unit.text().contains(line), "{}", unit.text());
        assert_eq!(unit.text().lines().count(), USER.lines().count());
    }
}
