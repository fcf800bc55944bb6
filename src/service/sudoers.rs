//! What may run as root without a password: exact commands, one line each, in a file of the user's own.
//!
//! sudo puts the arguments into one line, a blank between them, and compares that (sudoers(5)): another interval, another
//! order or one argument more is refused. There is no wildcard, since `*` matches blanks and slashes too.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::thread;
use std::time::{Duration, Instant};

use super::run::{self, AT_ONCE, POWERMETRICS, SHELL, SUDO, TAILSPIN, VISUDO};
use super::{ServiceError, Who};
use crate::output::forensics::{self, TAILSPIN_FILE};
use crate::source::powermetrics::command::may_be_roots;
use crate::source::powermetrics::{News, Powermetrics};

/// The file of a user: whoever else installs it on this Mac has another. sudo reads no file with a dot in its name.
#[must_use]
pub fn file(uid: u32) -> String {
    format!("/etc/sudoers.d/pause-monitor-{uid}")
}

/// Where root's capture goes: the directory is root's (0700), so that nobody can put a link in the file's place, or read
/// what others did.
pub const TAILSPIN_DIRECTORY: &str = "/var/db/pause-monitor";
/// Saves what the kernel traced. Run as `/usr/bin/sudo -n` and this.
pub const TAILSPIN_SAVE: [&str; 6] = {
    let [save, seconds, twenty, no_symbols] = forensics::TAILSPIN_SAVE;
    [TAILSPIN, save, seconds, twenty, no_symbols, TAILSPIN_FILE]
};
/// Hands it over. Run as `/usr/bin/sudo -n` and this.
pub const TAILSPIN_READ: [&str; 2] = ["/bin/cat", TAILSPIN_FILE];
/// Removes it once it was copied: it is large, and holds what others did. Run as `/usr/bin/sudo -n` and this.
pub const TAILSPIN_REMOVE: [&str; 3] = ["/bin/rm", "-f", TAILSPIN_FILE];
/// The search path that these commands get as root; without it sudo would hand the user's on, as it does on a Mac.
const SEARCH_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// How long the sampler is given for its first sample.
const FIRST_SAMPLE: Duration = Duration::from_secs(10);

/// Root's part of `install`, with the rules as its first argument; the second says whether captures are wanted, the third
/// is the user's number. The rules get their name once visudo has passed them.
pub const INSTALL: &str = r#"set -eu
file=/etc/sudoers.d/pause-monitor-$3 new=/etc/sudoers.d/pause-monitor-$3.new traces=/var/db/pause-monitor
trap '/bin/rm -f "$new"' EXIT
/bin/rm -f "$new"
(umask 0337; printf %s "$1" >"$new")
/usr/bin/chgrp 0 "$new"
/usr/sbin/visudo -cqf "$new"
if [ "$2" = forensics ]; then
  if [ -L "$traces" ] || { [ -e "$traces" ] && [ ! -O "$traces" ]; }; then
    echo "$traces is not root's: remove it first" >&2
    exit 1
  fi
  (umask 022; /bin/mkdir -p "$traces")
  /bin/chmod 0700 "$traces"
fi
/bin/mv -f "$new" "$file"
/usr/bin/grep -qs /usr/bin/tailspin /etc/sudoers.d/pause-monitor-* || {
  /bin/rm -f "$traces/pause.tailspin"
  /bin/rmdir "$traces" 2>/dev/null || :
}"#;

/// Root's part of `uninstall`, with the user's number as its first argument.
pub const UNINSTALL: &str = r#"set -eu
traces=/var/db/pause-monitor
/bin/rm -f "/etc/sudoers.d/pause-monitor-$1" "/etc/sudoers.d/pause-monitor-$1.new"
/usr/bin/grep -qs /usr/bin/tailspin /etc/sudoers.d/pause-monitor-* || {
  /bin/rm -f "$traces/pause.tailspin"
  /bin/rmdir "$traces" 2>/dev/null || :
}"#;

/// The rules of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whom they are for, as sudoers has it.
    user: String,
    /// The user's number, in words.
    uid: String,
    /// Their file.
    pub file: String,
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
            may_be_roots(sampler).map_err(ServiceError::Usage)?;
            commands.push(sampler.to_vec());
        }
        if forensics {
            commands.push(TAILSPIN_SAVE.map(str::to_owned).to_vec());
            commands.push(TAILSPIN_READ.map(str::to_owned).to_vec());
            commands.push(TAILSPIN_REMOVE.map(str::to_owned).to_vec());
        }
        Ok((!commands.is_empty()).then(|| Self {
            user: user(who),
            uid: who.uid.to_string(),
            file: file(who.uid),
            commands,
            forensics,
        }))
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
    pub fn command<'a>(&'a self, text: &'a str) -> Vec<&'a str> {
        let captures = if self.forensics { "forensics" } else { "none" };
        vec![SHELL, "-c", INSTALL, "pause-monitor", text, captures, &self.uid]
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

    /// Whether these rules are in force already. Their user can't read the file, but sees its size, and sudo lists what it
    /// says; whether sudo takes the sampler's command is tried.
    #[must_use]
    pub fn are_in_place(&self) -> bool {
        let listed = listed();
        let is_listed = |command: &Vec<String>| listed.as_ref().is_none_or(|text| lists(text, command));
        self.have_their_file()
            && (!self.forensics || captures_have_their_place())
            && self.commands.iter().all(is_listed)
            && self.commands.iter().filter(|command| command[0] == POWERMETRICS).all(|command| runs(command))
    }

    /// Whether the file is as large as these rules are, and root's.
    #[must_use]
    pub fn have_their_file(&self) -> bool {
        std::fs::symlink_metadata(&self.file).is_ok_and(|file| {
            file.is_file()
                && (file.uid(), file.permissions().mode() & 0o7777) == (0, 0o440)
                && file.len() == self.text().len() as u64
        })
    }
}

/// Whether the directory of captures is there, root's, and closed to others.
#[must_use]
pub fn captures_have_their_place() -> bool {
    std::fs::symlink_metadata(TAILSPIN_DIRECTORY).is_ok_and(|directory| {
        directory.is_dir() && (directory.uid(), directory.permissions().mode() & 0o7777) == (0, 0o700)
    })
}

/// What sudo lists of the user's rules, blanks and escapes aside; `None` where it wants a password for that, or does not
/// answer. It wants none where one rule needs none, as ours.
fn listed() -> Option<String> {
    let answer = run::run(&[SUDO, "-k", "-n", "-l"], AT_ONCE).ok().filter(run::Answer::ok)?;
    Some(comparable(&answer.out))
}

fn comparable(text: &str) -> String {
    text.replace('\\', "").split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a listing has exactly this command.
fn lists(listed: &str, command: &[impl AsRef<str>]) -> bool {
    let words: Vec<&str> = command.iter().map(AsRef::as_ref).collect();
    let rule = format!("NOPASSWD: {}", words.join(" "));
    // What follows is the next rule.
    listed.match_indices(&rule).any(|(at, _)| {
        let rest = &listed[at + rule.len()..];
        rest.is_empty() || rest.starts_with(" (") || rest.starts_with(", ")
    })
}

/// Whether the user's rules permit captures.
#[must_use]
pub fn captures_are_permitted() -> bool {
    captures_have_their_place() && listed().is_some_and(|text| lists(&text, &TAILSPIN_SAVE))
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
    fn a_listing_is_searched_for_the_whole_command() {
        let text = comparable(
            "User ann may run the following commands on mac:\n    (ALL) ALL\n    (root) NOPASSWD: /usr/bin/p --s a\\,b\n        -i 100\n    (root) NOPASSWD: /bin/rm -f /x, /bin/cat /y\n",
        );
        for (words, there) in [
            ("/usr/bin/p --s a,b -i 100", true),
            ("/usr/bin/p --s a,b -i 10", false),
            ("/usr/bin/p --s a,b", false),
            ("/bin/rm -f /x", true),
            ("ALL", false),
        ] {
            assert_eq!(lists(&text, &command(words)), there, "{words}: {text}");
        }
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
    fn what_does_not_go_through_sudo_needs_no_rules() {
        assert_eq!(Rules::new(&who("ann"), &command("/opt/sampler --fast"), false).unwrap(), None);
        let error = Rules::new(&who("ann"), &command("/usr/bin/sudo -n /bin/sh"), false).unwrap_err();
        assert!(error.to_string().contains("only /usr/bin/powermetrics"), "{error}");
    }
}
