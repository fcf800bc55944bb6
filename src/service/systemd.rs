//! Linux: a systemd unit, the user's or as root the system's. The units are the files in `deploy/systemd`; only the
//! command in them is put in.

use std::path::{Path, PathBuf};

use super::run::{self, AT_ONCE, SERVICE, SYSTEMCTL};
use super::{ServiceError, Who};
use crate::config::{Origin, Paths};
use crate::output::alert::hook::Trust;

/// The unit's name.
pub const UNIT: &str = "pause-monitor.service";
const USER: &str = include_str!("../../deploy/systemd/user/pause-monitor.service");
const SYSTEM: &str = include_str!("../../deploy/systemd/system/pause-monitor.service");
/// The line of the shipped units that is replaced.
const COMMAND: &str = "/usr/local/bin/pause-monitor daemon --allow-degraded";
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// Where the system's unit keeps its data.
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
        Self { system: false, file: user_file(who), command: command(program, directories) }
    }

    /// Whether there is a systemd that would take it.
    ///
    /// # Errors
    /// [`ServiceError::Failed`] where there is none, with what to do instead.
    pub fn has_a_manager(&self) -> Result<(), ServiceError> {
        self.state().map(drop).map_err(|why| {
            let instead = if self.system {
                "this machine was not started by systemd, so run `pause-monitor daemon` under the supervisor that it has"
            } else {
                "log in as this user (su and sudo -u are no login), or run `pause-monitor daemon` under another supervisor"
            };
            ServiceError::Failed(format!("systemd does not answer ({why}): {instead}"))
        })
    }

    /// The system's unit. Its program may read what only root may: nobody else can be able to change it.
    ///
    /// # Errors
    /// [`ServiceError::Usage`] where somebody is, or the unit could not see it.
    pub fn of_system(program: &Path) -> Result<Self, ServiceError> {
        let hidden = |real: &PathBuf| {
            // ProtectHome= and PrivateTmp= have it look at empty ones.
            ["/home", "/root", "/run/user", "/tmp", "/var/tmp"].iter().any(|place| real.starts_with(place))
        };
        let refused = match (Trust { owner: 0 }).file(program) {
            Ok(real) if hidden(&real) => Some("the service can't see it there".to_owned()),
            Ok(_) => None,
            Err(why) => Some(why),
        };
        if let Some(why) = refused {
            return Err(ServiceError::Usage(format!(
                "{} can't be the system's service: {why}: put it where it is root's alone, `sudo install -m 755 {} /usr/local/bin/pause-monitor`, and run `sudo /usr/local/bin/pause-monitor install`",
                program.display(),
                run::shown(&[&program.to_string_lossy()])
            )));
        }
        Ok(Self { system: true, file: Path::new(SYSTEM_UNITS).join(UNIT), command: command(program, &[]) })
    }

    /// The system's unit, whatever it runs.
    #[must_use]
    pub fn installed_for_all() -> Self {
        Self { system: true, file: Path::new(SYSTEM_UNITS).join(UNIT), command: String::new() }
    }

    /// Whether there is a system's unit.
    #[must_use]
    pub fn system_is_installed() -> bool {
        Path::new(SYSTEM_UNITS).join(UNIT).exists()
    }

    /// Where the system's unit has its configuration and data. They are root's, whoever called sudo.
    #[must_use]
    pub fn system_paths(paths: &Paths) -> Paths {
        Paths {
            config_file: SYSTEM_CONFIG.into(),
            data_dir: SYSTEM_DATA.into(),
            owner: None,
            ..paths.clone()
        }
    }

    /// Whether one of these is a place of the system's unit.
    #[must_use]
    pub fn are_the_systems(paths: &Paths) -> bool {
        paths.data_dir == Path::new(SYSTEM_DATA) || paths.config_file == Path::new(SYSTEM_CONFIG)
    }

    /// Whether root, who named no other place, means the system's unit: there is one.
    #[must_use]
    pub fn is_the_systems(paths: &Paths) -> bool {
        let elsewhere = paths.data_origin != Origin::Default || paths.config_origin != Origin::Default;
        paths.root && (Self::are_the_systems(paths) || (!elsewhere && Self::system_is_installed()))
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

/// A command as a unit takes it (systemd.service(5), "Command lines"). Variables are not looked for in the program's path.
fn command(program: &Path, directories: &[String]) -> String {
    let program = quoted(&program.to_string_lossy()).replace("$$", "$");
    let words = ["daemon", "--allow-degraded"].into_iter().chain(directories.iter().map(String::as_str));
    std::iter::once(program).chain(words.map(quoted)).collect::<Vec<_>>().join(" ")
}

/// The user's unit.
#[must_use]
pub fn user_file(who: &Who) -> PathBuf {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    config.unwrap_or_else(|| who.home.join(".config")).join("systemd/user").join(UNIT)
}

/// The words of the command of a unit of ours; none where it is none of ours.
#[must_use]
pub fn words(unit: &str) -> Vec<String> {
    let Some(line) = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")) else { return Vec::new() };
    let (mut words, mut word, mut quotes) = (Vec::new(), None::<String>, false);
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match c {
            '"' => {
                quotes = !quotes;
                word.get_or_insert_default();
            }
            ' ' if !quotes => words.extend(word.take()),
            '\\' | '%' | '$' => word.get_or_insert_default().extend(letters.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
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
        let system = Unit { system: true, file: PathBuf::new(), command: command(shipped, &[]) };
        assert_eq!(system.text(), SYSTEM);
        let unit = Unit::of_user(&who, Path::new("/home/a b/50%/p"), &["--data-dir".into(), "/d\"$x".into()]);
        let line = "ExecStart=\"/home/a b/50%%/p\" daemon --allow-degraded --data-dir \"/d\\\"$$x\"\n";
        assert!(unit.text().contains(line), "{}", unit.text());
        assert_eq!(unit.text().lines().count(), USER.lines().count());
        assert_eq!(
            words(&unit.text()),
            ["/home/a b/50%/p", "daemon", "--allow-degraded", "--data-dir", "/d\"$x"]
        );
    }

    #[test]
    fn a_program_that_others_can_change_is_not_run_by_the_systems_unit() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("p");
        std::fs::write(&program, "").unwrap();
        let error = Unit::of_system(&program).unwrap_err().to_string();
        assert!(
            error.contains("can't be the system's service") && error.contains("/usr/local/bin"),
            "{error}"
        );
    }
}
