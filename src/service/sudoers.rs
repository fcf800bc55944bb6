//! What may run as root without a password: exact commands, one line each, in a file of their own.
//!
//! sudo compares every argument (sudoers(5)): another interval, another order or one argument more is refused. There
//! is no wildcard, since `*` matches blanks and slashes too.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::run::{self, AT_ONCE, POWERMETRICS, SHELL, SUDO, TAILSPIN, VISUDO};
use super::{ServiceError, Who};
use crate::output::forensics::{self, TAILSPIN_FILE};
use crate::source::powermetrics::{News, Powermetrics};

/// The file. sudo reads no file with a dot in its name.
pub const FILE: &str = "/etc/sudoers.d/pause-monitor";
/// Where root's capture goes: the directory is root's (0755), so that nobody can put a link in the file's place.
pub const TAILSPIN_DIRECTORY: &str = "/var/db/pause-monitor";
/// Saves what the kernel traced. Run as `/usr/bin/sudo -n` and this.
pub const TAILSPIN_SAVE: [&str; 6] = {
    let [save, seconds, twenty, no_symbols] = forensics::TAILSPIN_SAVE;
    [TAILSPIN, save, seconds, twenty, no_symbols, TAILSPIN_FILE]
};
/// Removes it once it was copied: it is large, and holds what others did. Run as `/usr/bin/sudo -n` and this.
pub const TAILSPIN_REMOVE: [&str; 3] = ["/bin/rm", "-f", TAILSPIN_FILE];
/// The search path that these commands get as root; without it sudo would hand the user's on, as it does on a Mac.
const SEARCH_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// How long the sampler is given for its first sample.
const FIRST_SAMPLE: Duration = Duration::from_secs(10);

/// Root's part of `install`, with the rules as its first argument; the second says whether captures are wanted. The
/// rules get their name once visudo has passed them.
pub const INSTALL: &str = r#"set -eu
new=/etc/sudoers.d/pause-monitor.new
trap '/bin/rm -f "$new"' EXIT
/bin/rm -f "$new"
(umask 0337; printf %s "$1" >"$new")
/usr/bin/chgrp 0 "$new"
/usr/sbin/visudo -cqf "$new"
if [ "$2" = forensics ]; then
  (umask 022; /bin/mkdir -p /var/db/pause-monitor)
  /bin/chmod 0755 /var/db/pause-monitor
else
  /bin/rm -f /var/db/pause-monitor/pause.tailspin
  /bin/rmdir /var/db/pause-monitor 2>/dev/null || :
fi
/bin/mv -f "$new" /etc/sudoers.d/pause-monitor"#;

/// Root's part of `uninstall`.
pub const UNINSTALL: &str = r"set -eu
/bin/rm -f /etc/sudoers.d/pause-monitor /etc/sudoers.d/pause-monitor.new /var/db/pause-monitor/pause.tailspin
/bin/rmdir /var/db/pause-monitor 2>/dev/null || :";

/// The rules of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whom they are for, as sudoers has it.
    user: String,
    /// The commands, their arguments as they are run.
    commands: Vec<Vec<String>>,
    /// Captures are among them.
    forensics: bool,
}

impl Rules {
    /// The rules that let `who` run the sampler's `command` as root, and with `forensics` the capture. `None` where the
    /// command does not go through sudo and nothing else needs root.
    ///
    /// # Errors
    /// [`ServiceError::Usage`] where the command is none that may be permitted: only powermetrics itself is, and not
    /// where it would write a file.
    pub fn new(who: &Who, command: &[String], forensics: bool) -> Result<Option<Self>, ServiceError> {
        let mut commands = Vec::new();
        if let [sudo, dash_n, sampler @ ..] = command
            && sudo == SUDO
            && dash_n == "-n"
        {
            permitted(sampler).map_err(ServiceError::Usage)?;
            commands.push(sampler.to_vec());
        }
        if forensics {
            commands.push(TAILSPIN_SAVE.map(str::to_owned).to_vec());
            commands.push(TAILSPIN_REMOVE.map(str::to_owned).to_vec());
        }
        Ok((!commands.is_empty()).then(|| Self { user: user(who), commands, forensics }))
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# pause-monitor: exactly these commands as root, without a password. Written by `pause-monitor install`;\n\
             # `pause-monitor uninstall` removes it.\n",
        );
        for program in [POWERMETRICS, TAILSPIN] {
            // Writing to a String cannot fail.
            if self.commands.iter().any(|command| command[0] == program) {
                let _ = writeln!(text, "Defaults!{program} secure_path=\"{SEARCH_PATH}\"");
            }
        }
        for command in &self.commands {
            let _ = writeln!(text, "{} ALL=(root) NOPASSWD: {}", self.user, escaped(command));
        }
        text
    }

    /// Root's part, as a command.
    #[must_use]
    pub fn command<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let captures = if self.forensics { "forensics" } else { "none" };
        vec![SHELL, "-c", INSTALL, "pause-monitor", text, captures]
    }

    /// Has visudo look at the rules before anybody is asked for a password.
    ///
    /// # Errors
    /// [`ServiceError::Failed`] with what it says.
    pub fn check(&self) -> Result<(), ServiceError> {
        let failed =
            |why: String| ServiceError::Failed(format!("the rules for sudo could not be checked: {why}"));
        let draft = std::env::temp_dir().join(format!("pause-monitor-{}.sudoers", std::process::id()));
        let _ = std::fs::remove_file(&draft);
        let written = std::fs::File::create_new(&draft)
            .and_then(|mut file| std::io::Write::write_all(&mut file, self.text().as_bytes()));
        let answer = written.map_err(|error| error.to_string()).and_then(|()| {
            run::run(&[VISUDO, "-cf", &draft.to_string_lossy()], AT_ONCE).map_err(|error| error.to_string())
        });
        let _ = std::fs::remove_file(&draft);
        match answer {
            Ok(answer) if answer.ok() => Ok(()),
            Ok(answer) => Err(failed(format!("visudo refuses them: {}", answer.complaint()))),
            Err(why) => Err(failed(why)),
        }
    }

    /// Whether these rules are in force already. Their owner can't read the file, but sees its size; whether sudo takes
    /// the sampler's command is tried.
    #[must_use]
    pub fn are_in_place(&self) -> bool {
        self.have_their_file()
            && self.forensics == Path::new(TAILSPIN_DIRECTORY).is_dir()
            && self.commands.iter().filter(|command| command[0] == POWERMETRICS).all(|command| runs(command))
    }

    /// Whether the file is as large as these rules are, and root's.
    #[must_use]
    pub fn have_their_file(&self) -> bool {
        std::fs::symlink_metadata(FILE).is_ok_and(|file| {
            file.is_file()
                && (file.uid(), file.permissions().mode() & 0o7777) == (0, 0o440)
                && file.len() == self.text().len() as u64
        })
    }
}

/// Whether sudo runs the sampler without a password: it is started, and ended at once. To ask sudo (`-l`) is not enough:
/// of an administrator, who may run anything with a password, it says yes to all.
#[must_use]
pub fn runs(command: &[String]) -> bool {
    let sudo = [SUDO, "-k", "-n"].map(str::to_owned);
    let command: Vec<String> = sudo.into_iter().chain(command.iter().cloned()).collect();
    let Ok(mut sampler) = Powermetrics::start(&command) else { return false };
    let deadline = Instant::now() + FIRST_SAMPLE;
    let mut came = false;
    while !came && Instant::now() < deadline {
        match sampler.news() {
            Some(News::NotStarted(_)) => return false,
            // What the sampler itself refuses is its own affair: sudo let it.
            Some(News::Ended(_, lines)) => {
                return !lines
                    .iter()
                    .any(|line| line.starts_with("sudo:") || line.starts_with("Sorry, user"));
            }
            Some(News::Started) | None => {}
        }
        if sampler.is_open() {
            sampler.wait(100);
        } else {
            thread::sleep(Duration::from_millis(10));
        }
        sampler.read(|_, _| came = true);
    }
    // Closed, it ends at its next write. One that hangs was not refused.
    sampler.close();
    true
}

/// Whether there is anything of ours that only root can remove.
#[must_use]
pub fn something_is_left() -> bool {
    [FILE, TAILSPIN_DIRECTORY].iter().any(|path| std::fs::symlink_metadata(path).is_ok())
}

/// Whether sudo says that it would run the command as root. Where the user may run anything with a password, and has
/// another rule that needs none, it says so too.
#[must_use]
pub fn permits(command: &[impl AsRef<str>]) -> bool {
    let sudo = [SUDO, "-k", "-n", "-l"];
    let command: Vec<&str> = sudo.into_iter().chain(command.iter().map(AsRef::as_ref)).collect();
    run::run(&command, AT_ONCE).is_ok_and(|answer| answer.ok())
}

/// A command as sudoers(5) wants it: `,`, `:`, `=` and `\` mean something there.
#[must_use]
pub fn escaped(command: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for (index, word) in command.iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        for c in word.as_ref().chars() {
            if matches!(c, ',' | ':' | '=' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
    }
    text
}

/// Whether a command is one that may be permitted; else why not.
fn permitted(command: &[String]) -> Result<(), String> {
    const KEY: &str = "[powermetrics] command";
    match command.split_first() {
        Some((program, arguments)) if program == POWERMETRICS => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+".contains(c);
            for word in arguments {
                if word.is_empty() || !word.chars().all(plain) {
                    return Err(format!(
                        "{KEY}: {word:?} can't be permitted exactly: letters, digits and - _ . / , : = + can"
                    ));
                }
                // powermetrics(1): -u and --output-file write a file, as root; older ones called it -o.
                if word.starts_with("--o") || word.starts_with("-o") || word.starts_with("-u") {
                    return Err(format!(
                        "{KEY}: {word} could have powermetrics write files as root: leave it out, its standard output is read"
                    ));
                }
            }
            Ok(())
        }
        _ => Err(format!(
            "{KEY}: only {POWERMETRICS} is permitted to run as root: use it, or leave `sudo` out of the command"
        )),
    }
}

/// A user as sudoers(5) has it: by name, else by number. Names in capitals are aliases there, `ALL` is everybody.
fn user(who: &Who) -> String {
    let plain = |name: &&String| {
        name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    who.name.as_ref().filter(plain).cloned().unwrap_or_else(|| format!("#{}", who.uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_command;

    fn who(name: &str) -> Who {
        Who { uid: 501, name: Some(name.to_owned()), home: "/Users/x".into() }
    }

    fn command(words: &str) -> Vec<String> {
        words.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_line_is_the_one_that_the_template_shows() {
        let command = default_command(Duration::from_millis(100), false);
        let rules = Rules::new(&who("alice"), &command, true).unwrap().unwrap();
        assert_eq!(rules.text(), include_str!("../../deploy/sudoers/pause-monitor"));
        let line = rules.text().lines().find(|line| line.starts_with("alice")).unwrap().to_owned();
        assert_eq!(
            line,
            r"alice ALL=(root) NOPASSWD: /usr/bin/powermetrics --samplers cpu_power\,gpu_power\,thermal\,tasks\,disk -f plist -i 100 -n 36000"
        );
    }

    #[test]
    fn a_name_that_means_something_else_to_sudo_is_a_number() {
        for name in ["ALL", "ADMINS", "DOMAIN\\ann", "%admin", "a b", "#0", "ann,bob", "ann\n", ""] {
            assert_eq!(user(&who(name)), "#501", "{name:?}");
        }
        assert_eq!(user(&who("ann.o-neil_2")), "ann.o-neil_2");
    }

    #[test]
    fn only_powermetrics_is_permitted_and_not_to_write_files() {
        for (words, why) in [
            ("/usr/bin/sudo -n /bin/sh -c id", "only /usr/bin/powermetrics"),
            ("/usr/bin/sudo -n /usr/bin/powermetrics -i 100 -u /etc/x", "write files as root"),
            ("/usr/bin/sudo -n /usr/bin/powermetrics -o /etc/x", "write files as root"),
            ("/usr/bin/sudo -n /usr/bin/powermetrics --output-file=/etc/x", "write files as root"),
            ("/usr/bin/sudo -n /usr/bin/powermetrics -i *", "can't be permitted exactly"),
            ("/usr/bin/sudo -n /usr/bin/powermetrics #", "can't be permitted exactly"),
            ("/usr/bin/sudo -n", "only /usr/bin/powermetrics"),
        ] {
            let error = Rules::new(&who("ann"), &command(words), false).unwrap_err().to_string();
            assert!(error.contains(why), "{words}: {error}");
        }
        assert_eq!(Rules::new(&who("ann"), &command("/opt/sampler --fast"), false).unwrap(), None);
    }
}
